"""Why answers flip: by themselves, for a bare answer, or for reasons.

An agent answers, meets another answer, and answers again. Of three arms that differ in what it is shown of
the other's turn, the flips are told apart:

    spontaneous   those where it is shown nothing, and asked again
    conforming    those where it is shown the bare answer, minus the spontaneous ones
    reasoned      those where it is shown everything, minus those for the bare answer

each toward wrong (a right answer meets a wrong one) and toward right (a wrong answer meets the right one).
They add up to the flips where it is shown everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from coral.conversation.controls import PREFIX
from coral.metrics import Estimate
from coral.metrics.outcome import last_answer_counts
from coral.metrics.own import own_info
from coral.studies.measured import Difference, Group, contrast, unpaired
from coral.types import Record


class Component(Record, frozen=True, omit_defaults=False):
    """A part of the flips.

    Attributes:
        arms: whose flips it is, or whose difference.
        share: of the challenged answers.
        p_value: of a difference, that there is none; None of a share.
        challenged: answers that met another one, where everything of the arms is counted: of the first arm.
        problems: that they are about.
    """

    name: str
    arms: tuple[str, ...]
    share: float | None
    stderr: float | None
    low: float | None
    high: float | None
    p_value: float | None
    challenged: int
    problems: int


class Decomposition(Record, frozen=True, omit_defaults=False):
    """The flips toward one side.

    Attributes:
        toward: wrong or right.
        parts: spontaneous, conforming and reasoned, as far as there are arms for them, and what words of
            equal length do.
        whole: flips where everything is shown.
    """

    toward: str
    parts: tuple[Component, ...]
    whole: Component


def decompositions(arms: Mapping[str, Group]) -> list[Decomposition]:
    """Tell the flips of every agent apart, toward wrong and toward right; of those control partners that some
    arm shows everything of. Arms of another agent, seed or wording of control partner never mix.
    """
    settings: dict[bytes, list[Group]] = {}
    for arm in _challenged(arms):
        settings.setdefault(_setting(arm), []).append(arm)
    found = (_decompose(alike, toward) for alike in settings.values() for toward in ("wrong", "right"))
    return [one for one in found if one is not None]


def _challenged(arms: Mapping[str, Group]) -> list[Group]:
    """Arms in which an agent answers first, and then meets a control partner."""
    runs = [(arm, arm.arms[0]) for arm in arms.values()]
    return [arm for arm, run in runs if last_answer_counts(run.tally.rules, run.option("partner", "control"))]


def _setting(arm: Group, *, whatever: frozenset[str] = frozenset()) -> bytes:
    """What arms have in common that differ in the partner's answer and in what is shown of it.

    Args:
        whatever: options of the partner that may differ, too.
    """
    identity = arm.arms[0].identity
    differ = {"control", "sees"} | whatever
    partner = {key: value for key, value in identity["partner"].items() if key not in differ}
    if str(partner.get("model", "")).startswith(PREFIX):
        del partner["model"]
    agent = {key: value for key, value in identity["agent"].items() if key != "sees"}
    rest = {key: value for key, value in identity.items() if key not in {"version", "begun", "max_turns"}}
    return msgspec.json.encode({**rest, "agent": agent, "partner": partner}, order="deterministic")


def _decompose(alike: Sequence[Group], toward: str) -> Decomposition | None:
    """None where no arm shows everything; of two arms that show the same, the first is taken."""
    shown: dict[str, Group] = {}
    for arm in alike:
        if control_of(arm) == toward:
            shown.setdefault(shown_to(arm), arm)
    if "everything" not in shown:
        return None
    fact = f"to_{toward}"
    parts = []
    if "nothing" in shown:
        parts.append(_share("spontaneous", shown["nothing"], fact))
    for name, more, less in (
        ("conforming", "stance", "nothing"),
        ("reasoned", "everything", "stance"),
        ("vacuous words", "vacuous", "stance"),
        ("unrelated reasons", "unrelated", "stance"),
        ("reasons beyond vacuous words", "everything", "vacuous"),
    ):
        if more in shown and less in shown:
            parts.append(_gain(name, shown[more], shown[less], fact))
    return Decomposition(
        toward=toward, parts=tuple(parts), whole=_share("all flips", shown["everything"], fact)
    )


def control_of(arm: Group) -> str:
    """Kind of an arm's control partner; empty without one."""
    return arm.arms[0].option("partner", "control")


def shown_to(arm: Group) -> str:
    """What the agent of an arm is shown of the others' turns."""
    return arm.arms[0].option("agent", "sees", "everything")


def _share(name: str, arm: Group, fact: str) -> Component:
    found = arm.estimate(fact)
    return Component(
        name=name,
        arms=(arm.name,),
        share=found.mean,
        stderr=found.stderr,
        low=found.low,
        high=found.high,
        p_value=None,
        challenged=found.n,
        problems=found.num_problems,
    )


def _gain(name: str, more: Group, less: Group, fact: str) -> Component:
    found = contrast(more, less, fact)
    return Component(
        name=name,
        arms=(more.name, less.name),
        share=found.value,
        stderr=found.stderr,
        low=found.low,
        high=found.high,
        p_value=found.p_value,
        challenged=more.estimate(fact).n,
        problems=found.problems,
    )


class Persuasion(Record, frozen=True, omit_defaults=False):
    """How an agent takes arguments, by the control arms in which it is shown everything.

    Attributes:
        arms: that say so.
        resistance: right answers that it keeps against a wrong one, of those that met one.
        receptiveness: wrong answers that it gives up for the right one, of those that met it.
        net: what right arguments move beyond what wrong ones do: receptiveness minus lost right answers.
    """

    model: str
    arms: tuple[str, ...]
    resistance: Estimate | None
    receptiveness: Estimate | None
    net: Difference | None


def persuasions_of(arms: Mapping[str, Group]) -> list[Persuasion]:
    """What the control arms that show everything say of each agent."""
    whole = [arm for arm in _challenged(arms) if shown_to(arm) == "everything"]
    wrong, right = ([arm for arm in whole if control_of(arm) == toward] for toward in ("wrong", "right"))
    answers = frozenset({"control_answers"})  # which wrong answer it is; the right one is the gold answer
    settings = {arm.name: _setting(arm, whatever=answers) for arm in whole}
    pairs: list[tuple[Group | None, Group | None]] = [
        (arm, next((one for one in right if settings[one.name] == settings[arm.name]), None)) for arm in wrong
    ]
    paired = {one.name for _, one in pairs if one is not None}
    return [
        _persuasion(*both) for both in [*pairs, *((None, arm) for arm in right if arm.name not in paired)]
    ]


def _persuasion(wrong: Group | None, right: Group | None) -> Persuasion:
    arms = [arm for arm in (wrong, right) if arm is not None]
    net = None
    if wrong is not None and right is not None:
        info = own_info("to_right", is_share=True)
        net = unpaired(right.parts("to_right"), wrong.parts("to_wrong"), info, right.clusters)
    return Persuasion(
        model=arms[0].arms[0].models["agent"],
        arms=tuple(arm.name for arm in arms),
        resistance=None if wrong is None else complement(wrong.estimate("to_wrong")),
        receptiveness=None if right is None else right.estimate("to_right"),
        net=net,
    )


def complement(share: Estimate) -> Estimate:
    """One minus a share, with its interval."""
    mean, low, high = (None if end is None else 1 - end for end in (share.mean, share.high, share.low))
    return msgspec.structs.replace(share, mean=mean, low=low, high=high)
