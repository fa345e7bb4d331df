"""How many files this process may have open: each connection is one."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
from pathlib import Path

WANTED = 65_536
"""More are of no use to one process, and some systems refuse to promise more."""

RESERVED = 64 + 4 * (os.cpu_count() or 1)
"""Files that are not connections: those of the run, of graders (one a core), of libraries loaded later."""

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE})


def raise_file_limit() -> int:
    """Raise this process's own limit of open files as far as it may; returns how many connections fit in."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    if soft != resource.RLIM_INFINITY and soft < highest:
        with contextlib.suppress(OSError, ValueError):  # macOS allows less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft == resource.RLIM_INFINITY:
        soft = WANTED
    return max(1, soft - RESERVED - _open_now())


def _open_now() -> int:
    try:
        return sum(1 for _ in Path("/dev/fd").iterdir())
    except OSError:  # a container without /proc
        return 0
