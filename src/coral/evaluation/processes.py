"""`processes: N`: a run as N shards on this machine, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.identity import stored
from coral.evaluation.progress import Progress
from coral.evaluation.run import Run
from coral.evaluation.session import run_session
from coral.evaluation.setup import last_answer_decides, launched
from coral.metrics import Summary
from coral.processes import Order, Said, retry_state, share, total
from coral.store.folder import RunFolder
from coral.store.shards import shards
from coral.trackers.figures import tracked
from coral.trackers.report import reporters

COUNTERS = (
    "total", "kept", "done", "failed", "in_flight", "agreed", "scored", "right", "graded",
    "requests", "replayed", "completion_tokens", "from_cache",
)  # fmt: skip
"""Of `Progress`, what a process says of its shard and what all of them add up to."""


async def run(config: EvalConfig, progress: Progress | None = None, given: Given | None = None) -> Run:
    """Evaluate, or sample if `config` is a `SampleConfig`, in this process or in several; see `run_session`.

    Raises:
        ConfigError: Python objects cannot be handed to other processes.
        CoralError: what ended a shard; the others have kept what they had.
    """
    progress = progress or Progress()
    names = reporters(config.report_to)
    if not names:
        return await _run(config, progress, given)
    told = tracked(
        names, stored(config), lambda: progress.folder, lambda: _now(progress), progress.notes.append
    )
    async with told as tell:
        run = await _run(config, progress, given)
        tell(run.path, run.summary)
    return run


def _now(progress: Progress) -> tuple[int, dict[str, float | None]]:
    """How many conversations have ended, and how they did."""
    good = progress.done - progress.failed
    return progress.kept + progress.done, {
        "live/agreed": progress.agreed / good if good else None,
        "live/right": progress.right / good if good else None,
        "live/failed": float(progress.failed),
        "live/requests": float(progress.requests),
        "live/completion_tokens": float(progress.completion_tokens),
    }


async def _run(config: EvalConfig, progress: Progress, given: Given | None) -> Run:
    if config.processes == 1:
        return await run_session(config, progress, given)
    if given is not None and given.holds_objects:
        raise ConfigError(
            "Python objects cannot be given to other processes",
            remedy="name them as module:name, or leave processes out",
        )
    progress.last_answer_counts = last_answer_decides(config)
    if config.output:
        progress.folder = Path(config.output)
    async with AsyncExitStack() as stack:
        agent = (await launched(config, stack, progress)).agent  # one server for all
        names = ("model", "base_url", "revision")
        server = {name: getattr(agent, name) for name in names} if config.serve.command else None
        orders = [
            Order(
                kind=type(config).__name__, shard=str(shard), options=_part(config, str(shard)), server=server
            )
            for shard in shards(config.processes)
        ]
        said = await share(orders, telling=progress.telling, listen=lambda said: _add_up(said, progress))
    return _result(said, progress)


def _part(config: EvalConfig, shard: str) -> dict[str, object]:
    """The options of one of the processes."""
    width = max(1, config.max_connections // config.processes)
    part = dataclasses.replace(config, shard=shard, processes=1, max_connections=width, report_to="none")
    options: dict[str, object] = msgspec.to_builtins(part)
    return options


def _result(said: Sequence[Said], progress: Progress) -> Run:
    path = Path(next(one.result["path"] for one in said if one.result))
    finished = progress.kept + progress.done
    summary = RunFolder(path).read("summary.json", Summary) if finished == progress.total else None
    return Run(path=path, summary=summary, finished=finished, total=progress.total)


def _add_up(said: Sequence[Said], progress: Progress) -> None:
    """The counters of all shards together."""
    for name in COUNTERS:
        setattr(progress, name, total(said, name))
    if said and all(one.folder for one in said):
        progress.place = str(Path(said[0].folder).parents[1])  # of DIR/shards/I-of-N
    progress.notes += [
        note for note in dict.fromkeys(note for one in said for note in one.notes)
        if note not in progress.notes
    ]  # fmt: skip
    progress.retry_state = retry_state(said)
