"""Checkpoints that a training resumes from."""

from __future__ import annotations

from pathlib import Path

import msgspec

STATE = "trainer_state.json"
"""The file that is written last into a checkpoint."""


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
