"""`step.json`: the mark of a complete step."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from coral.errors import RunFolderError
from coral.store.whole import write_whole
from coral.types import Record

MARK = "step.json"


class Done(Record, frozen=True):
    """A step that is complete.

    Attributes:
        seconds: of the session that finished it.
        rows: written by it, where it builds rows.
        problems: of its run, where it is one.
        candidates: drawn by it, where it samples.
    """

    step: str
    seconds: float
    rows: int | None = None
    problems: int | None = None
    candidates: int | None = None


class Drawn(NamedTuple):
    """What a sampling gave: candidates, and the problems they are about."""

    candidates: int
    problems: int


def load_done(folder: Path) -> Done | None:
    """The mark of a complete step, None where it is not.

    Raises:
        RunFolderError: it cannot be read.
    """
    path = folder / MARK
    try:
        return msgspec.json.decode(path.read_bytes(), type=Done)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RunFolderError(
            f"{path} is damaged: {error}", remedy="delete the file to do the step again"
        ) from None


def write_record(path: Path, record: object) -> None:
    """Write a JSON file, complete or not at all.

    Raises:
        RunFolderError: it cannot be written.
    """
    write_text(path, msgspec.json.format(msgspec.json.encode(record), indent=2).decode() + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file, complete or not at all, with the folders above it.

    Raises:
        RunFolderError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror}", remedy="free space or fix the folder"
        ) from None
