"""What studies measure of a conversation beside the catalog's metrics: flips, and what was known at first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from coral.errors import ConfigError
from coral.metrics import MetricInfo, metric
from coral.metrics.outcome import Rules, last_answer_counts
from coral.metrics.own import Value, own_info
from coral.metrics.tally import Tally
from coral.metrics.trace import UNREADABLE, Trace, TraceTurn
from coral.store.folder import RunFolder

RIGHT = "right"
"""The headline that runs of every protocol have: the share of all conversations that end right."""

MAJORITY = "majority_agreement"
"""What stands for it where no problem has a gold answer."""

AGREEMENT = "agreement"
"""What is left where there is one sample of each problem, too."""

IN_WORDS = {RIGHT: "what is right of all", MAJORITY: "agreement with the majority", AGREEMENT: "agreement"}


def to_wrong(trace: Trace) -> Value:
    """A right answer met a wrong one: whether the next one is wrong. Unsure is no flip."""
    return _flip(trace, was=True)


def to_right(trace: Trace) -> Value:
    """A wrong answer met the right one: whether the next one is right."""
    return _flip(trace, was=False)


def first_oracle(trace: Trace) -> Value:
    """Whether the first answer of any seat is right: what the agents could have known together."""
    firsts = {turn.seat: turn for turn in reversed(trace.turns)}
    if any(turn.correct for turn in firsts.values()):
        return True
    return None if any(turn.belief >= 0 and turn.correct is None for turn in firsts.values()) else False


FACTS: dict[str, Callable[[Trace], Value]] = {
    "to_wrong": to_wrong,
    "to_right": to_right,
    "first_oracle": first_oracle,
}
"""What studies measure beside the catalog's metrics."""


def info_of(name: str, arm: str, rules: Rules) -> MetricInfo:
    """A metric of an arm by its name: one of these, or of the catalog.

    Raises:
        ConfigError: there is none, or an arm of these rules does not have it.
    """
    info = own_info(name, is_share=True) if name in FACTS else metric(name)
    if not info.applies(rules):
        raise ConfigError(
            f"the arm {arm} ({rules.name}) has no metric '{name}'",
            remedy="contrast arms by a metric that both have (docs/metrics.md)",
        )
    return info


@dataclass(frozen=True)
class Measured:
    """A run, read once.

    Attributes:
        asked: a hash of what was asked, by problem.
    """

    folder: RunFolder
    tally: Tally
    asked: Mapping[str, int]

    @property
    def control(self) -> str:
        """Kind of its control partner; empty without one."""
        return control_of(self.folder.identity())

    @property
    def headline(self) -> str:
        """The metric that says what is right of all."""
        return headline(self.tally.rules, self.control)

    @property
    def is_graded(self) -> bool:
        """Some problem has a gold answer."""
        return len(self.tally.without_gold) < self.tally.num_problems


def control_of(identity: Mapping[str, Any]) -> str:
    """Kind of a run's control partner, as its record has it; empty without one."""
    return str((identity.get("partner") or {}).get("control") or "")


def headline(rules: Rules, control: str) -> str:
    """Right of all conversations: the only scores of one agent and of several that share a denominator.

    Beside a control partner, which says what it was told to, the last answer of the agent that spoke first.
    """
    if last_answer_counts(rules, control):
        return "final_accuracy"
    return "accuracy_strict" if len(rules.speakers) == 1 else "agreement_correctness_strict"


def _flip(trace: Trace, *, was: bool) -> Value:
    met = _meeting(trace.turns)
    if met is None:
        return None
    first, theirs, again = met
    challenged = first.correct is was and theirs.correct is not None and theirs.correct is not was
    if not challenged or min(first.belief, theirs.belief) < 0 or again.belief == UNREADABLE:
        return None
    if again.belief < 0:
        return False
    return None if again.correct is None else again.correct is not was


def _meeting(turns: Sequence[TraceTurn]) -> tuple[TraceTurn, TraceTurn, TraceTurn] | None:
    """The first turn, the next one of another seat, and the first speaker's next one after that."""
    if not turns:
        return None
    first = turns[0]
    place = next((i for i, turn in enumerate(turns) if turn.seat != first.seat), None)
    if place is None:
        return None
    again = next((turn for turn in turns[place:] if turn.seat == first.seat), None)
    return None if again is None else (first, turns[place], again)
