"""One turn of a conversation: the request, its candidates judged, and the one that goes on."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from coral.conversation.agent import Agent
from coral.conversation.calls import Calls, request_seed
from coral.conversation.extraction import Extractor, unanswered
from coral.conversation.messages import messages_for
from coral.conversation.selection import ONE_CANDIDATE, Draw, Selection, belief_kinds, obstacle, select
from coral.errors import STOPS_THE_RUN, ContextOverflow, ModelError, NoCandidate
from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate, Generation, Request
from coral.models.together import all_of
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Extraction, Failure, Problem, Reply, Seat, StopReason, Turn, Unsure


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the conversations of a run have in common.

    Attributes:
        max_turns: the opening is not a turn.
        seed: of the run.
        salt: tells the random numbers of runs with one seed apart.
        second_chance: what one agent alone is asked where its reply submits no answer; empty for nothing.
        on_belief: told every belief as it is found; may raise what ends the run.
    """

    task: Task
    extractor: Extractor
    max_turns: int
    seed: int
    draw: Draw = ONE_CANDIDATE
    salt: str = ""
    second_chance: str = ""
    on_belief: Callable[[Belief], None] | None = None

    @property
    def entropy(self) -> str:
        """What all random numbers of a run follow from."""
        return f"{self.seed}:{self.salt}" if self.salt else f"{self.seed}"


class CallFailed(Exception):
    """A request failed for good; `where` says what was being done."""

    def __init__(self, where: str, error: ModelError) -> None:
        super().__init__(where)
        self.where, self.error = where, error

    def ending(self, turns: Sequence[Turn]) -> tuple[StopReason, Failure | None]:
        """A full context ends a conversation that has begun; everything else fails it."""
        if isinstance(self.error, ContextOverflow) and turns:
            return StopReason.CONTEXT_FULL, None
        return StopReason.FAILED, Failure(
            where=self.where,
            type=type(self.error).__name__,
            message=str(self.error),
            status=self.error.status,
            attempts=self.error.attempts,
        )


@contextmanager
def _blaming(where: str) -> Iterator[None]:
    """Note what was being done when a request failed for good."""
    try:
        yield
    except STOPS_THE_RUN:
        raise
    except ModelError as error:
        raise CallFailed(where, error) from error


class _Verdict(NamedTuple):
    belief: Belief
    correct: bool | None
    extraction: Extraction


