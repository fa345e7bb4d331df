"""No jail at all: a process of the user's own, with limits of memory, time and output.

For machines that cannot have better, by order of the user alone: a program can do whatever the user can.
"""

from __future__ import annotations

import shutil
import tempfile
from functools import partial

from coral.jail import interpreter
from coral.jail.cells import Cell
from coral.jail.interpreter import Role


class Plain:
    """The driver. See `drivers.py`."""

    name = "plain"

    def start(self, role: Role) -> Cell:
        """Start an interpreter that waits for work, in a folder of its own."""
        folder = tempfile.mkdtemp(prefix="coral-jail-")
        return Cell(
            interpreter.command(),
            code=interpreter.code_of(role, compiled=True),
            environment=interpreter.environment() | {"HOME": folder, "TMPDIR": folder},
            folder=folder,
            ended=partial(shutil.rmtree, folder, ignore_errors=True),
        )

    def processes(self, most: int) -> int:  # noqa: ARG002
        """No limit: the kernel would count all processes of the user."""
        return 0
