"""The sheet for people: texts to read, blind to gold, to the arm and to what was read in them before."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from coral.errors import ConfigError
from coral.store.cells import harmless, restored
from coral.store.whole import write_whole
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Belief, Problem, Unreadable, Unsure

HEADER = ("key", "question", "message", "how to answer", "answer")
UNREADABLE = "unreadable"
"""What people write where nobody can tell what a message submits."""
UNSURE = "unsure"


class Text(NamedTuple):
    """One text that is read again: of which arm, conversation and turn."""

    arm: str
    conversation: str
    place: int
    message: str
    problem: Problem

    @property
    def key(self) -> str:
        """Names the text and tells nothing about it."""
        whole = f"{self.arm}\0{self.conversation}\0{self.place}"
        return hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()


def write_sheet(path: Path, texts: Iterable[Text], task: Task) -> None:
    """Write the sheet, in an order that says nothing. What people wrote in one that is there stays.

    Raises:
        OSError: it cannot be written.
        ConfigError: the one that is there cannot be read.
    """
    cells = {
        text.key: (text.key, task.opening(text.problem), text.message, task.instruction, "") for text in texts
    }
    add_rows(path, HEADER, cells)


def add_rows(path: Path, header: tuple[str, ...], cells: Mapping[str, tuple[str, ...]]) -> None:
    """Add the rows that a sheet lacks, by key, in an order that says nothing. What is there stays.

    Raises:
        OSError, ConfigError: as `write_sheet`.
    """
    rows = [row for _, row in rows_of(path, header)] if path.exists() else []
    there = {(row.get("key") or "").strip() for row in rows}
    lacking = [row for key, row in cells.items() if key not in there]
    if not lacking:
        return
    rows += [dict(zip(header, row, strict=True)) for row in lacking]
    _write_rows(path, rows)


def _write_rows(path: Path, rows: Sequence[Mapping[str, str | None]]) -> None:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n", restval="", extrasaction="ignore")
    writer.writeheader()
    safe = [{name: harmless(cell or "") for name, cell in row.items() if name} for row in rows]
    writer.writerows(sorted(safe, key=lambda row: row["key"]))
    write_whole(path, "\ufeff" + file.getvalue())  # spreadsheets take it for Latin-1 otherwise


def set_answer(path: Path, key: str, answer: str) -> None:
    """Put an answer into a sheet; what else stands in it stays.

    Raises:
        OSError, ConfigError: as `write_sheet`.
    """
    rows = [row for _, row in rows_of(path, HEADER)]
    for row in rows:
        if (row.get("key") or "").strip() == key:
            row["answer"] = answer
    _write_rows(path, rows)


def answers_in(path: Path) -> dict[str, str]:
    """What stands in a sheet, by key; empty where nothing does yet.

    Raises:
        ConfigError: it cannot be read.
    """
    rows = rows_of(path, HEADER) if path.exists() else []
    return {(row.get("key") or "").strip(): (row.get("answer") or "").strip() for _, row in rows}


def read_labels(path: str | Path, texts: Mapping[str, Text], task: Task) -> dict[str, Belief]:
    """What people read, by key; rows without an answer are not labelled yet.

    Args:
        texts: of the audit, by key.

    Raises:
        ConfigError: the file cannot be read, is of another audit, or holds what is no answer.
    """
    found: dict[str, Belief] = {}
    for line, row in rows_of(Path(path), HEADER):
        key, said = (row.get("key") or "").strip(), (row.get("answer") or "").strip()
        if key not in texts:
            raise ConfigError(
                f"{path}, line {line}: no text of this audit has the key '{key}'",
                remedy="give the sheet of this audit: same runs, and --sample at least as large",
            )
        if not said:
            continue
        belief = belief_of(said, texts[key].problem, task)
        if belief is None:
            raise ConfigError(
                f"{path}, line {line}: '{said}' is not an answer",
                remedy=f"write an answer as the task wants it, '{UNSURE}' or '{UNREADABLE}'",
            )
        if found.setdefault(key, belief) != belief:
            raise ConfigError(
                f"{path}, line {line}: the text {key} has two answers", remedy="leave one row for each key"
            )
    return found


def belief_of(said: str, problem: Problem, task: Task) -> Belief | None:
    """What a person wrote, read as an answer; None where it is none."""
    if said.lower() == UNREADABLE:
        return Unreadable("a reader could not tell")
    if said.lower() == UNSURE:
        return Unsure()
    belief = boundary.parse(task, said, problem)
    return None if isinstance(belief, Unreadable) else belief


def rows_of(path: Path, header: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a sheet, and the lines they end on. Its key and what people write must be there.

    Raises:
        ConfigError: it cannot be read, or is another file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        separator = max(",;\t", key=text.partition("\n")[0].count)
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [(reader.line_num, {name: _restored(cell) for name, cell in row.items()}) for row in reader]
    except OSError as error:
        raise ConfigError(
            f"cannot read the labels {path}: {error.strerror}", remedy="check the path"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(
            f"cannot read the labels {path}: {error}", remedy="save them as csv, in UTF-8"
        ) from None
    missing = {header[0], header[-1]} - set(reader.fieldnames or ())
    if missing:
        raise ConfigError(
            f"{path} has no column '{min(missing)}'",
            remedy=f"fill the column '{header[-1]}' of the sheet, and keep its header: {', '.join(header)}",
        )
    return rows


def _restored(cell: object) -> str:
    """The text of a cell; a row that is too short or too long has others."""
    return restored(cell) if isinstance(cell, str) else ""
