"""From options by name, as config files and Python give them, to those of a command: as strict as it is."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from coral.errors import ConfigError

T = TypeVar("T")


def merged(*sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections as one, mappings in them merged; what stands later wins."""
    whole: dict[str, Any] = {}
    for section in sections:
        for name, value in section.items():
            old = whole.get(name)
            whole[name] = (
                merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
            )
    return whole


def build_config(
    kind: type[T], options: Mapping[str, Any], where: str, *, remedy: str = "mend the config file"
) -> T:
    """A `kind` (a frozen dataclass) with `options` set; see `typed_options`.

    Raises:
        ConfigError: an option is unknown, of the wrong type or out of range.
    """
    return kind(**typed_options(kind, options, where, remedy=remedy))


def typed_options(kind: type[Any], options: Mapping[str, Any], where: str, *, remedy: str) -> dict[str, Any]:
    """`options` with the types of the fields of `kind`; texts are read as numbers where those are wanted.

    Args:
        where: the options' section, for messages; empty where they have none.
        remedy: what to do about a value of the wrong type.

    Raises:
        ConfigError: an option is unknown or of the wrong type.
    """
    prefix = f"{where}." if where else ""
    types = typing.get_type_hints(kind)
    known = {item.name for item in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"options: {', '.join(sorted(known))}"
            raise ConfigError(f"no option {prefix}{name}", remedy=hint)
    return {name: _typed(value, types[name], f"{prefix}{name}", remedy) for name, value in options.items()}


def _typed(value: Any, kind: Any, where: str, remedy: str) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, Mapping):
        return build_config(kind, value, where, remedy=remedy)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where} cannot be {value!r}: {error}", remedy=remedy) from None
