"""Run a command that ends when its owner does: `python supervisor.py COMMAND ...`, its input a pipe.

However the owner ends, also by `kill -9`, its end of the pipe closes, and everything the command started is
killed. SIGTERM is passed on. Knows nothing of Coral, so that it starts at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main(command: list[str]) -> int:
    """Run `command` to its end; returns its exit code, or 128 + the signal that ended it."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603

    def send(number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    def hold() -> None:
        while os.read(0, 4096):  # no buffered read: its lock would outlive the interpreter
            pass
        send(signal.SIGKILL)

    signal.signal(signal.SIGTERM, lambda number, _frame: send(number))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=hold, daemon=True).start()
    code = process.wait()
    send(signal.SIGKILL)  # what a server left behind, such as its workers
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
