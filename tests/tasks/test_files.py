"""Reading data files: every format gives the same records, and whatever is wrong is named with its place."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from coral.errors import DataError, MissingExtra
from coral.tasks import files

RECORDS = [
    {"id": "1", "text": "plain"},
    {"id": "2", "text": "two\nlines, a comma and ü"},
    {"id": "3", "text": '"q"'},
]


def as_jsonl(records: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def as_csv(records: list[dict[str, Any]]) -> bytes:
    cells = [list(records[0]), *(list(record.values()) for record in records)]
    return "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells).encode()


def as_parquet(records: list[dict[str, Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(records), sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


CONTENTS = {
    ".jsonl": as_jsonl(RECORDS),
    ".json": json.dumps(RECORDS, indent=4).encode(),
    ".csv": as_csv(RECORDS),
    ".parquet": as_parquet(RECORDS),
    ".tsv": as_csv(RECORDS).replace(b'","', b'"\t"'),
    ".ndjson": as_jsonl(RECORDS),
}


CUT_OFF = gzip.compress(b'{"id": 1}\n' * 999, mtime=0)[:-20]


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("ending", files.FORMATS)
def test_every_format_gives_the_same_records(tmp_path: Path, ending: str, packed: str) -> None:
    """jsonl, json, csv and parquet, plain or gzipped, hold the same records once read."""
    path = tmp_path / f"data{ending}{packed}"
    path.write_bytes(gzip.compress(CONTENTS[ending], mtime=0) if packed else CONTENTS[ending])
    assert [row.fields for row in files.read(path)] == RECORDS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (json.dumps({"data": RECORDS}), "the wrapper of Hi-ToM"),
        (json.dumps(RECORDS), "a list on one line"),
        (CONTENTS[".jsonl"].decode(), "records in lines under the ending .json"),
        ("\ufeff" + json.dumps(RECORDS), "a byte order mark, as Windows tools write"),
        (json.dumps({"name": "mine", "version": 2, "questions": RECORDS}), "a list under a usual name"),
        (json.dumps({key: [record[key] for record in RECORDS] for key in RECORDS[0]}), "columns"),
        (
            json.dumps({key: {str(n): one[key] for n, one in enumerate(RECORDS)} for key in RECORDS[0]}),
            "columns by row, as pandas writes them",
        ),
        (json.dumps({one["id"]: {"text": one["text"]} for one in RECORDS}), "records by their ids"),
    ],
)
def test_forms_of_json(tmp_path: Path, content: str, why: str) -> None:
    """A json file may hold a list, a wrapped list, lines, columns, or a mapping from id to record."""
    path = tmp_path / "data.json"
    path.write_text(content, encoding="utf-8")
    assert [row.fields for row in files.read(path)] == RECORDS, why


@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_under_the_ending_of_lines(tmp_path: Path, indent: int | None) -> None:
    """Whoever saved a JSON list as .jsonl means its records."""
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps(RECORDS, indent=indent))
    assert [row.fields for row in files.read(path)] == RECORDS


@pytest.mark.parametrize(
    "record",
    [
        {"question": "?", "choices": [{"text": "a"}, {"text": "b"}], "answer": "A"},
        {"question": "?", "examples": [{"in": 1}], "answer": "A"},
        {"question": "?", "answer": ["a", "b"], "choices": []},
    ],
)
def test_a_record_with_lists_is_no_list_of_records(tmp_path: Path, record: dict[str, Any]) -> None:
    """Lists within a record are its own."""
    path = tmp_path / "1.json"
    path.write_text(json.dumps(record, indent=2))
    assert [row.fields for row in files.read(path)] == [record]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a;b\n1;2,5\n", "semicolons, where a comma is the decimal mark"),
        ("a\tb\n1\t2,5\n", "tabs"),
        ('a|b\n1|"2,5"\n', "bars"),
        ('a,b\r1,"2,5"\r', "carriage returns alone"),
        ('a, b\n1, "2,5"\n', "a space behind each comma"),
        ('a,b\n1,"2,5",,\n', "cells that a spreadsheet left behind the last column"),
        ('a,b\n1,"2,5"\n,\n ,\n', "rows without a word"),
    ],
)
def test_forms_of_csv(tmp_path: Path, text: str, why: str) -> None:
    """What spreadsheets write under the name of csv."""
    path = tmp_path / "a.csv"
    path.write_bytes(text.encode())
    assert [row.fields for row in files.read(path)] == [{"a": "1", "b": "2,5"}], why


def test_a_packed_file_without_its_ending(tmp_path: Path) -> None:
    """Downloads lose their `.gz`."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(gzip.compress(CONTENTS[".jsonl"], mtime=0))
    assert [row.fields for row in files.read(path)] == RECORDS


