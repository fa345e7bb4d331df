"""One data file inside a zip archive, encrypted or not."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from coral.errors import DataError, MissingExtra
from coral.tasks import files
from coral.tasks.files import Row

_AES = 99
"""The zip format's number for AES encryption, which the standard library does not open."""


def read(path: Path, member: str, password: str | None) -> Iterator[Row]:
    """Stream the records of the file named `member`, in whichever folder of the archive it lies.

    Raises:
        DataError: no such member; a damaged archive; a missing or wrong password.
        MissingExtra: it is encrypted with AES and pyzipper is not installed.
    """
    with files.reading(str(path)):
        try:
            with zipfile.ZipFile(path) as archive:
                entry = _find(archive, member, path)
                if entry.compress_type != _AES:
                    with _open(archive, entry, password, path) as stream:
                        yield from files.read_stream(stream, f"{path}: {entry.filename}")
                    return
            yield from _read_aes(path, entry.filename, password)
        except zipfile.BadZipFile as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is damaged: {error}", remedy="fetch it again, and check the password")


def _find(archive: zipfile.ZipFile, member: str, path: Path) -> zipfile.ZipInfo:
    for entry in archive.infolist():
        if PurePosixPath(entry.filename).name.lower() == member.lower():
            return entry
    held = ", ".join(entry.filename for entry in archive.infolist()[:10]) or "nothing"
    raise DataError(f"no {member} in {path}", remedy=f"the archive holds: {held}")


def _read_aes(path: Path, member: str, password: str | None) -> Iterator[Row]:
    try:
        import pyzipper
    except ImportError as error:
        raise MissingExtra("pyzipper", extra="gpqa", why=f"opening the encrypted {path}") from error
    try:
        with (
            pyzipper.AESZipFile(path) as archive,
            _open(archive, archive.getinfo(member), password, path) as stream,
        ):
            yield from files.read_stream(stream, f"{path}: {member}")
    except pyzipper.BadZipFile as error:  # not the class of the standard library
        raise _damaged(path, error) from error


def _open(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, password: str | None, path: Path) -> IO[bytes]:
    """Open a member. The password is never part of a message."""
    if entry.flag_bits & 1 and not password:
        raise DataError(
            f"{path} is encrypted",
            remedy="give its password with --data_password; its authors tell it beside the download",
        )
    try:
        return archive.open(entry, pwd=password.encode() if password else None)
    except RuntimeError as error:
        raise DataError(
            f"the password does not open {path}", remedy="copy it anew from where it is told"
        ) from error
    except NotImplementedError as error:
        raise DataError(
            f"{path} cannot be opened: {error}", remedy="unpack it, and give the folder"
        ) from error
