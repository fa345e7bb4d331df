"""How `--help` shows an option: its sentence, and a default or type where that says more."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter

PRINT_CONFIG = (
    "Print all options as a YAML file would state them, and exit; with =skip_default, those that differ "
    "from the default."
)


class HelpFormatter(DefaultHelpFormatter):
    """Without types that the sentence or the choices tell already, and without empty defaults."""

    def _get_help_string(self, action: Action) -> str:
        if not hasattr(action, "_typehint"):
            return super()._get_help_string(action)
        number = next((kind for kind in ("int", "float") if self._is_number(action, kind)), None)
        told = [f"type: {number}"] if number else []
        if (default := _stated(action.default)) is not None:
            told.append(f"default: {default}")
        sentence = (action.help or "").replace("%", "%%")
        return f"{sentence} ({', '.join(told)})" if told else sentence

    def _is_number(self, action: Action, kind: str) -> bool:
        return self._get_type_str(action) in {kind, f"{kind} | null"}


def _stated(default: Any) -> str | None:
    """A default as a config file would state it; None where it is empty."""
    if default is None or default == SUPPRESS or default in ("", (), [], {}):
        return None
    return str(default).lower() if isinstance(default, bool) else str(default)


def explain_config_options(parser: ArgumentParser) -> None:
    """Say in our words what the options are for that the parser adds by itself."""
    for action in parser._actions:  # noqa: SLF001 - no public list
        if "--print_config" in action.option_strings:
            action.help = PRINT_CONFIG
        elif action.help == "Path to a configuration file.":
            action.help = f"YAML file with the options of {action.dest}."
