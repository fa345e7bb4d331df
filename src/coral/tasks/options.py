"""The options of a task: what its class says about them, and whether a value is one."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
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
        kind: what it may be, in words; "" where neither annotation nor default says.
        default: in words, such as "none" or "[0, 2]"; None: it has to be given.
        about: what a docstring says of it under `Attributes:` or `Args:`, of its class or one above.
        type: as annotated, or that of its default; None where neither says.
    """

    name: str
    kind: str
    default: str | None
    about: str
    type: Any = None


def options_of(kind: type[Task]) -> tuple[Option, ...]:
    """The options of a task's class, in its order."""
    hints, defaults, about = _hints(kind), _defaults(kind), _described(kind)
    found = []
    for name in named(kind):
        hint = hints.get(name, type_of(defaults.get(name)))
        default = _stated(defaults[name]) if name in defaults else None
        words = in_words(hint)
        found.append(Option(name=name, kind=words, default=default, about=about.get(name, ""), type=hint))
    return tuple(found)


def named(kind: Callable[..., Any]) -> list[str]:
    """The parameters that are given by name."""
    parameters = inspect.signature(kind).parameters.values()
    return [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]


def _defaults(kind: type[Task]) -> dict[str, Any]:
    """The defaults by name; of a dataclass, those that it makes anew each time, too."""
    parameters = inspect.signature(kind).parameters.items()
    found = {name: one.default for name, one in parameters if one.default is not one.empty}
    fields: tuple[dataclasses.Field[Any], ...] = (
        dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    )
    for one in fields:
        if one.name in found and one.default_factory is not dataclasses.MISSING:
            found[one.name] = one.default_factory()
    return found


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
        return msgspec.convert(value, option.type, strict=not isinstance(value, str), dec_hook=_as_path)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{task} cannot take {option.name}={value!r}",
            remedy=f"give {option.name} {option.kind}; `coral tasks {task}` lists the options",
        ) from None


def _as_path(kind: type[Any], value: Any) -> Any:
    """Of a text a path, where one is wanted; the text of anything else is refused by its type."""
    return kind(value) if issubclass(kind, Path) else value


def _hints(kind: type[Task]) -> dict[str, Any]:
    """The annotations of what a class is made of; fields of a dataclass as the module of each class says."""
    found = hints_of(kind.__init__)
    return found | hints_of(kind) if dataclasses.is_dataclass(kind) else found


def hints_of(holder: Any) -> dict[str, Any]:
    """The annotations of a function or class; none where they cannot be told."""
    try:
        return typing.get_type_hints(holder)
    except (NameError, TypeError, AttributeError):  # names that only type checkers import
        return {}


def type_of(default: Any) -> Any:
    """The type that a default stands for where nothing is annotated; None where it stands for none."""
    if type(default) in _WORDS:
        return type(default)
    kinds = set(map(type, default)) if type(default) in (list, tuple) else set()
    if len(kinds) != 1 or not kinds <= _MANY.keys():
        return None
    [kind] = kinds
    return list[kind] if isinstance(default, list) else tuple[kind, ...]  # type: ignore[valid-type]


def in_words(hint: Any) -> str:
    """What a type admits, such as "a whole number"; "" for a type that options do not have."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    is_class = isinstance(hint, type) and origin is None  # Python 3.10 calls tuple[int, ...] a class, too
    if is_class and hint in _WORDS:
        return _WORDS[hint]
    if is_class and issubclass(hint, Path | enum.Enum):
        return "a path" if issubclass(hint, Path) else " or ".join(_stated(one.value) for one in hint)
    if origin is Literal:
        return " or ".join(_stated(value) for value in inner)
    if origin in (Union, UnionType):
        words = [in_words(part) for part in inner if part is not NoneType]
        return " or ".join(words) if all(words) else ""
    if origin is dict:
        return "a mapping"
    if origin in _LISTS and inner and inner[0] in _MANY and inner[1:] in ((), (...,)):
        return f"a list of {_MANY[inner[0]]}"
    return ""


_LISTS = (tuple, list, set, frozenset, Sequence, AbstractSet)


def _stated(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return _stated(value.value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{', '.join(_stated(item) for item in value)}]"
    return str(value)


def _described(kind: type[Task]) -> dict[str, str]:
    """What docstrings say of the options, the nearest first: those of the class and of how it is made, and of
    the classes above.
    """
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__[:-1]):
        for holder in (one, vars(one).get("__init__")):
            found |= _entries(inspect.cleandoc(getattr(holder, "__doc__", None) or ""))
    return found


def _entries(text: str) -> dict[str, str]:
    """What stands under `Attributes:` or `Args:` of a docstring; `a, b: text` tells of both."""
    section = re.search(r"^(?:Attributes|Args):\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    entries = re.findall(
        r"^ {4}(\w[\w, ]*): (.*(?:\n {5,}.*)*)", section.group(1) if section else "", re.MULTILINE
    )
    return {name: " ".join(text.split()) for names, text in entries for name in re.split(r", *", names)}
