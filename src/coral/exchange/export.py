"""Writing a run to one file that may be passed on; what kind of file, its suffix says."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from coral.errors import ConfigError, MissingExtra, RunFolderError
from coral.evaluation.redact import redact_conversation
from coral.evaluation.tables import Row, RowsOf, columns, conversation_rows, turn_rows
from coral.store.folder import RunFolder
from coral.store.whole import whole_file
from coral.tasks import registry


def export(
    path: str, output: str, *, redact: bool | None, rows: RowsOf | None = None
) -> tuple[int, RowsOf, bool]:
    """Write the run at `path` to `output`: .jsonl, .csv or .parquet.

    Args:
        redact: leave out everything that holds or may quote a problem; None: if the task is confidential.
        rows: of a table, a row per conversation (default) or per turn; jsonl holds whole conversations.

    Returns:
        How many were written, of what, and whether they were redacted.

    Raises:
        UserError: the run cannot be read, or `output` exists, cannot be written or has another suffix.
    """
    writer = _writer(output, rows)
    folder = RunFolder(path)
    task = registry.load(str(folder.identity()["task"]["name"]))
    redacted = task.info.confidential if redact is None else redact
    try:
        with whole_file(Path(output), replace=False) as file:
            count = writer(file, folder, redacted)
    except FileExistsError:
        raise RunFolderError(
            f"{output} exists", remedy="choose another --output: nothing is overwritten"
        ) from None
    except OSError as error:
        raise RunFolderError(
            f"cannot write {output}: {error.strerror}", remedy="free space, or choose another --output"
        ) from None
    return count, rows or "conversations", redacted


Writer = Callable[[BinaryIO, RunFolder, bool], int]
"""Writes a run, redacted or not, into a file; says how many lines or rows it has."""


def _writer(output: str, rows: RowsOf | None) -> Writer:
    suffix = Path(output).suffix.lower()
    if suffix == ".jsonl":
        if rows == "turns":
            raise ConfigError("a .jsonl file holds whole conversations", remedy="give .csv or .parquet")
        return _write_lines
    table = _TABLES.get(suffix)
    if table is None:
        known = ", ".join((".jsonl", *_TABLES))
        raise ConfigError(f"'{output}' does not end in {known}", remedy="the suffix says what is written")
    make = turn_rows if rows == "turns" else conversation_rows

    def write(file: BinaryIO, folder: RunFolder, redacted: bool) -> int:
        found = make(folder, redact=redacted)
        table(file, found)
        return len(found)

    return write


def _write_lines(file: BinaryIO, folder: RunFolder, redacted: bool) -> int:
    count = 0
    for conversation in folder.conversations():
        kept = redact_conversation(conversation) if redacted else conversation
        file.write(msgspec.json.encode(kept) + b"\n")
        count += 1
    return count


def _write_csv(file: BinaryIO, rows: list[Row]) -> None:
    """Truths as true and false, and nothing as an empty cell."""
    writer = csv.writer(codecs.getwriter("utf-8")(file))
    names = columns(rows)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value


def _write_parquet(file: BinaryIO, rows: list[Row]) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", extra="parquet", why="to write parquet files") from None
    table = pa.table({name: [row.get(name) for row in rows] for name in columns(rows)})
    pq.write_table(table, file)


_TABLES: Mapping[str, Callable[[BinaryIO, list[Row]], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}
