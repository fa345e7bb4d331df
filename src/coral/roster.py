"""Who is there: the records that the replicas of a pool keep in its folder, as a client reads them.

A replica lives while its beat changes, timed by the reader's own monotonic clock: clocks of two machines are
never compared. What cannot be read is no news. A reader deletes nothing.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

SILENT_AFTER_S = 30.0
"""Without a change of its beat a replica is taken for dead, unless its record names another time."""


class ReplicaRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a replica's record that clients use. See `coral.cluster.replica`."""

    state: str
    beat: int
    url: str | None = None
    in_flight: float | None = None
    seconds_left: float | None = None
    silent_after_s: float = SILENT_AFTER_S

    def __post_init__(self) -> None:
        """Refuse what is no address of a server: a record that holds one is as good as unreadable.

        Raises:
            ValueError: it is none.
        """
        if self.url is not None:
            from yarl import URL

            url = URL(self.url)
            if url.scheme not in {"http", "https"} or not url.host:
                raise ValueError("the url is not the address of a server")


AnyRecord = TypeVar("AnyRecord", bound=ReplicaRecord)


def read_record(path: Path, kind: type[AnyRecord]) -> AnyRecord:
    """The record in a file of a pool's folder.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is none.
    """
    try:
        return msgspec.json.decode(_bytes_of(path), type=kind)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def _bytes_of(path: Path) -> bytes:
    """What a file holds; of a pipe nothing, where its writer would be waited for."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123 - it is open
        return file.read() or b""


_NO_ADDRESS = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
"""What a look-up says of a name that is not known, or has no address now."""


@dataclass(frozen=True, kw_only=True)
class Present:
    """Who is there at a moment.

    Attributes:
        ready: the replicas that take requests, by address.
        closing: addresses that take no new ones; those in flight there may end.
        states: how many replicas are in each state; those that are silent are `lost`.
        key: what the pool's servers want to be shown; None where there is none.
    """

    ready: dict[str, ReplicaRecord]
    closing: frozenset[str]
    states: dict[str, int]
    key: str | None


class Roster:
    """Reads the folder of a pool, and remembers what it said before.

    Attributes:
        place: where it looks, for messages.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder, self.place = folder, str(folder)
        self._clock = clock
        self._seen: dict[str, tuple[ReplicaRecord, float]] = {}
        self._gone: set[str] = set()
        self._key: str | None = None

    def read(self) -> Present:
        """Look into the folder; a shared file system may take its time."""
        self._read_key()
        self._read_records()
        now = self._clock()
        ready: dict[str, ReplicaRecord] = {}
        closing, states = set(self._gone), dict[str, int]()
        for record, changed in self._seen.values():
            is_lost = now - changed > record.silent_after_s and record.state != "failed"
            state = "lost" if is_lost else record.state
            states[state] = states.get(state, 0) + 1
            if record.url is not None and state == "ready":
                ready[record.url] = record
            elif record.url is not None and state in {"unwell", "draining"}:
                closing.add(record.url)
        return Present(ready=ready, closing=frozenset(closing - ready.keys()), states=states, key=self._key)

    def _read_records(self) -> None:
        try:
            paths = [path for path in self.folder.iterdir() if path.name.endswith(".json")]
        except OSError:
            return
        now = self._clock()
        for path in paths:
            try:
                record = read_record(path, ReplicaRecord)
            except (OSError, msgspec.DecodeError):
                continue
            before = self._seen.get(path.name)
            if before is None or before[0] != record:
                is_beat = before is None or before[0].beat != record.beat
                self._seen[path.name] = (record, now if is_beat or before is None else before[1])
        for name in self._seen.keys() - {path.name for path in paths}:
            record, _ = self._seen.pop(name)
            if record.url is not None:
                self._gone.add(record.url)

    def _read_key(self) -> None:
        try:
            self._key = _bytes_of(self.folder / "key").decode().strip() or None
        except (OSError, UnicodeDecodeError):
            return


def addresses_of(host: str) -> list[str]:
    """The addresses of a name; of a name with both kinds the IPv4 ones, since both lead to the same machines.

    Raises:
        OSError: the name cannot be looked up, or has none.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = {family: [str(each[4][0]) for each in found if each[0] == family] for family, *_ in found}
    return addresses.get(socket.AF_INET) or [f"[{address}]" for address in addresses[socket.AF_INET6]]


class NameRoster:
    """Looks up a name again and again: each address behind it is a replica, such as of a headless service.

    A name without addresses has no replicas. A look-up that fails otherwise is no news. See `Roster`.
    """

    def __init__(self, place: str, resolve: Callable[[str], Sequence[str]] = addresses_of) -> None:
        self.place = place
        self._url, self._resolve = urlsplit(place), resolve
        self._ready: dict[str, ReplicaRecord] = {}
        self._gone: set[str] = set()

    def read(self) -> Present:
        """See `Roster`."""
        addresses: Sequence[str] | None
        try:
            addresses = self._resolve(self._url.hostname or "")
        except socket.gaierror as error:
            addresses = [] if error.errno in _NO_ADDRESS else None
        except (OSError, UnicodeError):
            addresses = None
        if addresses is not None:
            urls = [f"http://{address}:{self._url.port}{self._url.path}" for address in addresses]
            self._gone |= self._ready.keys() - set(urls)
            self._ready = {url: ReplicaRecord(state="ready", beat=0, url=url) for url in sorted(urls)}
        closing = frozenset(self._gone - self._ready.keys())
        states = {"ready": len(self._ready)} if self._ready else {}
        return Present(ready=self._ready, closing=closing, states=states, key=None)
