"""What was built: counts of every filter, duplicates, shared problems, and the look of the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.rows.disk_rows import DiskRows
from coral.rows.filters import FilterCount
from coral.rows.options import Kind
from coral.rows.problem_statistics import Shared, Solved
from coral.types import Record


class RunRecord(Record, frozen=True):
    """A run that rows were made of.

    Attributes:
        name: as in the rows' lineage.
        identity: all that decided its results (`run.json`).
    """

    name: str
    conversations: int
    identity: dict[str, Any]


class Lengths(Record, frozen=True):
    """Lengths of replies, in characters."""

    mean: float
    median: float
    longest: int


class Report(Record, frozen=True):
    """What was built, from what.

    Attributes:
        rows: in the file.
        solved: how often problems were solved.
        filters: in the order in which they apply, each with what it kept of what came through the others.
        duplicates: rows that said the same to the letter as another and were dropped; 0 where they are kept.
        turns: rows by turn, from 1.
        persuasive: rows whose (chosen) reply changed the partner's mind for the better.
        labels: kto: rows that are desirable, and rows that are not.
        replies: lengths of the replies to learn; likewise of the rejected ones. A preference for long replies
            shows here.
        reasonings_left_out: conversations of thinking models, whose reasoning no row holds.
    """

    kind: Kind
    rows: int
    runs: tuple[RunRecord, ...]
    solved: Solved
    filters: tuple[FilterCount, ...]
    duplicates: int
    shared: Shared
    turns: dict[str, int]
    labels: dict[str, int]
    persuasive: int = 0
    replies: Lengths | None = None
    rejected: Lengths | None = None
    reasonings_left_out: int = 0


def describe(disk_rows: DiskRows, indices: npt.NDArray[np.intp], kind: Kind) -> dict[str, Any]:
    """The look of the rows: the fields of a `Report` that only the rows decide."""
    chosen, rejected = disk_rows.chars(indices)
    turns = Counter((disk_rows.turns(indices) + 1).tolist())
    labels = disk_rows.labels(indices)
    right = int(labels.sum())
    return {
        "rows": len(indices),
        "turns": {str(turn): turns[turn] for turn in sorted(turns)},
        "persuasive": int(disk_rows.persuaded(indices).sum()),
        "labels": {"desirable": right, "undesirable": len(indices) - right} if kind == "kto" else {},
        "replies": _lengths(chosen),
        "rejected": _lengths(rejected) if kind == "dpo" else None,
    }


def _lengths(chars: Sequence[int] | npt.NDArray[Any]) -> Lengths | None:
    if not len(chars):
        return None
    return Lengths(
        mean=round(float(np.mean(chars)), 1), median=float(np.median(chars)), longest=int(np.max(chars))
    )
