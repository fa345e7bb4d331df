"""One shard of a run with `processes`, as a process: see `coral.evaluation.processes`, which starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import BinaryIO

import msgspec

from coral.cli.loop import run_in_loop
from coral.errors import ModelError, Notice, UserError
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.evaluation.given import Given
from coral.evaluation.processes import SUMMED, Order, Said
from coral.evaluation.progress import Progress
from coral.evaluation.session import Run, run_session
from coral.options import build_config
from coral.tasks import boundary

SAY_EVERY_S = 0.3
KINDS = {kind.__name__: kind for kind in (EvalConfig, SampleConfig)}


def main() -> None:
    """Hold the shard that standard input names, and say on standard output how far it is."""
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a task's own code prints is not for the process that listens
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    progress, voice = Progress(), _Voice(output)
    warnings.showwarning = voice.noting(warnings.showwarning)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: _stop(progress))
    threading.Thread(target=_hear, args=(progress,), daemon=True).start()
    try:
        config = build_config(KINDS[order.kind], order.options, "")
        run = run_in_loop(_in_view(config, progress, voice, Given(server=order.server)))
    except (UserError, ModelError) as error:
        voice.say(progress, error=(type(error).__name__, str(error), error.remedy))
        return
    for failure in boundary.failures():
        voice.notices.append(
            f"{failure}: what it was asked is counted as unreadable, unknown or not the same"
        )
    voice.say(progress, path=str(run.path))


def _stop(progress: Progress) -> None:
    progress.stopping = True


def _hear(progress: Progress) -> None:
    """Stop when the input ends: the process that started this one says so, or is no more."""
    while os.read(0, 4096):  # no buffered read: its lock would outlive the interpreter
        pass
    _stop(progress)


async def _in_view(config: EvalConfig, progress: Progress, voice: _Voice, given: Given) -> Run:
    telling = asyncio.create_task(_tell(progress, voice))
    try:
        return await run_session(config, progress, given)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(progress: Progress, voice: _Voice) -> None:
    while True:
        voice.say(progress)
        await asyncio.sleep(SAY_EVERY_S)


class _Voice:
    """Says what there is to say of a shard."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self.notices: list[str] = []

    def noting(self, others: Callable[..., None]) -> Callable[..., None]:
        """Keeps a `Notice` to be said; other warnings are shown as `others` does."""

        def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
            if issubclass(category, Notice):
                self.notices.append(str(message))
            else:
                others(message, category, *rest)

        return show

    def say(
        self, progress: Progress, *, path: str | None = None, error: tuple[str, str, str] | None = None
    ) -> None:
        """Say how far it is, and how it ended."""
        retry_state = progress.retry_state
        said = Said(
            counters={name: getattr(progress, name) for name in (*SUMMED, "completion_tokens")},
            retrying=retry_state.retrying,
            why=retry_state.latest.brief if retry_state.latest else "",
            notes=tuple(progress.notes),
            notices=tuple(self.notices),
            error=error,
            path=path,
        )
        self.notices.clear()
        try:
            self._output.write(msgspec.json.encode(said) + b"\n")
        except BrokenPipeError:  # nobody listens: the input has ended, too, and the shard finishes
            return


if __name__ == "__main__":
    main()
