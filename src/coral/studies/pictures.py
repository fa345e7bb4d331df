"""Pictures of a study, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isnan
from pathlib import Path
from textwrap import fill
from typing import Any

from coral.comparison.facts import MAJORITY
from coral.plots import COLOURS, INK, MARKERS, MUTED, Row, drawing, forest, save, whiskers
from coral.studies.equal_cost import Point
from coral.studies.flips import Decomposition
from coral.studies.results import StudyResults, is_graded

SIZES = {"matrix": (11.0, 4.2)}
"""Of pictures that are not of the usual size, in inches."""


def save_pictures(results: StudyResults, folder: Path) -> dict[str, bytes]:
    """Draw what there is to draw into `folder`; returns the PNG files by name.

    Raises:
        MissingExtra: matplotlib is not installed.
        OSError: the folder cannot be written.
    """
    wanted: dict[str, Callable[[Any, StudyResults], None]] = {"arms": draw_arms}
    if results.flips:
        wanted["flips"] = draw_flips
    if results.curve:
        wanted["cost"] = draw_cost
    if results.matrix is not None:
        wanted["matrix"] = draw_matrix
    drawn = {}
    with drawing() as figure_class:
        for name, draw in wanted.items():
            figure = figure_class(figsize=SIZES.get(name, (7.2, 4.2)), layout="constrained")
            draw(figure, results)
            for suffix in ("png", "svg"):
                save(figure, folder / f"{name}.{suffix}")
            drawn[f"{name}.png"] = (folder / f"{name}.png").read_bytes()
    return drawn


def draw_arms(figure: Any, results: StudyResults) -> None:
    """What is right of all conversations, by arm, with intervals."""
    axes = figure.subplots()
    graded = is_graded(results)
    said = "right, of all conversations" if graded else "agrees with the majority"
    found = {arm.name: arm.right if graded else arm.metrics.get(MAJORITY, arm.right) for arm in results.arms}
    rows = [Row(name, one.mean, one.low, one.high) for name, one in found.items()]
    forest(axes, rows, label=f"{said} (%), 95% CI", span=(0, 100))
    _head(axes, f"{results.task}: {results.problems:,} problems")


def draw_flips(figure: Any, results: StudyResults) -> None:
    """The parts of the flips toward wrong and toward right, side by side; a line of panels per agent."""
    several = len({found.toward for found in results.flips}) < len(results.flips)
    lines = -(-len(results.flips) // 2)
    figure.set_size_inches(7.2, 4.2 if lines == 1 else 2.8 * lines)
    panels = list(figure.subplots(lines, min(2, len(results.flips)), squeeze=False, sharex=True).flat)
    for axes in panels[len(results.flips) :]:
        axes.set_axis_off()
    beside = None
    for place, (axes, found) in enumerate(zip(panels, results.flips, strict=False)):
        names = [part.name for part in (*found.parts, found.whole)]
        _flips_of(axes, found, names if place % 2 == 0 or names != beside else [""] * len(names))
        whose = f"{found.whole.arms[0]}: " if several else ""
        _head(axes, f"{whose}toward {found.toward} (n = {found.whole.challenged:,})")
        beside = names
    figure.supxlabel("of the challenged answers (%), 95% CI", fontsize=10)


def _flips_of(axes: Any, found: Decomposition, names: Sequence[str]) -> None:
    parts = [*found.parts, found.whole]
    colours = [*COLOURS[: len(found.parts)], INK]
    for place, (part, colour) in enumerate(zip(parts, colours, strict=True)):
        whiskers(axes, [place], [Row(part.name, part.share, part.low, part.high)], colour, across=True)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks(range(len(parts)), names)
    axes.set_ylim(len(parts) - 0.5, -0.5)
    axes.tick_params(axis="x", labelbottom=True)
    axes.locator_params(axis="x", nbins=5)


def draw_cost(figure: Any, results: StudyResults) -> None:
    """Accuracy against all tokens: the curve of one agent's votes, and the other arms as points."""
    axes = figure.subplots()
    names = list(dict.fromkeys(point.arm for point in results.curve))
    for place, name in enumerate(names):
        _curve(axes, [point for point in results.curve if point.arm == name], COLOURS[place % len(COLOURS)])
    for place, point in enumerate(results.points):
        if point.tokens is None or point.accuracy is None:
            continue
        colour = COLOURS[(len(names) + place) % len(COLOURS)]
        row = Row(point.arm, point.accuracy, point.low, point.high)
        whiskers(axes, [point.tokens], [row], colour, label=point.arm, marker=MARKERS[place % len(MARKERS)])
    axes.set_xlabel("all tokens per problem, read and written")
    axes.set_ylabel("right (%), 95% CI")
    axes.legend()
    _head(axes, f"{results.task}: {results.problems:,} problems")


