"""The two ways into the jail: a command that starts a process there, or a copy of one that is there."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Sequence
from typing import IO

from coral.errors import SandboxError
from coral.jail.cells import Cell

_SIGNALLED = range(129, 193)


class Command:
    """A command that we started and that is the process, or holds it.

    Args:
        by_shell: its exit codes from 129 on stand for signals, as those of bubblewrap and containers do.
        stop: a command that ends what the process itself does not end.
    """

    def __init__(self, process: subprocess.Popen[bytes], *, by_shell: bool, stop: Sequence[str]) -> None:
        self._process, self._by_shell = process, by_shell
        self._stop = stop

    def exit_code(self) -> int | None:
        code = self._process.poll()
        return 128 - code if code is not None and self._by_shell and code in _SIGNALLED else code

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._stop:
            subprocess.run(self._stop, capture_output=True, check=False)  # noqa: S603  our own command


def start(
    command: Sequence[str],
    *,
    code: bytes,
    environment: dict[str, str],
    passed: Sequence[int] = (),
    source: socket.socket | None = None,
    by_shell: bool = False,
    stop: Sequence[str] = (),
) -> Cell:
    """Start a command, with pipes as its input, output and errors.

    Args:
        passed: descriptors that it inherits beside these.
        source: one end of a pair that takes the place of the first pipe; `code` is then not written.
        by_shell, stop: see `Command`.

    Raises:
        SandboxError: it cannot be started.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  our own command
            command,
            stdin=subprocess.PIPE if source is None else source.fileno(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environment,
            cwd="/",
            pass_fds=passed,
            start_new_session=True,
        )
    except OSError as error:
        raise SandboxError(f"{command[0]} cannot be started: {error.strerror}") from None
    numbers = [_ours(stream) for stream in (process.stdin, process.stdout, process.stderr)]
    life = Command(process, by_shell=by_shell, stop=stop)
    return Cell(life, (numbers[0], numbers[1], numbers[2]), code)


def _ours(stream: IO[bytes] | None) -> int:
    """A descriptor that nobody closes but its cell."""
    if stream is None:
        return os.open(os.devnull, os.O_WRONLY)
    number = os.dup(stream.fileno())
    stream.close()
    return number


class Copy:
    """A process that a nursery forked for us. Its init holds the other end of `control`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._control.setblocking(False)
        self._code: int | None = None

    def exit_code(self) -> int | None:
        if self._code is None:
            try:
                told = self._control.recv(4)
            except BlockingIOError:
                return None
            except OSError:
                told = b""
            self._code = struct.unpack("=i", told)[0] if len(told) == 4 else -signal.SIGKILL
        return self._code

    def end(self) -> None:
        self._control.close()


class Nursery:
    """A process in the jail that forks interpreters for us (`inside/nursery.py`).

    Args:
        command: starts it.
        code: what it runs.
        setup: a frame for it: eight bytes with the size of /tmp, and the filter of system calls.

    Raises:
        SandboxError: it cannot be started here, or cannot make namespaces.
    """

    def __init__(self, command: Sequence[str], *, code: bytes, setup: bytes) -> None:
        self._door, theirs = socket.socketpair()
        try:
            self._cell = start(command, code=b"", environment={}, source=theirs)
        except SandboxError:
            self._door.close()
            raise
        finally:
            theirs.close()
        try:
            self._door.sendall(code + len(setup).to_bytes(4, "big") + setup)
            self._cell.wait_until_ready()
            first = self.start()
            first.wait_until_ready()
            first.kill()
        except (OSError, SandboxError) as error:
            self.close()
            raise SandboxError(str(error)) from None

    def start(self) -> Cell:
        """An interpreter of its own for one program.

        Raises:
            SandboxError: the nursery is gone.
        """
        control, theirs = socket.socketpair()
        pipes = [os.pipe() for _ in range(3)]
        (source, write), (read, sink), (read_errors, errors) = pipes
        given = [source, sink, errors, theirs.fileno()]
        try:
            socket.send_fds(self._door, [b"1"], given)
        except OSError as error:
            control.close()
            for number in (write, read, read_errors):
                os.close(number)
            raise SandboxError(f"the process that forks interpreters is gone: {error.strerror}") from None
        finally:
            theirs.close()
            for number in given[:3]:
                os.close(number)
        return Cell(Copy(control), (write, read, read_errors))

    def close(self) -> None:
        """End it, and every process that it forked."""
        self._door.close()
        self._cell.kill()
