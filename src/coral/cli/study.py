"""`coral study STUDY.yaml`, `coral study TASK --preset NAME`: all arms of a study, or go on with them."""

from __future__ import annotations

from collections.abc import Sequence

from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.live import Displays, stop_on_interrupt
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import standard_error, standard_output
from coral.cli.visible import shell_word
from coral.evaluation.watch import Watch
from coral.studies.config import StudyConfig
from coral.studies.report import opening
from coral.studies.results import StudyResults
from coral.studies.study import run_study
from coral.studies.tables import between, percent

ABOUT = (
    "Compare arms on the same problems: control partners, what is shown of them, one agent at equal tokens. "
    "Ends with a report. The same command resumes. docs/studies.md explains it."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    name, flags = take_name(arguments)
    if name is not None and name.lower().endswith((".yaml", ".yml")):
        flags = ["--config", name, *flags]
    elif name is not None:
        flags = [*flags, "--task.name", name]
    config = parse(StudyConfig, flags, command="coral study TASK", about=ABOUT)
    results = run_in_loop(_in_view(config))
    if results is None:
        standard_error().print(
            f"interrupted: everything so far is kept in {config.folder}; the same command resumes",
            soft_wrap=True,
        )
        return EXIT_INTERRUPTED
    _print_results(results, config.folder)
    return EXIT_DONE


async def _in_view(config: StudyConfig) -> StudyResults | None:
    console = standard_error()
    displays = Displays(console)
    watch = Watch(say=displays.end, begin=displays.begin)
    stop_on_interrupt(watch, console)
    try:
        return await run_study(config, watch)
    finally:
        displays.end()


def _print_results(results: StudyResults, folder: str) -> None:
    out = standard_output()
    width = max(len(arm.name) for arm in results.arms)
    out.print(f"\n{results.task}, {results.problems:,} problems, right of all:", style="bold", markup=False)
    for arm in results.arms:
        found = arm.right
        figure = f"{percent(found.mean)} {between(found.low, found.high)} (n = {found.n:,})"
        out.print(f"  {arm.name:{width}}  {figure}", markup=False, soft_wrap=True)
    for line in opening(results)[1:]:
        out.print(f"\n{line}", markup=False, soft_wrap=True)
    out.print(f"\nreport: {shell_word(folder)}/report.md and report.html", markup=False, soft_wrap=True)
