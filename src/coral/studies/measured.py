"""The arms of a study as numbers: what each has on each problem, and their differences, paired by problem."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isnan
from types import MappingProxyType
from typing import Any

import numpy as np

from coral import workers
from coral.comparison.compare import Questions, check_same_problems
from coral.comparison.facts import FACTS, MAJORITY, RIGHT, headline, info_of
from coral.evaluation.measure import tally_run
from coral.metrics import AnswerClasses, Estimate, MetricInfo, PriceTable, Tally
from coral.metrics.arrays import Array, sum_by
from coral.metrics.cost import EXTRACTOR
from coral.metrics.estimate import estimate, sums_of
from coral.metrics.own import OwnMetric
from coral.metrics.paired import paired_difference
from coral.metrics.statistics import Ratio, cluster_names, clustered_ratio, interval_of
from coral.metrics.tally import View
from coral.metrics.votes import agreement_with_others
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of
from coral.types import Record

Part = tuple[float, float]
"""Numerator and denominator of a metric on one problem."""
Parts = Mapping[str, Part]
"""The parts of a metric by problem id."""
NOTHING: Part = (0.0, 0.0)
ALONE: Mapping[str, str] = MappingProxyType({})
"""Clusters where no problems share one."""


@dataclass(frozen=True)
class Arm:
    """One arm, measured.

    Attributes:
        identity: its run's.
        asked: a hash of what was asked, by problem.
        majority: parts of the agreement with the majority of all arms, on problems without a gold answer.
    """

    name: str
    folder: RunFolder
    identity: Mapping[str, Any]
    tally: Tally
    asked: Mapping[str, int]
    prices: PriceTable
    majority: Parts = field(default_factory=dict)

    def info(self, name: str) -> MetricInfo:
        """A metric by its name in studies.

        Raises:
            ConfigError: there is none, or this arm does not have it.
        """
        if name == RIGHT:
            name = headline(self.tally.rules, self.option("partner", "control"))
        return info_of(name, self.name, self.tally.rules)

    @property
    def is_graded(self) -> bool:
        """Some problem has a gold answer."""
        return len(self.tally.without_gold) < self.tally.num_problems

    @property
    def by(self) -> str:
        """What arms are compared by: what is right; where nothing can be, agreement with the majority."""
        return RIGHT if self.is_graded else MAJORITY

    def estimate(self, name: str) -> Estimate:
        """A metric of the arm, over all of its problems."""
        if name == MAJORITY:
            return estimate_of(self.majority, self.info(name), clusters=self.clusters)
        return estimate(self.info(name), self.view, self.costs)

    def parts(self, name: str) -> dict[str, Part]:
        """Numerator and denominator of a metric by problem id; problems without either are absent."""
        if name == MAJORITY:
            return dict(self.majority)
        sums = sums_of(self.info(name), self.view, self.costs)
        each = zip(sums.problems.tolist(), sums.numerators.tolist(), sums.denominators.tolist(), strict=True)
        return {self.ids[number]: (part, whole) for number, part, whole in each if (part, whole) != NOTHING}

    @cached_property
    def view(self) -> View:
        return self.tally.view()

    @cached_property
    def costs(self) -> Array:
        """USD of each conversation; NaN where it is not known."""
        return self.tally.costs(self.view.rows, self.prices, self.identity["extractor"].get("model"))

    def per_conversation(self, values: Array) -> dict[str, float]:
        """The mean over each problem's conversations; problems of which one is not known are absent.

        Args:
            values: of each conversation, such as a column of `view`.
        """
        problems, size = self.view.problem_of, self.tally.num_problems
        means = sum_by(problems, size, values) / np.maximum(sum_by(problems, size), 1)
        held = zip(np.unique(problems).tolist(), means[np.unique(problems)].tolist(), strict=True)
        return {self.ids[number]: mean for number, mean in held if not isnan(mean)}

    @cached_property
    def ids(self) -> dict[int, str]:
        """The id of each problem, by its number in the tally."""
        return {number: problem for problem, number in self.tally.problems.items()}

    @cached_property
    def clusters(self) -> Mapping[str, str]:
        """The cluster of each problem that shares one with others, by id."""
        return self.tally.cluster_names

    @property
    def answers_once(self) -> bool:
        """Nobody is asked twice: samples of it can be put to the vote at any number."""
        return self.tally.rules.answers_once

    def option(self, role: str, name: str, default: str = "") -> str:
        """An option of an agent, as the run's record has it."""
        return str(self.identity.get(role, {}).get(name, default))

    @property
    def models(self) -> dict[str, str]:
        """The model of each agent by name, the extractor left out."""
        return {name: model for name, model in self.tally.models.items() if name != EXTRACTOR}


