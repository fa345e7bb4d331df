"""Records of data files, one at a time: jsonl, json, csv, tsv and parquet, each also gzipped.

All but json, which has to be held as a whole, are streamed. Every record knows where it stands, so that
whatever is wrong with it can be reported with file, line and field.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import re
import reprlib
import shlex
import sys
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite, isnan
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from coral.errors import DataError, MissingExtra
from coral.plugins import kind_of
from coral.tasks import documents

FORMATS = (".jsonl", ".json", ".csv", ".parquet", ".tsv", ".ndjson")
"""Endings of the files that `read` understands; `.gz` may follow each of them."""

BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_LFS_POINTER = b"version https://git-lfs.github.com/"
_WEB_PAGE = re.compile(rb"\s*<(?:!doctype|html)\b", re.IGNORECASE)
_ABSENT = object()
_PARQUET_ROWS = 256


@dataclass(frozen=True, kw_only=True)
class Row:
    """One record as its file holds it.

    Attributes:
        file: the file's name as the user gave it; inside an archive `archive: member`.
        number: of the line it starts on, or of the record where a format has no lines; from 1.
        unit: "line" or "record": what `number` counts.
    """

    fields: dict[str, Any]
    file: str
    number: int
    unit: str = "line"

    def found(self, name: str) -> Any:
        """What the field holds, or a part of it by its path: `question.stem`, `messages.0.content`.

        None where there is none; `knows` tells it from a null.
        """
        value = self._at(name)
        return None if value is _ABSENT else value

    def knows(self, name: str) -> bool:
        """Whether there is such a field, or such a part of one, whatever it holds."""
        return self._at(name) is not _ABSENT

    def has(self, name: str) -> bool:
        """Whether the field is there and holds more than blanks."""
        return not is_blank(self.found(name))

    def _at(self, name: str) -> Any:
        if name in self.fields:
            return self.fields[name]
        value: Any = self.fields
        for step in name.split("."):
            if isinstance(value, Mapping):
                value = value.get(step, _ABSENT)
            elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
                value = value[int(step)]
            else:
                return _ABSENT
        return value

    def value(self, name: str) -> Any:
        """The field as it is.

        Raises:
            DataError: it is missing or blank.
        """
        if not self.has(name):
            raise self.error(f"the field '{name}' is missing or empty", remedy=self._known_fields())
        return self.found(name)

    def text(self, name: str) -> str:
        """The field as a text without surrounding whitespace.

        Raises:
            DataError: it is missing, blank or no text.
        """
        value = self.value(name)
        if not isinstance(value, str):
            raise self.error(f"the field '{name}' holds {type(value).__name__}, not text")
        return value.strip()

    def scalar(self, name: str) -> str:
        """The field as a text, where it may also be a number; a list of one is unpacked.

        Raises:
            DataError: it is missing, blank, a list of several or something else.
        """
        value = self.value(name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float | Decimal) and not isinstance(value, bool) and isfinite(value):
            return str(value)
        raise self.error(f"the field '{name}' holds {reprlib.repr(value)}, not a text or number")

    def error(self, problem: str, *, remedy: str = "") -> DataError:
        """A `DataError` that names file and line."""
        advice = remedy or "fetch the file again, or fix or delete this record"
        return DataError(f"{self.file}, {self.unit} {self.number}: {problem}", remedy=advice)

    def _known_fields(self) -> str:
        shown = ", ".join(sorted(self.fields)[:20]) or "none"
        return (
            f"is it the file of another task? It has the fields: {shown}. Your own file? Use `coral eval "
            f"choices --data {shlex.quote(self.file)}`, or `open` for free answers"
        )


def is_blank(value: Any) -> bool:
    """Whether a field's value is none: a null, or a text of spaces."""
    return value is None or (isinstance(value, str) and not value.strip())


def data_format(name: str) -> str | None:
    """The ending of `FORMATS` that a file name bears, before `.gz`; None for another kind of file."""
    plain = name.lower().removesuffix(".gz")
    return next((ending for ending in FORMATS if plain.endswith(ending)), None)


def read(path: Path) -> Iterator[Row]:
    """Stream the records of a file.

    Raises:
        DataError: the file cannot be read, is of an unknown kind, or a record in it is damaged.
        MissingExtra: it is a parquet file and pyarrow is not installed.
    """
    with reading(str(path)), path.open("rb") as stream:
        yield from read_stream(stream, str(path))


