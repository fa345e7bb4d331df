"""Checks as a worker process makes them (see `workers.py`): it starts the processes in the jail, carries
messages between them, keeps their limits, and is the one who says how a check ended.

A program gets an interpreter that nobody used before, started in advance. The tests, which are trusted, are
forked from one that stays.
"""

from __future__ import annotations

import math
import re
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from coral.errors import SandboxError
from coral.jail.cells import Cell, Ended, Late, TooMuch
from coral.jail.drivers import DRIVERS
from coral.jail.inside.tests import ASK, DONE, VERDICT
from coral.jail.inside.wire import NotPlain, dumps, loads
from coral.jail.outcomes import Kind, Limits, Outcome, Returned, bounded

SPARES = 2
"""Interpreters that wait for a program."""
_MOST_FRAME = 32 << 20
_MOST_TOLD = 1 << 20
"""Bytes of what is told for one input, value and arguments: whoever asked reads that of all inputs."""
_GRACE_S = 1.0
_TESTS_MEMORY = 1 << 30
_OPEN_FILES = 64
_LONGEST_VERDICT = 1 << 16
_GONE = dumps(("failure", "exit", "", "", "", ()))
"""What the tests' process is told where the program's has ended."""

Result = TypeVar("Result")

_spares: dict[str, list[Cell]] = {}
_judges: dict[str, Cell] = {}


def check(driver: str, program: str, tests: str, setup: str, names: list[str], limits: Any) -> Outcome | str:
    """See `coral.jail.check`; a text where the tests are at fault."""
    return _surely(lambda: _Check(driver, msgspec.convert(limits, Limits)).run(program, tests, setup, names))


def run_script(driver: str, program: str, stdin: str, limits: Any) -> Outcome:
    """See `coral.jail.run_script`."""
    return _surely(lambda: _script(driver, program, stdin, msgspec.convert(limits, Limits)))


def call(driver: str, program: str, name: str, inputs: list[str], limits: Any) -> list[Returned]:
    """See `coral.jail.call`; `inputs` are encoded by `inside/wire.py`, and so are the values."""
    return _surely(lambda: _calls(driver, program, name, inputs, msgspec.convert(limits, Limits)))


def _surely(run: Callable[[], Result]) -> Result:
    """What `run` returns. Where the jail itself fails this process ends, so that nobody remembers that."""
    try:
        return run()
    except SandboxError as error:
        sys.exit(str(error))


def _program(driver: str, limits: Limits, job: dict[str, Any]) -> tuple[Cell, float]:
    """A fresh interpreter that has been given a program, and the end of its time."""
    spares = _spares.setdefault(driver, [])
    for dead in [cell for cell in spares if not cell.is_alive()]:
        spares.remove(dead)
        dead.kill()
    while len(spares) <= SPARES:
        spares.append(DRIVERS[driver].start("program"))
        spares[-1].prepare()
    cell = spares.pop(0)
    cell.wait_until_ready()
    deadline = time.monotonic() + limits.wall_s
    job["folder"] = cell.folder = DRIVERS[driver].folder()
    job["limits"] = {
        "memory": limits.memory_mib << 20,
        "cpu": max(1, math.ceil(limits.cpu_s)),
        "file": limits.file_mib << 20,
        "files": _OPEN_FILES,
        "processes": DRIVERS[driver].processes(limits.processes),
    }
    try:
        cell.send_frame(dumps(job), deadline)
    except (Ended, Late):
        cell.kill()
        raise SandboxError("an interpreter in the jail ended before it was given a program") from None
    return cell, deadline


