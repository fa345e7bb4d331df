"""From a tally to one metric's estimate: sums by problem, then statistics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from coral.metrics.arrays import Array, Indices, Mask, sum_by
from coral.metrics.counts import needs_gold
from coral.metrics.info import MetricInfo
from coral.metrics.pass_at import pass_at
from coral.metrics.statistics import Ratio, clustered_ratio, interval_of
from coral.metrics.tally import View
from coral.metrics.votes import Sample, agreement_with_others, any_right, majority_vote
from coral.types import Record


class Estimate(Record, frozen=True, omit_defaults=False):
    """A metric of a run.

    Attributes:
        mean: None where nothing could be measured.
        stderr: standard error, clustered by problem; None with fewer than two problems.
        low: lower end of the 95% interval.
        high: upper end of it.
        n: what `mean` is a mean over: scored conversations; for ratios the sum of the denominator (such as
            persuasive turns); for votes problems.
        num_failed: conversations that failed and are not in it.
        num_unscored: conversations (for votes: problems) that lack a number which the metric needs.
        num_problems: problems behind `n`. They are the clusters of the standard error, but for those that
            share one.
    """

    mean: float | None
    stderr: float | None
    low: float | None
    high: float | None
    n: int
    num_failed: int
    num_unscored: int
    num_problems: int


class Sums(NamedTuple):
    """Numerator and denominator of a metric by problem; problems without a scored conversation are absent.

    Attributes:
        problems: their numbers in the tally.
    """

    problems: Indices
    numerators: Array
    denominators: Array
    num_failed: int
    num_unscored: int

    @property
    def counted(self) -> Mask:
        """Problems with something to count, such as a persuasive turn; the others are in no cluster."""
        counted: Mask = (self.numerators != 0) | (self.denominators != 0)
        return counted

    def ratio(self, clusters: Indices | None) -> Ratio:
        """The estimate.

        Args:
            clusters: of all problems of the tally, by number; None: each is one.
        """
        counted = self.counted
        return clustered_ratio(
            self.numerators[counted],
            self.denominators[counted],
            None if clusters is None else clusters[self.problems[counted]],
        )


def estimate(info: MetricInfo, view: View, costs: Array | None = None) -> Estimate:
    """Estimate a metric from part of a tally.

    Args:
        costs: USD of each conversation of `view`; unknown unless given.

    Raises:
        KeyError: the run lacks a column that the metric needs.
    """
    sums = sums_of(info, view, costs)
    ratio = sums.ratio(view.tally.clusters)
    interval = interval_of(ratio, info.interval, view.tally.rules.max_turns)
    return Estimate(
        mean=ratio.value,
        stderr=ratio.stderr,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        n=round(ratio.denominator),
        num_failed=sums.num_failed,
        num_unscored=sums.num_unscored,
        num_problems=int(np.count_nonzero(sums.counted)) if ratio.denominator else 0,
    )


def sums_of(info: MetricInfo, view: View, costs: Array | None = None) -> Sums:
    """Sums by problem, as the metric's kind demands (see `MetricInfo.kind`)."""
    if info.kind == "failures":
        return _failures(view)
    if info.kind == "strict":
        return _strict(info, view)
    if is_over_samples(info):
        return _over_samples(info, view)
    if info.kind == "majority":
        return _sums(view, majority_of(view), np.ones(len(view.rows)))
    numerators = _column(info.numerator, view, costs)
    if info.kind == "mean":
        return _sums(view, numerators, np.ones(len(numerators)))
    denominators = _column(info.denominator, view, costs)
    if info.kind == "ratio":
        return _sums(view, numerators, denominators)
    rates = np.full(len(numerators), np.nan)
    np.divide(numerators, denominators, out=rates, where=denominators != 0)
    return _sums(view, rates, np.ones(len(rates)))


def _column(name: str, view: View, costs: Array | None) -> Array:
    if name != "cost":
        return view.column(name)
    return np.full(len(view.rows), np.nan) if costs is None else costs


def _sums(view: View, numerators: Array, denominators: Array) -> Sums:
    scored = ~(np.isnan(numerators) | np.isnan(denominators))
    problem_of, size = view.problem_of[scored], view.tally.num_problems
    problems = np.flatnonzero(sum_by(problem_of, size))
    return Sums(
        problems,
        sum_by(problem_of, size, numerators[scored])[problems],
        sum_by(problem_of, size, denominators[scored])[problems],
        num_failed=len(view.failed),
        num_unscored=int(np.count_nonzero(~scored)),
    )


def _failures(view: View) -> Sums:
    return _of_all(view, sum_by(view.failed, view.tally.num_problems))


def _strict(info: MetricInfo, view: View) -> Sums:
    values = np.nan_to_num(view.column(info.numerator))
    size = view.tally.num_problems
    ungraded = view.lacks_gold(np.arange(size)) if needs_gold(info.numerator) else None
    return _of_all(view, sum_by(view.problem_of, size, values), ungraded)


def _of_all(view: View, numerators: Array, ungraded: Mask | None = None) -> Sums:
    """Over all conversations, failed ones included; not on problems of which nothing is graded."""
    size = view.tally.num_problems
    denominators = sum_by(view.problem_of, size) + sum_by(view.failed, size)
    denominators = denominators if ungraded is None else np.where(ungraded, 0.0, denominators)
    problems = np.flatnonzero(denominators)
    return Sums(problems, numerators[problems], denominators[problems], 0, 0)


def majority_of(view: View) -> Array:
    """Of each conversation, whether its answer is the most frequent one of the others on its problem; NaN of
    problems with a gold answer.
    """
    found = np.full(len(view.rows), np.nan)
    places: dict[int, list[int]] = {}
    for place in np.flatnonzero(view.lacks_gold(view.problem_of)).tolist():
        places.setdefault(int(view.problem_of[place]), []).append(place)
    votes = view.column("vote")
    for of_problem in places.values():
        found[of_problem] = agreement_with_others(votes[of_problem].tolist())
    return found


OVER_SAMPLES: dict[str, Callable[[Sequence[Sample]], float | None]] = {
    "vote": majority_vote,
    "vote_low": partial(majority_vote, unknown="wrong"),
    "vote_high": partial(majority_vote, unknown="right"),
    "pass_any": any_right,
    "pass_any_high": partial(any_right, unknown="right"),
}
"""How the samples of a problem are judged, by kind of metric; `pass_at` has a number of draws, too."""


def is_over_samples(info: MetricInfo) -> bool:
    """Whether a metric is of problems, not of conversations: of all samples of a problem together."""
    return info.kind in OVER_SAMPLES or info.kind == "pass_at"


def _over_samples(info: MetricInfo, view: View) -> Sums:
    votes, right = (view.column(name).tolist() for name in ("vote", "right"))
    samples: dict[int, list[Sample]] = {}
    graded = ~view.lacks_gold(view.problem_of)
    each = zip(graded.tolist(), view.problem_of.tolist(), votes, right, strict=True)
    for problem, *sample in (rest for is_graded, *rest in each if is_graded):
        samples.setdefault(problem, []).append(Sample(*sample))
    judge = partial(pass_at, draws=info.draws) if info.kind == "pass_at" else OVER_SAMPLES[info.kind]
    scores = {problem: judge(samples[problem]) for problem in sorted(samples)}
    scored = {problem: score for problem, score in scores.items() if score is not None}
    return Sums(
        np.fromiter(scored, np.int64),
        np.fromiter(scored.values(), np.float64),
        np.ones(len(scored)),
        num_failed=len(view.failed),
        num_unscored=len(scores) - len(scored),
    )
