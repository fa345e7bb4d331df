"""A run at a glance: its headline, its metrics, and the counts behind the pictures."""

from __future__ import annotations

import sqlite3
from typing import Any

from coral.comparison.listing import summary_of
from coral.errors import RunFolderError
from coral.metrics import Summary
from coral.metrics.catalog import metrics_by
from coral.metrics.estimate import Estimate
from coral.metrics.info import MetricInfo
from coral.metrics.own import own_info
from coral.metrics.statistics import Interval, clustered_ratio, interval_of
from coral.viewer import queries
from coral.viewer.index import RunIndex


def overview(index: RunIndex, name: str) -> dict[str, Any]:
    """All that the first screen of a run shows, as JSON types."""
    connection = index.connection
    summary, note = _summary(index)
    counts = connection.execute(
        "SELECT count(*) AS conversations, count(DISTINCT problem) AS problems, "
        "coalesce(sum(stop = 'failed'), 0) AS failed, coalesce(sum(right), 0) AS right, "
        "count(CASE WHEN stop != 'failed' THEN right END) AS scored FROM conversations"
    ).fetchone()
    headline, interval = _headline(connection)
    return {
        "name": name,
        "path": str(index.folder.path),
        "protocol": index.rules.name,
        "seats": list(index.rules.speakers),
        "planned": index.folder.planned(),
        "finished": summary is not None and not summary.owed,
        **dict(counts),
        "headline": headline,
        "beside_control": index.beside_control,
        "interval": interval,
        "kinds": queries.kinds(connection),
        "flow": queries.flow(connection),
        "turns": queries.distribution(connection, "turns"),
        "tokens": queries.distribution(connection, "tokens"),
        "groups": queries.groups(connection),
        "failures": queries.failures(connection),
        "damaged": queries.damaged(connection),
        "notes": [one for one in (index.note, note) if one],
        "metrics": _metrics(index, summary) if summary else [],
        "cost": summary and summary.cost,
        "requests": summary and summary.requests,
        "run": index.identity,
        "prompts": _prompts(index),
    }


def _headline(connection: sqlite3.Connection) -> tuple[float | None, Interval | None]:
    """The share that is right, of those that are scored, and its interval over problems: also of a run that
    has not ended.
    """
    by_cluster = connection.execute(
        "SELECT sum(right), count(right) FROM conversations WHERE stop != 'failed' AND right IS NOT NULL "
        "GROUP BY cluster"
    ).fetchall()
    if not by_cluster:
        return None, None
    ratio = clustered_ratio([row[0] for row in by_cluster], [row[1] for row in by_cluster])
    return ratio.value, interval_of(ratio, "proportion")


def _summary(index: RunIndex) -> tuple[Summary | None, str]:
    try:
        return summary_of(index.folder), ""
    except RunFolderError as error:
        told = str(error)
        return None, told if "coral score" in told else f"{told}; `coral score` makes it anew"


def _metrics(index: RunIndex, summary: Summary) -> list[dict[str, Any]]:
    ours = [info for info in metrics_by(index.rules) if not info.name.startswith("reference/")]
    own = [own_info(name, is_share=unit == "share") for name, unit in summary.own.items()]
    return [
        _metric(info, summary.metrics[info.name]) for info in (*ours, *own) if info.name in summary.metrics
    ]


def _metric(info: MetricInfo, found: Estimate) -> dict[str, Any]:
    return {
        "name": info.name,
        "title": info.title,
        "help": info.help,
        "unit": unit_of(info),
        "headline": info.headline,
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "failed": found.num_failed,
        "unscored": found.num_unscored,
    }


def unit_of(info: MetricInfo) -> str:
    """Of a metric's values, as the page writes them; differences of shares are told in points."""
    return "points" if info.interval == "difference" else info.unit


def _prompts(index: RunIndex) -> dict[str, Any] | None:
    """What the models were told."""
    try:
        return index.folder.read("prompts.json", dict[str, Any])
    except RunFolderError:
        return None
