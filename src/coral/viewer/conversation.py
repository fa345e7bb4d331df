"""One conversation as the page shows it: what was said, what was read of it, and the words that decided."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from coral.errors import UserError
from coral.rows.run import SampledRun, open_run
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Conversation, Probe, Problem, Reply, Turn, Unreadable, Usage
from coral.viewer.index import RunIndex, verdict_of

LONGEST_READ = 20_000
"""Characters of a reply that are looked through for the words that decided."""


def shown(index: RunIndex, conversation: Conversation) -> dict[str, Any]:
    """All that the page needs of a conversation, as JSON types."""
    problem = conversation.problem
    return {
        "id": conversation.id,
        "problem": {
            "id": problem.id,
            "question": problem.question,
            "choices": list(problem.choices),
            "target": problem.target,
            "group": problem.group,
        },
        "opening": conversation.opening,
        "briefings": _briefings(index.task, conversation),
        "speakers": [
            {"seat": seat, "name": speaker.name, "model": speaker.model}
            for seat, speaker in conversation.speakers.items()
        ],
        "stop": conversation.stop.value,
        "seed": conversation.seed,
        "started_at": conversation.started_at,
        "seconds": conversation.seconds,
        "failure": msgspec.to_builtins(conversation.failure),
        "parent": msgspec.to_builtins(conversation.parent),
        "turns": [_turn(turn, problem, index.task) for turn in conversation.turns],
    }


def prompt(index: RunIndex, conversation: Conversation, turn: int) -> list[dict[str, str]]:
    """The messages that the speaker of a turn (from 1) answered, word for word.

    Raises:
        UserError: there is no such turn, or the run does not keep what is needed to make them again.
    """
    if not 1 <= turn <= len(conversation.turns):
        raise UserError(f"{conversation.id} has no turn {turn}", remedy=f"it has {len(conversation.turns)}")
    run: SampledRun = open_run(index.folder.path, "shown", unfinished=True)
    return [
        {"role": message.role.value, "content": message.content}
        for message in run.prompt(conversation, turn - 1)
    ]


def _briefings(task: Task | None, conversation: Conversation) -> dict[str, str]:
    """What each seat alone was told."""
    if task is None:
        return {}
    told = {seat: task.briefing(conversation.problem, seat) for seat in conversation.speakers}
    return {seat: text for seat, text in told.items() if text}


def _turn(turn: Turn, problem: Problem, task: Task | None) -> dict[str, Any]:
    return {
        "seat": turn.seat,
        "chosen": turn.chosen,
        "usage": _usage(turn.usage),
        "replies": [_reply(reply, problem, task) for reply in turn.replies],
        "probe": turn.probe and _probe(turn.probe, problem, task),
    }


def _probe(probe: Probe, problem: Problem, task: Task | None) -> dict[str, Any]:
    return {**_reply(probe.reply, problem, task), "probability": probe.probability}


def _reply(reply: Reply, problem: Problem, task: Task | None) -> dict[str, Any]:
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "verdict": verdict_of(reply),
        "answer": reply.belief.value if isinstance(reply.belief, Answered) else None,
        "reason": reply.belief.reason if isinstance(reply.belief, Unreadable) else None,
        "by": reply.extraction.by,
        "extractor_words": reply.extraction.text,
        "evidence": task and evidence(task, reply.text, reply.belief, problem),
        "finish_reason": reply.finish_reason.value,
        "usage": _usage(reply.usage),
        "latency_s": reply.latency_s,
        "attempts": reply.attempts,
        "overrun": reply.overrun,
        "value": reply.value,
        "rollouts": [
            {"stop": one.stop.value, "turns": one.turns, "answer": one.answer, "correct": one.correct}
            for one in reply.rollouts
        ],
    }


def _usage(usage: Usage | None) -> Any:
    return msgspec.to_builtins(usage)


_SENTENCES = re.compile(r"[^\n.!?]+(?:[.!?]+(?=\s|$)|[.!?](?=\S)[^\n.!?]*)*[.!?]*")


def evidence(task: Task, text: str, belief: Belief, problem: Problem) -> list[int] | None:
    """The last passage of a reply that by itself submits what the reply submits: where it begins and ends.

    A sentence if one is enough, else a line, else from a line to the end. None where the rules find the
    answer in no part, as where a model read it.
    """
    if not isinstance(belief, Answered) or len(text) > LONGEST_READ:
        return None

    def submits(start: int, end: int) -> bool:
        return boundary.read(task, text[start:end], problem) == belief

    lines = [found.span() for found in re.finditer(r"[^\n]*\S[^\n]*", text)][-50:]
    for start, end in reversed(lines):
        for sentence in reversed(list(_SENTENCES.finditer(text, start, end))):
            if submits(*sentence.span()):
                return list(sentence.span())
        if submits(start, end):
            return [start, end]
    for start, _ in reversed(lines):
        if submits(start, len(text)):
            return [start, len(text.rstrip())]
    return None
