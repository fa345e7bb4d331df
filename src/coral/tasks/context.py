"""Hide half of a problem's context from each seat, so that only both together know the problem.

The question stays with both seats. What stands before it, line by line or sentence by sentence, is dealt to
the seats at random, each piece to one of them. Where nothing stands before it, the choices are dealt: each
seat is told what half of the letters stand for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from random import Random
from string import ascii_uppercase

from coral.types import RESPONDER, Problem, Seat

FRAME = (
    "You and your partner were told different parts of this. "
    "The parts are numbered in their order, and no part was told to both of you."
)
NOT_TOLD = "(told to one of you)"
"""Stands for the text of a choice where the choices are dealt."""
_FEWEST = 2
"""Pieces that are needed to give each seat one."""
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+(?=[\"'(\[$\\A-Z0-9])")


def pieces(text: str) -> list[str]:
    """Cut a text into its lines, or where it has one or two into its sentences. Nothing is left out.

    A sentence that is cut at an abbreviation does no harm: its two ends bear numbers that follow each other.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    return lines if len(lines) > _FEWEST else _SENTENCE_END.split(text.strip())


def kind(context: Sequence[str]) -> str:
    """What is dealt: the `context`, or where there is too little of it the `choices`."""
    return "context" if len(context) >= _FEWEST else "choices"


def dealt(problem: Problem, context: Sequence[str], seat: Seat) -> str:
    """What this seat alone is told of the context, or of the choices where there is too little context.

    The seats get equally many pieces, one more or less. Which, the problem's id decides: no seed does, so
    runs with different seeds deal alike.
    """
    if kind(context) == "context":
        lines = [_numbered(number, piece) for number, piece in enumerate(context, 1)]
    else:
        lines = [f"({ascii_uppercase[i]}) {choice}" for i, choice in enumerate(problem.choices)]
    indices = list(range(len(lines)))
    Random(f"context:{problem.id}").shuffle(indices)  # noqa: S311 - reproducible on purpose
    own = sorted(indices[::2] if seat == RESPONDER else indices[1::2])
    return "\n".join(["You alone were told this:", *(lines[index] for index in own)])


def _numbered(number: int, piece: str) -> str:
    """The piece with its number, which the lines of some stories have already."""
    return piece if re.match(r"\d+[.)]? ", piece) else f"{number} {piece}"


def common(problem: Problem, context: Sequence[str], question: str) -> tuple[str, tuple[str, ...]]:
    """The question and the choices as both seats know them."""
    if kind(context) == "context":
        return f"{FRAME}\n\n{question}", problem.choices
    whole = "\n".join((*context, question))
    return f"{FRAME}\n\n{whole}", (NOT_TOLD,) * len(problem.choices)
