"""Append-only files of JSON lines that survive a kill at any moment.

A line counts once its newline is on the disk. What stands behind the last newline was being written when the
process died, and counts as never written. Every session writes files of its own, so nothing is ever written
behind a torn line, and nothing that stands is ever changed.
"""

from __future__ import annotations

import errno
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from coral.errors import Notice, RunFolderError

T = TypeVar("T")


_NAME = re.compile(r"\d{5,}\.jsonl")


@dataclass(frozen=True)
class Line:
    """One complete line, and where it stands.

    Attributes:
        number: from 1 on, for messages; 0 where it was read without those before it.
        offset: where it begins, in bytes.
    """

    path: Path
    number: int
    offset: int
    text: bytes


def line_files(folder: Path) -> list[Path]:
    """The files of a folder that Coral wrote, in the order in which they were begun.

    Others that end alike (a copy, notes, what a file manager left) are named in a `Notice` and left alone.

    Raises:
        RunFolderError: the folder cannot be read.
    """
    try:
        found = sorted(folder.glob("*.jsonl"))
    except OSError as error:
        raise _unreadable(folder, error) from None
    files = [path for path in found if _NAME.fullmatch(path.name) and path.is_file()]
    if len(files) < len(found):
        strays = ", ".join(path.name for path in found if path not in files)
        warnings.warn(f"{folder}: not files of this run, so not read: {strays}", Notice, stacklevel=2)
    return sorted(files, key=_number)


def read_lines(folder: Path) -> Iterator[Line]:
    """Stream the complete lines of all files of a folder, in the order in which they were written.

    Raises:
        RunFolderError: a file cannot be read.
    """
    for path in line_files(folder):
        yield from read_file(path)


def read_file(path: Path, *, start: int = 0) -> Iterator[Line]:
    """Stream the complete lines of a file from `start` on, which must be where one begins.

    Raises:
        RunFolderError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            offset = file.seek(start)
            for number, text in enumerate(file, 1):
                if text.endswith(b"\n"):
                    yield Line(path, 0 if start else number, offset, text)
                offset += len(text)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(f"cannot read {path}: {error.strerror}", remedy="fix its permissions, or the disk")


def _number(path: Path) -> int:
    return int(path.stem)


def decode(line: Line, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a line.

    Raises:
        RunFolderError: it is damaged; names file and line.
    """
    try:
        return decoder.decode(line.text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = f"line {line.number}" if line.number else f"the line at byte {line.offset}"
        raise RunFolderError(
            f"{line.path}, {place} is damaged: {error}",
            remedy="restore the file from a copy, or delete just that line: what it held is then run again",
        ) from None


class Appender:
    """Appends lines to a new file of a folder, which comes into being with the first line.

    Each line is handed to the operating system before `append` returns: it outlives the process
    (`kill -9`), though not a power cut.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder
        self._descriptor: int | None = None
        self._damaged = False

    def append(self, line: bytes) -> None:
        """Write `line` and a newline.

        Raises:
            RunFolderError: the disk is full or the folder cannot be written.
        """
        if self._damaged:  # the file ends in a torn line: writing on would damage it for good
            self.close()
            self._damaged = False
        try:
            if self._descriptor is None:
                self._descriptor = self._open()
            whole = line + b"\n"
            written = os.write(self._descriptor, whole)
            if written != len(whole):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._damaged = True
            cure = (
                "raise `ulimit -n`"
                if error.errno in {errno.EMFILE, errno.ENFILE}
                else "free space or fix the folder"
            )
            raise RunFolderError(
                f"cannot write to {self._folder}: {error.strerror}",
                remedy=f"{cure}, then run the same command again: everything up to here is kept",
            ) from None

    def check(self) -> None:
        """Make sure that what was appended is still where it was written.

        Raises:
            RunFolderError: the file was deleted, or the folder moved.
        """
        if self._descriptor is None:
            return
        try:
            is_there = os.path.samestat(self._path.stat(), os.fstat(self._descriptor))
        except OSError:
            is_there = False
        if not is_there:
            raise RunFolderError(
                f"{self._path} was deleted or moved while the run worked on it",
                remedy="put it back if it was moved; what was deleted is run again by the same command",
            )

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        last = max(map(_number, line_files(self._folder)), default=-1)
        self._path = self._folder / f"{last + 1:05d}.jsonl"
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
