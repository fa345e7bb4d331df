"""`coral sample TASK`: sample conversations for training, or resume."""

from __future__ import annotations

from collections.abc import Sequence

from coral.cli.candidates import print_sampled
from coral.cli.session import run_job
from coral.evaluation.config import SampleConfig

ABOUT = (
    "Sample conversations for training: several candidates per turn, one continues the conversation and the "
    "others are kept as its siblings."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    return run_job(SampleConfig, arguments, command="coral sample", about=ABOUT, show=print_sampled)
