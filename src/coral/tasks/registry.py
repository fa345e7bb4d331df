"""Which tasks there are: the built-in ones, and those of other packages (entry point `coral.tasks`)."""

from __future__ import annotations

import importlib
import logging
from difflib import get_close_matches
from functools import lru_cache
from importlib import metadata
from typing import Any, cast

from coral.errors import ConfigError, UserError
from coral.store.folder import RunFolder
from coral.tasks import sources
from coral.tasks.options import options_of, typed
from coral.tasks.protocol import Source, Task, TaskInfo

log = logging.getLogger(__name__)

GROUP = "coral.tasks"

BUILT_IN = {
    "math": "coral.tasks.math:Math",
    "mmlu_pro": "coral.tasks.mmlu_pro:MmluPro",
    "gpqa": "coral.tasks.gpqa:Gpqa",
    "gsm8k": "coral.tasks.gsm8k:Gsm8k",
    "explore_tom": "coral.tasks.explore_tom:ExploreTom",
    "hi_tom": "coral.tasks.hi_tom:HiTom",
    "sally_anne": "coral.tasks.sally_anne:SallyAnne",
    "hidden_profile": "coral.tasks.hidden_profile:HiddenProfile",
    "split_chain": "coral.tasks.split_chain:SplitChain",
}
"""Name -> module and class. Imported when asked for, so that the command line starts fast."""

# What a module with a mistake in it raises when it is imported.
_BROKEN = (
    ImportError,
    AttributeError,
    NameError,
    SyntaxError,
    TypeError,
    ValueError,
    LookupError,
    OSError,
    RuntimeError,
)


class BrokenTask(UserError):
    """A task that another package adds cannot be loaded."""


def names() -> list[str]:
    """The names of all tasks, built-in ones first. Nothing is imported."""
    return [*BUILT_IN, *sorted(_plug_ins())]


def load(name: str, **options: Any) -> Task:
    """Build a task with its `--task.*` options.

    Raises:
        ConfigError: no such task, or no such option, or a value it does not take.
        BrokenTask: the package that adds it cannot be imported, or holds no task.
    """
    kind = task_class(name)
    known = [option.name for option in options_of(kind)]
    unknown = [option for option in options if option not in known]
    if unknown:
        raise ConfigError(f"the task {name} has no option '{unknown[0]}'", remedy=_known(known, unknown[0]))
    return kind(**typed(name, kind, options))


def task_of(folder: RunFolder) -> Task:
    """The task of a stored run.

    Raises:
        UserError: there is no run, or no such task any more.
    """
    return load(**folder.identity()["task"])


def task_class(name: str) -> type[Task]:
    """The class of a task; the fields of its constructor are the task's options.

    Raises:
        ConfigError: no such task.
        BrokenTask: as `load`.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast("type[Task]", getattr(importlib.import_module(module), attribute))
    plug_ins = _plug_ins()
    if name not in plug_ins:
        raise ConfigError(f"there is no task '{name}'", remedy=_known(names(), name))
    if len(plug_ins[name]) > 1:
        raise BrokenTask(
            f"the task '{name}' is added by several packages: {_packages(plug_ins[name])}",
            remedy="uninstall all but one of them",
        )
    return _load_plug_in(plug_ins[name][0])


def option_types(name: str) -> dict[str, Any]:
    """The types of a task's options by name, as far as its class tells them; none where there is no task."""
    try:
        return {
            option.name: option.type for option in options_of(task_class(name)) if option.type is not None
        }
    except UserError:
        return {}


def info(name: str) -> TaskInfo:
    """What a task says about itself.

    Raises:
        ConfigError, BrokenTask: as `load`.
    """
    return load(name).info


def fingerprint(task: Task, source: Source) -> str:
    """What identifies the data of a run; see `sources.fingerprint`.

    Raises:
        DataError: the data are not there or cannot be read.
    """
    return sources.fingerprint(source, task.info)


def _plug_ins() -> dict[str, list[metadata.EntryPoint]]:
    """Entry points by name, without those that bear a built-in name: no task is replaced unseen."""
    found: dict[str, list[metadata.EntryPoint]] = {}
    for entry in metadata.entry_points(group=GROUP):
        if entry.name in BUILT_IN:
            _tell_of_clash(_packages([entry]), entry.name)
        else:
            found.setdefault(entry.name, []).append(entry)
    return found


@lru_cache
def _tell_of_clash(package: str, name: str) -> None:
    """Once, however often the names are looked up."""
    log.warning("%s adds a task '%s'; that name is built in, so it is left out", package, name)


def _load_plug_in(entry: metadata.EntryPoint) -> type[Task]:
    problem = f"the task '{entry.name}' of {_packages([entry])} cannot be used"
    remedy = f"mend or uninstall that package; the entry point is {entry.value}"
    try:
        kind = entry.load()
        info = kind().info
    except _BROKEN as error:
        raise BrokenTask(f"{problem}: {type(error).__name__}: {error}", remedy=remedy) from error
    missing = [
        name
        for name in ("problems", "opening", "briefing", "read", "parse", "same", "grade")
        if not hasattr(kind, name)
    ]
    if missing or not isinstance(info, TaskInfo):
        raise BrokenTask(f"{problem}: it lacks {', '.join(missing) or 'a TaskInfo'}", remedy=remedy)
    return cast("type[Task]", kind)


def _packages(entries: list[metadata.EntryPoint]) -> str:
    return ", ".join(entry.dist.name if entry.dist else "an unnamed package" for entry in entries)


def _known(known: list[str], wanted: str) -> str:
    close = get_close_matches(wanted, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}There are: {', '.join(known)}" if known else "it has no options"
