"""`coral doctor`: probe an endpoint or a checkpoint, and show what it can do and what follows."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from coral import jail
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import WIDTH, Terminal
from coral.cli.visible import one_line
from coral.doctor.diagnose import Diagnosis, DoctorConfig, diagnose
from coral.errors import ConfigError

ABOUT = (
    "Probe a model with about 20 short requests: what it can do, and what follows for Coral. It is the one "
    "of --agent.model, behind an address or in a checkpoint folder; without options, the one in the package."
)
EXIT_UNUSABLE = 2
COLOURS = {"ok": "green", "no": "yellow", "unknown": "dim"}


def run(argv: Sequence[str]) -> int:
    """Run the command; returns 0 if the model is usable, or the jail that was asked for, else 2.

    Raises:
        UserError: an option is wrong, the model is not known, or its key is missing.
    """
    name, flags = take_name(argv)
    if name is not None:
        raise ConfigError(f"unexpected argument '{name}'", remedy=f"coral doctor --agent.model {name}")
    config = parse(DoctorConfig, flags, command="coral doctor", about=ABOUT)
    if config.jail:
        return print_jails(jail.findings(), Terminal(width=WIDTH))
    diagnosis = run_in_loop(diagnose(config.agent))
    print_diagnosis(diagnosis, Terminal(width=WIDTH))
    return 0 if diagnosis.usable else EXIT_UNUSABLE


def print_diagnosis(diagnosis: Diagnosis, console: Terminal) -> None:
    """Print the rows as a table, and the verdict below it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("probe", "verdict", "seen"):
        table.add_column(column, overflow="fold", no_wrap=column != "seen")
    for row in diagnosis.findings:
        table.add_row(row.probe, Text(row.verdict, COLOURS[row.verdict]), row.seen)
        if row.consequence:
            table.add_row("", "", f"-> {row.consequence}", style="dim")
    where = f" at {', '.join(diagnosis.addresses)}" if diagnosis.addresses else ""
    console.print(f"{one_line(diagnosis.model)}{where}\n")
    console.print(table)
    verdict = "usable" if diagnosis.usable else "not usable: see the rows marked no"
    console.print(f"\n{verdict}")


def print_jails(findings: Sequence[jail.Finding], console: Terminal) -> int:
    """Print which jails work here and what the others lack; returns 0 if one that isolates does."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("driver", "verdict", "why"):
        table.add_column(column, overflow="fold", no_wrap=column != "why")
    used = next((finding.driver for finding in findings if finding.works and finding.isolates), None)
    for finding in findings:
        verdict = "ok" if finding.works else "no"
        what = finding.about if finding.works else one_line(finding.why)
        table.add_row(finding.driver, Text(verdict, COLOURS[verdict]), what)
        if finding.remedy:
            table.add_row("", "", f"-> {one_line(finding.remedy)}", style="dim")
    console.print(table)
    console.print(
        f"\nprograms run in {used}" if used else f"\nno program can be run: {jail.ALLOW} alone permits it"
    )
    return 0 if used else EXIT_UNUSABLE
