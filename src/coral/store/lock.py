"""Keeping other processes out of a folder, for as long as a descriptor is open."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path

from coral.errors import RunFolderError


def take_lock(descriptor: int, folder: Path) -> bool:
    """Lock an open file; whether nobody else had it locked. The lock ends with the descriptor or the process.

    Args:
        folder: what the lock stands for, in messages.

    Raises:
        RunFolderError: the file system has no locks.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise RunFolderError(
            f"the file system of {folder} has no locks: {error.strerror}",
            remedy="use --output on another file system; or, if nobody else works there, "
            "coral eval, sample and study with --lock none",
        ) from None
    return True


def sign(descriptor: int) -> None:
    """Write into a locked file who holds it: the process and its machine, since the folder may be shared."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)


def holder(descriptor: int) -> str:
    """Who holds a locked file, in words."""
    pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
    here = socket.gethostname()
    if (pid, host or here) == (str(os.getpid()), here):
        return "this process"
    return f"another process (id {pid or 'unknown'}{f' on {host}' if host and host != here else ''})"
