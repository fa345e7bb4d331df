"""What a study plans to compare, in words: `pair - alone`, or by a metric `turns: pair - alone`."""

from __future__ import annotations

from typing import NamedTuple

from coral.comparison.facts import RIGHT
from coral.errors import ConfigError


class Planned(NamedTuple):
    """A contrast: `left` minus `right`, by a metric."""

    text: str
    metric: str
    left: str
    right: str


def parse_contrast(text: str) -> Planned:
    """Read `[METRIC:] ARM - ARM`.

    Raises:
        ConfigError: it has another form.
    """
    metric, colon, arms = text.rpartition(":")
    sides = [side.strip() for side in arms.split(" - ")]
    if len(sides) != 2 or not all(sides) or (colon and not metric.strip()):
        raise ConfigError(
            f"'{text}' is not a contrast", remedy='write "pair - alone", or "METRIC: pair - alone"'
        )
    if sides[0] == sides[1]:
        raise ConfigError(f"'{text}' contrasts an arm with itself", remedy="name two arms")
    return Planned(text.strip(), metric.strip() or RIGHT, *sides)
