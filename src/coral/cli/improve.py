"""`coral improve --config FILE`: the whole loop, or resume it."""

from __future__ import annotations

from collections.abc import Sequence

from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.live import Displays, stop_on_interrupt
from coral.cli.loop import run_in_loop
from coral.cli.options import as_yaml, parse
from coral.cli.terminal import standard_error, standard_output
from coral.evaluation.watch import Watch
from coral.improvement.config import ImproveConfig
from coral.improvement.gate import told
from coral.improvement.improve import improve, rehearse
from coral.improvement.report import best_of, headline, points
from coral.improvement.results import Results

ABOUT = (
    "Improve a model by its own conversations: evaluate, sample, build rows, train, evaluate again, and take "
    "over what is better; for some iterations, beside controls. docs/improve.md explains it."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: an option, the data or a folder cannot be used, a server or a training failed.
    """
    config = parse(ImproveConfig, arguments, command="coral improve", about=ABOUT)
    if config.dry_run:
        run_in_loop(rehearse(config, _say_step))
        return EXIT_DONE
    results = run_in_loop(_in_view(config))
    if results is None:
        standard_error().print(
            f"interrupted: everything so far is kept in {config.output}; the same command resumes",
            soft_wrap=True,
        )
        return EXIT_INTERRUPTED
    _print_results(results, config.output)
    return EXIT_DONE


def _say_step(step: str, options: object) -> None:
    out = standard_output()
    out.print(f"\n# {step}", style="bold")
    out.print(options if isinstance(options, str) else as_yaml(options), soft_wrap=True)


async def _in_view(config: ImproveConfig) -> Results | None:
    console = standard_error()
    displays = Displays(console)
    watch = Watch(say=displays.end, begin=displays.begin)
    stop_on_interrupt(watch, console)
    try:
        return await improve(config, watch)
    finally:
        displays.end()


def _print_results(results: Results, output: str) -> None:
    out = standard_output()
    for model in results.models:
        if model.made:
            verdict = "taken over" if model.made.verdict.accepted else "not taken over"
            out.print(f"{model.name}: {told(model.since_start['pair'])} since the start; {verdict}")
            gains = [
                one.measured["pair"].metrics.get("conversation_gain") for one in (results.models[0], model)
            ]
            out.print(
                f"  conversation gain, points: {points(gains[0])} at the start, {points(gains[1])} now",
                markup=False,
            )
            for sign in model.made.verdict.signs:
                out.print(f"  sign of collapse: {sign}", style="yellow")
    for paragraph in headline(results):
        out.print(f"\n{paragraph.replace('**', '')}", style="bold")
    out.print(f"\nbest: {best_of(results).name}", style="bold")
    out.print(f"report: {output}/report.md", soft_wrap=True)
