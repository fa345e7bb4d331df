"""Progress on the terminal: a bar where somebody looks, plain lines where not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from coral.cli.loop import on_interrupt
from coral.cli.terminal import Terminal
from coral.conversation import protocols
from coral.evaluation.progress import Progress
from coral.evaluation.watch import Watch

REFRESH_S = 0.5
LINE_EVERY_S = 10.0
LONGEST_CAUSE = 60
"""Characters that the cause of retries may take of the line."""


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
        self._notes = Notes(progress, console)
        self._bar = _OpenBar(progress, console, protocol, self._notes) if console.is_terminal else None
        show = self._bar.keep_up() if self._bar else _lines(progress, console, protocol, self._notes)
        self._polling = asyncio.create_task(show)

    def end(self) -> asyncio.Task[None]:
        """Take the bar away at once: what is printed next stands where it was. Returns what still ends."""
        self._polling.cancel()
        if self._bar is not None:
            self._bar.close()
        self._notes.print_new()
        return self._polling


class Notes:
    """Prints each note of a progress once."""

    def __init__(self, progress: Progress, console: Terminal) -> None:
        self._progress, self._console = progress, console
        self._printed = 0

    def print_new(self) -> None:
        """Print what was noted since the last call."""
        for note in self._progress.notes[self._printed :]:
            self._console.print(f"note: {note}", soft_wrap=True)
            self._printed += 1


class _OpenBar:
    """A bar on the terminal."""

    def __init__(self, progress: Progress, console: Terminal, protocol: str, notes: Notes) -> None:
        self._progress, self._protocol, self._rates = progress, protocol, Rates(progress)
        self._notes = notes
        text = TextColumn("{task.description}", markup=False)  # a server's words may hold brackets
        columns = (BarColumn(bar_width=12), MofNCompleteColumn(), text)
        self._bar = Bar(*columns, console=console, auto_refresh=False, transient=True)
        self._line = self._bar.add_task("", total=None)
        self._draw()
        self._bar.start()

    async def keep_up(self) -> None:
        """Draw what is new, again and again."""
        while True:
            await asyncio.sleep(REFRESH_S)
            self._notes.print_new()
            self._draw()

    def close(self) -> None:
        """Draw the last of it, and take it away."""
        self._draw()
        self._bar.stop()

    def _draw(self) -> None:
        progress = self._progress
        self._bar.update(
            self._line,
            total=progress.total or None,
            completed=progress.kept + progress.done,
            description=describe(progress, self._rates, self._protocol),
        )
        self._bar.refresh()


async def _lines(progress: Progress, console: Terminal, protocol: str, notes: Notes) -> None:
    rates = Rates(progress)
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        notes.print_new()
        done = progress.kept + progress.done
        line = f"{done}/{progress.total} {describe(progress, rates, protocol)}"
        console.print(line, highlight=False, markup=False, soft_wrap=True)


class Rates:
    """Requests and tokens per second since the last look."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = (progress.elapsed_s, progress.requests, progress.completion_tokens)
        self.requests = self.tokens = 0.0

    def look(self) -> None:
        """Measure anew, averaging with the last look so that figures do not jump."""
        now = (self._progress.elapsed_s, self._progress.requests, self._progress.completion_tokens)
        seconds = now[0] - self._last[0]
        if seconds > 0:
            self.requests = 0.5 * self.requests + 0.5 * (now[1] - self._last[1]) / seconds
            self.tokens = 0.5 * self.tokens + 0.5 * (now[2] - self._last[2]) / seconds
            self._last = now


def describe(progress: Progress, rates: Rates, protocol: str) -> str:
    """One line: what fails and why, what is under way, how fast, how well so far, how long still."""
    rates.look()
    parts = []
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    retry_state = progress.retry_state
    if retry_state.retrying and retry_state.latest is not None:
        parts.append(f"{retry_state.retrying} retrying: {_brief(retry_state.latest.brief)}")
    if progress.stopping:
        parts.append(f"stopping, {progress.in_flight} to finish")
    else:
        parts.append(f"{progress.in_flight} active")
    if waiting := progress.waiting_for():
        parts.append(waiting)
    if progress.from_cache:
        parts.append(f"{progress.from_cache} from the cache")
    parts += [f"{rates.requests:.0f} req/s", f"{_short(rates.tokens)} tok/s"]
    good = progress.done - progress.failed
    if good and protocol and protocols.kind(protocol).max_agents != 1:
        parts.append(f"agree {progress.agreed / good:.0%}")
    elif good and progress.graded:
        parts.append(f"right {progress.right / good:.0%}")
    if progress.remaining_s is not None:
        parts.append(f"{clock(progress.remaining_s)} left")
    return " · ".join(parts)


def clock(seconds: float) -> str:
    """Such as 4s, 3:07 or 2:10:00."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _brief(words: str) -> str:
    """One short line of somebody else's words."""
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_CAUSE else f"{line[: LONGEST_CAUSE - 1]}…"


def _short(number: float) -> str:
    return f"{number / 1000:.1f}k" if number >= 1000 else f"{number:.0f}"


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
