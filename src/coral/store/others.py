"""Folders that hold something else than what is asked for: what they are, and what to do instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
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
_ABSENT = object()
_DIGEST = re.compile(r"(sha256:)?[0-9a-f]{16,}")
_FINGERPRINTS = {"forked": "from another turn, or with other words in its place"}
"""What differs where a fingerprint does; of others their names say it."""


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
    if first:
        remedy = f"name one of its runs, such as {first}"
    elif kind in {"a study", "a loop"}:
        remedy = "none of its runs has begun: try again once one has"
    else:
        remedy = "name the folder of a run"
    return RunFolderError(f"{path} is {kind or 'something else'}, not a run of conversations", remedy=remedy)


def same_kind(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a folder of another kind, such as that of a study for a run: no option would make them one.

    Args:
        there: its `run.json`.
        wanted: what is to be written there.

    Raises:
        RunFolderError: it is of another kind.
    """
    held, asked = _named(path, there), _named(path, wanted)
    if held and asked and held != asked:
        raise RunFolderError(
            f"{path} holds {held}, and {asked} is asked for", remedy=f"give another --output for {asked}"
        )


def _named(path: Path, record: Mapping[str, Any]) -> str:
    return "a run of conversations" if is_of_a_run(record) else kind_of(path, record)


def with_other_options(path: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> RunFolderError:
    """Says what decided the folder, what is asked for now, and what to do."""
    kind = "a run" if is_of_a_run(there) else kind_of(path, there) or "a run"
    new = f"another --output for a new {kind.split()[-1]}"
    if kind == "a run" and ("candidates" in there) != ("candidates" in wanted):
        made, now = ("sample", "eval") if "candidates" in there else ("eval", "sample")
        return RunFolderError(
            f"{path} holds a run of `coral {made}`, and this is `coral {now}`",
            remedy=f"`coral {made}` resumes it; give {new}",
        )
    shown = "\n".join(changes(there, wanted))
    return RunFolderError(
        f"{path} belongs to {kind} with other options:\n{shown}",
        remedy=f"give the same options to resume it, or {new}",
    )


def changes(there: object, wanted: object, name: str = "") -> Iterator[str]:
    """A line for each option that differs, by its full name: what the folder has, and what is asked for.

    Sections that one side does not have, such as arms of a study, are told in one line by their names.
    """
    if not (isinstance(there, dict) and isinstance(wanted, dict)):
        if there != wanted:
            yield f"  {name}: {_told(name, there, wanted)}"
        return
    lone: dict[str, list[str]] = {"only there": [], "only now": []}
    for key in {**there, **wanted}:
        inner = f"{name}.{key}" if name else str(key)
        before, now = there.get(key, _ABSENT), wanted.get(key, _ABSENT)
        if before is _ABSENT and isinstance(now, dict):
            lone["only now"].append(inner)
        elif now is _ABSENT and isinstance(before, dict):
            lone["only there"].append(inner)
        else:
            yield from changes(before, now, inner)
    for side, names in lone.items():
        if names:
            yield f"  {side}: {', '.join(names)}"


def _told(name: str, there: object, wanted: object) -> str:
    if all(isinstance(value, str) and _DIGEST.fullmatch(value) for value in (there, wanted)):
        return _FINGERPRINTS.get(name, "not the same")  # nobody can read one
    return f"{_said(there)} there, {_said(wanted)} now"


def _said(value: object) -> str:
    return "not set" if value is _ABSENT else msgspec.json.encode(value).decode()


def _root_of_loop(path: Path) -> Path:
    return path.parent if path.name == LOOP else path
