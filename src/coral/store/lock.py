"""Keeping other processes out of a folder, for as long as a descriptor is open."""

from __future__ import annotations

import fcntl
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
            "coral eval and coral sample with --lock none",
        ) from None
    return True
