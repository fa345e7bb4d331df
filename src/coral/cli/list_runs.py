"""`coral list [DIR]`: the runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from coral.cli import EXIT_DONE
from coral.cli.options import parse
from coral.cli.report import interval_text, value_of
from coral.cli.terminal import WIDTH, standard_output
from coral.config import Options, option
from coral.errors import ConfigError, UserError
from coral.metrics import METRICS, Summary
from coral.store.folder import RunFolder

ABOUT = "List the runs below a folder, newest first: headline, conversations ended, cost and date."


@dataclass(frozen=True, kw_only=True)
class ListConfig(Options):
    """Which runs to list."""

    folder: str = option("runs", decides=False)
    """Where to look, subfolders included."""


class _Line(NamedTuple):
    """One run, as it is listed."""

    changed: float
    cells: tuple[str, ...]


def run(arguments: Sequence[str]) -> int:
    """Print the list.

    Raises:
        ConfigError: there is no such folder.
    """
    config = parse(ListConfig, arguments, command="coral list [DIR]", about=ABOUT, positional="folder")
    root = Path(config.folder).expanduser()
    if not root.is_dir():
        raise ConfigError(f"there is no folder '{root}'", remedy="give the folder that holds your runs")
    lines = sorted((_line(path, root) for path in _runs(root)), reverse=True)
    if not lines:
        print(f"no run below {root}")
        return EXIT_DONE
    table = Table(box=None, pad_edge=False, width=WIDTH, padding=(0, 2, 0, 0))
    table.add_column("run", ratio=1, overflow="fold")
    table.add_column("headline", no_wrap=True)
    table.add_column("ended", justify="right", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("changed", no_wrap=True)
    for line in lines:
        table.add_row(*line.cells)
    standard_output().print(table)
    return EXIT_DONE


def _runs(root: Path) -> Iterator[Path]:
    """Run folders; what lies inside one, such as its shards, is no run of its own."""
    for folder, inner, names in os.walk(root):
        if "run.json" in names:
            inner.clear()
            yield Path(folder)
        inner.sort()


def _line(path: Path, root: Path) -> _Line:
    name = str(path.relative_to(root)) if path != root else str(path)
    files = (path / "run.json", path / "summary.json")
    changed = max((file.stat().st_mtime for file in files if file.exists()), default=path.stat().st_mtime)
    try:
        cells = _cells(RunFolder(path))
    except UserError as error:
        cells = (str(error).removeprefix(f"{path}/")[:28], "", "")
    return _Line(changed, (name, *cells, f"{datetime.fromtimestamp(changed).astimezone():%d %b %H:%M}"))


def _cells(folder: RunFolder) -> tuple[str, str, str]:
    """Headline, how many conversations have ended, and what they cost."""
    summary = folder.read("summary.json", Summary)
    if summary is None:
        endings = folder.endings()
        return "", f"{len(endings.well) + len(endings.failed)}/{folder.planned() or '?'}", ""
    heads = [info for info in METRICS if info.headline and info.name in summary.metrics]
    heads += [info for info in METRICS if info.kind == "majority" and info.name in summary.metrics]
    info = next((info for info in heads if summary.metrics[info.name].n), heads[0])
    found = summary.metrics[info.name]
    headline = f"{info.name} {value_of(info, found.mean)} {interval_text(info, found)}".strip()
    ended = summary.conversations
    counted = f"{ended}/{ended + summary.owed}" if summary.owed else str(ended)
    return headline, counted, "" if summary.cost is None else f"${summary.cost:,.2f}"
