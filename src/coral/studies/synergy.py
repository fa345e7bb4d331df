"""Whether several are better together than their members alone: than the mean one, than the best one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coral.comparison.facts import RIGHT
from coral.metrics import Estimate
from coral.studies.measured import Arm, Difference, Group, Part, difference
from coral.types import Record


class Synergy(Record, frozen=True, omit_defaults=False):
    """An arm of several agents against its members, each alone with one sample per problem.

    Attributes:
        oracle: share of the conversations in which the first answer of any seat is right. The second speaker
            has heard the first.
        members: the arms in which each member is alone; a model that has two seats is one of them.
        best: the best of them, by its own run.
        best_per_problem: right where any member's run is right: what choosing the better member each time
            would give.
        over_mean: the arm minus the mean member, of all seats, paired by problem.
        over_each: the arm minus each member, in their order.
        weak: better than the mean member: the interval of `over_mean` is above 0.
        strong: better than every member: all intervals of `over_each` are above 0. Each is tested by itself,
            since all must hold (intersection-union).
    """

    arm: str
    oracle: Estimate
    members: tuple[str, ...]
    best: str
    best_per_problem: float
    over_mean: Difference
    over_each: tuple[Difference, ...]
    weak: bool
    strong: bool


def synergy_of(arm: Group, arms: Mapping[str, Group], names: Sequence[str] = ()) -> Synergy | None:
    """Compare an arm of several agents with its members' own arms; None where one has none.

    Args:
        names: of the members' arms, where it is known.
    """
    seats = members_of(arm, arms, names)
    if not seats:
        return None
    members = list({member.name: member for member in seats}.values())
    own, info = arm.parts(RIGHT), arm.info(RIGHT)
    rates = {member.name: _rates(member.parts(RIGHT)) for member in members}
    shared = [problem for problem in rates[members[0].name] if all(problem in one for one in rates.values())]
    if not shared or not any(problem in own for problem in shared):
        return None
    mean: dict[str, Part] = {
        problem: (sum(rates[seat.name][problem] for seat in seats) / len(seats), 1.0) for problem in shared
    }
    over_mean = difference(_as_parts(_rates(own)), mean, info, clusters=arm.clusters)
    over_each = [difference(own, one.parts(RIGHT), info, clusters=arm.clusters) for one in members]
    return Synergy(
        arm=arm.name,
        oracle=arm.estimate("first_oracle"),
        members=tuple(member.name for member in members),
        best=max(rates, key=lambda name: sum(rates[name][problem] for problem in shared)),
        best_per_problem=sum(max(one[problem] for one in rates.values()) for problem in shared) / len(shared),
        over_mean=over_mean,
        over_each=tuple(over_each),
        weak=_is_above(over_mean),
        strong=all(map(_is_above, over_each)),
    )


def members_of(arm: Group, arms: Mapping[str, Group], names: Sequence[str] = ()) -> list[Group]:
    """The arm in which each agent of an arm is alone, by seat; empty where one has none.

    Args:
        names: of these arms, where it is known.
    """
    alone = {one.name: one for one in arms.values() if is_alone(one)}
    if names and all(name in alone for name in names):
        return [alone[name] for name in names]
    run = arm.arms[0]
    found = [_like(run, speaker, list(alone.values())) for speaker in run.models]
    return [] if None in found else [one for one in found if one is not None]


def is_alone(arm: Group) -> bool:
    """One agent, which answers once."""
    return arm.arms[0].answers_once and len(arm.arms[0].models) == 1


def _like(run: Arm, speaker: str, alone: Sequence[Group]) -> Group | None:
    """The agent of a seat alone: by all that makes it, such as its temperature; else by its model's name,
    where only one arm has that.
    """
    wanted = _made_of(run.identity.get(speaker) or run.identity["agent"])
    same = [one for one in alone if one.arms[0].models["agent"] == run.models[speaker]]
    exact = [one for one in same if _made_of(one.arms[0].identity["agent"]) == wanted]
    return exact[0] if exact else same[0] if len(same) == 1 else None


def _made_of(agent: Mapping[str, Any]) -> dict[str, Any]:
    """An agent as its run's record has it, without what it is told and shown."""
    return {key: value for key, value in agent.items() if key not in {"prompt", "system_prompt", "sees"}}


def _rates(parts: Mapping[str, Part]) -> dict[str, float]:
    return {problem: part / whole for problem, (part, whole) in parts.items() if whole}


def _as_parts(rates: Mapping[str, float]) -> dict[str, Part]:
    return {problem: (rate, 1.0) for problem, rate in rates.items()}


def _is_above(found: Difference) -> bool:
    return found.low is not None and found.low > 0
