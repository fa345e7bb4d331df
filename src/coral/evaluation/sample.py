"""Sampling for training: the evaluation's run, with several candidates a turn and roll-outs from them."""

from __future__ import annotations

from coral.evaluation.config import SampleConfig
from coral.evaluation.given import Given
from coral.evaluation.processes import run
from coral.evaluation.progress import Progress
from coral.evaluation.session import Run

__all__ = ["Run", "sample"]


async def sample(config: SampleConfig, progress: Progress | None = None, given: Given | None = None) -> Run:
    """Sample conversation trees, or go on with it. See `run`."""
    return await run(config, progress or Progress(), given)
