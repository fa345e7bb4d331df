"""What all config shares: options that say whether they decide results, and YAML that loads as dumped."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

import yaml

from coral.errors import ConfigError

_FLOAT = ("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"))
"""Floats as JSON and Python write them: in YAML 1.1, `1e-5` is a text."""


LARGEST_YAML = 1_000_000
"""Values of one file. A few lines of aliases to aliases would stand for more than any memory holds."""


DEEPEST_YAML = 100
"""Levels of one file. Thousands take the reader seconds before it runs out of stack."""


class _Loader(yaml.SafeLoader):
    """`1e-5` is a number, and `2024-01-01` a text."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node, unless it lies too deep."""
        self.depth += 1
        if self.depth > DEEPEST_YAML:
            raise RecursionError(f"more than {DEEPEST_YAML} levels")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


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
        yaml.YAMLError: it is not YAML, a key is there twice or is no name, or its aliases stand for too much.
        RecursionError: it is nested too deep.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > LARGEST_YAML:
            raise yaml.YAMLError(f"its aliases stand for more than {LARGEST_YAML:,} values")
        _check_keys(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, each alias written out; too many for one that holds itself."""
    if id(node) not in known:
        known[id(node)] = LARGEST_YAML + 1
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        parts = (part for item in inner for part in (item if isinstance(item, tuple) else (item,)))
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]


def _check_keys(node: yaml.Node) -> None:
    """Refuse what nobody means: a key that is there twice, of which the first value would be lost without a
    word, and `on` or `no` as a key, which YAML takes for true and false.

    Raises:
        yaml.YAMLError: names the key.
    """
    seen = set[tuple[str, str]]()
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        key, value = item if isinstance(item, tuple) else (None, item)
        if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
            fault = "is there for the second time" if (key.tag, key.value) in seen else ""
            if key.tag == "tag:yaml.org,2002:bool":
                fault = "is true or false to YAML: put it in quotes if it is a name"
            if fault:
                raise yaml.MarkedYAMLError(problem=f"'{key.value}' {fault}", problem_mark=key.start_mark)
            seen.add((key.tag, key.value))
        _check_keys(value)


def dump_yaml(value: Any) -> str:
    """Plain values as YAML, in their order."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True))


@dataclass(frozen=True)
class Bounds:
    """What a number may be: it must be finite, and lie within what is set here."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None

    def hold(self, value: float) -> bool:
        """Whether they admit a number."""
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.above is None or value > self.above)
            and (self.most is None or value <= self.most)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        """Such as "at least 1" or "between 0 and 1"."""
        if self.least is not None and self.most is not None:
            return f"between {self.least:g} and {self.most:g}"
        words = {"at least": self.least, "above": self.above, "at most": self.most, "below": self.below}
        return " and ".join(f"{word} {value:g}" for word, value in words.items() if value is not None)


ANY = Bounds()
COUNT = Bounds(least=1)
NOT_NEGATIVE = Bounds(least=0)
POSITIVE = Bounds(above=0)
SHARE = Bounds(least=0, most=1)
BELOW_ONE = Bounds(least=0, below=1)


def option(default: Any = dataclasses.MISSING, *, decides: bool, **more: Any) -> Any:
    """A field of a config class.

    Args:
        decides: whether it decides results. Then it must be the same in every session of what is resumed; a
            test finds an option that does not say. Data and models count by their content, not by where they
            are.
        more: `default_factory`, and further metadata: `within` (the `Bounds` of a number), `section`.
    """
    made = {"default": default} if default is not dataclasses.MISSING else {}
    if "default_factory" in more:
        made["default_factory"] = more.pop("default_factory")
    return dataclasses.field(**made, metadata={"decides": decides, **more})


def deciding(kind: Any) -> tuple[str, ...]:
    """The options of a config class that decide results."""
    return tuple(item.name for item in dataclasses.fields(kind) if item.metadata["decides"])


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the config classes share: none of them holds a number that is out of its bounds."""

    def __post_init__(self) -> None:
        """Check the numbers; classes that check more call this first.

        Raises:
            ConfigError: one is out of bounds; names it, and what it may be.
        """
        for item in dataclasses.fields(self):
            check_bounds(item, getattr(self, item.name), item.name)


def check_bounds(item: dataclasses.Field[Any], value: object, name: str) -> None:
    """Refuse a number that an option cannot be.

    Args:
        name: of the option, as the user spells it.

    Raises:
        ConfigError: it is out of bounds.
    """
    bounds: Bounds | None = item.metadata.get("within")
    if bounds is None or not isinstance(value, int | float) or bounds.hold(value):
        return
    wanted = bounds if math.isfinite(value) else "a finite number"
    usual = "" if item.default in (None, dataclasses.MISSING) else f": the default is {item.default}"
    remedy = f"change {name}, or leave it out{usual}"
    raise ConfigError(f"{name} must be {wanted} (got {value})", remedy=remedy)
