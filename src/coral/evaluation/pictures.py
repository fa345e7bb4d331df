"""Pictures of stored runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from coral import workers
from coral.conversation import protocols
from coral.evaluation.measure import summary_of, traced
from coral.evaluation.tables import beside_a_loop
from coral.plots import BeliefFlow, Columns, Kind, RunFigures, draw
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of


def plot_runs(
    folders: Sequence[RunFolder], kind: Kind, columns: Columns = 2, labels: Sequence[str] = ()
) -> Any:
    """Draw runs; returns a Figure.

    Args:
        labels: what each run is called; by default as its folder.

    Raises:
        UserError: a run cannot be read or holds nothing of this kind, or matplotlib is not installed.
    """
    runs = beside_a_loop(lambda: asyncio.run(_figures(folders, with_flow=kind == "beliefs")))
    if labels:
        runs = [replace(run, name=label) for run, label in zip(runs, labels, strict=True)]
    return draw(kind, runs, columns)


async def _figures(folders: Sequence[RunFolder], *, with_flow: bool) -> list[RunFigures]:
    async with workers.in_use():
        return [
            RunFigures(
                name=str(folder.path),
                summary=await summary_of(folder),
                flow=await _flow(folder) if with_flow else None,
            )
            for folder in folders
        ]


async def _flow(folder: RunFolder) -> BeliefFlow:
    flow = BeliefFlow(list(protocols.stored(folder.identity()).speakers))
    async for _, trace in traced(folder, task_of(folder)):
        flow.add(trace)
    return flow
