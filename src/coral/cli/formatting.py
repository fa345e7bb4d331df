"""How `--help` shows an option: its sentence, and a default or type where that says more."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from jsonargparse import ArgumentParser, DefaultHelpFormatter

PRINT_CONFIG = (
    "Print all options as a YAML file would state them, and exit; with =skip_default, those that differ "
    "from the default."
)

LONGEST_CHOICES = 70
"""Characters of the choices behind an option; its sentence names them, too."""


class HelpFormatter(DefaultHelpFormatter):
    """Without types that the sentence or the choices tell already, and without empty defaults."""

    def _get_help_string(self, action: Action) -> str:
        if not hasattr(action, "_typehint"):
            return super()._get_help_string(action)
        number = _number(action._typehint)  # noqa: SLF001 - not public
        told = [f"type: {number}"] if number else []
        if (default := _stated(action.default)) is not None:
            told.append(f"default: {default}")
        sentence = f"{action.help or ''} ({', '.join(told)})" if told else action.help or ""
        return sentence.replace("%", "%%")  # argparse fills in what stands behind a single one


def _number(hint: Any) -> str | None:
    """The name of a type of numbers, perhaps with None beside it."""
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [kind for kind in alternatives if kind is not NoneType]
    return kinds[0].__name__ if kinds in ([int], [float]) else None


def _stated(default: Any) -> str | None:
    """A default as a config file would state it; None where it is empty."""
    if default is None or default == SUPPRESS or default in ("", (), [], {}):
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)


def explain_config_options(parser: ArgumentParser, types: Mapping[str, Any]) -> None:
    """Say in our words what the options are for that the parser adds by itself; `types` are those of all."""
    for action in parser._actions:  # noqa: SLF001 - no public list
        if isinstance(action.metavar, str) and len(action.metavar) > LONGEST_CHOICES:
            action.metavar = "WORD"
        if "--print_config" in action.option_strings:
            action.help = PRINT_CONFIG
        elif action.help == "Path to a configuration file.":
            short = getattr(types.get(action.dest), "short", None)
            file = f"YAML file with the options of {action.dest}."
            action.help = f"Its {short}, or a {file}" if short else file
