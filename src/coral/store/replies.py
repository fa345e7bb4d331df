"""Replies that outlive their run, by the digest of what was asked: what `--cache DIR` keeps.

One SQLite file per machine, in which every process of that machine reads and writes. A million replies are
one file, and a reply is in it when `keep` returns, whatever becomes of the process. SQLite's locks do not
reach from machine to machine: files of other machines in the folder are read as they lie, and never written.
Nothing that comes of that is believed without its checksum.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from coral.errors import ConfigError, Notice

SUFFIX = ".replies"
BUSY_S = 10.0
"""So long a process waits for another that writes."""
_TABLE = (
    "CREATE TABLE IF NOT EXISTS replies (key BLOB PRIMARY KEY, value BLOB NOT NULL, digest BLOB NOT NULL)"
)
_FIND = "SELECT value, digest FROM replies WHERE key = ?"
_KEEP = "INSERT OR REPLACE INTO replies VALUES (?, ?, ?)"


class ReplyStore:
    """Bytes by key, for as many processes as like; open it once in each, and close it.

    What cannot be read is named in a `Notice` and counts as missing; what cannot be written is not kept. A
    run never ends because of it.

    Raises:
        ConfigError: the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{re.sub(r'[^A-Za-z0-9.-]', '_', socket.gethostname()) or 'host'}{SUFFIX}"
        self._warned: set[str] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                self._own = self._open()
        except (OSError, sqlite3.Error) as error:
            cause = error.strerror if isinstance(error, OSError) else error
            raise ConfigError(
                f"the response cache {folder} cannot be used: {cause}",
                remedy="name a folder that can be written with --cache, or leave it out",
            ) from None
        self._others = [(path, opened) for path, opened in self._open_others(folder)]

    def find(self, key: bytes) -> bytes | None:
        """What was kept under `key`, on any machine; None where nothing was, or it is damaged."""
        found = self._read(self._own, self._file, key)
        for path, other in self._others:
            if found is not None:
                break
            found = self._read(other, path, key)
        return found

    def keep(self, key: bytes, value: bytes) -> None:
        """Keep `value` under `key`, in place of what is there."""
        try:
            self._own.execute(_KEEP, (key, value, _digest(key, value)))
        except sqlite3.Error as error:
            self._say(
                f"cannot write to the response cache {self._file} ({error}): what arrives is not kept there"
            )

    def drop(self, key: bytes) -> None:
        """Forget what cannot be used, and name it: it is asked for again."""
        self._say(f"reply {key.hex()} in {self._file} is damaged: it is asked for again")

    def close(self) -> None:
        """Close the files."""
        for opened in (self._own, *(other for _, other in self._others)):
            opened.close()

    def _open(self) -> sqlite3.Connection:
        """This machine's file; one that is none of SQLite's any more is set aside, and begun anew."""
        try:
            return self._begun()
        except sqlite3.OperationalError:  # no rights, no space, no file: nothing is wrong with what it holds
            raise
        except sqlite3.DatabaseError as error:
            aside = self._file.with_name(f"{self._file.name}.damaged-{time.time_ns()}")
            self._file.replace(aside)
            for tail in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self._file.with_name(f"{self._file.name}{tail}").replace(f"{aside}{tail}")
            self._say(
                f"{self._file} is damaged ({error}): it was set aside as {aside.name}, and what it held is "
                "asked for again"
            )
            return self._begun()

    def _begun(self) -> sqlite3.Connection:
        opened = sqlite3.connect(self._file, timeout=BUSY_S, isolation_level=None)
        try:
            opened.execute("PRAGMA journal_mode = WAL")
            opened.execute("PRAGMA synchronous = NORMAL")
            opened.execute(_TABLE)
            opened.execute(_FIND, (b"",)).fetchone()
        except sqlite3.Error:
            opened.close()
            raise
        return opened

    def _open_others(self, folder: Path) -> Iterator[tuple[Path, sqlite3.Connection]]:
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if path != self._file:
                with suppress(
                    sqlite3.Error
                ):  # being made at this moment, or damaged: nothing is in it for us
                    address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
                    opened = sqlite3.connect(address, uri=True)
                    yield path, opened

    def _read(self, opened: sqlite3.Connection, path: Path, key: bytes) -> bytes | None:
        try:
            row = opened.execute(_FIND, (key,)).fetchone()
        except sqlite3.Error as error:
            if path == self._file:
                self._say(f"cannot read reply {key.hex()} in {path} ({error}): it is asked for again")
            return None
        if row is None:
            return None
        value, digest = row
        if not isinstance(value, bytes) or digest != _digest(key, value):
            if path == self._file:
                self.drop(key)
            return None
        return value

    def _say(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(text, Notice, stacklevel=2)


def _digest(key: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(key + value, digest_size=8).digest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes from opening the file at the same moment: one of them may set it aside."""
    with closing(os.fdopen(os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644), "rb")) as lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
