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
from coral.studies.flips import Decomposition, Persuasion, decompose, persuasion_of
from coral.studies.matrix import Matrix, matrix_of
from coral.studies.measured import Arm, Difference, Group, contrast, correlation
from coral.studies.synergy import Synergy, synergy_of
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
        needed: problems with which it would find 5 points; None of what is no share.
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
    persuasion: Persuasion | None = None
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
    flips = [found for toward in ("wrong", "right") if (found := decompose(arms, toward)) is not None]
    alone = _alone(arms) if graded else None
    votes = None if alone is None else Votes(alone)
    others = [arm for arm in arms.values() if alone is not None and _comparable(arm, alone)]
    alike = next((names for names in asked.values() if alone is not None and alone.name in names), ())
    equal = [
        at_cost
        for arm in others
        if arm.name not in alike  # the same agent in another wording is a facet, and no arm of its own
        for by in ("tokens", "usd")
        if votes is not None and (at_cost := at_equal_cost(arm, votes, by)) is not None
    ]
    contrasts = [
        *(_contrast(one, {**arms, **groups}, audited or {}) for one in planned),
        *_of_flips(flips),
        *(_of_cost(one) for one in equal if one.by == "tokens"),
    ]
    several = [arm for arm in arms.values() if len(arm.models) > 1 and not arm.option("partner", "control")]
    several = several if graded else []
    return StudyResults(
        schema=SCHEMA,
        version=version(),
        task=first.tally.task,
        problems=first.tally.num_problems,
        arms=tuple(_arm_result(arm) for arm in arms.values()),
        contrasts=tuple(_adjusted(contrasts)),
        flips=tuple(flips),
        persuasion=persuasion_of(arms),
        curve=tuple(votes.points()) if votes else (),
        points=tuple(point_of(arm) for arm in others),
        equal_cost=tuple(equal),
        synergy=tuple(made for arm in several if (made := synergy_of(arm, arms)) is not None),
        matrix=matrix_of(groups, pairs or {}),
        facets=tuple(facets_of(groups, pairs or {})),
        without_gold=len(first.tally.without_gold),
    )


def _alone(arms: Mapping[str, Arm]) -> Arm | None:
    """The arm whose samples can be put to the vote: of one agent that answers once, with the most samples."""
    able = [arm for arm in arms.values() if arm.answers_once and len(arm.models) == 1]
    return max(able, key=lambda arm: arm.tally.num_conversations / arm.tally.num_problems, default=None)


def _comparable(arm: Arm, alone: Arm) -> bool:
    """Another arm, which works by itself: a control partner knows the gold answer."""
    return arm is not alone and not arm.option("partner", "control")


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


def _contrast(planned: Planned, arms: Mapping[str, Arm | Group], audited: Mapping[str, Headline]) -> Contrast:
    left, right = arms[planned.left], arms[planned.right]
    name = left.by if planned.metric == RIGHT else planned.metric
    made = _made(planned.text, "arms", name, contrast(left, right, name))
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


def with_power(made: Contrast, stderr: float | None) -> Contrast:
    """The contrast, told what the design could have found. Where nothing differed, that is not 0: as the
    interval of a paired difference does, it counts on problems that were not seen.
    """
    if stderr is None or not made.problems:
        return made
    if not is_share(made.metric):
        return msgspec.structs.replace(made, detectable=detectable(stderr) or None)
    spread = unless_unseen(stderr * sqrt(made.problems), made.problems)
    design = Design(source=made.text, rates=(0, 0), correlation=0, spread=spread, problems=made.problems)
    return msgspec.structs.replace(
        made, detectable=design.detectable(made.problems), needed=design.needed(ASKED)
    )


def _made(text: str, kind: str, name: str, found: Difference) -> Contrast:
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
    return with_power(made, found.stderr)


def _of_flips(flips: Iterable[Decomposition]) -> list[Contrast]:
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
        )
        for found in flips
        for part in found.parts
        if len(part.arms) == 2
    ]


def _of_cost(found: AtEqualCost) -> Contrast:
    made = Contrast(
        text=f"{found.arm} - {found.alone} at the {found.by} of {found.arm}",
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
    return with_power(made, found.stderr)


def _adjusted(contrasts: Sequence[Contrast]) -> list[Contrast]:
    found = adjusted(holm, [one.p_value for one in contrasts])
    return [msgspec.structs.replace(one, p_holm=p) for one, p in zip(contrasts, found, strict=True)]
