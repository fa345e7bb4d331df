"""Inputs on which programs are compared: those of the visible examples, and small changes of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from coral.answers.programs import tree_of

VISIBLE, GENERATED = 8, 24
"""At most so many inputs are taken from the examples, and made of them."""
_LONGEST_CALL = 2_000
_MOST_TRIES = 40

Args = list[Any]


def inputs_of(text: str, name: str, program: str = "") -> list[Args]:
    """The arguments of the calls of a function in a text, and changes of them: the same for the same text.

    A call counts where all of its arguments are literals and have no names. Where no call does, values that
    the text gives to the parameters by name count (`lst = [1, 2]`), or else a few that fit their annotations,
    or some of each type for a single parameter without one.

    Args:
        program: defines the function.
    """
    found = list(_calls(text, name)) or _without_calls(text, name, program)
    visible = list(islice(_distinct(found), VISIBLE))
    return list(islice(_distinct([*visible, *_changed(visible)]), len(visible) + GENERATED))


def _without_calls(text: str, name: str, program: str) -> list[Args]:
    tree = tree_of(program)
    functions = [node for node in (tree.body if tree else ()) if isinstance(node, ast.FunctionDef)]
    parameters = next((node.args.args for node in functions if node.name == name), [])
    named = [list(_values_of(text, parameter.arg)) for parameter in parameters]
    fitting: list[Sequence[Any]]
    fitting = [_FITTING.get(ast.unparse(one.annotation) if one.annotation else "", ()) for one in parameters]
    if len(parameters) == 1 and parameters[0].annotation is None:
        fitting = [[values[turn] for turn in range(2) for values in _FITTING.values()]]
    return [list(args) for values in (named, fitting) for args in zip(*values, strict=False)]


_FITTING: dict[str, tuple[Any, ...]] = {
    "int": (1, 2, 3, 5, 8, 12, 30),
    "float": (0.5, 2.0, 3.25),
    "bool": (True, False),
    "str": ("abcab", "Hello, World 12", "a b c", "level"),
    "list": ([3, 1, 2, 2], [5, 4, 9, 8, 7], [1]),
    "List[int]": ([3, 1, 2, 2], [5, 4, 9, 8, 7], [1]),
    "List[float]": ([0.5, 2.0, 1.25], [3.5, 3.5, 1.0], [1.0]),
    "List[str]": (["ab", "c", "abc"], ["x", "yy", "zz", "x"], ["word"]),
}


def _values_of(text: str, parameter: str) -> Iterator[Any]:
    for found in re.finditer(rf"(?<![\w.]){re.escape(parameter)}\s*[=:]\s*({_LITERAL})", text):
        try:
            yield ast.literal_eval(found[1])
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue


_LITERAL = r"\[[^=\n]{0,300}\]|\([^=\n]{0,300}\)|\"[^\"\n]{0,300}\"|'[^'\n]{0,300}'|-?\d+(?:\.\d+)?"


def _calls(text: str, name: str) -> Iterator[Args]:
    for found in re.finditer(rf"(?<![\w.]){re.escape(name)}\s*\(", text):
        if (args := _literal_args(text[found.start() : found.start() + _LONGEST_CALL])) is not None:
            yield args


def _literal_args(text: str) -> Args | None:
    """The arguments of the call that a text begins with; None where they are no literals."""
    for end in islice(re.finditer(r"\)", text), _MOST_TRIES):
        tree = tree_of(text[: end.end()])
        if tree is None:
            continue
        call = tree.body[0].value if tree.body and isinstance(tree.body[0], ast.Expr) else None
        if not isinstance(call, ast.Call) or call.keywords or not call.args:
            return None
        try:
            return [ast.literal_eval(arg) for arg in call.args]
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return None
    return None


def _distinct(inputs: Iterable[Args]) -> Iterator[Args]:
    seen: set[str] = set()
    for args in inputs:
        if repr(args) not in seen:
            seen.add(repr(args))
            yield args


def _changed(visible: list[Args]) -> Iterator[Args]:
    """One argument changed at a time, the first change of each before the second of any."""
    changes = [
        [
            [*args[:at], value, *args[at + 1 :]]
            for value in [*_variants(args[at]), *(other[at] for other in visible if len(other) == len(args))]
        ]
        for args in visible
        for at in range(len(args))
    ]
    for turn in range(max(map(len, changes), default=0)):
        yield from (options[turn] for options in changes if turn < len(options))


def _variants(value: Any) -> Iterator[Any]:
    """Values that stay near: of the same type, no empty ones, no other sign."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (value + 1, *((value - 1,) if value > 1 else ()), 2 * value + 1)
    elif isinstance(value, float):
        yield from (value + 1.0, value * 1.5)
    elif type(value) in (str, list, tuple) and value:
        yield from _rearranged(value)
        if not isinstance(value, str):
            yield from (type(value)([other, *value[1:]]) for other in islice(_variants(value[0]), 1))


def _rearranged(value: Any) -> Iterator[Any]:
    """A text or list backwards, longer by one, and shorter by one at either end."""
    yield from (value[::-1], value + value[:1])
    if len(value) > 1:
        yield from (value[:-1], value[1:])
