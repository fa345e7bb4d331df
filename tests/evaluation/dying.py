"""Coral commands that die: a process that runs them in forked children and kills each where it is told to.

Reads one JSON object a line from standard input, and answers with one:

    {"arguments": [...], "folder": DIR, "kill": null}               -> {"status": 0, "operations": [...]}
    {"arguments": [...], "folder": DIR, "kill": [7, "amid"]}        -> {"status": -9, "operations": []}
    {"arguments": [...], "folder": DIR, "kill_after_s": 0.31}       -> {"status": -9, "operations": []}

`operations` names what a command did to the files of DIR, such as "write journal/00000.jsonl", in order.
A kill is at one of them, by number: "before", "amid" (of a write the first half is done) or "after" it.
Forking saves the start of Python and the imports, which take longer than a small run.
"""

from __future__ import annotations

import io
import json
import os
import pathlib
import re
import select
import signal
import sys
from contextlib import suppress


class Operations:
    """Wraps the functions by which files are changed; counts their calls, and kills this process at one."""

    def __init__(self, folder, kill):
        self.folder = os.path.realpath(folder)
        self.index, self.moment = kill or (None, None)
        self.done = []
        self.open_files = {}

    def install(self):
        for name in ("mkdir", "rmdir", "unlink", "replace", "rename", "link"):
            setattr(os, name, self.of_path(name, getattr(os, name)))
        for name in ("write", "pwrite", "ftruncate", "fsync"):
            setattr(os, name, self.of_descriptor(name, getattr(os, name)))
        os.open = self.opening(os.open)
        io.open = self.opening(io.open)
        if accessor := getattr(pathlib, "_NormalAccessor", None):  # on Python 3.10 it has taken them already
            for name in ("mkdir", "rmdir", "unlink", "replace", "rename", "link"):
                setattr(accessor, name, staticmethod(getattr(os, name)))
            accessor.open = staticmethod(io.open)

    def name(self, path):
        """The name of a file within the folder, None outside of it. Partial files have one name."""
        whole = os.path.realpath(path)
        if not whole.startswith(self.folder) or whole.endswith(".index"):
            return None
        inside = os.path.relpath(whole, self.folder)
        return re.sub(r"\.[0-9a-f]{16}\.partial", "PARTIAL", inside)

    def step(self, what, call, half=None):
        number = len(self.done)
        self.done.append(what)
        if number != self.index:
            return call()
        if self.moment == "after":
            call()
        elif self.moment == "amid" and half is not None:
            half()
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    def of_path(self, name, function):
        def wrapped(path, *rest, **more):
            inside = path if more.get("dir_fd") is not None else self.name(path)
            if inside is None:
                return function(path, *rest, **more)
            target = f" -> {self.name(rest[0])}" if name in {"replace", "rename", "link"} else ""
            return self.step(f"{name} {inside}{target}", lambda: function(path, *rest, **more))

        return wrapped

    def of_descriptor(self, name, function):
        def wrapped(descriptor, *rest):
            inside = self.open_files.get(descriptor)
            if inside is None:
                return function(descriptor, *rest)
            half = None
            if name == "write":
                half = lambda: function(descriptor, rest[0][: len(rest[0]) // 2])  # noqa: E731
            return self.step(f"{name} {inside}", lambda: function(descriptor, *rest), half)

        return wrapped

    def opening(self, function):
        def wrapped(path, mode="r", *rest, **more):
            is_path = isinstance(path, str | os.PathLike)
            writes = any(letter in mode for letter in "wax+") if isinstance(mode, str) else mode & os.O_CREAT
            inside = self.name(path) if is_path and writes else None
            if inside is None:
                return function(path, mode, *rest, **more)
            opened = self.step(f"open {inside}", lambda: function(path, mode, *rest, **more))
            self.open_files[opened if isinstance(opened, int) else opened.fileno()] = inside
            return opened

        return wrapped


def run(order, pipe):
    """In the child: run the command, and tell what it did."""
    with open(os.devnull, "r+") as nowhere:  # noqa: PTH123 - Path.open is about to be wrapped
        for stream in (0, 1, 2):
            os.dup2(nowhere.fileno(), stream)
    from coral.cli import main

    operations = Operations(order["folder"], order.get("kill"))
    writing = os.write
    operations.install()
    status = main(order["arguments"])
    writing(pipe, json.dumps({"status": status, "operations": operations.done}).encode())
    os._exit(0)


def answer(order):
    """In the parent: fork, wait, and say how it ended."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            run(order, writing)
        finally:
            os._exit(1)
    os.close(writing)
    if (seconds := order.get("kill_after_s")) is not None:
        select.select([reading], [], [], seconds)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if told:
        return json.loads(told)
    return {"status": -status if os.WIFSIGNALED(status) else 1, "operations": []}


def warm_up():
    """Import what the commands need, once for all of them."""
    import coral.api
    import coral.cli.eval
    import coral.cli.sample  # noqa: F401


if __name__ == "__main__":
    warm_up()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()
