"""Options by name, as the command line, YAML files and Python give them: read once, by their types.

A word of the command line stays the text that it is until the type of its option is known. A text that was
read as YAML first could never be told from one: `# Rules` would be nothing, and `yes` a truth.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union

import msgspec
import yaml

from coral.config import check_bounds, load_yaml
from coral.errors import ConfigError
from coral.tasks.options import in_words

T = TypeVar("T")


class Word(str):
    """A value as a word of the command line, not read yet."""

    __slots__ = ()


@dataclass(frozen=True)
class Section:
    """In the metadata of a field that is a section: which options it holds.

    Attributes:
        types: from what is set in it to the types of its options by name.
        short: the option that is meant where a text stands for the section, as in `--task gsm8k`.
        kind: names the dataclass of its options, where there is one.
    """

    types: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    short: str | None = None
    kind: Callable[[], type[Any]] | None = None


def section(kind: Callable[[], type[Any]], *, short: str | None = None) -> dict[str, Section]:
    """The metadata of a field that holds options of `kind` (a dataclass, named when it is asked for)."""
    return {"section": Section(lambda _: types_of(kind()), short, kind)}


class Names:
    """Marks, in `Annotated`, the type of an option that holds names: a comma in a text stands between two."""


def types_of(kind: type[Any]) -> dict[str, Any]:
    """The types of the options of a dataclass; `Section` for those that are sections themselves."""
    hints = typing.get_type_hints(kind)
    found = {item.name: item.metadata.get("section", hints[item.name]) for item in dataclasses.fields(kind)}
    named = {item.name for item in dataclasses.fields(kind) if item.metadata.get("names")}
    return {name: Annotated[one, Names] if name in named else one for name, one in found.items()}


def merged(*sections: Mapping[str, Any]) -> dict[str, Any]:
    """The sections as one, mappings in them merged; what stands later wins."""
    whole: dict[str, Any] = {}
    for options in sections:
        for name, value in options.items():
            old = whole.get(name)
            whole[name] = (
                merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
            )
    return whole


# Words ------------------------------------------------------------------------------------------------------


def read_words(options: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """`options` by the names of `types`, with each `Word` in them read by the type of its option.

    Raises:
        ConfigError: an option is there in two spellings.
    """
    named: dict[str, Any] = {}
    for given, value in options.items():
        name, part = _spelled(given, value, types)
        old = named.get(name)
        if name in named and not (isinstance(old, Mapping) and isinstance(part, Mapping)):
            raise ConfigError(
                f"{name} is there for the second time, as {given}", remedy="leave one of them out"
            )
        named[name] = merged(old, part) if isinstance(old, Mapping) else part
    return {name: _read(value, types.get(name, Any)) for name, value in named.items()}


def _spelled(name: Any, value: Any, types: Mapping[str, Any]) -> tuple[Any, Any]:
    """An option as it is meant: `max-turns` is max_turns, and `agent.model` the model in agent."""
    if not types or not isinstance(name, str):
        return name, value
    plain = name if name in types else name.replace("-", "_")
    section, dot, inner = plain.partition(".")
    if plain not in types and dot and section in types:
        return section, {inner: value}
    kind = types.get(plain)
    if isinstance(kind, Section) and kind.short and isinstance(value, str) and not isinstance(value, Word):
        value = {kind.short: value}
    return (plain if plain in types else name), value


def _read(value: Any, kind: Any) -> Any:
    if isinstance(kind, Section) and kind.short and isinstance(value, str):
        value = {kind.short: value}
    if isinstance(value, Mapping):
        return read_words(value, section_types(kind, value))
    if isinstance(value, list):
        parts = [
            part for item in value for part in (_parts(item, kind) if isinstance(item, Word) else [item])
        ]
        return _joined([_read(item, _element(kind)) for item in parts], kind)
    if isinstance(value, Word):
        return _joined(_read_word(value, kind), kind)
    return _alone(value, kind) if isinstance(value, str) else value


def _alone(text: str, kind: Any) -> Any:
    """One text in the place of a list: what it names, or itself alone."""
    parts = _parts(text, kind)
    if takes_several(kind) and (len(parts) > 1 or str not in alternatives(kind)):
        return [_read(Word(part), _element(kind)) for part in parts]
    return text


def _parts(text: str, kind: Any) -> list[Any]:
    """What a text in the place of a list stands for: names, numbers and the like have commas between them.

    A comma before `name=` belongs to the name of a scripted model, and one in a path that is there to that.
    """
    plain = is_names(kind) or not {str, dict, Any} & {
        typing.get_origin(one) or one for one in alternatives(_element(kind))
    }
    if not plain or _is_there(text):
        return [text]
    listed = re.fullmatch(r"\s*\[(.*)\]\s*", text)  # what YAML cannot read in brackets, such as @FILE
    parts = [part.strip().strip("'\"") for part in _COMMA.split(listed[1] if listed else text)]
    return [type(text)(part) for part in parts if part] or [text]


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a name
        return False


_COMMA = re.compile(r",(?!\s*[\w.]+=)")


def _joined(value: Any, kind: Any) -> Any:
    """Names in the place of one text, which has commas between them."""
    several = isinstance(value, list) and is_names(kind) and not takes_several(kind)
    return ",".join(map(str, value)) if several else value


def listed(kind: Any) -> Any:
    """The type of an option that cannot say whether it holds names, as of a task: a list of texts does."""
    lists = str not in alternatives(kind) and _element(kind) is str
    return Annotated[kind, Names] if lists else kind


def is_names(kind: Any) -> bool:
    """Whether an option holds names."""
    return typing.get_origin(kind) is Annotated and Names in typing.get_args(kind)


def is_section(kind: Any) -> bool:
    """Whether an option of this type is a section of options."""
    return isinstance(kind, Section) or _is_dataclass(kind)


def read_section(word: Word, kind: Any) -> dict[str, Any]:
    """A section as a word gives it: a mapping in braces, the name of a YAML file, or its foremost option.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if isinstance(kind, Section) and kind.short and not (_is_braced(word) or _is_file(word)):
        return {kind.short: word}
    options = _flow(word) if _is_braced(word) else load_yaml_file(word)
    if not isinstance(options, dict):
        raise ConfigError(f"{word!r} holds no options", remedy="write them as {name: value, ...}")
    return options


