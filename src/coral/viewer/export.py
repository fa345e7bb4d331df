"""The page of a run without a server: one HTML file, or a folder of them where it is too large for one.

FILE.html                  page, modules and conversations in one file
FOLDER/index.html          the page
FOLDER/data/run.js         the overview and the list
FOLDER/data/part-00000.js  so many conversations, in the order of the list

A page that is opened from the disk may fetch nothing, but it may run scripts from beside it: what a folder
holds are scripts that hand over packed data, each when it is looked at.
"""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from coral.errors import RunFolderError
from coral.evaluation.redact import REDACTED, redact_conversation
from coral.store.whole import whole_file
from coral.types import Conversation
from coral.viewer import queries
from coral.viewer.bundle import document
from coral.viewer.conversation import shown
from coral.viewer.index import RunIndex
from coral.viewer.overview import overview

MOST_CONVERSATIONS = 5_000
MOST_BYTES = 30_000_000
"""Of one file: more is slow to open, and refused by mail and chat."""
PART = 200
"""Conversations of a part of a folder."""
_GZIP = 31
"""zlib's word for: as a gzip file."""


class Written(NamedTuple):
    """What was written.

    Attributes:
        path: the file, or the folder.
        why: it is a folder although a file was asked for; empty where it is as asked.
    """

    path: Path
    conversations: int
    redacted: bool
    size: int
    why: str = ""


def write(index: RunIndex, name: str, output: Path, *, redact: bool | None = None) -> Written:
    """Write a run as one HTML file, or as a folder if `output` does not end in .html or the run is too large.

    Args:
        redact: leave out everything that holds or may quote a problem; None: if the task is confidential.

    Raises:
        UserError: what is to be written exists or cannot be written, or a conversation cannot be read.
    """
    is_confidential = index.task is not None and index.task.info.confidential
    run = _Exported(index, name, redacted=is_confidential if redact is None else redact)
    why = ""
    if output.suffix == ".html":
        _must_be_new(output)
        if run.count <= MOST_CONVERSATIONS:
            packed = _packed(run.as_one(), most=MOST_BYTES)
            if packed is not None:
                return _write_file(run, packed, output)
            why = f"one file holds {MOST_BYTES / 1e6:.0f} MB"
        else:
            why = f"one file holds {MOST_CONVERSATIONS:,} conversations"
        output = output.with_suffix("")
    _must_be_new(output)
    with _new_folder(output) as folder:
        size = sum(_write(folder / path, content) for path, content in run.as_folder())
    return Written(output, run.count, run.redacted, size, why)


def _write_file(run: _Exported, packed: str, output: Path) -> Written:
    content = document(packed)
    try:
        with whole_file(output, replace=False) as file:
            file.write(content)
    except FileExistsError:
        raise _exists(output) from None
    except OSError as error:
        raise _unwritable(output, error) from None
    return Written(output, run.count, run.redacted, len(content))


class _Exported:
    """What is told of a run, piece by piece: only one conversation is held at a time."""

    def __init__(self, index: RunIndex, name: str, *, redacted: bool) -> None:
        self.redacted = redacted
        self._index, self._name = index, name
        index.update()
        connection = index.connection
        (self.count,) = connection.execute("SELECT count(*) FROM conversations").fetchone()
        kinds: dict[str, list[str]] = {}
        for kind, (_, condition) in queries.KINDS.items():
            for (identity,) in connection.execute(
                f"SELECT id FROM conversations WHERE {condition}"  # noqa: S608 - our own words
            ):
                kinds.setdefault(identity, []).append(kind)
        self._rows = [
            {**row, "kinds": kinds.get(row["id"], []), "failure": None if redacted else row["failure"]}
            for row in queries.rows(connection, {"limit": f"{self.count}"}, most=self.count)["rows"]
        ]

    def as_one(self) -> Iterator[bytes]:
        """The JSON of all, in pieces."""
        yield b'{"conversations":{'
        for place, row in enumerate(self._rows):
            said = msgspec.json.encode({row["id"]: self._conversation(row)})[1:-1]
            yield (b"," if place else b"") + said
        yield b'},"overview":' + msgspec.json.encode(self._overview())
        yield b',"rows":' + msgspec.json.encode(self._rows) + b"}"

    def as_folder(self) -> Iterator[tuple[str, bytes]]:
        """The files of a folder."""
        for first in range(0, len(self._rows), PART):
            rows = self._rows[first : first + PART]
            held = {row["id"]: self._conversation(row) for row in rows}
            yield _script(f"part-{first // PART:05d}", msgspec.json.encode(held))
        run = {"overview": self._overview(), "rows": self._rows}
        yield _script("run", msgspec.json.encode(run))
        yield "index.html", document({"part": PART}, from_folder=True)

    def _conversation(self, row: dict[str, Any]) -> dict[str, Any]:
        """One conversation as the page shows it; its row gets the groups that the list is filtered by."""
        conversation = self._index.conversation(row["id"])
        if conversation is None:
            raise RunFolderError(
                f"{self._index.folder.path} no longer holds '{row['id']}'", remedy="run the command again"
            )
        page = self._page(conversation)
        row["group"] = page["problem"]["group"]
        return page

    def _page(self, conversation: Conversation) -> dict[str, Any]:
        page = shown(self._index, redact_conversation(conversation) if self.redacted else conversation)
        if self.redacted:
            page["briefings"] = dict.fromkeys(page["briefings"], REDACTED)
        return page

    def _overview(self) -> dict[str, Any]:
        """The overview as others may see it: where the run lies is nobody's business."""
        found = overview(self._index, self._name)
        kept = {**found, "path": "", "number": 0, "indexing": False, "taken": self.count, "error": ""}
        if self.redacted:
            kept |= {"prompts": None, "failures": [], "damaged": [], "notes": []}
        return kept


def _packed(pieces: Iterable[bytes], most: int | None = None) -> str | None:
    """Compressed, as text; None where that would be longer than `most`."""
    packer = zlib.compressobj(wbits=_GZIP)
    found, length = [], 0
    for piece in pieces:
        found.append(packer.compress(piece))
        length += len(found[-1])
        if most is not None and length * 4 > most * 3:
            return None
    found.append(packer.flush())
    text = base64.b64encode(b"".join(found)).decode()
    return None if most is not None and len(text) > most else text


def _script(name: str, content: bytes) -> tuple[str, bytes]:
    """A script that hands a piece of data to the page."""
    return f"data/{name}.js", f'coral("{name}","{_packed([content])}");\n'.encode()


# Files ------------------------------------------------------------------------------------------------------


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder beside `output` that takes its name at the end; whatever goes wrong leaves nothing behind."""
    partial = output.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        (partial / "data").mkdir(parents=True)
        yield partial
        partial.rename(output)
    except OSError as error:
        raise _unwritable(output, error) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, content: bytes) -> int:
    path.write_bytes(content)
    return len(content)


def _must_be_new(output: Path) -> None:
    if os.path.lexists(output):
        raise _exists(output)


def _exists(output: Path) -> RunFolderError:
    return RunFolderError(f"{output} exists", remedy="choose another --export")


def _unwritable(output: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write {output}: {error.strerror}", remedy="free space, or choose another --export"
    )
