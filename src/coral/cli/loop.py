"""Starting the event loop: once per command, on uvloop where it is installed."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_in_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` to its end.

    Raises:
        KeyboardInterrupt: it was cancelled by a second Ctrl-C.
    """
    # Collections cost a third of a request at hundreds of connections: what was imported is never garbage,
    # and what a run allocates is freed by reference counts.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        try:
            import uvloop
        except ImportError:
            return asyncio.run(main)
        return uvloop.run(main)  # type: ignore[no-any-return]
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def on_interrupt(stop: Callable[[], None], *, is_stopping: Callable[[], bool]) -> None:
    """On the first Ctrl-C (or SIGTERM) call `stop`; once the job is stopping, end this task at once."""
    loop, main = asyncio.get_running_loop(), asyncio.current_task()

    def interrupt() -> None:
        if is_stopping() and main is not None:
            main.cancel()
        else:
            stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
