"""`coral study STUDY.yaml`, `coral study TASK --preset NAME`: all arms of a study, or resume them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

from rich.table import Table

from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.live import Displays, stop_on_interrupt
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import standard_error, standard_output
from coral.cli.visible import shell_word
from coral.comparison.facts import MAJORITY
from coral.comparison.tables import Table as Contrasts
from coral.comparison.tables import share
from coral.errors import ConfigError
from coral.evaluation.watch import Watch
from coral.studies.config import StudyConfig
from coral.studies.forecast import Forecast, assumed
from coral.studies.report import contrasts_in_short, opening, power_before
from coral.studies.results import StudyResults, is_graded
from coral.studies.study import run_pilot, run_study

Outcome = TypeVar("Outcome")
ABOUT = (
    "Compare arms on the same problems: control partners, what is shown of them, one agent at equal tokens. "
    "Ends with a report. The same command resumes. docs/studies.md explains it."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    name, flags = take_name(arguments)
    if name is not None and Path(name, "run.json").is_file():
        raise ConfigError(
            f"{name} is a folder, not a task", remedy=f"to resume a study: coral study {name}/config.yaml"
        )
    if name is not None and name.lower().endswith((".yaml", ".yml")):
        flags = ["--config", name, *flags]
    elif name is not None:
        flags = [*flags, "--task.name", name]
    config = parse(StudyConfig, flags, command="coral study TASK", about=ABOUT)
    if config.dry_run:
        return _print_forecasts(assumed(config.arm_configs()))
    if config.pilot is not None:
        forecasts = run_in_loop(_in_view(config, run_pilot))
        return _interrupted(config) if forecasts is None else _print_forecasts(forecasts)
    results = run_in_loop(_in_view(config, run_study))
    return _interrupted(config) if results is None else _print_results(results, config.folder)


def _interrupted(config: StudyConfig) -> int:
    standard_error().print(
        f"interrupted: everything so far is kept in {config.folder}; the same command resumes",
        soft_wrap=True,
    )
    return EXIT_INTERRUPTED


async def _in_view(
    config: StudyConfig, job: Callable[[StudyConfig, Watch], Awaitable[Outcome | None]]
) -> Outcome | None:
    console = standard_error()
    displays = Displays(console)
    watch = Watch(say=displays.end, begin=displays.begin)
    stop_on_interrupt(watch, console)
    try:
        return await job(config, watch)
    finally:
        displays.end()


def _print_forecasts(forecasts: Sequence[Forecast]) -> int:
    """What each arm will take, and all together."""
    out = standard_output()
    pilot = max(one.pilot for one in forecasts)
    how = f"from a pilot of {pilot} problems, which count" if pilot else "nothing was sent; a typical case"
    out.print(f"\n{forecasts[0].problems:,} problems per arm · {how}\n", style="bold", markup=False)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("arm")
    for name in ("requests", "tokens", "cost", "hours"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in forecasts:
        table.add_row(one.arm, f"{one.requests:,}", *_amounts(one.tokens, one.usd, one.hours))
    tokens, usd, hours = (
        None if None in each else sum(value for value in each if value is not None)
        for each in zip(*((one.tokens, one.usd, one.hours) for one in forecasts), strict=True)
    )
    requests = sum(one.requests for one in forecasts)
    table.add_row("all", f"{requests:,}", *_amounts(tokens, usd, hours), style="bold")
    out.print(table)
    return EXIT_DONE


def _amounts(tokens: float | None, usd: float | None, hours: float | None) -> tuple[str, str, str]:
    return (
        "-" if tokens is None else f"{tokens:,.0f}",
        "price unknown" if usd is None else f"${usd:,.2f}",
        "-" if hours is None else f"{hours:,.2f}",
    )


def _print_contrasts(contrasts: Contrasts) -> None:
    out = standard_output()
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    first, difference, *figures = contrasts.header
    table.add_column(first, overflow="fold")
    table.add_column(difference, justify="right", overflow="fold")
    for name in figures:
        table.add_column(name, justify="right")
    for row in contrasts.rows:
        table.add_row(*row)
    out.print()
    out.print(table)
    out.print(contrasts.note)


def _print_results(results: StudyResults, folder: str) -> int:
    out = standard_output()
    width = max(len(arm.name) for arm in results.arms)
    graded = is_graded(results)
    what = "right of all" if graded else "agrees with the majority"
    out.print(f"\n{results.task}, {results.problems:,} problems, {what}:", style="bold", markup=False)
    for arm in results.arms:
        found = arm.right if graded else arm.metrics.get(MAJORITY, arm.right)
        out.print(f"  {arm.name:{width}}  {share(found)}", markup=False, soft_wrap=True)
    for line in opening(results)[1:]:
        out.print(f"\n{line}")
    if results.contrasts:
        _print_contrasts(contrasts_in_short(results))
    else:
        out.print(f"\n{power_before(results.problems)}")
    out.print(f"\nreport: {shell_word(folder)}/report.md and report.html", markup=False, soft_wrap=True)
    return EXIT_DONE
