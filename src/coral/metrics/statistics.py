"""Estimates with honest uncertainty: clustered standard errors, intervals for shares and for quantities.

Several samples of one problem are not independent, so the problem is the unit that varies (or the cluster of
problems that were drawn together, `Problem.cluster`). Every metric is a
ratio of two sums over problems (a mean is the ratio of a sum to a count), and its standard error is that
ratio's, by the delta method with the G/(G-1) correction for G problems (Liang and Zeger 1986; Miller 2024,
"Adding Error Bars to Evals").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import erfc, exp, sqrt
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from coral.metrics.arrays import Array, sum_by
from coral.metrics.bounded import BoundedMean
from coral.metrics.distributions import UPPER, Z, t_cdf, t_quantile

TINY = 1e-9
"""Relative to a value: a standard error that only rounding makes."""
IntervalKind = Literal["proportion", "rate", "difference", "score", "turns", "amount", "number"]
"""What the numbers are that a metric is a mean of.

proportion: things that are or are not. rate: between 0 and 1. difference: between -1 and 1, and 0 where
nothing changed, such as what a conversation gained. score: between -1 and 1. turns: between 1 and the limit
of turns. amount: never below 0. number: anything.
"""


class Interval(NamedTuple):
    """A 95% confidence interval."""

    low: float
    high: float


class Ratio(NamedTuple):
    """A ratio of sums over clusters.

    Attributes:
        value: None where the denominator is 0.
        stderr: None with fewer than two clusters.
        residuals: each cluster's pull on the value; they sum to 0.
        numerators: of the clusters, in the same order.
        denominators: of the clusters.
    """

    value: float | None
    stderr: float | None
    denominator: float
    residuals: Array
    numerators: Array
    denominators: Array


def clustered_ratio(
    numerators: ArrayLike, denominators: ArrayLike, clusters: ArrayLike | None = None
) -> Ratio:
    """Sum of numerators over sum of denominators.

    Args:
        clusters: of each entry, by name or number; None: each is a cluster.
    """
    above, below = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if clusters is not None:
        above, below = (sums_by_cluster(each, clusters) for each in (above, below))
    whole = float(below.sum())
    if whole == 0:
        return Ratio(None, None, 0.0, np.zeros(0), above, below)
    value = float(above.sum()) / whole
    residuals = (above - value * below) / whole
    return Ratio(value, clustered_stderr(residuals), whole, residuals, above, below)


def cluster_names(problems: Sequence[str], clusters: Mapping[str, str]) -> list[str] | None:
    """The cluster of each problem, of those that share one with others; None where none do."""
    return [f"of {clusters[one]}" if one in clusters else one for one in problems] if clusters else None


def sums_by_cluster(values: ArrayLike, clusters: ArrayLike) -> Array:
    """The sum of the values of each cluster, which names or numbers tell apart."""
    _, numbers = np.unique(np.asarray(clusters), return_inverse=True)
    return sum_by(numbers, int(numbers.max(initial=-1)) + 1, np.asarray(values, np.float64))


def spread_of(values: ArrayLike, clusters: ArrayLike | None = None) -> float:
    """Standard deviation of two values or more, as far as it tells of their mean: of values in clusters, that
    of so many independent ones whose mean is known as well.
    """
    listed = np.asarray(values, np.float64)
    stderr = clustered_ratio(listed, np.ones(len(listed)), clusters).stderr
    return sqrt(len(listed)) * (stderr or 0.0)


def clustered_stderr(residuals: Array) -> float | None:
    """Standard error of a sum of independent residuals with mean 0: sqrt(G/(G-1) * sum of squares)."""
    clusters = len(residuals)
    if clusters < 2:
        return None
    return sqrt(clusters / (clusters - 1) * float(np.square(residuals).sum()))


def interval_of(ratio: Ratio, kind: IntervalKind, turn_limit: float | None = None) -> Interval | None:
    """The 95% interval; None with fewer than two clusters.

    Args:
        turn_limit: the most turns that a conversation can have; None where that is not known.
    """
    if ratio.value is None or ratio.stderr is None:
        return None
    match kind:
        case "difference":
            return paired_interval(ratio.value, effects_of(ratio.value, ratio.residuals))[0]
        case "rate" | "score" | "turns":
            mean = BoundedMean(*_defined(ratio), *bounds_of(kind, turn_limit, ratio))
            return Interval(*mean.limits(Z))
        case "number":
            half = t_quantile(UPPER, len(ratio.residuals) - 1) * ratio.stderr
            if half < TINY * abs(ratio.value):
                half = unseen_share(len(ratio.residuals)) * abs(ratio.value)
            return Interval(ratio.value - half, ratio.value + half)
        case "amount":
            half = t_quantile(UPPER, len(ratio.residuals) - 1) * ratio.stderr
            if half < TINY * ratio.value:  # as many everywhere: a problem unlike them may have none, or twice
                half = unseen_share(len(ratio.residuals)) * ratio.value
                return Interval(ratio.value - half, ratio.value + half)
            return log_interval(ratio.value, half) if ratio.value > 0 else Interval(0.0, 0.0)
        case _:
            return wilson(ratio.value, effective_size(ratio))


def _defined(ratio: Ratio) -> tuple[Array, Array]:
    """Numerators and denominators of the clusters that have a ratio of their own."""
    defined = ratio.denominators != 0
    return ratio.numerators[defined], ratio.denominators[defined]


def bounds_of(kind: IntervalKind, turn_limit: float | None, ratio: Ratio) -> tuple[float, float]:
    """Between which values each problem's rate, score or number of turns lies.

    Without a limit of turns, twice the most that was seen stands for it.
    """
    match kind:
        case "rate":
            return 0.0, 1.0
        case "score":
            return -1.0, 1.0
        case _:
            numerators, denominators = _defined(ratio)
            return 1.0, turn_limit or 2 * float((numerators / denominators).max())


def log_interval(value: float, half: float) -> Interval:
    """Interval of a positive quantity from the half-width `half` of its plain interval.

    Symmetric in the logarithm (delta method: the standard error of log R is stderr/R), so it never reaches 0,
    and it is wider above than below, as a quantity with a long tail, or over a small count, demands.
    """
    factor = exp(half / value)
    return Interval(value / factor, value * factor)


def effective_size(ratio: Ratio) -> float:
    """How many independent yes/no trials would give this standard error, for Wilson's interval.

    Korn and Graubard (1998): p(1-p)/stderr², times a ratio of Student quantiles for few clusters; G/(G-1)
    makes it exactly the number of trials where every cluster holds one. Where nothing varies the data say
    nothing about the correlation inside a problem, and each problem counts as one trial. At most the number
    of trials.
    """
    assert ratio.value is not None
    assert ratio.stderr is not None
    clusters, p = len(ratio.residuals), min(max(ratio.value, 0.0), 1.0)
    trials = max(ratio.denominator, 2.0)
    if ratio.stderr < 1e-12 or p * (1 - p) < 1e-12:
        return float(clusters)
    size = p * (1 - p) / ratio.stderr**2 * clusters / (clusters - 1)
    if trials > clusters:
        size *= (t_quantile(0.975, trials - 1) / t_quantile(0.975, clusters - 1)) ** 2
    return min(size, trials)


def wilson(p: float, n: float) -> Interval:
    """Wilson's (1927) score interval for a share `p` of `n` trials, which never has zero width."""
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(max(p * (1 - p), 0.0) / n + Z * Z / (4 * n * n))
    return Interval(max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)))


