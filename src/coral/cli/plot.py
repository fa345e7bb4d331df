"""`coral plot RUN...`: pictures of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli import EXIT_DONE
from coral.cli.options import parse, take_names
from coral.comparison.pictures import AnyKind, plot
from coral.config import Options, option
from coral.errors import ConfigError
from coral.plots import Columns

ABOUT = "Draw runs, for a paper: one run, several side by side, or each minus the first (docs/plots.md)."


@dataclass(frozen=True, kw_only=True)
class PlotConfig(Options):
    """What to draw, and where to."""

    kind: AnyKind | None = option(None, decides=False)
    """headline: figures with intervals. beliefs: what each turn submits. agreement: by turn. cost: accuracy
    against tokens and money. groups: accuracy by group. differences: each run minus the first. By default
    headline of one run, differences of several."""
    output: str = option("", decides=False)
    """File to write, .png, .svg or .pdf; by default KIND.png here."""
    labels: tuple[str, ...] = option((), decides=False)
    """What each run is called in the picture; by default as its folder."""
    columns: Columns = option(2, decides=False)
    """How many columns of a paper it spans, 1 or 2."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    runs, flags = take_names(arguments)
    config = parse(PlotConfig, flags, command="coral plot RUN...", about=ABOUT)
    if not runs:
        raise ConfigError("no run folder is given", remedy="coral plot runs/mine --kind beliefs")
    kind = config.kind or ("headline" if len(runs) == 1 else "differences")
    output = config.output or f"{kind}.png"
    plot(*runs, kind=kind, columns=config.columns, labels=config.labels, output=output)
    print(f"{kind} drawn to {output}")
    return EXIT_DONE
