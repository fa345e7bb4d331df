"""Belief flow: what each turn submits, and what becomes of it by the same seat's next turn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from coral.metrics.outcome import is_right
from coral.metrics.trace import UNSURE, Trace
from coral.types import Seat

STATES = {"right": "#009E73", "wrong": "#D55E00", "unsure": "#56B4E9", "unreadable": "#999999"}
"""What a turn may submit, from the bottom of a bar to its top, and its colour."""


class Step(NamedTuple):
    """One turn of a seat in one conversation: its number from 1 on, and what it submits."""

    turn: int
    state: str


class BeliefFlow:
    """Adds up the beliefs of a run's conversations; no text is kept."""

    def __init__(self, seats: Sequence[Seat]) -> None:
        self.seats = tuple(seats)
        self.conversations = 0
        self._steps: dict[Seat, Counter[Step]] = {seat: Counter() for seat in seats}
        self._moves: dict[Seat, Counter[tuple[Step, Step]]] = {seat: Counter() for seat in seats}

    def add(self, trace: Trace) -> None:
        """Count one conversation."""
        self.conversations += 1
        latest: dict[Seat, Step] = {}
        for number, turn in enumerate(trace.turns, 1):
            right = is_right(turn, trace)
            if turn.belief == UNSURE:
                state = "unsure"
            else:
                state = "unreadable" if right is None else "right" if right else "wrong"
            step = Step(number, state)
            self._steps[turn.seat][step] += 1
            if turn.seat in latest:
                self._moves[turn.seat][latest[turn.seat], step] += 1
            latest[turn.seat] = step

    def turns(self, seat: Seat) -> list[int]:
        """The numbers of a seat's turns."""
        return sorted({step.turn for step in self._steps[seat]})

    def share(self, seat: Seat, turn: int, state: str) -> float:
        """Percent of all conversations in which this turn of the seat submits that."""
        return self._percent(self._steps[seat][Step(turn, state)])

    def moves(self, seat: Seat, turn: int, following: int) -> Mapping[tuple[str, str], float]:
        """Percent of all conversations that go from one state at a turn to another at the seat's next one."""
        return {
            (a, b): self._percent(self._moves[seat][Step(turn, a), Step(following, b)])
            for a in STATES
            for b in STATES
        }

    def _percent(self, count: int) -> float:
        return 100 * count / self.conversations if self.conversations else 0.0


BAR = 0.5
"""Width of a bar; from one to the next it is 1."""


def draw_flow(axes: Any, flow: BeliefFlow, seat: Seat) -> None:
    """A bar per turn of the seat, and bands between them. What lies above a bar has ended before."""
    turns = flow.turns(seat)
    for place, turn in enumerate(turns):
        bottom = 0.0
        for state, colour in STATES.items():
            height = flow.share(seat, turn, state)
            axes.bar(place, height, BAR, bottom=bottom, color=colour, linewidth=0)
            bottom += height
    for place, (turn, following) in enumerate(pairwise(turns)):
        _bands(axes, place, flow, seat, turn, following)
    every = 1 + (len(turns) - 1) // 8
    axes.set_xticks(range(0, len(turns), every), [str(turn) for turn in turns[::every]])
    axes.set_xlim(-0.5, max(len(turns), 2) - 0.5)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 50, 100])


def _bands(axes: Any, place: int, flow: BeliefFlow, seat: Seat, turn: int, following: int) -> None:
    left = _bottoms({state: flow.share(seat, turn, state) for state in STATES})
    right = _bottoms({state: flow.share(seat, following, state) for state in STATES})
    for (a, b), height in flow.moves(seat, turn, following).items():
        if height:
            _band(axes, place, (left[a], right[b]), height, STATES[a])
            left[a] += height
            right[b] += height


def _bottoms(heights: Mapping[str, float]) -> dict[str, float]:
    found, bottom = {}, 0.0
    for state, height in heights.items():
        found[state] = bottom
        bottom += height
    return found


def _band(axes: Any, place: int, ends: tuple[float, float], height: float, colour: str) -> None:
    """A band from one bar to the next that leaves and arrives level."""
    steps = [step / 16 for step in range(17)]
    xs = [place + BAR / 2 + (1 - BAR) * step for step in steps]
    low = [ends[0] + (ends[1] - ends[0]) * step * step * (3 - 2 * step) for step in steps]
    axes.fill_between(xs, low, [one + height for one in low], color=colour, alpha=0.35, linewidth=0)
