"""Which tasks there are: the built-in ones, and those of other packages (entry point `coral.tasks`)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import msgspec

from coral.errors import ConfigError, Notice, UserError
from coral.plugins import FOREIGN, BrokenPlugIn, PlugIns, cause, imported, kind_of, known
from coral.store.folder import RunFolder
from coral.tasks import reasoning_gym, sources
from coral.tasks.judged import with_verdicts
from coral.tasks.options import options_of, typed
from coral.tasks.own.fields import rows
from coral.tasks.protocol import Source, Task, TaskInfo

GROUP = "coral.tasks"

BUILT_IN = {
    "math": "coral.tasks.math:Math",
    "mmlu_pro": "coral.tasks.mmlu_pro:MmluPro",
    "gpqa": "coral.tasks.gpqa:Gpqa",
    "gsm8k": "coral.tasks.gsm8k:Gsm8k",
    "humaneval": "coral.tasks.code.humaneval:HumanEval",
    "mbpp": "coral.tasks.code.mbpp:Mbpp",
    "livecodebench": "coral.tasks.code.livecodebench:LiveCodeBench",
    "explore_tom": "coral.tasks.explore_tom:ExploreTom",
    "hi_tom": "coral.tasks.hi_tom:HiTom",
    "sally_anne": "coral.tasks.sally_anne:SallyAnne",
    "hidden_profile": "coral.tasks.hidden_profile:HiddenProfile",
    "split_chain": "coral.tasks.split_chain:SplitChain",
    "mbpp_cr": "coral.tasks.code.mbpp_cr:MbppCr",
    "choices": "coral.tasks.own.choices:Choices",
    "open": "coral.tasks.own.open:Open",
}
"""Name -> module and class. Imported when asked for, so that the command line starts fast."""

BrokenTask = BrokenPlugIn


class _Tasks(PlugIns):
    def check(self, entry: metadata.EntryPoint, found: Any) -> None:
        try:
            info = found().info
        except FOREIGN as error:
            raise self.broken(entry, f"{type(error).__name__}: {error}") from error
        if not isinstance(info, TaskInfo):
            raise self.broken(entry, "it lacks a TaskInfo")


REQUIRED = ("problems", "opening", "briefing", "read", "parse", "same", "grade")
"""What every task has, beside `info` and `instruction`."""

_PLUG_INS = _Tasks(
    "task",
    group=GROUP,
    built_in=BUILT_IN,
    required=REQUIRED,
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
    _check(name, kind, options)
    values = typed(name, kind, options)
    if ":" not in name:
        return kind(**values)
    try:
        return checked(kind(**values))
    except UserError:
        raise
    except FOREIGN as error:
        raise ConfigError(
            f"the task {name} cannot be made: {cause(error)}", remedy="mend its class"
        ) from error


def _check(name: str, kind: type[Task], options: Collection[str]) -> None:
    """Refuse options that there are not, and that one is missing which has no default.

    Raises:
        ConfigError: names it.
    """
    there = options_of(kind)
    names = [option.name for option in there]
    for option in options:
        if option not in names:
            raise ConfigError(
                f"the task {name} has no option '{option}'",
                remedy=known(names, option) if there else "it has no options",
            )
    for one in there:
        if one.default is None and one.name not in options:
            wanted = f" ({one.kind})" if one.kind else ""
            raise ConfigError(
                f"the task {name} needs its option {one.name}{wanted}",
                remedy=f"give --task.{one.name} VALUE, or the parameter a default",
            )


def checked(task: Task) -> Task:
    """A task of somebody else's, if it says what a task says about itself.

    Raises:
        ConfigError: it does not.
    """
    try:
        info, instruction = task.info, task.instruction
    except FOREIGN as error:
        raise ConfigError(
            f"{kind_of(task)} does not say how it is answered: {cause(error)}", remedy=_WHAT_A_TASK_IS
        ) from error
    for name, value, wanted in (("info", info, TaskInfo), ("instruction", instruction, str)):
        if not isinstance(value, wanted):
            raise ConfigError(
                f"the {name} of {type(task).__name__} is {value!r:.40}, not a {wanted.__name__}",
                remedy=_WHAT_A_TASK_IS,
            )
    return task


_WHAT_A_TASK_IS = "docs/tasks.md says what a task is"


def task_of(folder: RunFolder) -> Task:
    """The task of a stored run, with the verdicts of its judge where it has one.

    Raises:
        UserError: there is no run, or no such task any more.
    """
    return with_verdicts(load(**folder.identity()["task"]), folder)


def task_class(name: str) -> type[Task]:
    """The class of a task; the fields of its constructor are the task's options.

    Raises:
        ConfigError: no such task.
        BrokenTask: as `load`.
        MissingExtra: it is one of another package, which is not installed.
    """
    if name.startswith(reasoning_gym.PREFIX):
        return reasoning_gym.task_class(name)
    if ":" not in name:
        if name == reasoning_gym.PREFIX[:-1] and name not in names():
            raise ConfigError(
                "reasoning_gym stands for many tasks",
                remedy=f"name a family, such as {name}:leg_counting; `coral tasks {name}` lists them",
            )
        if name not in names() and (remedy := _resumes(Path(name)) or _own(name)):
            raise ConfigError(f"{name} is not a task", remedy=remedy)
        if name not in names() and Path(name).is_file():
            raise _data_as_task(name)
        return cast("type[Task]", _PLUG_INS.load(name))
    found = imported(name, kind="task", otherwise=_WHERE_IT_IS)
    if not isinstance(found, type):
        remedy = "a function that yields records becomes one by a line above it: @coral.task()"
        raise ConfigError(f"{name} is not a task but {kind_of(found)}", remedy=remedy)
    if missing := [part for part in REQUIRED if not hasattr(found, part)]:
        raise ConfigError(f"{name} is not a task: it lacks {', '.join(missing)}", remedy=_WHAT_A_TASK_IS)
    _check_names(found)
    return cast("type[Task]", found)


def _check_names(kind: type[Task]) -> None:
    """Raises ConfigError where a parameter is called what names the task among its options."""
    if "name" in (option.name for option in options_of(kind)):
        raise ConfigError(
            f"{kind.__name__} has an option called name, which says what task it is",
            remedy="call the parameter something else",
        )


def _own(name: str) -> str:
    """How the tasks of a Python file, or of a module of this folder, are named; empty of anything else."""
    if name.endswith(".py") and Path(name).is_file():
        return f"it is a file of Python: name the task in it, {name}:NAME"
    module, _, task = name.rpartition(".")
    is_module = bool(module) and Path(*module.split(".")).with_suffix(".py").is_file()
    return f"a task of your own is named {module}:{task}" if is_module else ""


def _resumes(path: Path) -> str:
    """What was meant by a run's folder, or a file of options, in a task's place; empty of anything else."""
    if (path / "run.json").is_file():
        return f"it is the folder of a run: `--config {path / 'config.yaml'}` resumes it"
    is_yaml = path.suffix.lower() in {".yaml", ".yml"} and path.is_file()
    return f"it is a file of options? `--config {path}` reads them" if is_yaml else ""


def _data_as_task(data: str) -> ConfigError:
    """The user named a file of data in a task's place: say which tasks can read it."""
    found = [name for name in BUILT_IN if _reads(name, data)]
    others = f" (or by {', '.join(found[1:])})" if found[1:] else ""
    if found:
        remedy = f"it can be read by: coral eval {found[0]} --data {data}{others}"
    else:
        try:
            names = ", ".join(_fields_of(data))
        except UserError as error:
            return ConfigError(
                f"{data} is not a task, and not data that can be read: {error}", remedy=error.remedy
            )
        remedy = (
            f"say which fields hold what: coral eval open --data {data} --task.question FIELD --task.answer "
            f"FIELD; choices takes --task.choices FIELD, too; the record has: {names}"
        )
    return ConfigError(f"{data} is a file of data, not a task", remedy=remedy)


