"""Anthropic's Message Batches: requests in one call, and a file of results.

After https://docs.anthropic.com/en/api/creating-message-batches and the pages beside it, as of 2025.
Batches take the messages API's own form, so chat completions are translated, both ways.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from coral.batches.wire import Caller, Item, Result, State, encode, lines_of
from coral.models.client import ServedModel

VERSION = "2023-06-01"
DEFAULT_MAX_TOKENS = 4096
"""The API asks for a limit, also where the options leave it to the server."""
_PAGE = 100
_CLOCK_SKEW_S = 120.0
_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TAKEN = {"temperature", "top_p", "top_k", "max_tokens", "thinking", "metadata", "service_tier", "model"}
"""Fields that mean the same in both APIs, or are Anthropic's own in `extra_body`."""


class _Counts(msgspec.Struct):
    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def done(self) -> int:
        return self.succeeded + self.errored + self.canceled + self.expired


class _Batch(msgspec.Struct):
    id: str
    processing_status: str = ""
    request_counts: _Counts = msgspec.field(default_factory=_Counts)
    created_at: str = ""
    cancel_initiated_at: str | None = None


class _Batches(msgspec.Struct):
    data: list[_Batch]
    has_more: bool = False
    last_id: str | None = None


class _Line(msgspec.Struct):
    custom_id: str
    result: dict[str, Any]


class Anthropic:
    """See `Api`."""

    def __init__(self, model: ServedModel) -> None:
        key = model.target.key
        login = {} if key is None else {"x-api-key": key}
        self._call = Caller(model, {**login, "anthropic-version": VERSION})

    async def submit(self, items: Sequence[Item], tag: str) -> str:
        """Begin a batch. Nothing can be written on it, so `tag` is not used.

        Raises:
            Outage: it is not known whether the batch was begun.
            ModelError: the call was refused.
        """
        del tag
        requests = [{"custom_id": item.key, "params": native(item.body)} for item in items]
        answer = await self._call.once("POST", "messages/batches", encode({"requests": requests}))
        return msgspec.json.decode(answer, type=_Batch).id

    async def find(self, tag: str, keys: Sequence[str], since: float, known: frozenset[str]) -> str | None:
        """A batch of as many requests that was begun since then, and is none of the known ones.

        Its results say whether it is ours: they are told by keys.
        """
        del tag
        after = ""
        while True:
            page = msgspec.json.decode(
                await self._call("GET", f"messages/batches?limit={_PAGE}{after}"), type=_Batches
            )
            for one in page.data:
                counts = one.request_counts
                begun = _seconds(one.created_at)
                if begun is not None and begun < since - _CLOCK_SKEW_S:
                    return None  # newest first
                if one.id not in known and counts.processing + counts.done == len(keys):
                    return one.id
            if not page.has_more or not page.last_id:
                return None
            after = f"&after_id={page.last_id}"

    async def state(self, batch: str) -> State:
        """How far it is."""
        found = msgspec.json.decode(await self._call("GET", f"messages/batches/{batch}"), type=_Batch)
        counts = found.request_counts
        return State(
            done=counts.done,
            of=counts.done + counts.processing,
            ended=found.processing_status == "ended",
            trouble="cancelled" if found.cancel_initiated_at else "",
        )

    async def results(self, batch: str) -> list[Result]:
        """The lines of its results, as chat completions and their errors."""
        return list(_read(await self._call("GET", f"messages/batches/{batch}/results")))


def _seconds(moment: str) -> float | None:
    try:
        return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None


def native(body: bytes) -> dict[str, Any]:
    """The parameters of a message, from the body of a chat completion."""
    chat: dict[str, Any] = msgspec.json.decode(body)
    told = chat["messages"]
    system = "\n\n".join(one["content"] for one in told if one["role"] == "system")
    params: dict[str, Any] = {name: value for name, value in chat.items() if name in _TAKEN}
    params["messages"] = [one for one in told if one["role"] != "system"]
    params["max_tokens"] = chat.get("max_tokens") or chat.get("max_completion_tokens") or DEFAULT_MAX_TOKENS
    if system:
        params["system"] = system
    if chat.get("stop"):
        params["stop_sequences"] = chat["stop"]
    return params


def _read(body: bytes) -> Iterator[Result]:
    for text in lines_of(body):
        line = msgspec.json.decode(text, type=_Line)
        kind = line.result.get("type")
        if kind == "succeeded":
            yield Result(line.custom_id, 200, encode(completion(line.result.get("message") or {})))
        elif kind == "errored":
            yield _error(line.custom_id, line.result.get("error"))
        else:  # canceled, expired
            yield Result(line.custom_id, 0, encode({"error": {"message": str(kind)}}))


def _error(key: str, told: Any) -> Result:
    """An error as its own request would have met it; some answers wrap it once more."""
    error = told if isinstance(told, dict) else {}
    inner = error.get("error")
    if isinstance(inner, dict):
        error = inner
    return Result(key, _STATUS.get(str(error.get("type")), 400), encode({"error": error}))


def completion(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as a chat completion."""
    blocks = [one for one in message.get("content") or () if isinstance(one, dict)]
    text = "".join(str(one.get("text", "")) for one in blocks if one.get("type") == "text")
    thought = "".join(str(one.get("thinking", "")) for one in blocks if one.get("type") == "thinking")
    answer = {"role": "assistant", "content": text, **({"reasoning_content": thought} if thought else {})}
    usage = message.get("usage") or {}
    cached = usage.get("cache_read_input_tokens") or 0
    read = usage.get("input_tokens")
    prompt = None if read is None else read + cached + (usage.get("cache_creation_input_tokens") or 0)
    return {
        "choices": [{"index": 0, "message": answer, "finish_reason": message.get("stop_reason")}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": usage.get("output_tokens"),
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }
