"""Three or more agents speak in turn until all hold the same answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from coral import prompts
from coral.conversation.messages import Told, dialogue, said
from coral.conversation.protocols.base import Same, Settings, unanimous
from coral.metrics.outcome import Outcome, majority_answer, shared_answer
from coral.metrics.trace import Trace
from coral.types import Message, Seat, StopReason, Turn


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Everybody reads the problem and hears everybody, by name. Seats are called as their agents.

    It ends when the latest beliefs of all are equal answers.

    Attributes:
        majority: at the limit of turns, the answer that more than half of the members hold is the outcome.
        frame: the user's template by which a member's words come to the others; empty for their name above.
    """

    name: ClassVar[str] = "panel"
    takes: ClassVar[frozenset[str]] = frozenset({"agents", "max_turns", "majority"})
    system_prompt: ClassVar[str] = "panel"
    min_agents: ClassVar[int] = 3
    max_agents: ClassVar[int | None] = None
    answers_once: ClassVar[bool] = False
    further_prompts: ClassVar[frozenset[str]] = frozenset({"panel"})

    members: tuple[str, ...]
    max_turns: int = 20
    majority: bool = False
    frame: str = ""

    @classmethod
    def build(cls, settings: Settings) -> Self:
        return cls(
            members=settings.agents,
            max_turns=settings.max_turns,
            majority=settings.majority,
            frame=settings.prompts.get("panel", ""),
        )

    @property
    def speakers(self) -> Mapping[Seat, str]:
        return {name: name for name in self.members}

    @property
    def prompts(self) -> Mapping[str, str]:
        return {"panel": self.frame} if self.frame else {}

    def next_seat(self, turns: Sequence[Turn]) -> Seat | None:
        if len(turns) >= self.max_turns:
            return None
        return self.members[len(turns) % len(self.members)]

    def messages(self, seat: Seat, told: Told, turns: Sequence[Turn]) -> tuple[Message, ...]:
        """What the others said since one's own last turn is one user message."""
        heard: list[str] = [told.problem]
        texts: list[str] = []
        for turn in turns:
            if turn.seat == seat:
                texts += ["\n\n".join(heard), said(turn)]
                heard = []
            else:
                heard.append(self._heard(turn))
        return dialogue(told, *_split([*texts, "\n\n".join(heard)]))

    def _heard(self, turn: Turn) -> str:
        """A turn as the other members read it."""
        name, reply = _title(turn.seat), said(turn)
        return prompts.render(self.frame, name=name, reply=reply) if self.frame else f"{name}:\n{reply}"

    async def ending(self, turns: Sequence[Turn], same: Same) -> StopReason | None:
        return StopReason.AGREED if await unanimous(turns, self.members, same) else None

    def outcome(self, trace: Trace) -> Outcome:
        outcome = shared_answer(trace, self.members)
        return majority_answer(trace, self.members) if self.majority and not outcome.agreed else outcome


def _title(seat: Seat) -> str:
    """`agent_2` as the others read it: Agent 2."""
    return seat.replace("_", " ").capitalize()


def _split(texts: Sequence[str]) -> tuple[str, Sequence[str]]:
    return texts[0], texts[1:]
