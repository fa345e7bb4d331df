"""A run as callers get it: its folder, its summary, and what can be made of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

from coral.metrics import Summary
from coral.metrics.table import as_html
from coral.plots import Columns, Kind
from coral.store.folder import RunFolder
from coral.types import Conversation


class Views:
    """What can be made of a run on disk."""

    path: Path

    def turns(self, *, library: Literal["pandas", "polars"] = "pandas") -> Any:
        """A data frame with a row per turn; docs/analysis.md lists its columns."""
        from coral.evaluation.frames import frame

        return frame(self.path, rows="turns", library=library)

    def conversations_frame(self, *, library: Literal["pandas", "polars"] = "pandas") -> Any:
        """A data frame with a row per conversation; docs/analysis.md lists its columns."""
        from coral.evaluation.frames import frame

        return frame(self.path, library=library)

    def plot(self, kind: Kind = "headline", *, columns: Columns = 2) -> Any:
        """A picture of the run, as a Figure of matplotlib: docs/plots.md shows the kinds.

        Args:
            kind: headline, beliefs, agreement, cost or groups.
            columns: how many columns of a paper it spans.

        Raises:
            UserError: the run holds nothing of this kind, or matplotlib is not installed.
        """
        from coral.evaluation.pictures import plot_runs

        return plot_runs([RunFolder(self.path)], kind, columns)


class StoredRun(Views, RunFolder):
    """A stored run, to read: its conversations, its summary, and what can be made of it."""

    @property
    def summary(self) -> Summary | None:
        """Its metrics; None where it is unfinished."""
        return self.read("summary.json", Summary)

    def _repr_html_(self) -> str:
        """The table of the run, as notebooks show it."""
        table = "unfinished" if self.summary is None else as_html(self.summary)
        return f"{table}<p><code>{escape(str(self.path))}</code></p>"


@dataclass(frozen=True, kw_only=True)
class Run(Views):
    """A run on disk, and its summary.

    Attributes:
        path: the run folder.
        summary: its metrics; None when the run was interrupted, or other shards are not complete.
        finished: conversations that are finished, failed ones included; of a shard until all are complete.
        total: conversations the run, or the shard, is to have.
        missing: of a complete shard, the shards that are not.
    """

    path: Path
    summary: Summary | None
    finished: int
    total: int
    missing: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """The table of the run, as notebooks show it; how far it is where it is unfinished."""
        owed = f"{self.finished} of {self.total} conversations are finished"
        table = owed if self.summary is None else as_html(self.summary)
        return f"{table}<p><code>{escape(str(self.path))}</code></p>"

    def conversations(self) -> Iterator[Conversation]:
        """Stream the conversations of the run."""
        return RunFolder(self.path).conversations()
