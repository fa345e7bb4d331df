"""A bar in a notebook while a job runs there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import escape
from typing import Any

from coral.display.line import Rates, describe, ending, opening
from coral.evaluation.progress import Progress

REFRESH_S = 0.5


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel: one that displays HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


@asynccontextmanager
async def shown(progress: Progress, *, protocol: str) -> AsyncIterator[None]:
    """Show `progress` below the cell while the body runs; nothing where there is no notebook."""
    if not in_notebook():
        yield
        return
    bar = _Bar(progress, protocol)
    keeping_up = asyncio.create_task(bar.keep_up())
    try:
        yield
    finally:
        keeping_up.cancel()
        await asyncio.gather(keeping_up, return_exceptions=True)
        bar.end()


class _Bar:
    """One bar; every note of the job stands below it."""

    def __init__(self, progress: Progress, protocol: str) -> None:
        from IPython.display import display

        self._progress, self._protocol, self._rates = progress, protocol, Rates(progress)
        self._handle: Any = display(_Html(self._html("")), display_id=True)

    async def keep_up(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_S)
            self._show(describe(self._progress, self._rates, self._protocol))

    def end(self) -> None:
        """What stays in the notebook."""
        started = bool(self._progress.place)
        self._show(ending(self._progress, self._protocol) if started else "nothing was begun")

    def _show(self, line: str) -> None:
        self._handle.update(_Html(self._html(line)))

    def _html(self, line: str) -> str:
        progress = self._progress
        done = progress.kept + progress.done
        first = opening(progress) if progress.place else "preparing"
        notes = "".join(f"<br>note: {escape(note)}" for note in progress.notes)
        return (
            f'<progress value="{done}" max="{progress.total or 1}" style="width: 20em"></progress> '
            f"{escape(line)}<br><small>{escape(first)}{notes}</small>"
        )


class _Html:
    """A fragment, with the text that a console shows instead."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html

    def __repr__(self) -> str:
        return "progress of a run"
