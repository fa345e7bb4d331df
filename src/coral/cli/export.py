"""`coral export DIR --output FILE`: the conversations of a run as one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli.options import parse, take_name
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.export import export

ABOUT = (
    "Write the conversations of a run to one jsonl file. Tasks whose authors ask that no problem is "
    "published (GPQA) are redacted unless told otherwise."
)


@dataclass(frozen=True, kw_only=True)
class ExportConfig(Options):
    """What to write."""

    output: str = option("", decides=False)
    """The file to write; must not exist."""
    redact: bool | None = option(None, decides=True)
    """Leave out all texts that hold or may quote a problem; by default for confidential tasks only."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, flags = take_name(arguments)
    config = parse(ExportConfig, flags, command="coral export DIR", about=ABOUT)
    if path is None or not config.output:
        raise ConfigError("run folder or output missing", remedy="coral export DIR --output FILE")
    count, redacted = export(path, config.output, redact=config.redact)
    print(f"{count} conversations written to {config.output}" + (", redacted" if redacted else ""))
    return 0
