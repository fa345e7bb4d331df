"""Reading options: one spelling for the command line and YAML files, and errors that name a remedy."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml

from coral.errors import ConfigError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

T = TypeVar("T")


def parse(kind: type[T], arguments: Sequence[str], *, command: str, about: str) -> T:
    """Build a `kind` (a frozen dataclass) from flags and `--config` files; what stands later wins.

    Args:
        kind: its fields are the options; those of type dict take `--name.key value`, read as YAML.
        arguments: what stands behind the command.
        command: such as "coral eval", for messages.
        about: one sentence for `--help`.

    Raises:
        ConfigError: an option is unknown, or its value is of the wrong type or out of range.
        SystemExit: after `--help`.
    """
    _check_files(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jsonargparse concern no user
        parser = _parser(kind, command, about)
        try:
            values = parser.parse_args(_with_values(kind, arguments))
            fields = {name: getattr(values, name) for name in _names(kind)}
            built = parser.instantiate(values)
        except (argparse.ArgumentError, TypeError, ValueError) as error:
            raise _explained(str(error), parser) from None
    nested = {name: _read(value) for name, value in fields.items() if isinstance(value, dict)}
    return kind(**{name: nested.get(name, getattr(built, name)) for name in fields})


def take_name(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split off the argument without a dash that opens a command, if there is one."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def _parser(kind: type[Any], command: str, about: str) -> ArgumentParser:
    from jsonargparse import ArgumentParser, set_parsing_settings

    from coral.cli.formatting import HelpFormatter, explain_config_options

    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(
        prog=command,
        usage=f"{command} [--OPTION VALUE ...]",
        description=about,
        exit_on_error=False,
        allow_abbrev=False,  # an option that comes later would make them ambiguous
        formatter_class=HelpFormatter,
    )
    parser.add_argument(
        "--config", action="config", help="YAML file with any of these options; may be repeated."
    )
    parser.add_class_arguments(kind)
    explain_config_options(parser)
    return parser


def _names(kind: type[Any]) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]


def _with_values(kind: type[Any], arguments: Sequence[str]) -> list[str]:
    """Let a switch such as `--retry_failed` stand alone."""
    switches = {f"--{item.name}" for item in dataclasses.fields(kind) if str(item.type).startswith("bool")}
    full: list[str] = []
    for position, argument in enumerate(arguments):
        full.append(argument)
        following = arguments[position + 1] if position + 1 < len(arguments) else "--"
        if argument in switches and following.startswith("--"):
            full.append("true")
    return full


def _read(options: dict[str, Any]) -> dict[str, Any]:
    """Free options come as strings from the command line, typed from YAML."""
    return {key: _read_text(value) if isinstance(value, str) else value for key, value in options.items()}


def _read_text(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:  # control characters, for instance
        return text


def _explained(message: str, parser: ArgumentParser) -> ConfigError:
    """What jsonargparse says, with the option meant."""
    unknown = re.search(r"(?:unrecognized arguments: --|Key ['\"]|[Oo]ption ['\"])([\w.]+)", message)
    known = {action.dest for action in parser._actions if action.dest}  # noqa: SLF001 - no public list
    if unknown:
        name = unknown.group(1)
        remedy = _nearest(name, known) or f"`{parser.prog} --help` lists the options"
        return ConfigError(f"no option --{name}", remedy=remedy)
    stray = re.search(r"unrecognized arguments: (\S+)", message)
    if stray:
        return ConfigError(
            f"'{stray.group(1)}' is no option", remedy=f"it may stand right behind: {parser.prog}"
        )
    wrong = re.search(r'key "([\w.]+)"', message)
    value = re.search(r"(?:Got|Given) value: (.*)", message)
    if wrong and value:
        return ConfigError(
            f"--{wrong.group(1)} cannot be {value.group(1).strip()!r}",
            remedy=_choices(wrong.group(1), parser) or f"`{parser.prog} --help` tells what it may be",
        )
    return ConfigError(" ".join(message.split()), remedy=f"see `{parser.prog} --help`")


def _nearest(name: str, known: set[str]) -> str | None:
    """The option meant; of `secnd.task`, its first part may be all that is wrong."""
    head, dot, rest = name.partition(".")
    for wanted, behind in ((name, ""), (head, dot + rest)):
        near = difflib.get_close_matches(wanted, known, n=1)
        if near:
            return f"did you mean --{near[0]}{behind}?"
    return None


def _choices(name: str, parser: ArgumentParser) -> str | None:
    """What an option may be, where that is a short list of words."""
    for action in parser._actions:  # noqa: SLF001 - no public list
        if action.dest == name:
            words = _words(getattr(action, "_typehint", None))
            return f"it may be {', '.join(words)}" if words else None
    return None


def _words(kind: Any) -> list[str]:
    """The literals of a type, such as `str | None` of `Literal`."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    return [word for inner in get_args(kind) for word in _words(inner)]


def _check_files(arguments: Sequence[str]) -> None:
    """A config file that is no mapping is named here, since the parser's words do not name it."""
    for position, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name != "--config":
            continue
        path = value or (arguments[position + 1] if position + 1 < len(arguments) else "")
        remedy = "give a YAML file with options, such as `limit: 10`"
        try:
            options = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"cannot read {path or 'the config file'}: {error.strerror}", remedy=remedy
            ) from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path} is no YAML: {error}", remedy=remedy) from None
        if not isinstance(options, dict):
            raise ConfigError(f"{path} holds no options", remedy=remedy)


def as_yaml(value: object) -> str:
    """A value as a config file would state it."""
    return yaml.safe_dump(msgspec.to_builtins(value), sort_keys=False, allow_unicode=True)
