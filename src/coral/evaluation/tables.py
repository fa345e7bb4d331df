"""A run as rows of a table, one per conversation or turn; docs/analysis.md lists the columns.

Files and frames are made of the same rows. A cell is a text, a number, a truth or nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from coral import workers
from coral.conversation import protocols
from coral.evaluation.measure import traced
from coral.evaluation.redact import redact_conversation
from coral.metrics.outcome import Outcome
from coral.metrics.trace import Trace
from coral.store.folder import RunFolder
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import Answered, Belief, Conversation, Turn, Unsure, Usage

Row = dict[str, Any]
T = TypeVar("T")
RowsOf = Literal["conversations", "turns"]


def conversation_rows(folder: RunFolder, *, task: Task | None = None, redact: bool = False) -> list[Row]:
    """A row per finished conversation, by id.

    Args:
        task: that of the run, where its class cannot be imported.
        redact: leave out texts that hold or may quote a problem.

    Raises:
        UserError: the run cannot be read.
    """
    return _by_id(beside_a_loop(lambda: asyncio.run(_conversations(folder, task or task_of(folder), redact))))


def turn_rows(folder: RunFolder, *, redact: bool = False) -> list[Row]:
    """A row per turn of the finished conversations: the reply that was chosen.

    Raises:
        UserError: the run cannot be read.
    """
    told = (redact_conversation(one) if redact else one for one in folder.conversations())
    return _by_id(row for conversation in told for row in _turns(conversation))


def beside_a_loop(work: Callable[[], T]) -> T:
    """`work` starts a loop of its own; beside one that is running, as in a notebook, in another thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def _by_id(rows: Iterator[Row] | list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["conversation"], row.get("turn", 0)))


async def _conversations(folder: RunFolder, task: Task, redact: bool) -> list[Row]:
    rules = protocols.stored(folder.identity())
    async with workers.in_use():
        return [
            _conversation(redact_conversation(one) if redact else one, trace, rules.outcome(trace))
            async for one, trace in traced(folder, task)
        ]


def _conversation(conversation: Conversation, trace: Trace, outcome: Outcome) -> Row:
    problem, turns = conversation.problem, conversation.turns
    answers = [
        turn.reply.belief
        for turn, seen in zip(turns, trace.turns, strict=True)
        if outcome.answer is not None and seen.belief == outcome.answer
    ]
    failure = conversation.failure
    return {
        **_of_problem(conversation),
        "question": problem.question,
        "target": problem.target,
        "stop": conversation.stop.value,
        "turns": len(turns),
        "agreed": outcome.agreed,
        "answer": _answer(answers[0]) if answers else None,
        "right": outcome.right,
        "first_answer": _answer(turns[0].reply.belief) if turns else None,
        "first_right": turns[0].reply.correct if turns else None,
        **_tokens(Usage.total(usage for turn in turns if (usage := _usage(turn)) is not None)),
        "seconds": conversation.seconds,
        "failure": failure and f"{failure.where}: {failure.type}: {failure.message}",
    }


def _turns(conversation: Conversation) -> Iterator[Row]:
    for number, turn in enumerate(conversation.turns, 1):
        reply = turn.reply
        speaker = conversation.speakers[turn.seat]
        yield {
            **_of_problem(conversation),
            "turn": number,
            "seat": turn.seat,
            "speaker": speaker.name,
            "model": speaker.model,
            "text": reply.text,
            "reasoning": reply.reasoning,
            "belief": _kind(reply.belief),
            "answer": _answer(reply.belief),
            "right": reply.correct,
            "extracted_by": reply.extraction.by,
            "finish_reason": reply.finish_reason.value,
            "candidates": len(turn.replies),
            **_tokens(_usage(turn) or Usage()),
            "latency_s": reply.latency_s,
            **_probe(turn),
        }


def _probe(turn: Turn) -> Mapping[str, Any]:
    """What the seat said off the record; no columns in a run without a probe."""
    probe = turn.probe
    if probe is None:
        return {}
    return {
        "probe_text": probe.reply.text,
        "probe_belief": _kind(probe.reply.belief),
        "probe_answer": _answer(probe.reply.belief),
        "probe_right": probe.reply.correct,
        "probe_probability": probe.probability,
    }


def _of_problem(conversation: Conversation) -> Mapping[str, Any]:
    problem, sample = conversation.problem, conversation.id.rpartition("#")[2]
    groups = {f"group.{name}": label for name, label in problem.group.items()}
    return {"conversation": conversation.id, "problem": problem.id, "sample": int(sample), **groups}


def _usage(turn: Turn) -> Usage | None:
    return turn.reply.usage if turn.usage is None else turn.usage


def _tokens(usage: Usage) -> Mapping[str, int | None]:
    return {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens}


def _answer(belief: Belief) -> str | None:
    return belief.value if isinstance(belief, Answered) else None


def _kind(belief: Belief) -> str:
    if isinstance(belief, Answered):
        return "answered"
    return "unsure" if isinstance(belief, Unsure) else "unreadable"


def columns(rows: list[Row]) -> list[str]:
    """The columns of all rows, in their order; groups that only some problems have stand with the others."""
    names = dict.fromkeys(name for row in rows for name in row)
    groups = sorted(name for name in names if name.startswith("group."))
    rest = [name for name in names if not name.startswith("group.")]
    return [*rest[:3], *groups, *rest[3:]]
