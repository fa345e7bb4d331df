"""Checkpoints to resume from, and models as they lie on the disk."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

STATE = "trainer_state.json"
"""The file that is written last into a checkpoint."""
_END_BYTES, _BLOCK_BYTES, _BLOCKS = 1 << 20, 1 << 14, 64


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written completely; None without one.

    A training killed while it saved leaves one without its last file, or with a torn one.
    """
    found = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        msgspec.json.decode((checkpoint / STATE).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return False
    return True


def model_fingerprint(model: str) -> str:
    """What tells two models apart without reading all of them: a digest, or the name of one on the hub.

    Of each weight file its size, its beginning and end, and blocks spread evenly between them are taken. The
    beginning lists the tensors; training of some layers alone changes neither it nor, at times, the end.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        if path.is_file():
            digest.update(f"{path.name}:{path.stat().st_size}:".encode())
            digest.update(_samples(path))
    return digest.hexdigest()


def _samples(path: Path) -> bytes:
    size = path.stat().st_size
    with path.open("rb") as file:
        parts = [file.read(_END_BYTES)]
        for block in range(1, _BLOCKS):
            file.seek(size * block // _BLOCKS)
            parts.append(file.read(_BLOCK_BYTES))
        file.seek(max(0, size - _END_BYTES))
        return b"".join((*parts, file.read(_END_BYTES)))
