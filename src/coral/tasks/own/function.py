"""`@coral.task`: a task out of one function that yields records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from coral.errors import ConfigError, DataError
from coral.plugins import known
from coral.tasks import sources
from coral.tasks.files import Row
from coral.tasks.own import open as free
from coral.tasks.own.choices import Choices
from coral.tasks.own.open import Open
from coral.tasks.protocol import Source, Task, TaskInfo
from coral.types import Problem

Records = Iterable[Mapping[str, Any]]
Make = Callable[[], Records]
Kind = Literal["choices", "number", "math", "phrase", "exact"]


def task(kind: Kind | None = None) -> Callable[[Make], type[Task]]:
    """Make a task of a function that yields records: mappings such as the tasks `choices` and `open` read.

    @coral.task("phrase")
    def capitals():
        yield {"question": "What is the capital of France?", "answer": "Paris"}

    The task goes to `coral.evaluate(task=capitals())`, or by name: `coral eval my_tasks.py:capitals`. It
    takes the options of `choices` or `open`; its splits are seeded parts of what the function yields, `all`
    by default.

    Args:
        kind: choices, or the kind of free answers; as for `open` where it is not given.
    """

    def decorate(function: Make) -> type[Task]:
        base: type[Choices | Open] = Choices if kind == "choices" else Open
        title = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        info = TaskInfo(name=function.__name__, title=title, splits=sources.SEEDED)

        def problems(self: Choices | Open, source: Source) -> Iterator[Problem]:
            """Stream the problems of a split; see `Task.problems`."""
            split = sources.split_of(source, info)
            found = self.problems_in(lambda: _rows(function))
            return sources.seeded(found, split, source.split_seed, key=lambda problem: problem.id)

        parts: dict[str, Any] = {
            "info": info, "problems": problems, "__doc__": base.__doc__, "__module__": function.__module__,
            "__qualname__": function.__qualname__, "__annotations__": {},
        }  # fmt: skip
        if kind not in (None, "choices"):
            parts |= {"kind": kind, "__annotations__": {"kind": free.Kind | None}}
        made: type[Task] = dataclass(frozen=True)(type(function.__name__, (base,), parts))
        return made

    if callable(kind):
        raise ConfigError("@coral.task is called", remedy='write @coral.task() or @coral.task("phrase")')
    if kind not in (None, *get_args(Kind)):
        raise ConfigError(
            f"@coral.task({kind!r}) names no kind of answers", remedy=known(get_args(Kind), str(kind))
        )
    return decorate


def _rows(function: Make) -> Iterator[Row]:
    number = 0
    for number, record in enumerate(function(), start=1):
        if not isinstance(record, Mapping):
            raise DataError(
                f"{function.__name__}, record {number}: a {type(record).__name__} is not a mapping",
                remedy='yield records such as {"question": ..., "answer": ...}',
            )
        yield Row(fields=dict(record), file=function.__name__, number=number, unit="record")
    if not number:
        raise DataError(f"{function.__name__} yields no record", remedy="yield at least one")
