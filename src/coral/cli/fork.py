"""`coral fork RUN CONVERSATION --turn K`: what a change at a turn does to the outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from coral.audits.report import share_text
from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import standard_output
from coral.cli.visible import shell_word
from coral.comparison.tables import between, percent, points
from coral.errors import ConfigError
from coral.studies.fork import ForkConfig, fork

ABOUT = (
    "Continue a stored conversation from a turn, many times, with a change and without it: another text, a "
    "control partner, or other options. --where does it to all conversations of a kind."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, rest = take_name(arguments)
    conversation, flags = take_name(rest)
    config = parse(ForkConfig, flags, command="coral fork RUN CONVERSATION", about=ABOUT)
    if path is None:
        raise ConfigError("no run folder given", remedy="coral fork RUN CONVERSATION --turn K")
    found = run_in_loop(fork(path, conversation, config))
    out, number = standard_output(), len(found.conversations)
    what = found.conversations[0] if number == 1 else f"{number:,} conversations"
    out.print(f"\n{what}, right:", style="bold", markup=False)
    out.print(f"  original    {percent(found.original)} (n = {number})", markup=False)
    out.print(f"  unchanged   {share_text(found.unchanged)}", markup=False)
    out.print(f"  changed     {share_text(found.changed)}", markup=False)
    ends = between(found.low, found.high, signed=True)
    out.print(f"  difference  {points(found.difference)} {ends} points", markup=False)
    folder = Path(config.output or Path(path) / "fork")
    changed = shell_word(str(folder / "changed"))
    out.print(f"\nread them: coral show {changed}", markup=False, soft_wrap=True)
    out.print(f"the figures: {shell_word(str(folder / 'results.json'))}", markup=False, soft_wrap=True)
    return EXIT_DONE
