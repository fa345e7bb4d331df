"""Run a command that ends when its owner does: `python -I supervisor.py [--owner FD] COMMAND ...`.

The owner holds the other end of a pipe: this process's input, or the descriptor FD where the input is the
command's. However the owner ends, also by `kill -9`, its end of the pipe closes, and everything the command
started is killed. SIGTERM is passed on. Knows nothing of Coral, so that it starts at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

START = (sys.executable, "-IS", __file__)
"""What starts it. Isolated: beside it lies a `types.py` that is not Python's own."""
CANNOT_START = 127
"""The exit code where there was no command to run, as of a shell."""


def main(words: list[str]) -> int:
    """Run the command to its end; returns its exit code, or 128 + the signal that ended it."""
    owner, command = (int(words[1]), words[2:]) if words[0] == "--owner" else (0, words)
    try:
        process = subprocess.Popen(  # noqa: S603
            command, stdin=None if owner else subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        sys.stderr.write(f"{command[0]} cannot be started: {error.strerror}\n")
        return CANNOT_START
    if owner:  # both ends are the command's alone, so that its end is seen
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):
            os.dup2(nowhere, number)

    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def hold() -> None:
        while os.read(owner, 4096):  # no buffered read: its lock would outlive the interpreter
            pass
        send(signal.SIGKILL)

    signal.signal(signal.SIGTERM, lambda number, _frame: send(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=hold, daemon=True).start()
    code = process.wait()
    send(signal.SIGKILL)  # what a command left behind, such as its workers
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
