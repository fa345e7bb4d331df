"""`coral tasks`: which tasks there are, and how to get their data; with a name, one of them in detail."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from itertools import islice

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from coral.cli.terminal import WIDTH, Terminal, standard_output
from coral.cli.visible import visible
from coral.errors import DataError, UserError
from coral.tasks import boundary, reasoning_gym, registry, sources
from coral.tasks.options import Option, options_of
from coral.tasks.protocol import Source, Task, TaskInfo


def run(argv: list[str]) -> int:
    """Print the list of tasks, or one task, to standard output; the exit code is 0.

    Raises:
        UserError: no such task, or its data cannot be read.
    """
    options = _parser().parse_args(argv)
    if options.name is None:
        _print_all()
    elif options.name.rstrip(":") == FAMILIES and FAMILIES not in registry.names():
        _print_families()
    else:
        _print_one(options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coral tasks",
        description="List the tasks and how to get their data, or show one task in detail.",
    )
    parser.add_argument("name", nargs="?", help="the task to show in detail")
    parser.add_argument("--data", help="file, folder or hf:// address: show a problem from it")
    parser.add_argument(
        "--split", default="", help="split to show a problem from; by default the task's first"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of generated problems and shuffled choices")
    parser.add_argument("--split_seed", type=int, default=0, help="seed of the splits of data without any")
    parser.add_argument("--data_password", dest="password", help="password of an encrypted archive (GPQA)")
    return parser


def _print_all() -> None:
    infos, broken = _infos()
    console = standard_output()
    console.print(_table(infos))
    console.print("\nTo get the data:")
    for info in infos:
        _print_fetch(console, info)
    for problem in broken:
        console.print(f"\n{problem}\n  {problem.remedy}", style="yellow")
    console.print(f"\n{FAMILIES}:NAME is one of about 100 generated tasks:")
    there = reasoning_gym.is_installed()
    console.print(
        f"  `coral tasks {FAMILIES}` lists them" if there else f"  {reasoning_gym.FETCH}", soft_wrap=True
    )
    console.print("\n`coral tasks NAME` shows one task, with `--data PATH` a problem of it.")


FAMILIES = reasoning_gym.PREFIX[:-1]


def _print_families() -> None:
    """The names of generated tasks that another package makes."""
    console = standard_output()
    names = reasoning_gym.families()
    console.print(f"{FAMILIES}:NAME  {len(names)} generated tasks:")
    console.print(Padding(Text(", ".join(names)), (0, 0, 0, 2)))


def _infos() -> tuple[list[TaskInfo], list[UserError]]:
    """A task of another package that is broken hides no other."""
    infos, broken = [], []
    for name in registry.names():
        try:
            infos.append(registry.info(name))
        except UserError as error:
            broken.append(error)
    return infos, broken


def _table(infos: list[TaskInfo]) -> Table:
    table = Table(box=None, pad_edge=False, width=WIDTH)
    table.add_column("task", no_wrap=True)
    table.add_column("problems", ratio=3)
    table.add_column("licence", ratio=2)
    table.add_column("published by", ratio=3)
    for info in infos:
        table.add_row(info.name, info.size, info.license, info.origin.split(", http")[0])
    return table


def _print_fetch(console: Terminal, info: TaskInfo) -> None:
    # One line however narrow the terminal: a command is there to be copied.
    console.print(f"  {info.name}", style="bold")
    console.print(f"    {info.fetch}", soft_wrap=True)


def _print_one(options: argparse.Namespace) -> None:
    kind, console = registry.task_class(options.name), standard_output()
    needed = [f"--task.{option.name}" for option in options_of(kind) if option.default is None]
    if needed:  # there is no such task before they are given
        console.print(f"{options.name} is a task that needs {', '.join(needed)}.", soft_wrap=True)
        _print_options(console, options_of(kind))
        return
    task = registry.load(options.name)
    for line in _details(task.info):
        console.print(line, soft_wrap=True)
    console.print("\nAn answer is asked for in these words:")
    console.print(Padding(Text(visible(task.instruction)), (0, 0, 0, 2)))
    _print_options(console, options_of(type(task)))
    source = Source(
        data=options.data,
        split=options.split,
        seed=options.seed,
        split_seed=options.split_seed,
        password=options.password,
        graded=False,
    )
    if source.data is not None or _is_generated(task):
        _print_problem(console, task, source)


def _details(info: TaskInfo) -> list[str]:
    pairs = {
        "problems": info.size,
        "published by": info.origin,
        "licence": info.license,
        "splits": ", ".join(info.splits),
        "to get them": info.fetch,
    }
    lines = [info.title, "", *(f"{name:14}{value}" for name, value in pairs.items() if value)]
    if info.confidential:
        lines += ["", "The authors ask that no problem is shown in plain text online."]
    return lines


def _print_options(console: Terminal, options: Sequence[Option]) -> None:
    console.print("\nOptions of its own:" if options else "\nIt has no options of its own.")
    for option in options:
        _print_option(console, option)


def _print_option(console: Terminal, option: Option) -> None:
    kind = f"{option.kind}, " if option.kind else ""
    default = "has to be given" if option.default is None else f"by default {option.default}"
    console.print(f"  --task.{option.name}: {kind}{default}")
    if option.about:
        console.print(Padding(Text(visible(option.about)), (0, 0, 0, 6)))


def _is_generated(task: Task) -> bool:
    """Whether a task gives problems without data."""
    try:
        return next(boundary.problems(task, Source(data=None, split=task.info.splits[0])), None) is not None
    except DataError:
        return False


def _print_problem(console: Terminal, task: Task, source: Source) -> None:
    source = source if source.split else dataclasses.replace(source, split=task.info.splits[0])
    problem = next(islice(boundary.problems(task, source), 1), None)
    if problem is None:
        raise UserError(
            "this split holds no problem", remedy=f"it has the splits {', '.join(task.info.splits)}"
        )
    console.print(f"\nThe first problem is {problem.id}")
    if fingerprint := sources.fingerprint(source):
        console.print(f"{fingerprint}", soft_wrap=True)
    shown = "withheld, as the authors ask" if task.info.confidential else task.opening(problem)
    gold = "withheld" if task.info.confidential else problem.target
    console.print(f"\n{shown}\n\nright answer:{f'{chr(10)}{gold}' if chr(10) in gold else f' {gold}'}")
