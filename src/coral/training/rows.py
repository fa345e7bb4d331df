"""Training rows on disk: read, checked for their shape, and split by problem."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import DataError
from coral.tasks import files
from coral.training.config import Kind
from coral.types import Message, Role

REPLIES: dict[Kind, tuple[str, ...]] = {
    "sft": ("completion",),
    "dpo": ("chosen", "rejected"),
    "kto": ("completion",),
}
"""The columns that hold what the model is to say, or not to say."""
_BUILD = "rows come from `coral build RUN --kind {kind} --output DIR`"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training row.

    Attributes:
        where: file and line, for messages.
        problem: what rows of the same problem have in common; the prompt where the row does not say.
        replies: the reply of each column in `REPLIES`.
        label: kto: whether the reply is wanted; None for the others.
    """

    where: str
    problem: str
    prompt: tuple[Message, ...]
    replies: tuple[tuple[Message, ...], ...]
    label: bool | None = None


@dataclass(frozen=True, kw_only=True)
class RowSet:
    """All rows of a folder or file, with the sha256 of its content."""

    path: str
    kind: Kind
    sha256: str
    rows: tuple[Row, ...]

    def columns(self, rows: Iterable[Row]) -> dict[str, list[Any]]:
        """`rows` as TRL's conversational columns."""
        chosen = tuple(rows)
        names = REPLIES[self.kind]
        table: dict[str, list[Any]] = {"prompt": [_plain(row.prompt) for row in chosen]}
        for position, name in enumerate(names):
            table[name] = [_plain(row.replies[position]) for row in chosen]
        if self.kind == "kto":
            table["label"] = [row.label for row in chosen]
        return table


def load_rows(path: str, kind: Kind) -> RowSet:
    """Read every row of a folder or file.

    Raises:
        DataError: there are none, or one is not of `kind`; names file and line.
    """
    digest = hashlib.sha256()
    rows: list[Row] = []
    for file in _files(Path(path).expanduser(), kind):
        with files.reading(str(file)):
            digest.update(file.read_bytes())
        rows.extend(_row(where, record, kind) for where, record in _records(file))
    if not rows:
        raise DataError(f"{path} holds no rows", remedy=_BUILD.format(kind=kind))
    return RowSet(path=path, kind=kind, sha256=digest.hexdigest(), rows=tuple(rows))


def check_rendered(path: str, kind: Kind) -> None:
    """Make sure that rows are text, as fairseq2 takes them; rows that lie elsewhere are not looked for.

    Raises:
        DataError: the first row is of another format.
    """
    folder = Path(path).expanduser()
    if not folder.exists():
        return
    needed = ("src", *(("tgt",) if kind == "sft" else ("tgt_chosen", "tgt_rejected")))
    for where, record in _records(_files(folder, kind)[0]):
        missing = [name for name in needed if not isinstance(record, dict) or name not in record]
        if missing:
            build = f"coral build RUN --kind {kind} --format fairseq2 --tokenizer DIR --output DIR"
            raise DataError(
                f"{where}: no {', '.join(missing)}", remedy=f"rows for fairseq2 come from `{build}`"
            )
        return


def split_rows(rows: Sequence[Row], fraction: float, seed: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Rows to train on and rows held out: whole problems, about `fraction` of them.

    A problem falls to one side by its own name and the seed, so more rows move no problem across.
    """
    held_out = {row.problem for row in rows if _share(row.problem, seed) < fraction}
    return (
        tuple(row for row in rows if row.problem not in held_out),
        tuple(row for row in rows if row.problem in held_out),
    )


def _share(problem: str, seed: int) -> float:
    """A number in [0, 1) that the problem and the seed decide."""
    digest = hashlib.sha256(f"{seed}:{problem}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _files(path: Path, kind: Kind) -> list[Path]:
    if path.is_file():
        return [path]
    found = {suffix: sorted(path.glob(f"*{suffix}")) for suffix in (".jsonl", ".parquet")}
    if found[".jsonl"] and found[".parquet"]:
        raise DataError(
            f"{path} holds rows as .jsonl and as .parquet", remedy="name the file to train on with --rows"
        )
    chosen = found[".jsonl"] or found[".parquet"]
    if not chosen:
        raise DataError(f"there are no rows in {path}", remedy=_BUILD.format(kind=kind))
    return chosen


def _records(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix == ".parquet":
        yield from ((f"{file}: row {row.number}", row.fields) for row in files.read(file))
        return
    with files.reading(str(file)), file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.removeprefix(files.BOM) if number == 1 else line
            if text.strip():
                yield f"{file}:{number}", _decode(text, f"{file}:{number}")


def _decode(line: bytes, where: str) -> Any:
    try:
        return files.decode_json(line)
    except files.NotJson as error:
        raise DataError(
            f"{where}: not JSON: {error}", remedy=error.remedy or "build the rows again"
        ) from None


def _row(where: str, record: Any, kind: Kind) -> Row:
    """A record as a row of `kind`; other columns, such as its lineage, are left alone."""
    needed = ("prompt", *REPLIES[kind], *(("label",) if kind == "kto" else ()))
    missing = [name for name in needed if not isinstance(record, dict) or record.get(name) is None]
    if missing:
        raise DataError(f"{where}: no {', '.join(missing)}", remedy=_BUILD.format(kind=kind))
    prompt = _messages(record["prompt"], f"{where}: prompt")
    if not prompt:
        raise DataError(f"{where}: the prompt is empty", remedy=_BUILD.format(kind=kind))
    replies = tuple(_messages(record[name], f"{where}: {name}") for name in REPLIES[kind])
    for name, reply in zip(REPLIES[kind], replies, strict=True):
        if not reply or reply[-1].role is not Role.ASSISTANT or not reply[-1].content.strip():
            raise DataError(
                f"{where}: {name} does not end with words of the assistant", remedy="build the rows again"
            )
        if others := [message.role.value for message in reply if message.role is not Role.ASSISTANT]:
            raise DataError(
                f"{where}: {name} holds words of the {others[0]}, and all of it would be trained",
                remedy="make a row of each of the assistant's turns, with what was said before as its prompt",
            )
    label = _label(record["label"], where) if kind == "kto" else None
    return Row(where=where, problem=_problem(record, prompt), prompt=prompt, replies=replies, label=label)


def _label(value: Any, where: str) -> bool:
    """Only a truth: the text "false" would be one."""
    if value not in (True, False):
        raise DataError(f"{where}: the label is {value!r}", remedy="give true for a wanted reply, else false")
    return bool(value)


def _messages(value: Any, where: str) -> tuple[Message, ...]:
    try:
        return msgspec.convert(value, tuple[Message, ...])
    except msgspec.ValidationError as error:
        raise DataError(
            f"{where} is not a list of messages: {error}",
            remedy="give [{role, content}, ...], as `coral build` writes by default",
        ) from None


def _problem(record: dict[str, Any], prompt: tuple[Message, ...]) -> str:
    """The problem's id from the lineage: stated, or what stands before the sample in a conversation's id."""
    lineage = {**record, **(record["source"] if isinstance(record.get("source"), dict) else {})}
    stated = lineage.get("problem") or lineage.get("problem_id")
    if stated:
        return str(stated)
    conversation = lineage.get("conversation") or lineage.get("conversation_id")
    if conversation:
        return str(conversation).rpartition("#")[0] or str(conversation)
    return msgspec.json.encode(prompt).decode()


def _plain(messages: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": message.role.value, "content": message.content} for message in messages]
