"""Folders that hold something else than one run of conversations: what they are, and what to name instead."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import RunFolderError

OF_A_RUN = {"task", "protocol"}
"""What `run.json` of every run of conversations states."""
OF_A_LOOP = {"common", "evaluate"}
"""What that of every loop states."""
LOOP = "loop"
"""Folder in that of a loop that holds its `run.json`."""


def is_of_a_run(record: Mapping[str, Any]) -> bool:
    """Whether a `run.json` is of a run of conversations."""
    return record.keys() >= OF_A_RUN


def kind_of(path: Path, record: Mapping[str, Any]) -> str:
    """What a folder is whose `run.json` is of no run of conversations; empty where nobody tells.

    Args:
        record: its `run.json`; empty without one.
    """
    if "study" in record:
        return "a study"
    if "audit" in record:
        return "an audit"
    if "training" in record:
        return "a training"
    return "a loop" if is_loop(_root_of_loop(path)) else ""


def is_loop(path: Path) -> bool:
    """Whether `coral improve` works, or has worked, in a folder. A run that is called `loop` makes none of
    the folder that it lies in.
    """
    return record_in(path / LOOP).keys() >= OF_A_LOOP


def record_in(path: Path) -> dict[str, Any]:
    """`run.json` of a folder, whatever it is of; empty without one, or where it is damaged."""
    try:
        return msgspec.json.decode((path / "run.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def not_a_run(path: Path, record: Mapping[str, Any]) -> RunFolderError:
    """Says what the folder is, and what to name instead."""
    kind, inside = kind_of(path, record), list[Path]()
    if kind == "a study":
        inside = [one.parent for one in path.glob("arms/*/run.json")]
    elif kind == "a loop":
        inside = [one.parent for one in _root_of_loop(path).glob("models/*/*/run.json")]
    first = min((one for one in inside if one.name != "train"), default=None)
    return RunFolderError(
        f"{path} is {kind or 'something else'}, not a run of conversations",
        remedy=f"name one of its runs, such as {first}" if first else "name the folder of a run",
    )


def _root_of_loop(path: Path) -> Path:
    return path.parent if path.name == LOOP else path
