"""Estimates with honest uncertainty: clustered standard errors, intervals for shares and for quantities.

Several samples of one problem are not independent, so the problem is the unit that varies. Every metric is a
ratio of two sums over problems (a mean is the ratio of a sum to a count), and its standard error is that
ratio's, by the delta method with the G/(G-1) correction for G problems (Liang and Zeger 1986; Miller 2024,
"Adding Error Bars to Evals").
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import exp, lgamma, log, log1p, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
IntervalKind = Literal["proportion", "rate", "difference", "amount", "t"]
"""proportion: a share of things that are or are not; rate: a mean of numbers between 0 and 1; difference: a
mean of numbers between -1 and 1, such as what each conversation gained; amount: a quantity that is never
below 0; t: anything else.
"""


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


class Ratio(NamedTuple):
    """A ratio of sums over clusters.

    Attributes:
        value: None where the denominator is 0.
        stderr: None with fewer than two clusters.
        residuals: each cluster's pull on the value; they sum to 0.
    """

    value: float | None
    stderr: float | None
    denominator: float
    residuals: tuple[float, ...]


def clustered_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Sum of numerators over sum of denominators, one entry of each a cluster."""
    whole = sum(denominators)
    if whole == 0:
        return Ratio(None, None, 0.0, ())
    value = sum(numerators) / whole
    residuals = tuple((a - value * b) / whole for a, b in zip(numerators, denominators, strict=True))
    return Ratio(value, clustered_stderr(residuals), whole, residuals)


def clustered_stderr(residuals: Sequence[float]) -> float | None:
    """Standard error of a sum of independent residuals with mean 0: sqrt(G/(G-1) * sum of squares)."""
    clusters = len(residuals)
    if clusters < 2:
        return None
    return sqrt(clusters / (clusters - 1) * sum(r * r for r in residuals))


def interval_of(ratio: Ratio, kind: IntervalKind) -> Interval | None:
    """The 95 % interval; None with fewer than two clusters."""
    if ratio.value is None or ratio.stderr is None:
        return None
    clusters = len(ratio.residuals)
    if kind == "difference":
        return paired_interval(ratio.value, effects_of(ratio.value, ratio.residuals))[0]
    if kind in {"amount", "t"}:
        half = t_quantile(0.5 + CONFIDENCE / 2, clusters - 1) * ratio.stderr
        if kind == "amount" and ratio.value > 0:
            return log_interval(ratio.value, half)
        return Interval(ratio.value - half, ratio.value + half)
    return wilson(ratio.value, effective_size(ratio, capped=kind == "proportion"))


def log_interval(value: float, half: float) -> Interval:
    """Interval of a positive quantity from the half-width `half` of its plain interval.

    Symmetric in the logarithm (delta method: the standard error of log R is stderr/R), so it never reaches 0,
    and it is wider above than below, as a quantity with a long tail, or over a small count, demands.
    """
    factor = exp(half / value)
    return Interval(value / factor, value * factor)


def effective_size(ratio: Ratio, *, capped: bool) -> float:
    """How many independent yes/no trials would give this standard error, for Wilson's interval.

    Korn and Graubard (1998): p(1-p)/stderr², times a ratio of Student quantiles for few clusters; G/(G-1)
    makes it exactly the number of trials where every cluster holds one. Where nothing varies the data say
    nothing about the correlation inside a problem, and each problem counts as one trial.

    Args:
        capped: never more than there are trials; for yes/no data.
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
    return min(size, trials) if capped else size


def wilson(p: float, n: float) -> Interval:
    """Wilson's (1927) score interval for a share `p` of `n` trials, which never has zero width."""
    centre = (p + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * sqrt(max(p * (1 - p), 0.0) / n + Z * Z / (4 * n * n))
    return Interval(max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)))


PRIOR_UNIT = 0.25
"""How much a difference of full size, seen by nobody, weighs in the size of the pseudo problems."""


def effects_of(value: float, residuals: Sequence[float]) -> list[float]:
    """Each problem's own estimate of `value`, linearised: their mean is `value`, their spread its error."""
    return [len(residuals) * residual + value for residual in residuals]


def paired_interval(difference: float, effects: Sequence[float]) -> tuple[Interval, float]:
    """Interval and two-sided p-value of a mean of differences between -1 and 1, clustered by problem.

    Bonett and Price (2012, formula 8) add one pair in favour of each side, so that two runs without a single
    difference are not claimed to be exactly equal. With several samples a problem, or with rates, a problem's
    difference is smaller than 1, and a pseudo problem of size 1 hides what the runs show. So the pseudo
    problems are as large as the differences that were seen: the mean size of a difference, weighted by size,
    with `PRIOR_UNIT` of a full one. Where every difference is -1, 0 or 1, this is exactly 1.

    Args:
        effects: one a problem, with mean `difference`.
    """
    size = (sum(e * e for e in effects) + PRIOR_UNIT) / (sum(abs(e) for e in effects) + PRIOR_UNIT)
    padded = [*effects, size, -size]
    n = len(padded)
    centre = difference * len(effects) / n
    stderr = sqrt(sum((e - centre) ** 2 for e in padded)) / n
    p_value = 2 * NormalDist().cdf(-abs(centre) / stderr)
    return Interval(max(-1.0, centre - Z * stderr), min(1.0, centre + Z * stderr)), p_value


def t_interval(difference: float, stderr: float, df: int) -> tuple[Interval, float]:
    """Interval and two-sided p-value by Student's t.

    Without any spread t is no guide, and the p-value is the sign test's: all df + 1 problems differ the same
    way.
    """
    if stderr == 0:
        return Interval(difference, difference), 1.0 if difference == 0 else 2.0**-df
    half = t_quantile(0.5 + CONFIDENCE / 2, df) * stderr
    return Interval(difference - half, difference + half), 2 * t_cdf(-abs(difference) / stderr, df)


def t_cdf(t: float, df: float) -> float:
    """Distribution function of Student's t with `df` degrees of freedom."""
    tail = 0.5 * _beta_cdf(df / (df + t * t), df / 2, 0.5)
    return tail if t <= 0 else 1 - tail


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """Quantile of Student's t, found by bisection to about 1e-12."""
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if t_cdf(middle, df) < p:
            low = middle
        else:
            high = middle
        if high - low < 1e-13 * high:
            break
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function (Abramowitz and Stegun 26.5.8, summed by Lentz's method)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - _beta_cdf(1 - x, b, a)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x)) / a
    return front / _continued_fraction(x, a, b)


def _continued_fraction(x: float, a: float, b: float) -> float:
    value, c, d = 1.0, 1.0, 0.0
    for i in range(1, 1000):
        m = i // 2
        if i % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _away_from_zero(1 + term * d)
        c = _away_from_zero(1 + term / c)
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _away_from_zero(x: float) -> float:
    return x if abs(x) > 1e-300 else 1e-300
