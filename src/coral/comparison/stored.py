"""`coral.compare`: stored runs from Python."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from coral.comparison.compare import PairedRuns, SeveralRuns, compare_several
from coral.evaluation.given import Given, refuse_running_loop
from coral.metrics.own import MetricFunction
from coral.store.folder import RunFolder


@overload
def compare(
    a: str | Path, b: str | Path, /, *, metrics: Sequence[str | MetricFunction] | None = None
) -> PairedRuns: ...
@overload
def compare(
    a: str | Path,
    b: str | Path,
    /,
    *others: str | Path,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> SeveralRuns: ...
def compare(
    a: str | Path,
    b: str | Path,
    /,
    *others: str | Path,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> PairedRuns | SeveralRuns:
    """Compare run b with run a on the problems that both have, paired by problem, without a model.

    Args:
        others: further runs; each is compared with a, and p-values are adjusted for their number.
        metrics: as in `evaluate`; by default those of any of the runs.

    Returns:
        Comparisons, the share of all conversations that end right first; of more than two runs those of each
        with a.

    Raises:
        UserError: a folder cannot be read, or the runs are not about the same problems.
    """
    refuse_running_loop("compare_async")
    return asyncio.run(compare_async(a, b, *others, metrics=metrics))


@overload
async def compare_async(
    a: str | Path, b: str | Path, /, *, metrics: Sequence[str | MetricFunction] | None = None
) -> PairedRuns: ...
@overload
async def compare_async(
    a: str | Path,
    b: str | Path,
    /,
    *others: str | Path,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> PairedRuns | SeveralRuns: ...
async def compare_async(
    a: str | Path,
    b: str | Path,
    /,
    *others: str | Path,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> PairedRuns | SeveralRuns:
    """`compare` for callers that have an event loop, such as a notebook."""
    given = Given()
    names = None if metrics is None else given.named_metrics(metrics)
    own = None if names is None else functools.partial(given.own_metrics, names)
    found = await compare_several(RunFolder(a), [RunFolder(run) for run in (b, *others)], own)
    return found if others else found.compared[0]