def read_stream(stream: IO[bytes], name: str) -> Iterator[Row]:
    """Stream the records of an open file. `name` tells its format and stands in errors.

    Raises:
        DataError, MissingExtra: as `read`.
    """
    readers = {
        ".jsonl": _jsonl, ".ndjson": _jsonl, ".json": _json, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet
    }  # fmt: skip
    ending = data_format(name)
    if ending is None:
        raise DataError(
            f"{name}: this kind of file is not read",
            remedy=f"give one of {', '.join(FORMATS)}, plain or .gz; a spreadsheet is saved as CSV, an "
            "archive unpacked",
        )
    with reading(name):
        packed = name.lower().endswith(".gz") or cast("Any", stream).peek(2).startswith(_GZIP)
        plain: Any = gzip.GzipFile(fileobj=stream) if packed else stream
        _refuse_stand_ins(plain, name)
        yield from readers[ending](plain, name)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what a damaged or unreadable file raises into a `DataError` that names it."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"{name} cannot be read: {reason}", remedy="check its rights, or fetch it again"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 text: {error.reason}", remedy="convert it to UTF-8") from error


def _refuse_stand_ins(stream: Any, name: str) -> None:
    """Files, gzip streams and members of archives can all be peeked into; members cannot all be rewound."""
    begins = stream.peek(len(_LFS_POINTER))
    if begins.startswith(_LFS_POINTER):
        raise DataError(
            f"{name} is a Git LFS pointer, not the data", remedy="run `git lfs pull` in its repository"
        )
    if _WEB_PAGE.match(begins):
        raise DataError(f"{name} is a web page, not the data", remedy="download the file itself (raw)")


def _jsonl(stream: IO[bytes], name: str) -> Iterator[Row]:
    """Records in lines, or one list of them in spite of the ending."""
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(BOM) if number == 1 else line
        if number == 1 and _OPENS_LIST.fullmatch(text.strip()):
            yield from _document(text + stream.read(), name)
            return
        if text.strip():
            yield _json_row(text, name, number)


_OPENS_LIST = re.compile(rb"\[\s*(?:\{.*)?", re.DOTALL)


def _json_row(line: bytes, name: str, number: int) -> Row:
    try:
        fields = decode_json(line)
    except NotJson as error:
        row = Row(fields={}, file=name, number=number)
        remedy = error.remedy or "every line is one JSON object and no more: fix it, or fetch the file again"
        raise row.error(f"this line is not JSON: {error}", remedy=remedy) from error
    return _as_row(fields, name, number, "line")


class NotJson(ValueError):
    """Bytes that are not JSON. `str()` says why; `remedy` is empty where only fetching them again helps."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


def decode_json(content: bytes) -> Any:
    """What a JSON text holds.

    Raises:
        NotJson: it is none, or is nested deeper than Python can follow.
    """
    try:
        return msgspec.json.decode(content)
    except RecursionError:
        raise NotJson("it is nested too deep", remedy="give flat records with named fields") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # which one, depends on its version
        raise _why_not_json(content, error) from None


def _why_not_json(content: bytes, error: Exception) -> NotJson:
    """What tools write that JSON does not know is named; other mistakes as the decoder tells them."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:4]:
        return NotJson("it is UTF-16, not UTF-8 text", remedy="convert the file to UTF-8")
    try:
        content.decode()
    except UnicodeDecodeError as fault:
        return NotJson(f"it is not UTF-8 text: {fault.reason}", remedy="convert the file to UTF-8")
    for token in _TOKENS.finditer(content):
        if token["constant"]:
            line = content.count(b"\n", 0, token.start()) + 1
            where = f" in line {line}" if b"\n" in content.strip() else ""
            return NotJson(
                f"it holds {token['constant'].decode()}{where}, which JSON does not know",
                remedy="write null, true, false or a number in its place",
            )
        if half := _HALF.search(_PAIR.sub(b"", token[0])):
            return NotJson(
                f"it holds half a character ({half[0].decode()})", remedy="delete it from the text"
            )
    return NotJson(str(error))


_TOKENS = re.compile(
    rb'"(?:[^"\\]|\\.)*"|(?<![\w.])(?P<constant>NaN|nan|-?Infinity|-?inf|None|True|False|undefined)(?![\w.])',
    re.DOTALL,
)
"""Texts, and words that JSON does not know."""
_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
"""Of a character that is written as two escapes."""


def _as_row(fields: object, name: str, number: int, unit: str) -> Row:
    if not isinstance(fields, dict):
        row = Row(fields={}, file=name, number=number, unit=unit)
        kind = "null" if fields is None else kind_of(fields)
        raise row.error(f"expected an object with named fields, found {kind}")
    return Row(fields=fields, file=name, number=number, unit=unit)


