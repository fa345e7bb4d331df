"""Student's t and the normal distribution: the standard library has only the latter."""

from __future__ import annotations

from functools import lru_cache
from math import exp, lgamma, log, log1p
from statistics import NormalDist

UPPER = 0.975
"""Where the upper end of a 95% interval stands."""
Z = NormalDist().inv_cdf(UPPER)


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


@lru_cache(maxsize=4096)
def f_quantile(p: float, above: float, below: float) -> float:
    """Quantile of Fisher's F with degrees of freedom above and below the line; chi-square over its degrees of
    freedom where there are very many below.
    """
    low, high = 0.0, 1.0
    while _f_cdf(high, above, below) < p:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _f_cdf(middle, above, below) < p else (low, middle)
        if high - low < 1e-12 * high:
            break
    return (low + high) / 2


def _f_cdf(f: float, above: float, below: float) -> float:
    return _beta_cdf(above * f / (above * f + below), above / 2, below / 2)


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
