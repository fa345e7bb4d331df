"""Measuring a stored run: no model is needed."""

from __future__ import annotations

import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from coral import workers
from coral.conversation import protocols
from coral.errors import Notice, RunFolderError, UserError
from coral.metrics import (
    AnswerClasses,
    CandidateCounter,
    CandidateCounts,
    PriceTable,
    Summary,
    Tally,
    Trace,
    load_prices,
    summarize,
    trace_of,
)
from coral.metrics.own import OwnMetric, own_metric
from coral.metrics.tally import Part
from coral.options import load_yaml_file
from coral.store.folder import RunFolder
from coral.tasks import boundary
from coral.tasks.judged import with_verdicts
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import Answered, Conversation, Problem, Record, Reply, Rollout, StopReason
from coral.version import version

KEPT = "tally.json"
"""Of a shard: see `KeptTally`."""


async def score(
    folder: RunFolder,
    *,
    prices: str | Path | None,
    regrade: bool,
    task: Task | None = None,
    own: Sequence[OwnMetric] | None = None,
) -> Summary:
    """Measure a stored run again.

    Args:
        folder: must not be in use by a running evaluation. What is found is to be written there by
            `save_summary`.
        prices: file of a price table that overlays the shipped one.
        regrade: grade every stored answer anew instead of trusting the stored grades. Where rules cannot,
            what the run's judge said still holds.
        task: that of the run, where its class cannot be imported.
        own: metrics that the user adds; by default those of the run.

    Raises:
        UserError: the folder or the price table cannot be read.
    """
    async with workers.in_use():
        return await measure_run(
            folder,
            with_verdicts(task, folder) if task else task_of(folder),
            prices=load_prices(prices),
            regrade=regrade,
            own=own_of(folder) if own is None else own,
        )


def own_of(folder: RunFolder) -> list[OwnMetric]:
    """The metrics of their own that the options of a run name, as far as they can be imported here."""
    path = folder.path / "config.yaml"
    found = []
    for name in (load_yaml_file(path) if path.exists() else {}).get("metrics") or ():
        try:
            found.append(own_metric(str(name)))
        except UserError as error:
            warnings.warn(f"{error}: it is left out", Notice, stacklevel=2)
    return found


async def summary_of(folder: RunFolder) -> Summary:
    """The summary that is stored; of an unfinished run, what is there is measured.

    Raises:
        UserError: the folder cannot be read.
    """
    stored = folder.read("summary.json", Summary) if folder.has_begun else None
    return stored or await measure_run(folder, task_of(folder), prices=load_prices())


def save_summary(folder: RunFolder, summary: Summary) -> None:
    """Write a run's `summary.json`.

    Raises:
        RunFolderError: it cannot be written, as in a folder that may only be read.
    """
    folder.write("summary.json", summary)


class KeptTally(Record, frozen=True):
    """What a shard has added up of its conversations, so that whoever measures the whole need not read them.

    Attributes:
        version: of Coral; another one may count otherwise.
    """

    version: str
    tally: Part
    candidates: CandidateCounts


async def keep_tally(folder: RunFolder, task: Task) -> None:
    """Add up the conversations of a shard that is complete, and leave that in its folder.

    Raises:
        UserError: the folder cannot be read or written.
    """
    candidates = CandidateCounter()
    tally = await tally_run(folder, task, collectors=[candidates])
    folder.write(KEPT, KeptTally(version=version(), tally=tally.part(), candidates=candidates.counts()))


async def measure_run(
    folder: RunFolder,
    task: Task,
    *,
    prices: PriceTable,
    regrade: bool = False,
    own: Sequence[OwnMetric] = (),
    trust_kept: bool = False,
) -> Summary:
    """The metrics of all finished conversations of a folder.

    Args:
        trust_kept: take what shards have added up themselves; metrics of the user's own are not in it.

    Raises:
        UserError: the folder cannot be read.
    """
    identity = folder.identity()
    candidates = CandidateCounter()
    tally = _merged(folder, candidates) if trust_kept and not own else None
    if tally is None:
        tally = await tally_run(folder, task, collectors=[candidates], regrade=regrade, own=own)
    return summarize(
        tally,
        prices=prices,
        extractor=identity["extractor"].get("model"),
        owed=owed(folder, tally),
        candidates=candidates.counts() if "candidates" in identity else None,
        adjustments=folder.adjustments(),
    )


def _merged(folder: RunFolder, candidates: CandidateCounter) -> Tally | None:
    """The tally of a run in shards, of what each of them has kept; None where one has kept nothing."""
    kept = [_kept(shard) for shard in folder.parts()]
    found = [one for one in kept if one is not None]
    if not found or len(found) < len(kept):
        return None
    tally = _empty_tally(folder.identity())
    if len({one.tally.columns for one in found if one.tally.columns}) > 1:
        return None
    for one in found:
        tally.merge(one.tally)
        candidates.merge(one.candidates)
    tally.sort()
    return tally


