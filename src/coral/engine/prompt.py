"""From messages to prompt tokens, in a process of its own that can be killed.

A chat template is a program that comes with a model folder, and a tokenizer's patterns can take exponential
time on some texts. Neither may keep the engine, or the event loop, from its work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coral.engine.tokens import load_template, load_tokenizer
from coral.errors import ConfigError, ContextOverflow, Rejected, UserError
from coral.types import Message, Role
from coral.workers import CallFailed, TimedOut, WorkerDied, Workers

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from coral.engine.template import ChatTemplate

TIME_LIMIT_S = 20.0
"""For one request; a prompt that fills a context of 8,192 tokens takes some 20 ms."""

_MEMORY_GIB = 2.0
_CHARACTERS_PER_TOKEN = 256
"""More characters than this for each token of the context are refused without counting their tokens."""


class PromptMaker:
    """Renders and tokenizes messages as a model folder says.

    Args:
        folder: of the model.
        time_limit_s: for one request, the start of the process not counted; by default `TIME_LIMIT_S`.
    """

    def __init__(self, folder: Path, *, time_limit_s: float | None = None) -> None:
        self._folder = folder
        self._time_limit_s = TIME_LIMIT_S if time_limit_s is None else time_limit_s
        self._workers = Workers(max_workers=1, memory_gib=_MEMORY_GIB, cached_results=0)

    async def check(self, *, template_alone: bool = False) -> None:
        """Make the prompt of a short message, so that later ones need not wait.

        Args:
            template_alone: the folder may have no tokenizer; the message is only rendered.

        Raises:
            UserError: the folder's template or tokenizer is damaged, or does not come to an end.
        """
        try:
            answer = await self._call("check_template" if template_alone else "check")
        except Rejected as error:
            raise ConfigError(
                f"{self._folder}: {error}", remedy="fix chat_template.jinja, or save the tokenizer again"
            ) from error
        if "damaged" in answer:
            raise ConfigError(answer["damaged"], remedy=answer["remedy"])

    async def tokens(
        self, messages: Sequence[Message], options: Mapping[str, Any], *, context: int
    ) -> list[int]:
        """The tokens of the prompt that asks for the next assistant message.

        Args:
            messages: of the conversation.
            options: the template's own variables.
            context: most tokens of prompt and reply together; a prompt that is far longer is not tokenized.

        Raises:
            ContextOverflow: it is far longer.
            Rejected: template or tokenizer refuse the messages, or do not come to an end.
        """
        most = context * _CHARACTERS_PER_TOKEN
        if (size := sum(len(message.content) for message in messages)) > most:
            raise _overflow(size, context)
        plain = [(message.role.value, message.content) for message in messages]
        answer = await self._call("make_prompt", plain, dict(options), most)
        if "refused" in answer:
            raise Rejected(answer["refused"], status=400)
        if "characters" in answer:
            raise _overflow(answer["characters"], context)
        tokens: list[int] = answer["tokens"]
        return tokens

    async def close(self) -> None:
        """End the process; a call under way fails."""
        await self._workers.close()

    async def _call(self, function: str, *args: Any) -> dict[str, Any]:
        name = f"{__name__}:{function}"
        try:
            answer: dict[str, Any] = await self._workers.call(
                name, str(self._folder), *args, timeout_s=self._time_limit_s
            )
        except TimedOut:
            why = f"take longer than {self._time_limit_s:g} s"
        except WorkerDied:
            why = f"take more than {_MEMORY_GIB:g} GiB of memory, or their process was killed"
        except CallFailed as error:
            why = f"fail: {error}"
        else:
            return answer
        raise Rejected(f"chat template and tokenizer {why} on these messages", status=400)


def _overflow(size: int, context: int) -> ContextOverflow:
    message = (
        f"the messages have {size:,} characters; the model's context of {context} tokens holds no such text"
    )
    return ContextOverflow(message, status=400)


# In the process ----------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _open(folder: str) -> tuple[ChatTemplate | None, Tokenizer]:
    return load_template(Path(folder)), load_tokenizer(Path(folder))


def check(folder: str) -> dict[str, str]:
    """Make the prompt of a short message.

    Returns:
        Empty, also where the template refuses the message; `damaged` and `remedy` if the files are.
    """
    try:
        _open(folder)
    except UserError as error:
        return {"damaged": str(error), "remedy": error.remedy}
    make_prompt(folder, [(Role.USER.value, "Hello!")], {}, 1_000_000)
    return {}


def check_template(folder: str) -> dict[str, str]:
    """Render a short message; returns what `check` does."""
    try:
        template = load_template(Path(folder))
    except UserError as error:
        return {"damaged": str(error), "remedy": error.remedy}
    with suppress(Rejected):
        if template is not None:
            template.render([Message(Role.USER, "Hello!")], {})
    return {}


def make_prompt(
    folder: str, messages: Sequence[tuple[str, str]], options: dict[str, Any], most_characters: int
) -> dict[str, Any]:
    """Render and tokenize.

    Returns:
        `tokens`; or why the messages are `refused`; or how many `characters` they have if more than
        `most_characters`.
    """
    template, tokenizer = _open(folder)
    if template is None:
        return {"refused": f"{folder} has no chat template: it is not a chat model"}
    try:
        text = template.render([Message(Role(role), content) for role, content in messages], options)
    except Rejected as error:
        return {"refused": str(error)}
    if len(text) > most_characters:
        return {"characters": len(text)}
    text = text.encode("utf-8", "replace").decode()  # half a surrogate pair, out of a template
    tokens: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return {"tokens": tokens} if tokens else {"refused": "the messages make an empty prompt"}