class _Check:
    """One program against its tests."""

    def __init__(self, driver: str, limits: Limits) -> None:
        self._driver, self._limits = driver, limits

    def run(self, program: str, tests: str, setup: str, names: list[str]) -> Outcome | str:
        """The outcome; a text where the tests are at fault."""
        judge = self._judge()
        job = {"setup": setup, "tests": tests, "names": names, "memory": _TESTS_MEMORY}
        job["cpu"] = math.ceil(self._limits.wall_s + _GRACE_S)
        cell, deadline = _program(self._driver, self._limits, {"script": False, "program": program})
        try:
            judge.send_frame(dumps(job), deadline)
            outcome = self._carry(judge, cell, deadline)
            if judge.receive(time.monotonic() + _GRACE_S, _LONGEST_VERDICT) != DONE:
                raise SandboxError("the tests' process said something else than that it has ended")
        except Late:
            self._end_judge()
            return Outcome("time", f"longer than {self._limits.wall_s:g} s")
        except (Ended, TooMuch):
            self._end_judge()
            raise SandboxError("the tests' process ended early") from None
        except BaseException:
            self._end_judge()
            raise
        finally:
            cell.kill()
        return outcome

    def _judge(self) -> Cell:
        if self._driver in _judges and not _judges[self._driver].is_alive():
            self._end_judge()
        if self._driver not in _judges:
            _judges[self._driver] = DRIVERS[self._driver].start("tests")
        _judges[self._driver].wait_until_ready()
        return _judges[self._driver]

    def _end_judge(self) -> None:
        """The next check starts a new one."""
        _judges.pop(self._driver).kill()

    def _carry(self, judge: Cell, program: Cell, deadline: float) -> Outcome | str:
        """Carry requests of the tests to the program and replies back, until there is a verdict.

        Where the program's process has ended, that is the outcome, whatever the tests make of it.
        """
        end: Outcome | None = None
        while True:
            frame = judge.receive(deadline, _MOST_FRAME)
            if frame[:1] == VERDICT:
                kind, detail = loads(frame[1:])
                return end or (bounded(detail) if kind == "broken" else Outcome(kind, bounded(detail)))
            if frame[:1] != ASK:
                raise SandboxError("the tests' process ended without a verdict")
            end = end or self._answer(judge, program, frame[1:], deadline)
            if end is not None:  # the tests wait for a reply, and can be ended without ending their process
                deadline = time.monotonic() + _GRACE_S
                judge.send_frame(_GONE, deadline)

    def _answer(self, judge: Cell, program: Cell, request: bytes, deadline: float) -> Outcome | None:
        """Carry one request and its reply, or return how the program's process ended instead."""
        try:
            program.send_frame(request, deadline)
            reply = program.receive(deadline, _MOST_FRAME)
        except Ended:
            return _end_of(program, deadline, self._limits)
        except Late:
            return Outcome("time", f"longer than {self._limits.wall_s:g} s")
        except TooMuch:
            return Outcome("output", f"a value of more than {_MOST_FRAME >> 20} MiB")
        judge.send_frame(reply, deadline)
        return None


def _end_of(cell: Cell, deadline: float, limits: Limits) -> Outcome:
    """What the end of a program's process means: never that it passed."""
    late = Outcome("time", f"longer than {limits.wall_s:g} s")
    try:
        code = cell.exit_code(deadline)
    except Late:
        return late  # it lives, with its descriptors closed
    if code >= 0:
        return Outcome("exit", f"exit code {code}")
    spent = time.monotonic() - (deadline - limits.wall_s)
    if code == -signal.SIGXCPU or (code == -signal.SIGKILL and spent > limits.cpu_s):
        return Outcome("time", f"longer than {limits.cpu_s:g} s of a processor")
    if code == -signal.SIGXFSZ:
        return Outcome("output", "a file larger than its limit")
    return Outcome("signal", _name_of(-code))


def _name_of(number: int) -> str:
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return str(number)


def _script(driver: str, program: str, stdin: str, limits: Limits) -> Outcome:
    cell, deadline = _program(driver, limits, {"script": True, "program": program})
    most = limits.output_kib << 10
    try:
        try:
            cell.converse(stdin.encode("utf-8", "surrogatepass"), deadline, most)
            outcome = _end_of(cell, deadline, limits)
        except Late:
            outcome = Outcome("time", f"longer than {limits.wall_s:g} s")
        except TooMuch:
            outcome = Outcome("output", f"more than {limits.output_kib} KiB")
        stdout, stderr = (said[:most].decode("utf-8", "replace") for said in (cell.output, cell.errors))
    finally:
        cell.kill()
    if outcome.kind == "exit":
        outcome = _end_of_script(outcome.detail, stderr)
    return msgspec.structs.replace(outcome, stdout=stdout, stderr=stderr)


