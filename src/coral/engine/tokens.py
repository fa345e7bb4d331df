"""A model folder's tokenizer and chat template."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coral.engine.files import SETTINGS_LIMIT, load_optional, read_file
from coral.engine.template import ChatTemplate
from coral.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TOKENIZER_LIMIT = 256 << 20
"""Bytes. The largest published ones have some 35 MB."""


class _AddedToken(msgspec.Struct, frozen=True):
    content: str


class _Decoder(msgspec.Struct, frozen=True):
    """What a `tokenizer.json` says of how tokens become text."""

    decoder: Any = None


class _NamedTemplate(msgspec.Struct, frozen=True):
    name: str
    template: str


class TokenizerConfig(msgspec.Struct, frozen=True):
    """`tokenizer_config.json`: its marks, and the chat template of older folders."""

    bos_token: str | _AddedToken | None = None
    eos_token: str | _AddedToken | None = None
    chat_template: str | tuple[_NamedTemplate, ...] | None = None


def load_template(folder: Path) -> ChatTemplate | None:
    """The chat template of a model or tokenizer folder; None where it has none: it was not made for chat.

    `chat_template.jinja` goes before the tokenizer's own; of several named ones, "default" counts.

    Raises:
        ConfigError: its files are damaged.
    """
    names = load_optional(folder / "tokenizer_config.json", TokenizerConfig)
    source: str | tuple[_NamedTemplate, ...] | None = _template_file(folder)
    if source is None:
        source = names.chat_template
    if isinstance(source, tuple):
        source = next((named.template for named in source if named.name == "default"), None)
    if source is None:
        return None
    bos, eos = token_text(names.bos_token), token_text(names.eos_token)
    return ChatTemplate(source, bos_token=bos, eos_token=eos, where=str(folder))


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder.

    Raises:
        ConfigError: it is missing or damaged, or decodes by regular expressions.
    """
    path = folder / "tokenizer.json"
    raw = read_file(path, limit=_TOKENIZER_LIMIT)
    if raw is None:
        raise ConfigError(
            f"{folder} holds no tokenizer.json",
            remedy="save the fast tokenizer beside the model (`save_pretrained`)",
        )
    _check_decoder(raw, path)
    from tokenizers import Tokenizer

    try:
        tokenizer: Tokenizer = Tokenizer.from_buffer(raw)
    except BaseException as error:  # the library raises plain Exceptions, and panics that are none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ConfigError(
            f"{path} is damaged: {error}", remedy="save or download the tokenizer again"
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _check_decoder(raw: bytes, path: Path) -> None:
    """Prompts are tokenized in a process that can be killed, but replies are decoded in the engine's own: an
    expression that backtracks would hold up every request. No published chat model decodes by one.
    """
    try:
        decoder = msgspec.json.decode(raw, type=_Decoder).decoder
    except (msgspec.DecodeError, RecursionError):
        return  # the library says what is damaged
    if _has_regex(decoder):
        raise ConfigError(
            f"{path}: the decoder uses a regular expression, which the embedded engine does not run",
            remedy="serve the model with vLLM or llama.cpp, and name the server (--agent.base_url)",
        )


def _has_regex(decoder: Any) -> bool:
    if isinstance(decoder, list):
        return any(map(_has_regex, decoder))
    if isinstance(decoder, dict):
        return "Regex" in decoder or any(map(_has_regex, decoder.values()))
    return False


def token_text(token: str | _AddedToken | None) -> str:
    """The text of a mark in `tokenizer_config.json`; empty where it is not set."""
    return token.content if isinstance(token, _AddedToken) else token or ""


def _template_file(folder: Path) -> str | None:
    path = folder / "chat_template.jinja"
    raw = read_file(path, limit=SETTINGS_LIMIT)
    try:
        return None if raw is None else raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", remedy="save the tokenizer again") from error
