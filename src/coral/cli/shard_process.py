"""One shard of a job with `processes`, as a process: see `coral.processes`, which starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import msgspec

from coral.cli.loop import run_in_loop
from coral.errors import ModelError, Notice, UserError
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.evaluation.given import Given
from coral.evaluation.processes import COUNTERS
from coral.evaluation.progress import Progress
from coral.evaluation.session import run_session
from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, generate
from coral.generation.processes import COUNTERS as COUNTERS_OF_ROWS
from coral.models.retries import RetryState
from coral.options import build_config
from coral.processes import Order, Said, known_name
from coral.tasks import boundary

SAY_EVERY_S = 0.3


class Job(Protocol):
    """The work of a shard, and how far it is."""

    notes: list[str]

    @property
    def folder(self) -> str: ...
    @property
    def retry_state(self) -> RetryState: ...
    def counters(self) -> dict[str, int]: ...
    def stop(self) -> None: ...
    async def work(self) -> dict[str, Any]: ...


class _Conversations:
    """A shard of `coral eval` or `coral sample`."""

    def __init__(self, order: Order) -> None:
        self._order, self._progress = order, Progress()
        self.notes = self._progress.notes

    @property
    def folder(self) -> str:
        return self._progress.place

    @property
    def retry_state(self) -> RetryState:
        return self._progress.retry_state

    def counters(self) -> dict[str, int]:
        return {name: getattr(self._progress, name) for name in COUNTERS}

    def stop(self) -> None:
        self._progress.stopping = True

    async def work(self) -> dict[str, Any]:
        kind = {one.__name__: one for one in (EvalConfig, SampleConfig)}[self._order.kind]
        config = build_config(kind, self._order.options, "")
        run = await run_session(config, self._progress, Given(server=self._order.server))
        return {"path": str(run.path)}


class _Batch:
    """A shard of `coral generate`."""

    def __init__(self, order: Order) -> None:
        self._order, self._counts = order, Counts()
        self.notes: list[str] = []
        self.folder = ""

    @property
    def retry_state(self) -> RetryState:
        return self._counts.retry_state

    def counters(self) -> dict[str, int]:
        return {name: getattr(self._counts, name) for name in COUNTERS_OF_ROWS}

    def stop(self) -> None:
        self._counts.stop()

    async def work(self) -> dict[str, Any]:
        await generate(build_config(GenerateConfig, self._order.options, ""), self._counts)
        return {"written": self._counts.written}


def main() -> None:
    """Do the shard that standard input names, and say on standard output how far it is."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a task's own code prints is not for the process that listens
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    job: Job = _Batch(order) if order.kind == GenerateConfig.__name__ else _Conversations(order)
    voice = _Voice(output, job)
    warnings.showwarning = voice.noting(warnings.showwarning)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: job.stop())
    threading.Thread(target=_hear, args=(job,), daemon=True).start()
    try:
        result = run_in_loop(_in_view(job, voice))
    except (UserError, ModelError) as error:
        voice.say(error=(known_name(type(error)), str(error), error.remedy))
        return
    for failure in boundary.failures():
        voice.notices.append(
            f"{failure}: what it was asked is counted as unreadable, unknown or not the same"
        )
    voice.say(result=result)


def _hear(job: Job) -> None:
    """Stop when the input ends: the process that started this one says so, or is no more."""
    while os.read(0, 4096):  # no buffered read: its lock would outlive the interpreter
        pass
    job.stop()


async def _in_view(job: Job, voice: _Voice) -> dict[str, Any]:
    telling = asyncio.create_task(_tell(voice))
    try:
        return await job.work()
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(voice: _Voice) -> None:
    while True:
        voice.say()
        await asyncio.sleep(SAY_EVERY_S)


class _Voice:
    """Says what there is to say of a shard."""

    def __init__(self, output: BinaryIO, job: Job) -> None:
        self._output, self._job = output, job
        self.notices: list[str] = []

    def noting(self, others: Callable[..., None]) -> Callable[..., None]:
        """Keeps a `Notice` to be said; other warnings are shown as `others` does."""

        def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
            if issubclass(category, Notice):
                self.notices.append(str(message))
            else:
                others(message, category, *rest)

        return show

    def say(self, *, result: dict[str, Any] | None = None, error: tuple[str, str, str] | None = None) -> None:
        """Say how far it is, and how it ended."""
        retry_state = self._job.retry_state
        said = Said(
            counters=self._job.counters(),
            folder=self._job.folder,
            retrying=retry_state.retrying,
            why=retry_state.latest.brief if retry_state.latest else "",
            notes=tuple(self._job.notes),
            notices=tuple(self.notices),
            error=error,
            result=result,
        )
        self.notices.clear()
        try:
            self._output.write(msgspec.json.encode(said) + b"\n")
        except BrokenPipeError:  # nobody listens: the input has ended, too, and the shard finishes
            return


if __name__ == "__main__":
    main()
