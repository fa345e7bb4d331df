"""`coral list [DIR]`: the runs below a folder."""

from __future__ import annotations

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
from coral.comparison.listing import Listed, headline_of, listed, runs_below
from coral.comparison.seeds import from_summaries
from coral.config import Options, option
from coral.errors import ConfigError
from coral.metrics.table import value_of

ABOUT = "List the runs below a folder, newest first: headline, conversations ended, cost and date."


@dataclass(frozen=True, kw_only=True)
class ListConfig(Options):
    """Which runs to list."""

    folder: str = option("runs", decides=False)
    """Where to look, subfolders included."""


def run(arguments: Sequence[str]) -> int:
    """Print the list.

    Raises:
        ConfigError: there is no such folder.
    """
    config = parse(ListConfig, arguments, command="coral list [DIR]", about=ABOUT, positional="folder")
    root = Path(config.folder).expanduser()
    if not root.is_dir():
        raise ConfigError(f"there is no folder '{root}'", remedy="give the folder that holds your runs")
    lines = sorted((listed(path) for path in runs_below(root)), key=_place, reverse=True)
    if not lines:
        print(f"no run below {root}")
        return EXIT_DONE
    _print([*_rows(lines, root)])
    return EXIT_DONE


class Row(NamedTuple):
    """A line of the list; `mean` of a row over several runs."""

    name: str
    headline: str
    ended: str
    cost: str
    changed: str
    mean: bool = False


def _rows(lines: Sequence[Listed], root: Path) -> Iterator[Row]:
    """A row per run, and behind the last of runs that differ in their seeds alone their mean."""
    for place, line in enumerate(lines):
        yield _row(line, root)
        same = [one for one in lines if one.config and one.config == line.config]
        if len(same) > 1 and line.config not in {one.config for one in lines[place + 1 :]}:
            yield _mean(same)


def _print(rows: Sequence[Row]) -> None:
    """As a table; where names need more room than the other columns leave, each on a line of its own."""
    out = standard_output()
    width = min(out.width, WIDTH)
    columns = ["headline", "ended", *(["cost"] if any(row.cost for row in rows) else []), "changed"]
    room = width - sum(2 + max(len(name), *(len(getattr(row, name)) for row in rows)) for name in columns)
    apart = max(len(row.name) for row in rows) > room
    table = Table(box=None, pad_edge=False, width=width, padding=(0, 2, 0, 0))
    table.add_column("run", ratio=1, overflow="fold")
    for name in columns[1:] if apart else columns:
        table.add_column(name, justify="left" if name in {"headline", "changed"} else "right", no_wrap=True,
                         vertical="bottom")  # fmt: skip
    for row in rows:
        first = (f"{row.name}\n  {row.headline}".rstrip(),) if apart else (row.name, row.headline)
        others = (getattr(row, name) for name in columns[1:])
        table.add_row(*first, *others, style="bold" if row.mean else "")
    out.print(table)


def _place(line: Listed) -> tuple[float, str]:
    return line.changed, str(line.path)


def _row(line: Listed, root: Path) -> Row:
    name = str(line.path.relative_to(root)) if line.path != root else str(line.path)
    told = line.headline if line.ended else line.headline[:60]  # why it cannot be read
    when = f"{datetime.fromtimestamp(line.changed).astimezone():%d %b %H:%M}"
    return Row(name, told, line.ended, line.cost, when)


def _mean(lines: Sequence[Listed]) -> Row:
    """The row of runs that differ in their seeds alone. Its interval holds what other problems and other
    seeds would change; from summaries alone it is rather too wide, and `coral compare` reads the runs.
    """
    summaries = [line.summary for line in lines if line.summary is not None]
    told = [headline_of(summary) for summary in summaries]
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
    return Row(f"{len(lines)} seeds", headline, f"{ended}", cost, "", mean=True)
