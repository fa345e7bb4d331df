"""What the tasks with mathematical answers share: comparing and grading LaTeX answers, at a bounded price.

Plain numbers and words are settled here, in microseconds. Formulas go to Math-Verify in a process that can be
killed, because an answer such as `9**9**9` can keep a computer algebra system busy for ever.

Two relations, on purpose (docs/grading.md). `same` says who agrees: it compares keys and is an equivalence.
`compare` says what is right: it lets an answer leave out the unit or the name of the gold one, or add one.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import ClassVar

from coral import workers
from coral.answers import math
from coral.errors import MissingExtra, SandboxError
from coral.types import Belief, Problem, Seat

INSTRUCTION = (
    "Submit an answer by putting it into a LaTeX box at the end of your message, "
    "like this: \\boxed{...}. The box holds the final result alone."
)

TIMEOUT_S = 5.0
"""Seconds that one question to Math-Verify may take."""


async def same(a: str, b: str, question: str = "") -> bool:
    """Whether two answers to a question mean the same: an equivalence relation."""
    return a == b or await _key(a, question) == await _key(b, question)


async def _key(answer: str, question: str) -> str:
    """What answers that mean the same have in common; the answer itself where that took too long."""
    key = math.plain_key(answer, question)
    if key is not None:
        return key
    try:
        return str(await _ask("canonical", answer, question))
    except SandboxError:
        return f"'{answer}'"


async def compare(a: str, b: str) -> bool | None:
    """Whether two answers are equal, as one grades; None where that could not be determined in time."""
    if a == b or math.same_text(a, b):
        return True
    try:
        return bool(await _ask("equivalent", a, b))
    except SandboxError:
        return None


def need_library() -> None:
    """Make sure that Math-Verify is there, before anything is asked of a model.

    Raises:
        MissingExtra: it is not.
    """
    if not _is_installed("math_verify"):
        raise MissingExtra("math-verify", extra="math", why="comparing mathematical answers")


@cache
def _is_installed(module: str) -> bool:
    return find_spec(module) is not None


async def _ask(function: str, *args: str) -> object:
    need_library()
    return await workers.call(f"coral.answers.math:{function}", *args, timeout_s=TIMEOUT_S)


class MathematicalAnswers:
    """The part of a `Task` that deals with answers, for tasks with mathematical ones."""

    instruction: ClassVar[str] = INSTRUCTION

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        """Nothing: both seats see the whole problem."""
        return ""

    def read(self, text: str, problem: Problem) -> Belief:  # noqa: ARG002 - part of the protocol
        return math.read(text)

    def parse(self, answer: str, problem: Problem) -> Belief:  # noqa: ARG002 - part of the protocol
        return math.parse(answer)

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        return await same(a, b, problem.question)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether it equals the gold answer; in units that the question asks for, too: 500 cm is 5 m."""
        verdict = await compare(answer, problem.target)
        if verdict is False and (key := math.plain_key(answer, problem.question)) is not None:
            return key == math.plain_key(problem.target, problem.question)
        return verdict
