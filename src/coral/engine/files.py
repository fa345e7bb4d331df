"""Small files of a folder that may come from anywhere."""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path
from typing import TypeVar

import msgspec

from coral.errors import ConfigError

USE_VLLM = "serve it with vLLM (`vllm serve FOLDER`) and name its address with `--agent.base_url`"
SETTINGS_LIMIT = 16 << 20
"""Bytes. Settings and templates of published models have less than a tenth of it."""

T = TypeVar("T")


def read_file(path: Path, *, limit: int) -> bytes | None:
    """The bytes of a regular file; None where there is none of this name.

    Never waits (as opening a pipe would) and never reads more than `limit` bytes.

    Raises:
        ConfigError: it is a folder, a pipe, a link to nothing, or larger than `limit`, or may not be read.
    """
    if not os.path.lexists(path):
        return None
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _unusable(path, "it is not a regular file")
        if status.st_size > limit:
            raise _unusable(path, f"it has {status.st_size:,} bytes, and at most {limit:,} are read")
        return path.read_bytes()
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error


def load_optional(path: Path, kind: type[T]) -> T:
    """The content of a JSON file, or what `kind` is without one.

    Raises:
        ConfigError: it is damaged.
    """
    raw = read_file(path, limit=SETTINGS_LIMIT)
    return kind() if raw is None else _decode(path, raw, kind)


def load_json(path: Path, kind: type[T]) -> T:
    """The content of a JSON file.

    Raises:
        ConfigError: it is missing or damaged.
    """
    raw = read_file(path, limit=SETTINGS_LIMIT)
    if raw is None:
        raise ConfigError(f"{path.parent} holds no {path.name}", remedy="name a whole model folder")
    return _decode(path, raw, kind)


def _decode(path: Path, raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw.removeprefix(codecs.BOM_UTF8), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path}: {error}", remedy=f"check the file; for another architecture, {USE_VLLM}"
        ) from error


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(f"cannot use {path}: {why}", remedy="save or download the model again")