def _is_braced(word: str) -> bool:
    """Whether a word is a mapping: `{name: value}`, but not a command such as `{python} -m coral`."""
    return word.lstrip().startswith("{") and not re.match(r"\s*\{\w+\}", word)


def _is_file(word: str) -> bool:
    """Whether a word is the name of a YAML file; a command may end with one, too."""
    return word.lower().endswith((".yaml", ".yml")) and (" " not in word or Path(word).is_file())


def section_types(kind: Any, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """The types of the options in a section of type `kind`; none where nobody tells."""
    if isinstance(kind, Section):
        return kind.types(options)
    return types_of(kind) if _is_dataclass(kind) else {}


def in_a_section(name: str, types: Mapping[str, Any]) -> list[str]:
    """`section.name`, of the first section that has an option of this very name; nothing where none has."""
    return [
        f"{section}.{name}"
        for section, kind in types.items()
        if is_section(kind) and name in section_types(kind, {})
    ][:1]


def takes_several(kind: Any) -> bool:
    """Whether an option of this type holds a list."""
    return any(typing.get_origin(one) in (list, tuple) for one in alternatives(kind))


def _read_word(word: Word, kind: Any) -> Any:
    """A text stays as it is where one is wanted; lists and mappings are YAML in brackets."""
    kinds = alternatives(kind)
    if kind is Any:
        return _read_anything(word)
    if word == "null" and NoneType in kinds:
        return None
    lists = takes_several(kind) or is_names(kind)
    if word.lstrip().startswith("[") and lists and isinstance(listed := _flow(word), list):
        return listed
    if any(typing.get_origin(one) is dict for one in kinds):
        return _flow(word)
    if takes_several(kind) and isinstance(several := _alone(str(word), kind), list):
        return several
    try:
        return msgspec.convert(str(word), kind, strict=False)
    except msgspec.ValidationError:  # `typed_options` says so, by name
        return str(word)


def _read_anything(word: Word) -> Any:
    """A number, true, false, null, a list or a mapping in brackets; else the text."""
    if word.lstrip().startswith(("[", "{")):
        return _flow(word)
    try:
        return msgspec.json.decode(str(word))
    except (msgspec.DecodeError, UnicodeEncodeError):
        return str(word)


def _flow(word: str) -> Any:
    """A list or mapping as YAML writes it in one line; the text where it is none."""
    try:
        value = load_yaml(word)
    except (yaml.YAMLError, RecursionError):
        return str(word)
    return value if isinstance(value, list | dict) else str(word)


def alternatives(kind: Any) -> tuple[Any, ...]:
    """What a union admits; another type alone."""
    kind = typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, UnionType) else (kind,)


def _element(kind: Any) -> Any:
    """The type of what a list holds."""
    found = [typing.get_args(one) for one in alternatives(kind) if typing.get_origin(one) in (list, tuple)]
    return found[0][0] if found and found[0] else Any


def _is_dataclass(kind: Any) -> bool:
    return isinstance(kind, type) and dataclasses.is_dataclass(kind)


