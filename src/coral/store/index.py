"""Where each conversation stands in its file, so that one of a million is found without reading the others.

A file of lines has its index beside it: `00000.index` of `00000.jsonl`, sixteen bytes per line. It is made by
whoever reads all lines, covers a file up to some line, and is never trusted: what stands where it points must
be a line with the digest that it names. An index that does not fit its file is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from coral.store.whole import write_whole

WORTH_BYTES = 4_000_000
"""Smaller files are read faster than a second file is worth."""

_MAGIC = b"coral/1\n"


def digest_of(identity: str) -> int:
    """64 bits that stand for a conversation's id."""
    return int.from_bytes(hashlib.blake2b(identity.encode(), digest_size=8).digest(), "little")


class LineIndex:
    """Digest and offset of each line of a file, in the order of the file.

    Attributes:
        digests: of the ids of the lines.
        offsets: where the lines begin, in bytes.
        covered: where the first line begins that is not in the index.
    """

    def __init__(self) -> None:
        self.digests, self.offsets = array("Q"), array("Q")
        self.covered = 0
        self._saved = 0

    @classmethod
    def load(cls, lines: Path) -> LineIndex:
        """The index beside a file of lines, empty where there is none or it is damaged."""
        index = cls()
        try:
            data = _beside(lines).read_bytes()
        except OSError:
            return index
        numbers = array("Q")
        if data.startswith(_MAGIC) and len(data) % 8 == 0:
            numbers.frombytes(data[len(_MAGIC) :])
        if len(numbers) % 2 == 1 and numbers[0] <= lines.stat().st_size:
            index.covered = index._saved = numbers[0]
            index.digests, index.offsets = numbers[1::2], numbers[2::2]
        return index

    def add(self, digest: int, offset: int, end: int) -> None:
        """Cover one more line."""
        self.digests.append(digest)
        self.offsets.append(offset)
        self.covered = end

    def find(self, digest: int) -> Iterator[int]:
        """Offsets of the lines with this digest."""
        position = -1
        with contextlib.suppress(ValueError):
            while True:
                position = self.digests.index(digest, position + 1)
                yield self.offsets[position]

    def save(self, lines: Path) -> None:
        """Write the index beside its file, if that is worth it and can be done."""
        if self.covered == self._saved or self.covered < WORTH_BYTES:
            return
        numbers = array("Q", bytes(8 * (1 + 2 * len(self.digests))))
        numbers[0], numbers[1::2], numbers[2::2] = self.covered, self.digests, self.offsets
        with contextlib.suppress(OSError):  # a folder that may only be read is still read
            write_whole(_beside(lines), _MAGIC + numbers.tobytes())
            self._saved = self.covered


def _beside(lines: Path) -> Path:
    return lines.with_suffix(".index")
