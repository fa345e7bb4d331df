"""The scripted agent: a `Model` without a neural network that knows a task's problems and argues.

It is right, stubborn and unsure with set probabilities, reads its partner as the task's rules do, and
serves as extractor model, too: real conversations without a key, a GPU or a network. Every choice
follows from its seed and the request (messages, request seed, candidate), so a request that is sent
again gets the same reply.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import time
from collections.abc import AsyncGenerator, Iterable
from types import TracebackType
from typing import final

import msgspec

from coral.conversation import words
from coral.conversation.controls import submitting
from coral.conversation.mistakes import Mistakes
from coral.conversation.sight import reasons_in
from coral.conversation.words import Move
from coral.errors import ConfigError, Rejected
from coral.models.protocol import Candidate, Delta, Generation, Request
from coral.serving.app import Served
from coral.serving.scripted_request import ExtractionRequest, ProblemIndex, SpeakRequest, understand
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, FinishReason, Problem, Usage

NAME = "scripted"
FEW_WORDS = 5
"""Fewer words beside an answer are no argument."""


class Persona(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a scripted agent behaves.

    Where its answer meets another one, it is asked in this order: restless, unsure, 1 - stubbornness, swayed.
    So it gives in to a bare answer with (1 - restless) (1 - unsure) (1 - stubbornness).

    Attributes:
        accuracy: probability that the first answer it finds for itself is right.
        stubbornness: probability that it keeps to its answer at a turn where the partner's differs.
        unsure: probability that it has no answer yet, or loses faith in its own in a dispute.
        restless: probability that it changes its answer when it is asked again, whatever it hears.
        swayed: probability that words beside a bare answer make it give in where the answer did not.
        patience: turns that it holds on to a disputed answer before it gives in; an agent with
            stubbornness 1 never does.
        seed: of all its choices.
        latency_s: seconds before each reply.
    """

    accuracy: float = 0.6
    stubbornness: float = 0.5
    unsure: float = 0.05
    restless: float = 0.0
    swayed: float = 0.0
    patience: int = 6
    seed: int = 0
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("accuracy", "stubbornness", "unsure", "restless", "swayed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(
                    f"{name} must be between 0 and 1 (got {getattr(self, name)})", remedy=_NAME_REMEDY
                )
        for name in ("patience", "latency_s"):
            if getattr(self, name) < 0:
                raise ConfigError(
                    f"{name} must be at least 0 (got {getattr(self, name)})", remedy=_NAME_REMEDY
                )


def parse_persona(name: str, default: Persona) -> Persona:
    """Read a model name such as `scripted:accuracy=0.9,stubbornness=0.8`.

    What the name leaves out is as in `default`.

    Raises:
        ConfigError: it is no such name, or a value is out of range.
    """
    base, colon, options = name.partition(":")
    pairs = [pair.partition("=")[::2] for pair in options.split(",")] if colon else []
    fields = dict(pairs)
    if base != NAME or len(fields) != len(pairs):
        raise ConfigError(f"'{name}' is not a scripted agent", remedy=_NAME_REMEDY)
    try:
        return msgspec.convert({**msgspec.to_builtins(default), **fields}, Persona, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"'{name}' is not a scripted agent: {error}", remedy=_NAME_REMEDY) from None


_NAME_REMEDY = (
    f"name it '{NAME}', or with options like '{NAME}:accuracy=0.9,stubbornness=0.8' "
    f"({', '.join(Persona.__struct_fields__)})"
)


class Knowledge:
    """What all scripted agents of a process know: a task, its problems, and how one errs on them."""

    def __init__(self, task: Task, problems: Iterable[Problem]) -> None:
        self.task = task
        self.index = ProblemIndex(task, problems)
        self.mistakes = Mistakes(task, self.index.problems)


class Stance(msgspec.Struct, frozen=True):
    """What a turn does, and the answers that are on the table."""

    move: Move
    mine: str = ""
    theirs: str = ""

    @property
    def submitted(self) -> str | None:
        """The answer that the turn submits."""
        if self.move in {Move.UNSURE, Move.WITHDRAW}:
            return None
        return self.theirs if self.move is Move.YIELD else self.mine


