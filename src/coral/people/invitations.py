"""The commands by which people take part in a run that a page shows."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from coral.errors import UserError
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.models.config import HUMAN
from coral.options import load_yaml_file
from coral.store.folder import RunFolder

AS_THE_RUN = (
    "data", "split", "limit", "problems", "allow_unsafe_code", "max_turns", "seed", "data_seed", "split_seed",
)  # fmt: skip
"""Options of a run that decide which problems a person talks about, and how."""


def seat(folder: RunFolder) -> dict[str, str] | None:
    """How to sit in a seat: what that is, and its command; None where there is nobody to talk with."""
    path = str(folder.path)
    try:
        config = load_yaml_file(folder.path / "config.yaml")
    except UserError:
        return None
    seats = [config.get("agent") or {}, config.get("partner") or {}, *(config.get("agents") or ())]
    if any(one.get("model") == HUMAN for one in seats):
        command = f"coral chat --config {shlex.quote(f'{path}/config.yaml')}"
        return {"what": "Go on with this chat where it stopped; its links stay.", "command": command}
    if seats[0].get("control"):
        return None
    words = [*_chat(config), "--output", f"{path}-with-people", "--web"]
    return {
        "what": "Talk with this run's agent about its problems.",
        "command": shlex.join(["coral", "chat", *words]),
    }


def _chat(config: Mapping[str, Any]) -> Iterator[str]:
    """Task, problems and agent of a run as options of `coral chat`, where they are not the defaults."""
    task = dict(config.get("task") or {})
    yield str(task.pop("name", ""))
    for name, value in task.items():
        yield from _option(f"task.{name}", value)
    yield from _changed(config, EvalConfig, AS_THE_RUN, "")
    yield from _changed(config.get("agent") or {}, AgentConfig, None, "agent.")


def _changed(
    values: Mapping[str, Any], kind: type[Any], names: Sequence[str] | None, prefix: str
) -> Iterator[str]:
    """Options that are not what they are by default."""
    for one in fields(kind):
        if one.name in values and (names is None or one.name in names):
            usual = None if one.default is MISSING else _plain(one.default)
            if values[one.name] != usual and values[one.name] not in ([], {}):
                yield from _option(f"{prefix}{one.name}", values[one.name])


def _option(name: str, value: Any) -> Iterator[str]:
    if value is not None:
        yield f"--{name}"
        yield value if isinstance(value, str) else json.dumps(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