def _end_of_script(detail: str, stderr: str) -> Outcome:
    """Success, an exit code of the program's choice, or an exception that nobody caught."""
    if detail == "exit code 0":
        return Outcome("finished")
    lines = stderr.rstrip().splitlines()
    if detail != "exit code 1" or not lines:
        return Outcome("exit", detail)
    headings = [number for number, line in enumerate(lines) if _TRACEBACK.fullmatch(line)]
    if not headings:
        is_syntax = lines[-1].partition(":")[0] in _SYNTAX
        return Outcome("syntax", bounded(lines[-1])) if is_syntax else Outcome("exit", detail)
    told = [line.removeprefix("  | ") for line in lines[headings[-1] + 1 :]]
    error = next((line for line in told if line and not line[0].isspace()), lines[-1])
    kind: Kind = "memory" if error.partition(":")[0] == "MemoryError" else "exception"
    return Outcome(kind, bounded(error))


_TRACEBACK = re.compile(r"(?:  \+ Exception Group )?Traceback \(most recent call last\):")
_SYNTAX = ("SyntaxError", "IndentationError", "TabError", "MemoryError", "RecursionError")
"""What Python says, without a traceback, of a text that is no program."""


def _calls(driver: str, program: str, name: str, inputs: list[str], limits: Limits) -> list[Returned]:
    results: list[Returned] = []
    while len(results) < len(inputs):
        cell, deadline = _program(driver, limits, {"script": False, "program": program})
        try:
            results += _calls_of(cell, deadline, name, inputs[len(results) :], limits)
        finally:
            cell.kill()
    return results


def _calls_of(cell: Cell, deadline: float, name: str, inputs: list[str], limits: Limits) -> list[Returned]:
    """Results of one process: all, or as far as it lives, the one that ended it included."""
    results: list[Returned] = []

    def ask(*request: Any) -> tuple[Any, ...]:
        cell.send_frame(dumps(request, _Opaque.place), deadline)
        reply = loads(cell.receive(deadline, _MOST_TOLD), _Opaque)
        if time.monotonic() > deadline:  # a set of numbers of one hash, say: whoever reads it next waits, too
            raise Late
        return reply if isinstance(reply, tuple) else ()

    try:
        kind, loaded, *rest = ask("load", [name])
        if kind != "value":
            return [_raised(loaded, rest)] * len(inputs)
        if not isinstance(function := loaded.get(name), _Opaque):
            return [Returned("exception", f"NameError: it defines no function {name}")] * len(inputs)
        for one in inputs:
            deadline = time.monotonic() + limits.wall_s
            kind, value, *rest = ask("tell", function, *loads(one.encode("latin-1")))
            results.append(_returned(value, one) if kind == "value" else _raised(value, rest))
    except Ended:
        end = _end_of(cell, deadline, limits)
        results.append(Returned(end.kind, end.detail))
    except Late:
        results.append(Returned("time", f"longer than {limits.wall_s:g} s"))
    except TooMuch:
        results.append(Returned("output", f"a value of more than {_MOST_TOLD >> 20} MiB"))
    except (NotPlain, TypeError, ValueError, AttributeError):
        results.append(Returned("exception", "its process answered nonsense"))
    return results


def _returned(told: Any, given: str) -> Returned:
    """From what the program's process told: a value and the arguments, which were given so encoded."""
    value, arguments, is_iterator = told
    try:
        left = _encoded(arguments)
        return Returned(
            "finished",
            value=_encoded(value),
            arguments=None if left == given else left,
            is_iterator=bool(is_iterator),
        )
    except NotPlain:
        return Returned("finished", is_plain=False)


def _encoded(value: Any) -> str:
    return dumps(value).decode("latin-1")


def _raised(kind: Any, rest: list[Any]) -> Returned:
    _built_in, name, text, _arguments = rest
    known: Kind = kind if kind in ("syntax", "memory", "exit") else "exception"
    return Returned(known, bounded(f"{name}: {text}" if text else f"{name}"))


class _Opaque:
    """A thing of the program that is not plain."""

    def __init__(self, owner: str, number: int) -> None:
        self._place = owner, number

    @staticmethod
    def place(value: Any) -> tuple[str, int]:
        """Where its owner keeps it."""
        if not isinstance(value, _Opaque):
            raise NotPlain("no plain data")
        return value._place  # noqa: SLF001