@final
class ScriptedModel:
    """One scripted agent. Implements `coral.models.protocol.Model`; offers `stream` and `split_tokens`."""

    def __init__(self, knowledge: Knowledge, persona: Persona | None = None, *, name: str = NAME) -> None:
        self._knowledge = knowledge
        self._persona = persona or Persona()
        self._name = name

    @property
    def name(self) -> str:
        """What it is asked for as."""
        return self._name

    async def __aenter__(self) -> ScriptedModel:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def generate(self, request: Request) -> Generation:
        """Answer `request`; tokens are words, and have no ids.

        Raises:
            Rejected: ids are asked for.
        """
        started = time.perf_counter()
        if request.sampling.return_token_ids:
            raise Rejected("'return_token_ids' is not supported: a scripted agent has no tokens", status=400)
        if self._persona.latency_s:
            await asyncio.sleep(self._persona.latency_s)
        asked = understand(request.messages, self._knowledge.index)
        prompt_tokens = sum(len(message.content.split()) for message in request.messages)
        candidates = [await self._candidate(request, asked, index) for index in range(request.n)]
        written = sum(len(self.split_tokens(candidate.text)) for candidate in candidates)
        return Generation(
            candidates=tuple(candidates),
            usage=Usage(prompt_tokens=prompt_tokens, completion_tokens=written),
            latency_s=time.perf_counter() - started,
        )

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The same reply word by word."""
        generation = await self.generate(request)
        last = len(generation.candidates) - 1
        for index, candidate in enumerate(generation.candidates):
            tokens = self.split_tokens(candidate.text)
            for position, token in enumerate(tokens):
                logprobs = candidate.token_logprobs and (candidate.token_logprobs[position],)
                yield Delta(index=index, text=token, token_logprobs=logprobs)
            usage = generation.usage if index == last else None
            yield Delta(index=index, text="", finish_reason=candidate.finish_reason, usage=usage)

    def split_tokens(self, text: str) -> list[str]:
        """The words, each with the white space before it."""
        return re.findall(r"\s*\S+|\s+$", text)

    async def _candidate(
        self, request: Request, asked: ExtractionRequest | SpeakRequest, index: int
    ) -> Candidate:
        rng = self._rng(request, index)
        if isinstance(asked, ExtractionRequest):
            text = self._extract(asked)
        else:
            text = await self._speak(asked, rng)
        text, finish_reason = _cut(text, request)
        tokens = self.split_tokens(text)
        logprobs = tuple(-round(rng.expovariate(4), 4) for _ in tokens) if request.sampling.logprobs else None
        return Candidate(
            text=text,
            finish_reason=finish_reason,
            usage=Usage(completion_tokens=len(tokens)),
            token_logprobs=logprobs,
        )

    def _rng(self, request: Request, index: int) -> random.Random:
        said = hashlib.sha256(msgspec.json.encode(request.messages)).hexdigest()
        return random.Random(f"{self._persona.seed}:{request.seed}:{index}:{said}")  # noqa: S311 - repeatable

    def _extract(self, asked: ExtractionRequest) -> str:
        belief = self._read(asked.reply, asked.problem) if asked.problem else None
        return f"Answer: {belief.value}" if isinstance(belief, Answered) else "Answer: not sure yet"

    # Speaking ---------------------------------------------------------------------------------------

    async def _speak(self, asked: SpeakRequest, rng: random.Random) -> str:
        if asked.problem is None:
            return words.UNKNOWN_PROBLEM
        stance = await self._decide(asked, asked.problem, rng)
        if stance.submitted is None:
            return await self._phrase_unsure(stance, asked.problem, rng)
        return await self._phrase(stance, stance.submitted, asked.problem, rng)

    async def _decide(self, asked: SpeakRequest, problem: Problem, rng: random.Random) -> Stance:
        mine = self._answer_of(asked.own[-1:], problem)
        theirs = self._answer_of(asked.partner[-1:], problem)
        if mine is None:
            return await self._first_stance(asked, problem, theirs, rng)
        if (other := await self._other_answer(mine, problem, rng)) is not None:
            return Stance(Move.PROPOSE, other)
        if theirs is None:
            return Stance(Move.REPEAT, mine)
        if await self._same(mine, theirs, problem):
            return Stance(Move.AGREE, mine, theirs)
        if rng.random() < self._persona.unsure:
            return Stance(Move.WITHDRAW, mine, theirs)
        held = await self._turns_held(asked.own, mine, problem)
        gives_in = self._gives_in(rng, held) or self._is_swayed(asked.partner[-1], problem, rng)
        return Stance(Move.YIELD if gives_in else Move.HOLD, mine, theirs)

    async def _other_answer(self, mine: str, problem: Problem, rng: random.Random) -> str | None:
        """Where it is restless: a wrong answer instead of the right one, the right one instead of others."""
        if not self._persona.restless or rng.random() >= self._persona.restless:
            return None
        if await self._same(mine, problem.target, problem):
            return await self._knowledge.mistakes.draw(problem, rng)
        return problem.target

    def _is_swayed(self, heard: str, problem: Problem, rng: random.Random) -> bool:
        if not self._persona.swayed:
            return False
        words_beside = reasons_in(heard, problem, self._knowledge.task).split()
        return len(words_beside) >= FEW_WORDS and rng.random() < self._persona.swayed

    async def _first_stance(
        self, asked: SpeakRequest, problem: Problem, theirs: str | None, rng: random.Random
    ) -> Stance:
        hesitant = not asked.alone and rng.random() < self._persona.unsure
        mine = None if hesitant else await self._solve(problem, rng)
        if mine is None:
            return Stance(Move.UNSURE)
        if theirs is None:
            return Stance(Move.PROPOSE, mine)
        if await self._same(mine, theirs, problem):
            return Stance(Move.AGREE, mine, theirs)
        if self._gives_in(rng, turns_held=0):
            return Stance(Move.YIELD, theirs=theirs)  # what it never said, it need not take back
        return Stance(Move.HOLD, mine, theirs)

    async def _solve(self, problem: Problem, rng: random.Random) -> str | None:
        """The answer found alone: right with probability `accuracy`."""
        if rng.random() < self._persona.accuracy:
            return problem.target
        return await self._knowledge.mistakes.draw(problem, rng)

    def _gives_in(self, rng: random.Random, turns_held: int) -> bool:
        if rng.random() >= self._persona.stubbornness:
            return True
        return self._persona.stubbornness < 1 and turns_held >= self._persona.patience > 0

    async def _turns_held(self, own: tuple[str, ...], mine: str, problem: Problem) -> int:
        """For how many of its last turns the agent has submitted `mine`."""
        count = 0
        for text in reversed(own):
            answer = self._answer_of((text,), problem)
            if answer is None or not await self._same(answer, mine, problem):
                break
            count += 1
        return count

    # Words ------------------------------------------------------------------------------------------

    async def _phrase(self, stance: Stance, answer: str, problem: Problem, rng: random.Random) -> str:
        """Words that the task's own rules read as `answer`: what an agent says must not be misread."""
        reasons = (self._reasons(stance, problem, rng), words.plain_body(stance.move, rng))
        return await submitting(self._knowledge.task, answer, problem, reasons, rng)

    async def _phrase_unsure(self, stance: Stance, problem: Problem, rng: random.Random) -> str:
        ending = words.unsure_ending(rng)
        text = f"{self._reasons(stance, problem, rng)}\n\n{ending}"
        return ending if isinstance(self._read(text, problem), Answered) else text

    def _reasons(self, stance: Stance, problem: Problem, rng: random.Random) -> str:
        return words.body(
            stance.move,
            rng,
            statement=self._knowledge.task.opening(problem),
            mine=words.spoken(stance.mine) or "my first idea",
            theirs=words.spoken(stance.theirs),
        )

    # Reading ----------------------------------------------------------------------------------------

    def _answer_of(self, said: tuple[str, ...], problem: Problem) -> str | None:
        belief = self._read(said[0], problem) if said else None
        return belief.value if isinstance(belief, Answered) else None

    def _read(self, text: str, problem: Problem) -> Belief:
        return boundary.read(self._knowledge.task, text, problem)

    async def _same(self, a: str, b: str, problem: Problem) -> bool:
        return await boundary.same(self._knowledge.task, a, b, problem)


def serve_scripted(knowledge: Knowledge, default: Persona) -> Served:
    """Offer `scripted` and every `scripted:OPTION=VALUE,...`, all over the same problems."""

    def find(name: str) -> ScriptedModel | None:
        try:
            return ScriptedModel(knowledge, parse_persona(name, default), name=name)
        except ConfigError:
            return None

    return Served(names=(NAME,), find=find, hint=_NAME_REMEDY)


def _cut(text: str, request: Request) -> tuple[str, FinishReason]:
    """Apply `stop`, then `max_tokens`."""
    stops = [at for at in map(text.find, request.sampling.stop) if at >= 0]
    text = text[: min(stops)] if stops else text
    limit = request.sampling.max_tokens
    tokens = list(re.finditer(r"\s*\S+", text))
    if limit is None or len(tokens) <= limit:
        return text, FinishReason.STOP
    return text[: tokens[limit - 1].end()], FinishReason.LENGTH
