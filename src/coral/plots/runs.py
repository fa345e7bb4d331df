"""Pictures of evaluations: a figure of matplotlib per kind, of one run or of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import ceil
from textwrap import fill
from typing import Any, Literal

from coral.errors import ConfigError
from coral.metrics import Estimate, Summary, metric
from coral.plots.beliefs import STATES, BeliefFlow, draw_flow
from coral.plots.forest import Row, forest, span_of, whiskers
from coral.plots.style import COLOURS, FONT_SIZES, MARKERS, WIDTHS, Columns, drawing, short_names

Kind = Literal["headline", "beliefs", "agreement", "cost", "groups"]

HEADLINES = (
    "agreement_correctness",
    "accuracy",
    "agreement",
    "agreed_accuracy",
    "false_agreement",
    "first_accuracy",
    "final_accuracy",
    "any_turn_right",
    "majority_vote",
    "valid_answer_rate",
)
"""Shares that stand in the forest of one run, where the run has them."""
RIGHT = ("accuracy_strict", "agreement_correctness_strict")
"""What is right of all conversations, of one agent and of several: the headline that all runs have."""
OF_ALL = "right, of all conversations (%), 95% CI"


@dataclass(frozen=True)
class RunFigures:
    """What is drawn of a run.

    Attributes:
        name: of its folder, or what it is to be called.
        flow: None where nobody asked for the beliefs.
    """

    name: str
    summary: Summary
    flow: BeliefFlow | None = None

    @property
    def right(self) -> Estimate | None:
        """What is right of all conversations."""
        return right_of(self.summary.metrics)

    def mean(self, name: str) -> float | None:
        """A metric without its interval; None where it is not known."""
        found = self.summary.metrics.get(name)
        return None if found is None else found.mean


def right_of(metrics: Mapping[str, Estimate]) -> Estimate | None:
    """What is right of all conversations, by the name that it has in this protocol."""
    return next((metrics[name] for name in RIGHT if name in metrics), None)


def draw(kind: Kind, runs: Sequence[RunFigures], columns: Columns = 2) -> Any:
    """Draw runs; returns a Figure.

    Raises:
        ConfigError: there is nothing of this kind in the runs.
        MissingExtra: matplotlib is not installed.
    """
    with drawing(FONT_SIZES[columns]) as figure_class:
        return finished(_DRAWN[kind](figure_class, runs, columns))


def finished(figure: Any) -> Any:
    """The figure with everything in it that is otherwise made when it is written, in our sizes."""
    figure.draw_without_rendering()
    return figure


def figure_of(figure_class: Any, columns: Columns, height: float) -> Any:
    """An empty figure as wide as so many columns."""
    return figure_class(figsize=(WIDTHS[columns], height), layout="constrained")


def draw_rows(
    figure_class: Any, rows: Sequence[Row], columns: Columns, *, label: str, signed: bool = False
) -> Any:
    """A figure that is one forest.

    Raises:
        ConfigError: no row has a value.
    """
    if all(row.value is None for row in rows):
        raise ConfigError(
            "nothing that would be drawn is known of these runs",
            remedy="draw another --kind; conversations that failed are run again with --retry_failed true",
        )
    figure = figure_of(figure_class, columns, 0.5 + 0.19 * max(2, len(rows)))
    forest(figure.subplots(), rows, label="", signed=signed, told=columns == 2)
    wrapped = fill(label, 54 * columns, break_on_hyphens=False)
    figure.supxlabel(wrapped, fontsize=FONT_SIZES[columns])
    return figure


def _draw_headline(figure_class: Any, runs: Sequence[RunFigures], columns: Columns) -> Any:
    """Of one run its outcomes; of several what is right of all conversations, a row each."""
    if len(runs) == 1:
        metrics = runs[0].summary.metrics
        rows = [Row.of(metric(name).title, metrics[name]) for name in HEADLINES if name in metrics]
        return draw_rows(figure_class, rows, columns, label="%, 95% CI")
    names = _names(runs, columns)
    rows = [Row.of(name, run.right) for name, run in zip(names, runs, strict=True)]
    return draw_rows(figure_class, rows, columns, label=OF_ALL)


def _draw_beliefs(figure_class: Any, runs: Sequence[RunFigures], columns: Columns) -> Any:
    """What each turn submits, by seat; a run's seats stand side by side."""
    flows = [run.flow for run in runs if run.flow is not None]
    if not any(flow.turns(seat) for flow in flows for seat in flow.seats):
        raise ConfigError("no turn is finished in these runs", remedy="draw them when conversations are")
    seats = max(len(flow.seats) for flow in flows)
    per_row = seats * min(len(flows), max(1, 2 * columns // seats))
    figure, cells = _grid(figure_class, seats * len(flows), per_row, columns, height=1.25)
    for place, (flow, name) in enumerate(zip(flows, _names(runs, columns, 22), strict=True)):
        for axes, seat in zip_longest(cells[seats * place : seats * (place + 1)], flow.seats):
            if seat is None:
                axes.set_axis_off()
                continue
            draw_flow(axes, flow, seat)
            title = f"{name if seat == flow.seats[0] else ''}\n{seat}" if len(flows) > 1 else seat
            axes.set_title(title, loc="left")
    figure.supxlabel("turn", fontsize=FONT_SIZES[columns])
    figure.supylabel("conversations (%)", fontsize=FONT_SIZES[columns])
    _legend(figure, list(STATES.items()))
    return figure


def _draw_agreement(figure_class: Any, runs: Sequence[RunFigures], columns: Columns) -> Any:
    """How many conversations have agreed by a turn, and how many of all have agreed on the right answer."""
    talked = [run for run in runs if run.summary.by_turn]
    if not talked:
        raise ConfigError(
            "nobody agreed in these runs, or one agent answers alone", remedy="draw another --kind"
        )
    figure, cells = _grid(figure_class, len(talked), min(2 * columns, len(talked)), columns, height=1.5)
    last = max(int(turn) for run in talked for turn in run.summary.by_turn)
    kinds = (("agreement", COLOURS[0], "agreed"), ("agreement_correctness", "#009E73", "agreed, and right"))
    for axes, run, name in zip(cells, talked, _names(talked, columns, 12 * columns), strict=True):
        for number, (kind, colour, _) in enumerate(kinds):
            _steps(axes, run.summary.by_turn, kind, colour, last, dashed=number == 0)
        axes.set_xlim(0.5, last + 0.5)
        axes.set_ylim(0, 100)
        axes.set_yticks([0, 50, 100])
        every = 1 + (last - 1) // 10
        axes.set_xticks(range(every, last + 1, every))
        if len(talked) > 1:
            axes.set_title(name, loc="left")
    figure.supxlabel("turn", fontsize=FONT_SIZES[columns])
    figure.supylabel("conversations (%), 95% CI", fontsize=FONT_SIZES[columns])
    lines = [axes.get_lines()[number] for number in range(len(kinds))]
    figure.legend(lines, [label for *_, label in kinds], loc="outside upper left", ncols=2)
    return figure


def _steps(
    axes: Any,
    by_turn: Mapping[str, Mapping[str, Estimate]],
    kind: str,
    colour: str,
    last: int,
    *,
    dashed: bool,
) -> None:
    """A line that rises at the turns at which conversations agreed, in the band of its interval."""
    ends = [(int(turn), found[kind]) for turn, found in by_turn.items()]
    known = [(turn, one.mean, one.low, one.high) for turn, one in ends if one.mean is not None]
    turns = [1, *(turn for turn, *_ in known), last + 0.5]
    values = [0.0, *(100 * value for _, value, _, _ in known)]
    lows = [0.0, *(100 * (value if low is None else low) for _, value, low, _ in known)]
    highs = [0.0, *(100 * (value if high is None else high) for _, value, _, high in known)]
    line = "--" if dashed else "-"
    axes.step(turns, [*values, values[-1]], line, where="post", color=colour, linewidth=1.2, clip_on=False)
    axes.fill_between(turns, [*lows, lows[-1]], [*highs, highs[-1]], step="post", color=colour, alpha=0.18,
                      linewidth=0)  # fmt: skip


def _draw_cost(figure_class: Any, runs: Sequence[RunFigures], columns: Columns) -> Any:
    """What is right against what a conversation takes: tokens, and money where prices are known."""
    axis = {"total_tokens": ("tokens per conversation", 1), "cost": ("USD per 1,000 conversations", 1000)}
    shown = {name: told for name, told in axis.items() if any(run.mean(name) is not None for run in runs)}
    if not shown:
        raise ConfigError("the tokens of these runs are not known", remedy="draw another --kind")
    lines = ceil(len(runs) / columns)
    side_by_side = len(shown) if columns == 2 else 1
    height = 2.2 * (len(shown) / side_by_side) + 0.16 * lines
    figure = figure_of(figure_class, columns, height)
    panels = figure.subplots(len(shown) // side_by_side, side_by_side, squeeze=False).flat
    names = _names(runs, columns, 40)
    span = span_of(Row.of("", run.right) for run in runs)
    for axes, (name, (label, scale)) in zip(panels, shown.items(), strict=True):
        for place, (run, called) in enumerate(zip(runs, names, strict=True)):
            _point(axes, run, name, scale, place, called)
        axes.set_xlabel(label)
        axes.set_ylabel("right, of all\nconversations (%), 95% CI")
        axes.set_ylim(*span)
        axes.set_xlim(left=0)
        axes.locator_params(axis="x", nbins=5)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    handles, labels = next(iter(figure.axes)).get_legend_handles_labels()
    if len(runs) > 1:
        figure.legend(handles, labels, loc="outside lower left", ncols=columns, handletextpad=0.2)
    return figure


def _point(axes: Any, run: RunFigures, name: str, scale: int, place: int, called: str) -> None:
    """One run; the interval of what it takes is drawn thinner."""
    found, right = run.summary.metrics.get(name), run.right
    if found is None or found.mean is None or right is None or right.mean is None:
        axes.plot([], [], MARKERS[place % len(MARKERS)], color=COLOURS[place % len(COLOURS)], label=called)
        return
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
    at = scale * found.mean
    whiskers(axes, [at], [Row.of("", right)], colour, marker=marker, size=5, label=called)
    if found.low is not None and found.high is not None:
        axes.plot(
            [scale * found.low, scale * found.high], [100 * right.mean] * 2, color=colour, linewidth=0.6
        )


def _draw_groups(figure_class: Any, runs: Sequence[RunFigures], columns: Columns) -> Any:
    """What is right in each group of problems, a panel per run."""
    groups = _groups(runs)
    if not groups:
        raise ConfigError("the problems of these runs have no groups", remedy="draw another --kind")
    dimensions = {dimension for dimension, _ in groups}
    labels = [value if len(dimensions) == 1 else f"{dimension}: {value}" for dimension, value in groups]
    labels = short_names(labels, 16 + 8 * columns)
    found = [
        [Row.of(label, right_of(run.summary.groups.get(dimension, {}).get(value, {})))
         for label, (dimension, value) in zip(labels, groups, strict=True)]
        for run in runs
    ]  # fmt: skip
    per_row = min(2 * columns - 1, len(runs))
    height = 0.3 + 0.16 * max(3, len(groups))
    figure, cells = _grid(figure_class, len(runs), per_row, columns, height=height)
    names = _names(runs, columns, 20)
    span = span_of(row for rows in found for row in rows)
    for place, (axes, rows) in enumerate(zip(cells, found, strict=True)):
        forest(axes, rows, label="", told=len(runs) == 1 and columns == 2, span=span)
        if place % per_row == 0 and len(dimensions) == 1:
            axes.set_ylabel(next(iter(dimensions)))
        if len(runs) > 1:
            axes.set_title(names[place], loc="left")
    figure.supxlabel(OF_ALL, fontsize=FONT_SIZES[columns])
    return figure


def _groups(runs: Sequence[RunFigures]) -> list[tuple[str, str]]:
    """Dimensions and values of all runs, in their order."""
    found = [(dimension, value) for run in runs for dimension, values in run.summary.groups.items()
             for value in values]  # fmt: skip
    dimensions = list(dict.fromkeys(dimension for dimension, _ in found))
    return sorted(dict.fromkeys(found), key=lambda pair: (dimensions.index(pair[0]), _natural(pair[1])))


def _natural(label: str) -> list[tuple[int, str]]:
    """Numbers in labels by size."""
    pieces = re.split(r"(\d+)", label)
    return [(int(piece), "") if piece.isdecimal() else (0, piece) for piece in pieces]


_DRAWN: Mapping[Kind, Callable[[Any, Sequence[RunFigures], Columns], Any]] = {
    "headline": _draw_headline,
    "beliefs": _draw_beliefs,
    "agreement": _draw_agreement,
    "cost": _draw_cost,
    "groups": _draw_groups,
}
KINDS: tuple[Kind, ...] = tuple(_DRAWN)


def _names(runs: Iterable[RunFigures], columns: Columns, most: int | None = None) -> list[str]:
    return short_names([run.name for run in runs], most or 8 + 16 * columns)


def _grid(figure_class: Any, count: int, per_row: int, columns: Columns, *, height: float) -> tuple[Any, Any]:
    """A figure with so many panels of one size, row by row; what is left of the last row stays empty."""
    rows = ceil(count / per_row)
    figure = figure_of(figure_class, columns, 0.45 + (0.25 + height) * rows)
    cells = figure.subplots(rows, per_row, squeeze=False, sharey=True).flatten()
    for spare in cells[count:]:
        spare.set_axis_off()
    return figure, cells[:count]


def _legend(figure: Any, entries: Sequence[tuple[str, str]]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=colour, label=label) for label, colour in entries]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handlelength=1, columnspacing=1)
