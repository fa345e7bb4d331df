"""`processes: N`: a run as N shards on this machine, each in a process of its own (cli/shard_process.py).

A process reads its options on its standard input, stops when that ends, and says on its standard output how
far it is, a JSON object per line. So it also stops where this one dies: what is in flight is kept.
"""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
import warnings
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec

from coral import errors
from coral.errors import ConfigError, CoralError, ModelError, Notice, StoppedEarly, Unreachable, UserError
from coral.evaluation.config import EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.progress import Progress
from coral.evaluation.session import Run, run_session
from coral.evaluation.setup import launched
from coral.metrics import Summary
from coral.models.retries import AttemptFailure, RetryState
from coral.store.folder import RunFolder
from coral.store.shards import shards
from coral.types import Record

COMMAND = (sys.executable, "-m", "coral.cli.shard_process")
LONGEST_LINE = 2**24
SUMMED = ("total", "kept", "done", "failed", "in_flight", "agreed", "right", "requests", "replayed")


class Order(Record, frozen=True):
    """What a process is to do.

    Attributes:
        kind: class of the options: EvalConfig or SampleConfig.
        server: see `Given`.
    """

    kind: str
    options: dict[str, object]
    server: dict[str, Any] | None = None


class Said(Record, frozen=True):
    """What a process says of its shard.

    Attributes:
        counters: of its `Progress`, by name.
        retrying: requests that are sent again, and `why`.
        notes: all so far.
        notices: warnings since it spoke last.
        error: type, message and remedy of what ended it.
        path: of the run, once the shard's session has ended.
    """

    counters: dict[str, int] = msgspec.field(default_factory=dict)
    retrying: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    error: tuple[str, str, str] | None = None
    path: str | None = None


async def run(config: EvalConfig, progress: Progress | None = None, given: Given | None = None) -> Run:
    """Evaluate, or sample if `config` is a `SampleConfig`, in this process or in several. See `run_session`.

    Raises:
        ConfigError: Python objects cannot be handed to other processes.
        CoralError: what ended a shard; the others have kept what they had.
    """
    progress = progress or Progress()
    if config.processes == 1:
        return await run_session(config, progress, given)
    if given is not None and given.holds_objects:
        raise ConfigError(
            "Python objects cannot be given to other processes",
            remedy="name them as module:name, or leave processes out",
        )
    async with AsyncExitStack() as stack:
        agent = (await launched(config, stack, progress)).agent  # one server for all
        server = {"model": agent.model, "base_url": agent.base_url} if config.serve.command else None
        return await _run_shards(config, progress, server)


async def _run_shards(config: EvalConfig, progress: Progress, server: dict[str, Any] | None) -> Run:
    crew = [_Process(str(shard)) for shard in shards(config.processes)]
    working = [asyncio.ensure_future(one.work(_order(config, one.shard, server))) for one in crew]
    telling = asyncio.ensure_future(_tell(crew, progress))
    loop = asyncio.get_running_loop()
    try:
        with progress.telling(lambda: loop.call_soon_threadsafe(_stop, crew)):
            for work in working:
                work.add_done_callback(lambda ended: _stop(crew) if _failed(ended) else None)
            await asyncio.wait(working)
    finally:
        for task in (telling, *working):
            task.cancel()
        for one in crew:
            one.kill()
        await asyncio.gather(telling, *working, return_exceptions=True)
    _add_up(crew, progress)
    if error := next((ended.exception() for ended in working if _failed(ended)), None):
        raise error
    return _result(crew, progress)


def _result(crew: Sequence[_Process], progress: Progress) -> Run:
    path = Path(next(one.said.path for one in crew if one.said.path))
    finished = progress.kept + progress.done
    summary = RunFolder(path).read("summary.json", Summary) if finished == progress.total else None
    return Run(path=path, summary=summary, finished=finished, total=progress.total)


def _order(config: EvalConfig, shard: str, server: dict[str, Any] | None) -> Order:
    part = dataclasses.replace(
        config, shard=shard, processes=1, max_connections=max(1, config.max_connections // config.processes)
    )
    return Order(kind=type(config).__name__, options=msgspec.to_builtins(part), server=server)


def _failed(ended: asyncio.Future[None]) -> bool:
    return not ended.cancelled() and ended.exception() is not None


def _stop(crew: Sequence[_Process]) -> None:
    for one in crew:
        one.stop()


async def _tell(crew: Sequence[_Process], progress: Progress) -> None:
    while True:
        await asyncio.sleep(0.2)
        _add_up(crew, progress)


def _add_up(crew: Sequence[_Process], progress: Progress) -> None:
    """The counters of all shards together."""
    for name in (*SUMMED, "completion_tokens"):
        setattr(progress, name, sum(one.said.counters.get(name, 0) for one in crew))
    progress.notes += [
        note for note in dict.fromkeys(note for one in crew for note in one.said.notes)
        if note not in progress.notes
    ]  # fmt: skip
    progress.retry_state = RetryState()
    for one in crew:
        failure = AttemptFailure(kind=Unreachable, message=one.said.why, brief=one.said.why)
        for number in range(one.said.retrying):
            progress.retry_state.note((one.shard, number), failure)


class _Process:
    """The process of one shard.

    Attributes:
        said: what it said last.
    """

    def __init__(self, shard: str) -> None:
        self.shard, self.said = shard, Said()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def work(self, order: Order) -> None:
        """Start it, and listen to its end.

        Raises:
            CoralError: what ended it.
        """
        self._process = process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is for this process: it passes the word on
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(order) + b"\n")
        if self._stopping:
            self.stop()
        async for line in process.stdout:
            self.said = msgspec.json.decode(line, type=Said)
            for notice in self.said.notices:
                warnings.warn(notice, Notice, stacklevel=2)
        code = await process.wait()
        if self.said.error is not None:
            raise _error(*self.said.error)
        if self.said.path is None:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise UserError(
                f"the process of shard {self.shard} {how}",
                remedy="run the same command again: what is finished is kept",
            )

    def stop(self) -> None:
        """Let its requests in flight finish, and send no others."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


def _error(kind: str, message: str, remedy: str) -> CoralError:
    """The exception that ended a process, as this one raises it."""
    found = getattr(errors, kind, UserError)
    if issubclass(found, ModelError):
        return found(message, remedy=remedy)
    return (StoppedEarly if found is StoppedEarly else UserError)(message, remedy=remedy)
