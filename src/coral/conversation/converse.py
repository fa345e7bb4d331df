"""The conversation loop. There is one: several candidates a turn are sampling, one agent chain of thought."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from coral.conversation.agent import Agent
from coral.conversation.calls import Calls, direct
from coral.conversation.selection import ONE_CANDIDATE, Draw, obstacle
from coral.conversation.table import CallFailed, Setting, Table
from coral.metrics.cost import spent_on
from coral.models.together import all_of
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import SCHEMA, Answered, Conversation, Failure, Problem, Rollout, Seat, StopReason, Turn

__all__ = ["Setting", "agreed", "converse"]


async def converse(
    problem: Problem,
    *,
    sample: int,
    opener: Agent | None,
    responder: Agent,
    setting: Setting,
    calls: Calls = direct,
) -> Conversation:
    """Let two agents talk about `problem` until they agree, or one agent answer it alone.

    The opener's statement of the problem is a template. Then the seats alternate, the responder first.
    After each turn its belief is extracted and graded. It ends when both seats' latest beliefs are equal
    answers, at `max_turns`, when a speaker's context is full, or with a request that failed for good.

    Where `setting.draw` asks for several candidates a turn, one of them goes on and the others are kept as
    its siblings; where it asks for roll-outs, conversations are continued from each.

    Args:
        sample: counts the conversations about one problem, from 0; part of the id.
        opener: None for chain of thought: one agent, one turn (two where `setting.second_chance` asks again).
        calls: makes the requests; a run passes one that remembers.

    Returns:
        The finished conversation. A failed request is data in it, not an exception.

    Raises:
        ModelError: every other request would meet the same (`STOPS_THE_RUN`).
    """
    identity = f"{problem.id}#{sample}"
    started_at, clock = time.time(), time.perf_counter()
    opening = setting.task.opening(problem)
    briefings = {seat: setting.task.briefing(problem, seat) for seat in Seat}
    seats = (
        {Seat.RESPONDER: responder} if opener is None else {Seat.RESPONDER: responder, Seat.OPENER: opener}
    )
    table = Table(identity, problem, opening, briefings, seats, setting, calls)
    talk = await _talk(table, (), setting.draw)
    return Conversation(
        schema=SCHEMA,
        id=identity,
        problem=problem,
        responder=responder.speaker,
        opener=opener.speaker if opener else None,
        opening=opening,
        turns=talk.turns,
        stop=talk.stop,
        seed=setting.seed,
        started_at=started_at,
        seconds=time.perf_counter() - clock,
        failure=talk.failure,
    )


class _Talk(NamedTuple):
    """What was said up to the end, and why it ended."""

    turns: tuple[Turn, ...]
    stop: StopReason
    failure: Failure | None = None


async def _talk(table: Table, before: tuple[Turn, ...], draw: Draw, branch: str = "") -> _Talk:
    """Go on behind `before` to the end of the conversation."""
    turns = before
    while (stop := await _ending(table, turns)) is None:
        try:
            turn = await table.take_turn(turns, draw, branch)
        except CallFailed as failed:
            return _Talk(turns, *failed.ending(turns))
        if draw.rollouts:
            turn = await _rolled_out(table, turns, turn, draw.rollouts)
        turns = (*turns, turn)
    return _Talk(turns, stop)


async def _ending(table: Table, turns: Sequence[Turn]) -> StopReason | None:
    """Why a conversation ends behind `turns`, None if it goes on."""
    if table.alone:
        return StopReason.MAX_TURNS if len(turns) >= _turns_alone(table, turns) else None
    if await agreed(turns, table.setting.task, table.problem):
        return StopReason.AGREED
    return StopReason.MAX_TURNS if len(turns) >= table.setting.max_turns else None


def _turns_alone(table: Table, turns: Sequence[Turn]) -> int:
    """One turn; two where there is a second chance, and the first submits no answer."""
    unanswered = bool(turns) and not isinstance(turns[0].reply.belief, Answered)
    return 2 if table.setting.second_chance and unanswered else 1


async def agreed(turns: Sequence[Turn], task: Task, problem: Problem) -> bool:
    """Whether both seats' latest beliefs are answers that mean the same (paper, section 2.1).

    An unsure or unreadable belief agrees with nothing, and an older answer does not stand in for it.
    """
    if len(turns) < 2:
        return False
    mine, theirs = turns[-1].reply.belief, turns[-2].reply.belief
    if not (isinstance(mine, Answered) and isinstance(theirs, Answered)):
        return False
    return await boundary.same(task, mine.value, theirs.value, problem)


# Roll-outs --------------------------------------------------------------------------------------------------


async def _rolled_out(table: Table, before: tuple[Turn, ...], turn: Turn, rollouts: int) -> Turn:
    """The turn, each candidate with the outcomes of conversations continued from it, all at once."""
    starts = []
    for index, reply in enumerate(turn.replies):
        if obstacle(reply) is None:
            start = (*before, msgspec.structs.replace(turn, chosen=index))
            over = await _ending(table, start) is not None
            starts += [(index, start, number) for number in range(1 if over else rollouts)]
    outcomes = await all_of(
        _roll_out(table, start, f"{len(start)}/c{index}/r{number}/") for index, start, number in starts
    )
    of_candidate: dict[int, list[Rollout]] = {}
    for (index, _, _), outcome in zip(starts, outcomes, strict=True):
        of_candidate.setdefault(index, []).append(outcome)
    replies = tuple(
        msgspec.structs.replace(reply, rollouts=tuple(of_candidate.get(index, ())))
        for index, reply in enumerate(turn.replies)
    )
    return msgspec.structs.replace(turn, replies=replies)


async def _roll_out(table: Table, start: tuple[Turn, ...], branch: str) -> Rollout:
    turns, stop, failure = await _talk(table, start, ONE_CANDIDATE, branch)
    answer, correct = _outcome(turns, stop)
    own = turns[len(start) :]
    names = {seat: agent.name for seat, agent in table.seats.items()}
    return Rollout(
        stop=stop, turns=len(own), answer=answer, correct=correct, spent=spent_on(own, names), failure=failure
    )


def _outcome(turns: Sequence[Turn], stop: StopReason) -> tuple[str | None, bool | None]:
    """The answer that both agreed on, and whether they agreed and it is right."""
    if stop is StopReason.FAILED:
        return None, None
    belief = turns[-1].reply.belief
    if stop is not StopReason.AGREED or not isinstance(belief, Answered):
        return None, False
    last, other = turns[-1].reply.correct, turns[-2].reply.correct
    return belief.value, other if last is None else last
