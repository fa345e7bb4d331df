"""`coral list [DIR]`: the runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rich.table import Table

from coral.cli import EXIT_DONE
from coral.cli.options import parse
from coral.cli.terminal import WIDTH, standard_output
from coral.comparison.seeds import from_summaries
from coral.config import Options, option
from coral.errors import ConfigError, UserError
from coral.evaluation.identity import config_digest
from coral.metrics import METRICS, Estimate, MetricInfo, Summary
from coral.metrics.table import interval_text, value_of
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
    config: str = ""
    summary: Summary | None = None


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
    for place, line in enumerate(lines):
        table.add_row(*line.cells)
        same = [one for one in lines if one.config and one.config == line.config]
        if len(same) > 1 and line.config not in {one.config for one in lines[place + 1 :]}:
            table.add_row(*_mean(same), style="bold")
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
    config, summary, folder = "", None, RunFolder(path)
    try:
        summary = folder.read("summary.json", Summary)
        cells = _cells(folder, summary)
        if summary is not None:
            config = config_digest(folder.identity())
    except UserError as error:
        cells = (str(error).removeprefix(f"{path}/")[:28], "", "")
    when = f"{datetime.fromtimestamp(changed).astimezone():%d %b %H:%M}"
    return _Line(changed, (name, *cells, when), config, summary)


def _cells(folder: RunFolder, summary: Summary | None) -> tuple[str, str, str]:
    """Headline, how many conversations have ended, and what they cost."""
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


def _headline(summary: Summary) -> tuple[MetricInfo, Estimate]:
    info = next(info for info in METRICS if info.headline and info.name in summary.metrics)
    return info, summary.metrics[info.name]


def _mean(lines: Sequence[_Line]) -> tuple[str, ...]:
    """The row of runs that differ in their seeds alone. Its interval holds what other problems and other
    seeds would change; from summaries alone it is rather too wide, and `coral compare` reads the runs.
    """
    summaries = [line.summary for line in lines if line.summary is not None]
    told = [_headline(summary) for summary in summaries]
    info = told[0][0]
    known = [(one.mean, one.stderr, one.num_problems) for _, one in told]
    means = [mean for mean, _, _ in known if mean is not None]
    errors = [error for _, error, _ in known if error is not None]
    headline = ""
    if len(means) == len(errors) == len(known):
        low, high = from_summaries(means, errors, min(problems for *_, problems in known))
        value = value_of(info, fmean(means))
        headline = f"{info.name} {value} {100 * low:.1f} to {100 * high:.1f}%"
    costs = [summary.cost for summary in summaries]
    cost = "" if None in costs else f"${sum(one for one in costs if one is not None):,.2f}"
    ended = sum(summary.conversations for summary in summaries)
    return f"{len(lines)} seeds", headline, f"{ended}", cost, ""