@dataclass(frozen=True)
class Group:
    """An arm as it was asked for: its runs with each wording of the prompt, or the one run that it is."""

    name: str
    arms: tuple[Arm, ...]

    @property
    def tally(self) -> Tally:
        """Of the first run: what its conversations are like."""
        return self.arms[0].tally

    @property
    def by(self) -> str:
        """As of an arm."""
        return self.arms[0].by

    @property
    def clusters(self) -> Mapping[str, str]:
        """As of an arm."""
        return self.arms[0].clusters

    def info(self, name: str) -> MetricInfo:
        """As of an arm."""
        return self.arms[0].info(name)

    def parts(self, name: str) -> dict[str, Part]:
        """As of an arm, all wordings added up."""
        return pool([arm.parts(name) for arm in self.arms])

    def estimate(self, name: str) -> Estimate:
        """A metric over all wordings."""
        if len(self.arms) == 1:
            return self.arms[0].estimate(name)
        return estimate_of(self.parts(name), self.info(name), self.tally.rules.max_turns, self.clusters)


def pool(several: Sequence[Parts]) -> dict[str, Part]:
    """Numerators and denominators of several runs, added up by problem."""
    names = dict.fromkeys(name for parts in several for name in parts)
    return {
        name: (
            sum(parts.get(name, NOTHING)[0] for parts in several),
            sum(parts.get(name, NOTHING)[1] for parts in several),
        )
        for name in names
    }


def estimate_of(
    parts: Parts, info: MetricInfo, turn_limit: float | None = None, clusters: Mapping[str, str] = ALONE
) -> Estimate:
    """A metric from its parts."""
    ratio = ratio_of(parts, list(parts), clusters)
    interval = interval_of(ratio, info.interval, turn_limit)
    return Estimate(
        mean=ratio.value,
        stderr=ratio.stderr,
        low=interval and interval.low,
        high=interval and interval.high,
        n=round(ratio.denominator),
        num_failed=0,
        num_unscored=0,
        num_problems=len(parts) if ratio.denominator else 0,
    )


async def measured(folders: Mapping[str, RunFolder], prices: PriceTable) -> dict[str, Arm]:
    """Read the runs of some arms.

    Raises:
        UserError: a folder cannot be read, or the arms are not about the same problems.
    """
    arms: dict[str, Arm] = {}
    classes = AnswerClasses()
    async with workers.in_use():
        for name, folder in folders.items():
            questions = Questions()
            own = [OwnMetric(fact, function) for fact, function in FACTS.items()]
            tally = await tally_run(folder, task_of(folder), collectors=[questions], own=own, classes=classes)
            arms[name] = Arm(name, folder, folder.identity(), tally, questions.asked, prices)
    first, *others = arms.values()
    for other in others:
        check_same_problems(first.asked, other.asked)
    return _with_majority(arms)


def _with_majority(arms: Mapping[str, Arm]) -> dict[str, Arm]:
    """The arms, each with how often its answers are the most frequent ones of all other conversations, of all
    arms, on problems without a gold answer.
    """
    cast: dict[str, list[tuple[str, float]]] = {}
    for name, arm in arms.items():
        lacking = np.flatnonzero(arm.view.lacks_gold(arm.view.problem_of))
        votes = arm.view.column("vote")[lacking] if lacking.size else np.zeros(0)
        for problem, vote in zip(arm.view.problem_of[lacking].tolist(), votes.tolist(), strict=True):
            cast.setdefault(arm.ids[problem], []).append((name, vote))
    parts: dict[str, dict[str, Part]] = {name: {} for name in arms}
    for problem, of_problem in cast.items():
        agree = agreement_with_others([vote for _, vote in of_problem])
        for (name, _), agrees in zip(of_problem, agree, strict=True):
            if not isnan(agrees):
                part, whole = parts[name].get(problem, NOTHING)
                parts[name][problem] = (part + agrees, whole + 1)
    return {name: replace(arm, majority=parts[name]) for name, arm in arms.items()}


