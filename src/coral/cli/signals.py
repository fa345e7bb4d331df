"""What Ctrl-C means to a training."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from coral.cli.terminal import Terminal


@contextmanager
def save_and_stop(stop: threading.Event, console: Terminal, *, catch: bool) -> Iterator[None]:
    """First Ctrl-C (or SIGTERM): save a checkpoint after the step, then stop. Second: stop at once."""

    def interrupt(_number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        console.print("stopping after this step; Ctrl-C again stops at once")

    numbers = (signal.SIGINT, signal.SIGTERM) if catch else ()
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
