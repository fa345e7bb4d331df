"""What trackers are told of a run: figures while it works, and its summary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from coral.metrics import METRICS, Estimate, Summary
from coral.trackers.report import Look, Report
from coral.trackers.services import Cell, Table

LOG_EVERY_S = 10.0
LOOK_EVERY_S = 0.2

COLUMNS = ("metric", "value", "low", "high", "n", "failed", "unscored")


def headline_of(summary: Summary) -> tuple[str, Estimate]:
    """The first metric that is a headline, and its name."""
    info = next(info for info in METRICS if info.headline and info.name in summary.metrics)
    return info.name, summary.metrics[info.name]


def figures_of(summary: Summary) -> dict[str, float | None]:
    """Every metric of a run, and what it cost."""
    used = summary.usage.values()
    return {
        **{name: estimate.mean for name, estimate in summary.metrics.items()},
        "total/conversations": float(summary.conversations),
        "total/failed": float(summary.stop_reasons.get("failed", 0)),
        "total/requests": float(summary.requests),
        "total/tokens": float(sum(role.prompt_tokens + role.completion_tokens for role in used)),
        "total/from_cache": float(sum(role.from_cache for role in used)),
        "total/usd": summary.cost,
    }


def rows_of(summary: Summary) -> list[list[Cell]]:
    """The metrics with their intervals and counts, a row of `COLUMNS` each."""
    return [
        [name, one.mean, one.low, one.high, one.n, one.num_failed, one.num_unscored]
        for name, one in summary.metrics.items()
    ]


@asynccontextmanager
async def tracked(
    names: tuple[str, ...],
    options: Mapping[str, Any],
    place: Callable[[], Path | None],
    look: Look,
    say: Callable[[str], object],
) -> AsyncIterator[Callable[[Path, Summary | None], None]]:
    """Tell trackers how a run gets on while the body runs; yields what tells them of its end.

    Args:
        place: the run's folder; None until there is one.
        say: told what became of a tracker that failed.
    """
    reports: list[Report] = []

    def begin(folder: Path) -> Report:
        if not reports:
            reports.append(Report(names, folder, options, say))
        return reports[0]

    async def follow() -> None:
        while (folder := place()) is None:  # noqa: ASYNC110 - polled, off the request path
            await asyncio.sleep(LOOK_EVERY_S)
        await begin(folder).follow(look, LOG_EVERY_S)

    def tell(folder: Path, summary: Summary | None) -> None:
        report = begin(folder)
        step, figures = look()
        report.log(step, figures)
        if summary is not None:
            report.log(step + 1, figures_of(summary))
            report.table("summary", (COLUMNS, rows_of(summary)))

    following = asyncio.create_task(follow())
    try:
        yield tell
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        for report in reports:
            await report.close()


def table_of(first: str, summaries: Mapping[str, Summary]) -> Table:
    """Several runs in one table, told apart by its first column."""
    rows = [[name, *row] for name, summary in summaries.items() for row in rows_of(summary)]
    return (first, *COLUMNS), rows


def heads_of(summaries: Mapping[str, Summary]) -> dict[str, float | None]:
    """The headline of each of several runs."""
    return {
        f"{name}/{head}": estimate.mean
        for name, (head, estimate) in ((name, headline_of(one)) for name, one in summaries.items())
    }
