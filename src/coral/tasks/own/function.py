"""`@coral.task`: a task out of one function that yields records."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field, make_dataclass
from typing import Any, Literal, get_args

from coral.errors import ConfigError, DataError
from coral.plugins import kind_of, known
from coral.tasks import sources
from coral.tasks.files import Row
from coral.tasks.options import hints_of, named, type_of
from coral.tasks.own import open as free
from coral.tasks.own.choices import Choices
from coral.tasks.own.open import Open
from coral.tasks.protocol import Source, Task, TaskInfo
from coral.types import Problem

Records = Iterable[Mapping[str, Any]]
Make = Callable[..., Records]
Kind = Literal["choices", "number", "math", "phrase", "exact"]


def task(kind: Kind | None = None) -> Callable[[Make], type[Task]]:
    """Make a task of a function that yields records: mappings such as the tasks `choices` and `open` read.

    @coral.task("phrase")
    def capitals(limit: int = 20):
        yield {"question": "What is the capital of France?", "answer": "Paris"}

    The task goes to `coral.evaluate(task=capitals(limit=5))`, or by name: `coral eval my_tasks.py:capitals
    --task.limit 5`. It takes the function's parameters as options, beside those of `choices` or `open`; its
    splits are seeded parts of what the function yields, `all` by default.

    Args:
        kind: choices, or the kind of free answers; as for `open` where it is not given.
    """

    def decorate(function: Make) -> type[Task]:
        base: type[Choices | Open] = Choices if kind == "choices" else Open
        title = " ".join((function.__doc__ or "").split("\n\n")[0].split())
        info = TaskInfo(name=function.__name__, title=title, splits=sources.SEEDED)
        own = _own_options(function, base)

        def problems(self: Choices | Open, source: Source) -> Iterator[Problem]:
            """Stream the problems of a split; see `Task.problems`."""
            split = sources.split_of(source, info)
            given = {name: getattr(self, name) for name in own}
            found = self.problems_in(lambda: _rows(function, given))
            return sources.seeded(found, split, source.split_seed, key=lambda problem: problem.id)

        parts = {
            "info": info, "problems": problems, "__doc__": function.__doc__,
            "__module__": function.__module__, "__qualname__": function.__qualname__,
        }  # fmt: skip
        fields = list(own.values())
        if kind not in (None, "choices"):
            fields.append(("kind", free.Kind | None, field(default=kind)))
        return make_dataclass(function.__name__, fields, bases=(base,), namespace=parts, frozen=True)

    if callable(kind):
        raise ConfigError("@coral.task is called", remedy='write @coral.task() or @coral.task("phrase")')
    if kind not in (None, *get_args(Kind)):
        raise ConfigError(
            f"@coral.task({kind!r}) names no kind of answers", remedy=known(get_args(Kind), str(kind))
        )
    return decorate


def _own_options(function: Make, base: type[Task]) -> dict[str, tuple[str, Any, Any]]:
    """A field of the task for each parameter, by its name.

    Raises:
        ConfigError: one is called as an option, or another part, of the task is.
    """
    hints, found = hints_of(function), {}
    parameters = inspect.signature(function).parameters
    for name in named(function):
        if name == "name" or hasattr(base, name):
            raise ConfigError(
                f"{function.__name__} cannot have a parameter called {name}: every such task has a part of "
                "that name",
                remedy="call it something else",
            )
        default = parameters[name].default
        kind = hints.get(name) or type_of(default) or Any
        found[name] = (name, kind, _field(default))
    return found


def _field(default: Any) -> Any:
    """The field of a parameter. A default that may be changed is made anew for each task."""
    if default is inspect.Parameter.empty:
        return field(kw_only=True)
    if _may_change(default):
        return field(kw_only=True, default_factory=functools.partial(copy.deepcopy, default))
    return field(kw_only=True, default=default)


def _may_change(value: Any) -> bool:
    return type(value).__hash__ is None


def _rows(function: Make, options: Mapping[str, Any]) -> Iterator[Row]:
    number = 0  # the function is called once per pass, and meets its options as they were
    own = {name: copy.deepcopy(value) if _may_change(value) else value for name, value in options.items()}
    for number, record in enumerate(function(**own), start=1):
        if not isinstance(record, Mapping):
            raise DataError(
                f"{function.__name__}, record {number}: {kind_of(record)} is not a mapping",
                remedy='yield records such as {"question": ..., "answer": ...}',
            )
        yield Row(fields=dict(record), file=function.__name__, number=number, unit="record")
    if not number:
        raise DataError(f"{function.__name__} yields no record", remedy="yield at least one")
