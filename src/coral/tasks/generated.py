"""Generated problems: seeded, as many as asked for, and divided into splits by their text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from random import Random

from coral.errors import ConfigError
from coral.tasks import sources
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

SPLITS = ("test", "validation", "train")
_SHARES = {"test": range(1), "validation": range(1, 2), "train": range(2, 10)}
"""Which tenths of all problems belong to a split."""
MAX_DRAWS = 5_000
"""Problems that are drawn for one place in the list before the task's options are called too narrow."""


def problems(
    source: Source, info: TaskInfo, size: int, draw: Callable[[Random], Problem]
) -> Iterator[Problem]:
    """Draw `size` different problems of a split. The first n do not depend on `size`.

    A problem belongs to one split, which the digest in its id decides: no test problem is ever trained on.

    Raises:
        ConfigError: a file was given, there is no such split, or there are not so many problems.
    """
    if source.data is not None:
        raise ConfigError(f"{info.name} reads no file", remedy="leave out --data: its problems are generated")
    split = sources.split_of(source, info)
    seen: set[str] = set()
    for index in range(size):
        rng = Random(f"{info.name}:{source.seed}:{split}:{index}")  # noqa: S311
        for _ in range(MAX_DRAWS):
            problem = draw(rng)
            if problem.id not in seen and split_of(problem) == split:
                break
        else:
            raise ConfigError(
                f"{info.name} finds no {size} different problems with these options, only {index}",
                remedy="ask for fewer (--task.size), or allow more choices",
            )
        seen.add(problem.id)
        yield problem


def identity(name: str, *parts: str) -> str:
    """The id of a generated problem: the same for the same texts."""
    return f"{name}-{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:12]}"


def split_of(problem: Problem) -> str:
    """The split a generated problem belongs to."""
    tenth = int(problem.id.rpartition("-")[2], 16) % 10
    return next(split for split, tenths in _SHARES.items() if tenth in tenths)


def check(name: str, value: int, option: str, smallest: int, largest: int) -> None:
    """Refuse an option out of its range.

    Raises:
        ConfigError: it is.
    """
    if not smallest <= value <= largest:
        raise ConfigError(
            f"{name} cannot take {option}={value}", remedy=f"give {option} from {smallest} to {largest}"
        )
