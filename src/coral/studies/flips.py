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

from collections.abc import Mapping

import msgspec

from coral.metrics import Estimate
from coral.metrics.own import own_info
from coral.studies.measured import Arm, Difference, contrast, unpaired
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


def decompose(arms: Mapping[str, Arm], toward: str) -> Decomposition | None:
    """Tell the flips toward right or wrong apart; None without a control partner that shows everything."""
    shown = {shown_to(arm): arm for arm in arms.values() if arm.option("partner", "control") == toward}
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


def shown_to(arm: Arm) -> str:
    """What the agent of an arm is shown of the others' turns."""
    return arm.option("agent", "sees", "everything")


def _share(name: str, arm: Arm, fact: str) -> Component:
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


def _gain(name: str, more: Arm, less: Arm, fact: str) -> Component:
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
        resistance: right answers that it keeps against a wrong one, of those that met one.
        receptiveness: wrong answers that it gives up for the right one, of those that met it.
        net: what right arguments move beyond what wrong ones do: receptiveness minus lost right answers.
    """

    model: str
    resistance: Estimate | None
    receptiveness: Estimate | None
    net: Difference | None


def persuasion_of(arms: Mapping[str, Arm]) -> Persuasion | None:
    """What the control arms say of the agent; None without one that shows everything."""
    found = {
        toward: arm
        for toward in ("wrong", "right")
        for arm in arms.values()
        if arm.option("partner", "control") == toward
        and arm.option("agent", "sees", "everything") == "everything"
    }
    if not found:
        return None
    arm = next(iter(found.values()))
    lost = found["wrong"].estimate("to_wrong") if "wrong" in found else None
    net = None
    if len(found) == 2:
        info = own_info("to_right", is_share=True)
        net = unpaired(found["right"].parts("to_right"), found["wrong"].parts("to_wrong"), info, arm.clusters)
    return Persuasion(
        model=arm.models["agent"],
        resistance=lost and complement(lost),
        receptiveness=found["right"].estimate("to_right") if "right" in found else None,
        net=net,
    )


def complement(share: Estimate) -> Estimate:
    """One minus a share, with its interval."""
    mean, low, high = (None if end is None else 1 - end for end in (share.mean, share.high, share.low))
    return msgspec.structs.replace(share, mean=mean, low=low, high=high)