# Values -----------------------------------------------------------------------------------------------------


def build_config(
    kind: type[T], options: Mapping[str, Any], where: str, *, remedy: str = "fix the config file"
) -> T:
    """A `kind` (a frozen dataclass) with `options` set; see `typed_options`.

    Raises:
        ConfigError: an option is unknown, of the wrong type or out of range.
    """
    return kind(**typed_options(kind, options, where, remedy=remedy))


def typed_options(kind: type[Any], options: Mapping[str, Any], where: str, *, remedy: str) -> dict[str, Any]:
    """`options` with the types of the fields of `kind`; texts are read as numbers where those are wanted.

    Args:
        where: the options' section, for messages; empty where they have none, `--` on the command line.
        remedy: what to do about a value of the wrong type.

    Raises:
        ConfigError: an option is unknown or of the wrong type.
    """
    prefix = f"{where}." if where not in {"", "--"} else where
    types = typing.get_type_hints(kind)
    known = {item.name: item for item in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise ConfigError(f"no option {prefix}{name}", remedy=_meant(str(name), set(known), prefix))
    typed = {}
    for name, value in options.items():
        whole = f"{prefix}{name}"
        named = known[name].metadata.get("names") and isinstance(value, str)
        given = _alone(value, Annotated[types[name], Names]) if named else value
        typed[name] = _typed(given, types[name], whole, remedy)
        check_bounds(known[name], typed[name], whole)
        inner = known[name].metadata.get("section")
        if isinstance(inner, Section) and inner.kind and isinstance(value, Mapping):
            typed_options(inner.kind(), value, whole, remedy=remedy)  # refuses; what is given stays
    return typed


def _meant(name: str, known: set[str], prefix: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {prefix}{near[0]}?" if near else f"options: {', '.join(sorted(known))}"


def _typed(value: Any, kind: Any, where: str, remedy: str) -> Any:
    if _is_dataclass(kind) and isinstance(value, Mapping):
        return build_config(kind, value, where, remedy=remedy)
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        _refuse_part(value, kind, where, remedy)
        raise of_another_type(value, kind, where, error, remedy) from None


def of_another_type(value: Any, kind: Any, where: str, error: Exception, remedy: str) -> ConfigError:
    """What an option was given, and what it may be.

    Args:
        where: the option.
        error: what the conversion says, where the type has no words of ours.
    """
    if words := _choices(kind):
        near = difflib.get_close_matches(str(value), words, n=1)
        cause = f"{where} must be one of {', '.join(words)} (got {value!r})"
        return ConfigError(cause, remedy=f"did you mean {near[0]}?" if near else remedy)
    has_options = any(_is_dataclass(one) for one in alternatives(kind))
    if wanted := "a mapping of options" if has_options else in_words(kind):
        return ConfigError(f"{where} must be {wanted} (got {value!r})", remedy=remedy)
    return ConfigError(f"{where} cannot be {value!r}: {error}", remedy=remedy)


def _refuse_part(value: Any, kind: Any, where: str, remedy: str) -> None:
    """Where one entry of a mapping is what cannot be: name that one, and not all of them.

    Raises:
        ConfigError: names it.
    """
    if not isinstance(value, Mapping) or typing.get_origin(kind) is not dict:
        return
    for name, part in value.items():
        if not isinstance(name, str):
            raise ConfigError(
                f"{where}: {name!r} is a name, and not a text to YAML", remedy=f'put it in quotes: "{name}"'
            )
        _typed(part, typing.get_args(kind)[1], f"{where}.{name}", remedy)


def _choices(kind: Any) -> list[str]:
    """The words that an option may be, where its type lists them."""
    return [
        str(word)
        for one in alternatives(kind)
        if typing.get_origin(one) is Literal
        for word in typing.get_args(one)
    ]


# Files ------------------------------------------------------------------------------------------------------


def load_yaml_file(path: str | Path) -> dict[str, Any]:
    """The options that a YAML file states.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    remedy = "give a YAML file of options: lines such as `name: value`"
    try:
        options = load_yaml(Path(path).expanduser().read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read {path or 'the config file'}: {reason}", remedy=remedy) from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deep", remedy=remedy) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {_yaml_fault(error)}", remedy=remedy) from None
    if not isinstance(options, dict):
        raise ConfigError(f"{path} holds no options", remedy=remedy)
    return options


def _yaml_fault(error: yaml.YAMLError) -> str:
    """What is wrong, and in which line, on one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    if mark is None or problem is None:
        return " ".join(str(error).split())
    hint = " (indent with spaces)" if "'\\t'" in problem else ""
    return f"line {mark.line + 1}: {problem}{hint}"
