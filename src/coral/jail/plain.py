"""No jail at all: a process of the user's own, with limits of memory, time and output.

For machines that cannot have better, by order of the user alone: a program can do whatever the user can.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from coral.jail import interpreter, processes
from coral.jail.cells import Cell, take_away
from coral.jail.interpreter import Role

_PREFIX = "coral-jail-"
_END_WITH_US = """\
try:
    import ctypes, os
    ctypes.CDLL(None).prctl(1, 9)
    os.getppid() == {parent} or os._exit(1)
except (ImportError, AttributeError):
    pass
"""
"""Have the kernel end an interpreter with the process that started it; macOS cannot."""


class Plain:
    """The driver. See `drivers.py`."""

    name = "plain"
    about = "isolates nothing: runs with --allow_unsafe_code true alone"

    def __init__(self) -> None:
        self._has_swept = False

    def start(self, role: Role) -> Cell:
        """Start an interpreter that waits for work."""
        return processes.start(
            [*interpreter.command()[:-1], _END_WITH_US.format(parent=os.getpid()) + interpreter.BOOT],
            code=interpreter.code_of(role, compiled=True),
            environment=interpreter.environment(),
        )

    def folder(self) -> str:
        """A new folder for a program, which is taken away after its check."""
        if not self._has_swept:
            _sweep()
            self._has_swept = True
        return tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")

    def close(self) -> None:
        """Nothing waits."""

    def processes(self, most: int) -> int:  # noqa: ARG002
        """No limit: the kernel would count all processes of the user."""
        return 0

    def remedy(self, why: str) -> str:  # noqa: ARG002
        """It needs nothing but an interpreter that starts."""
        return "the interpreter must start with -S, an empty environment and a folder for temporary files"


def _sweep() -> None:
    """Take away folders of processes that were killed before they could."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if owner.isdecimal() and not _lives(int(owner)) and folder.stat().st_uid == os.getuid():
                take_away(folder)


def _lives(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
