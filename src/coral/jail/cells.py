"""One process in the jail, from outside: frames to it and from it, its end, and what it wrote."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from coral.errors import SandboxError
from coral.jail.inside.channel import READY

START_LIMIT_S = 60.0
"""Time for an interpreter to start in the jail. It is not counted as a program's."""
_LONGEST_WORDS = 4_000
_CHUNK = 1 << 16


class Late(Exception):
    """The time of a check is over."""


class Ended(Exception):
    """The process closed its output: it has ended, or is as good as."""


class TooMuch(Exception):
    """It wrote more than a limit."""


class Cell:
    """A process in the jail. Whatever it says is untrusted, and nothing here waits longer than a deadline.

    Args:
        command: starts it; all its descriptors but `passed` and pipes are closed.
        code: the first thing written to it.
        ended: called once when it is killed, to take away what it leaves.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        code: bytes,
        environment: dict[str, str],
        folder: str = "/",
        passed: Sequence[int] = (),
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._ended = ended
        self._is_ready = self._is_dead = False
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own command
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=folder,
                pass_fds=passed,
                start_new_session=True,
            )
        except OSError as error:
            ended()
            raise SandboxError(f"{command[0]} cannot be started: {error.strerror}") from None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out, self._err = self._process.stdin, self._process.stdout, self._process.stderr
        for stream in (self._in, self._out, self._err):
            os.set_blocking(stream.fileno(), False)
        self._rest = bytearray()
        self._unsent = bytearray(code)

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
            self._wait([], [self._in.fileno()], deadline)
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

    def converse(self, text: bytes, deadline: float, most: int) -> tuple[bytes, bytes]:
        """Write all of its input, and read its output and errors to their ends, each at most so long.

        Raises:
            Late, TooMuch: `said` holds what came until then.
        """
        self._unsent += text
        self.said = {self._out.fileno(): self._rest, self._err.fileno(): bytearray()}
        open_ = list(self.said)
        writing = [self._in.fileno()]
        while open_:
            readable, writable = self._wait(open_, writing, deadline)
            if writable:
                with contextlib.suppress(Ended):
                    self._push()
                    if self._unsent:
                        continue
                writing = []
                self._in.close()
            for number in readable:
                chunk = self._chunk(number)
                if not chunk:
                    open_.remove(number)
                self.said[number] += chunk
                if len(self.said[number]) > most:
                    raise TooMuch
        return self.output, self.errors

    @property
    def output(self) -> bytes:
        """What `converse` has read of its output."""
        return bytes(self.said[self._out.fileno()])

    @property
    def errors(self) -> bytes:
        """What `converse` has read of its errors."""
        return bytes(self.said[self._err.fileno()])

    def exit_code(self, deadline: float) -> int:
        """Wait for its end; negative for the signal that ended it.

        Raises:
            Late
        """
        while (code := self._process.poll()) is None:
            if time.monotonic() > deadline:
                raise Late
            time.sleep(0.001)
        return code

    def last_words(self) -> str:
        """The last line of its errors, as far as they have come."""
        text = b""
        with contextlib.suppress(OSError):
            while len(text) < _LONGEST_WORDS and (chunk := os.read(self._err.fileno(), _CHUNK)):
                text += chunk
        lines = text.decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def kill(self) -> None:
        """End it and whatever it started. May be called again."""
        if self._is_dead:
            return
        self._is_dead = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._in, self._out, self._err):
            with contextlib.suppress(OSError):
                stream.close()
        self._ended()

    def _push(self) -> None:
        try:
            while self._unsent:
                del self._unsent[: os.write(self._in.fileno(), self._unsent[:_CHUNK])]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
            raise Ended from None

    def _take(self, size: int, deadline: float) -> bytes:
        while len(self._rest) < size:
            self._wait([self._out.fileno()], [], deadline)
            chunk = self._chunk(self._out.fileno())
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
        left = deadline - time.monotonic()
        readable, writable, _ = select.select(reading, writing, [], max(0.0, left))
        if not readable and not writable:
            raise Late
        return readable, writable
