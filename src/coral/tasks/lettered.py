"""What the tasks with lettered choices share. A canonical answer is a letter, A for the first choice."""

from __future__ import annotations

from string import ascii_uppercase
from typing import ClassVar

import msgspec

from coral.answers import choice
from coral.tasks import context
from coral.types import Belief, Problem, Seat

INSTRUCTION = (
    "Submit an answer by ending your message with a line of this form: Answer: (X), "
    "where X is the letter of the choice you hold to be right."
)


def letter(index: int) -> str:
    """The letter of the choice at `index`, counted from 0."""
    return ascii_uppercase[index]


def listing(choices: tuple[str, ...]) -> str:
    """The choices, one a line: `(A) first`."""
    return "\n".join(f"({letter}) {choice}" for letter, choice in zip(ascii_uppercase, choices, strict=False))


def same(a: str, b: str, problem: Problem) -> bool:
    """Whether two letters name one choice. Choices that read the same are one: nobody can tell them apart."""
    return a == b or _choice(a, problem) == _choice(b, problem) is not None


def _choice(letter: str, problem: Problem) -> str | None:
    position = ascii_uppercase.find(letter) if len(letter) == 1 else -1
    return problem.choices[position] if 0 <= position < len(problem.choices) else None


class LetteredAnswers:
    """The part of a `Task` that deals with answers, for tasks with lettered choices."""

    instruction: ClassVar[str] = INSTRUCTION

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        """Nothing: both seats see the whole problem."""
        return ""

    def read(self, text: str, problem: Problem) -> Belief:
        return choice.read(text, problem.choices)

    def parse(self, answer: str, problem: Problem) -> Belief:
        return choice.parse(answer, problem.choices)

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        return same(a, b, problem)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return same(answer, problem.target, problem) if problem.target else None


class SplitContext(LetteredAnswers):
    """The same for tasks that can hide half of a problem's context from each seat; see `coral.tasks.context`.

    Attributes:
        split_context: whether they do. A subclass makes an option of it, states `known` in its opening, and
            passes its problems through `grouped`.
    """

    split_context: bool

    def pieces(self, problem: Problem) -> tuple[list[str], str]:
        """The pieces that can be dealt, and the question, which both seats know."""
        *before, question = context.pieces(problem.question)
        return before, question

    def known(self, problem: Problem) -> tuple[str, tuple[str, ...]]:
        """The question and the choices as both seats know them."""
        if not self.split_context:
            return problem.question, problem.choices
        return context.common(problem, *self.pieces(problem))

    def briefing(self, problem: Problem, seat: Seat) -> str:
        """What this seat alone is told; nothing where both see the whole problem."""
        return context.dealt(problem, self.pieces(problem)[0], seat) if self.split_context else ""

    def grouped(self, problem: Problem) -> Problem:
        """The problem; where something is dealt, what it is becomes a group of the statistics."""
        if not self.split_context:
            return problem
        told = context.kind(self.pieces(problem)[0])
        return msgspec.structs.replace(problem, group={**problem.group, "split": told})
