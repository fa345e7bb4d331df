"""The wrong answers that a model really gives: the most frequent one to each problem in a run of it alone."""

from __future__ import annotations

import hashlib
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from coral.conversation import protocols
from coral.errors import ConfigError, Notice
from coral.store.folder import RunFolder
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Conversation, Problem


async def favourite_mistakes(path: str | Path, task: Task, problems: Iterable[Problem]) -> dict[str, str]:
    """The most frequent wrong answer to each problem, by its id; of equally frequent ones the first sample's.

    Args:
        path: a run folder of one agent alone.
        problems: those that the answers are wanted for.

    Raises:
        UserError: it is no such run, of another task, or not about these problems.
    """
    folder = RunFolder(path)
    _check(folder, task)
    wanted = {problem.id: problem for problem in problems}
    said: dict[str, list[tuple[int, str]]] = defaultdict(list)
    met = set()
    for conversation, answer in _ends(folder):
        problem = wanted.get(conversation.problem.id)
        if problem is None:
            continue
        if problem.question != conversation.problem.question:
            raise ConfigError(
                f"problem {problem.id} is another one in {path}",
                remedy="take a run over the same data, with the same options of the task",
            )
        met.add(problem.id)
        if answer is not None:
            said[problem.id].append((int(conversation.id.rpartition("#")[2]), answer))
    if not met:
        raise ConfigError(
            f"{path} is about none of these problems",
            remedy="run it with the same --data, --limit and --seed",
        )
    if missing := len(wanted) - len(said):
        warnings.warn(
            f"{missing} of {len(wanted)} problems have no wrong answer in {path}: there one of Coral's own "
            "is taken",
            Notice,
            stacklevel=2,
        )
    return {name: await _most_frequent(sorted(answers), wanted[name], task) for name, answers in said.items()}


def digest(path: str | Path) -> str:
    """Identifies the answers of a run, wherever it lies.

    Raises:
        RunFolderError: it cannot be read.
    """
    lines = sorted(f"{conversation.id}\t{answer}" for conversation, answer in _ends(RunFolder(path)))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _ends(folder: RunFolder) -> Iterator[tuple[Conversation, str | None]]:
    """Each conversation with the answer that it ends in; None where that is right, or no answer."""
    for conversation in folder.conversations():
        answer = None
        if conversation.turns:
            last = conversation.turns[-1].reply
            if last.correct is False and isinstance(last.belief, Answered):
                answer = last.belief.value
        yield conversation, answer


def _check(folder: RunFolder, task: Task) -> None:
    identity = folder.identity()
    if identity["task"]["name"] != task.info.name:
        raise ConfigError(
            f"{folder.path} is of the task {identity['task']['name']}, not {task.info.name}",
            remedy="take a run of the same task",
        )
    if len(protocols.stored(identity).speakers) > 1:
        raise ConfigError(
            f"{folder.path} is of several agents: their answers are not those of one alone",
            remedy="take a run with --protocol single, best with several --samples",
        )


async def _most_frequent(answers: list[tuple[int, str]], problem: Problem, task: Task) -> str:
    classes: list[list[str]] = []
    for _, answer in answers:
        for known in classes:
            if answer in known or await boundary.same(task, answer, known[0], problem):
                known.append(answer)
                break
        else:
            classes.append([answer])
    return max(classes, key=len)[0]
