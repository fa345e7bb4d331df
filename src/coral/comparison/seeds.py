"""The mean over runs that differ in their seed alone, with an interval from seeds and from problems.

A problem's rate in a run is taken as mu + problem + seed + rest, both crossed and random, since other
problems and other seeds could have been drawn: the two-way layout without repetition of the analysis of
variance (Searle, Casella and McCulloch 1992, "Variance Components", chapter 4).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean, variance
from typing import NamedTuple

import numpy as np

from coral.comparison.facts import RIGHT
from coral.metrics.arrays import Array
from coral.metrics.distributions import UPPER, Z, t_quantile
from coral.metrics.statistics import Interval, cluster_names, sums_by_cluster, wilson
from coral.types import Record


class SeedMean(Record, frozen=True, omit_defaults=False):
    """What is right of all, as a mean over the seeds of one configuration.

    Attributes:
        by: what stands for it where no problem has a gold answer.
        runs: folders, of one seed each.
        low: lower end of the 95% interval; None with fewer than two shared problems.
        spread: standard deviation between the runs' means on the shared problems.
        num_problems: that all runs have.
        difference: minus the mean of the first configuration; None of the first, or without shared problems.
        difference_low: lower end of its 95% interval.
    """

    runs: tuple[str, ...]
    mean: float | None
    low: float | None
    high: float | None
    spread: float | None
    num_problems: int
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    by: str = RIGHT


class Part(NamedTuple):
    """A part of a variance, and how many degrees of freedom it was estimated with."""

    value: float
    freedom: int


def seed_mean(
    runs: Sequence[str],
    rates: Sequence[Mapping[str, float]],
    by: str = RIGHT,
    clusters: Mapping[str, str] | None = None,
) -> SeedMean:
    """The mean of several runs on the problems that all of them have.

    Args:
        runs: their folders.
        rates: of each run, the share that is right on each problem.
        by: what the rates are of.
        clusters: of problems that share one with others.
    """
    table, problems = _table(rates, clusters)
    if len(table.T) < 2:
        return SeedMean(
            runs=tuple(runs),
            mean=float(table.mean()) if table.size else None,
            low=None,
            high=None,
            spread=None,
            num_problems=len(problems),
            by=by,
        )
    mean = float(table.mean())
    low, high = share_interval(mean, mean_parts(table), len(table.T))
    return SeedMean(
        runs=tuple(runs),
        mean=mean,
        low=low,
        high=high,
        spread=float(table.mean(axis=1).std(ddof=1)) if len(table) > 1 else None,
        num_problems=len(problems),
        by=by,
    )


def mean_parts(table: Array) -> list[Part]:
    """The variance of a grand mean, of a row per seed and a column per problem.

    (MS_problems + MS_seeds) / cells. The rest is in both; the unbiased estimate takes it off once, and with
    few seeds is often far too small: its intervals held the truth in 89 of 100 simulated runs of three seeds,
    these in 94 to 98. One seed leaves the problems alone.
    """
    seeds, problems = table.shape
    squares = _squares(table)
    cells = seeds * problems
    parts = [Part(squares.problems / cells, problems - 1)]
    if seeds > 1:
        parts.append(Part(squares.seeds / cells, seeds - 1))
    return parts


def difference(
    a: Sequence[Mapping[str, float]],
    b: Sequence[Mapping[str, float]],
    clusters: Mapping[str, str] | None = None,
) -> tuple[float, Interval] | None:
    """Mean over the seeds of b minus that of a, paired by problem; None with fewer than two shared problems.

    The problems' differences of means hold what problems and the rest add; what seeds add comes on top, of
    each side its own.
    """
    table, _ = _table([*a, *b], clusters)
    if len(table.T) < 2:
        return None
    first, second = table[: len(a)], table[len(a) :]
    each = second.mean(axis=0) - first.mean(axis=0)
    parts = [Part(float(each.var(ddof=1)) / len(each), len(each) - 1)]
    for side in (first, second):
        if len(side) > 1:
            squares = _squares(side)
            parts.append(Part(squares.seeds / side.size, len(side) - 1))
    found = float(each.mean())
    whole = sum(part.value for part in parts)
    # As right everywhere: a problem unlike all that were seen may differ by 1.
    unseen = wilson(0.0, len(each)).high
    half = unseen if whole < 1e-12 else t_quantile(UPPER, freedom(parts)) * sqrt(whole)
    return found, Interval(max(-1.0, found - half), min(1.0, found + half))


def from_summaries(means: Sequence[float], stderrs: Sequence[float], problems: int) -> Interval:
    """The interval of a mean over seeds from what summaries hold, without reading the runs.

    Errors between problems (clustered, of one run) and between seeds are added. Both hold the rest, so this
    is rather too wide.
    """
    parts = [Part(fmean(one * one for one in stderrs), max(1, problems - 1))]
    if len(means) > 1:
        parts.append(Part(variance(means) / len(means), len(means) - 1))
    return share_interval(fmean(means), parts, problems)


def share_interval(mean: float, parts: Sequence[Part], problems: int) -> Interval:
    """Wilson's interval with as many trials as would have this variance (Korn and Graubard 1998), fewer for
    few degrees of freedom; where nothing varies, a problem is a trial.
    """
    whole = sum(part.value for part in parts)
    if whole < 1e-12 or mean * (1 - mean) < 1e-12:
        return wilson(mean, problems)
    size = mean * (1 - mean) / whole * (Z / t_quantile(UPPER, freedom(parts))) ** 2
    return wilson(mean, size)


def freedom(parts: Sequence[Part]) -> float:
    """Degrees of freedom of a sum of variances (Satterthwaite 1946)."""
    whole = sum(part.value for part in parts)
    return max(1.0, whole**2 / sum(part.value**2 / part.freedom for part in parts))


class _Squares(NamedTuple):
    """Mean squares of a two-way layout without repetition."""

    seeds: float
    problems: float
    rest: float


def _squares(table: Array) -> _Squares:
    seeds, problems = table.shape
    by_seed, by_problem, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    rest = table - by_seed[:, None] - by_problem[None, :] + mean
    return _Squares(
        seeds=problems * float(np.square(by_seed - mean).sum()) / max(1, seeds - 1),
        problems=seeds * float(np.square(by_problem - mean).sum()) / (problems - 1),
        rest=float(np.square(rest).sum()) / max(1, (seeds - 1) * (problems - 1)),
    )


def _table(
    rates: Sequence[Mapping[str, float]], clusters: Mapping[str, str] | None
) -> tuple[Array, list[str]]:
    """A row per run, a column per problem that all have; problems in a cluster have one for all of them, such
    that each row has its mean.
    """
    shared = sorted(set(rates[0]).intersection(*rates[1:]))
    table = np.array([[one[problem] for problem in shared] for one in rates])
    names = cluster_names(shared, clusters or {})
    if names is None:
        return table, shared
    means = table.mean(axis=1, keepdims=True)
    sums = np.array([sums_by_cluster(row, names) for row in table - means])
    return means + sums * sums.shape[1] / len(shared), shared
