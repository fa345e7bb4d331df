"""`coral audit RUN|STUDY`: read a sample of replies again, and correct the headline by it."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from coral.audits.audit import AuditConfig, audit, drawn_texts, folder_of
from coral.audits.people import FOLDER
from coral.audits.report import AuditResults, VerdictAudit, judge_opening, opening, share_text
from coral.cli import EXIT_DONE
from coral.cli.live import shown
from coral.cli.loop import on_interrupt, run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import Terminal, standard_error, standard_output
from coral.cli.visible import shell_word
from coral.comparison.tables import figure, points
from coral.config import Bounds, option
from coral.errors import ConfigError
from coral.evaluation.progress import Progress

ABOUT = (
    "Read a sample of replies again, by a second extractor or by people (--label asks them in the browser; "
    "or csv), blind to gold and to the first reading, and have a judge's verdicts judged again: agreement, "
    "error rates, and the headline corrected for them. docs/studies.md explains it."
)


@dataclass(frozen=True, kw_only=True)
class AuditCommand(AuditConfig):
    """Options of an audit, and of the page in which people read."""

    label: bool = option(False, decides=False)
    """Ask people in the browser which answers the sample's texts submit, instead of auditing: a sheet for
    each of them in the folder `people` of the audit, to give as --labels."""
    host: str = option("127.0.0.1", decides=False)
    """--label: address to bind; people on other machines need one that they can reach."""
    port: int = option(0, decides=False, within=Bounds(least=0, most=65535))
    """--label: port to bind; 0 takes a free one."""
    no_browser: bool = option(False, decides=False)
    """--label: only print the address."""

    def audit(self) -> AuditConfig:
        """The options of the audit alone."""
        return AuditConfig(**{one.name: getattr(self, one.name) for one in fields(AuditConfig)})


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    paths: list[str] = []
    name, rest = take_name(arguments)
    while name is not None:
        paths.append(name)
        name, rest = take_name(rest)
    command = parse(AuditCommand, rest, command="coral audit RUN", about=ABOUT)
    config = command.audit()
    if command.label:
        return _label(paths, command)
    results = run_in_loop(_in_view(paths, config))
    print_audit(results, Path(config.output or Path(paths[0]) / "audit"))
    return EXIT_DONE


def _label(paths: Sequence[str], command: AuditCommand) -> int:
    """Ask people until Ctrl-C.

    Raises:
        UserError: as `audit`; or others are to read at the same time.
    """
    from coral.viewer.labelling import Labelling
    from coral.viewer.serve import serve

    config = command.audit()
    if config.extractor or config.judge or config.labels is not None or config.verdicts is not None:
        raise ConfigError("--label asks people alone", remedy="give the other readers when they have read")

    async def work() -> None:
        texts, task = await drawn_texts(paths, config)
        folder = folder_of(paths, config).path / FOLDER
        reads = f"coral audit {' '.join(map(shell_word, paths))} --labels {shell_word(folder)}"

        def announce(address: str) -> None:
            print(f"{address}  ({len(texts)} texts; Ctrl-C stops)\nthen: {reads}", flush=True)
            if not command.no_browser:
                webbrowser.open(address)

        form = Labelling(folder, texts, task)
        await serve([], host=command.host, port=command.port, on_ready=announce, forms=[form], screen="label")

    run_in_loop(work())
    return EXIT_DONE


async def _in_view(paths: Sequence[str], config: AuditConfig) -> AuditResults:
    console, progress = standard_error(), Progress()

    def stop() -> None:
        progress.stopping = True
        console.print(f"stopping: {progress.in_flight} requests in flight end; Ctrl-C again stops at once")

    on_interrupt(stop, is_stopping=lambda: progress.stopping)
    async with shown(progress, console):
        return await audit(paths, config, progress)


def print_audit(results: AuditResults, folder: Path) -> None:
    """The corrected headlines, and where the rest stands."""
    out = standard_output()
    out.print(f"\n{opening(results)}", markup=False, soft_wrap=True)
    _print_found(results, out)
    if results.verdicts is not None:
        out.print(f"\n{judge_opening(results.verdicts)}", markup=False, soft_wrap=True)
        _print_found(results.verdicts, out)
    place, others = shell_word(folder), " and verdicts.csv" if results.verdicts is not None else ""
    out.print(
        f"\nreport: {place}/report.md; for people: {place}/sheet.csv{others}", markup=False, soft_wrap=True
    )


def _print_found(results: AuditResults | VerdictAudit, out: Terminal) -> None:
    for agreement in results.agreements:
        kappa = "" if agreement.kappa is None else f", kappa {agreement.kappa:.2f}"
        out.print(
            f"{' and '.join(agreement.readers)} agree in {share_text(agreement.agreement)}{kappa}",
            markup=False,
            soft_wrap=True,
        )
    width = max((len(arm.name) for arm in results.arms), default=0)
    if any(arm.headline for arm in results.arms):
        out.print("\nright of all, as read and corrected:", style="bold")
    for arm in results.arms:
        found = arm.headline
        if found is None:
            continue
        out.print(
            f"  {arm.name:{width}}  {figure(found.plain, found.plain_low, found.plain_high)}  ->  "
            f"{figure(found.corrected, found.low, found.high)}  "
            f"({found.audited:,} of {found.conversations:,} read again)",
            markup=False,
            soft_wrap=True,
        )
    for one in results.differences:
        marked = "  (could be reading alone)" if one.reading_alone else ""
        out.print(
            f"  {one.left} - {one.right}  {points(one.plain)}  ->  "
            f"{figure(one.corrected, one.low, one.high, signed=True)}{marked}",
            markup=False,
            soft_wrap=True,
        )
