"""Which tasks there are: the built-in ones, and those of other packages (entry point `coral.tasks`)."""

from __future__ import annotations

from importlib import metadata
from typing import Any, cast

from coral.errors import ConfigError, UserError
from coral.plugins import BROKEN, BrokenPlugIn, PlugIns, known
from coral.store.folder import RunFolder
from coral.tasks import sources
from coral.tasks.options import options_of, typed
from coral.tasks.protocol import Source, Task, TaskInfo

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

BrokenTask = BrokenPlugIn


class _Tasks(PlugIns):
    def check(self, entry: metadata.EntryPoint, found: Any) -> None:
        try:
            info = found().info
        except BROKEN as error:
            raise self.broken(entry, f"{type(error).__name__}: {error}") from error
        if not isinstance(info, TaskInfo):
            raise self.broken(entry, "it lacks a TaskInfo")


_PLUG_INS = _Tasks(
    "task",
    group=GROUP,
    built_in=BUILT_IN,
    required=("problems", "opening", "briefing", "read", "parse", "same", "grade"),
)


def names() -> list[str]:
    """The names of all tasks, built-in ones first. Nothing is imported."""
    return _PLUG_INS.names()


def load(name: str, **options: Any) -> Task:
    """Build a task with its `--task.*` options.

    Raises:
        ConfigError: no such task, or no such option, or a value it does not take.
        BrokenTask: the package that adds it cannot be imported, or holds no task.
    """
    kind = task_class(name)
    there = [option.name for option in options_of(kind)]
    unknown = [option for option in options if option not in there]
    if unknown:
        raise ConfigError(
            f"the task {name} has no option '{unknown[0]}'",
            remedy=known(there, unknown[0]) if there else "it has no options",
        )
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
    return cast("type[Task]", _PLUG_INS.load(name))


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
