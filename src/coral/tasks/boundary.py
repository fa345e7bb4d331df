"""Where the code of a task meets ours: whatever it raises becomes an answer, is counted and named.

What it raises before a run, as it gives and states its problems, stops that run with its cause.

A reader that fails makes the text unreadable, a grader that fails leaves the grade unknown, a comparison that
fails finds two answers different. So no reply ends a run, and none that is replayed stops it from resuming.
That no worker can start, or a package is missing, is no failure of the task, and ends the run with its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from coral import workers
from coral.errors import DataError, MissingExtra, UserError
from coral.plugins import FOREIGN, cause, count_failure, failures, kind_of
from coral.tasks.protocol import Source, Task
from coral.types import PAIR_SEATS, Answered, Belief, Problem, Unreadable, Unsure

__all__ = ["failures", "grade", "parse", "problems", "read", "same"]


def problems(task: Task, source: Source) -> Iterator[Problem]:
    """`task.problems`, each as a problem should be: a task of somebody else's may give and state anything.

    Raises:
        DataError: it cannot give its problems, or state them.
    """
    if type(task).__module__.startswith("coral."):
        yield from task.problems(source)
        return
    seen: set[str] = set()
    try:
        for number, problem in enumerate(task.problems(source), start=1):
            _refuse_faulty(task, problem, number, seen)
            yield problem
    except UserError:
        raise
    except FOREIGN as error:
        raise DataError(
            f"the task {task.info.name} cannot give its problems: {cause(error)}", remedy="mend its code"
        ) from error


def _refuse_faulty(task: Task, problem: object, number: int, seen: set[str]) -> None:
    what = f"problem {number} of the task {task.info.name}"
    if not isinstance(problem, Problem):
        raise DataError(f"{what} is {kind_of(problem)}", remedy="yield objects of coral.Problem")
    try:
        msgspec.convert(msgspec.to_builtins(problem), Problem)
    except (msgspec.MsgspecError, TypeError) as error:
        raise DataError(
            f"{what} cannot be stored: {error}", remedy="give texts, such as target='4'"
        ) from error
    if problem.id in seen:
        raise DataError(f"{what} has the id '{problem.id}' of another one", remedy="give each its own id")
    seen.add(problem.id)
    try:
        stated = task.opening(problem)
        for seat in PAIR_SEATS:
            task.briefing(problem, seat)
    except FOREIGN as error:
        raise DataError(
            f"{what} cannot be stated: {cause(error)}", remedy="mend opening or briefing"
        ) from error
    if not isinstance(stated, str) or not stated.strip():
        raise DataError(
            f"{what} has an opening of {stated!r:.40}", remedy="opening returns the problem's text"
        )


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
    except FOREIGN as error:
        _count("comparison", task, error, problem)
        return False


async def grade(task: Task, answer: str, problem: Problem) -> bool | None:
    """`task.grade`; None where it raises."""
    try:
        verdict = await task.grade(answer, problem)
        return None if verdict is None else bool(verdict)
    except (workers.CannotStart, MissingExtra):
        raise
    except FOREIGN as error:
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
    except FOREIGN as error:
        return Unreadable(f"{part} failed: {_count(part, task, error, problem)}")


def _count(part: str, task: Task, error: BaseException, problem: Problem) -> str:
    """Count a failure of a part of a task, and return what happened."""
    return count_failure(f"the {part} of the task {task.info.name}", error, f"problem {problem.id}")
