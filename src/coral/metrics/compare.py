"""Two runs on the same problems: the paired difference of a metric, with interval and p-value."""

from __future__ import annotations

from collections.abc import Collection
from itertools import repeat

import numpy as np

from coral.errors import ConfigError
from coral.metrics.arrays import Array
from coral.metrics.catalog import metric
from coral.metrics.cost import PriceTable, load_prices
from coral.metrics.estimate import Sums, sums_of
from coral.metrics.info import MetricInfo
from coral.metrics.paired import paired_difference
from coral.metrics.probes import is_of_probe
from coral.metrics.statistics import clustered_ratio
from coral.metrics.tally import Tally
from coral.types import Record


class Comparison(Record, frozen=True, omit_defaults=False):
    """Run b against run a on the problems that both have measured.

    Attributes:
        a: the metric of run a on the shared problems.
        b: that of run b.
        difference: b - a; None where either is unknown.
        stderr: of the difference, paired by problem; None with fewer than two shared problems.
        low: lower end of the 95% interval of the difference.
        high: upper end of it.
        p_value: two-sided, of "there is no difference".
        num_problems: shared problems on which either run has something to count.
        num_higher: of these, problems on which b is above a (ratio metrics: where both are defined).
        num_lower: problems on which b is below a.
        num_only_a: problems measured in run a alone, which are left out.
        num_only_b: the reverse.
    """

    metric: str
    a: float | None
    b: float | None
    difference: float | None
    stderr: float | None
    low: float | None
    high: float | None
    p_value: float | None
    num_problems: int
    num_higher: int
    num_lower: int
    num_only_a: int
    num_only_b: int


def compare(
    a: Tally,
    b: Tally,
    name: str | MetricInfo,
    *,
    counterpart: str | None = None,
    prices: PriceTable | None = None,
    extractor: str | None = None,
    among: Collection[str] | None = None,
) -> Comparison:
    """Compare two runs by one metric on the problems they share.

    Each problem's pull on the difference of the two means (delta method, as for one run) gives the standard
    error, so what makes a problem hard for both runs cancels out.

    Args:
        name: one of ours, or what a metric of the user's is.
        counterpart: the metric of run b where it has another name: `accuracy_strict` beside
            `agreement_correctness_strict`. Its problems must count in the same way.
        among: ids of the problems that are looked at; all unless given.

    Raises:
        ConfigError: no such metric, or one of the runs does not have it.
    """
    info = name if isinstance(name, MetricInfo) else metric(name)
    other = metric(counterpart) if counterpart else info
    table = load_prices() if prices is None else prices
    mine, theirs = (_measured(each, run, table, extractor, among) for each, run in ((info, a), (other, b)))
    parts_a, parts_b = _by_problem(mine, a, a), _by_problem(theirs, b, a)
    shared = ~np.isnan(parts_a[0] + parts_b[0])
    counted = shared & (parts_a.any(axis=0) | parts_b.any(axis=0))
    of_a, of_b = parts_a[:, counted], parts_b[:, counted]
    clusters = None if a.clusters is None else a.clusters[counted]
    first, second = (clustered_ratio(parts[0], parts[1], clusters) for parts in (of_a, of_b))
    found = paired_difference(first, second, info.interval, (a.rules.max_turns, b.rules.max_turns))
    signs = _signs(of_a, of_b)
    return Comparison(
        metric=info.name,
        a=first.value,
        b=second.value,
        difference=None if first.value is None or second.value is None else second.value - first.value,
        stderr=found and found.stderr,
        low=found and found.interval.low,
        high=found and found.interval.high,
        p_value=found and found.p_value,
        num_problems=int(counted.sum()),
        num_higher=int((signs > 0).sum()),
        num_lower=int((signs < 0).sum()),
        num_only_a=len(mine.problems) - int(shared.sum()),
        num_only_b=len(theirs.problems) - int(shared.sum()),
    )


def _measured(
    info: MetricInfo, tally: Tally, prices: PriceTable, extractor: str | None, among: Collection[str] | None
) -> Sums:
    numbers = tally.problems
    view = tally.view(None if among is None else [numbers[name] for name in among if name in numbers])
    if not info.applies(tally.rules):
        raise ConfigError(
            f"a {tally.protocol} run has no metric '{info.name}'",
            remedy="compare runs of one protocol, or by a metric that both have (docs/metrics.md)",
        )
    try:
        return sums_of(info, view, tally.costs(view.rows, prices, extractor))
    except KeyError as error:
        needs = "with --probe true" if is_of_probe(info) else "between agent and partner"
        raise ConfigError(f"the run has no metric '{info.name}'", remedy=f"it needs a run {needs}") from error


def _by_problem(sums: Sums, tally: Tally, order: Tally) -> Array:
    """Numerators and denominators (two rows) of a run for the problems of `order`; NaN where it measured
    nothing.
    """
    parts = np.full((2, tally.num_problems + 1), np.nan)  # the last column is that of foreign problems
    parts[:, sums.problems] = sums.numerators, sums.denominators
    if tally is order:
        return parts[:, :-1]
    return parts[:, [*map(tally.problems.get, order.problems, repeat(-1))]]


def _signs(first: Array, second: Array) -> Array:
    """Which run is higher, on the problems on which both have a ratio of their own."""
    both = (first[1] != 0) & (second[1] != 0)
    before, after = (parts[0, both] / parts[1, both] for parts in (first, second))
    signs: Array = np.sign(after - before)
    return signs
