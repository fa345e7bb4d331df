"""The standard streams while a command runs: nothing acts on the terminal, and none of them breaks a run.

Whatever is printed passes one of two gates: `print`, argparse and tracebacks pass `_Escaping`, tables and
progress pass `terminal.Terminal`, which writes behind that gate with colours of its own.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from coral.cli.visible import visible
from coral.errors import UserError


class OutputLost(UserError):
    """Standard output cannot be written."""


@contextmanager
def standard_streams() -> Iterator[None]:
    """Guard the standard streams while the body runs.

    What is printed there raises `OutputLost` where standard output cannot be written, for instance on a full
    disk, and BrokenPipeError where its reader, such as `head`, has seen enough. Standard error never raises.
    """
    _open_closed_ones()
    before = sys.stdout, sys.stderr
    output, errors = (_or_nowhere(stream) for stream in before)
    sys.stdout = cast("TextIO", _Escaping(_Output(output)))
    sys.stderr = cast("TextIO", _Escaping(_Errors(errors)))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _open_closed_ones() -> None:
    """The number of a closed stream would go to the next file or socket, and uvloop aborts at such a one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _or_nowhere(stream: TextIO | None) -> TextIO:
    """Python has None for a stream that was closed when it started."""
    if stream is None:
        return _nowhere()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")  # a terminal without these letters shows "?", no traceback
    return stream


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


class _Guarded:
    """A stream that decides what follows when it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        """What is still buffered goes nowhere, or Python would meet the same error once more when it ends."""
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except (OSError, ValueError):  # it has no number, or is closed
            self._stream = _nowhere()
        self._report(error)

    def _report(self, error: Exception) -> None:
        """Nothing: a run continues without anybody to watch it."""


class _Errors(_Guarded):
    """Standard error."""


class _Output(_Guarded):
    """Standard output: what is lost there was asked for."""

    def _report(self, error: Exception) -> None:
        if isinstance(error, BrokenPipeError):
            raise error
        cause = getattr(error, "strerror", None) or str(error)
        raise OutputLost(
            f"cannot write to standard output: {cause}", remedy="free space, or send the output elsewhere"
        ) from None


class _Escaping:
    """A stream on which nothing acts on the terminal.

    Attributes:
        rich_proxied_file: where rich writes: `Terminal` has escaped the words already, and adds colours.
    """

    def __init__(self, stream: _Guarded) -> None:
        self.rich_proxied_file = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)
