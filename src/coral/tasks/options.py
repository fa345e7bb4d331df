"""The options of a task: what its class says about them, and whether a value is one."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union

import msgspec

from coral.errors import ConfigError
from coral.tasks.protocol import Task

_WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
_MANY = {int: "whole numbers", float: "numbers", str: "texts"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """One `--task.*` option.

    Attributes:
        kind: what it may be, in words; "" where the class does not say.
        default: in words, such as "none" or "[0, 2]".
        about: what the class's docstring says of it under `Attributes:` or `Args:`.
        type: as annotated; None where it is not, or not to be found.
    """

    name: str
    kind: str
    default: str
    about: str
    type: Any = None


def options_of(kind: type[Task]) -> tuple[Option, ...]:
    """The options of a task's class, in its order."""
    hints, about = _hints(kind), _described(kind)
    return tuple(
        Option(
            name=name,
            kind=in_words(hints.get(name)),
            default=_stated(parameter.default),
            about=about.get(name, ""),
            type=hints.get(name),
        )
        for name, parameter in inspect.signature(kind).parameters.items()
    )


def typed(name: str, kind: type[Task], values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` with the types that the class of the task `name` wants, such as a tuple for a list.

    Raises:
        ConfigError: one is of another type.
    """
    known = {option.name: option for option in options_of(kind)}
    return {key: _typed(name, known[key], value) for key, value in values.items()}


def _typed(task: str, option: Option, value: Any) -> Any:
    if not option.kind:
        return value
    try:
        return msgspec.convert(value, option.type, strict=not isinstance(value, str))
    except msgspec.ValidationError:
        raise ConfigError(
            f"{task} cannot take {option.name}={value!r}",
            remedy=f"give {option.name} {option.kind}; `coral tasks {task}` lists the options",
        ) from None


def _hints(kind: type[Task]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind.__init__)
    except (NameError, TypeError, AttributeError):  # names that only type checkers import
        return {}


def in_words(hint: Any) -> str:
    """What a type admits, such as "a whole number"; "" for a type that options do not have."""
    if hint in _WORDS:
        return _WORDS[hint]
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(_stated(value) for value in inner)
    if origin in (Union, UnionType):
        words = [in_words(part) for part in inner if part is not NoneType]
        return " or ".join(words) if all(words) else ""
    if origin is dict:
        return "a mapping"
    if origin in (tuple, list) and inner and inner[0] in _MANY and inner[1:] in ((), (...,)):
        return f"a list of {_MANY[inner[0]]}"
    return ""


def _stated(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_stated(item) for item in value)}]"
    return str(value)


def _described(kind: type[Task]) -> dict[str, str]:
    """What stands under `Attributes:` or `Args:` of the docstring; `a, b: text` tells of both."""
    section = re.search(
        r"^(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)+)", inspect.getdoc(kind) or "", re.MULTILINE
    )
    entries = re.findall(
        r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", section.group(1) if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for names, text in entries for name in re.split(r", *", names)}