@pytest.mark.parametrize(
    ("name", "value"),
    [("q.stem", "Who?"), ("chat.0.content", "Who?"), ("a.b", 1), ("q.none", None), ("chat.7.content", None)],
)
def test_parts_of_a_field_have_paths(name: str, value: Any) -> None:
    """A field whose own name has a dot goes first."""
    fields = {"q": {"stem": "Who?"}, "chat": [{"content": "Who?"}], "a.b": 1, "a": {"b": 2}}
    row = files.Row(fields=fields, file="some.jsonl", number=7)
    assert (row.found(name), row.knows(name)) == (value, value is not None)


def test_a_json_object_alone_is_one_record(tmp_path: Path) -> None:
    """MATH publishes one file a problem."""
    path = tmp_path / "1.json"
    path.write_text(json.dumps(RECORDS[0], indent=2))
    assert [row.fields for row in files.read(path)] == RECORDS[:1]


def test_csv_lines_are_counted_across_newlines_in_fields(tmp_path: Path) -> None:
    """A record is found by the line it starts on, although fields of earlier ones span several lines."""
    path = tmp_path / "data.csv"
    path.write_bytes(CONTENTS[".csv"])
    assert [row.number for row in files.read(path)] == [2, 3, 5]


def test_jsonl_is_streamed(tmp_path: Path) -> None:
    """The first record is there before the rest is read: damage further down does not matter yet."""
    path = tmp_path / "data.jsonl"
    path.write_bytes(CONTENTS[".jsonl"] + b"{damaged")
    assert [row.fields["id"] for row in islice(files.read(path), 2)] == ["1", "2"]


def test_parquet_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parquet file is never held as a whole: records come batch by batch, numbered through."""
    monkeypatch.setattr(files, "_PARQUET_ROWS", 2)
    path = tmp_path / "data.parquet"
    path.write_bytes(CONTENTS[".parquet"])
    rows: Iterator[files.Row] = files.read(path)
    assert [(row.number, row.unit) for row in rows] == [(1, "record"), (2, "record"), (3, "record")]


DAMAGED = [
    ("a.jsonl", b'{"id": 1}\n{"id": \n', "line 2: this line is not JSON", "a line cut off"),
    ("a.jsonl", b'{"id": 1}\n[1, 2]\n', "line 2: expected an object", "a list instead of an object"),
    ("a.json", b'{"data": [1]}', "record 1: expected an object", "a number instead of an object"),
    ("a.json", b'[{"id": 1}', "is not JSON", "a document cut off"),
    (
        "a.csv",
        b"id,text\n1,x\n2\n",
        "line 3: the header names 2 columns, this record has 1",
        "a short record",
    ),
    ("a.csv", b'id,text\n1,"x\n', "line 2: this record is not CSV", "a quote that never closes"),
    ("a.csv", b"id,text\n1,\xff\n", "is not UTF-8", "another encoding"),
    ("a.parquet", b"PAR1 nonsense PAR1", "is not a parquet file", "no parquet inside"),
    ("a.jsonl.gz", b"no gzip", "cannot be read", "no gzip inside"),
    ("a.jsonl.gz", CUT_OFF, "cannot be read", "a download cut off"),
    ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer", "no LFS"),
    (
        "a.jsonl",
        b'{"id": 1}\n{"id": NaN}\n',
        "line 2: .* holds NaN, which JSON does not know",
        "Python's number",
    ),
    ("a.jsonl", b'{"id": -Infinity}', "line 1: .* holds -Infinity, which", "the same, infinite"),
    ("a.jsonl", b'{"say": "\\"None\\"", "id": None}', "line 1: .* holds None, which", "Python's nothing"),
    ("a.jsonl", b'{"say": "NaN \\"True\\"", "id": }', "line 1: .* not JSON: (?!it holds)", "words are words"),
    ("a.json", b'[\n{"id": 1},\n{"id": NaN}\n]', "a.json .* holds NaN in line 3", "in a document"),
    ("a.jsonl", b'{"id": "\\ud83d"}', r"line 1: .* half a character \(.ud83d\)", "half a pair"),
    (
        "a.jsonl",
        b'{"id": "\\ud83d\\ude00 \\uDE00"}',
        r"line 1: .* half a character \(.uDE00\)",
        "the other half",
    ),
    ("a.jsonl", b'{"id": 1}\n{"id": "\xff"}\n', "line 2: .* not UTF-8", "another encoding"),
    ("a.jsonl", '{"id": 1}'.encode("utf-16"), "line 1: .* UTF-16", "Windows' encoding"),
    ("a.json", '[{"id": 1}]'.encode("utf-16-le"), "UTF-16", "without its mark"),
    (
        "a.jsonl",
        b'{"id": 1}\n{"id": ' + b"[" * 9999 + b"]" * 9999 + b"}",
        "line 2: .* nested too deep",
        "nested",
    ),
    ("a.jsonl", b'{"id":' * 3000 + b"1" + b"}" * 3000, "line 1: .* nested too deep", "objects in objects"),
    ("a.json", b"[" * 99999, "a.json .* nested too deep", "nested, and cut off"),
    (
        "a.json",
        b'{"data": [' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"]}",
        "nested too deep",
        "in a document",
    ),
    ("a.json", b'{"id": ' + b"[" * 5000 + b'\n{"id": 1}\n', "nested too deep", "before other lines"),
    ("a.jsonl.gz", gzip.compress(b"[" * 9999, mtime=0), "line 1: .* nested too deep", "packed"),
    (
        "a.csv",
        b"id,text,id\n1,x,2\n",
        "line 1: the header names the column 'id' twice",
        "two columns of one name",
    ),
    ("a.csv", b"id,text\n1,x\n2,\xff\n", "line [23]: it is not UTF-8", "the line is named where it is known"),
    ("a.txt", b"x", "this kind of file is not read", "an unknown ending"),
    ("a.csv", b"<!DOCTYPE html>\n<html></html>", "is a web page", "a download of the page about the file"),
    (
        "a.json",
        b'{"train": [{"id": 1}], "test": [{"id": 2}]}',
        "several lists of records: test, train",
        "two",
    ),
]


@pytest.mark.parametrize(("name", "content", "message", "why"), DAMAGED)
def test_damage_is_named(tmp_path: Path, name: str, content: bytes, message: str, why: str) -> None:
    """Nothing damaged is skipped: the error names the file, the place and what to do."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        list(files.read(path))
    assert name in str(caught.value), why
    assert caught.value.remedy, why


