"""The command line: `coral COMMAND ...`. Each command is a module with `run(arguments) -> exit code`."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence

from coral.cli.streams import standard_streams
from coral.errors import FatalReject, Notice, UserError

COMMANDS = {
    "eval": "let agents converse over a task, and measure how they reason",
    "chat": "talk with a model about a task's problems, from one of the seats",
    "sample": "sample conversations for training: several candidates per turn",
    "build": "make training rows of runs: replies, pairs or labelled replies",
    "train": "train a model on rows, or resume a training",
    "improve": "evaluate, sample, build, train, evaluate again; keep what is better",
    "score": "measure a stored run again, without a model",
    "compare": "compare runs on the same problems, paired by problem",
    "list": "list the runs below a folder, with their headline, state and date",
    "study": "run arms on the same problems, and report what they show",
    "audit": "read replies again, and correct the headline for errors of reading",
    "fork": "continue stored conversations from a turn, changed and unchanged",
    "power": "how many problems a difference needs, and which one so many find",
    "plot": "draw runs: intervals, beliefs by turn, cost, groups, differences",
    "show": "read the conversations of a run",
    "view": "show runs in the browser: conversations, beliefs, two side by side",
    "judge": "let people judge conversations of two runs, blind",
    "export": "write the conversations of a run to one file, with or without texts",
    "import": "make a run of an output folder of the published code",
    "tasks": "list the tasks, and how to fetch their data",
    "prices": "show the prices by which costs are computed, with date and source",
    "examples": "copy recipes and sample data into a folder",
    "doctor": "probe a model: what it and its server can do, and what follows",
    "generate": "ask a model for a reply to each row of a file",
    "make": "make a set of right and wrong programs, each labelled by running it",
    "cluster": "keep a pool of replicas of a server: on this machine, SLURM or Ray",
    "serve": "serve a checkpoint, or the scripted agent, over HTTP",
    "completion": "print a script with which bash, zsh or fish completes options",
}

_MODULES = {"list": "list_runs", "import": "import_run"}
"""Where a module of the command's name would hide a built-in function."""

EXIT_DONE = 0
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the console script's entry.

    Returns:
        0 done, 2 user error, 3 too many failed conversations or stopped early, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    with standard_streams(), warnings.catch_warnings():
        warnings.showwarning = _note(warnings.showwarning)
        return _answer(arguments)


def _answer(arguments: list[str]) -> int:
    """Run the command, and tell of what the user can fix; returns the exit code."""
    try:
        try:
            return _dispatch(arguments[0] if arguments else "help", arguments[1:])
        finally:
            sys.stdout.flush()
    except UserError as error:
        _complain(str(error), error.remedy)
        return error.exit_code
    except FatalReject as error:
        remedy = error.remedy or "fix that, then run the same command again"
        _complain(f"the server refuses every request: {error}", remedy)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        return EXIT_DONE
    except OSError as error:  # of a file that nobody minded: its rights, its place or its name
        if error.filename is None:
            raise
        _complain(f"{_shortened(os.fsdecode(error.filename))}: {error.strerror}", _remedy(error))
    return EXIT_USER_ERROR


def _dispatch(command: str, arguments: list[str]) -> int:
    if command == "help" and arguments:
        command, arguments = arguments[0], [*arguments[1:], "--help"]
    if command in {"-h", "--help", "help", "--version"}:
        print(_version() if command == "--version" else _help())
        return EXIT_DONE
    if command not in COMMANDS:
        import difflib

        near = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"did you mean `coral {near[0]}`?" if near else "`coral --help` lists the commands"
        raise UserError(f"no command '{command}'", remedy=hint)
    module = importlib.import_module(f"coral.cli.{_MODULES.get(command, command)}")
    code: int = module.run(arguments)
    return code


def _help() -> str:
    rows = "\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items())
    return (
        "usage: coral COMMAND ...\n\n"
        "Language models that reason together: evaluate, sample, train, improve.\n\n"
        f"{rows}\n\n"
        "`coral COMMAND --help` tells the options of a command."
    )


def _version() -> str:
    from coral.version import version

    return f"coral {version()}"


def _note(others: Callable[..., None]) -> Callable[..., None]:
    """Shows a `Notice` as a line of its own, and other warnings as `others` does."""

    def show(message: Warning | str, category: type[Warning], *rest: object) -> None:
        if issubclass(category, Notice):
            print(f"coral: {message}", file=sys.stderr)
        else:
            others(message, category, *rest)

    return show


LONGEST_PATH = 200
"""Characters of a path in a message."""


def _shortened(path: str) -> str:
    half = LONGEST_PATH // 2
    return path if len(path) <= LONGEST_PATH else f"{path[:half]}...{path[-half:]}"


def _remedy(error: OSError) -> str:
    match error.errno:
        case errno.ENAMETOOLONG:
            return "give a shorter name"
        case errno.ENOSPC | errno.EDQUOT:
            return "free space, then run the same command again"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "fix the rights, or name another place"
    return "fix that, then run the same command again"


def _complain(cause: str, remedy: str) -> None:
    print(f"coral: {cause}", file=sys.stderr)
    if remedy:
        print(f"  -> {remedy}", file=sys.stderr)
