"""Writing a run to one file that may be passed on; what kind of file, its suffix says."""

from __future__ import annotations

import codecs
import csv
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec

from coral.errors import ConfigError, MissingExtra, RunFolderError
from coral.evaluation.redact import redact_conversation
from coral.evaluation.tables import Row, RowsOf, columns, conversation_rows, turn_rows
from coral.exchange.chat import chat_rows
from coral.exchange.inspect_log import write_inspect
from coral.store.cells import harmless
from coral.store.folder import RunFolder
from coral.store.whole import whole_file
from coral.tasks import registry

Format = Literal["coral", "inspect", "messages"]
"""coral: our conversations and tables. inspect: a log of Inspect. messages: a conversational data set."""


def export(
    path: str,
    output: str,
    *,
    redact: bool | None,
    rows: RowsOf | None = None,
    form: Format | None = None,
    seat: str | None = None,
) -> tuple[int, str, bool]:
    """Write the run at `path` to `output`: .jsonl, .csv, .parquet or .eval.

    Args:
        redact: leave out everything that holds or may quote a problem; None: if the task is confidential.
        rows: of a table, a row per conversation (default) or per turn; jsonl holds whole conversations.
        form: by default inspect for .eval, and coral for the other suffixes.
        seat: of `messages`, whose view it is.

    Returns:
        How many were written, of what, and whether they were redacted.

    Raises:
        UserError: the run cannot be read, or `output` exists, cannot be written or has another suffix.
    """
    suffix = Path(output).suffix.lower()
    form = form or ("inspect" if suffix == ".eval" else "coral")
    _refuse(form, output, suffix, rows, seat)
    folder = RunFolder(path)
    task = registry.load(str(folder.identity()["task"]["name"]))
    redacted = task.info.confidential if redact is None else redact
    if form == "messages" and redacted:
        raise ConfigError(
            "a data set of messages is nothing but texts, and this one is to be redacted",
            remedy="--redact false writes them, for yourself alone",
        )
    writer = _writer(form, suffix, rows, seat)
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

_SUFFIXES: Mapping[Format, tuple[str, ...]] = {
    "coral": (".jsonl", ".csv", ".parquet", ".eval"),
    "inspect": (".eval",),
    "messages": (".jsonl", ".parquet"),
}


def _refuse(form: Format, output: str, suffix: str, rows: RowsOf | None, seat: str | None) -> None:
    """Refuse options that do not go together."""
    known = _SUFFIXES[form]
    if suffix not in known or (form == "coral" and suffix == ".eval"):
        raise ConfigError(
            f"'{output}' does not end in {', '.join(known)}", remedy="the suffix says what is written"
        )
    if rows == "turns" and (form != "coral" or suffix == ".jsonl"):
        raise ConfigError(f"a {suffix} file holds whole conversations", remedy="give .csv or .parquet")
    if seat is not None and form != "messages":
        raise ConfigError("--seat is for --format messages", remedy="leave it out, or give that format")


def _writer(form: Format, suffix: str, rows: RowsOf | None, seat: str | None) -> Writer:
    if form == "inspect":
        return write_inspect
    if form == "messages":
        return functools.partial(_write_messages, seat=seat, as_table=suffix == ".parquet")
    if suffix == ".jsonl":
        return _write_lines
    make = turn_rows if rows == "turns" else conversation_rows
    return functools.partial(_write_table, make=make, write=_TABLES[suffix])


def _write_table(
    file: BinaryIO,
    folder: RunFolder,
    redacted: bool,
    *,
    make: Callable[..., list[Row]],
    write: Callable[[BinaryIO, list[Row]], None],
) -> int:
    found = make(folder, redact=redacted)
    write(file, found)
    return len(found)


def _write_messages(
    file: BinaryIO, folder: RunFolder, redacted: bool, *, seat: str | None, as_table: bool
) -> int:
    assert not redacted
    count = 0
    if as_table:
        rows = list(chat_rows(folder, seat))
        _write_parquet(file, rows)
        return len(rows)
    for row in chat_rows(folder, seat):
        file.write(msgspec.json.encode(row) + b"\n")
        count += 1
    return count


def _write_lines(file: BinaryIO, folder: RunFolder, redacted: bool) -> int:
    count = 0
    for conversation in folder.conversations():
        kept = redact_conversation(conversation) if redacted else conversation
        file.write(msgspec.json.encode(kept) + b"\n")
        count += 1
    return count


def _write_csv(file: BinaryIO, rows: list[Row]) -> None:
    """Truths as true and false, nothing as an empty cell, no text that a spreadsheet would compute."""
    writer = csv.writer(codecs.getwriter("utf-8")(file))
    names = columns(rows)
    writer.writerow(map(harmless, names))
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)


def _cell(value: object) -> object:
    if isinstance(value, str):
        return harmless(value)
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
