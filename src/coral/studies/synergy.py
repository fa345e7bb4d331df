"""Whether several are better together than their members alone: than the mean one, than the best one."""

from __future__ import annotations

from collections.abc import Mapping

from coral.comparison.facts import RIGHT
from coral.metrics import Estimate
from coral.studies.measured import Arm, Difference, Part, difference
from coral.types import Record


class Synergy(Record, frozen=True, omit_defaults=False):
    """An arm of several agents against its members, each alone with one sample per problem.

    Attributes:
        oracle: share of the conversations in which the first answer of any seat is right. The second speaker
            has heard the first.
        members: the arm in which each member is alone.
        best: the best of them, by its own run.
        best_per_problem: right where any member's run is right: what choosing the better member each time
            would give.
        over_mean: the arm minus the mean member, paired by problem.
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


def synergy_of(arm: Arm, arms: Mapping[str, Arm]) -> Synergy | None:
    """Compare an arm of several agents with its members' own arms; None where one has none."""
    members: list[Arm] = []
    for model in dict.fromkeys(arm.models.values()):
        alone = next((one for one in arms.values() if _is_alone(one, model)), None)
        if alone is None:
            return None
        members.append(alone)
    own, info = arm.parts(RIGHT), arm.info(RIGHT)
    rates = [_rates(member.parts(RIGHT)) for member in members]
    shared = [problem for problem in rates[0] if all(problem in each for each in rates)]
    if not shared or not any(problem in own for problem in shared):
        return None
    mean: dict[str, Part] = {
        problem: (sum(each[problem] for each in rates) / len(rates), 1.0) for problem in shared
    }
    over_mean = difference(_as_parts(_rates(own)), mean, info, clusters=arm.clusters)
    over_each = [difference(own, one.parts(RIGHT), info, clusters=arm.clusters) for one in members]
    scores = [sum(each[problem] for problem in shared) for each in rates]
    return Synergy(
        arm=arm.name,
        oracle=arm.estimate("first_oracle"),
        members=tuple(member.name for member in members),
        best=members[max(range(len(members)), key=scores.__getitem__)].name,
        best_per_problem=sum(max(each[problem] for each in rates) for problem in shared) / len(shared),
        over_mean=over_mean,
        over_each=tuple(over_each),
        weak=_is_above(over_mean),
        strong=all(map(_is_above, over_each)),
    )


def _is_alone(arm: Arm, model: str) -> bool:
    return arm.answers_once and len(arm.models) == 1 and model in arm.models.values()


def _rates(parts: Mapping[str, Part]) -> dict[str, float]:
    return {problem: part / whole for problem, (part, whole) in parts.items() if whole}


def _as_parts(rates: Mapping[str, float]) -> dict[str, Part]:
    return {problem: (rate, 1.0) for problem, rate in rates.items()}


def _is_above(found: Difference) -> bool:
    return found.low is not None and found.low > 0
