"""A task of one's own, with a reader and a grader that any text passes or fails by its length."""

from __future__ import annotations

from coral.tasks.gsm8k import Gsm8k
from coral.types import Answered, Belief, Problem


class Lengths(Gsm8k):
    """The questions of GSM8K; a reply is right unless its number of characters is a multiple of four.

    However poor the model, and whatever the processor's arithmetic makes of its draws: every reply can be
    read, three of four are right, and most turns with five candidates have right ones and others.
    """

    def read(self, text: str, problem: Problem) -> Belief:
        return self.parse(text, problem)

    def parse(self, answer: str, problem: Problem) -> Belief:
        return Answered("wrong" if len(answer) % 4 == 0 else "right")

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        return a == b

    async def grade(self, answer: str, problem: Problem) -> bool:
        return answer == "right"