def _fields_of(data: str) -> tuple[str, ...]:
    """The fields of a file's first record.

    Raises:
        UserError: it cannot be read.
    """
    return tuple(next(rows(Source(data=data, split=""), load("open").info)).fields)


def _reads(name: str, data: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Notice)
        try:
            return next(load(name).problems(Source(data=data, split="", graded=False)), None) is not None
        except UserError:
            return False


_WHERE_IT_IS = (
    "where the class is defined, hand an object of it to coral.evaluate or coral.score as task=...: the run "
    "folder holds all conversations"
)


def described(task: Task) -> dict[str, Any]:
    """The name and all options of a task object, as `load` takes them: `module:Class` where no name is known.

    An option that JSON cannot hold stands there by its type alone.

    Raises:
        ConfigError: it is no task.
    """
    if isinstance(task, type):
        raise ConfigError(f"{task.__name__} is a class, not a task", remedy="give an object of it")
    missing = [part for part in ("info", "instruction", *REQUIRED) if not hasattr(task, part)]
    if missing or not isinstance(task.info, TaskInfo):
        lacking = ", ".join(missing) or "a TaskInfo as its info"
        raise ConfigError(
            f"{kind_of(task)} is not a task: it lacks {lacking}",
            remedy=_WHAT_A_TASK_IS,
        )
    kind = type(task)
    _check_names(kind)
    path = f"{kind.__module__}:{kind.__qualname__}"
    options = {
        option.name: _plain(getattr(task, option.name))
        for option in options_of(kind)
        if hasattr(task, option.name)
    }
    return {"name": getattr(kind, "known_as", None) or _PLUG_INS.name_of(path) or path, **options}


def _plain(value: Any) -> Any:
    try:
        return msgspec.json.decode(msgspec.json.encode(value, enc_hook=os.fspath))
    except (TypeError, ValueError, msgspec.MsgspecError):
        return kind_of(value)


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
