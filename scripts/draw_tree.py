"""Draw one sampled conversation as a tree, with the pairs that rows were made of.

python scripts/draw_tree.py RUN CONVERSATION ROWS OUT.png      # an SVG is written beside it

RUN is a folder of `coral sample`, ROWS one of `coral build RUN --kind dpo`. The picture of docs/improve.md
is that of conversation 82#0 of docs/training_data.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import msgspec
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from coral.store.folder import RunFolder
from coral.types import Answered, Conversation, Reply, Unsure

RIGHT, WRONG, NEITHER, INK, MUTED, PAIRED = "#d9ead3", "#f6d5cf", "#e8e8e8", "#222222", "#777777", "#0b6e8f"
WIDTH, HEIGHT, COLUMN, ROW = 2.0, 0.56, 4.1, 0.86


class Pair(NamedTuple):
    turn: int
    chosen: int
    rejected: int
    margin: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("conversation", help="its id, such as 82#0")
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    found = [item for item in RunFolder(options.run).conversations() if item.id == options.conversation]
    if not found:
        parser.error(f"{options.run} has no conversation {options.conversation}")
    style = {"font.family": "DejaVu Sans", "font.size": 9, "svg.hashsalt": "coral"}
    with mpl.rc_context(style):
        figure = draw(found[0], pairs_of(options.rows, options.conversation))
        figure.savefig(options.out, dpi=150, metadata={"Software": None})
        figure.savefig(options.out.with_suffix(".svg"), metadata={"Date": None})


def pairs_of(rows: Path, conversation: str) -> list[Pair]:
    lines = (rows / "train.jsonl").read_bytes().splitlines()
    sources = [(row["source"], row["margin"]) for row in map(msgspec.json.decode, lines)]
    return [
        Pair(source["turn"], source["candidate"], source["rejected"], margin)
        for source, margin in sources
        if source["conversation"] == conversation
    ]


def draw(conversation: Conversation, pairs: list[Pair]) -> Figure:
    turns = conversation.turns
    tall = max(len(turn.replies) for turn in turns) * ROW + 0.7
    wide = len(turns) * COLUMN
    figure = Figure(figsize=(0.8 * wide, 0.8 * tall), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.2, wide - 0.9), ylim=(-tall + 0.6, 0.85))
    axes.axis("off")
    for column, turn in enumerate(turns):
        left = column * COLUMN
        axes.text(left, 0.55, f"turn {column + 1}: the {turn.seat}", color=INK, weight="bold")
        for number, reply in enumerate(turn.replies):
            draw_candidate(axes, left, number, reply, goes_on=number == turn.chosen)
        mine = [pair for pair in pairs if pair.turn == column + 1]
        for place, pair in enumerate(sorted(mine, key=lambda pair: abs(pair.chosen - pair.rejected))):
            draw_pair(axes, left + WIDTH, pair, place)
        if column + 1 < len(turns):
            middle = -ROW * turn.chosen
            lead(axes, (left + WIDTH, middle), (left + COLUMN - 0.12, middle))
            top, bottom = (HEIGHT / 2, -ROW * (len(turns[column + 1].replies) - 1) - HEIGHT / 2)
            axes.plot([left + COLUMN - 0.12] * 2, [top, bottom], color=INK, linewidth=1.6)
    ending = f"{conversation.stop.value} · right answer: {conversation.problem.target}"
    legend = f"bold: went on · arrow: from the rejected to the chosen, with margin · {ending}"
    axes.text(0, -tall + 0.72, legend, color=MUTED)
    return figure


def draw_candidate(axes: Any, left: float, number: int, reply: Reply, *, goes_on: bool) -> None:
    answered = isinstance(reply.belief, Answered)
    colour = (RIGHT if reply.correct else WRONG) if answered else NEITHER
    box = FancyBboxPatch(
        (left, -ROW * number - HEIGHT / 2),
        WIDTH,
        HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.1",
        facecolor=colour,
        edgecolor=INK if goes_on else MUTED,
        linewidth=2.2 if goes_on else 0.7,
    )
    axes.add_patch(box)
    axes.text(left + 0.1, -ROW * number, belief_of(reply), va="center", color=INK)


def belief_of(reply: Reply) -> str:
    match reply.belief:
        case Answered(value=value):
            said = value
        case Unsure():
            said = "not sure yet"
        case _:
            said = "unreadable"
    return f"{said} {'✓' if reply.correct else '✗'}"


def draw_pair(axes: Any, x: float, pair: Pair, place: int) -> None:
    """An arc to the right of its turn."""
    ends = (x + 0.04, -ROW * pair.rejected), (x + 0.04, -ROW * pair.chosen)
    up = pair.chosen < pair.rejected
    bend = 0.5 + 0.18 * (place % 3)
    arc = FancyArrowPatch(
        *ends,
        connectionstyle=f"arc3,rad={bend if up else -bend}",
        arrowstyle="-|>",
        mutation_scale=11,
        color=PAIRED,
        linewidth=1.2,
    )
    axes.add_patch(arc)
    reach = 0.5 * bend * abs(pair.chosen - pair.rejected) * ROW
    middle = -ROW * (pair.chosen + pair.rejected) / 2
    blank = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    axes.text(x + 0.1 + reach, middle, f"{pair.margin:g}", color=PAIRED, va="center", bbox=blank, zorder=4)


def lead(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 1.6})


if __name__ == "__main__":
    main()
