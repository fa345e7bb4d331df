"""Rows to files: jsonl or parquet, with a card that the hub and `load_dataset` understand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from coral.conversation import protocols
from coral.errors import MissingExtra
from coral.rows.formats import Format
from coral.rows.options import Kind
from coral.rows.report import Report

FileType = Literal["jsonl", "parquet"]
_BATCH = 1000


def require_writer(file_type: FileType) -> None:
    """See whether files of a type can be written.

    Raises:
        MissingExtra: pyarrow is not installed.
    """
    if file_type == "parquet":
        try:
            import pyarrow as pa  # noqa: F401 - is it there?
        except ImportError:
            raise MissingExtra("pyarrow", extra="parquet", why="writing parquet files") from None


def write_rows(lines: Iterable[bytes], folder: Path, file_type: FileType, kind: Kind, form: Format) -> None:
    """Write `train.jsonl` or `train.parquet`.

    Raises:
        OSError: the disk is full.
    """
    if file_type == "jsonl":
        write_lines(lines, folder / "train.jsonl")
        return
    from pyarrow import Table, parquet

    schema = _schema(kind, form)
    with parquet.ParquetWriter(folder / "train.parquet", schema, compression="zstd") as writer:
        for batch in _batches(map(msgspec.json.decode, lines)):
            writer.write_table(Table.from_pylist(batch, schema=schema))


def write_lines(lines: Iterable[bytes], path: Path) -> None:
    """Write lines, each with a newline.

    Raises:
        OSError: the disk is full.
    """
    with path.open("wb", buffering=1 << 20) as file:
        for line in lines:
            file.write(line)
            file.write(b"\n")


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch


def _schema(kind: Kind, form: Format) -> Any:
    """Stated, not inferred: a first batch need not hold every field."""
    import pyarrow as pa

    text = pa.string()
    messages = pa.list_(pa.struct({"role": text, "content": text}))
    weighted = pa.list_(pa.struct({"role": text, "content": text, "weight": pa.int64()}))
    said = pa.struct({"from": text, "value": text})
    counted = {"turn": pa.int64(), "candidate": pa.int64()}
    rejected = {"rejected": pa.int64()} if kind == "dpo" else {}
    source = pa.struct({"run": text, "conversation": text, **counted, **rejected})
    label = {"label": pa.bool_()} if kind == "kto" else {}
    pair = kind == "dpo"
    match form:
        case "trl" if pair:
            columns = {"prompt": messages, "chosen": messages, "rejected": messages, "margin": pa.float64()}
        case "trl":
            columns = {"prompt": messages, "completion": messages, **label}
        case "openai" if pair:
            asked = pa.struct({"messages": messages})
            columns = {"input": asked, "preferred_output": messages, "non_preferred_output": messages}
        case "openai":
            columns = {"messages": weighted}
        case "sharegpt" if pair:
            columns = {"conversations": pa.list_(said), "chosen": said, "rejected": said}
        case "sharegpt":
            columns = {"conversations": pa.list_(said), **label}
        case _ if pair:
            columns = dict.fromkeys(("src", "tgt_chosen", "tgt_rejected"), text)
        case _:
            columns = {"src": text, "tgt": text}
    lineage = {"openai": {}, "fairseq2": {"source": text}}.get(form, {"source": source})
    return pa.schema({**columns, **lineage})


def card(report: Report, file_type: FileType, form: Format) -> str:
    """The folder's README.md: what it holds, and which file is the data."""
    runs = "\n".join(
        f"- `{run.name}`: {run.identity['task']['name']}, {run.conversations:,} conversations of "
        f"{_models(run.identity)}"
        for run in report.runs
    )
    filters = "\n".join(
        f"| {count.level} | {count.name} | {count.kept:,} | {count.of:,} |" for count in report.filters
    )
    return (
        f"---\nconfigs:\n- config_name: default\n  data_files: train.{file_type}\n---\n\n"
        f"# {report.rows:,} {report.kind} rows\n\n"
        f"Format {form}, made by `coral build` from:\n\n{runs}\n\n"
        f"| of | filter | kept | out of |\n|---|---|---:|---:|\n{filters}\n\n"
        f"Duplicates dropped: {report.duplicates:,}. Problems shared with held-out data: "
        f"{report.shared.count:,} (compared with {report.shared.checked:,}). "
        "All options are in `config.yaml`, all counts in `report.json`.\n"
    )


def _models(identity: Mapping[str, Any]) -> str:
    """The models that spoke in a run, each once."""
    named = (identity[name].get("model") for name in protocols.agents_of(identity))
    return ", ".join(dict.fromkeys(model or "the embedded model" for model in named))
