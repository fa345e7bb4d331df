"""Two runs on the same problems: the difference of their ratios, with interval and p-value."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from coral.metrics.arrays import Array
from coral.metrics.bounded import BoundedMean
from coral.metrics.distributions import UPPER, Z, t_cdf, t_quantile
from coral.metrics.statistics import (
    TINY,
    Interval,
    IntervalKind,
    Ratio,
    bounds_of,
    clustered_stderr,
    effects_of,
    log_interval,
    paired_interval,
    unseen_share,
)

SKEWED = 0.75
"""Half-width over value from which the difference of two ratios takes its ends from their own intervals."""


class Difference(NamedTuple):
    """A paired difference.

    Attributes:
        p_value: two-sided, of "there is none"; below 0.05 where the interval leaves out 0.
    """

    value: float
    stderr: float
    interval: Interval
    p_value: float


def paired_difference(
    first: Ratio,
    second: Ratio,
    kind: IntervalKind,
    turn_limits: tuple[float | None, float | None] = (None, None),
) -> Difference | None:
    """Second minus first, both over the same clusters in the same order; None where that cannot be said.

    Args:
        turn_limits: the most turns that a conversation of either can have; None where that is not known.
    """
    if first.value is None or second.value is None:
        return None
    value = second.value - first.value
    residuals = second.residuals - first.residuals
    stderr = clustered_stderr(residuals)
    if stderr is None:
        return None
    effects = effects_of(value, residuals)
    match kind:
        case "score" | "turns":
            found = _between_bounds(first, second, kind, turn_limits, effects)
        case "amount":
            found = _of_amounts(first, second, value, stderr)
        case _:
            few = _uneven(first) or _uneven(second)
            found = paired_interval(value, effects, most=2.0 if kind == "difference" else 1.0, few=few)
    return Difference(value, stderr, *found)


def _uneven(ratio: Ratio) -> bool:
    """Whether problems hold different numbers of what is counted, as where events are rare."""
    return bool(ratio.denominators.min() != ratio.denominators.max())


def _between_bounds(
    first: Ratio,
    second: Ratio,
    kind: IntervalKind,
    turn_limits: tuple[float | None, float | None],
    effects: Array,
) -> tuple[Interval, float]:
    (low_a, high_a), (low_b, high_b) = (
        bounds_of(kind, limit, ratio) for limit, ratio in zip(turn_limits, (first, second), strict=True)
    )
    mean = BoundedMean(effects, np.ones(len(effects)), low_b - high_a, high_b - low_a)
    return Interval(*mean.limits(Z)), mean.p_value(0.0)


def _of_amounts(first: Ratio, second: Ratio, value: float, stderr: float) -> tuple[Interval, float]:
    """Student's t. But the tokens per right answer of few right answers have a long tail to one side."""
    problems = len(first.residuals)
    largest = max(_value(first), _value(second))
    if (
        stderr <= TINY * largest
    ):  # all differ by the same: of the problems unlike them, by as much as there is
        half = unseen_share(problems) * largest
        p_value = 1.0 if abs(value) <= TINY * largest else 2.0 ** (1 - problems)  # the sign test's
        return Interval(value - half, value + half), p_value
    t = t_quantile(UPPER, problems - 1)
    if any(_uneven(ratio) and t * _stderr(ratio) > SKEWED * _value(ratio) for ratio in (first, second)):
        return _recovered(first, second, t), _recovered_p_value(first, second)
    return Interval(value - t * stderr, value + t * stderr), 2 * t_cdf(-abs(value) / stderr, problems - 1)


def _recovered(first: Ratio, second: Ratio, t: float) -> Interval:
    """Interval from the two ratios' own intervals and their correlation.

    "Method of variance estimates recovery": Zou and Donner (2008), with correlation as in Zou (2007,
    formula 15).
    """
    (low_a, high_a), (low_b, high_b) = (log_interval(_value(r), t * _stderr(r)) for r in (first, second))
    covariance = float(first.residuals @ second.residuals)
    variances = [float(ratio.residuals @ ratio.residuals) for ratio in (first, second)]
    correlation = covariance / sqrt(variances[0] * variances[1]) if all(variances) else 0.0
    below_a, above_a = _value(first) - low_a, high_a - _value(first)
    below_b, above_b = _value(second) - low_b, high_b - _value(second)
    low = below_b**2 + above_a**2 - 2 * correlation * below_b * above_a
    high = above_b**2 + below_a**2 - 2 * correlation * above_b * below_a
    value = _value(second) - _value(first)
    return Interval(value - sqrt(max(low, 0.0)), value + sqrt(max(high, 0.0)))


def _recovered_p_value(first: Ratio, second: Ratio) -> float:
    """From the narrowest such interval that holds 0."""
    inside, outside = 64.0, 0.0
    for _ in range(50):
        t = (inside + outside) / 2
        low, high = _recovered(first, second, t)
        inside, outside = (t, outside) if low <= 0 <= high else (inside, t)
    return 2 * t_cdf(-inside, len(first.residuals) - 1)


def _value(ratio: Ratio) -> float:
    assert ratio.value is not None
    return ratio.value


def _stderr(ratio: Ratio) -> float:
    assert ratio.stderr is not None
    return ratio.stderr
