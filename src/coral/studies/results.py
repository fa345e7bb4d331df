"""What came of a study: the record of `results.json`, from which every report is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import sqrt

import msgspec

from coral.audits.statistics import Headline, reading_alone
from coral.comparison.contrasts import Planned
from coral.comparison.facts import FACTS, MAJORITY, RIGHT
from coral.comparison.power import Design, unless_unseen
from coral.metrics import Estimate, adjusted, detectable, holm, metric
from coral.metrics.summary import probes_of
from coral.studies.equal_cost import AtEqualCost, Point, Votes, at_equal_cost, point_of
from coral.studies.facets import Facets, facets_of
from coral.studies.flips import Decomposition, Persuasion, decompositions, persuasions_of
from coral.studies.matrix import Matrix, matrix_of
from coral.studies.measured import Arm, Difference, Group, contrast, correlation
from coral.studies.synergy import Synergy, is_alone, members_of, synergy_of
from coral.types import SCHEMA, Record
from coral.version import version

SHOWN = (
    "first_accuracy",
    "final_accuracy",
    "conversation_gain",
    "agreement",
    "total_tokens",
    "cost",
    "turns",
    "private_difference",
    "private_accuracy",
    "compliance",
    "private_brier",
)
"""What is reported of every arm that has it, beside what is right of all."""
SPEAKERS = ("persuasion_success_rate", "lost_right_answer_rate", "gained_right_answer_rate")
"""What is reported of every speaker of an arm of several."""


class ArmResult(Record, frozen=True, omit_defaults=False):
    """One arm.

    Attributes:
        shown: what its agent is shown of the others' turns.
        control: kind of its control partner; empty without one.
        right: share of all conversations that end right.
        metrics: further ones, by name.
        speakers: by the name of each speaker of several: persuasion, resistance and receptiveness.
        probes: by turn, what was said off the record against what was said; empty without a probe.
    """

    name: str
    protocol: str
    models: dict[str, str]
    shown: str
    control: str
    conversations: int
    problems: int
    failed: int
    right: Estimate
    metrics: dict[str, Estimate]
    speakers: dict[str, dict[str, Estimate]]
    probes: dict[str, dict[str, Estimate]] = msgspec.field(default_factory=dict)


class Contrast(Record, frozen=True, omit_defaults=False):
    """A planned contrast.

    Attributes:
        text: as it was planned.
        kind: arms: two arms by a metric. flips: a part of the flips. equal cost: an arm and votes of one
            agent at its price.
        p_holm: adjusted for all planned contrasts of the study (Holm 1979).
        detectable: the true difference that the design finds in 8 of 10 cases at 0.05, without adjustment.
        needed: problems of the data with which it would find 5 points, of which as large a share has
            something to count; None of what is no share.
        correlation: of the two arms' rates on a problem: what pairing is worth; None of flips and prices.
        reading_alone: errors of reading alone could produce the difference, as an audit of the study says;
            None where it does not say.
    """

    text: str
    kind: str
    metric: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    detectable: float | None
    left: float | None
    right: float | None
    problems: int
    alone: int = 0
    correlation: float | None = None
    reading_alone: bool | None = None
    needed: int | None = None


class StudyResults(Record, frozen=True, omit_defaults=False):
    """What came of a study.

    Attributes:
        persuasion: of each agent that met control partners.
        without_gold: problems that have no gold answer. Where all lack one, arms are compared by agreement
            with the majority.
        curve: votes of one agent, by the number of samples; `points`: the other arms, at their prices.
    """

    schema: int
    version: str
    task: str
    problems: int
    arms: tuple[ArmResult, ...]
    contrasts: tuple[Contrast, ...]
    flips: tuple[Decomposition, ...] = ()
    persuasion: tuple[Persuasion, ...] = ()
    curve: tuple[Point, ...] = ()
    points: tuple[Point, ...] = ()
    equal_cost: tuple[AtEqualCost, ...] = ()
    synergy: tuple[Synergy, ...] = ()
    matrix: Matrix | None = None
    facets: tuple[Facets, ...] = ()
    without_gold: int = 0


def is_graded(results: StudyResults) -> bool:
    """Some problem has a gold answer."""
    return results.without_gold < results.problems


def results_of(
    arms: Mapping[str, Arm],
    planned: Sequence[Planned],
    grouped: Mapping[str, tuple[str, ...]] | None = None,
    pairs: Mapping[str, tuple[str, str]] | None = None,
    audited: Mapping[str, Headline] | None = None,
) -> StudyResults:
    """Everything that a study says, from its measured arms.

    Args:
        grouped: the arms that each arm as asked for became, one per wording; by default each is one.
        pairs: agent and partner of the arms that are all pairs of some models.
        audited: what an audit has found of the arms.

    Raises:
        ConfigError: a contrast names a metric that its arms do not have.
    """
    first = next(iter(arms.values()))
    asked = grouped or {name: (name,) for name in arms}
    groups = {name: Group(name, tuple(arms[one] for one in ones)) for name, ones in asked.items()}
    graded = first.is_graded
    flips = decompositions(groups)
    of_pairs = {name: models for name, models in (pairs or {}).items() if name in groups}
    votes = _votes(groups) if graded else {}
    against = {
        name: _against(group, groups, votes, of_pairs.get(name, ()))
        for name, group in groups.items()
        if votes and not group.arms[0].option("partner", "control")  # a control partner knows the gold answer
    }
    equal = [
        at_cost
        for name, ones in against.items()
        for one in ones
        for arm, alike in zip(groups[name].arms, votes[one], strict=True)  # each wording against its own
        for by in ("tokens", "usd")
        if (at_cost := at_equal_cost(arm, alike, by)) is not None
    ]
    drawn = dict.fromkeys(one for ones in against.values() for one in ones) or list(votes)[:1]
    held = first.tally.num_problems
    contrasts = [
        *(_contrast(one, {**arms, **groups}, audited or {}, held) for one in planned),
        *_of_flips(flips, held),
        *(_of_cost(one, held) for one in equal if one.by == "tokens"),
    ]
    several = [group for group in groups.values() if graded and _is_of_several(group)]
    return StudyResults(
        schema=SCHEMA,
        version=version(),
        task=first.tally.task,
        problems=first.tally.num_problems,
        arms=tuple(_arm_result(arm) for arm in arms.values()),
        contrasts=tuple(_adjusted(contrasts)),
        flips=tuple(flips),
        persuasion=tuple(persuasions_of(groups)),
        curve=tuple(point for one in drawn for each in votes[one] for point in each.points()),
        points=tuple(point_of(arm) for name in against if name not in drawn for arm in groups[name].arms),
        equal_cost=tuple(equal),
        synergy=tuple(
            made
            for group in several
            if (made := synergy_of(group, groups, of_pairs.get(group.name, ()))) is not None
        ),
        matrix=matrix_of(groups, pairs or {}),
        facets=tuple(facets_of(groups, pairs or {})),
        without_gold=len(first.tally.without_gold),
    )


def _votes(groups: Mapping[str, Group]) -> dict[str, list[Votes]]:
    """Of every arm of one agent with several samples, the votes in each wording; most samples first."""
    able = [group for group in groups.values() if is_alone(group) and _samples(group) > 1]
    able.sort(key=_samples, reverse=True)
    return {group.name: [Votes(arm) for arm in group.arms] for group in able}


def _samples(group: Group) -> float:
    tally = group.arms[0].tally
    return tally.num_conversations / tally.num_problems


def _against(
    group: Group, groups: Mapping[str, Group], votes: Mapping[str, object], names: Sequence[str]
) -> list[str]:
    """Whose votes an arm stands against at its own price: those of its members, each alone; where none of
    them has votes, of the arm with the most samples.
    """
    members = dict.fromkeys(member.name for member in members_of(group, groups, names))
    own = [name for name in members if name in votes and name != group.name]
    return own or [name for name in [next(iter(votes))] if name != group.name]


def _is_of_several(group: Group) -> bool:
    return len(group.arms[0].models) > 1 and not group.arms[0].option("partner", "control")


def _arm_result(arm: Arm) -> ArmResult:
    tally = arm.tally
    names = [name for name in SHOWN if _has(arm, name)] + [MAJORITY] * bool(arm.majority)
    speakers = dict.fromkeys(tally.rules.speakers.values()) if len(tally.rules.speakers) > 1 else {}
    return ArmResult(
        name=arm.name,
        protocol=tally.protocol,
        models=arm.models,
        shown=arm.option("agent", "sees", "everything"),
        control=arm.option("partner", "control"),
        conversations=tally.num_conversations,
        problems=tally.num_problems,
        failed=tally.stop_reasons.get("failed", 0),
        right=arm.estimate(RIGHT),
        metrics={name: arm.estimate(name) for name in names},
        speakers={
            speaker: {name: arm.estimate(f"{speaker}/{name}") for name in SPEAKERS}
            for speaker in speakers
            if _has(arm, f"{speaker}/{SPEAKERS[0]}")
        },
        probes=probes_of(arm.view),
    )


def _has(arm: Arm, name: str) -> bool:
    info = metric(name)
    columns = {*arm.tally.columns, "cost", ""}
    return info.applies(arm.tally.rules) and {info.numerator, info.denominator} <= columns


def _contrast(
    planned: Planned, arms: Mapping[str, Arm | Group], audited: Mapping[str, Headline], held: int
) -> Contrast:
    left, right = arms[planned.left], arms[planned.right]
    name = left.by if planned.metric == RIGHT else planned.metric
    made = _made(planned.text, "arms", name, contrast(left, right, name), held)
    sides = audited.get(planned.left), audited.get(planned.right)
    alone = None
    if name == RIGHT and made.difference is not None and sides[0] and sides[1]:
        alone = reading_alone(made.difference, sides[0], sides[1])
    return msgspec.structs.replace(made, correlation=correlation(left, right, name), reading_alone=alone)


ASKED = 0.05
"""The difference of shares for which the problems are said that it needs."""


def is_share(name: str) -> bool:
    """Whether a metric of studies is a share."""
    return name == RIGHT or name in FACTS or metric(name).unit == "share"


def with_power(made: Contrast, stderr: float | None, held: int | None = None) -> Contrast:
    """The contrast, told what the design could have found. Where nothing differed, that is not 0: as the
    interval of a paired difference does, it counts on problems that were not seen.

    Args:
        held: problems of the study; by default those of the contrast.
    """
    problems = held or made.problems
    if stderr is None or not made.problems:
        return made
    if not is_share(made.metric):
        return msgspec.structs.replace(made, detectable=detectable(stderr) or None)
    design = Design(
        source=made.text,
        rates=(0, 0),
        correlation=0,
        spread=unless_unseen(stderr * sqrt(made.problems), made.problems),
        problems=problems,
        counted=made.problems / problems,
    )
    return msgspec.structs.replace(made, detectable=design.detectable(problems), needed=design.needed(ASKED))


def _made(text: str, kind: str, name: str, found: Difference, held: int) -> Contrast:
    made = Contrast(
        text=text,
        kind=kind,
        metric=name,
        difference=found.value,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_holm=None,
        detectable=None,
        left=found.left,
        right=found.right,
        problems=found.problems,
        alone=found.alone,
    )
    return with_power(made, found.stderr, held)


def _of_flips(flips: Iterable[Decomposition], held: int) -> list[Contrast]:
    return [
        with_power(
            Contrast(
                text=f"{part.name}, toward {found.toward}: {' - '.join(part.arms)}",
                kind="flips",
                metric=f"to_{found.toward}",
                difference=part.share,
                low=part.low,
                high=part.high,
                p_value=part.p_value,
                p_holm=None,
                detectable=None,
                left=None,
                right=None,
                problems=part.problems,
            ),
            part.stderr,
            held,
        )
        for found in flips
        for part in found.parts
        if len(part.arms) == 2
    ]


def _of_cost(found: AtEqualCost, held: int) -> Contrast:
    made = Contrast(
        text=f"{found.arm} - {found.alone} "
        + (
            f"at the {found.by} of {found.arm}" if found.reached else "with all its samples, at a lower price"
        ),
        kind="equal cost",
        metric=RIGHT,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        p_holm=None,
        detectable=None,
        left=found.accuracy,
        right=found.against,
        problems=found.problems,
    )
    return with_power(made, found.stderr, held)


def _adjusted(contrasts: Sequence[Contrast]) -> list[Contrast]:
    found = adjusted(holm, [one.p_value for one in contrasts])
    return [msgspec.structs.replace(one, p_holm=p) for one, p in zip(contrasts, found, strict=True)]
