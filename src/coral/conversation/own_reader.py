"""Extractors that users write: from the words of a turn to what it submits.

def read(text, problem):
    return text.split()[-1]          # an answer as text; None: unreadable; or a belief

A function, a coroutine function, or a class whose objects are called or have `extract`. It may raise: then
the turn is unreadable, and that is counted and told.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from coral.agents.function import takes_messages
from coral.errors import ConfigError
from coral.plugins import FOREIGN, count_failure, imported
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Problem, Unreadable, Unsure

Read = Belief | str | None
ReaderFunction = Callable[[str, Problem], Read] | Callable[[str, Problem], Awaitable[Read]]
"""From the text of a turn and its problem to what the turn submits."""

_NAMED = re.compile(r"(?P<module>[^\s:]+\.py|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):[A-Za-z_][\w.]*")


class OwnReader:
    """Reads turns with a user's function.

    Args:
        name: what messages call it.
        function: see the module.
    """

    def __init__(self, name: str, function: Callable[[str, Problem], Any]) -> None:
        self.name, self.function = name, function

    async def read(self, text: str, problem: Problem, task: Task) -> Belief:
        """The belief that `text` submits."""
        try:
            said = self.function(text, problem)
            if inspect.isawaitable(said):
                said = await said
            if isinstance(said, Answered | Unsure | Unreadable):
                return said
            if said is not None and not isinstance(said, str):
                raise TypeError(f"it returned {said!r:.80}, which is neither a belief nor a text")
        except FOREIGN as error:
            what = f"the extractor {self.name}"
            return Unreadable(f"extractor failed: {count_failure(what, error, f'problem {problem.id}')}")
        if said is None:
            return Unreadable("the extractor finds no answer")
        return boundary.parse(task, said, problem)


def names_reader(name: str) -> bool:
    """Whether a name is `file.py:name`, or `module:name` of a module there is; models have colons, too."""
    found = _NAMED.fullmatch(name)
    if found is None:
        return False
    module = found["module"]
    if module.endswith(".py"):
        return True
    top = module.partition(".")[0]
    return Path(f"{top}.py").exists() or Path(top).is_dir() or importlib.util.find_spec(top) is not None


def own_reader(name: str, found: Any = None) -> OwnReader:
    """The extractor of a name: `module:name` or `file.py:name`.

    Args:
        found: what it is, where it is at hand.

    Raises:
        ConfigError: it cannot be imported, or is not called with a text and a problem.
    """
    if found is None:
        otherwise = "hand the function itself to coral.evaluate, as extractor=..."
        found = imported(name, kind="extractor", otherwise=otherwise)
    if isinstance(found, type):
        try:
            found = found()
        except FOREIGN as error:
            raise ConfigError(
                f"the extractor {name} cannot be made: {type(error).__name__}: {error}",
                remedy="its class is called without arguments",
            ) from error
    function = getattr(found, "extract", found)
    if not takes_text_and_problem(function):
        raise ConfigError(
            f"the extractor {name} is not a function of a text and a problem",
            remedy="def read(text, problem): return the answer as text, None, or a coral belief",
        )
    return OwnReader(name, function)


def takes_text_and_problem(found: Any) -> bool:
    """Whether something can be called with two arguments, as far as it tells."""
    if not callable(found):
        return False
    try:
        inspect.signature(found).bind("", None)
    except TypeError:
        return False
    except ValueError:  # built in: nobody can tell
        return True
    return True


def is_reader(given: Any) -> bool:
    """Whether an object extracts beliefs: what is called with one argument plays a model instead."""
    if isinstance(given, str | Mapping) or hasattr(given, "generate"):
        return False
    if callable(getattr(given, "extract", None)):
        return True
    return not isinstance(given, type) and takes_text_and_problem(given) and not takes_messages(given)
