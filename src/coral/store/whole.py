"""Files that are whole or not there: the one place where a file gets its final name."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path, *, replace: bool = True) -> Iterator[BinaryIO]:
    """Open a file beside `path` that takes its name when the block ends.

    Whatever goes wrong before, such as a full disk or a kill, leaves under that name what stood there.

    Args:
        path: the final name.
        replace: what stands there is replaced; otherwise it must not exist.

    Raises:
        FileExistsError: there is one, and it is not to be replaced.
        OSError: the folder cannot be written, or the disk is full.
    """
    if not replace and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    partial = path.with_name(f".{secrets.token_hex(8)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        _name(partial, path, replace=replace)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file completely or not at all, in place of the one there; text as UTF-8.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    with whole_file(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def _name(partial: Path, path: Path, *, replace: bool) -> None:
    if replace:
        partial.replace(path)
        return
    try:
        os.link(partial, path)  # unlike a renaming, it replaces nothing that came there meanwhile
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        partial.rename(path)
