"""Where the code of a task meets ours: whatever it raises becomes an answer, is counted and named.

A reader that fails makes the text unreadable, a grader that fails leaves the grade unknown, a comparison that
fails finds two answers different. So no reply ends a run, and none that is replayed stops it from resuming.
That no worker can start, or a package is missing, is no failure of the task, and ends the run with its cause.
"""

from __future__ import annotations

from collections.abc import Callable

from coral import workers
from coral.errors import MissingExtra
from coral.plugins import count_failure, failures
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Problem, Unreadable, Unsure

__all__ = ["failures", "grade", "parse", "read", "same"]


def read(task: Task, text: str, problem: Problem) -> Belief:
    """`task.read`; `Unreadable` where it raises or returns no belief."""
    return _belief("reader", task, lambda: task.read(text, problem), problem)


def parse(task: Task, answer: str, problem: Problem) -> Belief:
    """`task.parse`; `Unreadable` where it raises or returns no belief."""
    return _belief("parser", task, lambda: task.parse(answer, problem), problem)


async def same(task: Task, a: str, b: str, problem: Problem) -> bool:
    """`task.same`; equal spellings are the same unasked, and where it raises two answers differ."""
    try:
        return a == b or bool(await task.same(a, b, problem))
    except (workers.CannotStart, MissingExtra):
        raise
    except Exception as error:  # noqa: BLE001  foreign code
        _count("comparison", task, error, problem)
        return False


async def grade(task: Task, answer: str, problem: Problem) -> bool | None:
    """`task.grade`; None where it raises."""
    try:
        verdict = await task.grade(answer, problem)
        return None if verdict is None else bool(verdict)
    except (workers.CannotStart, MissingExtra):
        raise
    except Exception as error:  # noqa: BLE001  foreign code
        _count("grader", task, error, problem)
        return None


def _belief(part: str, task: Task, call: Callable[[], object], problem: Problem) -> Belief:
    try:
        belief = call()
        if isinstance(belief, Answered) and isinstance(belief.value, str):
            return belief
        if isinstance(belief, Unsure | Unreadable):
            return belief
        raise TypeError(f"it returned {belief!r:.80}, which is not a belief")
    except Exception as error:  # noqa: BLE001  foreign code
        return Unreadable(f"{part} failed: {_count(part, task, error, problem)}")


def _count(part: str, task: Task, error: Exception, problem: Problem) -> str:
    """Count a failure of a part of a task, and return what happened."""
    return count_failure(f"the {part} of the task {task.info.name}", error, f"problem {problem.id}")
