"""Where rows wait until all are known: on disk, with one small record each in memory.

Rows arrive in the order of the conversations, which depends on which request happened to end first. They
leave in an order that their content and the seed decide: shuffled, and the same after every resume.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

_MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


class DiskRow(NamedTuple):
    """What is remembered of a row.

    Attributes:
        key: rows with the same key say the same.
        tie: decides between them.
        turn: index, from 0.
        chosen_chars: length of the (chosen) reply, and of the rejected one, 0 where there is none.
        label: of kto rows.
        persuaded: see `RowCandidate`.
    """

    key: int
    tie: int
    turn: int
    chosen_chars: int
    rejected_chars: int
    label: bool
    persuaded: bool


class DiskRows:
    """Rows on disk, kept until `lines` gives them out. As a context manager, deletes its file in the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = path.open("w+b", buffering=1 << 20)
        self._end = 0
        self._offsets, self._keys, self._ties = (array("Q") for _ in range(3))
        self._sizes, self._chosen, self._rejected, self._turns = (array("I") for _ in range(4))
        self._flags = array("B")

    def __enter__(self) -> DiskRows:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, line: bytes, mark: DiskRow) -> None:
        """Keep a row.

        Raises:
            OSError: the disk is full.
        """
        self._file.write(line)
        self._offsets.append(self._end)
        self._sizes.append(len(line))
        self._end += len(line)
        self._keys.append(mark.key)
        self._ties.append(mark.tie)
        self._turns.append(mark.turn)
        self._chosen.append(mark.chosen_chars)
        self._rejected.append(mark.rejected_chars)
        self._flags.append(mark.label | mark.persuaded << 1)

    def distinct(self) -> npt.NDArray[np.intp]:
        """Indices of the rows, one for each key, in the final order."""
        keys, ties = _numbers(self._keys, np.uint64), _numbers(self._ties, np.uint64)
        by_key = np.lexsort((ties, keys))
        ordered = keys[by_key]
        firsts = np.ones(len(ordered), bool)
        firsts[1:] = ordered[1:] != ordered[:-1]
        found = by_key[firsts]
        return found[np.argsort(_mixed(keys[found]), kind="stable")]

    def lines(self, indices: npt.NDArray[np.intp]) -> Iterator[bytes]:
        """The rows of `indices`, in that order."""
        self._file.flush()
        for index in indices.tolist():
            yield os.pread(self._file.fileno(), self._sizes[index], self._offsets[index])

    def chars(self, indices: npt.NDArray[np.intp]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Lengths of the (chosen) and of the rejected replies."""
        return _numbers(self._chosen, np.uint64)[indices], _numbers(self._rejected, np.uint64)[indices]

    def turns(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """The rows' turns, from 0."""
        return _numbers(self._turns, np.uint64)[indices]

    def labels(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """The rows' labels."""
        return (_numbers(self._flags, np.uint8)[indices] & 1).astype(bool)

    def persuaded(self, indices: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
        """Whether the rows' (chosen) replies changed the partner's mind for the better."""
        return (_numbers(self._flags, np.uint8)[indices] >> 1).astype(bool)


def _numbers(values: array[int], kind: type[np.unsignedinteger[Any]]) -> npt.NDArray[Any]:
    """The values, copied: an array that shares memory with a view cannot grow any more."""
    return np.array(values, dtype=kind)


def _mixed(keys: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scrambled keys (splitmix64). Rows were kept for their low keys, so the keys' own order would put the
    problems with many rows first.
    """
    add, first, second = (np.uint64(value) for value in _MIX)
    mixed = keys + add
    mixed = (mixed ^ (mixed >> np.uint64(30))) * first
    mixed = (mixed ^ (mixed >> np.uint64(27))) * second
    scrambled: npt.NDArray[Any] = mixed ^ (mixed >> np.uint64(31))
    return scrambled
