"""Forests: a figure per row, with its 95% interval. Whiskers are drawn here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import Any, NamedTuple

from coral.metrics import Estimate
from coral.plots.style import COLOURS, INK, MUTED


class Row(NamedTuple):
    """One figure; shares and their differences as such, not in percent."""

    label: str
    value: float | None
    low: float | None
    high: float | None

    @staticmethod
    def of(label: str, found: Estimate | None) -> Row:
        """An estimate; without one, a row that says so."""
        if found is None:
            return Row(label, None, None, None)
        return Row(label, found.mean, found.low, found.high)


def whiskers(
    axes: Any,
    places: Iterable[float],
    rows: Iterable[Row],
    colour: str,
    *,
    label: str = "",
    across: bool = False,
    marker: str = "o",
    size: float = 6,
    scale: float = 100,
) -> None:
    """Points with their intervals, as far as they are known; `across` draws them sideways.

    Args:
        scale: what a value is multiplied with; 100 makes percent of shares.
    """
    known = [
        (place, scale * row.value, scale * (row.value if row.low is None else row.low),
         scale * (row.value if row.high is None else row.high))
        for place, row in zip(places, rows, strict=True)
        if row.value is not None
    ]  # fmt: skip
    at = [place for place, *_ in known]
    values = [value for _, value, _, _ in known]
    spread = [
        [max(0.0, value - low) for _, value, low, _ in known],
        [max(0.0, high - value) for _, value, _, high in known],
    ]
    style = {
        "fmt": marker,
        "color": colour,
        "markersize": size,
        "markeredgewidth": 0,
        "elinewidth": size / 5,
        "capsize": size / 3,
        "capthick": size / 6,
        "label": label or None,
        "clip_on": False,  # a point at 100% is a whole one
    }
    if across:
        axes.errorbar(values, at, xerr=spread, **style)
    else:
        axes.errorbar(at, values, yerr=spread, **style)


def forest(
    axes: Any,
    rows: Sequence[Row],
    *,
    label: str,
    colour: str = COLOURS[0],
    signed: bool = False,
    told: bool = True,
    span: tuple[float, float] | None = None,
) -> None:
    """A row per figure, from top to bottom.

    Args:
        label: of the axis.
        signed: differences, around a line at 0.
        told: the figures stand to the right of the rows, too.
        span: of the axis in percent or points; by default what the intervals need.
    """
    places = range(len(rows))
    whiskers(axes, places, rows, colour, across=True, size=4)
    axes.set_yticks(places, [row.label for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if signed:
        axes.axvline(0, color=MUTED, linewidth=0.6, zorder=0)
    low, high = span or span_of(rows, signed=signed)
    axes.set_xlim(low, high)
    axes.set_xlabel(label)
    if told:
        across = axes.get_yaxis_transform()
        for place, row in zip(places, rows, strict=True):
            axes.text(
                1.03, place, _told(row, signed=signed), transform=across, va="center_baseline", color=INK
            )


def span_of(rows: Iterable[Row], *, signed: bool = False) -> tuple[float, float]:
    """Both ends of an axis, at tens, that hold all intervals and at least 20 percent or points."""
    ends = [100 * end for row in rows for end in row[1:] if end is not None]
    if signed:
        ends.append(0.0)
    low, high = 10 * floor(min(ends, default=0.0) / 10), 10 * ceil(max(ends, default=100.0) / 10)
    while high - low < 20:
        low, high = low - 10, high + 10
    if signed:
        return float(low), float(high)
    low, high = max(0, low), min(100, high)
    return (float(low), float(max(high, low + 20))) if low < 90 else (80.0, 100.0)


def _told(row: Row, *, signed: bool) -> str:
    if row.value is None:
        return "not measured"
    form = "+.1f" if signed else ".1f"
    value = f"{100 * row.value:{form}}"
    if row.low is None or row.high is None:
        return value
    return f"{value} [{100 * row.low:{form}}, {100 * row.high:{form}}]".replace("-", "−")
