"""Progress on the terminal: a bar where somebody looks, plain lines where not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from coral.cli.loop import on_interrupt
from coral.cli.terminal import Terminal
from coral.display.line import Rates, describe, ending, opening
from coral.evaluation.progress import Progress
from coral.evaluation.watch import Watch

REFRESH_S = 0.5
LINE_EVERY_S = 60.0
BAR = 12
"""Columns of the bar; a terminal narrower than `NARROW` has none."""
NARROW = 76


@asynccontextmanager
async def shown(progress: Progress, console: Terminal, *, protocol: str = "") -> AsyncIterator[None]:
    """Show `progress` while the body runs. The display polls; the job never waits for it.

    Args:
        protocol: of conversations; empty where there are none, as in an audit.
    """
    display = Display(progress, console, protocol=protocol)
    try:
        yield
    finally:
        await asyncio.gather(display.end(), return_exceptions=True)


class Display:
    """Shows a progress from when it is built until `end`; polls in the running event loop."""

    def __init__(self, progress: Progress, console: Terminal, *, protocol: str) -> None:
        bar = console.is_terminal
        self._shown = (_Bar if bar else _Log)(progress, console, protocol)
        self._polling = asyncio.create_task(self._shown.keep_up())

    def end(self) -> asyncio.Task[None]:
        """Take the bar away at once: what is printed next stands where it was. Returns what still ends."""
        self._polling.cancel()
        self._shown.close()
        return self._polling


class _Bar:
    """A bar on the terminal, below what is said once: that a run is resumed, and notes."""

    def __init__(self, progress: Progress, console: Terminal, protocol: str) -> None:
        self._progress, self._console, self._protocol = progress, console, protocol
        self._rates, self._printed, self._opened = Rates(progress), 0, False
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._draw()
        self._live.start()

    async def keep_up(self) -> None:
        """Draw what is new, again and again."""
        while True:
            await asyncio.sleep(REFRESH_S)
            self._draw()

    def close(self) -> None:
        """Draw the last of it, and take it away."""
        self._draw()
        self._live.stop()

    def _draw(self) -> None:
        progress = self._progress
        if progress.place and not self._opened:
            self._opened = True
            if progress.kept or progress.replayed:
                self._console.print(opening(progress), soft_wrap=True)
        for note in progress.notes[self._printed :]:
            self._console.print(f"note: {note}", soft_wrap=True)
            self._printed += 1
        width = self._console.width
        grid = Table.grid(padding=(0, 1))
        bar = BAR if width >= NARROW else 0
        line = Text(describe(progress, self._rates, self._protocol, width - bar - 2))  # brackets are text
        if bar:
            done = progress.kept + progress.done
            grid.add_row(ProgressBar(total=progress.total or None, completed=done, width=bar), line)
        else:
            grid.add_row(line)
        self._live.update(grid, refresh=True)


class _Log:
    """Lines with their time for a file: the first one at once, then one per minute, and the last."""

    def __init__(self, progress: Progress, console: Terminal, protocol: str) -> None:
        self._progress, self._console, self._protocol = progress, console, protocol
        self._rates, self._printed, self._opened = Rates(progress), 0, False

    async def keep_up(self) -> None:
        """Say what is new as it comes, and how far it is now and then."""
        told = time.monotonic()
        while True:
            await asyncio.sleep(min(REFRESH_S, LINE_EVERY_S))
            self._say_new()
            if time.monotonic() - told >= LINE_EVERY_S:
                told = time.monotonic()
                self._say(describe(self._progress, self._rates, self._protocol))

    def close(self) -> None:
        """Say the last of it, unless the job never began."""
        self._say_new()
        if self._opened:
            self._say(ending(self._progress, self._protocol))

    def _say_new(self) -> None:
        if self._progress.place and not self._opened:
            self._opened = True
            self._say(opening(self._progress))
        for note in self._progress.notes[self._printed :]:
            self._say(f"note: {note}")
            self._printed += 1

    def _say(self, line: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._console.print(f"{stamp} {line}", highlight=False, markup=False, soft_wrap=True)


class Displays:
    """One run's progress at a time, and a line for every step."""

    def __init__(self, console: Terminal) -> None:
        self._console = console
        self._shown: Display | None = None

    def begin(self, progress: Progress, protocol: str) -> None:
        self.end()
        self._shown = Display(progress, self._console, protocol=protocol)

    def end(self, line: str | None = None) -> None:
        if self._shown is not None:
            self._shown.end()
            self._shown = None
        if line is not None:
            self._console.print(line, soft_wrap=True)


def stop_on_interrupt(watch: Watch, console: Terminal) -> None:
    """First Ctrl-C: let what is in flight finish. Second: stop at once."""

    def stop() -> None:
        watch.interrupt()
        console.print("stopping after what is in flight; Ctrl-C again stops at once")

    on_interrupt(stop, is_stopping=watch.stop.is_set)
