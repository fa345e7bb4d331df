"""`coral eval TASK`: run an evaluation, or resume it."""

from __future__ import annotations

from collections.abc import Sequence

from coral.cli.report import print_summary
from coral.cli.session import run_job
from coral.evaluation.config import EvalConfig

ABOUT = "Let agents converse over a task, and measure how well they reason together."


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_job(EvalConfig, arguments, command="coral eval", about=ABOUT, show=print_summary)
