"""A task whose answers a model grades where the task itself cannot: `judge` among its options.

The task's own rules come first: they say that an answer is right, or that they cannot tell. What the judge
said of the others is looked up here and never asked for; asking belongs to the conversation
(`conversation.judging`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, cast, runtime_checkable

from coral.store.folder import RunFolder
from coral.store.verdicts import Verdicts
from coral.tasks.protocol import Source, Task, TaskInfo
from coral.types import Belief, Judgement, Problem, Seat

_STATES = {"right": True, "wrong": False}


@runtime_checkable
class Judgeable(Protocol):
    """What a task has, beside what all have, that can be given a judge."""

    judge: Any
    """Options of the judge; None or empty for none."""

    def references(self, problem: Problem) -> tuple[str, ...]:
        """The answers that are right, as the judge is shown them."""
        ...

    def spelling(self, answer: str, problem: Problem) -> str:
        """What answers have in common that need only be judged once."""
        ...


def correct(judgement: Judgement) -> bool | None:
    """Whether the answer is right; None where the judge did not say."""
    return None if judgement.verdict is None else _STATES.get(judgement.verdict)


class JudgedTask:
    """A task with what its judge has said so far.

    Attributes:
        rules: the task itself, which knows of no verdict.
    """

    def __init__(self, task: Task, verdicts: Verdicts) -> None:
        self.rules, self.verdicts = task, verdicts

    @property
    def info(self) -> TaskInfo:
        return self.rules.info

    @property
    def instruction(self) -> str:
        return self.rules.instruction

    def problems(self, source: Source) -> Iterator[Problem]:
        return self.rules.problems(source)

    def opening(self, problem: Problem) -> str:
        return self.rules.opening(problem)

    def briefing(self, problem: Problem, seat: Seat) -> str:
        return self.rules.briefing(problem, seat)

    def read(self, text: str, problem: Problem) -> Belief:
        return self.rules.read(text, problem)

    def parse(self, answer: str, problem: Problem) -> Belief:
        return self.rules.parse(answer, problem)

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        """Whether both are right, or neither is known to be and they are equal by the task's own rules.

        So an equivalence relation, whatever the judge says: the right answers are one class, and the rules
        divide the others.
        """
        right = [await self.grade(answer, problem) is True for answer in (a, b)]
        return all(right) or (not any(right) and await self.rules.same(a, b, problem))

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """By the rules, else as the judge said; None where it did not, or was not asked."""
        verdict = await self.rules.grade(answer, problem)
        if verdict is not None:
            return verdict
        known = self.verdicts.find(problem.id, self.judgeable.spelling(answer, problem))
        return None if known is None else correct(known.judgement)

    @property
    def judgeable(self) -> Judgeable:
        """The task as one that can be given a judge."""
        return cast("Judgeable", self.rules)


def with_verdicts(task: Task, folder: RunFolder | None = None) -> Task:
    """The task with what the judge of a stored run has said; as it is where it has no judge."""
    rules = rules_of(task)
    has_judge = isinstance(rules, Judgeable) and bool(rules.judge)
    return JudgedTask(rules, Verdicts(folder)) if has_judge else rules


def rules_of(task: Task) -> Task:
    """The task itself, which knows of no verdict."""
    return task.rules if isinstance(task, JudgedTask) else task
