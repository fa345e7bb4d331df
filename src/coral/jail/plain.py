"""No jail at all: a process of the user's own, with limits of memory, time and output.

For machines that cannot have better, by order of the user alone: a program can do whatever the user can.
"""

from __future__ import annotations

import tempfile

from coral.jail import interpreter, processes
from coral.jail.cells import Cell
from coral.jail.interpreter import Role


class Plain:
    """The driver. See `drivers.py`."""

    name = "plain"
    about = "isolates nothing: runs with --allow_unsafe_code true alone"

    def start(self, role: Role) -> Cell:
        """Start an interpreter that waits for work, in a folder of its own."""
        folder = tempfile.mkdtemp(prefix="coral-jail-")
        return processes.start(
            interpreter.command(),
            code=interpreter.code_of(role, compiled=True),
            environment=interpreter.environment() | {"HOME": folder, "TMPDIR": folder},
            folder=folder,
        )

    def close(self) -> None:
        """Nothing waits."""

    def processes(self, most: int) -> int:  # noqa: ARG002
        """No limit: the kernel would count all processes of the user."""
        return 0

    def remedy(self, why: str) -> str:  # noqa: ARG002
        """It needs nothing but an interpreter that starts."""
        return "the interpreter must start with -S, an empty environment and a folder for temporary files"
