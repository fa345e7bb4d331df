"""From a tally to one metric's estimate: sums by problem, then statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from typing import NamedTuple

from coral.metrics.info import MetricInfo
from coral.metrics.statistics import Ratio, clustered_ratio, interval_of
from coral.metrics.tally import View
from coral.metrics.votes import Sample, any_right, majority_vote
from coral.types import Record


class Estimate(Record, frozen=True, omit_defaults=False):
    """A metric of a run.

    Attributes:
        mean: None where nothing could be measured.
        stderr: standard error, clustered by problem; None with fewer than two problems.
        low: lower end of the 95 % interval.
        high: upper end of it.
        n: what `mean` is a mean over: scored conversations; for ratios the sum of the denominator (such as
            persuasive turns); for votes problems.
        num_failed: conversations that failed and are not in it.
        num_unscored: conversations (for votes: problems) that lack a number which the metric needs.
        num_problems: problems behind `n`: the clusters of the standard error.
    """

    mean: float | None
    stderr: float | None
    low: float | None
    high: float | None
    n: int
    num_failed: int
    num_unscored: int
    num_problems: int


Part = tuple[float, float]
"""Numerator and denominator on one problem."""
NOTHING: Part = (0.0, 0.0)


class Sums(NamedTuple):
    """Numerator and denominator of a metric by problem; problems without a scored conversation are absent."""

    numerators: dict[int, float]
    denominators: dict[int, float]
    num_failed: int
    num_unscored: int

    def ratio(self) -> Ratio:
        """The estimate. A problem with nothing to count (no persuasive turn, say) is no cluster."""
        counted = [problem for problem, part in self.by_problem().items() if part != NOTHING]
        return clustered_ratio(
            [self.numerators[problem] for problem in counted],
            [self.denominators[problem] for problem in counted],
        )

    def by_problem(self) -> dict[int, Part]:
        """Numerator and denominator together."""
        return {problem: (part, self.denominators[problem]) for problem, part in self.numerators.items()}


def estimate(info: MetricInfo, view: View, costs: Sequence[float]) -> Estimate:
    """Estimate a metric from part of a tally.

    Args:
        costs: USD of each conversation of `view`.

    Raises:
        KeyError: the run lacks a column that the metric needs.
    """
    sums = sums_of(info, view, costs)
    ratio = sums.ratio()
    interval = interval_of(ratio, info.interval, view.tally.rules.max_turns)
    return Estimate(
        mean=ratio.value,
        stderr=ratio.stderr,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=round(ratio.denominator),
        num_failed=sums.num_failed,
        num_unscored=sums.num_unscored,
        num_problems=len(ratio.residuals),
    )


def sums_of(info: MetricInfo, view: View, costs: Sequence[float]) -> Sums:
    """Sums by problem, as the metric's kind demands (see `MetricInfo.kind`)."""
    if info.kind == "failures":
        return _failures(view)
    if info.kind == "strict":
        return _strict(info, view)
    if info.kind in OVER_SAMPLES:
        return _over_samples(info, view)
    numerators = _column(info.numerator, view, costs)
    if info.kind == "mean":
        return _sums(view, numerators, [1.0] * len(numerators))
    denominators = _column(info.denominator, view, costs)
    if info.kind == "ratio":
        return _sums(view, numerators, denominators)
    rates = [a / b if b else float("nan") for a, b in zip(numerators, denominators, strict=True)]
    return _sums(view, rates, [1.0] * len(rates))


def _column(name: str, view: View, costs: Sequence[float]) -> Sequence[float]:
    return costs if name == "cost" else view.column(name)


def _sums(view: View, numerators: Sequence[float], denominators: Sequence[float]) -> Sums:
    by_problem: dict[int, list[float]] = {}
    num_unscored = 0
    for problem, a, b in zip(view.problem_of, numerators, denominators, strict=True):
        if isnan(a) or isnan(b):
            num_unscored += 1
            continue
        sums = by_problem.setdefault(problem, [0.0, 0.0])
        sums[0] += a
        sums[1] += b
    return Sums(
        {problem: sums[0] for problem, sums in by_problem.items()},
        {problem: sums[1] for problem, sums in by_problem.items()},
        len(view.failed),
        num_unscored,
    )


def _add_ones(sums: dict[int, float], problems: Sequence[int], amount: float = 1.0) -> None:
    for problem in problems:
        sums[problem] = sums.get(problem, 0.0) + amount


def _failures(view: View) -> Sums:
    numerators: dict[int, float] = {}
    denominators: dict[int, float] = {}
    _add_ones(numerators, view.problem_of, 0.0)
    _add_ones(numerators, view.failed)
    _add_ones(denominators, view.problem_of)
    _add_ones(denominators, view.failed)
    return Sums(numerators, {problem: denominators[problem] for problem in numerators}, 0, 0)


def _strict(info: MetricInfo, view: View) -> Sums:
    numerators: dict[int, float] = {}
    denominators: dict[int, float] = {}
    for problem, value in zip(view.problem_of, view.column(info.numerator), strict=True):
        numerators[problem] = numerators.get(problem, 0.0) + (0.0 if isnan(value) else value)
    _add_ones(numerators, view.failed, 0.0)
    _add_ones(denominators, view.problem_of)
    _add_ones(denominators, view.failed)
    return Sums(numerators, {problem: denominators[problem] for problem in numerators}, 0, 0)


OVER_SAMPLES: dict[str, Callable[[Sequence[Sample]], float | None]] = {
    "vote": majority_vote,
    "vote_low": partial(majority_vote, unknown="wrong"),
    "vote_high": partial(majority_vote, unknown="right"),
    "pass_any": any_right,
    "pass_any_high": partial(any_right, unknown="right"),
}
"""How the samples of a problem are judged, by kind of metric."""


def _over_samples(info: MetricInfo, view: View) -> Sums:
    samples: dict[int, list[Sample]] = {}
    for problem, vote, right in zip(view.problem_of, view.column("vote"), view.column("right"), strict=True):
        samples.setdefault(problem, []).append(Sample(vote, right))
    judge = OVER_SAMPLES[info.kind]
    scores = {problem: judge(several) for problem, several in samples.items()}
    scored = {problem: score for problem, score in scores.items() if score is not None}
    return Sums(
        scored,
        dict.fromkeys(scored, 1.0),
        len(view.failed),
        len(scores) - len(scored),
    )
