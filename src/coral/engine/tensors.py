"""Tensors of a safetensors folder as float32 arrays, decoded one at a time.

A safetensors file is a little-endian u64 header size, a JSON header (name -> dtype, shape, byte range
behind the header) and the bytes. numpy has no bfloat16: its 16 bits are the upper half of a float32.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from coral.engine.files import read_file
from coral.errors import ConfigError

Array = npt.NDArray[Any]
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
_MAX_HEADER_BYTES = 100_000_000
"""The format allows no longer header."""

_STORED_AS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


class Tensors(Mapping[str, Array]):
    """The tensors of one folder by name. An item is decoded each time it is asked for."""

    def __init__(self, folder: Path) -> None:
        """Read the headers.

        Raises:
            ConfigError: no safetensors file is there, or one is damaged.
        """
        self._entries: dict[str, tuple[Path, _Entry, int]] = {}
        for path in _files(folder):
            entries, begin = _read_header(path)
            self._entries |= {name: (path, entry, begin) for name, entry in entries.items()}

    def __getitem__(self, name: str) -> Array:
        path, entry, data_begin = self._entries[name]
        begin, end = entry.data_offsets
        stored_as = _STORED_AS.get(entry.dtype)
        if stored_as is None:
            raise ConfigError(
                f"{path}: '{name}' is stored as {entry.dtype}; only F32, F16 and BF16 are read",
                remedy="save the model unquantized, or serve it with vLLM",
            )
        width = np.dtype(stored_as).itemsize
        if end - begin != width * math.prod(entry.shape):
            raise _damaged(path, f"the bytes of '{name}' do not match its shape")
        if len(entry.shape) > 2:
            raise _damaged(path, f"'{name}' has {len(entry.shape)} dimensions")
        count = math.prod(entry.shape)
        stored = np.fromfile(path, stored_as, count, offset=data_begin + begin)
        if len(stored) < count:
            raise _damaged(path, "it has become shorter")
        return _widen(stored.reshape(entry.shape), is_bfloat=entry.dtype == "BF16")

    def shape_of(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, which needs no decoding."""
        return self._entries[name][1].shape

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def _widen(stored: Array, *, is_bfloat: bool) -> Array:
    if is_bfloat:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def _files(folder: Path) -> list[Path]:
    if (folder / SINGLE_FILE).is_file():
        return [folder / SINGLE_FILE]
    index = folder / INDEX_FILE
    if not index.is_file():
        raise ConfigError(
            f"{folder} holds neither {SINGLE_FILE} nor {INDEX_FILE}",
            remedy="save the model with `save_pretrained` in the safetensors format",
        )
    raw = read_file(index, limit=_MAX_HEADER_BYTES) or b""
    try:
        names = sorted(set(msgspec.json.decode(raw, type=_Index).weight_map.values()))
    except (msgspec.DecodeError, RecursionError) as error:
        raise _damaged(index, str(error)) from error
    for name in names:
        if Path(name).name != name or "\0" in name:
            raise _damaged(index, f"it names {name!r}, which is not a file of this folder")
        if not (folder / name).is_file():
            raise _damaged(index, f"it names {name}, which is missing")
    return [folder / name for name in names]


def _read_header(path: Path) -> tuple[dict[str, _Entry], int]:
    """What the file holds, and where its bytes begin."""
    try:
        num_bytes = path.stat().st_size
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if num_bytes < 8 or size > num_bytes - 8:
                raise _damaged(path, "it is shorter than its own header")
            if size > _MAX_HEADER_BYTES:
                raise _damaged(path, f"its header has {size:,} bytes")
            raw = file.read(size)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror or error}", remedy="save or download the model again"
        ) from error
    try:
        header = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        header.pop("__metadata__", None)
        entries = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in header.items()}
    except (msgspec.DecodeError, RecursionError) as error:
        raise _damaged(path, f"its header cannot be read: {error}") from error
    _check_layout(path, entries, num_bytes - 8 - size)
    return entries, 8 + size


def _check_layout(path: Path, entries: Mapping[str, _Entry], num_bytes: int) -> None:
    """The format's own rule: the tensors fill the file one behind the other."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        begin, end = entry.data_offsets
        if begin != at or not begin <= end <= num_bytes or min(entry.shape, default=0) < 0:
            raise _damaged(path, f"the bytes of '{name}' do not match its shape, or its place in the file")
        at = end
    if at != num_bytes:
        raise _damaged(path, f"{num_bytes - at:,} bytes belong to no tensor")


def _damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is damaged: {why}", remedy="save or download the model again")
