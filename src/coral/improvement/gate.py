"""Is a new checkpoint taken over? A paired test on the target, one for regressions, and signs of collapse."""

from __future__ import annotations

from coral.improvement.config import GateConfig
from coral.metrics import Comparison, detectable, detectable_in_points
from coral.metrics.distributions import Z
from coral.types import Record


class Verdict(Record, frozen=True, omit_defaults=False):
    """What the gate found about a checkpoint.

    Attributes:
        model: the checkpoint.
        against: the model it was compared with.
        accepted: it is taken over.
        reasons: why, or why not: one sentence each.
        target: checkpoint against the model before, on the target.
        second: the same on the second task; None where there is none.
        signs: of collapse.
    """

    model: str
    against: str
    accepted: bool
    reasons: tuple[str, ...]
    target: Comparison
    second: Comparison | None
    signs: tuple[str, ...]


def judge(
    config: GateConfig,
    *,
    model: str,
    against: str,
    target: Comparison,
    second: Comparison | None,
    signs: tuple[str, ...],
) -> Verdict:
    """Decide whether `model` is taken over from `against`."""
    against_it = [
        reason
        for reason in (
            _objection("target", target, config.target, config.tolerance),
            _objection("second task", second, config.second, config.tolerance) if second else None,
            *(signs if config.collapse == "refuse" else ()),
        )
        if reason
    ]
    return Verdict(
        model=model,
        against=against,
        accepted=not against_it,
        reasons=tuple(against_it) or (f"target: {told(target)}",),
        target=target,
        second=second,
        signs=signs,
    )


def _objection(what: str, comparison: Comparison, rule: str, tolerance: float) -> str | None:
    """Why a rule does not hold; None where it does. An unknown difference keeps none."""
    if rule == "report":
        return None
    difference, low, high = comparison.difference, comparison.low, comparison.high
    if difference is None or low is None or high is None:
        return f"{what}: not known"
    if rule == "not_worse":
        passes = low >= -tolerance
        fault = "is worse" if high < 0 else f"may be worse by more than {100 * tolerance:g} points"
    else:
        passes = low > 0 if rule == "better" else difference > 0
        fault = f"is not {rule}"
    return None if passes else f"{what} {fault}: {told(comparison)}"


def seen(comparison: Comparison) -> str:
    """What so many problems show: the difference that is found in 8 of 10 cases.

    Where no problem came out differently the standard error is 0, and the interval says what was missed.
    """
    if comparison.stderr is None or comparison.low is None or comparison.high is None:
        return "-"
    stderr = comparison.stderr or (comparison.high - comparison.low) / 2 / Z
    return f"{detectable_in_points(detectable(stderr))} points"


def told(comparison: Comparison) -> str:
    """A paired difference in words, in points, with its problems and those that one side lacks."""
    if comparison.difference is None or comparison.low is None or comparison.high is None:
        return "unknown"
    low, high = 100 * comparison.low, 100 * comparison.high
    unpaired = comparison.num_only_a + comparison.num_only_b
    return (
        f"{100 * comparison.difference:+.1f} points [{low:+.1f}, {high:+.1f}], n = {comparison.num_problems}"
        f"{f' ({unpaired} more on one side only)' if unpaired else ''}"
    )
