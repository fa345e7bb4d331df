"""What all config shares: options that say whether they decide results, and YAML that loads as dumped."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import yaml

_FLOAT = ("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"))
"""Floats as JSON and Python write them: in YAML 1.1, `1e-5` is a text."""


class _Loader(yaml.SafeLoader):
    """`1e-5` is a number, and `2024-01-01` a text."""


class _Dumper(yaml.SafeDumper):
    """Quotes the texts that `_Loader` would take for numbers."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(*_FLOAT, list("-+0123456789"))
_Dumper.add_implicit_resolver(*_FLOAT, list("-+0123456789"))


def load_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises:
        yaml.YAMLError: it is not YAML.
        RecursionError: it is nested too deep.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe one


def dump_yaml(value: Any) -> str:
    """Plain values as YAML, in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


def option(default: Any = dataclasses.MISSING, *, decides: bool, **more: Any) -> Any:
    """A field of a config class.

    Args:
        decides: whether it decides results. Then it must be the same in every session of what is resumed; a
            test finds an option that does not say. Data and models count by their content, not by where they
            are.
        more: `default_factory`, and further metadata.
    """
    made = {"default": default} if default is not dataclasses.MISSING else {}
    if "default_factory" in more:
        made["default_factory"] = more.pop("default_factory")
    return dataclasses.field(**made, metadata={"decides": decides, **more})


def deciding(kind: Any) -> tuple[str, ...]:
    """The options of a config class that decide results."""
    return tuple(item.name for item in dataclasses.fields(kind) if item.metadata["decides"])
