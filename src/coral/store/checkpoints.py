"""What tells two models apart: the one fingerprint of a checkpoint, wherever it is run or trained."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = frozenset({".json", ".jinja", ".safetensors", ".bin"})
_CHUNK_BYTES, _BLOCK_BYTES, _BLOCKS = 1 << 20, 1 << 14, 64
_WHOLE_BYTES = 2 * _CHUNK_BYTES + _BLOCKS * _BLOCK_BYTES
"""Files up to this size are read whole."""


def fingerprint(folder: Path) -> str:
    """Identifies the contents of a checkpoint: a folder may be trained further under the same name.

    Of a large file its size, its beginning and end, and blocks spread evenly between them are taken. The
    beginning lists the tensors; training of some layers alone changes neither it nor, at times, the end.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES:
            digest.update(path.name.encode())
            for part in _parts(path):
                digest.update(part)
    return digest.hexdigest()[:16]


def model_fingerprint(model: str) -> str:
    """The fingerprint of a checkpoint folder; a name on the hub stands for itself."""
    folder = Path(model).expanduser()
    return fingerprint(folder) if folder.is_dir() else model


def _parts(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _WHOLE_BYTES:
            while part := file.read(_CHUNK_BYTES):
                yield part
            return
        yield str(size).encode()
        yield file.read(_CHUNK_BYTES)
        for block in range(1, _BLOCKS):
            file.seek(size * block // _BLOCKS)
            yield file.read(_BLOCK_BYTES)
        file.seek(size - _CHUNK_BYTES)
        yield file.read(_CHUNK_BYTES)
