"""Studies by name: their arms, and the contrasts that are planned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Preset = Literal["controls", "equal_cost"]

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
