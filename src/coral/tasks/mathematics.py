"""What the tasks with mathematical answers share: comparing two LaTeX answers, at a bounded price.

Answers that differ only in spelling are settled here; all others go to a process that can be killed, because
an answer such as `9**9**9` can keep a computer algebra system busy for ever.
"""

from __future__ import annotations

from typing import ClassVar

from coral import sandbox
from coral.answers import math
from coral.types import Belief, Problem, Seat

INSTRUCTION = (
    "Submit an answer by putting it into a LaTeX box at the end of your message, "
    "like this: \\boxed{...}. The box holds the final result alone."
)

TIMEOUT_S = 5.0
"""Seconds that one comparison may take."""


async def same(a: str, b: str) -> bool:
    """Whether two answers are equal; False where that could not be determined in time."""
    return await compare(a, b) is True


async def compare(a: str, b: str) -> bool | None:
    """Whether two answers are equal; None where that could not be determined in time."""
    if a == b or math.same_text(a, b):
        return True
    try:
        return bool(await sandbox.call("coral.answers.math:equivalent", a, b, timeout_s=TIMEOUT_S))
    except sandbox.SandboxError:
        return None


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

    async def same(self, a: str, b: str, problem: Problem) -> bool:  # noqa: ARG002 - part of the protocol
        return await same(a, b)

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return await compare(answer, problem.target)
