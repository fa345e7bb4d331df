"""The conversations of a run as they are stored: which lines count, and where one of them stands."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from coral.errors import Notice, RunFolderError
from coral.store.index import LineIndex, digest_of
from coral.store.lines import Line, decode, line_files, read_file
from coral.store.schema1 import BEGINNING, Conversation1
from coral.types import SCHEMA, Conversation, StopReason


class Endings(NamedTuple):
    """Ids of stored conversations: those that ended well, and those that failed and have not since."""

    well: set[str]
    failed: set[str]


class _Ending(msgspec.Struct, frozen=True):
    id: str
    stop: StopReason


_ENDINGS = msgspec.json.Decoder(_Ending)


class _Schema(msgspec.Struct, frozen=True):
    schema: int


_SCHEMAS = msgspec.json.Decoder(_Schema)
_CONVERSATIONS = msgspec.json.Decoder(Conversation)
_CONVERSATIONS_1 = msgspec.json.Decoder(Conversation1)
_BEGINNING = f'{{"schema":{SCHEMA},'.encode()
"""Of every line that this version wrote."""

_Place = tuple[Path, int]
"""File and offset of a line."""


class StoredConversations:
    """What stands in the files of one folder, or of one per shard. Of several lines about one conversation
    the first counts that did not fail, else the last.
    """

    def __init__(self, folders: Callable[[], Sequence[Path]]) -> None:
        self._folders = folders

    def _files(self) -> list[Path]:
        return [path for folder in self._folders() for path in line_files(folder)]

    def _lines(self) -> Iterator[Line]:
        for path in self._files():
            yield from read_file(path)

    def endings(self) -> Endings:
        """Which conversations have ended, well or failed. Reads, and so checks, every line.

        Raises:
            RunFolderError: a stored line is damaged.
        """
        well: set[str] = set()
        failed: set[str] = set()
        for line in self._lines():
            ending = decode(line, _ENDINGS)
            (failed if ending.stop is StopReason.FAILED else well).add(ending.id)
        return Endings(well, failed - well)

    def __iter__(self) -> Iterator[Conversation]:
        """Stream each conversation once.

        Raises:
            RunFolderError: a stored line is damaged.
        """
        superfluous = self._superfluous()
        for line in self._lines():
            if (line.path, line.offset) not in superfluous:
                yield conversation_of(line)

    def find(self, identity: str) -> Conversation | None:
        """One conversation, by its id.

        Raises:
            RunFolderError: a line is damaged that had to be read.
        """
        digest = digest_of(identity)
        lines = []
        for path in self._files():
            index = _up_to_date(path)
            index.save(path)
            lines += [line_at(path, offset) for offset in index.find(digest)]
        own = [line for line in lines if decode(line, _ENDINGS).id == identity]
        return conversation_of(_counting(own)) if own else None

    def _superfluous(self) -> set[_Place]:
        """Where lines stand that do not count. Those that count twice for no reason are told.

        Memory is eight bytes per conversation, and for those of which there are several lines more.
        """
        indices = {path: _up_to_date(path) for path in self._files()}
        for path, index in indices.items():
            index.save(path)
        repeated = _repeated(sorted(digest for index in indices.values() for digest in index.digests))
        if not repeated:
            return set()
        lines = defaultdict(list)
        for path, index in indices.items():
            for digest, offset in zip(index.digests, index.offsets, strict=True):
                if digest in repeated:
                    line = line_at(path, offset)
                    lines[decode(line, _ENDINGS).id].append(line)
        _tell_of_twins(lines)
        every = {_place(line) for of_one in lines.values() for line in of_one}
        return every - {_place(_counting(of_one)) for of_one in lines.values()}


def conversation_of(line: Line) -> Conversation:
    """The conversation of a line, of whatever schema.

    Raises:
        RunFolderError: the line is damaged, or of a schema that this version does not know.
    """
    if line.text.startswith(BEGINNING):
        return decode(line, _CONVERSATIONS_1).current()
    if not line.text.startswith(_BEGINNING):
        found = decode(line, _SCHEMAS).schema
        if found not in {1, SCHEMA}:
            raise RunFolderError(
                f"{line.path} holds conversations of schema {found}; this version of Coral reads up to "
                f"schema {SCHEMA}",
                remedy="install the version that wrote them, or a later one",
            )
        if found == 1:
            return decode(line, _CONVERSATIONS_1).current()
    return decode(line, _CONVERSATIONS)


def _up_to_date(path: Path) -> LineIndex:
    """The index of a file, brought up to its last complete line."""
    index = LineIndex.load(path)
    if not _fits(index, path):
        index = LineIndex()
    for line in read_file(path, start=index.covered):
        index.add(digest_of(decode(line, _ENDINGS).id), line.offset, line.offset + len(line.text))
    return index


def _fits(index: LineIndex, path: Path) -> bool:
    """Whether the last line of an index is what it says: a file that was changed by hand has it elsewhere."""
    if not index.digests:
        return index.covered == 0
    try:
        line = line_at(path, index.offsets[-1])
        is_end = line.offset + len(line.text) == index.covered
        return is_end and digest_of(decode(line, _ENDINGS).id) == index.digests[-1]
    except RunFolderError:
        return False


def line_at(path: Path, offset: int) -> Line:
    """The line that begins at an offset; an empty one where the file ends before."""
    return next(read_file(path, start=offset), Line(path, 0, offset, b""))


def _counting(lines: list[Line]) -> Line:
    """Of all lines about one conversation, in their order, the one that counts."""
    return next(filter(_ended_well, lines), lines[-1])


def _ended_well(line: Line) -> bool:
    return decode(line, _ENDINGS).stop is not StopReason.FAILED


def _place(line: Line) -> _Place:
    return line.path, line.offset


def _repeated(ordered: list[int]) -> set[int]:
    return {one for one, following in pairwise(ordered) if one == following}


def _tell_of_twins(lines: dict[str, list[Line]]) -> None:
    """Say which conversations are stored several times although they did not fail."""
    twins = [identity for identity, of_one in lines.items() if sum(map(_ended_well, of_one)) > 1]
    if twins:
        folder = lines[twins[0]][0].path.parent
        warnings.warn(
            f"{folder}: {len(twins)} conversations are stored more than once, such as {twins[0]}; "
            "each is counted once",
            Notice,
            stacklevel=2,
        )
