"""The problems of a run, on disk: a run's memory must not grow with its data set."""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from typing import BinaryIO

import msgspec

from coral.errors import DataError
from coral.types import Problem

_DECODER = msgspec.json.Decoder(Problem)
_ENCODER = msgspec.json.Encoder()


class DiskList:
    """A read-only sequence of problems in a temporary file; eight bytes of memory a problem."""

    def __init__(self, file: BinaryIO, offsets: array[int]) -> None:
        self._file, self._offsets = file, offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> Problem:
        start, end = self._offsets[index], self._offsets[index + 1]
        self._file.seek(start)
        return _DECODER.decode(self._file.read(end - start))

    def __iter__(self) -> Iterator[Problem]:
        return (self[index] for index in range(len(self)))

    def ranked(self, seed: int) -> list[int]:
        """All indices in the seeded order in which `store_problems` draws."""
        return sorted(range(len(self)), key=lambda index: _rank(seed, self[index].id))

    def close(self) -> None:
        self._file.close()


def store_problems(problems: Iterable[Problem], *, limit: int | None, seed: int) -> DiskList:
    """Write problems to a temporary file, all of them or a seeded sample of `limit`.

    The sample keeps the order of the data, and a larger limit with the same seed holds every problem of a
    smaller one, so that a run can be extended.

    Raises:
        DataError: there are none.
    """
    with ExitStack() as opened:
        everything = opened.enter_context(closing(_write(problems)))
        if len(everything) == 0:
            raise DataError("the data hold no problem for this split", remedy="check --data and --split")
        if limit is None or limit >= len(everything):
            opened.pop_all()
            return everything
        return _write(everything[index] for index in sorted(everything.ranked(seed)[:limit]))


def _write(problems: Iterable[Problem]) -> DiskList:
    try:
        file = tempfile.TemporaryFile(prefix="coral-")  # noqa: SIM115 - closed by the disk_list
    except OSError as error:  # no folder for temporary files, or a full one
        raise _no_space(error) from None
    try:
        return DiskList(file, _append(problems, file))
    except BaseException:
        with suppress(OSError):  # of a full disk: what it still holds cannot be written
            file.close()
        raise


def _append(problems: Iterable[Problem], file: BinaryIO) -> array[int]:
    """Write the problems; returns where each begins, and the end."""
    offsets = array("Q", [0])
    position = 0
    for problem in problems:
        line = _ENCODER.encode(problem)
        try:
            position += file.write(line)
        except OSError as error:
            raise _no_space(error) from None
        offsets.append(position)
    try:
        file.flush()
    except OSError as error:
        raise _no_space(error) from None
    return offsets


def _no_space(error: OSError) -> DataError:
    folder = os.environ.get("TMPDIR") or "the folder for temporary files"
    return DataError(
        f"cannot keep the problems in {folder}: {error.strerror or error}",
        remedy="free space there, or set TMPDIR to a folder with space",
    )


def _rank(seed: int, problem_id: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{problem_id}".encode(), digest_size=8).digest()
