"""Control partners: partners whose stance is known by construction, in this process, for every task.

They tell what a partner's answer does apart from its reasons, and what asking again does apart from any
partner. One with words of its own sends no request and costs nothing.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, NamedTuple

import msgspec

from coral import prompts
from coral.conversation import words
from coral.conversation.mistakes import Mistakes
from coral.conversation.sight import reasons_in
from coral.conversation.words import Move
from coral.errors import Notice
from coral.models.protocol import Candidate, Generation, Request
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, FinishReason, Message, Problem, Seat, Turn, Usage

Control = Literal["right", "wrong", "echo", "unsure", "random"]
Words = Literal["own", "model"]

USES_MISTAKES = frozenset({"wrong", "random"})
"""Kinds whose stance may be a wrong answer."""
PREFIX = "control:"
"""Of the model's name of a control partner with words of its own."""
FREE = Usage(prompt_tokens=0, completion_tokens=0, reasoning_tokens=0, cached_tokens=0)
"""What words cost that no model wrote."""

Ask = Callable[[Request], Awaitable[Generation]]


class Nobody:
    """Stands where an agent's model would: a control partner with words of its own asks none."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def generate(self, request: Request) -> Generation:
        """Never called: `ControlPartner.speak` makes the words."""
        raise AssertionError(f"{self.name} is not a model: {request.conversation_id}")

    async def __aenter__(self) -> Nobody:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


class _Stance(NamedTuple):
    """What a turn is to say; `answer` is None where it submits none."""

    move: Move
    answer: str | None
    theirs: str | None


@dataclass(frozen=True, kw_only=True)
class ControlPartner:
    """What a control partner says.

    Attributes:
        kind: right: insists on the gold answer. wrong: insists on one wrong answer of the problem, the same
            in all runs over the data. echo: repeats the other's latest answer. unsure: never submits any.
            random: insists on one of the right and the wrong answers, drawn by conversation.
        words: own, or model: a model argues for the answer, and the answer is stated below in our words.
    """

    kind: Control
    words: Words
    task: Task
    mistakes: Mistakes

    async def speak(
        self, problem: Problem, seat: Seat, turns: Sequence[Turn], request: Request, ask: Ask
    ) -> Generation:
        """The next turn of `seat`.

        Args:
            request: what a model in this seat would be asked.
            ask: sends a request to the agent's model; only called where a model finds the words.

        Raises:
            ModelError: the model could not be asked.
        """
        started = time.perf_counter()
        stance = await self._stance(problem, seat, turns, request.conversation_id)
        if self.words == "model" and stance.answer is not None:
            argued = await ask(_to_argue(request, stance.answer))
            candidates = [
                await self._closed(one, stance, problem, request, index)
                for index, one in enumerate(argued.candidates)
            ]
            return msgspec.structs.replace(argued, candidates=tuple(candidates))
        texts = [
            await self._own_words(stance, problem, self._rng(request, index)) for index in range(request.n)
        ]
        return Generation(
            candidates=tuple(
                Candidate(text=text, finish_reason=FinishReason.STOP, usage=FREE) for text in texts
            ),
            usage=FREE,
            latency_s=time.perf_counter() - started,
            attempts=0,
        )

    async def _stance(
        self, problem: Problem, seat: Seat, turns: Sequence[Turn], conversation_id: str
    ) -> _Stance:
        heard = next((turn.reply.belief for turn in reversed(turns) if turn.seat != seat), None)
        theirs = heard.value if isinstance(heard, Answered) else None
        answer = theirs if self.kind == "echo" else await self._answer(problem, conversation_id)
        if answer is None:
            return _Stance(Move.UNSURE, None, theirs)
        if theirs is None:
            spoken = any(turn.seat == seat for turn in turns)
            return _Stance(Move.REPEAT if spoken else Move.PROPOSE, answer, None)
        agreed = await boundary.same(self.task, answer, theirs, problem)
        return _Stance(Move.AGREE if agreed else Move.HOLD, answer, theirs)

    async def _answer(self, problem: Problem, conversation_id: str) -> str | None:
        """What it insists on; None where it has no answer, or none that is wrong can be thought of."""
        if self.kind == "right":
            return problem.target
        if self.kind == "unsure":
            return None
        mistakes = await self.mistakes.of(problem)
        if self.kind == "random":
            drawn = random.Random(f"control:{conversation_id}")  # noqa: S311 - the same in all arms
            return drawn.choice((problem.target, *mistakes))
        if not mistakes:
            warnings.warn(
                f"no wrong answer to problem {problem.id} can be thought of: the control partner says that "
                "it is not sure",
                Notice,
                stacklevel=2,
            )
        return mistakes[0] if mistakes else None

    async def _own_words(self, stance: _Stance, problem: Problem, rng: random.Random) -> str:
        reasons = words.body(
            stance.move,
            rng,
            statement=self.task.opening(problem),
            mine=words.spoken(stance.answer or "") or "my first idea",
            theirs=words.spoken(stance.theirs or ""),
        )
        if stance.answer is None:
            ending = words.unsure_ending(rng)
            text = f"{reasons}\n\n{ending}"
            return ending if isinstance(boundary.read(self.task, text, problem), Answered) else text
        bodies = (reasons, words.plain_body(stance.move, rng))
        return await submitting(self.task, stance.answer, problem, bodies, rng)

    async def _closed(
        self, argued: Candidate, stance: _Stance, problem: Problem, request: Request, index: int
    ) -> Candidate:
        """A model's argument, with the answer stated below it: what the turn submits is ours to say."""
        assert stance.answer is not None
        rng = self._rng(request, index)
        argument = reasons_in(argued.text, problem, self.task)
        bodies = [argument] if argument else []
        text = await submitting(
            self.task, stance.answer, problem, (*bodies, words.plain_body(stance.move, rng)), rng
        )
        return msgspec.structs.replace(argued, text=text, finish_reason=FinishReason.STOP)

    def _rng(self, request: Request, index: int) -> random.Random:
        """Follows from the conversation and the turn, not from the protocol or the run's seed."""
        spoken = sum(message.role == "assistant" for message in request.messages)
        return random.Random(f"{self.kind}:{request.conversation_id}:{spoken}:{index}")  # noqa: S311


def _to_argue(request: Request, answer: str) -> Request:
    """The request with the wish to argue for an answer below its last message."""
    *before, last = request.messages
    asked = prompts.render(prompts.builtin("argue"), answer=words.spoken(answer))
    if words.is_program(answer):
        asked = f"{asked}\n\nThat program:\n\n{words.block(answer)}"
    messages = (*before, Message(last.role, f"{last.content}\n\n{asked}"))
    return msgspec.structs.replace(request, messages=messages)


async def submitting(
    task: Task, answer: str, problem: Problem, bodies: Iterable[str], rng: random.Random
) -> str:
    """Words that the task's own rules read as `answer`: what such an agent says must not be misread.

    Args:
        bodies: the reasons, the ones that are wanted most first.
    """
    for body in bodies:
        for ending in words.endings(answer, task.instruction, rng):
            text = f"{body}\n\n{ending}"
            read = boundary.read(task, text, problem)
            if isinstance(read, Answered) and await boundary.same(task, read.value, answer, problem):
                return text
    return f"Answer: {answer}"
