"""The conversation loop. There is one: a protocol says who speaks, what they see and when it is over.

One agent alone, a pair and a panel are protocols; several candidates per turn are sampling.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import msgspec

from coral.conversation.agent import Agent
from coral.conversation.calls import Calls, direct, request_seed
from coral.conversation.extraction import Extractor, unanswered
from coral.conversation.failed import CallFailed, adding, blaming
from coral.conversation.judging import Graded, Judge, unjudged
from coral.conversation.messages import Told
from coral.conversation.own_prompts import stated
from coral.conversation.probe import probed
from coral.conversation.protocols.base import ConversationProtocol
from coral.conversation.replies import Verdict, own_turns, reply_of, sibling, turn_of_one
from coral.conversation.selection import ONE_CANDIDATE, Draw, Selection, belief_kinds, obstacle, select
from coral.errors import NoCandidate
from coral.metrics.cost import EXTRACTOR, JUDGE, spent_asking, spent_on
from coral.metrics.trace import trace_of_turns
from coral.models.config import HUMAN
from coral.models.protocol import Candidate, Generation, Request
from coral.models.together import all_of
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import (
    SCHEMA,
    Answered,
    Belief,
    Conversation,
    Extraction,
    Failure,
    Judgement,
    Parent,
    Problem,
    Reply,
    Rollout,
    Seat,
    Spent,
    StopReason,
    Turn,
    Unsure,
)


@dataclass(frozen=True, kw_only=True)
class ConversationConfig:
    """What the conversations of a run have in common.

    Attributes:
        seed: of the run.
        salt: tells the random numbers of runs with one seed apart.
        judge: grades the answers that rules cannot; None where there is none.
        on_belief: told every belief as it is found; may raise what ends the run.
        on_verdict: told every judgement as it is made; likewise.
        probe: what each seat is asked off the record after its turn; empty for nothing.
        opening: template of how problems are stated; empty: as the task does.
    """

    task: Task
    protocol: ConversationProtocol
    extractor: Extractor
    seed: int
    draw: Draw = ONE_CANDIDATE
    salt: str = ""
    judge: Judge | None = None
    on_belief: Callable[[Belief], None] | None = None
    on_verdict: Callable[[Judgement], None] | None = None
    probe: str = ""
    opening: str = ""

    @property
    def entropy(self) -> str:
        """What all random numbers of a run follow from."""
        return f"{self.seed}:{self.salt}" if self.salt else f"{self.seed}"


class Beginning(NamedTuple):
    """The first turns of a forked conversation, and where they are from."""

    turns: tuple[Turn, ...]
    parent: Parent


async def converse(
    problem: Problem,
    *,
    sample: int,
    agents: Mapping[Seat, Agent],
    config: ConversationConfig,
    calls: Calls = direct,
    beginning: Beginning | None = None,
) -> Conversation:
    """Hold a conversation about `problem`, as the protocol of `config` has it.

    After each turn its belief is extracted and graded. It ends where the protocol says so, when a speaker's
    context is full, or with a request that failed for good.

    Where `config.draw` asks for several candidates per turn, one of them continues and the others are kept as
    its siblings; where it asks for roll-outs, conversations are continued from each.

    Args:
        sample: counts the conversations about one problem, from 0; part of the id.
        agents: who holds each seat of the protocol.
        calls: makes the requests; a run passes one that remembers.
        beginning: turns of another conversation that it shares, and continues; None: it begins anew.

    Returns:
        The finished conversation. A failed request is data in it, not an exception.

    Raises:
        ModelError: every other request would meet the same (`STOPS_THE_RUN`).
    """
    identity = f"{problem.id}#{sample}"
    started_at, clock = time.time(), time.perf_counter()
    opening = stated(config.opening, config.task, problem)
    told = {
        seat: Told(
            system=agent.system,
            opening=opening,
            briefing=config.task.briefing(problem, seat),
            system_in_user=agent.system_in_user,
            examples=agent.examples,
        )
        for seat, agent in agents.items()
    }
    context = TurnContext(identity, problem, agents, told, config, calls)
    talk = await _begun(context, beginning.turns if beginning else (), config.draw)
    return Conversation(
        schema=SCHEMA,
        id=identity,
        problem=problem,
        speakers={seat: agents[seat].speaker for seat in config.protocol.speakers},
        opening=opening,
        turns=talk.turns,
        stop=talk.stop,
        seed=config.seed,
        started_at=started_at,
        seconds=time.perf_counter() - clock,
        failure=talk.failure,
        parent=beginning and beginning.parent,
    )


class _Talk(NamedTuple):
    """What was said up to the end, and why it ended."""

    turns: tuple[Turn, ...]
    stop: StopReason
    failure: Failure | None = None


async def _begun(context: TurnContext, before: tuple[Turn, ...], draw: Draw) -> _Talk:
    """The conversation that begins with turns of another one, graded as here."""
    try:
        before = await context.judged(before)
    except CallFailed as failed:
        return _Talk(before, *failed.ending(before))
    return await _talk(context, before, draw)


async def _talk(context: TurnContext, before: tuple[Turn, ...], draw: Draw, branch: str = "") -> _Talk:
    """Continue behind `before` to the end of the conversation."""
    turns = before
    while (stop := await context.ending(turns)) is None:
        try:
            turn = await context.take_turn(turns, draw, branch)
            if context.config.probe and not branch:
                turn = await probed(context, turns, turn)
        except CallFailed as failed:
            return _Talk(turns, *failed.ending(turns))
        if draw.rollouts:
            turn = await _rolled_out(context, turns, turn, draw.rollouts)
        turns = (*turns, turn)
    return _Talk(turns, stop)


# Roll-outs --------------------------------------------------------------------------------------------------


async def _rolled_out(context: TurnContext, before: tuple[Turn, ...], turn: Turn, rollouts: int) -> Turn:
    """The turn, each candidate with the outcomes of conversations continued from it, all at once."""
    starts = []
    for index, reply in enumerate(turn.replies):
        if obstacle(reply) is None:
            start = (*before, msgspec.structs.replace(turn, chosen=index))
            over = await context.ending(start) is not None
            starts += [(index, start, number) for number in range(1 if over else rollouts)]
    outcomes = await all_of(
        _roll_out(context, start, f"{len(start)}/c{index}/r{number}/") for index, start, number in starts
    )
    of_candidate: dict[int, list[Rollout]] = {}
    for (index, _, _), outcome in zip(starts, outcomes, strict=True):
        of_candidate.setdefault(index, []).append(outcome)
    replies = tuple(
        msgspec.structs.replace(reply, rollouts=tuple(of_candidate.get(index, ())))
        for index, reply in enumerate(turn.replies)
    )
    return msgspec.structs.replace(turn, replies=replies)


async def _roll_out(context: TurnContext, start: tuple[Turn, ...], branch: str) -> Rollout:
    turns, stop, failure = await _talk(context, start, ONE_CANDIDATE, branch)
    own = turns[len(start) :]
    names = {seat: agent.name for seat, agent in context.agents.items()}
    spent = spent_on(own, names)
    if stop is StopReason.FAILED:
        return Rollout(stop=stop, turns=len(own), spent=spent, failure=failure)
    outcome = context.config.protocol.outcome(trace := await trace_of_turns(turns, context.same))
    answer = None
    if outcome.answer is not None:
        numbers = [turn.belief for turn in trace.turns]
        belief = turns[len(numbers) - 1 - numbers[::-1].index(outcome.answer)].reply.belief
        answer = belief.value if isinstance(belief, Answered) else None
    return Rollout(stop=stop, turns=len(own), answer=answer, correct=outcome.right, spent=spent)


# One turn ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TurnContext:
    """One conversation's fixed circumstances."""

    identity: str
    problem: Problem
    agents: Mapping[Seat, Agent]
    told: Mapping[Seat, Told]
    config: ConversationConfig
    calls: Calls

    async def same(self, a: str, b: str) -> bool:
        """Whether two answers to the problem mean the same."""
        return await boundary.same(self.config.task, a, b, self.problem)

    async def ending(self, turns: Sequence[Turn]) -> StopReason | None:
        """Why the conversation ends behind `turns`, None if it continues."""
        stop = await self.config.protocol.ending(turns, self.same)
        if stop is None and self.config.protocol.next_seat(turns) is None:
            return StopReason.MAX_TURNS
        return stop

    def shown(self, turns: Sequence[Turn], seat: Seat) -> Sequence[Turn]:
        """The turns as a seat is shown them."""
        sight = self.agents[seat].sight
        return turns if sight is None else sight.of(turns, seat, self.problem)

    async def take_turn(self, turns: Sequence[Turn], draw: Draw, branch: str = "") -> Turn:
        """Ask whose turn it is; extract and grade the belief of each candidate; choose which continues.

        Args:
            turns: those so far.
            branch: opens the names of the steps; not empty in roll-outs.

        Raises:
            CallFailed: a request failed for good, or no candidate can be kept.
            ModelError: every other request would meet the same (`STOPS_THE_RUN`).
        """
        protocol = self.config.protocol
        seat = protocol.next_seat(turns)
        assert seat is not None, "the conversation has ended"
        agent = self.agents[seat]
        step = f"{branch}{len(turns) + 1}"
        request = Request(
            messages=protocol.messages(seat, self.told[seat], self.shown(turns, seat)),
            sampling=agent.sampling,
            n=draw.candidates,
            seed=request_seed(self.config.entropy, self.identity, step),
            conversation_id=self.identity,
        )
        where = f"turn {step} ({seat})"
        with blaming(where, agent.name):
            generation = own_turns(await self._generate(step, seat, turns, request), agent)
        usage, attempts = generation.usage, generation.attempts
        judge = self._judging(agent)
        if draw.candidates == 1:
            paid = Spent(role=agent.name, calls=1, requests=attempts, usage=usage, billing=generation.billing)
            with adding([paid]):
                return turn_of_one(seat, await judge.judge_only(generation, step), generation)
        replies = await judge.judge_siblings(generation, step)
        turn = Turn(
            seat=seat,
            replies=replies,
            usage=usage,
            attempts=attempts,
            prompt_token_ids=generation.prompt_token_ids,
        )
        # Nothing but the candidates can fail the choice, and the failure counts their requests.
        lost = [msgspec.structs.replace(one, requests=0) for one in spent_on((turn,), {seat: agent.name})]
        with adding(lost), blaming(where, agent.name):
            chosen = await self._choose(replies, draw.select, step, turns, attempts)
        return msgspec.structs.replace(turn, chosen=chosen)

    async def _generate(self, step: str, seat: Seat, turns: Sequence[Turn], request: Request) -> Generation:
        agent = self.agents[seat]
        if agent.control is None:
            return await self.calls(step, agent.model, request)
        return await agent.control.speak(
            self.problem, seat, turns, request, lambda asked: self.calls(step, agent.model, asked)
        )

    def _judging(self, agent: Agent) -> TurnContext:
        """The circumstances in which the words of an agent are judged.

        Many people begin without an answer: that their words hold none says nothing about the run.
        """
        if agent.control is not None:
            return self._by_rules
        if agent.model.name == HUMAN:
            return replace(self, config=replace(self.config, on_belief=None))
        return self

    @cached_property
    def _by_rules(self) -> TurnContext:
        """Where a control partner speaks, no model is asked what it said: rules can read its words. That they
        can says nothing about the models of a run.
        """
        extractor = replace(self.config.extractor, mode="rules", model=None)
        return replace(self, config=replace(self.config, extractor=extractor, on_belief=None))

    async def judge_only(self, generation: Generation, step: str) -> Reply:
        candidate = generation.candidates[0]
        reply = reply_of(candidate, await self._judge(candidate, step), generation)
        usage = candidate.usage or generation.usage
        return msgspec.structs.replace(reply, usage=usage, attempts=generation.attempts)

    async def _judge(self, candidate: Candidate, step: str) -> Verdict:
        belief, extraction = await self._extract(candidate, step)
        with adding(spent_asking(extraction)):
            correct, judgement = await self._grade(belief, step)
        return Verdict(belief, correct, extraction, judgement)

    async def _extract(self, candidate: Candidate, step: str) -> tuple[Belief, Extraction]:
        with blaming(f"extraction of turn {step}", EXTRACTOR):
            belief, extraction = await self.config.extractor.extract(
                candidate,
                self.problem,
                calls=self.calls,
                conversation_id=self.identity,
                step=f"{step}/extraction",
                seed=self.config.entropy,
            )
        if self.config.on_belief is not None:
            self.config.on_belief(belief)
        return belief, extraction

    async def _grade(self, belief: Belief, step: str) -> Graded:
        match belief:
            case Answered(value):
                return await self._graded(value, step)
            case Unsure():
                return False, None
            case _:
                return None, None

    async def _graded(self, answer: str, step: str) -> Graded:
        config = self.config
        if config.judge is None:
            return await boundary.grade(config.task, answer, self.problem), None
        with blaming(f"grading of turn {step}", JUDGE):
            return await config.judge.grade(
                answer,
                self.problem,
                calls=self.calls,
                conversation_id=self.identity,
                step=f"{step}/judge",
                seed=config.entropy,
                on_verdict=config.on_verdict,
            )

    async def judge_siblings(self, generation: Generation, step: str) -> tuple[Reply, ...]:
        """Judge all candidates at once; what several say in the same words is judged once."""
        candidates = generation.candidates
        words = [(candidate.text, candidate.finish_reason) for candidate in candidates]
        firsts = {said: words.index(said) for said in words}
        judging = (self._judge_one_of_several(candidates[i], f"{step}/c{i}") for i in firsts.values())
        verdicts = dict(zip(firsts, await all_of(judging), strict=True))
        return tuple(
            sibling(candidate, verdicts[said], generation, repeated=firsts[said] != index)
            for index, (candidate, said) in enumerate(zip(candidates, words, strict=True))
        )

    async def judged(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Turns of another conversation: what was judged there is known here, and what was not is judged.

        Raises:
            CallFailed: the judge could not be asked.
        """
        judge = self.config.judge
        if judge is None:
            return turns
        found = []
        for number, turn in enumerate(turns, 1):
            reply = turn.reply
            if isinstance(reply.belief, Answered):
                judge.learn(reply.belief.value, self.problem, reply.judgement)
                if reply.correct is None and reply.judgement is None:
                    correct, judgement = await self._graded(reply.belief.value, f"{number}")
                    reply = msgspec.structs.replace(reply, correct=correct, judgement=judgement)
                    turn = msgspec.structs.replace(turn, replies=(reply,), chosen=0)  # noqa: PLW2901
            found.append(turn)
        return tuple(found)

    async def _judge_one_of_several(self, candidate: Candidate, step: str) -> Verdict:
        """A candidate whose belief could not be asked for is lost, and one that could not be graded has no
        grade; its siblings have.
        """
        try:
            belief, extraction = await self._extract(candidate, step)
        except CallFailed as failed:
            belief, extraction = unanswered(failed.error)
            return Verdict(belief, None, extraction)
        try:
            correct, judgement = await self._grade(belief, step)
        except CallFailed as failed:
            return Verdict(belief, None, extraction, unjudged(failed.error))
        return Verdict(belief, correct, extraction, judgement)

    async def _choose(
        self, replies: tuple[Reply, ...], how: Selection, step: str, turns: Sequence[Turn], attempts: int
    ) -> int:
        rng = random.Random(f"{self.config.entropy}:{self.identity}:{step}")  # noqa: S311 - repeatable
        kinds, held = await self._kinds(replies, turns) if how == "diverse" else ((), frozenset[int]())
        chosen = select(how, replies, rng, kinds=kinds, held=held)
        if chosen is None:
            reasons = sorted({str(obstacle(reply)) for reply in replies})
            asked = sum(reply.extraction.attempts for reply in replies)
            message = f"none of {len(replies)} candidates can be kept: {'; '.join(reasons)}"
            raise NoCandidate(message, attempts=attempts + asked)
        return chosen

    async def _kinds(
        self, replies: Sequence[Reply], turns: Sequence[Turn]
    ) -> tuple[tuple[int, ...], frozenset[int]]:
        """Numbers of the candidates' beliefs, and of those that the turns so far held."""
        beliefs = [turn.reply.belief for turn in turns] + [reply.belief for reply in replies]
        kinds = await belief_kinds(beliefs, self.same)
        return tuple(kinds[len(turns) :]), frozenset(kinds[: len(turns)])
