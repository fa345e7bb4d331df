"""Runs on display."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coral.errors import UserError
from coral.store.folder import RunFolder
from coral.viewer.families import Family, families_of
from coral.viewer.index import RunIndex

EVERY_S = 1.0
"""Seconds between two looks at what a run has written."""


@dataclass
class ViewedRun:
    """A run on display.

    Attributes:
        name: as the page calls it; no two share one.
        member: the family that it is of, and its name there; None of a fork.
        looked_at: when its files were last looked through, by the monotonic clock; 0 before the first time.
        overview: with the state of the run that it was made of.
        error: why its files cannot be followed.
        taken: lines taken in so far.
        measured: when the metrics had been written that lay there before the last look, whose lines
            it has all taken in.
    """

    name: str
    index: RunIndex
    member: tuple[Family, str] | None = None
    looked_at: float = 0.0
    overview: tuple[object, dict[str, Any]] | None = None
    updating: asyncio.Task[None] | None = None
    error: str = ""
    taken: int = 0
    measured: int = 0

    def follow(self) -> None:
        """Take in what was written since, in the background, unless that was done just now."""
        is_busy = self.updating is not None and not self.updating.done()
        if is_busy or time.monotonic() - self.looked_at < EVERY_S:
            return
        self.updating = asyncio.ensure_future(self._take_in())

    @property
    def written(self) -> int:
        """When the metrics were written; 0: they were not."""
        try:
            return (self.index.folder.path / "summary.json").stat().st_mtime_ns
        except OSError:
            return 0

    @property
    def state(self) -> object:
        """What an overview is made of: another one once more is taken in, or the metrics are written."""
        return self.taken, self.written, self.measured, self.index

    async def _take_in(self) -> None:
        def count(lines: int) -> None:
            self.taken += lines

        def look() -> None:
            if not self.index.is_current():
                self.index = RunIndex(RunFolder(self.index.folder.path))
            written = self.written
            self.index.update(count)
            self.measured = written

        try:
            await asyncio.to_thread(look)
            self.error = ""
        except UserError as error:
            self.error = str(error)
        finally:
            self.looked_at = time.monotonic()


def open_runs(paths: Sequence[str | Path], taken: Collection[str] = ()) -> list[ViewedRun]:
    """Open runs to show, the arms of studies and the models of loops among them, under names that tell them
    apart.

    Args:
        taken: names that others have already.

    Raises:
        UserError: a folder is no run, or cannot be read.
    """
    families = families_of([Path(path).expanduser() for path in paths])
    whole = [*taken, *(name for family in families for name in family.runs)]
    return [
        ViewedRun(
            name if whole.count(name) == 1 else f"{family.title or folder}: {name}",
            RunIndex(RunFolder(folder)),
            member=(family, name),
        )
        for family in families
        for name, folder in family.runs.items()
    ]


def family_numbers(runs: Sequence[ViewedRun]) -> list[tuple[Family, dict[str, int]]]:
    """The families on display, with the numbers of their runs by name."""
    found: dict[int, tuple[Family, dict[str, int]]] = {}
    for number, run in enumerate(runs):
        if run.member is not None:
            family, name = run.member
            found.setdefault(id(family), (family, {}))[1][name] = number
    return list(found.values())
