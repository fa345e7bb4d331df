"""What is right of all, compared by the groups of the problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from coral.comparison.facts import AGREEMENT, MAJORITY, RIGHT, Measured
from coral.errors import ConfigError
from coral.metrics import Comparison, adjusted, compare, holm, metric
from coral.metrics.summary import natural
from coral.metrics.tally import Tally
from coral.types import Record


class OfGroup(Record, frozen=True, omit_defaults=False):
    """The headline on the problems of one group.

    Attributes:
        group: the value of the dimension, such as `2` of `order`.
        p_holm: adjusted for all groups of all runs that are compared (Holm 1979); None without a p-value.
    """

    group: str
    comparison: Comparison
    p_holm: float | None = None


class Groups(NamedTuple):
    """The headline of two runs by group.

    Attributes:
        ungrouped: shared problems that have no value of the dimension.
    """

    groups: tuple[OfGroup, ...]
    ungrouped: int


def common_measure(runs: Sequence[Measured]) -> str:
    """What runs have in common: what is right of all; where no problem has a gold answer, agreement with the
    majority of a run's samples, or, with single ones, of the agents with each other.
    """
    if any(run.is_graded for run in runs):
        return RIGHT
    if all(run.tally.num_problems < run.tally.num_conversations for run in runs):
        return MAJORITY
    return AGREEMENT if all(metric(AGREEMENT).applies(run.tally.rules) for run in runs) else RIGHT


def compare_headline(a: Measured, b: Measured, among: Collection[str] | None = None) -> Comparison:
    """The runs by what they have in common.

    Args:
        among: ids of the problems that are looked at; all unless given.
    """
    name = common_measure((a, b))
    if name != RIGHT:
        return compare(a.tally, b.tally, name, among=among)
    return compare(a.tally, b.tally, a.headline, counterpart=b.headline, among=among)


def by_group(dimension: str, first: Measured, others: Sequence[Measured]) -> list[Groups]:
    """The headline of each run against the first, by the values of a dimension.

    Raises:
        ConfigError: no problem of the first run has a group of that name.
    """
    members = _members(dimension, first.tally)
    found = [_compared(members, first, other) for other in others]
    p_holm = iter(adjusted(holm, [one.p_value for groups in found for one in groups.values()]))
    return [
        Groups(
            tuple(OfGroup(value, one, next(p_holm)) for value, one in groups.items()),
            len((first.tally.problems.keys() & other.tally.problems.keys()).difference(*members.values())),
        )
        for other, groups in zip(others, found, strict=True)
    ]


def _compared(members: Mapping[str, set[str]], a: Measured, b: Measured) -> dict[str, Comparison]:
    shared = {value: names & b.tally.problems.keys() for value, names in members.items()}
    values = sorted((value for value, names in shared.items() if names), key=natural)
    return {value: compare_headline(a, b, shared[value]) for value in values}


def _members(dimension: str, tally: Tally) -> dict[str, set[str]]:
    """Ids of the problems, by value."""
    dimensions = tally.problems_by_group()
    if dimension not in dimensions:
        remedy = "these problems have no groups; with your own data --task.group FIELD names them"
        if dimensions:
            remedy = f"group by one of: {', '.join(sorted(dimensions))}"
        raise ConfigError(f"the problems have no group '{dimension}'", remedy=remedy)
    names = list(tally.problems)
    return {value: {names[number] for number in numbers} for value, numbers in dimensions[dimension].items()}
