"""What programs do, as a key: two programs with one key are taken for the same answer.

A key is a digest of what a program does on a fixed list of inputs, so equal keys are an equivalence relation.
Programs that differ on other inputs alone have one key: it says that nobody who looks at the examples
can tell them apart, and nothing about the hidden tests.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import ItemsView, Iterable, KeysView
from decimal import Decimal
from fractions import Fraction
from typing import Any

from coral.answers import programs
from coral.jail import Returned

FIGURES = 9
"""Significant figures of numbers: sums in another order differ in the last ones."""
EXACT = 2**53
"""Up to here a float that is a whole number is that number."""


def textual(program: str) -> str:
    """The key of a program of which no behaviour is known: its text without layout and comments."""
    return f"text:{programs.normal(program)}"


def digest(parts: Iterable[str]) -> str:
    """The key of a program that did all this."""
    return f"does:{hashlib.sha256(chr(10).join(parts).encode('utf-8', 'surrogatepass')).hexdigest()}"


def key_of(program: str, results: list[Returned]) -> str:
    """The key of a program that gave these results: its text where it never returned, or something opaque."""
    if not any(result.kind == "finished" for result in results):
        return textual(program)
    if any(result.kind == "finished" and not result.is_plain for result in results):
        return textual(program)
    return digest(map(shown, results))


def shown(result: Returned) -> str:
    """One result as a text: equal values give equal texts; of an exception its type alone.

    Where nothing is returned, what the call left of its arguments is the result.
    """
    if result.kind == "finished":
        if result.value is None:
            return f"left:{canonical(result.arguments)}"
        return f"iterator:{canonical(result.value)}" if result.is_iterator else canonical(result.value)
    return f"{result.kind}:{result.detail.partition(':')[0]}" if result.kind == "exception" else result.kind


def canonical(value: Any) -> str:
    """A text that plain values share which are equal in Python: 1, 1.0 and True; not a list and a tuple."""
    match value:
        case bool() | int():
            return f"n{int(value):x}"
        case float() | Decimal() | Fraction():
            return _number(value)
        case list() | tuple():
            return f"{type(value).__name__}({','.join(map(canonical, value))})"
        case set() | frozenset() | KeysView() | ItemsView():
            return f"set({','.join(sorted(map(canonical, value)))})"
        case dict():
            items = (f"{canonical(key)}={canonical(item)}" for key, item in value.items())
            return f"dict({','.join(sorted(items))})"
        case deque():
            return f"deque({','.join(map(canonical, value))})"
        case range():
            return _range(value)
        case complex():
            parts = (value.real, value.imag) if value.imag else (value.real,)
            return "+i*".join(map(_number, parts))
        case bytearray():
            return canonical(bytes(value))
        case _:
            return f"{type(value).__name__}:{value!r}"


def _range(value: range) -> str:
    """As Python compares them: by the numbers that they hold."""
    if not value:
        return "range()"
    first, last = value[0], value[-1]
    return f"range({first:x},{last:x},{value.step if last != first else 0:x})"


def _number(value: float | Decimal | Fraction) -> str:
    """Whole numbers as they are, others and large floats to `FIGURES` figures."""
    if isinstance(value, Fraction) and value.denominator == 1:
        return canonical(value.numerator)
    try:
        number = float(value)
    except (OverflowError, ValueError):  # beyond floats, or a signalling NaN
        return f"{type(value).__name__}:{value!r}"
    if not math.isfinite(number):
        is_beyond = isinstance(value, Decimal) and value.is_finite()
        return f"{value!r}" if is_beyond else f"n{number}"
    if abs(number) < EXACT and not number.is_integer():
        near = float(round(number)) if abs(number) >= 10**FIGURES else float(f"{number:.{FIGURES}g}")
    else:
        near = number if abs(number) < EXACT else float(f"{number:.{FIGURES}g}")
    return f"n{int(near):x}" if near.is_integer() else f"n{near!r}"
