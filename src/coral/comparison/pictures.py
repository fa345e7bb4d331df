"""`coral.plot`: pictures of stored runs, alone or against each other."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from coral.comparison.compare import PairedRuns, SeveralRuns, compare_several
from coral.comparison.rows import info_of, measure_of, title_of
from coral.errors import ConfigError
from coral.evaluation.pictures import plot_runs
from coral.evaluation.run import Run
from coral.evaluation.tables import beside_a_loop
from coral.metrics import Comparison
from coral.plots import (
    FONT_SIZES,
    KINDS,
    Columns,
    Kind,
    Row,
    check_suffix,
    draw_rows,
    drawing,
    finished,
    save_new,
    short_names,
)
from coral.store.folder import RunFolder

AnyKind = Kind | Literal["differences"]


def plot(
    *runs: str | Path | Run | RunFolder,
    kind: AnyKind | None = None,
    columns: Columns = 2,
    labels: Sequence[str] = (),
    output: str | Path | None = None,
) -> Any:
    """Draw stored runs; returns a Figure of matplotlib. docs/plots.md shows the kinds.

    Args:
        kind: headline, beliefs, agreement, cost or groups; differences: each run minus the first, paired by
            problem. By default headline of one run, and differences of several.
        columns: how many columns of a paper it spans, 1 or 2.
        labels: what each run is called; by default as its folder.
        output: a file to write, .png, .svg or .pdf. Only a picture drawn by this function is replaced.

    Raises:
        UserError: a run cannot be read or holds nothing of this kind, the file cannot be written, or
            matplotlib is not installed.
    """
    folders = [run if isinstance(run, RunFolder) else RunFolder(run.path if isinstance(run, Run) else run)
               for run in runs]  # fmt: skip
    if not folders:
        raise ConfigError("no run is given", remedy="name the folders of one or more runs")
    if columns not in {1, 2}:
        raise ConfigError(f"columns must be 1 or 2 (got {columns!r})", remedy="a paper has two")
    if labels and len(labels) != len(folders):
        raise ConfigError(
            f"{len(labels)} label{'s' * (len(labels) != 1)} given for {len(folders)} runs",
            remedy="give one per run, with blanks between (commas belong to a label): --labels pair alone",
        )
    if output is not None:
        check_suffix(Path(output))
    if kind not in {None, "differences", *KINDS}:
        known = ", ".join((*KINDS, "differences"))
        raise ConfigError(f"kind must be one of {known} (got {kind!r})", remedy="docs/plots.md shows them")
    kind = kind or ("headline" if len(folders) == 1 else "differences")
    if kind == "differences":
        figure = _differences(folders, columns, labels)
    else:
        figure = plot_runs(folders, kind, columns, labels)
    if output is not None:
        save_new(figure, Path(output))
    return figure


def _differences(folders: Sequence[RunFolder], columns: Columns, labels: Sequence[str]) -> Any:
    """Of two runs all shares that both have; of more each headline, minus the first."""
    if len(folders) < 2:
        raise ConfigError("a difference needs two runs", remedy="name two or more, the baseline first")
    several = beside_a_loop(lambda: asyncio.run(compare_several(folders[0], folders[1:])))
    names = short_names(labels or [several.baseline, *several.others], 8 + 16 * columns)
    if len(several.compared) == 1:
        rows = _metrics(several.compared[0])
        label = f"{names[1]} − {names[0]} (pp), 95% CI"
    else:
        rows = _headlines(several, names[1:])
        label = f"{measure_of(several.compared[0])}: difference to {names[0]} (pp), 95% CI"
    with drawing(FONT_SIZES[columns]) as figure_class:
        return finished(draw_rows(figure_class, rows, columns, label=label, signed=True))


def _headlines(several: SeveralRuns, names: Sequence[str]) -> list[Row]:
    return [_row(name, runs.comparisons[0]) for name, runs in zip(names, several.compared, strict=True)]


def _metrics(runs: PairedRuns) -> list[Row]:
    headline, *further = runs.comparisons
    rows = [_row(title_of(headline, runs), headline)]
    for one in further:
        info = info_of(one, runs)
        if info.unit == "share" and one.difference is not None:
            rows.append(_row(info.title.removesuffix(", points"), one))
    return rows


def _row(label: str, one: Comparison) -> Row:
    return Row(label, one.difference, one.low, one.high)
