"""`coral power RUN [RUN]`, `coral power --rate_a 0.6`: what a design finds, and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import standard_output
from coral.comparison.facts import RIGHT
from coral.comparison.power import Design, assumed, of_pilot
from coral.config import SHARE, Bounds, Options, option
from coral.errors import ConfigError
from coral.metrics import detectable_in_points
from coral.store.folder import RunFolder

ABOUT = (
    "How large a difference between two runs so many problems show, and how many problems a difference "
    "needs, paired by problem: from a pilot run or two, or from assumed rates."
)
NUMBERS = (50, 100, 200, 500, 1_000, 2_000)
DIFFERENCES = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2)


@dataclass(frozen=True, kw_only=True)
class PowerConfig(Options):
    """All options of `coral power`."""

    rate_a: float | None = option(None, decides=False, within=SHARE)
    """Assumed share of the first run, in place of a pilot."""
    rate_b: float | None = option(None, decides=False, within=SHARE)
    """Assumed share of the second run; by default that of the first."""
    correlation: float = option(0.5, decides=False, within=Bounds(least=-1, below=1))
    """How the two runs' results on a problem correlate; two pilot runs say it themselves."""
    metric: str = option(RIGHT, decides=False)
    """A share of pilot runs; by default what is right of all conversations."""
    power: float = option(0.8, decides=False, within=Bounds(least=0.5, below=1))
    """How often a true difference is to be found."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    a, others = take_name(arguments)
    b, flags = take_name(others)
    config = parse(PowerConfig, flags, command="coral power RUN [RUN]", about=ABOUT)
    print_design(_design(a, b, config), config.power)
    return EXIT_DONE


def _design(a: str | None, b: str | None, config: PowerConfig) -> Design:
    if a is not None and config.rate_a is not None:
        raise ConfigError("a pilot run and --rate_a are both given", remedy="give one of them")
    if a is None and config.rate_a is None:
        raise ConfigError(
            "give a pilot run or two, or assumed rates",
            remedy="coral power runs/alone runs/pair, or coral power --rate_a 0.6 --rate_b 0.65",
        )
    if a is None:
        assert config.rate_a is not None
        rate_b = config.rate_a if config.rate_b is None else config.rate_b
        return assumed(config.rate_a, rate_b, config.correlation)
    other = None if b is None else RunFolder(b)
    return run_in_loop(of_pilot(RunFolder(a), other, config.correlation, config.metric))


def print_design(design: Design, power: float) -> None:
    """Both directions: from problems to differences, and back."""
    out = standard_output()
    a, b = design.rates
    pilot = f"{design.problems:,} problems" if design.problems else "no pilot"
    if design.counted < 1:
        pilot += f", of which {design.counted * design.problems:,.0f} have something to count"
    out.print(f"\n{design.source} ({pilot})", style="bold", markup=False, soft_wrap=True)
    out.print(
        f"rates {100 * a:.1f}% and {100 * b:.1f}%, correlation {design.correlation:.2f}: a problem's "
        f"difference has a standard deviation of {100 * design.spread:.1f} points\n",
        markup=False,
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("problems", "find points", "", "points", "need problems"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, difference in zip(NUMBERS, DIFFERENCES, strict=True):
        needed = design.needed(difference, power)
        table.add_row(
            f"{number:,}",
            detectable_in_points(design.detectable(number, power)),
            "",
            f"{100 * difference:.0f}",
            "-" if needed is None else f"{needed:,}",
        )
    out.print(table)
    often = f"in {100 * power:.0f} of 100 studies"
    out.print(f"found: 0 outside the 95% interval of the paired difference, {often}", soft_wrap=True)