def _kept(shard: RunFolder) -> KeptTally | None:
    """What a shard has kept; None where that cannot be used: then its conversations are counted again."""
    try:
        found = shard.read(KEPT, KeptTally)
    except RunFolderError:  # damaged, or in the form of another version
        return None
    return found if found is not None and found.version == version() else None


def _empty_tally(identity: Mapping[str, Any], own: Sequence[OwnMetric] = ()) -> Tally:
    return Tally(
        task=str(identity["task"]["name"]),
        rules=protocols.stored(identity),
        own=own,
        probed=bool(identity.get("probe")),
        judge=(identity["task"].get("judge") or {}).get("model"),
    )


def owed(folder: RunFolder, tally: Tally) -> int:
    """How many conversations a run still lacks."""
    return max(0, (folder.planned() or 0) - tally.num_conversations)


class Collector(Protocol):
    """Takes in conversations while they stream past."""

    def add(self, conversation: Conversation) -> None: ...


async def tally_run(
    folder: RunFolder,
    task: Task,
    *,
    collectors: Sequence[Collector] = (),
    regrade: bool = False,
    own: Sequence[OwnMetric] = (),
    classes: AnswerClasses | None = None,
) -> Tally:
    """What metrics and comparisons need of all finished conversations of a folder.

    Args:
        collectors: are shown every conversation, too.
        own: metrics that the user adds.
        classes: shared among runs whose answers are to be compared with each other.

    Raises:
        UserError: the folder cannot be read.
    """
    tally = _empty_tally(folder.identity(), own)
    async for conversation, trace in traced(folder, task, regrade=regrade, classes=classes):
        tally.add(conversation, trace)
        for collector in collectors:
            collector.add(conversation)
    tally.sort()
    return tally


async def traced(
    folder: RunFolder, task: Task, *, regrade: bool = False, classes: AnswerClasses | None = None
) -> AsyncIterator[tuple[Conversation, Trace]]:
    """The finished conversations of a folder, each with what metrics see of it.

    Raises:
        UserError: the folder cannot be read.
    """
    known = AnswerClasses() if classes is None else classes
    for stored in folder.conversations():
        conversation = await _regraded(stored, task) if regrade else stored
        trace = await trace_of(conversation, _equality(task, conversation.problem), known)
        yield conversation, as_decided(trace, conversation)


def as_decided(trace: Trace, conversation: Conversation) -> Trace:
    """The trace with the end that the conversation had: agreed or not, whatever a comparison says today.

    One that ran out of time or failed while the agents talked may not now, or the other way round.
    """
    if len(conversation.speakers) == 1 or conversation.stop not in {StopReason.AGREED, StopReason.MAX_TURNS}:
        return trace
    latest = {turn.seat: index for index, turn in enumerate(trace.turns)}
    beliefs = {trace.turns[index].belief for index in latest.values()}
    agreed = conversation.stop is StopReason.AGREED
    if len(latest) < len(conversation.speakers) or min(beliefs) < 0 or (len(beliefs) == 1) == agreed:
        return trace
    if agreed:
        decided = dict.fromkeys(latest.values(), trace.turns[min(latest.values())].belief)
    else:
        decided = {len(trace.turns) - 1: 1 + max(max(turn.belief, turn.private or 0) for turn in trace.turns)}
    turns = [
        msgspec.structs.replace(turn, belief=decided.get(index, turn.belief))
        for index, turn in enumerate(trace.turns)
    ]
    return msgspec.structs.replace(trace, turns=tuple(turns))


async def _regraded(conversation: Conversation, task: Task) -> Conversation:
    turns = []
    for turn in conversation.turns:
        replies = [await _regraded_reply(reply, conversation, task) for reply in turn.replies]
        probe = turn.probe
        if probe is not None:
            again = await _regraded_reply(probe.reply, conversation, task)
            probe = msgspec.structs.replace(probe, reply=again)
        turns.append(msgspec.structs.replace(turn, replies=tuple(replies), probe=probe))
    return msgspec.structs.replace(conversation, turns=tuple(turns))


async def _regraded_reply(reply: Reply, conversation: Conversation, task: Task) -> Reply:
    problem = conversation.problem
    rollouts = [await _regraded_rollout(rollout, problem, task) for rollout in reply.rollouts]
    correct = reply.correct
    if isinstance(reply.belief, Answered):
        correct = await boundary.grade(task, reply.belief.value, problem)
    return msgspec.structs.replace(reply, correct=correct, rollouts=tuple(rollouts))


async def _regraded_rollout(rollout: Rollout, problem: Problem, task: Task) -> Rollout:
    if rollout.answer is None:
        return rollout
    return msgspec.structs.replace(rollout, correct=await boundary.grade(task, rollout.answer, problem))


def _equality(task: Task, problem: Problem) -> Callable[[str, str], Awaitable[bool]]:
    """The task's equivalence of answers to one problem."""
    return lambda a, b: boundary.same(task, a, b, problem)
