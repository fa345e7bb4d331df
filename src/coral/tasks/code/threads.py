"""What coroutines make, for whoever reads it: outside of an event loop, or from within one."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

MOST_AHEAD = 64
"""Items that are made before somebody takes them."""
LOOK_EVERY_S = 0.01


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


def streamed(make: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """What `make` yields, made in a thread with an event loop of its own; it stops when nobody reads on.

    Raises:
        BaseException: whatever `make` raises.
    """
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()
    stop = threading.Event()

    async def work() -> None:
        items = make()
        try:
            async for item in items:
                made.put(item)
                while made.qsize() > MOST_AHEAD and not stop.is_set():  # noqa: ASYNC110 - across threads
                    await asyncio.sleep(LOOK_EVERY_S)
                if stop.is_set():
                    return
        finally:
            await items.aclose()  # type: ignore[attr-defined]

    def run() -> None:
        try:
            asyncio.run(work())
            made.put(_End())
        except BaseException as error:  # noqa: BLE001  handed on to who reads
            made.put(_End(error))

    thread = threading.Thread(target=run, name="coral-made", daemon=True)
    thread.start()
    try:
        while not isinstance(item := made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stop.set()
        thread.join()
