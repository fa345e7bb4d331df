"""OUTPUT.parts, the folder beside OUTPUT in which it is made, always with the same options."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import RunFolderError
from coral.store.lock import take_lock
from coral.store.others import changes
from coral.store.whole import whole_file

OPTIONS = "options.json"


def folder_of(output: Path) -> Path:
    """Where OUTPUT is made."""
    return output.with_name(f"{output.name}.parts")


def begin(output: Path) -> Path:
    """The folder, which is made if need be.

    Raises:
        RunFolderError: OUTPUT is somebody else's.
    """
    folder = folder_of(output)
    if output.exists() and not folder.exists():
        raise RunFolderError(
            f"{output} exists, and is not the work of this command",
            remedy="move it away, or name another --output",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Whether a folder could be locked, which it then is while the body runs."""
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        yield take_lock(descriptor, folder)
    finally:
        os.close(descriptor)


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Keep other processes out of a folder while the body runs.

    Raises:
        RunFolderError: another one works there.
    """
    with locked(folder) as is_ours:
        if not is_ours:
            raise RunFolderError(
                f"another process works in {folder}", remedy="wait for it, or name another --output"
            )
        yield


def options_before(folder: Path, decisive: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options with which a folder was begun; None where these are the first, which are then kept.

    Raises:
        RunFolderError: they cannot be read.
    """
    path = folder / OPTIONS
    with suppress(FileExistsError), whole_file(path, replace=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(decisive), indent=1))
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"{path} is damaged: {error}", remedy="restore it, or delete the folder and begin anew"
        ) from None


def check_options(output: Path, before: Mapping[str, Any], decisive: Mapping[str, Any]) -> None:
    """Refuse to go on with other options.

    Raises:
        RunFolderError: an option differs; the message shows both values.
    """
    now = msgspec.json.decode(msgspec.json.encode(decisive))
    if different := "\n".join(changes(dict(before), now)):
        raise RunFolderError(
            f"{output} was begun with other options:\n{different}",
            remedy=f"give the same ones, name another --output, or delete {folder_of(output)}",
        )
