"""`coral export DIR --output FILE`: a run as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli.options import parse, take_name
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.tables import RowsOf
from coral.exchange.export import export

ABOUT = (
    "Write a run to one file: .jsonl holds whole conversations, .csv and .parquet a row per conversation or "
    "turn. Tasks whose authors ask that no problem is published (GPQA) are redacted unless told otherwise."
)


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Options):
    """What to write."""

    output: str = option("", decides=False)
    """The file to write, .jsonl, .csv or .parquet; must not exist."""
    rows: RowsOf | None = option(None, decides=False)
    """Of a table: a row per conversation (conversations), as by default, or per turn (turns)."""
    redact: bool | None = option(None, decides=True)
    """Leave out all texts that hold or may quote a problem; by default for confidential tasks only."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, flags = take_name(arguments)
    config = parse(ExportConfig, flags, command="coral export DIR", about=ABOUT)
    if path is None or not config.output:
        raise ConfigError("run folder or output missing", remedy="coral export DIR --output FILE")
    count, rows, redacted = export(path, config.output, redact=config.redact, rows=config.rows)
    print(f"{count} {rows} written to {config.output}" + (", redacted" if redacted else ""))
    return 0