@dataclass(frozen=True)
class Table:
    """One conversation's fixed circumstances."""

    identity: str
    problem: Problem
    opening: str
    briefings: dict[Seat, str]
    seats: dict[Seat, Agent]
    setting: Setting
    calls: Calls

    @property
    def alone(self) -> bool:
        """One agent answers without a partner."""
        return Seat.OPENER not in self.seats

    async def take_turn(self, turns: Sequence[Turn], draw: Draw, branch: str = "") -> Turn:
        """Ask whose turn it is; extract and grade the belief of each candidate; decide which goes on.

        Args:
            turns: those so far.
            branch: opens the names of the steps; not empty in roll-outs.

        Raises:
            CallFailed: a request failed for good, or none of several candidates can go on.
            ModelError: every other request would meet the same (`STOPS_THE_RUN`).
        """
        number = len(turns) + 1
        seat = Seat.RESPONDER if number % 2 or self.alone else Seat.OPENER
        agent = self.seats[seat]
        step = f"{branch}{number}"
        request = Request(
            messages=messages_for(
                seat,
                system=agent.system,
                opening=self.opening,
                briefing=self.briefings[seat],
                replies=[turn.reply.text for turn in turns],
                system_in_user=agent.system_in_user,
                asked_again=self.setting.second_chance if self.alone else "",
            ),
            sampling=agent.sampling,
            n=draw.candidates,
            seed=request_seed(self.setting.entropy, self.identity, step),
            conversation_id=self.identity,
        )
        with _blaming(f"turn {step} ({seat.value})"):
            generation = _own_turns(await self.calls(step, agent.model, request))
            if draw.candidates > 1:
                replies = await self._judge_siblings(generation, step)
                chosen = await self._choose(replies, draw.select, step, turns, generation.attempts)
                usage, attempts = generation.usage, generation.attempts
                return Turn(seat=seat, replies=replies, chosen=chosen, usage=usage, attempts=attempts)
        return _turn_of_one(seat, await self._judge_only(generation, step), generation)

    async def _judge_only(self, generation: Generation, step: str) -> Reply:
        candidate = generation.candidates[0]
        belief, correct, extraction = await self._judge(candidate, step)
        return Reply(
            text=candidate.text,
            reasoning=candidate.reasoning,
            belief=belief,
            correct=correct,
            finish_reason=candidate.finish_reason,
            extraction=extraction,
            usage=candidate.usage or generation.usage,
            latency_s=round(generation.latency_s, 6),
            attempts=generation.attempts,
            overrun=candidate.overrun,
        )

    async def _judge(self, candidate: Candidate, step: str) -> _Verdict:
        with _blaming(f"extraction of turn {step}"):
            belief, extraction = await self.setting.extractor.extract(
                candidate,
                self.problem,
                calls=self.calls,
                conversation_id=self.identity,
                step=f"{step}/extraction",
                seed=self.setting.entropy,
            )
        if self.setting.on_belief is not None:
            self.setting.on_belief(belief)
        return _Verdict(belief, await self._grade(belief), extraction)

    async def _grade(self, belief: Belief) -> bool | None:
        match belief:
            case Answered(value):
                return await boundary.grade(self.setting.task, value, self.problem)
            case Unsure():
                return False
            case _:
                return None

    async def _judge_siblings(self, generation: Generation, step: str) -> tuple[Reply, ...]:
        """Judge all candidates at once; what several say in the same words is judged once."""
        candidates = generation.candidates
        words = [(candidate.text, candidate.finish_reason) for candidate in candidates]
        firsts = {said: words.index(said) for said in words}
        judging = (self._judge_one_of_several(candidates[i], f"{step}/c{i}") for i in firsts.values())
        verdicts = dict(zip(firsts, await all_of(judging), strict=True))
        return tuple(
            _sibling(candidate, verdicts[said], generation.latency_s, repeated=firsts[said] != index)
            for index, (candidate, said) in enumerate(zip(candidates, words, strict=True))
        )

    async def _judge_one_of_several(self, candidate: Candidate, step: str) -> _Verdict:
        """A candidate whose belief could not be asked for is lost; its siblings are not."""
        try:
            return await self._judge(candidate, step)
        except CallFailed as failed:
            belief, extraction = unanswered(failed.error)
            return _Verdict(belief, None, extraction)

    async def _choose(
        self, replies: tuple[Reply, ...], how: Selection, step: str, turns: Sequence[Turn], attempts: int
    ) -> int:
        rng = random.Random(f"{self.setting.entropy}:{self.identity}:{step}")  # noqa: S311 - repeatable
        kinds, held = await self._kinds(replies, turns) if how == "diverse" else ((), frozenset[int]())
        chosen = select(how, replies, rng, kinds=kinds, held=held)
        if chosen is None:
            reasons = sorted({str(obstacle(reply)) for reply in replies})
            asked = sum(reply.extraction.attempts for reply in replies)
            message = f"none of {len(replies)} candidates can go on: {'; '.join(reasons)}"
            raise NoCandidate(message, attempts=attempts + asked)
        return chosen

    async def _kinds(
        self, replies: Sequence[Reply], turns: Sequence[Turn]
    ) -> tuple[tuple[int, ...], frozenset[int]]:
        """Numbers of the candidates' beliefs, and of those that the turns so far held."""
        beliefs = [turn.reply.belief for turn in turns] + [reply.belief for reply in replies]
        kinds = await belief_kinds(beliefs, lambda a, b: boundary.same(self.setting.task, a, b, self.problem))
        return tuple(kinds[len(turns) :]), frozenset(kinds[: len(turns)])


def _own_turns(generation: Generation) -> Generation:
    return msgspec.structs.replace(generation, candidates=tuple(map(own_turn, generation.candidates)))


def _turn_of_one(seat: Seat, reply: Reply, generation: Generation) -> Turn:
    """The turn of a single candidate. Where it was drawn again (cut while the model thought, or blank), all
    draws were paid for, and the reply's own usage is that of the last one.
    """
    if reply.usage == generation.usage:
        return Turn(seat=seat, replies=(reply,))
    reply = msgspec.structs.replace(reply, attempts=0)
    return Turn(seat=seat, replies=(reply,), usage=generation.usage, attempts=generation.attempts)


def _sibling(candidate: Candidate, verdict: _Verdict, latency_s: float, *, repeated: bool) -> Reply:
    extraction = verdict.extraction
    if repeated and extraction.by == "model":
        extraction = Extraction(by="model", text=extraction.text)
    return Reply(
        text=candidate.text,
        reasoning=candidate.reasoning,
        belief=verdict.belief,
        correct=verdict.correct,
        finish_reason=candidate.finish_reason,
        extraction=extraction,
        usage=candidate.usage,
        latency_s=round(latency_s, 6),
        attempts=0,
        overrun=candidate.overrun,
    )
