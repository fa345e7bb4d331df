"""From messages to tokens, as TRL encodes them, and what can be wrong with the part that is trained."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from coral.errors import ConfigError
from coral.prompts.sandbox import TEMPLATE_ERRORS
from coral.training.rows import Row
from coral.types import Message, Role

TEMPLATE = "give a fitting chat template with --chat_template FILE, or train another model"


@dataclass(frozen=True)
class Encoded:
    """One prompt with one reply, in tokens.

    Attributes:
        name: the reply's column.
        prompt: tokens that are context only.
        reply: tokens that are trained: the reply's words and its end mark.
    """

    name: str
    prompt: tuple[int, ...]
    reply: tuple[int, ...]

    @property
    def length(self) -> int:
        """Tokens together."""
        return len(self.prompt) + len(self.reply)


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with its chat template, and the tokens that end a reply."""

    tokenizer: Any
    end_tokens: frozenset[int]
    control_tokens: re.Pattern[str]

    def encode(self, row: Row, names: Sequence[str]) -> tuple[Encoded, ...]:
        """The row's replies, each with its prompt; `names` are their columns.

        Raises:
            ConfigError: the template cannot render the row, or would train something else than the reply.
        """
        prompt = self.tokens(row.prompt, row.where)
        return tuple(
            self._encode_reply(row, name, prompt, reply)
            for name, reply in zip(names, row.replies, strict=True)
        )

    def holds_control_tokens(self, row: Row) -> bool:
        """Whether what was said, by either side, holds a token that belongs to the chat template."""
        said = (*row.prompt, *(message for reply in row.replies for message in reply))
        return any(
            self.control_tokens.search(message.content) for message in said if message.role is not Role.SYSTEM
        )

    def text(self, tokens: Iterable[int]) -> str:
        """The text of `tokens`, special ones included."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return text

    def tokens(self, messages: Iterable[Message], where: str) -> list[int]:
        """The tokens that ask for the next reply to `messages`.

        Raises:
            ConfigError: the template refuses them; `where` is named.
        """
        return self._tokens(messages, where, generate=True)

    def _encode_reply(self, row: Row, name: str, prompt: list[int], reply: tuple[Message, ...]) -> Encoded:
        whole = self._tokens((*row.prompt, *reply), row.where, generate=False)
        where = f"{row.where}: {name}"
        if whole[: len(prompt)] != prompt:
            raise ConfigError(
                f"{where}: the chat template renders the prompt in another way when a reply follows: "
                f"alone it ends in {_end(self.text(prompt))!r}, and the model would be trained on a context "
                "that it never sees",
                remedy=TEMPLATE,
            )
        encoded = Encoded(name=name, prompt=tuple(prompt), reply=tuple(whole[len(prompt) :]))
        self._check_mask(encoded, reply, where)
        return encoded

    def _check_mask(self, encoded: Encoded, reply: tuple[Message, ...], where: str) -> None:
        """Refuse a mask that leaves out the reply's words or its end."""
        if not encoded.reply:
            raise ConfigError(
                f"{where}: no token would be trained: the chat template drops the reply", remedy=TEMPLATE
            )
        trained = self.text(encoded.reply)
        for message in reply:
            if message.content.strip() and _squeezed(message.content) not in _squeezed(trained):
                raise ConfigError(
                    f"{where}: the trained tokens are not the reply: the chat template makes "
                    f"{_end(trained)!r} of {_end(message.content)!r}",
                    remedy=TEMPLATE,
                )
        if not self.end_tokens.intersection(encoded.reply):
            raise ConfigError(
                f"{where}: no end mark would be trained, so the model would never learn to stop: the trained "
                f"tokens end in {_end(trained)!r}",
                remedy=TEMPLATE,
            )

    def _tokens(self, messages: Iterable[Message], where: str, *, generate: bool) -> list[int]:
        plain = [{"role": message.role.value, "content": message.content} for message in messages]
        try:
            encoded = self.tokenizer.apply_chat_template(
                plain, tokenize=True, return_dict=True, add_generation_prompt=generate
            )
        except TEMPLATE_ERRORS as error:
            cause = str(error) if isinstance(error, TemplateError) else f"{type(error).__name__}: {error}"
            raise ConfigError(
                f"{where}: the chat template refuses the conversation: {cause}", remedy=TEMPLATE
            ) from None
        return list(encoded["input_ids"])


def load_encoder(model: str, chat_template: str | None) -> Encoder:
    """Load the tokenizer of `model`, with its own chat template or that in a file.

    Raises:
        ConfigError: there is no such model or file, or no chat template at all.
    """
    from pathlib import Path

    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no tokenizer in '{model}': {str(error).splitlines()[0]}",
            remedy="name a checkpoint folder with tokenizer.json, or a model on the hub",
        ) from None
    if chat_template is not None:
        path = Path(chat_template).expanduser()
        if not path.is_file():
            raise ConfigError(f"no chat template {path}", remedy="name a file with a Jinja template")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
    if tokenizer.chat_template is None:
        raise ConfigError(f"'{model}' has no chat template", remedy="give one with --chat_template FILE")
    return Encoder(tokenizer, _end_tokens(model, tokenizer), _control_tokens(tokenizer))


def _end_tokens(model: str, tokenizer: Any) -> frozenset[int]:
    """What ends a reply: the tokenizer's end token and those of the generation config."""
    from transformers import GenerationConfig

    try:
        ends = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:
        ends = None
    listed = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in (*listed, tokenizer.eos_token_id) if token is not None)


def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """Finds the tokens that the tokenizer calls special, in a text. One without any finds nothing."""
    added = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    names = {name for name in (*tokenizer.all_special_tokens, *added) if name.strip()}
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or r"(?!)")


def _squeezed(text: str) -> str:
    """Without white space: templates trim it, tokenizers move it."""
    return "".join(text.split())


def _end(text: str) -> str:
    return text if len(text) <= 60 else f"...{text[-57:]}"
