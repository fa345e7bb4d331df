"""`coral export DIR --output FILE`: a run as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli.options import parse, take_name
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.tables import RowsOf
from coral.exchange.export import Format, export

ABOUT = (
    "Write a run to one file: .jsonl holds whole conversations, .csv and .parquet a row per conversation or "
    "turn, .eval a log of Inspect. Tasks whose authors ask that no problem is published (GPQA) are redacted "
    "unless told otherwise."
)


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Options):
    """What to write."""

    output: str = option("", decides=False)
    """The file to write, .jsonl, .csv, .parquet or .eval; must not exist."""
    rows: RowsOf | None = option(None, decides=False)
    """Of a table: a row per conversation (conversations), as by default, or per turn (turns)."""
    format: Format | None = option(None, decides=False)
    """inspect: a log of Inspect, as by default for .eval. messages: a conversational data set (.jsonl or
    .parquet), roles as one seat sees them. coral: all else."""
    seat: str | None = option(None, decides=False)
    """Of messages: whose view; by default that of the seat that speaks first."""
    redact: bool | None = option(None, decides=True)
    """Leave out all texts that hold or may quote a problem; by default for confidential tasks only."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, flags = take_name(arguments)
    config = parse(ExportConfig, flags, command="coral export DIR", about=ABOUT)
    if path is None or not config.output:
        raise ConfigError("run folder or output missing", remedy="coral export DIR --output FILE")
    count, rows, redacted = export(
        path,
        config.output,
        redact=config.redact,
        rows=config.rows,
        form=config.format,
        seat=config.seat,
    )
    print(f"{count} {rows} written to {config.output}" + (", redacted" if redacted else ""))
    return 0
