"""Chat templates of model folders: Jinja2 in a sandbox, with the globals and the tag that they use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2 import nodes
from jinja2.parser import Parser

from coral.errors import ConfigError, Rejected
from coral.prompts.sandbox import TEMPLATE_ERRORS, sandboxed
from coral.types import Message


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %} ... {% endgeneration %}` marks what a trainer learns from; here it is its body."""

    tags = {"generation"}  # noqa: RUF012 jinja2 declares it so

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """A folder's chat template, compiled once."""

    def __init__(self, source: str, *, bos_token: str, eos_token: str, where: str) -> None:
        """Compile `source`.

        Raises:
            ConfigError: it is no valid template; `where` is named.
        """
        environment = sandboxed(
            trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(
            raise_exception=_refuse, strftime_now=_strftime_now, bos_token=bos_token, eos_token=eos_token
        )
        try:
            self._template = environment.from_string(source)
        except jinja2.TemplateSyntaxError as error:
            message = f"{where}: the chat template is broken in line {error.lineno}: {error.message}"
            raise ConfigError(
                message, remedy="fix chat_template.jinja, or save the tokenizer again"
            ) from error
        except TEMPLATE_ERRORS as error:  # nested deeper than the compiler goes
            raise ConfigError(
                f"{where}: the chat template cannot be compiled: {error}",
                remedy="fix chat_template.jinja, or save the tokenizer again",
            ) from error

    def render(
        self, messages: Sequence[Message], options: Mapping[str, Any], *, generate: bool = True
    ) -> str:
        """The messages as the model reads them.

        Args:
            options: the template's own variables.
            generate: ask for the next assistant message behind them.

        Raises:
            Rejected: the template refuses these messages, or has a mistake that they meet.
        """
        plain = [{"role": message.role.value, "content": message.content} for message in messages]
        try:
            return self._template.render({**options, "messages": plain, "add_generation_prompt": generate})
        except jinja2.TemplateError as error:
            raise Rejected(f"the chat template refuses the messages: {error}", status=400) from error
        except TEMPLATE_ERRORS as error:
            cause = f"{type(error).__name__}: {error}"
            raise Rejected(f"the chat template fails on these messages: {cause}", status=400) from error


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


def _to_json(value: Any, indent: int | None = None) -> str:
    """Unlike Jinja's own filter, without HTML escapes."""
    return json.dumps(value, ensure_ascii=False, indent=indent)
