"""The command line: one spelling of options for words and YAML files, and errors that name a remedy.

jsonargparse explains the options (`--help`). It does not read their values: it would read every text as YAML
before its option's type is known (see `coral.options`).
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from coral.config import dump_yaml
from coral.errors import ConfigError
from coral.options import (
    Word,
    alternatives,
    build_config,
    in_a_section,
    is_names,
    is_section,
    load_yaml_file,
    merged,
    read_section,
    read_words,
    section_types,
    takes_several,
    typed_options,
    types_of,
)

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

T = TypeVar("T")

_OPTION = re.compile(r"--[A-Za-z]")
_HELP = ("-h", "--help")


def parse(
    kind: type[T], arguments: Sequence[str], *, command: str, about: str, positional: str | None = None
) -> T:
    """Build a `kind` (a frozen dataclass) from words and `--config` files.

    A word wins over every file, wherever they stand; of words, and of files, the later one wins.

    Args:
        kind: its fields are the options; those of type dict take `--name.key value`.
        arguments: what stands behind the command.
        command: such as "coral eval", for messages.
        about: one sentence for `--help`.
        positional: the option that a word without dashes stands for, wherever it stands.

    Raises:
        ConfigError: an option is unknown, or its value is of the wrong type or out of range.
        SystemExit: after `--help` and `--print_config`.
    """
    if any(word in _HELP for word in arguments):
        told = _parser(kind, command, about).format_help()
        print(told.replace(" \b[", "["), end="")  # jsonargparse writes a backspace, for terminals alone
        raise SystemExit(0)
    files: list[Mapping[str, Any]] = []
    words: list[Mapping[str, Any]] = []
    printed: str | None = None
    for name, value in _pairs(arguments, kind, command, positional):
        if name == "config":
            files.append(read_words(load_yaml_file(_single(name, value)), types_of(kind)))
        elif name == "print_config":
            printed = _single(name, value)
        else:
            path = name.split(".")
            wanted = _type_at(kind, path)
            if value == "" and (is_section(wanted) or path[-1] == "model"):  # of a variable that is not set
                raise ConfigError(f"--{name} is empty", remedy="give a name, or leave it out")
            read = read_section(Word(_single(name, value)), wanted) if is_section(wanted) else value
            words.append(_nested(path, read))
    remedy = f"`{command} --help` tells what it may be"
    options = read_words(merged(*files, *words), types_of(kind))
    _refuse_unknown(options, kind, command)
    if printed is not None:
        print(as_yaml(_printable(kind, typed_options(kind, options, "--", remedy=remedy), printed)), end="")
        raise SystemExit(0)
    return build_config(kind, options, "--", remedy=remedy)


def take_name(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Split off the argument without a dash that opens a command, if there is one."""
    if arguments and not arguments[0].startswith("-"):
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def take_names(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split off all arguments without a dash that open a command."""
    names, rest = list[str](), list(arguments)
    while rest and not rest[0].startswith("-"):
        names.append(rest.pop(0))
    return names, rest


def _pairs(
    arguments: Sequence[str], kind: type[Any], command: str, positional: str | None
) -> Iterator[tuple[str, Word | list[Word]]]:
    """The options and their values. Those that take lists may have several words; `positional` comes last."""
    words, stray = list(arguments), list[Word]()
    while words:
        word = words.pop(0)
        option, joined, value = word.partition("=")
        if not _OPTION.match(option):
            if option.startswith("-") or not positional or stray:
                raise _no_option(option, command)
            stray.append(Word(word))
            continue
        name = option[2:].replace("-", "_")
        wanted = _type_at(kind, name.split("."))
        values = [Word(value)] if joined else _values(words, wanted, name, known=_is_option(kind, name))
        yield name, values[0] if len(values) == 1 else values
    if positional and stray:
        yield positional, stray[0]


def _no_option(word: str, command: str) -> ConfigError:
    """A word without dashes that no option takes, or one with a single dash."""
    if word.startswith("-"):
        long = {"-m": "--agent.model MODEL", "-n": "--limit N", "-o": "--output DIR", "-c": "--config FILE"}
        hint = f"options have two dashes: `{command} --help` lists them"
        if word in long:
            hint = f"did you mean {long[word]}?"
        return ConfigError(f"'{word}' is not an option", remedy=hint)
    return ConfigError(
        f"'{word}' is not an option", remedy=f"words stand before options: {command} --OPTION ..."
    )


def _values(words: list[str], kind: Any, name: str, *, known: bool) -> list[Word]:
    """Take an option's values off the words behind it.

    Args:
        known: there is such an option; of another one it is said later that there is none.
    """
    if name == "print_config":
        return [Word()]
    if not words or _OPTION.match(words[0]):
        if bool in alternatives(kind) or not known:
            return [Word("true")]
        joined = f", or --{name}={words[0]} if that is it" if words else ""
        raise ConfigError(f"--{name} has no value", remedy=f"give one behind it: --{name} VALUE{joined}")
    values = [Word(words.pop(0))]
    while words and not words[0].startswith("-") and (takes_several(kind) or _goes_on(values[-1], kind)):
        values.append(Word(words.pop(0)))
    return values


def _goes_on(word: Word, kind: Any) -> bool:
    """Whether names follow behind a comma and a blank."""
    return is_names(kind) and word.rstrip().endswith(",")


def _type_at(kind: type[Any], path: Sequence[str]) -> Any:
    """The type of an option by its name; Any where nobody tells."""
    types: Mapping[str, Any] = types_of(kind)
    for name in path[:-1]:
        types = section_types(types.get(name), {})
    return types.get(path[-1], Any)


def _is_option(kind: type[Any], name: str) -> bool:
    """Whether there is an option of this name, or may be one, where nobody tells which there are."""
    types: Mapping[str, Any] = types_of(kind)
    for part in name.split("."):
        if part not in types:
            return not types or name == "config"
        types = section_types(types[part], {})
    return True


def _single(name: str, value: Word | list[Word]) -> str:
    assert isinstance(value, str), name  # such options take no list
    return str(value)


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    return {path[0]: _nested(path[1:], value) if path[1:] else value}


def _refuse_unknown(options: Mapping[str, Any], kind: type[Any], command: str) -> None:
    """Name an option that there is not, and the one meant: perhaps only its first part is misspelt."""
    types = types_of(kind)
    for name, value in options.items():
        if name in types:
            continue
        inner = _path_in(value)
        near = [] if inner else in_a_section(str(name), types)
        near = near or difflib.get_close_matches(str(name), types, n=1)
        hint = f"did you mean --{near[0]}{inner}?" if near else f"`{command} --help` lists the options"
        raise ConfigError(f"no option --{name}{inner}", remedy=hint)


def _path_in(value: Any) -> str:
    """The first option in a section, with its dots."""
    if not isinstance(value, Mapping) or not value:
        return ""
    name = next(iter(value))
    return f".{name}{_path_in(value[name])}"


def _parser(kind: type[Any], command: str, about: str) -> ArgumentParser:
    """Explains the options."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside jsonargparse concern no user
        from jsonargparse import ArgumentParser, set_parsing_settings

        from coral.cli.formatting import HelpFormatter, explain_config_options

        set_parsing_settings(docstring_parse_attribute_docstrings=True)
        parser = ArgumentParser(
            prog=command,
            usage=f"{command} [--OPTION VALUE ...]",
            description=about,
            epilog=_of_sections(types_of(kind)),
            formatter_class=HelpFormatter,
        )
        parser.add_argument(
            "--config", action="config", help="YAML file with any of these options; may be repeated."
        )
        parser.add_class_arguments(kind)
        explain_config_options(parser, types_of(kind))
        return parser


def _of_sections(types: Mapping[str, Any]) -> str:
    """The options of sections that the parser does not list: those that fill up another one."""
    told = [
        f"--{name}.OPTION: {', '.join(section_types(kind, {}))}."
        for name, kind in types.items()
        if name in {"partner", "extractor"}
    ]
    return " ".join(told)


def _printable(kind: type[Any], given: Mapping[str, Any], how: str) -> dict[str, Any]:
    """All options as a config file would state them; with `skip_default`, those that differ from theirs."""
    defaults = {item.name: _default(item) for item in dataclasses.fields(kind)}
    if how != "skip_default":
        return {**defaults, **given}
    changed = [name for name in defaults if name in given and given[name] != defaults[name]]
    return {name: _difference(given[name], defaults[name]) for name in changed}


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default is not dataclasses.MISSING:
        return item.default
    return None if item.default_factory is dataclasses.MISSING else item.default_factory()


def _difference(value: Any, default: Any) -> Any:
    """Of a section, what differs from its default."""
    if not dataclasses.is_dataclass(value):
        return value
    names = [item.name for item in dataclasses.fields(value)]
    return {
        name: getattr(value, name) for name in names if getattr(value, name) != getattr(default, name, None)
    }


def as_yaml(value: object) -> str:
    """A value as a config file would state it."""
    return dump_yaml(msgspec.to_builtins(value))