LEVEL, JUST_BELOW = 0.05, 0.0499
"""A p-value says the same as the interval: it is below 0.05 where that leaves out 0, and only there."""
MOST_FLIPPED = 400
GRID = 4000
"""Steps in which the sizes of effects are counted."""
PRIOR_UNIT = 0.5
"""How much a difference of full size, seen by nobody, weighs in the size of the pseudo problems."""


def effects_of(value: float, residuals: Array) -> Array:
    """Each problem's own estimate of `value`, linearised: their mean is `value`, their spread its error."""
    return len(residuals) * residuals + value


def paired_interval(
    difference: float, effects: ArrayLike, *, most: float = 1.0, few: bool = False
) -> tuple[Interval, float]:
    """Interval and two-sided p-value of a mean of differences, clustered by problem.

    Bonett and Price (2012, formula 8) add one pair in favour of each side, so that two runs without a single
    difference are not claimed to be exactly equal. With several samples per problem, or with rates, a
    problem's difference is smaller than 1, and a pseudo problem of size 1 hides what the runs show. So the
    pseudo problems are as large as the differences that were seen: the mean size of a difference, weighted
    by size, with `PRIOR_UNIT` of a full one. Where every difference is -1, 0 or 1, this is exactly 1.

    Args:
        effects: one a problem, with mean `difference`.
        most: the largest difference that there can be: 1 of two shares, 2 of two differences of shares.
        few: Student's t in place of the normal distribution, for shares of events, which may be few.
    """
    seen = np.asarray(effects, np.float64)
    size = (float(np.square(seen).sum()) + PRIOR_UNIT) / (float(np.abs(seen).sum()) + PRIOR_UNIT)
    padded = np.append(seen, [size, -size])
    n = len(padded)
    centre = difference * len(seen) / n
    stderr = sqrt(float(((padded - centre) ** 2).sum())) / n
    if few:
        half, p_value = t_quantile(UPPER, n - 1) * stderr, 2 * t_cdf(-abs(centre) / stderr, n - 1)
    else:
        half, p_value = Z * stderr, erfc(abs(centre) / stderr / sqrt(2))
    if p_value < LEVEL:  # the normal distribution's far tail claims what so few problems cannot show
        p_value = max(p_value, min(JUST_BELOW, sign_flip_p_value(seen)))
    return Interval(max(-most, centre - half), min(most, centre + half)), p_value


def sign_flip_p_value(effects: Array) -> float:
    """Two-sided p-value of "each effect could as well have had the other sign", in its mid-p form.

    Of effects that are -1, 0 or 1 it is McNemar's mid-p (Fagerland, Lydersen and Laake 2013). Sums of other
    effects are counted on a grid. With thousands of effects the normal distribution does as well: 0.
    """
    seen = effects[effects != 0]
    if not len(seen) or len(seen) > MOST_FLIPPED:
        return 1.0 if not len(seen) else 0.0
    sizes = np.rint(np.abs(seen) * (GRID / float(np.abs(seen).sum()))).astype(np.int64)
    sizes //= max(1, int(np.gcd.reduce(sizes)))
    chances = np.zeros(int(sizes.sum()) + 1)  # of each sum of those that are positive
    chances[0], reached = 1.0, 1
    for size in sizes.tolist():
        below = chances[:reached].copy()
        chances[size : reached + size] += below
        reached += size
        chances[:reached] /= 2
    above = int(sizes[seen > 0].sum())
    far = max(above, len(chances) - 1 - above)
    return min(1.0, 2 * float(chances[far + 1 :].sum()) + float(chances[far]))


def unseen_share(problems: int) -> float:
    """How many problems may well be unlike all that were seen, as a share: Wilson's limit of none of them."""
    return wilson(0.0, problems).high
