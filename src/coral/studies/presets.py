"""Studies by name: their arms, and the contrasts that are planned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from coral.errors import ConfigError

Preset = Literal["controls", "equal_cost", "pairs", "matrix"]
SQUARE = ("pairs", "matrix")
"""Presets whose arms follow from the models; more models may join later."""
BETWEEN = "__"
"""Stands between the two models in the name of a pair's arm."""

SHOWN = {"": "everything", "_stance": "stance", "_vacuous": "vacuous", "_nothing": "nothing"}
"""What is shown of a control's turn, by the end of the arm's name."""
SAMPLES_ALONE = 8


@dataclass(frozen=True)
class Study:
    """Arms by name, and contrasts."""

    arms: dict[str, dict[str, Any]]
    contrasts: tuple[str, ...]


def _control(kind: str, shown: str) -> dict[str, Any]:
    """The agent answers first, by itself; then it meets the control's answer, and speaks once more."""
    return {
        "protocol": "pair",
        "opener": "partner",
        "max_turns": 3,
        "agent": {"sees": shown},
        "partner": {"control": kind, "sees": "everything"},
    }


PRESETS: dict[str, Study] = {
    "controls": Study(
        arms={
            f"{kind}{end}": _control(kind, shown)
            for kind in ("right", "wrong")
            for end, shown in SHOWN.items()
        },
        contrasts=(),
    ),
    "equal_cost": Study(
        arms={
            "single": {"protocol": "single", "samples": SAMPLES_ALONE},
            "self_refine": {"protocol": "self_refine", "max_turns": 4},
            "pair": {"protocol": "pair"},
        },
        contrasts=("pair - single", "self_refine - single", "pair - self_refine"),
    ),
}


def label(model: Mapping[str, Any]) -> str:
    """What a model is called in names of arms: its `name`, or the last part of the model's."""
    text = str(model.get("name") or str(model.get("model", "")).rstrip("/").rpartition("/")[2])
    return re.sub(r"[^A-Za-z0-9.]+", "_", text).strip("_.")


def labelled(models: tuple[str | dict[str, Any], ...]) -> dict[str, dict[str, Any]]:
    """Options of an agent for each model, by label.

    Raises:
        ConfigError: one has no name, or two have the same.
    """
    found: dict[str, dict[str, Any]] = {}
    for one in models:
        _add(found, {"model": one.strip()} if isinstance(one, str) else one)
    return found


def _add(found: dict[str, dict[str, Any]], options: Mapping[str, Any]) -> None:
    name = label(options)
    if not name or name in found:
        raise ConfigError(
            f"two of the models are called '{name}'" if name else "one of the models has no name",
            remedy="name them: models: [{name: small, model: ...}, {name: large, model: ...}]",
        )
    found[name] = {key: value for key, value in options.items() if key != "name"}


def square(preset: str, models: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Any]) -> Study:
    """All ordered pairs of the models, the agent's first; `matrix`: each of them alone, too.

    Args:
        shared: options of the study's agent, which a model has where it sets none.
    """
    arms: dict[str, dict[str, Any]] = {}
    if preset == "matrix":
        arms = {name: {"protocol": "single", "agent": dict(options)} for name, options in models.items()}
    for a, first in models.items():
        for b, second in models.items():
            as_shared = {key: shared[key] for key in first if key not in second}
            partner = {} if a == b else {**as_shared, **second}
            arms[f"{a}{BETWEEN}{b}"] = {"protocol": "pair", "agent": dict(first), "partner": partner}
    return Study(arms=arms, contrasts=())
