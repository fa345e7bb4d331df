"""Two agents talk until they agree: the paper's Collaborative Reasoner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from coral import prompts
from coral.conversation.messages import CUT_OFF, Told, dialogue, said
from coral.conversation.protocols.base import Same, Settings, unanimous
from coral.metrics.outcome import Outcome, shared_answer
from coral.metrics.trace import Trace
from coral.types import OPENER, RESPONDER, Message, Seat, StopReason, Turn


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The opener states the problem, by a template; then the two speak in turn, the responder first.

    It ends when both latest beliefs are equal answers (paper, section 2.1). The responder reads the problem
    as the first user message; the opener meets it again, framed, together with the first reply.

    Attributes:
        first_reply: the template of that frame.
    """

    name: ClassVar[str] = "coral"
    takes: ClassVar[frozenset[str]] = frozenset({"agents", "partner", "opener", "max_turns"})
    system_prompt: ClassVar[str] = "agent"
    min_agents: ClassVar[int] = 2
    max_agents: ClassVar[int | None] = 2
    answers_once: ClassVar[bool] = False

    responder: str = "partner"
    opener: str = "agent"
    max_turns: int = 20
    first_reply: str = ""

    @classmethod
    def build(cls, settings: Settings) -> Self:
        responder = next(agent for agent in settings.agents if agent != settings.opener)
        return cls(
            responder=responder,
            opener=settings.opener,
            max_turns=settings.max_turns,
            first_reply=settings.prompts.get("first_reply") or prompts.builtin("first_reply"),
        )

    @property
    def speakers(self) -> Mapping[Seat, str]:
        return {RESPONDER: self.responder, OPENER: self.opener}

    @property
    def prompts(self) -> Mapping[str, str]:
        return {"first_reply": self.first_reply}

    def next_seat(self, turns: Sequence[Turn]) -> Seat | None:
        if len(turns) >= self.max_turns:
            return None
        return OPENER if len(turns) % 2 else RESPONDER

    def messages(self, seat: Seat, told: Told, turns: Sequence[Turn]) -> tuple[Message, ...]:
        return _view(seat, told, [said(turn) for turn in turns], self.first_reply)

    async def ending(self, turns: Sequence[Turn], same: Same) -> StopReason | None:
        return StopReason.AGREED if await unanimous(turns, tuple(self.speakers), same) else None

    def outcome(self, trace: Trace) -> Outcome:
        return shared_answer(trace, tuple(self.speakers))


def messages_for(
    seat: Seat,
    *,
    system: str,
    opening: str,
    replies: Sequence[str],
    briefing: str = "",
    system_in_user: bool = False,
) -> tuple[Message, ...]:
    """The messages that a seat of a pair answers to, from texts alone: for training data made by rules.

    Args:
        replies: the texts of all turns so far. The responder spoke the first.
    """
    told = Told(system=system, opening=opening, briefing=briefing, system_in_user=system_in_user)
    return _view(
        seat, told, [text if text.strip() else CUT_OFF for text in replies], prompts.builtin("first_reply")
    )


def _view(seat: Seat, told: Told, texts: Sequence[str], first_reply: str) -> tuple[Message, ...]:
    if seat == RESPONDER:
        return dialogue(told, told.problem, texts)
    return dialogue(told, prompts.render(first_reply, opening=told.problem, reply=texts[0]), texts[1:])
