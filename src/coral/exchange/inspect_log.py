"""A run as a log of Inspect (`.eval`): each conversation a sample, with scores, messages and usage.

The format is a zip of JSON files: `_journal/start.json` and `header.json` say what was evaluated and what
came out, `samples/ID_epoch_N.json` holds a sample each, and `summaries.json` what a list of samples shows.
Written without Inspect, and so for any version that reads format 2.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, BinaryIO

from coral import workers
from coral.conversation import protocols
from coral.evaluation.measure import summary_of, traced
from coral.evaluation.redact import redact_conversation
from coral.evaluation.tables import beside_a_loop
from coral.metrics import Estimate, Summary, metric
from coral.metrics.cost import RoleUsage
from coral.metrics.outcome import Outcome
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of
from coral.types import Answered, Conversation, Reply, Turn, Usage
from coral.version import version

Json = dict[str, Any]
FORMAT = 2
SAMPLE_SCORES = ("agreement_correctness", "accuracy", "agreement", "first_accuracy", "turns")
"""What each sample has a score of, where the protocol has it; all metrics stand in the header."""


def write_inspect(file: BinaryIO, folder: RunFolder, redacted: bool) -> int:
    """Write a run as a log of Inspect; returns the number of samples."""
    return beside_a_loop(lambda: asyncio.run(_write(file, folder, redacted)))


async def _write(file: BinaryIO, folder: RunFolder, redacted: bool) -> int:
    summaries: list[Json] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        async with workers.in_use():
            summary = await summary_of(folder)
            async for conversation, outcome in _told(folder, redacted):
                sample = _sample(conversation, outcome, summary)
                _put(archive, f"samples/{sample['id']}_epoch_{sample['epoch']}.json", sample)
                summaries.append(_short(sample))
        summaries.sort(key=lambda one: (str(one["id"]), one["epoch"]))
        spec = _spec(folder, summary, summaries)
        plan = {"name": "plan", "steps": [{"solver": f"coral/{summary.protocol}"}]}
        _put(archive, "_journal/start.json", {"version": FORMAT, "eval": spec, "plan": plan})
        _put(archive, "summaries.json", summaries)
        header = {
            "version": FORMAT,
            "status": "started" if summary.owed else "success",
            "eval": spec,
            "plan": plan,
            "results": _results(summary),
            "stats": _stats(summary, summaries),
        }
        _put(archive, "header.json", header)
    return len(summaries)


async def _told(folder: RunFolder, redacted: bool) -> AsyncIterator[tuple[Conversation, Outcome]]:
    rules = protocols.stored(folder.identity())
    async for conversation, trace in traced(folder, task_of(folder)):
        yield redact_conversation(conversation) if redacted else conversation, rules.outcome(trace)


def _put(archive: zipfile.ZipFile, name: str, value: object) -> None:
    """A member of the archive, with no date: the same run makes the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, json.dumps(value, ensure_ascii=False))


def _spec(folder: RunFolder, summary: Summary, summaries: Iterable[Json]) -> Json:
    """What was evaluated; `metadata` holds what decides the run (`run.json`)."""
    identity = folder.identity()
    samples = list(summaries)
    ids = list(dict.fromkeys(one["id"] for one in samples))
    digest = _digest(identity)
    options = {name: value for name, value in identity["task"].items() if name != "name"}
    return {
        "eval_id": digest,
        "run_id": digest,
        "created": min((one["started_at"] for one in samples), default=_time(0)),
        "task": summary.task,
        "task_id": digest,
        "task_version": 0,
        "task_args": options,
        "task_args_passed": options,
        "dataset": {"name": summary.task, "samples": len(ids), "sample_ids": ids, "shuffled": False},
        "model": next(iter(summary.models.values()), "none"),
        "config": {"epochs": max((one["epoch"] for one in samples), default=1)},
        "packages": {"collaborative-reasoner": version()},
        "metadata": identity,
    }


