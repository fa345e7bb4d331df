"""Server-sent events: a completion sent while it is being written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Protocol, runtime_checkable

import msgspec

from coral.models.protocol import Delta, Model, Request, StreamingModel
from coral.serving.wire import render_logprobs, render_usage
from coral.types import Usage


@runtime_checkable
class TokenSplitter(Protocol):
    """What a model offers if it can say how its text falls into tokens (for `logprobs`)."""

    def split_tokens(self, text: str) -> Sequence[str]:
        """The tokens of `text` as text; joined they are `text`."""
        ...


def split_tokens(model: Model, text: str, *, wanted: bool) -> Sequence[str] | None:
    """The tokens of `text`, where they are wanted and the model knows them."""
    return model.split_tokens(text) if wanted and isinstance(model, TokenSplitter) else None


async def stream_deltas(model: Model, request: Request) -> AsyncGenerator[Delta, None]:
    """The pieces of a reply: as the model writes them, else each candidate whole."""
    if isinstance(model, StreamingModel):
        async with aclosing(model.stream(request)) as deltas:
            async for delta in deltas:
                yield delta
        return
    generation = await model.generate(request)
    last = len(generation.candidates) - 1
    for index, candidate in enumerate(generation.candidates):
        yield Delta(
            index=index,
            text=candidate.text,
            finish_reason=candidate.finish_reason,
            token_logprobs=candidate.token_logprobs,
            token_ids=candidate.token_ids,
            prompt_token_ids=None if index else generation.prompt_token_ids,
            usage=generation.usage if index == last else None,
        )


class ChunkWriter:
    """Renders the chunks of one streamed completion."""

    def __init__(self, *, completion_id: str, model: str, created: int, include_usage: bool) -> None:
        self._head = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._include_usage = include_usage
        self._begun: set[int] = set()

    def chunks(self, delta: Delta, tokens: Sequence[str] | None) -> list[bytes]:
        """The events of one piece: the candidate's role first, the finish reason in a chunk of its own."""
        events = []
        if delta.index not in self._begun:
            self._begun.add(delta.index)
            prompt = delta.prompt_token_ids
            more = {} if prompt is None else {"prompt_token_ids": prompt}
            events.append(self._choice(delta.index, {"role": "assistant", "content": ""}, more=more))
        if delta.text or delta.token_logprobs or delta.token_ids:
            logprobs = render_logprobs(delta.token_logprobs, tokens)
            ids = delta.token_ids
            events.append(self._choice(delta.index, {"content": delta.text}, logprobs, token_ids=ids))
        if delta.finish_reason is not None:
            events.append(self._choice(delta.index, {}, finish_reason=delta.finish_reason.value))
        return events

    def closing(self, usage: Usage | None) -> list[bytes]:
        """The last events: the usage, if the client asked for it, and the end mark."""
        done = b"data: [DONE]\n\n"
        if not self._include_usage:
            return [done]
        counted = render_usage(usage) if usage else None
        return [event({**self._head, "choices": [], "usage": counted}), done]

    def _choice(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        *,
        finish_reason: str | None = None,
        token_ids: Sequence[int] | None = None,
        more: dict[str, Any] | None = None,
    ) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        if token_ids is not None:
            choice["token_ids"] = token_ids
        body = {**self._head, "choices": [choice], **(more or {})}
        return event({**body, "usage": None} if self._include_usage else body)


def event(body: dict[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
