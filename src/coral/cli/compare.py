"""`coral compare A B ...`: stored runs on the same problems, paired."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from textwrap import wrap

import rich.table

from coral.audits.marks import mark
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_names
from coral.cli.terminal import WIDTH, Terminal, standard_output
from coral.cli.visible import shell_word
from coral.comparison import rows
from coral.comparison.compare import SeveralRuns, compare_several
from coral.comparison.save import check_output, save
from coral.comparison.tables import Table
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.given import Given
from coral.metrics import metric
from coral.store.folder import RunFolder

ABOUT = (
    "Compare stored runs on the problems that they share, paired by problem, without a model: each with the "
    "first. A pair and one agent alone are compared by the share of all conversations that end right."
)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """What is compared beside Coral's own metrics, and how it is shown."""

    metrics: tuple[str, ...] | None = option(None, decides=True, names=True)
    """Further metrics, `module:function` each, or names that packages add; by default those of either run."""
    by: str | None = option(None, decides=True)
    """A group of the problems, such as `category`: what is right of all is compared in each group, too."""
    p_values: bool = option(False, decides=False)
    """Show p-values, raw and adjusted (Holm) for all metrics, or all groups, that are shown."""
    output: str | None = option(None, decides=False)
    """Also write everything to a new file: .json, .csv, .html, .md or .tex."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    runs, flags = take_names(arguments)
    config = parse(CompareConfig, flags, command="coral compare A B", about=ABOUT)
    if len(runs) < 2:
        raise ConfigError("two run folders are needed", remedy="coral compare runs/alone runs/pair")
    if len(runs) > len(ascii_lowercase):
        raise ConfigError(
            f"{len(runs)} run folders are given", remedy=f"compare at most {len(ascii_lowercase)} at a time"
        )
    output = None if config.output is None else check_output(Path(config.output))
    a, *others = map(RunFolder, runs)
    own = None if config.metrics is None else functools.partial(Given().own_metrics, config.metrics)
    several = mark(run_in_loop(compare_several(a, others, own, by=config.by)))
    if output is not None:
        save(several, output, p_values=config.p_values)
    print_comparison(several, p_values=config.p_values)
    return 0


def print_comparison(several: SeveralRuns, *, p_values: bool = False) -> None:
    """All tables, for a terminal of 80 columns."""
    out = standard_output()
    title, *_ = rows.heading(several)
    out.print(f"\n{title}", style="bold", markup=False)
    compared = several.compared
    protocols = [compared[0].protocols[0], *(runs.protocols[1] for runs in compared)]
    paths = (several.baseline, *several.others)
    for letter, path, protocol in zip(ascii_lowercase, paths, protocols, strict=False):
        out.print(f"{letter}: {shell_word(path)} ({protocol})", markup=False, soft_wrap=True)
    for table, notes in rows.tables_of(several, p_values=p_values):
        if table.title:
            out.print(f"\n{table.title}", style="bold", markup=False)
        for part in _fitting(table, several, out):
            out.print(_drawn(part, out))
        for note in notes:
            for line in wrap(note, min(out.width, WIDTH)):
                out.print(line, markup=False, soft_wrap=True)


def _fitting(table: Table, several: SeveralRuns, out: Terminal) -> list[Table]:
    """The table; where it has no room for p-values, these below it."""
    if table.name != "runs" or out.width >= WIDTH:
        return [table]
    return [rows.runs_table(several, with_p=False), rows.runs_p_table(several)]


def _drawn(table: Table, out: Terminal) -> rich.table.Table:
    gap = 2 if out.width >= WIDTH else 1
    drawn = rich.table.Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    first, *others = table.header
    if table.name in {"runs", "seeds"}:
        drawn.add_column(first, justify="right", no_wrap=True)
    else:
        drawn.add_column(first, overflow="fold")
    for name in others:
        drawn.add_column(name, justify="right", no_wrap=True)
    gain = metric("conversation_gain").title
    for place, row in enumerate(table.rows):
        strong = (table.name == "metrics" and not place) or (table.name == "changes" and row[0] == gain)
        drawn.add_row(*row, style="bold" if strong else "")
    return drawn
