"""Which batches were begun, on disk before anybody waits for them: a killed run finds its own again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

import msgspec

from coral.store.lines import Appender, decode, read_lines


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A batch that is about to be begun, with the keys of its requests; then its id; and once it has ended,
    the keys that were answered.
    """

    tag: str
    begun: float = 0.0
    keys: tuple[str, ...] = ()
    id: str = ""
    ended: bool = False


class Begun:
    """A batch.

    Attributes:
        tag: ours; the provider's `id` is empty while it is not known whether it was begun.
        since: when it was about to be.
    """

    def __init__(self, tag: str, keys: tuple[str, ...], since: float) -> None:
        self.tag, self.keys, self.since = tag, keys, since
        self.id = ""


class BatchRecord:
    """The batches of one run at one API, in files of their own.

    Raises:
        RunFolderError: a line in the middle of a file is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._appender = Appender(folder)
        self._batches: dict[str, Begun] = {}
        for line in read_lines(folder):
            self._take(decode(line, _LINES))

    @property
    def ids(self) -> frozenset[str]:
        """The provider's ids of all batches that are known."""
        return frozenset(one.id for one in self._batches.values() if one.id)

    def by_key(self) -> dict[str, Begun]:
        """The latest batch that holds each key."""
        return {key: one for one in self._batches.values() for key in one.keys}

    def intend(self, keys: Sequence[str]) -> Begun:
        """Note that a batch of these requests is about to be begun.

        Raises:
            RunFolderError: it cannot be written.
        """
        text = "\n".join((str(len(self._batches)), str(time.time_ns()), *keys))
        tag = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self._write(_Line(tag, begun=time.time(), keys=tuple(keys)))

    def name(self, batch: Begun, given: str) -> None:
        """Note the provider's id of a batch."""
        self._write(_Line(batch.tag, id=given))

    def keep(self, batch: Begun, keys: AbstractSet[str]) -> None:
        """Note that only these requests of a batch were answered: the others may stand in another one."""
        self._write(_Line(batch.tag, keys=tuple(key for key in batch.keys if key in keys), ended=True))

    def close(self) -> None:
        self._appender.close()

    def _write(self, line: _Line) -> Begun:
        self._appender.append(msgspec.json.encode(line))
        return self._take(line)

    def _take(self, line: _Line) -> Begun:
        batch = self._batches.get(line.tag)
        if batch is None:
            batch = self._batches[line.tag] = Begun(line.tag, line.keys, line.begun)
        if line.id:
            batch.id = line.id
        if line.ended:
            batch.keys = line.keys
        return batch


_LINES = msgspec.json.Decoder(_Line)
