"""Gathers requests until all conversations wait for one, makes a batch of them, and hands out what comes.

A batch is written down before it is begun and again when its id is known, so whatever kills the process, the
next session finds it: by its id, or by looking for it at the provider. A request that stands in a batch of an
earlier session is not sent again; only what came to nothing there is.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from coral.batches.record import BatchRecord, Begun
from coral.batches.wire import MOST_BYTES, MOST_REQUESTS, Api, Item, Result, State
from coral.errors import FatalReject, ModelError, Outage, Rejected, StoppedEarly, UserError
from coral.models.connections import Connections, Stopped

QUIET_S = 0.3
"""So long no request may have come, where every conversation waits for one, before a batch is begun."""
PATIENCE_S = 5.0
"""The same where some do not: they grade, ask an extractor, or wait for room in a budget."""
FIRST_POLL_S, LONGEST_POLL_S = 0.3, 30.0
SUBMISSIONS = 5
"""So often the beginning of a batch is tried where the connection breaks meanwhile."""


class Waiting:
    """Which conversations wait for a batch, of however many models."""

    def __init__(self, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._by_id: Counter[str] = Counter()
        self.states: dict[str, State] = {}

    @property
    def all(self) -> bool:
        """Whether no conversation does anything else."""
        return len(self._by_id) >= self._in_flight()

    def begin(self, conversation: str) -> None:
        """A conversation waits."""
        self._by_id[conversation] += 1

    def end(self, conversation: str) -> None:
        """It has its answer."""
        self._by_id[conversation] -= 1
        if not self._by_id[conversation]:
            del self._by_id[conversation]

    def describe(self) -> str:
        """What is waited for, in a few words; empty where nothing is."""
        several = [f"batch {name} {one.done}/{one.of}" for name, one in self.states.items()]
        more = f" and {len(several) - 1} more" if len(several) > 1 else ""
        return f"waiting for {several[0]}{more}" if several else ""


class Gatherer:
    """The batches of one model at one API.

    Args:
        say: told which batch is waited for.
    """

    def __init__(
        self,
        api: Api,
        record: BatchRecord,
        connections: Connections,
        waiting: Waiting,
        say: Callable[[str], object],
    ) -> None:
        self._api, self._record, self._connections = api, record, connections
        self._waiting, self._say = waiting, say
        self._earlier = record.by_key()
        self._ready: dict[str, Result] = {}
        self._answers: dict[str, asyncio.Future[Result]] = {}
        self._bodies: dict[str, bytes] = {}
        self._pending: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._latest = 0.0

    async def ask(self, key: str, body: bytes, conversation: str) -> Result:
        """What comes of a request, by whatever batch.

        Raises:
            StoppedEarly: its batch failed as a whole, or was cancelled.
            ModelError: the API refuses the call, or does not answer.
            Stopped: the run ends; the batch goes on, and the next session takes what comes of it.
        """
        ready = self._ready.pop(key, None)
        if ready is not None:
            return ready
        if key not in self._answers:
            self._answers[key] = asyncio.get_running_loop().create_future()
            self._bodies[key] = body
            earlier = self._earlier.get(key)
            if earlier is None:
                self._queue(key)
            elif earlier.tag not in self._tasks:
                self._begin_task(earlier.tag, self._follow(earlier))
        self._waiting.begin(conversation)
        try:
            return await asyncio.shield(self._answers[key])
        finally:
            self._waiting.end(conversation)

    async def close(self) -> None:
        """End what still waits."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._record.close()

    def _begin_task(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[name] = asyncio.create_task(work)

    def _queue(self, key: str) -> None:
        """Let the next batch hold a request."""
        self._pending.append(key)
        self._latest = time.monotonic()
        flushing = self._tasks.get(_FLUSH)
        if flushing is None or flushing.done():
            self._begin_task(_FLUSH, self._flush())

    async def _flush(self) -> None:
        """Wait until nobody has anything to add, and begin batches of what is there."""
        with self._failing(self._pending):
            while self._pending:
                await self._connections.pause(QUIET_S)
                quiet_s = time.monotonic() - self._latest
                if quiet_s < (QUIET_S if self._waiting.all else PATIENCE_S):
                    continue
                asked, self._pending[:] = [Item(key, self._bodies[key]) for key in self._pending], ()
                for items in _portions(asked):
                    batch = self._record.intend([item.key for item in items])
                    self._begin_task(batch.tag, self._lead(batch, items))

    async def _lead(self, batch: Begun, items: Sequence[Item]) -> None:
        """Begin a batch, and see it through."""
        with self._failing(batch.keys):
            for attempt in range(1, SUBMISSIONS + 1):
                try:
                    begun = await self._api.submit(items, batch.tag)
                except Outage:
                    # Perhaps it was begun, and only the answer is lost.
                    begun = await self._find(batch) or ""
                    if not begun and attempt == SUBMISSIONS:
                        raise
                if begun:
                    break
                await self._connections.pause(float(attempt))
            self._record.name(batch, begun)
            self._say(
                f"batch {begun}: {len(items):,} requests at half price, which may take up to 24 hours; stop "
                "at any time, and the same command takes what has come of it"
            )
            state, results = await self._ended(batch)
            self._hand_out(batch, [one for one in results if one.status or not state.trouble])
            if state.trouble:
                raise StoppedEarly(
                    f"batch {batch.id} has ended without all of its replies ({state.trouble})",
                    remedy="run the same command again: what came is kept, and only the others are sent anew",
                )
            for key in batch.keys:
                self._answer(key, Result(key, 0, b""))

    async def _follow(self, batch: Begun) -> None:
        """Take what came of a batch of an earlier session; what came to nothing there is sent anew."""
        with self._failing(batch.keys):
            results: list[Result] = []
            if not batch.id and (found := await self._find(batch)):
                self._record.name(batch, found)
            if batch.id:
                self._say(f"batch {batch.id} was begun by an earlier session: nothing of it is sent again")
                try:
                    _, results = await self._ended(batch)
                except Rejected as error:
                    if isinstance(error, FatalReject) and error.status != 404:
                        raise  # the provider has forgotten it only where it says so
            good = [one for one in results if 200 <= one.status < 300]
            self._hand_out(batch, good)
            keys = batch.keys
            self._record.keep(batch, {one.key for one in good})
            for key in keys:
                self._earlier.pop(key, None)
                if key in self._answers:
                    self._queue(key)

    async def _find(self, batch: Begun) -> str | None:
        return await self._api.find(batch.tag, batch.keys, batch.since, self._record.ids)

    async def _ended(self, batch: Begun) -> tuple[State, list[Result]]:
        """Wait for the end of a batch; returns what came of it."""
        pause_s = FIRST_POLL_S
        try:
            while True:
                state = await self._api.state(batch.id)
                self._waiting.states[batch.id] = state
                if state.ended:
                    return state, await self._api.results(batch.id)
                await self._connections.pause(pause_s)
                pause_s = min(LONGEST_POLL_S, 1.5 * pause_s)
        finally:
            self._waiting.states.pop(batch.id, None)

    def _hand_out(self, batch: Begun, results: Sequence[Result]) -> None:
        """Give each result to whoever asked, or will ask, for it. Those of other batches are nobody's."""
        ours = set(batch.keys)
        for result in results:
            if result.key in ours and not self._answer(result.key, result):
                self._ready[result.key] = result

    def _answer(self, key: str, result: Result) -> bool:
        """Answer whoever waits for it; whether somebody does."""
        answer = self._answers.pop(key, None)
        if answer is None:
            return False
        self._bodies.pop(key, None)
        if not answer.done():
            answer.set_result(result)
        return True

    @contextmanager
    def _failing(self, keys: Sequence[str]) -> Iterator[None]:
        """Where the body fails, so do the requests that still wait for what it does."""
        try:
            yield
        except BaseException as error:
            for key in tuple(keys):
                answer = self._answers.pop(key, None)
                if answer is not None and not answer.done():
                    answer.set_exception(Stopped() if isinstance(error, asyncio.CancelledError) else error)
            if keys is self._pending:
                self._pending.clear()
            if not isinstance(error, ModelError | UserError | Stopped):
                raise


_FLUSH = ""
"""Names the task that begins batches; others are named by the tags of theirs."""


def _portions(items: Sequence[Item]) -> Iterator[list[Item]]:
    """As many items at a time as a batch may hold."""
    portion: list[Item] = []
    size = 0
    for item in items:
        if portion and (len(portion) == MOST_REQUESTS or size + len(item.body) > MOST_BYTES):
            yield portion
            portion, size = [], 0
        portion.append(item)
        size += len(item.body)
    if portion:
        yield portion