class Difference(Record, frozen=True, omit_defaults=False):
    """A paired difference, left minus right.

    Attributes:
        left: the metric on the shared problems; likewise `right`.
        stderr: paired by problem; None with fewer than two problems.
        p_value: two-sided, of "there is no difference".
        problems: shared ones on which either has something to count.
        alone: problems that only one of the two has, which are left out.
    """

    left: float | None
    right: float | None
    value: float | None
    stderr: float | None
    low: float | None
    high: float | None
    p_value: float | None
    problems: int
    alone: int


def difference(
    left: Mapping[str, Part],
    right: Mapping[str, Part],
    info: MetricInfo,
    limits: tuple[float | None, float | None] = (None, None),
    clusters: Mapping[str, str] = ALONE,
) -> Difference:
    """Left minus right on the problems that both have.

    Args:
        limits: the most turns that a conversation of right and of left can have.
        clusters: of problems that share one with others.
    """
    shared = [problem for problem in right if problem in left]
    a, b = (ratio_of(parts, shared, clusters) for parts in (right, left))
    found = paired_difference(a, b, info.interval, limits)
    return Difference(
        left=b.value,
        right=a.value,
        value=None if a.value is None or b.value is None else b.value - a.value,
        stderr=found and found.stderr,
        low=found and found.interval.low,
        high=found and found.interval.high,
        p_value=found and found.p_value,
        problems=len(shared),
        alone=len(left) + len(right) - 2 * len(shared),
    )


def unpaired(
    left: Mapping[str, Part],
    right: Mapping[str, Part],
    info: MetricInfo,
    clusters: Mapping[str, str] = ALONE,
) -> Difference:
    """Left minus right where the two are about different conversations of the same problems: a problem that
    one of the two lacks still counts for the other.
    """
    either = list(dict.fromkeys((*left, *right)))
    a, b = ({problem: parts.get(problem, NOTHING) for problem in either} for parts in (right, left))
    found = difference(b, a, info, clusters=clusters)
    both = sum(problem in left and problem in right for problem in either)
    return Difference(
        left=found.left,
        right=found.right,
        value=found.value,
        stderr=found.stderr,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        problems=len(either),
        alone=len(either) - both,
    )


def contrast(left: Arm | Group, right: Arm | Group, name: str) -> Difference:
    """Left minus right by a metric of both.

    Raises:
        ConfigError: there is no such metric, or one of the arms does not have it.
    """
    limits = (float(right.tally.rules.max_turns), float(left.tally.rules.max_turns))
    right.info(name)
    return difference(left.parts(name), right.parts(name), left.info(name), limits, left.clusters)


def correlation(left: Arm | Group, right: Arm | Group, name: str) -> float | None:
    """Of the two arms' own ratios on a problem; None with fewer than three problems that both have."""
    a, b = (
        {key: part / whole for key, (part, whole) in arm.parts(name).items() if whole}
        for arm in (left, right)
    )
    shared = [problem for problem in a if problem in b]
    if len(shared) < 3:
        return None
    first, second = (np.array([each[problem] for problem in shared]) for each in (a, b))
    return 0.0 if first.std() == 0 or second.std() == 0 else float(np.corrcoef(first, second)[0, 1])


def ratio_of(parts: Mapping[str, Part], problems: Sequence[str], clusters: Mapping[str, str]) -> Ratio:
    """A metric over some problems, of which one that is not there has nothing to count."""
    listed = [parts.get(problem, NOTHING) for problem in problems]
    return clustered_ratio(
        [part for part, _ in listed],
        [whole for _, whole in listed],
        cluster_names(problems, clusters),
    )
