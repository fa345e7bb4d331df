"""Two runs on the same problems: the paired difference of a metric, with interval and p-value."""

from __future__ import annotations

from coral.errors import ConfigError
from coral.metrics.catalog import metric
from coral.metrics.cost import PriceTable, load_prices
from coral.metrics.estimate import NOTHING, Part, sums_of
from coral.metrics.info import MetricInfo
from coral.metrics.paired import paired_difference
from coral.metrics.statistics import Ratio, clustered_ratio
from coral.metrics.tally import Tally
from coral.types import Record


class Comparison(Record, frozen=True, omit_defaults=False):
    """Run b against run a on the problems that both have measured.

    Attributes:
        a: the metric of run a on the shared problems.
        b: that of run b.
        difference: b - a; None where either is unknown.
        stderr: of the difference, paired by problem; None with fewer than two shared problems.
        low: lower end of the 95 % interval of the difference.
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
    name: str,
    *,
    counterpart: str | None = None,
    prices: PriceTable | None = None,
    extractor: str | None = None,
) -> Comparison:
    """Compare two runs by one metric on the problems they share.

    Each problem's pull on the difference of the two means (delta method, as for one run) gives the standard
    error, so what makes a problem hard for both runs cancels out.

    Args:
        counterpart: the metric of run b where it has another name: `accuracy_strict` beside
            `agreement_correctness_strict`. Its problems must count in the same way.

    Raises:
        ConfigError: no such metric, or one of the runs does not have it.
    """
    info, other = metric(name), metric(counterpart or name)
    table = load_prices() if prices is None else prices
    mine, theirs = _by_id(info, a, table, extractor), _by_id(other, b, table, extractor)
    shared = [problem for problem in mine if problem in theirs]
    only_a, only_b = len(mine) - len(shared), len(theirs) - len(shared)
    shared = [problem for problem in shared if mine[problem] != NOTHING or theirs[problem] != NOTHING]
    first, second = _ratio(mine, shared), _ratio(theirs, shared)
    found = paired_difference(first, second, info.interval, (a.rules.max_turns, b.rules.max_turns))
    signs = [_sign(mine[problem], theirs[problem]) for problem in shared]
    return Comparison(
        metric=name,
        a=first.value,
        b=second.value,
        difference=None if first.value is None or second.value is None else second.value - first.value,
        stderr=found and found.stderr,
        low=found and found.interval.low,
        high=found and found.interval.high,
        p_value=found and found.p_value,
        num_problems=len(shared),
        num_higher=signs.count(1),
        num_lower=signs.count(-1),
        num_only_a=only_a,
        num_only_b=only_b,
    )


def _by_id(info: MetricInfo, tally: Tally, prices: PriceTable, extractor: str | None) -> dict[str, Part]:
    view = tally.view()
    if not info.applies(tally.rules):
        raise ConfigError(
            f"a {tally.protocol} run has no metric '{info.name}'",
            remedy="compare runs of one protocol, or by a metric that both have (docs/metrics.md)",
        )
    try:
        sums = sums_of(info, view, tally.costs(view.rows, prices, extractor) if view.rows else [])
    except KeyError as error:
        raise ConfigError(
            f"the run has no metric '{info.name}'", remedy="it needs a run between agent and partner"
        ) from error
    names = {number: problem for problem, number in tally.problems.items()}
    return {names[number]: part for number, part in sums.by_problem().items()}


def _ratio(parts: dict[str, Part], shared: list[str]) -> Ratio:
    return clustered_ratio(
        [parts[problem][0] for problem in shared], [parts[problem][1] for problem in shared]
    )


def _sign(a: Part, b: Part) -> int:
    if not a[1] or not b[1]:
        return 0
    before, after = a[0] / a[1], b[0] / b[1]
    return (after > before) - (after < before)
