"""What a seat is shown of the others' turns: control arms vary exactly that.

Everything; the stance alone; the reasoning alone; the stance with vacuous or unrelated words in place of the
reasoning, as many of them; or nothing but a request to answer again. The record of a conversation keeps what
was said; what was shown follows from it and the agent's options, so training rows show the same.
"""

from __future__ import annotations

import hashlib
import heapq
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from typing import Literal

import msgspec

from coral.answers import fences
from coral.conversation import words
from coral.conversation.words import Move
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Problem, Seat, Turn, Unsure

Shown = Literal["everything", "stance", "reasoning", "vacuous", "unrelated", "nothing"]

AGAIN = "Please answer the problem again."
"""What stands for a turn of which nothing is shown."""
NO_STANCE = "I have no answer to give."
"""The stance of a turn whose answer could not be read."""
NO_REASON = "I have nothing to add."
"""The reasoning of a turn that is an answer alone."""
_VACUOUS = (
    "I have given this some thought. It is a problem that one can look at for a while. There is something to "
    "be said about it, and I have tried to say it in my own way. One goes from the beginning to the end and "
    "then looks back once more. I took my time with it, as one should. It helps to keep a clear head, and to "
    "put one thing after the other. I have written down what came to my mind. Others may put it otherwise."
)
POOL = 500
"""Problems of the data that are kept to draw another one from."""


class ProblemPool:
    """Some problems of the data, to draw another problem from: the same ones however many a run takes.

    Args:
        read: streams all problems; called when one is first wanted.
    """

    def __init__(self, read: Callable[[], Iterable[Problem]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._kept)

    def other_than(self, problem: Problem) -> Problem | None:
        """Another problem, always the same one; None where the data hold no other."""
        others = [one for one in self._kept[: 2 + _rank(problem) % POOL] if one.id != problem.id]
        return others[-1] if others else None

    @cached_property
    def _kept(self) -> list[Problem]:
        return heapq.nsmallest(POOL, self._read(), key=_rank)


def _rank(problem: Problem) -> int:
    return int.from_bytes(hashlib.blake2b(problem.id.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What an agent is shown of the turns of others.

    Attributes:
        others: where unrelated reasons come from.
    """

    shown: Shown
    task: Task
    others: ProblemPool

    def of(self, turns: Sequence[Turn], seat: Seat, problem: Problem) -> Sequence[Turn]:
        """The turns as `seat` is shown them; its own stay as they are."""
        return [turn if turn.seat == seat else _saying(turn, self._text(turn, problem)) for turn in turns]

    def _text(self, turn: Turn, problem: Problem) -> str:
        said, belief = turn.reply.text, turn.reply.belief
        match self.shown:
            case "everything":
                return said
            case "nothing":
                return AGAIN
            case "stance":
                return stance_of(belief, problem, self.task)
            case "reasoning":
                return reasons_in(said, problem, self.task) or NO_REASON
            case _:
                length = len(reasons_in(said, problem, self.task).split())
                filled = self._unrelated(length, problem) if self.shown == "unrelated" else vacuous(length)
                return f"{filled}\n\n{stance_of(belief, problem, self.task)}".strip()

    def _unrelated(self, length: int, problem: Problem) -> str:
        """So many words about another problem."""
        other = self.others.other_than(problem)
        if other is None:
            return vacuous(length)
        rng = random.Random(f"unrelated:{problem.id}")  # noqa: S311 - repeatable on purpose
        statement, said = self.task.opening(other), list[str]()
        while len(said) < length:
            said += words.body(Move.PROPOSE, rng, statement=statement, mine="", theirs="").split()
        return _sentence(said[:length])


def _saying(turn: Turn, text: str) -> Turn:
    reply = msgspec.structs.replace(turn.reply, text=text)
    return msgspec.structs.replace(turn, replies=(reply,), chosen=0)


def stance_of(belief: Belief, problem: Problem, task: Task) -> str:
    """A sentence that submits the answer of a belief, as the task wants it, and gives no reason."""
    if isinstance(belief, Unsure):
        return "I am not sure yet."
    if not isinstance(belief, Answered):
        return NO_STANCE
    rng = random.Random(0)  # noqa: S311 - among two wordings, always the same
    endings = list(words.endings(belief.value, task.instruction, rng))
    readable = (text for text in endings if boundary.read(task, text, problem) == belief)
    return next(readable, endings[0])


_PIECE = re.compile(r"(?<=[.!?])\s+")


def reasons_in(text: str, problem: Problem, task: Task) -> str:
    """A turn without the sentences and code blocks that submit its answer; empty where nothing else was said.

    A sentence about another answer is a reason. Where the whole submits none for certain, every sentence goes
    that submits one by itself.
    """
    answer = _submits(text, problem, task)

    def tells(piece: str) -> bool:
        found = _submits(piece, problem, task)
        return found is not None and answer in (None, found)

    lines = []
    for line in _without_submitted_blocks(text, problem, task):
        pieces = [piece for piece in _PIECE.split(line) if not tells(piece)]
        if pieces:
            lines.append(" ".join(pieces))
    while lines and tells("\n".join(lines)):
        lines.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _without_submitted_blocks(text: str, problem: Problem, task: Task) -> list[str]:
    """The lines of a text without the code blocks that submit an answer by themselves."""
    lines = text.splitlines()
    if "```" not in task.instruction:
        return lines
    lines = fences.lines_of(text)
    for block in reversed(fences.blocks(text)):
        if _submits("\n".join(lines[block.start : block.end]), problem, task) is not None:
            del lines[block.start : block.end]
    return lines


def _submits(text: str, problem: Problem, task: Task) -> str | None:
    """The answer that a piece of text submits, as the task reads it."""
    belief = boundary.read(task, text, problem) if text.strip() else None
    return belief.value if isinstance(belief, Answered) else None


def vacuous(length: int) -> str:
    """So many words that say nothing about any problem."""
    return _sentence(list(islice(cycle(_VACUOUS.split()), length)))


def _sentence(said: Sequence[str]) -> str:
    text = " ".join(said)
    return f"{text.rstrip('.,;:')}." if text else ""
