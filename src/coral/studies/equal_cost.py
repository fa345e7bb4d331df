"""What a conversation buys at its own price: against votes of one agent, at equal tokens or equal money.

A run of one agent with K samples per problem holds every vote of m <= K samples. Its expected accuracy is
computed over all subsets, none is drawn; so the whole curve comes from one run, without bias.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import comb, floor, isnan
from typing import Literal

import numpy as np

from coral.comparison.facts import RIGHT
from coral.metrics import metric
from coral.metrics.statistics import (
    cluster_names,
    clustered_ratio,
    effects_of,
    interval_of,
    paired_interval,
)
from coral.metrics.votes import NO_VOTE, Sample
from coral.studies.measured import Arm, ratio_of
from coral.types import Record

Price = Literal["tokens", "usd"]

# Votes over subsets -----------------------------------------------------------------------------------------


def vote_curve(samples: Sequence[Sample]) -> tuple[float, ...]:
    """The expected majority vote of m samples drawn without replacement, for m = 1 .. all.

    By the rule of `metrics.votes.majority_vote`: tied answers share the credit, samples without an answer do
    not vote, and where none votes the vote is wrong.
    """
    votes = Counter(sample.vote for sample in samples if sample.vote != NO_VOTE)
    grades = {sample.vote: sample.right for sample in samples if not isnan(sample.right)}
    right = sorted(count for vote, count in votes.items() if grades.get(vote) == 1.0)
    wrong = sorted(count for vote, count in votes.items() if grades.get(vote) != 1.0)
    return _curve(tuple(right), tuple(wrong), len(samples))


@lru_cache(maxsize=65_536)
def _curve(right: tuple[int, ...], wrong: tuple[int, ...], total: int) -> tuple[float, ...]:
    """For m = 1 .. total: the sum over right answers of their chance to lead, shared among those that tie."""
    blank = total - sum(right) - sum(wrong)
    score = [0.0] * (total + 1)
    for place, count in enumerate(right):
        others = (*right[:place], *right[place + 1 :], *wrong)
        for votes in range(1, count + 1):
            for (ties, drawn), ways in _fewer(others, votes, blank).items():
                score[drawn + votes] += comb(count, votes) * ways / (1 + ties)
    return tuple(score[m] / comb(total, m) for m in range(1, total + 1))


def _fewer(others: Sequence[int], most: int, blank: int) -> dict[tuple[int, int], int]:
    """Ways to draw from the other answers so that none has more than `most` votes, and from the samples
    without an answer: by how many tie with `most`, and by how many are drawn.
    """
    ways = {(0, drawn): comb(blank, drawn) for drawn in range(blank + 1)}
    for count in others:
        more: dict[tuple[int, int], int] = defaultdict(int)
        for (ties, drawn), number in ways.items():
            for votes in range(min(count, most) + 1):
                more[ties + (votes == most), drawn + votes] += number * comb(count, votes)
        ways = dict(more)
    return ways


# The curve of one agent -------------------------------------------------------------------------------------


class Point(Record, frozen=True, omit_defaults=False):
    """Accuracy at a price.

    Attributes:
        samples: votes of one agent, or conversations per problem.
        tokens: all tokens per problem, read, written and thought; None where they are not known.
        usd: money per problem.
    """

    arm: str
    samples: int
    tokens: float | None
    usd: float | None
    accuracy: float | None
    low: float | None
    high: float | None
    problems: int


class Votes:
    """The samples of one agent, by problem."""

    def __init__(self, arm: Arm) -> None:
        self.arm = arm
        by_problem: dict[str, list[Sample]] = {}
        view = arm.view
        each = (view.problem_of.tolist(), view.column("vote").tolist(), view.column("right").tolist())
        cast = [(problem, Sample(vote, right)) for problem, vote, right in zip(*each, strict=True)]
        cast += [(problem, Sample(NO_VOTE, 0.0)) for problem in view.failed.tolist()]
        lacking = frozenset(view.tally.without_gold)
        for problem, sample in cast:
            if problem not in lacking:
                by_problem.setdefault(arm.ids[problem], []).append(sample)
        most = max(map(len, by_problem.values()), default=0)
        self.curves = {
            problem: vote_curve(samples)
            for problem, samples in by_problem.items()
            if len(samples) == most and not any(isnan(sample.vote) for sample in samples)
        }
        self.most = most
        self.prices: dict[Price, dict[str, float]] = {
            "tokens": arm.per_conversation(view.column("total_tokens")),
            "usd": arm.per_conversation(arm.costs),
        }

    def at(self, problem: str, number: float) -> float:
        """The vote of `number` samples; between two whole numbers a coin decides which, at equal price."""
        curve, whole = self.curves[problem], floor(number)
        if whole >= len(curve):
            return curve[-1]
        return curve[whole - 1] + (number - whole) * (curve[whole] - curve[whole - 1])

    def slope(self, problem: str, number: float) -> float:
        """What one more sample adds at `number`; nothing where there is none."""
        curve, whole = self.curves[problem], floor(number)
        return 0.0 if whole >= len(curve) else curve[whole] - curve[whole - 1]

    def points(self) -> list[Point]:
        """Accuracy of one vote, of two, ... of all, at their prices."""
        points = []
        for number in range(1, self.most + 1):
            votes = self.most / number  # so many that share no sample: of one sample, all samples
            parts = {problem: (votes * curve[number - 1], votes) for problem, curve in self.curves.items()}
            ratio = ratio_of(parts, list(parts), self.arm.clusters)
            interval = interval_of(ratio, metric("majority_vote").interval)
            points.append(
                Point(
                    arm=self.arm.name,
                    samples=number,
                    tokens=_times(number, self.prices["tokens"], self.curves),
                    usd=_times(number, self.prices["usd"], self.curves),
                    accuracy=ratio.value,
                    low=interval and interval.low,
                    high=interval and interval.high,
                    problems=len(self.curves),
                )
            )
        return points


def _times(number: int, prices: Mapping[str, float], problems: Mapping[str, object]) -> float | None:
    known = [prices[problem] for problem in problems if problem in prices]
    return number * sum(known) / len(known) if len(known) == len(problems) and known else None


def point_of(arm: Arm) -> Point:
    """An arm of conversations: right of all, at the price of one conversation."""
    found = arm.estimate(RIGHT)
    prices = {
        "tokens": arm.per_conversation(arm.view.column("total_tokens")),
        "usd": arm.per_conversation(arm.costs),
    }
    problems = dict.fromkeys(arm.parts(RIGHT))
    return Point(
        arm=arm.name,
        samples=1,
        tokens=_times(1, prices["tokens"], problems),
        usd=_times(1, prices["usd"], problems),
        accuracy=found.mean,
        low=found.low,
        high=found.high,
        problems=found.num_problems,
    )


# At the same price ------------------------------------------------------------------------------------------


class AtEqualCost(Record, frozen=True, omit_defaults=False):
    """An arm minus votes of one agent at the arm's own mean price, paired by problem.

    Attributes:
        samples: how many samples the price of the arm buys.
        reached: the run of one agent has so many; if not, `against` is the vote of all that there are.
        price: of the arm, per problem.
        accuracy: of the arm on the shared problems; `against` that of the votes.
    """

    arm: str
    alone: str
    by: Price
    price: float
    samples: float
    reached: bool
    accuracy: float
    against: float
    difference: float
    stderr: float | None
    low: float | None
    high: float | None
    p_value: float | None
    problems: int


def at_equal_cost(arm: Arm, votes: Votes, by: Price) -> AtEqualCost | None:
    """Compare an arm with votes at its own price; None where a price is not known.

    m* = mean price of the arm / mean price of a sample; both means are estimates, and the pull of a problem
    on them (delta method) is part of the difference's standard error. A price below that of one sample is
    compared with one sample.
    """
    own = arm.per_conversation(arm.view.column("total_tokens") if by == "tokens" else arm.costs)
    parts, prices = arm.parts(RIGHT), votes.prices[by]
    shared = [one for one in votes.curves if one in own and one in prices and one in parts]
    if not shared or not (per_sample := sum(prices[one] for one in shared) / len(shared)):
        return None
    price = sum(own[one] for one in shared) / len(shared)
    wanted = price / per_sample
    number = min(max(wanted, 1.0), float(votes.most))
    inside = number == wanted
    right = [parts[one][0] / parts[one][1] for one in shared]
    voted = [votes.at(one, number) for one in shared]
    slope = sum(votes.slope(one, number) for one in shared) / len(shared) if inside else 0.0
    effects = [
        a - b - slope * (own[one] - number * prices[one]) / per_sample
        for a, b, one in zip(right, voted, shared, strict=True)
    ]
    found = clustered_ratio(effects, np.ones(len(effects)), cluster_names(shared, arm.clusters))
    value = sum(effects) / len(effects)
    pulls = effects_of(value, found.residuals)
    interval, p_value = paired_interval(value, pulls) if len(pulls) > 1 else (None, None)
    return AtEqualCost(
        arm=arm.name,
        alone=votes.arm.name,
        by=by,
        price=price,
        samples=wanted,
        reached=wanted <= votes.most,
        accuracy=sum(right) / len(right),
        against=sum(voted) / len(voted),
        difference=value,
        stderr=found.stderr,
        low=interval and interval.low,
        high=interval and interval.high,
        p_value=p_value,
        problems=len(shared),
    )
