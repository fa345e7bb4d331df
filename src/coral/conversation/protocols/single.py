"""One agent answers alone, in one turn: chain of thought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from typing_extensions import Self

from coral import prompts
from coral.conversation.messages import Told, dialogue
from coral.conversation.protocols.base import Same, Settings
from coral.metrics.outcome import Outcome, last_answer
from coral.metrics.trace import Trace
from coral.types import RESPONDER, Answered, Message, Role, Seat, StopReason, Turn


@dataclass(frozen=True, kw_only=True)
class Single:
    """One turn; two with a second chance, where the first submits no answer.

    Attributes:
        second_chance: what the agent is asked then; empty for nothing.
    """

    name: ClassVar[str] = "cot"
    takes: ClassVar[frozenset[str]] = frozenset({"second_chance"})
    system_prompt: ClassVar[str] = "cot"
    min_agents: ClassVar[int] = 1
    max_agents: ClassVar[int | None] = 1
    answers_once: ClassVar[bool] = True

    agent: str = "agent"
    second_chance: str = ""

    @classmethod
    def build(cls, settings: Settings) -> Self:
        asked = settings.prompts.get("second_chance", "")
        if settings.second_chance and not asked:
            asked = prompts.render(prompts.builtin("second_chance"), instruction=settings.instruction)
        return cls(agent=settings.agents[0], second_chance=asked)

    @property
    def speakers(self) -> Mapping[Seat, str]:
        return {RESPONDER: self.agent}

    @property
    def max_turns(self) -> int:
        return 2 if self.second_chance else 1

    @property
    def prompts(self) -> Mapping[str, str]:
        return {"second_chance": self.second_chance} if self.second_chance else {}

    def next_seat(self, turns: Sequence[Turn]) -> Seat | None:
        if not turns:
            return RESPONDER
        answered = isinstance(turns[0].reply.belief, Answered)
        return RESPONDER if len(turns) < self.max_turns and not answered else None

    def messages(self, seat: Seat, told: Told, turns: Sequence[Turn]) -> tuple[Message, ...]:
        del seat
        if not turns:
            return dialogue(told, told.problem)
        reply = turns[-1].reply.text
        if not reply.strip():  # no message may be empty, so an empty reply is left out
            return dialogue(told, f"{told.problem}\n\n{self.second_chance}")
        return (*dialogue(told, told.problem, (reply,)), Message(Role.USER, self.second_chance))

    async def ending(self, turns: Sequence[Turn], same: Same) -> StopReason | None:
        del turns, same
        return None

    def outcome(self, trace: Trace) -> Outcome:
        return last_answer(trace)
