"""What is right of all, compared by the groups of the problems."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from coral.comparison.facts import MAJORITY, headline
from coral.errors import ConfigError
from coral.metrics import Comparison, adjusted, compare, holm
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


def compare_headline(a: Tally, b: Tally, among: Collection[str] | None = None) -> Comparison:
    """Right of all; where no problem has a gold answer, agreement with the majority of a run's samples.

    Args:
        among: ids of the problems that are looked at; all unless given.
    """
    if all(len(run.without_gold) == run.num_problems < run.num_conversations for run in (a, b)):
        return compare(a, b, MAJORITY, among=among)
    return compare(a, b, headline(a.rules), counterpart=headline(b.rules), among=among)


def by_group(dimension: str, first: Tally, others: Sequence[Tally]) -> list[Groups]:
    """The headline of each run against the first, by the values of a dimension.

    Raises:
        ConfigError: no problem of the first run has a group of that name.
    """
    members = _members(dimension, first)
    found = [_compared(members, first, other) for other in others]
    p_holm = iter(adjusted(holm, [one.p_value for groups in found for one in groups.values()]))
    return [
        Groups(
            tuple(OfGroup(value, one, next(p_holm)) for value, one in groups.items()),
            len((first.problems.keys() & other.problems.keys()).difference(*members.values())),
        )
        for other, groups in zip(others, found, strict=True)
    ]


def _compared(members: Mapping[str, set[str]], a: Tally, b: Tally) -> dict[str, Comparison]:
    shared = {value: names & b.problems.keys() for value, names in members.items()}
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
