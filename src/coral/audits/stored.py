"""`coral.compare`: stored runs from Python."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from coral.audits.marks import mark
from coral.comparison.compare import PairedRuns, SeveralRuns, compare_several
from coral.evaluation.given import Given, refuse_running_loop
from coral.metrics.own import MetricFunction
from coral.store.folder import RunFolder

Metrics = Sequence[str | MetricFunction] | None


@overload
def compare(
    a: str | Path, b: str | Path, /, *, metrics: Metrics = None, by: str | None = None
) -> PairedRuns: ...
@overload
def compare(
    a: str | Path, b: str | Path, /, *others: str | Path, metrics: Metrics = None, by: str | None = None
) -> SeveralRuns: ...
def compare(
    a: str | Path, b: str | Path, /, *others: str | Path, metrics: Metrics = None, by: str | None = None
) -> PairedRuns | SeveralRuns:
    """Compare run b with run a on the problems that both have, paired by problem, without a model.

    Args:
        others: further runs; each is compared with a, and p-values are adjusted for their number.
        metrics: as in `evaluate`; by default those of any of the runs.
        by: a group of the problems, such as a task's `category`: the headline is compared in each, too.

    Returns:
        Comparisons, the share of all conversations that end right first; of more than two runs those of each
        with a. Notebooks show them as tables. Where audits of the runs say that errors of reading alone could
        produce a difference, `reading_alone` is true.

    Raises:
        UserError: a folder cannot be read, the runs are not about the same problems, or these have no such
            group.
    """
    refuse_running_loop("compare_async")
    return asyncio.run(compare_async(a, b, *others, metrics=metrics, by=by))


@overload
async def compare_async(
    a: str | Path, b: str | Path, /, *, metrics: Metrics = None, by: str | None = None
) -> PairedRuns: ...
@overload
async def compare_async(
    a: str | Path, b: str | Path, /, *others: str | Path, metrics: Metrics = None, by: str | None = None
) -> PairedRuns | SeveralRuns: ...
async def compare_async(
    a: str | Path, b: str | Path, /, *others: str | Path, metrics: Metrics = None, by: str | None = None
) -> PairedRuns | SeveralRuns:
    """`compare` for callers that have an event loop, such as a notebook."""
    given = Given()
    names = None if metrics is None else given.named_metrics(metrics)
    own = None if names is None else functools.partial(given.own_metrics, names)
    folders = [RunFolder(run) for run in (b, *others)]
    found = mark(await compare_several(RunFolder(a), folders, own, by=by))
    return found if others else found.compared[0]
