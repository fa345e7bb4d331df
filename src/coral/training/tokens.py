"""The tokens that a training learns from, as `coral.training.encode` finds them.

Without the libraries of trainers, and in a process that can be killed: a chat template is a program that
comes with a model folder, and a tokenizer's patterns can take exponential time on some texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coral import workers
from coral.engine.tokens import load_template, load_tokenizer
from coral.errors import Rejected, SandboxError, UserError
from coral.models import embedded
from coral.types import Message, Role

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from coral.engine.template import ChatTemplate

TIME_LIMIT_S = 20.0
MOST_CHARACTERS = 2_000_000
"""Of all prompts and replies of a conversation together; some 3 s of work."""
MOST_PIECES = 4_000
"""Of a reply, as many as the page is sent."""

Said = tuple[tuple[str, str], ...]
"""Messages as role and content."""


def folder_of(model: str) -> Path | None:
    """The folder of this machine that holds the tokenizer of a model, as records name it; None without one.

    It is the model's own folder, or what the hub's cache has: nothing is downloaded.
    """
    own = embedded.folder_recorded(model)
    if own is not None:
        return own if (own / "tokenizer.json").is_file() else None
    from huggingface_hub import try_to_load_from_cache

    try:
        cached = try_to_load_from_cache(model, "tokenizer.json")
    except ValueError:  # no name that the hub could have
        return None
    return Path(cached).parent if isinstance(cached, str) else None


async def trained(folder: Path, rows: Sequence[tuple[Said, Sequence[Said]]]) -> list[dict[str, Any]]:
    """What is trained of each row, a prompt with its replies.

    Returns:
        `prompt`, how many tokens are context alone, and of each of the `replies` its `count` and `pieces`; or
        `why` that cannot be told.
    """
    size = sum(len(content) for prompt, replies in rows for said in (prompt, *replies) for _, content in said)
    if size > MOST_CHARACTERS:
        return [{"why": f"{size:,} characters are too many to find their tokens here"} for _ in rows]
    try:
        found: list[dict[str, Any]] = await workers.call(
            f"{__name__}:encode", str(folder), rows, timeout_s=TIME_LIMIT_S
        )
    except SandboxError as error:
        return [{"why": f"tokenizer and chat template of {folder} fail: {error}"} for _ in rows]
    return found


# In the process ----------------------------------------------------------------------------------------


def encode(folder: str, rows: Sequence[tuple[Said, Sequence[Said]]]) -> list[dict[str, Any]]:
    """See `trained`."""
    try:
        template, tokenizer = load_template(Path(folder)), load_tokenizer(Path(folder))
    except UserError as error:
        return [{"why": str(error)} for _ in rows]
    if template is None:
        return [{"why": f"{folder} has no chat template"} for _ in rows]
    encoder = _Encoder(template, tokenizer)
    return [encoder.row(prompt, replies) for prompt, replies in rows]


class _Encoder:
    """A tokenizer with its chat template."""

    def __init__(self, template: ChatTemplate, tokenizer: Tokenizer) -> None:
        self._template, self._tokenizer = template, tokenizer
        added = tokenizer.get_added_tokens_decoder()
        self._special = {number for number, token in added.items() if token.special}
        self._prompt_ids = lru_cache(self._ids_of_prompt)

    def row(self, prompt: Said, replies: Sequence[Said]) -> dict[str, Any]:
        """What is trained of a prompt's replies, or why that cannot be told."""
        try:
            ids = self._prompt_ids(tuple(map(tuple, prompt)))
            return {"prompt": len(ids), "replies": [self._reply(ids, prompt, reply) for reply in replies]}
        except Rejected as error:
            return {"why": str(error)}

    def _ids_of_prompt(self, prompt: Said) -> list[int]:
        ids: list[int] = self._encoding(self._text(prompt, generate=True)).ids
        return ids

    def _reply(self, prompt_ids: list[int], prompt: Said, reply: Said) -> dict[str, Any]:
        text = self._text((*prompt, *reply), generate=False)
        whole = self._encoding(text)
        if whole.ids[: len(prompt_ids)] != prompt_ids:
            raise Rejected(
                "the chat template renders the prompt in another way when a reply follows, "
                "which `coral train` refuses",
                status=400,
            )
        pieces = list(self._pieces(text, whole, len(prompt_ids)))
        return {"count": len(whole.ids) - len(prompt_ids), "pieces": pieces[:MOST_PIECES]}

    def _pieces(self, text: str, whole: Encoding, start: int) -> Iterator[tuple[str, list[int], bool]]:
        """Text, the tokens that stand for it, and whether they are marks: tokens that share a character are
        one piece; text that no token stands for has none.
        """
        held: list[int] = []
        at = end = whole.offsets[start][0] if start < len(whole.ids) else len(text)
        for number, (first, last) in zip(whole.ids[start:], whole.offsets[start:], strict=True):
            if held and first >= end:
                yield text[at:end], held, held[0] in self._special
                held, at = [], end
            if not held and first > at:
                yield text[at:first], [], False
                at = first
            held.append(number)
            end = max(end, last)
        if held:
            yield text[at:end], held, held[0] in self._special

    def _text(self, said: Said, *, generate: bool) -> str:
        messages = [Message(Role(role), content) for role, content in said]
        text = self._template.render(messages, {}, generate=generate)
        return text.encode("utf-8", "replace").decode()  # half a surrogate pair, out of a template

    def _encoding(self, text: str) -> Encoding:
        return self._tokenizer.encode(text, add_special_tokens=False)
