"""One process in the jail, from outside: frames to it and from it, its end, and what it wrote."""

from __future__ import annotations

import contextlib
import os
import select
import time
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from coral.errors import SandboxError
from coral.jail.inside.channel import READY

START_LIMIT_S = 60.0
"""Time for an interpreter to start in the jail. It is not counted as a program's."""
REMOVAL_LIMIT_S = 20.0
_LONGEST_WORDS = 4_000
_CHUNK = 1 << 16


class Late(Exception):
    """The time of a check is over."""


class Ended(Exception):
    """The process closed its output: it has ended, or is as good as."""


class TooMuch(Exception):
    """It wrote more than a limit."""


class Life(Protocol):
    """How a process in the jail is seen from outside, and ended."""

    def exit_code(self) -> int | None:
        """None: it lives; negative: the signal that ended it."""

    def end(self) -> None:
        """End it and whatever it started, and take away what it left. May be called again."""


class Cell:
    """A process in the jail. Whatever it says is untrusted, and nothing here waits longer than a deadline.

    Args:
        life: the process.
        streams: our ends of its input, its output and its errors, which this closes.
        code: the first thing written to it.
    """

    def __init__(self, life: Life, streams: tuple[int, int, int], code: bytes = b"") -> None:
        self._life = life
        self._in, self._out, self._err = streams
        for stream in streams:
            os.set_blocking(stream, False)
        self.folder = ""
        """On the machine, taken away with the process."""
        self._is_ready = self._is_dead = False
        self._rest = bytearray()
        self._unsent = bytearray(code)
        self._said: dict[int, bytearray] = {self._out: bytearray(), self._err: bytearray()}

    def prepare(self) -> None:
        """Hand over our code as far as it goes without waiting."""
        with contextlib.suppress(Ended):
            self._push()

    def wait_until_ready(self) -> None:
        """Returns when it can be given work.

        Raises:
            SandboxError: it ended before, or is not ready in `START_LIMIT_S`.
        """
        if self._is_ready:
            return
        try:
            self.send(b"", time.monotonic() + START_LIMIT_S)
            ready = self._take(len(READY), time.monotonic() + START_LIMIT_S)
        except (Ended, Late) as error:
            why = "in time" if isinstance(error, Late) else f"({self.last_words() or 'it says nothing'})"
            self.kill()
            raise SandboxError(f"no interpreter starts in the jail {why}") from None
        if ready != READY:
            self.kill()
            raise SandboxError(
                "no interpreter starts in the jail: it says something else than that it is ready"
            )
        self._is_ready = True

    def send(self, data: bytes, deadline: float) -> None:
        """Write bytes.

        Raises:
            Late, Ended
        """
        self._unsent += data
        while self._unsent:
            self._wait([], [self._in], deadline)
            self._push()

    def send_frame(self, data: bytes, deadline: float) -> None:
        """Write a frame: four bytes of length first."""
        self.send(len(data).to_bytes(4, "big") + data, deadline)

    def receive(self, deadline: float, most: int) -> bytes:
        """Read a frame of at most so many bytes.

        Raises:
            Late, Ended, TooMuch
        """
        size = int.from_bytes(self._take(4, deadline), "big")
        if size > most:
            raise TooMuch
        return self._take(size, deadline)

    def converse(self, text: bytes, deadline: float, most: int) -> None:
        """Write all of its input, and read its output and errors to their ends, each at most so long.

        Raises:
            Late, TooMuch: `output` and `errors` hold what came until then.
        """
        self._unsent += text
        self._said[self._out] = self._rest
        open_ = list(self._said)
        writing = [self._in]
        while open_:
            readable, writable = self._wait(open_, writing, deadline)
            if writable:
                with contextlib.suppress(Ended):
                    self._push()
                    if self._unsent:
                        continue
                writing = []
                self.close_input()
            for number in readable:
                chunk = self._chunk(number)
                if not chunk:
                    open_.remove(number)
                self._said[number] += chunk
                if len(self._said[number]) > most:
                    raise TooMuch

    @property
    def output(self) -> bytes:
        """What `converse` has read of its output."""
        return bytes(self._said[self._out])

    @property
    def errors(self) -> bytes:
        """What `converse` has read of its errors."""
        return bytes(self._said[self._err])

    def exit_code(self, deadline: float) -> int:
        """Wait for its end; negative for the signal that ended it.

        Raises:
            Late
        """
        while (code := self._life.exit_code()) is None:
            if time.monotonic() > deadline:
                raise Late
            time.sleep(0.001)
        return code

    def is_alive(self) -> bool:
        """Whether it has not ended, by itself or killed from outside."""
        return self._life.exit_code() is None

    def last_words(self) -> str:
        """The last line of its errors, as far as they have come."""
        text = b""
        with contextlib.suppress(OSError):
            while len(text) < _LONGEST_WORDS and (chunk := os.read(self._err, _CHUNK)):
                text += chunk
        lines = text.decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close_input(self) -> None:
        """Nothing more will be written to it."""
        if self._in >= 0:
            os.close(self._in)
            self._in = -1

    def kill(self) -> None:
        """End it and whatever it started. May be called again."""
        if self._is_dead:
            return
        self._is_dead = True
        self._life.end()
        self.close_input()
        os.close(self._out)
        os.close(self._err)
        if self.folder:
            take_away(Path(self.folder))

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._in, self._unsent[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
            raise Ended from None

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._rest) < size:
            self._wait([self._out], [], deadline)
            chunk = self._chunk(self._out)
            if not chunk:
                raise Ended
            self._rest += chunk
        taken = bytes(self._rest[:size])
        del self._rest[:size]
        return taken

    def _chunk(self, number: int) -> bytes:
        """What there is to read; nothing at its end."""
        try:
            return os.read(number, _CHUNK)
        except OSError:
            return b""

    def _wait(self, reading: list[int], writing: list[int], deadline: float) -> tuple[list[int], list[int]]:
        """Which of these can be read and written; `poll`, since `select` takes no descriptor beyond 1023."""
        watched = select.poll()
        for number in reading:
            watched.register(number, select.POLLIN)
        for number in writing:
            watched.register(number, select.POLLOUT)
        ready = {number for number, _ in watched.poll(max(0.0, deadline - time.monotonic()) * 1_000)}
        if not ready:
            raise Late
        return [number for number in reading if number in ready], [n for n in writing if n in ready]


def take_away(folder: Path) -> None:
    """Remove a folder, whatever a program left there: folders nested without end, or closed to us. What a
    detached process writes anew while this lasts is left there.
    """
    deadline = time.monotonic() + REMOVAL_LIMIT_S
    with contextlib.suppress(OSError):
        if folder.is_symlink():  # which the program put there, to have something else removed
            folder.unlink()
        while (entries := list(folder.iterdir())) and time.monotonic() < deadline:
            for entry in entries:
                _take_away(entry, folder)
        folder.rmdir()


def _take_away(entry: Path, folder: Path) -> None:
    """Remove one entry of a folder. What a folder holds moves up, so that no depth is too deep."""
    if entry.is_symlink() or not entry.is_dir():
        entry.unlink()
        return
    entry.chmod(0o700)
    for inner in list(entry.iterdir()):
        if inner.is_dir() and not inner.is_symlink():
            inner.chmod(0o700)
        inner.rename(folder / uuid4().hex)
    entry.rmdir()
