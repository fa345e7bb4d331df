"""One agent answers, then reviews its own answer: the self-correction baseline.

Madaan et al. 2023 (Self-Refine) and Huang et al. 2024 (Large Language Models Cannot Self-Correct Reasoning
Yet), without a grader's hint: the agent is told nothing but to look again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar

from typing_extensions import Self

from coral import prompts
from coral.conversation.messages import Told, dialogue, said
from coral.conversation.protocols.base import Same, Settings
from coral.metrics.outcome import Outcome, last_answer
from coral.metrics.trace import Trace
from coral.types import RESPONDER, Answered, Message, Seat, StopReason, Turn


@dataclass(frozen=True, kw_only=True)
class SelfRefine:
    """An answer and its reviews. It ends when a review keeps the answer, or at the limit of turns.

    Attributes:
        review: what the agent is asked after each of its turns.
    """

    name: ClassVar[str] = "self_refine"
    takes: ClassVar[frozenset[str]] = frozenset({"max_turns"})
    system_prompt: ClassVar[str] = "cot"
    min_agents: ClassVar[int] = 1
    max_agents: ClassVar[int | None] = 1
    answers_once: ClassVar[bool] = False

    agent: str = "agent"
    max_turns: int = 20
    review: str = ""

    @classmethod
    def build(cls, settings: Settings) -> Self:
        review = settings.prompts.get("review") or prompts.render(
            prompts.builtin("review"), instruction=settings.instruction
        )
        return cls(agent=settings.agents[0], max_turns=settings.max_turns, review=review)

    @property
    def speakers(self) -> Mapping[Seat, str]:
        return {RESPONDER: self.agent}

    @property
    def prompts(self) -> Mapping[str, str]:
        return {"review": self.review}

    def next_seat(self, turns: Sequence[Turn]) -> Seat | None:
        return RESPONDER if len(turns) < self.max_turns else None

    def messages(self, seat: Seat, told: Told, turns: Sequence[Turn]) -> tuple[Message, ...]:
        del seat
        return dialogue(told, told.problem, list(chain(*((said(turn), self.review) for turn in turns))))

    async def ending(self, turns: Sequence[Turn], same: Same) -> StopReason | None:
        if len(turns) < 2:
            return None
        before, last = turns[-2].reply.belief, turns[-1].reply.belief
        kept = (
            isinstance(before, Answered)
            and isinstance(last, Answered)
            and await same(last.value, before.value)
        )
        return StopReason.AGREED if kept else None

    def outcome(self, trace: Trace) -> Outcome:
        return last_answer(trace)
