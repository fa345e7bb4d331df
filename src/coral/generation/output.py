"""OUTPUT, and the folder OUTPUT.parts from which it is put together: by one process, or by shards.

A shard writes what has arrived of its rows into a folder of its own. When all of them have a result it
leaves their lines of OUTPUT there, and a file that says for which rows. Whoever then finds such a file of
every shard writes OUTPUT, which takes as long as to copy it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import RunFolderError
from coral.generation.beside import begin, check_options, claimed, folder_of, locked, options_before
from coral.generation.parts import FAILED, Parts
from coral.generation.rows import Rows
from coral.store.shards import Shard, shards
from coral.store.whole import whole_file
from coral.types import Record

DIVISION = "shards"
"""Among the options of a batch: into how many it is divided."""
COMPLETE, LINES = "complete.json", "lines.of.output"
LOOK_EVERY_S = 0.1


class Complete(Record, frozen=True):
    """Says that each row of a shard has a result.

    Attributes:
        rows: digest of the rows, which may be changed or become more.
        failed: how many have an error in place of a reply.
    """

    rows: str
    failed: int


class Written(Record, frozen=True):
    """What a process found at its end.

    Attributes:
        missing: the shards that are not complete; without any, OUTPUT was written.
        failed: rows of OUTPUT that have an error, those of other shards included.
    """

    missing: tuple[str, ...] = ()
    failed: int = 0


class Output:
    """OUTPUT, as far as one process has to do with it.

    Attributes:
        parts: what has arrived of the rows that this process answers.
    """

    def __init__(self, path: Path, rows: Rows, shard: Shard | None) -> None:
        self._path, self._rows, self._shard = path, rows, shard
        self._folder = folder_of(path)
        numbers = range(shard.index, len(rows), shard.count) if shard else range(len(rows))
        self.parts = Parts(self._of(shard) if shard else self._folder, rows, numbers)

    @contextmanager
    def claimed(self, decisive: dict[str, Any]) -> Iterator[None]:
        """Keep other processes out of the parts, and read what earlier ones left there.

        Args:
            decisive: the options that decide the replies.

        Raises:
            RunFolderError: somebody else works there, or with other options; or OUTPUT is somebody else's.
        """
        begin(self._path)
        self._check_options({**decisive, DIVISION: self._shard.count if self._shard else None})
        folder = self.parts.folder
        folder.mkdir(parents=True, exist_ok=True)
        with claimed(folder):
            self.parts.read()
            try:
                yield
            finally:
                self.parts.close()

    def _check_options(self, decisive: dict[str, Any]) -> None:
        before = options_before(self._folder, decisive)
        if before is None:
            return
        then, now = before.get(DIVISION), decisive[DIVISION]
        if then != now:
            raise RunFolderError(
                f"{self._path} was begun {_division(then)}, not {_division(now)}",
                remedy=f"{_as_before(then)}, or name another --output",
            )
        check_options(self._path, before, decisive)

    def withdraw(self) -> None:
        """Before work begins: that this shard is complete holds no longer."""
        if self._shard:
            (self._of(self._shard) / COMPLETE).unlink(missing_ok=True)

    async def write(self, model: str) -> Written:
        """Write OUTPUT, whole or not at all: a line per row, in their order. Every row of this process must
        have a result; OUTPUT is left as it is while rows of other shards have none.
        """
        failed = sum(self.parts.status[number] == FAILED for number in self.parts.numbers)
        if self._shard is None:
            with whole_file(self._path) as output:
                output.writelines(self.parts.lines(model))
            return Written(failed=failed)
        self._complete(self._shard, model, failed)
        while True:  # others that write OUTPUT are waited for: the last one to do so knows most
            with locked(self._folder) as is_ours:
                if is_ours:
                    return self._join(shards(self._shard.count))
            await asyncio.sleep(LOOK_EVERY_S)

    def _complete(self, shard: Shard, model: str, failed: int) -> None:
        """Leave the lines of a shard, and say so."""
        if self._mark(shard) is not None:
            return
        folder = self._of(shard)
        with whole_file(folder / LINES) as file:
            file.writelines(self.parts.lines(model))
        with whole_file(folder / COMPLETE) as file:
            file.write(msgspec.json.encode(Complete(rows=self._digest(shard), failed=failed)))

    def _join(self, all_shards: Sequence[Shard]) -> Written:
        """Write OUTPUT of what the shards left, if all of them are complete."""
        marks = [self._mark(shard) for shard in all_shards]
        if None in marks:
            missing = (str(shard) for shard, mark in zip(all_shards, marks, strict=True) if mark is None)
            return Written(missing=tuple(missing))
        with ExitStack() as stack:
            files = [stack.enter_context((self._of(shard) / LINES).open("rb")) for shard in all_shards]
            output = stack.enter_context(whole_file(self._path))
            for number in range(len(self._rows)):
                output.write(files[number % len(files)].readline())
        return Written(failed=sum(mark.failed for mark in marks if mark))

    def _mark(self, shard: Shard) -> Complete | None:
        """What a shard says of its rows as they are now; None if it says nothing of them."""
        try:
            text = (self._of(shard) / COMPLETE).read_bytes()
        except FileNotFoundError:
            return None
        mark = msgspec.json.decode(text, type=Complete)
        return mark if mark.rows == self._digest(shard) else None

    def _digest(self, shard: Shard) -> str:
        own = self._rows.digests[shard.index :: shard.count]
        return hashlib.blake2b(own.tobytes(), digest_size=16).hexdigest()

    def _of(self, shard: Shard) -> Path:
        return self._folder / shard.folder


def _division(count: int | None) -> str:
    return "undivided" if count is None else f"in {count} shards"


def _as_before(count: int | None) -> str:
    if count is None:
        return "leave out --shard and --processes"
    return f"give --shard I/{count} or --processes {count}"