def _curve(axes: Any, points: Sequence[Point], colour: str) -> None:
    """The votes of one agent, with a band for the intervals."""
    curve = [point for point in points if point.tokens is not None and point.accuracy is not None]
    if not curve:
        return
    tokens = [point.tokens for point in curve]
    label = f"{curve[0].arm}: majority vote"
    axes.plot(tokens, [100 * (point.accuracy or 0.0) for point in curve], "-", color=colour, label=label)
    ends = [[100 * (end or 0.0) for end in (point.low, point.high)] for point in curve]
    axes.fill_between(tokens, *zip(*ends, strict=True), color=colour, alpha=0.15, linewidth=0)


def draw_matrix(figure: Any, results: StudyResults) -> None:
    """Three heat maps: agreed and right, who persuades whom, and what a conversation takes."""
    matrix = results.matrix
    assert matrix is not None
    models, cells = matrix.models, {(cell.opener, cell.responder): cell for cell in matrix.cells}
    priced = all(cell.usd is not None for cell in matrix.cells)
    right = {key: cell.right.mean for key, cell in cells.items()}
    persuades = {
        (a, b): found.mean
        for a in models
        for b in models
        if (found := matrix.persuades.get(f"{a}>{b}")) is not None
    }
    cost = {key: cell.usd if priced else cell.tokens for key, cell in cells.items()}
    panels = figure.subplots(1, 3)
    _heat(panels[0], models, right, "agreed and right (%)", ("opener", "responder"), 100, ".0f", (0, 100))
    _heat(panels[1], models, persuades, "persuades the partner (%)", ("who persuades", "partner"), 100, ".0f",
          (0, 100))  # fmt: skip
    unit = "USD per 1,000 conversations" if priced else "tokens per conversation"
    form = ",.2f" if priced else ",.0f"
    _heat(panels[2], models, cost, unit, ("opener", "responder"), 1000 if priced else 1, form, None)


def _heat(
    axes: Any,
    models: Sequence[str],
    values: Mapping[tuple[str, str], float | None],
    title: str,
    labels: tuple[str, str],
    scale: float,
    form: str,
    span: tuple[float, float] | None,
) -> None:
    """A square of figures, dark where they are high; what could not be measured is left blank."""
    table = [[scale * nan_if_none(values.get((a, b))) for b in models] for a in models]
    known = [value for row in table for value in row if not isnan(value)]
    low, high = span or (0.0, max(known, default=1.0))
    axes.imshow(table, cmap="Blues", vmin=low, vmax=high, aspect="equal")
    for row, of_row in enumerate(table):
        for column, value in enumerate(of_row):
            if not isnan(value):
                dark = value - low > 0.6 * (high - low)
                axes.text(column, row, f"{value:{form}}", ha="center", va="center", fontsize=9,
                          color="white" if dark else INK)  # fmt: skip
    names = [fill(model.replace("_", " "), 14) for model in models]
    axes.set_xticks(range(len(models)), names, rotation=30, ha="right", fontsize=8)
    axes.set_yticks(range(len(models)), names, fontsize=8)
    axes.set_ylabel(labels[0])
    axes.set_xlabel(labels[1])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _head(axes, title)


def nan_if_none(value: float | None) -> float:
    return float("nan") if value is None else value


def _head(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", color=INK)