def _json(stream: IO[bytes], name: str) -> Iterator[Row]:
    """One document, or records in lines in spite of the ending."""
    content = stream.read().removeprefix(BOM)
    if _holds_lines(content):
        yield from _jsonl(io.BytesIO(content), name)
    elif content.strip():
        yield from _document(content, name)


def _document(content: bytes, name: str) -> Iterator[Row]:
    try:
        document = decode_json(content)
    except NotJson as error:
        remedy = error.remedy or "fetch it again; it may be cut off"
        raise DataError(f"{name} is not JSON: {error}", remedy=remedy) from error
    for number, fields in enumerate(documents.records(document, name), start=1):
        yield _as_row(fields, name, number, "record")


def _holds_lines(content: bytes) -> bool:
    first, _, rest = content.lstrip().partition(b"\n")
    if not rest.strip():
        return False
    try:
        return isinstance(decode_json(first), dict)
    except NotJson:
        return False


def _csv(stream: IO[bytes], name: str) -> Iterator[Row]:
    """A quoted field may hold newlines, so a record starts on the line after the end of the one before."""
    csv.field_size_limit(sys.maxsize)  # stories are longer than its 131,072 characters
    line = 1
    try:
        lines = _lines(codecs.iterdecode(stream, "utf-8-sig"))
        first = next(lines, "")
        mark = "\t" if data_format(name) == ".tsv" else _separator(first)
        spaced = f"{mark} " in first  # who writes `question, answer` means no spaces
        reader = csv.reader(
            itertools.chain([first], lines), strict=True, delimiter=mark, skipinitialspace=spaced
        )
        header = [column.strip() for column in next(reader, [])]
        line = reader.line_num + 1
        _refuse_twins(header, name)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield _csv_row(header, cells, name, line, mark)
            line = reader.line_num + 1
    except csv.Error as error:
        row = Row(fields={}, file=name, number=line)
        raise row.error(
            f"this record is not CSV: {error}",
            remedy='a quote within a quoted field is written ""; or fetch the file again, if it is cut off',
        ) from error
    except UnicodeDecodeError as error:
        row = Row(fields={}, file=name, number=line)
        raise row.error(
            f"it is not UTF-8 text: {error.reason}", remedy="convert the file to UTF-8"
        ) from error


def _lines(decoded: Iterable[str]) -> Iterator[str]:
    """Lines that end with a line feed, or with a carriage return alone, as some spreadsheets write them."""
    for text in decoded:
        yield from re.split(r"(?<=\r)(?!\n)(?=.)", text, flags=re.DOTALL) if "\r" in text else (text,)


def _separator(header: str) -> str:
    """What stands between the columns: where a comma is the decimal mark, spreadsheets write semicolons."""
    unquoted = re.sub(r'"[^"]*"', "", header)
    return max(",;\t|", key=unquoted.count)


def _refuse_twins(header: list[str], name: str) -> None:
    twice = next((column for column in header if column and header.count(column) > 1), None)
    if twice is not None:
        row = Row(fields={}, file=name, number=1)
        raise row.error(f"the header names the column '{twice}' twice", remedy="rename one of them")


def _csv_row(header: list[str], cells: list[str], name: str, line: int, mark: str) -> Row:
    while len(cells) > len(header) and not cells[-1].strip():
        cells.pop()
    row = Row(fields=dict(zip(header, cells, strict=False)), file=name, number=line)
    if len(cells) != len(header):
        raise row.error(
            f"the header names {len(header)} columns, this record has {len(cells)}",
            remedy=f"a field that holds {mark!r} stands in double quotes; or fetch the file again",
        )
    return row


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)


def _parquet(stream: IO[bytes], name: str) -> Iterator[Row]:
    """A NaN is a cell that is missing: pandas has no other word for it in a column of numbers."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtra("pyarrow", extra="parquet", why=f"reading {name}") from error
    try:
        # pyarrow seeks to the end first, which a gzip stream cannot do cheaply.
        source = io.BytesIO(stream.read()) if isinstance(stream, gzip.GzipFile) else stream
        numbers = itertools.count(1)
        for batch in ParquetFile(source).iter_batches(batch_size=_PARQUET_ROWS):
            for fields in batch.to_pylist():
                known = {field: None if _is_nan(value) else value for field, value in fields.items()}
                yield Row(fields=known, file=name, number=next(numbers), unit="record")
    except ArrowException as error:
        raise DataError(f"{name} is not a parquet file: {error}", remedy="fetch it again") from error
