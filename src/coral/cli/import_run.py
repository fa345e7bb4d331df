"""`coral import FOLDER --output RUN`: outputs of the published code as a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.report import print_summary
from coral.config import COUNT, Options, option
from coral.errors import ConfigError
from coral.exchange.imports import Importing, import_run
from coral.exchange.published import Beliefs

ABOUT = (
    "Make a run of an output folder of the published code: its conversations are scored and compared as ours."
)


@dataclass(frozen=True, kw_only=True)
class ImportConfig(Options):
    """What to import, and how."""

    output: str = option("", decides=False)
    """The new run folder; must not exist."""
    task: str | None = option(None, decides=True)
    """The task of its records; by default told by their fields. Hi-ToM's look like ExploreToM's."""
    beliefs: Beliefs = option("read", decides=True)
    """read: find them in the texts again, by the task's rules. keep: those that the published code found."""
    model: str = option("unknown", decides=True)
    """The model's name, which the outputs do not hold."""
    max_turns: int | None = option(None, decides=True, within=COUNT)
    """The limit of turns; by default the most that any conversation shows."""
    skip_damaged: bool = option(False, decides=True)
    """Leave out lines that cannot be read, and name them."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    source, flags = take_name(arguments)
    config = parse(ImportConfig, flags, command="coral import FOLDER", about=ABOUT)
    if source is None or not config.output:
        raise ConfigError("folder or output missing", remedy="coral import FOLDER --output runs/published")
    importing = Importing(
        source=Path(source),
        output=Path(config.output),
        task=config.task,
        beliefs=config.beliefs,
        model=config.model,
        max_turns=config.max_turns,
        skip_damaged=config.skip_damaged,
    )
    print_summary(run_in_loop(import_run(importing)), importing.output)
    return EXIT_DONE