def _sample(conversation: Conversation, outcome: Outcome, summary: Summary) -> Json:
    problem, turns = conversation.problem, conversation.turns
    messages = [
        {"id": f"{conversation.id}/0", "role": "user", "source": "input", "content": conversation.opening},
        *(_message(conversation, number, turn) for number, turn in enumerate(turns, 1)),
    ]
    replies = zip(turns, messages[1:], strict=True)
    outputs = [_output(conversation, turn, message) for turn, message in replies]
    by_role = _usage_of(turns, {seat: one.name for seat, one in conversation.speakers.items()})
    by_model = _usage_of(turns, {seat: one.model for seat, one in conversation.speakers.items()})
    failure = conversation.failure
    sample = {
        "id": problem.id,
        "epoch": int(conversation.id.rpartition("#")[2]) + 1,
        "input": conversation.opening,
        **({"choices": list(problem.choices)} if problem.choices else {}),
        "target": problem.target,
        "messages": messages,
        "output": outputs[-1] if outputs else {"model": "", "choices": [], "completion": ""},
        "events": _events(conversation, messages, outputs),
        "scores": _scores(conversation, outcome, summary),
        "metadata": {**problem.group, "stop": conversation.stop.value, "conversation": conversation.id},
        "model_usage": by_model,
        "role_usage": by_role,
        "started_at": _time(conversation.started_at),
        "completed_at": _time(conversation.started_at + conversation.seconds),
        "total_time": conversation.seconds,
        "working_time": conversation.seconds,
        "uuid": _digest(f"{conversation.id} {conversation.started_at}"),
    }
    if failure is not None:
        told = f"{failure.where}: {failure.type}: {failure.message}"
        sample["error"] = {"message": told, "traceback": "", "traceback_ansi": ""}
    return sample


def _message(conversation: Conversation, number: int, turn: Turn) -> Json:
    """A turn as the seat that speaks first sees it: its own are the assistant's, all others the user's."""
    own = turn.seat == conversation.turns[0].seat
    reply, speaker = turn.reply, conversation.speakers[turn.seat]
    belief = reply.belief
    return {
        "id": f"{conversation.id}/{number}",
        "role": "assistant" if own else "user",
        **({"model": speaker.model, "source": "generate"} if own else {}),
        "content": _content(reply),
        "metadata": {
            "seat": turn.seat,
            "speaker": speaker.name,
            "model": speaker.model,
            "answer": belief.value if isinstance(belief, Answered) else None,
            "right": reply.correct,
        },
    }


def _content(reply: Reply) -> str | list[Json]:
    if not reply.reasoning:
        return reply.text
    return [{"type": "reasoning", "reasoning": reply.reasoning}, {"type": "text", "text": reply.text}]


def _output(conversation: Conversation, turn: Turn, message: Json) -> Json:
    """What a model said in a turn, and what it took."""
    model = conversation.speakers[turn.seat].model
    reason = {"stop": "stop", "length": "max_tokens"}.get(turn.reply.finish_reason.value, "unknown")
    said = {**message, "role": "assistant", "model": model, "source": "generate"}
    return {
        "model": model,
        "choices": [{"message": said, "stop_reason": reason}],
        "completion": turn.reply.text,
        "usage": _tokens(turn),
        "time": turn.reply.latency_s,
    }


def _events(conversation: Conversation, messages: Sequence[Json], outputs: Sequence[Json]) -> list[Json]:
    """A call of a model per turn, by the speaker. Its input is the message it answers, not all before it."""
    found, at = [], conversation.started_at
    for number, (turn, output) in enumerate(zip(conversation.turns, outputs, strict=True)):
        at += turn.reply.latency_s
        found.append(
            {
                "event": "model",
                "uuid": _digest(f"{conversation.id}/{number}"),
                "timestamp": _time(at),
                "working_start": at - conversation.started_at,
                "model": output["model"],
                "role": conversation.speakers[turn.seat].name,
                "input": [messages[number]],
                "tools": [],
                "tool_choice": "none",
                "config": {},
                "output": output,
            }
        )
    return found


