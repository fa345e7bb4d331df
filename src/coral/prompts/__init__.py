"""The prompts: Jinja2 templates with strict undefined, ours or from a published prompt library.

Ours are the files of this folder. A library file, as the published Coral code ships it, maps a name to
`{description, template_str, required_args}`; its templates take `task_name` and `task_specific_inst`, ours
take `instruction`. Every template is offered all three.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path

import msgspec
from jinja2 import StrictUndefined, Template

from coral.errors import ConfigError, Notice
from coral.prompts.sandbox import TEMPLATE_ERRORS, sandboxed

_BOM = b"\xef\xbb\xbf"
SYSTEM = ("agent", "cot", "same", "panel")
"""Our templates of system prompts."""
_BRACE = "a brace that is no template is written {{ '{' }}"
_ENVIRONMENT = sandboxed(undefined=StrictUndefined)


class _Entry(msgspec.Struct, frozen=True):
    template_str: str


@cache
def builtin(name: str) -> str:
    """The text of one of our own templates."""
    return resources.files(__package__).joinpath(f"{name}.jinja").read_text(encoding="utf-8").strip()


def load_library(path: str) -> dict[str, str]:
    """Read a published prompt library: name -> template text.

    Raises:
        ConfigError: the file is missing or has another form.
    """
    try:
        entries = msgspec.json.decode(Path(path).read_bytes().removeprefix(_BOM), type=dict[str, _Entry])
    except OSError as error:
        raise ConfigError(
            f"cannot read the prompt library {path}: {error.strerror}", remedy="check the path"
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is not a prompt library: {error}",
            remedy='it must be JSON of the form {"NAME": {"template_str": "..."}}',
        ) from None
    return {name: entry.template_str for name, entry in entries.items()}


def choose(name: str, library: Mapping[str, str]) -> str:
    """The system prompt template called `name`: from the library, else one of ours.

    Raises:
        ConfigError: there is no such template.
    """
    if name in library:
        return library[name]
    if name in SYSTEM:
        return builtin(name)
    known = ", ".join(sorted({*library, *SYSTEM}))
    raise ConfigError(f"no prompt '{name}'", remedy=f"choose one of: {known}")


@cache
def compiled(text: str) -> Template:
    """Compile a template, once for each text.

    Raises:
        ConfigError: the template has a syntax error.
    """
    try:
        return _ENVIRONMENT.from_string(text)
    except TEMPLATE_ERRORS as error:
        raise ConfigError(
            f"a prompt template is broken: {error}", remedy=f"see Jinja2's template syntax; {_BRACE}"
        ) from None


def render(text: str, **values: str) -> str:
    """Fill a template.

    Raises:
        ConfigError: it is broken, or names a value that is not among `values`.
    """
    try:
        return compiled(text).render(**values).strip()
    except TEMPLATE_ERRORS as error:
        raise ConfigError(
            f"a prompt template cannot be filled: {error}",
            remedy=f"it may use: {', '.join(sorted(values))}",
        ) from None


def text_or_file(value: str, where: str) -> str:
    """The text, or with `@` before it the contents of the file of that name; `@@` stands for `@`.

    Args:
        where: the option that gave it, for messages.

    Raises:
        ConfigError: the file cannot be read.
    """
    if value.startswith("@@"):
        return value[1:]
    if value.startswith("@"):
        return _file_text(value[1:], where)
    if value.strip() and len(value) <= _LONGEST_NAME and "\0" not in value and Path(value).is_file():
        text = f"{where} is the text '{value}', which is the name of a file, too: @{value} reads it"
        warnings.warn(text, Notice, stacklevel=2)
    return value


_LONGEST_NAME = 200
"""Characters of a text that may be the name of a file."""


def _file_text(name: str, where: str) -> str:
    try:
        return Path(name).expanduser().read_text(encoding="utf-8-sig").rstrip("\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{where}: cannot read '{name}': {reason}",
            remedy=f"give @FILE in UTF-8, or @@{name} for a text that begins with @",
        ) from None


def names_any(text: str, values: Iterable[str]) -> bool:
    """Whether a template uses one of these values.

    Raises:
        ConfigError: the template has a syntax error.
    """
    from jinja2.meta import find_undeclared_variables

    compiled(text)
    return not find_undeclared_variables(_ENVIRONMENT.parse(text)).isdisjoint(values)


def instructed(text: str) -> str:
    """A template that places the task's instruction: where it does not itself, the instruction stands below.

    Raises:
        ConfigError: the template has a syntax error.
    """
    placed = names_any(text, ("instruction", "task_specific_inst"))
    return text if placed else f"{text.rstrip()}\n\n{{{{ instruction }}}}"


def fingerprint(*texts: str) -> str:
    """Identifies a set of prompts in the record of a run."""
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
