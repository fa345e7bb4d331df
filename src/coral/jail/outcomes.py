"""What a check may take, and how it ends."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Kind = Literal[
    "passed", "failed", "finished", "exception", "exit", "signal", "memory", "time", "output", "syntax"
]
"""How it ended: all statements of the tests ran; one of them failed; a script came to its end; an exception
that nobody caught; an exit of the program's own; a signal; too much memory, time or output; no Python."""

LONGEST_DETAIL = 300


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one check may take.

    Args:
        wall_s: seconds by the clock, from the moment in which an interpreter has the program.
        cpu_s: seconds of a processor, rounded up to whole ones.
        memory_mib: address space of the program.
        output_kib: of standard output, and of standard error.
        file_mib: the largest file.
        processes: threads; where the jail permits processes, those, too.
    """

    wall_s: float = 3.0
    cpu_s: float = 3.0
    memory_mib: int = 512
    output_kib: int = 64
    file_mib: int = 16
    processes: int = 16


class Outcome(msgspec.Struct, frozen=True):
    """How a program fared.

    Attributes:
        detail: type and text of an exception, the test that failed, the number of a signal: one line without
            control characters, at most `LONGEST_DETAIL` long.
        stdout, stderr: of a script, cut at `Limits.output_kib`, as it wrote them.
    """

    kind: Kind
    detail: str = ""
    stdout: str = ""
    stderr: str = ""


class Returned(msgspec.Struct, frozen=True):
    """What a function did with one input.

    Attributes:
        kind: "finished" where it returned.
        value: what it returned where that is plain data; of an iterator, a list of its first 10,000 items.
        is_plain: whether it is.
        is_iterator: whether the value was one, such as a generator.
        arguments: as the call left them where it changed them in place; None where it did not.
        detail: otherwise as in `Outcome`.
    """

    kind: Kind
    detail: str = ""
    value: Any = None
    is_plain: bool = True
    is_iterator: bool = False
    arguments: Any = None


def bounded(text: str) -> str:
    """One line that may be shown anywhere: nothing in it moves a cursor or colours a terminal."""
    shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text[:LONGEST_DETAIL])
    return (
        shown
        if len(text) <= LONGEST_DETAIL and len(shown) <= LONGEST_DETAIL
        else f"{shown[: LONGEST_DETAIL - 1]}…"
    )


def _escaped(letter: str) -> str:
    return " " if letter in "\n\t" else letter.encode("unicode_escape", "backslashreplace").decode()
