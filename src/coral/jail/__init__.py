"""Untrusted programs, run where they can touch nothing: `check`, `call` and `run_script`.

    outcome = await jail.check(program, "assert add(1, 2) == 3", names=["add"])

The tests run in one process and the program in another, and only plain data travels between them, so that no
program can say that it has passed. docs/jail.md says what this protects from, and what it does not.

Checks are made by the processes of `workers.py`: they end with the last job that has them `in_use`, and
results are remembered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from coral import workers
from coral.errors import SandboxError
from coral.jail.cells import START_LIMIT_S
from coral.jail.drivers import ALLOW, DRIVERS, Finding, choose, probe
from coral.jail.inside.wire import NotPlain, dumps, loads
from coral.jail.outcomes import Kind, Limits, Outcome, Returned
from coral.workers import in_use

__all__ = [
    "ALLOW", "BrokenTests", "Finding", "Kind", "Limits", "Outcome", "Returned", "call", "check", "driver",
    "findings", "in_use", "run_script",
]  # fmt: skip

driver = choose
_WARDEN = "coral.jail.warden"
_SLACK_S = 10.0


class BrokenTests(SandboxError):
    """The tests themselves do not compile, so that no program can be checked by them."""


async def check(
    program: str,
    tests: str,
    *,
    setup: str = "",
    names: Sequence[str],
    limits: Limits | None = None,
    driver: str | None = None,
) -> Outcome:
    """Run tests against a program.

    Args:
        program: untrusted. It runs as a module called "program", not as `__main__`.
        tests: trusted text of a data set, in another process than the program.
        setup: trusted, too, run before the tests.
        names: what setup and tests may use of the program. They call, iterate and read it as ever, but what
            is no plain data equals nothing but itself.
        limits: None: `Limits()`.
        driver: by name, as `jail.driver(...)` returns it; None: the first that isolates and works here.

    Raises:
        BrokenTests: setup or tests do not compile.
        SandboxError: no check could be made, which says nothing about the program.
    """
    if (unreadable := _unreadable(program)) is not None:
        return unreadable
    limits = limits or Limits()
    given = (driver or choose(), program, tests, setup, list(names), limits)
    answer = await workers.call(f"{_WARDEN}:check", *given, timeout_s=_time_for(limits))
    if isinstance(answer, str):
        raise BrokenTests(answer)
    return msgspec.convert(answer, Outcome)


async def run_script(
    program: str, *, stdin: str = "", limits: Limits | None = None, driver: str | None = None
) -> Outcome:
    """Run a program as `python program.py` would: "finished" with its output where it exits with 0.

    Raises:
        SandboxError: it could not be run, which says nothing about the program.
    """
    if (unreadable := _unreadable(program)) is not None:
        return unreadable
    limits = limits or Limits()
    answer = await workers.call(
        f"{_WARDEN}:run_script", driver or choose(), program, stdin, limits, timeout_s=_time_for(limits)
    )
    return msgspec.convert(answer, Outcome)


async def call(
    program: str,
    name: str,
    inputs: Sequence[Sequence[Any]],
    *,
    limits: Limits | None = None,
    driver: str | None = None,
) -> list[Returned]:
    """What a function of a program does with each of these inputs, which are its arguments as plain data.

    The inputs are tried one after another in one process, which is replaced where one of them ends it. Each
    has the time of `limits` for itself.

    Raises:
        SandboxError: it could not be called, which says nothing about the program.
    """
    if (unreadable := _unreadable(program)) is not None:
        return [Returned(unreadable.kind, unreadable.detail)] * len(inputs)
    limits = limits or Limits()
    encoded = [dumps(list(one)).decode("latin-1") for one in inputs]
    answer = await workers.call(
        f"{_WARDEN}:call",
        driver or choose(),
        program,
        name,
        encoded,
        limits,
        timeout_s=_time_for(limits, len(encoded)),
    )
    return [_decoded(one) for one in msgspec.convert(answer, list[Returned])]


def findings() -> list[Finding]:
    """Which drivers work on this machine, and why the others do not."""
    return [probe(name) for name in DRIVERS]


def _decoded(result: Returned) -> Returned:
    if result.kind != "finished" or not result.is_plain:
        return result
    told = (result.value, result.arguments)
    try:
        value, arguments = (None if text is None else loads(text.encode("latin-1")) for text in told)
    except NotPlain:  # nested deeper than our stack, of which less may be left than the worker had
        return msgspec.structs.replace(result, value=None, arguments=None, is_plain=False)
    return msgspec.structs.replace(result, value=value, arguments=arguments)


def _unreadable(program: str) -> Outcome | None:
    """A text that no file could hold is no program."""
    try:
        program.encode()
    except UnicodeEncodeError:
        return Outcome("syntax", "it holds half of a character")
    return None


def _time_for(limits: Limits, times: int = 1) -> float:
    """Of a worker: the jail keeps the limits, this is for where the jail itself hangs."""
    return times * (limits.wall_s + _SLACK_S) + START_LIMIT_S
