"""One job as N shards on this machine, each in a process of its own (cli/shard_process.py).

A process reads its options on its standard input, stops when that ends, and says on its standard output how
far it is, a JSON object per line. So it also stops where this one dies: what is in flight is kept.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import msgspec

from coral import errors
from coral.errors import CoralError, ModelError, Notice, StoppedEarly, Unreachable, UserError
from coral.models.retries import AttemptFailure, RetryState
from coral.types import Record

COMMAND = (sys.executable, "-m", "coral.cli.shard_process")
LONGEST_LINE = 2**24
LOOK_EVERY_S = 0.2


class Order(Record, frozen=True):
    """What a process is to do.

    Attributes:
        kind: class of the options, such as EvalConfig.
        server: the agent's model and address where the server that `serve` names runs already.
    """

    kind: str
    shard: str
    options: dict[str, object]
    server: dict[str, Any] | None = None


class Said(Record, frozen=True):
    """What a process says of its shard.

    Attributes:
        counters: how far it is, by name.
        folder: where it works; empty until it is known what there is to do.
        retrying: requests that are sent again, and `why`.
        notes: all so far.
        notices: warnings since it spoke last.
        error: type, message and remedy of what ended it.
        result: what came of the shard, once its work has ended.
    """

    counters: dict[str, int] = msgspec.field(default_factory=dict)
    folder: str = ""
    retrying: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    error: tuple[str, str, str] | None = None
    result: dict[str, Any] | None = None


async def share(
    orders: Sequence[Order],
    *,
    telling: Callable[[Callable[[], object]], AbstractContextManager[None]],
    listen: Callable[[Sequence[Said]], object],
) -> list[Said]:
    """Start a process per order, and return what each said last, once all have ended.

    Args:
        telling: while its context lasts, calls what it is given when the user wants to stop.
        listen: told what all of them said last, some times per second and at the end.

    Raises:
        CoralError: what ended one of them; the others have stopped, and kept what they had.
    """
    crew = [_Process(order) for order in orders]
    working = [asyncio.ensure_future(one.work()) for one in crew]
    looking = asyncio.ensure_future(_look(crew, listen))
    loop = asyncio.get_running_loop()
    try:
        with telling(lambda: loop.call_soon_threadsafe(_stop, crew)):
            for work in working:
                work.add_done_callback(lambda ended: _stop(crew) if _failed(ended) else None)
            await asyncio.wait(working)
    finally:
        for task in (looking, *working):
            task.cancel()
        for one in crew:
            one.kill()
        await asyncio.gather(looking, *working, return_exceptions=True)
    said = [one.said for one in crew]
    listen(said)
    if error := next((ended.exception() for ended in working if _failed(ended)), None):
        raise error
    return said


def total(said: Sequence[Said], counter: str) -> int:
    """The sum of a counter over all processes."""
    return sum(one.counters.get(counter, 0) for one in said)


def retry_state(said: Sequence[Said]) -> RetryState:
    """The requests that any of them sends again."""
    state = RetryState()
    for process, one in enumerate(said):
        failure = AttemptFailure(kind=Unreachable, message=one.why, brief=one.why)
        for number in range(one.retrying):
            state.note((process, number), failure)
    return state


async def _look(crew: Sequence[_Process], listen: Callable[[Sequence[Said]], object]) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        listen([one.said for one in crew])


def _failed(ended: asyncio.Future[None]) -> bool:
    return not ended.cancelled() and ended.exception() is not None


def _stop(crew: Sequence[_Process]) -> None:
    for one in crew:
        one.stop()


class _Process:
    """The process of one shard.

    Attributes:
        said: what it said last.
    """

    def __init__(self, order: Order) -> None:
        self._order, self.said = order, Said()
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    async def work(self) -> None:
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
        process.stdin.write(msgspec.json.encode(self._order) + b"\n")
        if self._stopping:
            self.stop()
        async for line in process.stdout:
            self.said = msgspec.json.decode(line, type=Said)
            for notice in self.said.notices:
                warnings.warn(notice, Notice, stacklevel=2)
        code = await process.wait()
        if self.said.error is not None:
            raise _error(*self.said.error)
        if self.said.result is None:
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise UserError(
                f"the process of shard {self._order.shard} {how}",
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


def known_name(kind: type[CoralError]) -> str:
    """The name by which the process that listens knows an exception: its own, or that of its base."""
    return next(base.__name__ for base in kind.__mro__ if hasattr(errors, base.__name__))


def _error(kind: str, message: str, remedy: str) -> CoralError:
    """The exception that ended a process, as this one raises it."""
    found = getattr(errors, kind, UserError)
    if issubclass(found, ModelError):
        return found(message, remedy=remedy)
    return (StoppedEarly if found is StoppedEarly else UserError)(message, remedy=remedy)
