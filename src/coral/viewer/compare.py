"""Two runs problem by problem: who was right where, and what the difference is worth."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from coral.comparison.compare import check_same_task, compare_runs
from coral.errors import ConfigError, UserError
from coral.metrics.catalog import metric
from coral.metrics.own import own_info
from coral.viewer.index import WORKING, RunIndex
from coral.viewer.overview import unit_of
from coral.viewer.queries import MOST_ROWS, number

CHANGES = {
    "lost": "a.right AND b.right = 0",
    "won": "a.right = 0 AND b.right",
    "both_right": "a.right AND b.right",
    "both_wrong": "a.right = 0 AND b.right = 0",
    "unscored": "a.right IS NULL OR b.right IS NULL",
}
"""What became of a conversation from run a to run b."""
_JOINED = "FROM conversations a JOIN other.conversations b USING (problem, sample)"


def difference(a: RunIndex, b: RunIndex) -> list[dict[str, Any]]:
    """Run b against run a, paired by problem, as `coral compare` finds it: the headline first.

    Raises:
        UserError: the runs are not about the same problems.
    """
    with WORKING:
        found = asyncio.run(compare_runs(a.folder, b.folder))
    return [
        {**msgspec.to_builtins(one), **_words(one.metric, found.own.get(one.metric))}
        for one in found.comparisons
    ]


def _words(name: str, own_unit: str | None) -> dict[str, str]:
    """Title, meaning and unit of a metric."""
    info = metric(name) if own_unit is None else own_info(name, is_share=own_unit == "share")
    return {"title": info.title, "help": info.help, "unit": unit_of(info)}


def aligned(a: RunIndex, b: RunIndex, asked: Mapping[str, str]) -> dict[str, Any]:
    """The conversations of two runs side by side, by problem and sample.

    Args:
        asked: `change` (see `CHANGES`; all without), `offset`, `limit`.

    Raises:
        UserError: no such change, or runs of two tasks.
    """
    check_same_task(a.folder, b.folder)
    change = asked.get("change") or ""
    if change and change not in CHANGES:
        raise ConfigError(f"no change '{change}'", remedy=", ".join(CHANGES))
    where = CHANGES[change] if change else "1"
    connection = sqlite3.connect(f"file:{a.path}?mode=ro", uri=True)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("ATTACH ? AS other", (f"file:{b.path}?mode=ro",))
        sums = ", ".join(f"coalesce(sum({condition}), 0)" for condition in CHANGES.values())
        counts = connection.execute(f"SELECT {sums} {_JOINED}").fetchone()
        (count,) = connection.execute(f"SELECT count(*) {_JOINED} WHERE {where}").fetchone()
        found = connection.execute(
            "SELECT a.id, a.problem, a.right AS right_a, b.right AS right_b, a.strip AS strip_a, "
            f"b.strip AS strip_b, a.stop AS stop_a, b.stop AS stop_b {_JOINED} WHERE {where} "
            "ORDER BY a.natural LIMIT ? OFFSET ?",
            (min(number(asked, "limit", 100), MOST_ROWS), number(asked, "offset", 0)),
        ).fetchall()
    finally:
        connection.close()
    return {
        "count": count,
        "changes": dict(zip(CHANGES, counts, strict=True)),
        "rows": [dict(row) for row in found],
    }


# More than two runs -----------------------------------------------------------------------------------------


def standings(runs: Sequence[RunIndex], base: RunIndex) -> list[dict[str, Any]]:
    """Each run: how much is right, and what changed against one of them. Why not, where they cannot be held
    against each other.
    """
    return [_standing(run, base) for run in runs]


def _standing(run: RunIndex, base: RunIndex) -> dict[str, Any]:
    right, scored = run.connection.execute(
        "SELECT coalesce(sum(right), 0), count(right) FROM conversations WHERE stop != 'failed'"
    ).fetchone()
    told = {"right": right, "scored": scored, "changes": {}, "error": ""}
    if run is not base:
        try:
            told["changes"] = aligned(base, run, {"limit": "0"})["changes"]
        except UserError as error:
            told["error"] = str(error)
    return told


def by_problem(runs: Sequence[RunIndex], asked: Mapping[str, str]) -> dict[str, Any]:
    """How often each run was right about each problem that any of them has.

    Args:
        asked: `differ` (1: only problems about which the runs are not alike), `offset`, `limit`.
    """
    found: dict[tuple[str, str], list[tuple[int, int] | None]] = {}
    for place, run in enumerate(runs):
        rows = run.connection.execute(
            "SELECT problem, min(natural), coalesce(sum(right), 0), count(right) FROM conversations "
            "WHERE stop != 'failed' GROUP BY problem"
        )
        for problem, natural, right, scored in rows:
            cells = found.setdefault((natural.rpartition("#")[0], problem), [None] * len(runs))
            cells[place] = (right, scored)
    kept = sorted(found.items())
    if asked.get("differ"):
        kept = [(key, cells) for key, cells in kept if _differ(cells)]
    offset, limit = number(asked, "offset", 0), min(number(asked, "limit", 100), MOST_ROWS)
    rows_told = [{"problem": key[1], "cells": cells} for key, cells in kept[offset : offset + limit]]
    return {"count": len(kept), "rows": rows_told}


def _differ(cells: Sequence[tuple[int, int] | None]) -> bool:
    return len({cell[0] / cell[1] for cell in cells if cell and cell[1]}) > 1
