"""The evaluation: conversations of one candidate a turn, and their metrics."""

from __future__ import annotations

from coral.evaluation.config import EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.processes import run
from coral.evaluation.progress import Progress
from coral.evaluation.session import Run

__all__ = ["Run", "evaluate"]


async def evaluate(config: EvalConfig, progress: Progress | None = None, given: Given | None = None) -> Run:
    """Run an evaluation, or go on with it. See `run`."""
    return await run(config, progress or Progress(), given)
