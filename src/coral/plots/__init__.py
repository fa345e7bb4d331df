"""Pictures: the style of all of them, forests, and those of evaluations. See docs/plots.md."""

from coral.plots.beliefs import BeliefFlow
from coral.plots.forest import Row, forest, whiskers
from coral.plots.runs import KINDS, Kind, RunFigures, draw, draw_rows, finished
from coral.plots.style import (
    COLOURS,
    FONT_SIZES,
    INK,
    MARKERS,
    MUTED,
    Columns,
    check_suffix,
    drawing,
    save,
    save_new,
    short_names,
)

__all__ = [
    "COLOURS",
    "FONT_SIZES",
    "INK",
    "KINDS",
    "MARKERS",
    "MUTED",
    "BeliefFlow",
    "Columns",
    "Kind",
    "Row",
    "RunFigures",
    "check_suffix",
    "draw",
    "draw_rows",
    "drawing",
    "finished",
    "forest",
    "save",
    "save_new",
    "short_names",
    "whiskers",
]