def _scores(conversation: Conversation, outcome: Outcome, summary: Summary) -> Json:
    """What is not known has no score: it is no zero."""
    turns = conversation.turns
    right = {True: "C", False: "I", None: None}
    values = {
        "agreement_correctness": right[outcome.right],
        "accuracy": right[outcome.right],
        "agreement": outcome.agreed,
        "first_accuracy": right[turns[0].reply.correct] if turns else None,
        "turns": len(turns),
    }
    if conversation.failure is not None:
        return {}
    answers = [turn.reply.belief.value for turn in turns if isinstance(turn.reply.belief, Answered)]
    return {
        name: {"value": values[name], "answer": answers[-1] if answers else None,
               "explanation": f"{conversation.stop.value} after {len(turns)} turns"}
        for name in SAMPLE_SCORES
        if name in summary.metrics and values[name] is not None
    }  # fmt: skip


def _short(sample: Json) -> Json:
    """The line of a sample in a list."""
    kept = ("id", "epoch", "input", "choices", "target", "metadata", "scores", "model_usage", "role_usage",
            "started_at", "completed_at", "total_time", "working_time", "uuid")  # fmt: skip
    return {
        **{name: sample[name] for name in kept if name in sample},
        **({"error": sample["error"]["message"]} if "error" in sample else {}),
        "completed": "error" not in sample,
        "message_count": len(sample["messages"]),
    }


def _results(summary: Summary) -> Json:
    """All metrics with their intervals; those that samples have a score of come first."""
    names = [name for name in SAMPLE_SCORES if name in summary.metrics]
    further = [name for name in summary.metrics if name not in names]
    scores = [_score(name, summary.metrics[name], summary) for name in (*names, *further)]
    failed = sum(summary.failures.values())
    return {
        "total_samples": summary.conversations,
        "completed_samples": summary.conversations - failed,
        "scores": [score for score in scores if score is not None],
    }


def _score(name: str, found: Estimate, summary: Summary) -> Json | None:
    values = {"mean": found.mean, "stderr": found.stderr, "low": found.low, "high": found.high}
    if found.mean is None:
        return None
    title = name if name in summary.own else metric(name).title
    return {
        "name": name,
        "scorer": f"coral/{name}",
        "scored_samples": found.n,
        "unscored_samples": found.num_failed + found.num_unscored,
        "metrics": {key: {"name": key, "value": value} for key, value in values.items() if value is not None},
        "metadata": {"title": title, "interval": "95%, clustered by problem", "problems": found.num_problems},
    }


def _stats(summary: Summary, summaries: Iterable[Json]) -> Json:
    samples = list(summaries)
    by_model: dict[str, Json] = {}
    for role, used in summary.usage.items():
        _add(by_model, summary.models.get(role, role), _tokens_of(used))
    return {
        "started_at": min((one["started_at"] for one in samples), default=""),
        "completed_at": max((one["completed_at"] for one in samples), default=""),
        "model_usage": by_model,
        "role_usage": {role: _tokens_of(used) for role, used in summary.usage.items()},
    }


def _tokens_of(used: RoleUsage) -> Json:
    return {
        "input_tokens": used.prompt_tokens,
        "output_tokens": used.completion_tokens,
        "total_tokens": used.prompt_tokens + used.completion_tokens,
        "input_tokens_cache_read": used.cached_tokens,
        "reasoning_tokens": used.reasoning_tokens,
    }


def _usage_of(turns: Iterable[Turn], names: Mapping[str, str]) -> dict[str, Json]:
    """Tokens of the turns by speaker or model, as far as servers count them."""
    found: dict[str, Json] = {}
    for turn in turns:
        _add(found, names[turn.seat], _tokens(turn))
    return found


def _tokens(turn: Turn) -> Json:
    usage = (turn.reply.usage if turn.usage is None else turn.usage) or Usage()
    read, written = usage.prompt_tokens or 0, usage.completion_tokens or 0
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def _add(sums: dict[str, Json], name: str, tokens: Json) -> None:
    known = sums.setdefault(name, dict.fromkeys(tokens, 0))
    for key, value in tokens.items():
        known[key] += value


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:22]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()
