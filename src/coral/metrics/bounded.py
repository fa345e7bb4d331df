"""Interval of a mean of values that have bounds, where most may be equal: turns, rates, scores from -1 to 1.

Where nearly every conversation takes two turns, the data alone say nothing about the few that do not, and a
standard error is no guide. Here the problems get random weights (the Bayesian bootstrap: Rubin 1981), and at
the end in question stands half a problem more that nobody has seen. With a whole one at the bound itself this
is the interval of Learned-Miller and Thomas (2019, "A new confidence interval for the mean of a bounded
random variable"), which for yes and no is Clopper and Pearson's; half a one is the weight of Jeffreys'
interval (Brown, Cai and DasGupta 2001, section 4.3).
"""

from __future__ import annotations

from math import copysign, erfc, inf, log, sqrt

import numpy as np

from coral.metrics.arrays import Array

UNSEEN = 0.5
"""How much the unseen problem weighs; one that was seen weighs 1."""
PRIOR = 2.0
"""How many problems the prior for the reach of an unseen value is worth; see `_unseen`."""


class BoundedMean:
    """A ratio of sums over problems, each problem's own ratio being between two bounds."""

    def __init__(self, numerators: Array, denominators: Array, low: float, high: float) -> None:
        """Start from the problems.

        Args:
            numerators: one for each problem.
            denominators: of the same problems, all above 0.
            low: the least that a problem can have; less where less was seen.
            high: the most.
        """
        parts, counts = np.unique(numerators + 1j * denominators, return_counts=True)
        self._shapes = np.append(counts, UNSEEN)
        weights = self._shapes[:-1]
        self._numerators, self._denominators = parts.real.copy(), parts.imag.copy()
        self._values = self._numerators / self._denominators
        self._bounds = min(low, float(self._values.min())), max(high, float(self._values.max()))
        self._denominator = float(weights @ self._denominators / weights.sum())
        self._mean = float(weights @ self._numerators / weights.sum() / self._denominator)

    def limits(self, z: float) -> tuple[float, float]:
        """Interval whose ends are `z` standard deviations away, as a normal's would be."""
        low, high = self._limit(self._unseen(-1), -z), self._limit(self._unseen(1), z)
        return min(self._mean, low), max(self._mean, high)

    def p_value(self, null: float) -> float:
        """Two-sided, of "the mean is `null`"; below 0.05 where the 95% interval leaves it out."""
        if self._bounds[0] == self._bounds[1]:  # such as turns of agents that take one
            return float(null == self._mean)
        below, above = (self._deviate(null, self._unseen(side)) for side in (-1, 1))
        return min(1.0, erfc(max(-below, above, 0.0) / sqrt(2)))

    def _unseen(self, side: int) -> float:
        """What a problem may have that nobody has seen: as far beyond the last as these are from the first,
        on average. Where hardly any differ, nearly the bound.
        """
        low, high = self._bounds
        values, weights = side * self._values, self._shapes[:-1]
        first, last = values.min(), values.max()
        beyond = values > first
        seen = weights[beyond] @ (values[beyond] - first)
        reach = (seen + PRIOR * (high - low)) / (weights[beyond].sum() + PRIOR)
        return float(side * min(last + reach, high if side > 0 else -low))

    def _limit(self, unseen: float, z: float) -> float:
        """The mean whose deviate is `z`: the secant method from the ratio itself, kept inside a bracket."""
        low, high = self._bounds
        before, last = self._mean, self._mean + z * self._spread(unseen)
        at_before = self._deviate(before, unseen)
        for _ in range(100):
            last = last if low < last < high else (low + high) / 2
            at_last = self._deviate(last, unseen)
            low, high = (last, high) if at_last < z else (low, last)
            if abs(at_last - z) < 1e-5 or high - low < 1e-9 * (self._bounds[1] - self._bounds[0]):
                break
            slope = (at_last - at_before) / (last - before) if last != before else inf
            before, at_before, last = last, at_last, last + (z - at_last) / slope if slope else inf
        return last

    def _spread(self, unseen: float) -> float:
        """Standard deviation of the weighted mean, roughly."""
        pulls = self._shapes[:-1] @ (self._numerators - self._mean * self._denominators) ** 2
        squares = float(pulls) + UNSEEN * (self._denominator * (unseen - self._mean)) ** 2
        return sqrt(squares) / (self._denominator * float(self._shapes.sum()))

    def _deviate(self, mean: float, unseen: float) -> float:
        """The normal's quantile of the probability that random weights give less than `mean`."""
        terms = self._numerators - mean * self._denominators
        return gamma_sum_deviate(np.append(terms, self._denominator * (unseen - mean)), self._shapes)


def gamma_sum_deviate(values: Array, shapes: Array) -> float:
    """The normal's quantile of P(S < 0) for S, the sum of values times independent Gamma variables.

    By the saddlepoint (Lugannani and Rice 1980, in the form r* of Barndorff-Nielsen 1986). For yes and no the
    limits are within 0.004 of those of the Beta distribution.
    """
    least, most = float(values.min()), float(values.max())
    if most <= 0 or least >= 0:
        return inf if most <= 0 else -inf
    s = _saddlepoint(values, shapes, 1 / least, 1 / most)
    generated = -float(shapes @ np.log1p(-s * values))
    w = copysign(sqrt(max(-2 * generated, 0.0)), s)
    u = s * sqrt(float(shapes @ (values / (1 - s * values)) ** 2))
    return w + log(u / w) / w if abs(w) > 1e-4 else w


def _saddlepoint(values: Array, shapes: Array, low: float, high: float) -> float:
    """Where the derivative of the cumulant generating function is 0: Newton, kept inside a bracket."""
    s, width = 0.0, high - low
    for _ in range(100):
        ratios = values / (1 - s * values)
        slope = float(shapes @ ratios)
        low, high = (low, s) if slope > 0 else (s, high)
        step = s - slope / float(shapes @ ratios**2)
        before, s = s, step if low < step < high else (low + high) / 2
        if abs(s - before) < 1e-9 * width:
            break
    return s