def test_fields_may_be_long(tmp_path: Path) -> None:
    """A story of a megabyte is one field of a csv file as it is of a JSON line."""
    story = "word " * 200_000
    path = tmp_path / "a.csv"
    path.write_text(f'id,text\n1,"{story}"\n2,short\n')
    assert [len(row.fields["text"]) for row in files.read(path)] == [1_000_000, 5]


SCALARS = [
    ("5", "5"),
    (" 5 ", "5"),
    (5, "5"),
    (-0.5, "-0.5"),
    (["5"], "5"),
    ([5], "5"),
    (12345678901234567890123, "12345678901234567890123"),
    (["5", "6"], None),
    ([], None),
    ([["5"]], None),
    ([None], None),
    ([" "], None),
    ({"value": 5}, None),
    (True, None),
    (float("nan"), None),
    (float("inf"), None),
    (b"5", None),
    ([[[[]]]], None),
]


@pytest.mark.parametrize(("value", "text"), SCALARS, ids=repr)
def test_an_answer_is_one_text_or_number(value: Any, text: str | None) -> None:
    """A list of one is unpacked; whatever else is not one text or number is named, not spelled in Python."""
    row = files.Row(fields={"answer": value}, file="some.jsonl", number=7)
    if text is not None:
        assert row.scalar("answer") == text
        return
    with pytest.raises(DataError, match=r"some\.jsonl, line 7: the field 'answer'"):
        row.scalar("answer")


@pytest.mark.parametrize(
    ("fields", "message", "why"),
    [
        ({}, "the field 'text' is missing or empty", "not there"),
        ({"text": None}, "the field 'text' is missing or empty", "null"),
        ({"text": " \n"}, "the field 'text' is missing or empty", "blank"),
        ({"text": 3}, "the field 'text' holds int, not text", "a number"),
    ],
)
def test_a_missing_field_is_named(fields: dict[str, Any], message: str, why: str) -> None:
    """A field that is needed and missing is reported with file, line and name."""
    row = files.Row(fields=fields, file="some.jsonl", number=7)
    with pytest.raises(DataError) as caught:
        row.text("text")
    assert str(caught.value) == f"some.jsonl, line 7: {message}", why


def test_pyarrow_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyarrow, a parquet file names the pip install to run."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "data.parquet"
    path.write_bytes(CONTENTS[".parquet"])
    with pytest.raises(MissingExtra) as caught:
        list(files.read(path))
    assert "[parquet]" in caught.value.remedy
