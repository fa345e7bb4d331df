"""`coral build RUN...`: training rows from runs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from coral.cli.loop import run_in_loop
from coral.cli.options import parse
from coral.cli.terminal import Terminal, standard_output
from coral.cli.visible import one_line
from coral.rows.build import BuildConfig, build
from coral.rows.report import Lengths, Report

ABOUT = "Make training rows of runs: single replies (sft), pairs (dpo) or labelled replies (kto)."


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    count = next((number for number, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    runs, flags = arguments[:count], list(arguments[count:])
    if runs:
        flags += ["--runs", *runs]
    config = parse(BuildConfig, flags, command="coral build RUN...", about=ABOUT)
    report = run_in_loop(build(config))
    print_report(report, config)
    return 0


def print_report(report: Report, config: BuildConfig) -> None:
    """What was built, and what each filter kept."""
    out = standard_output()
    conversations = sum(run.conversations for run in report.runs)
    out.print(
        f"\n{report.rows:,} {report.kind} rows from {conversations:,} conversations about "
        f"{report.solved.problems:,} problems\n",
        style="bold",
    )
    out.print(_filter_table(report))
    for line in _footnotes(report, config):
        out.print(line, soft_wrap=True)
    _print_places(out, config)


def _filter_table(report: Report) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("of")
    table.add_column("filter", min_width=24)
    for name in ("kept", "out of", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for count in report.filters:
        share = f"{100 * count.kept / count.of:.1f}%" if count.of else "-"
        table.add_row(count.level, count.name, f"{count.kept:,}", f"{count.of:,}", share)
    return table


def _footnotes(report: Report, config: BuildConfig) -> list[str]:
    solved, shared = report.solved, report.shared
    unknown = f", {solved.unknown:,} not known" if solved.unknown else ""
    kept = config.duplicates == "keep"
    lines = [
        f"\nsolved: {solved.always:,} problems always, {solved.sometimes:,} at times, {solved.never:,} never"
        + unknown,
        f"rows by turn: {', '.join(f'{turn}: {count:,}' for turn, count in report.turns.items())}",
        f"replies to learn: {_length(report.replies)}",
        *([f"rejected replies: {_length(report.rejected)}"] if report.rejected else []),
        "duplicates: kept, not counted" if kept else f"duplicates dropped: {report.duplicates:,}",
        f"shared with held-out data: {shared.count:,} problems (compared with {shared.checked:,})",
    ]
    if report.labels:
        lines.append(", ".join(f"{label}: {count:,}" for label, count in report.labels.items()))
    if report.persuasive:
        lines.append(f"turns that changed the partner's mind for the better: {report.persuasive:,} rows")
    if report.reasonings_left_out:
        lines.append(
            f"left out: the reasoning of a thinking model, in {report.reasonings_left_out:,} conversations"
        )
    return lines


def _length(lengths: Lengths | None) -> str:
    if lengths is None:
        return "-"
    return f"{lengths.mean:,.0f} characters on average, {lengths.longest:,} at most"


def _print_places(out: Terminal, config: BuildConfig) -> None:
    name = one_line(config.output)
    out.print(f"\nrows: {name}/train.{config.file}", soft_wrap=True)
    out.print(f"report: {name}/report.json", soft_wrap=True)
    if config.push_to_hub:
        out.print(f"pushed to: {config.push_to_hub}", soft_wrap=True)
