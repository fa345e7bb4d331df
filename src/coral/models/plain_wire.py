"""The bytes of plain JSON, both ways: a request encoded, an answer read. See `plain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from coral.errors import Rejected, Unreachable
from coral.models.habits import AS_IN_THE_TABLE, Habits
from coral.models.plain import described, filled, find, request_fields
from coral.models.protocol import Request, Sampling
from coral.models.providers import Target
from coral.models.refusals import quote, read_hidden_refusal, unusable
from coral.models.retries import AttemptFailure
from coral.models.wire import Answer, answer_of_text, decode_mended

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()


class PlainEncoder:
    """Encodes the requests to one endpoint."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def encode(
        self,
        request: Request,
        n: int,
        seed: int | None,
        habits: Habits = AS_IN_THE_TABLE,
        more_tokens: int = 0,
    ) -> bytes:
        """The request body; see `RequestEncoder.encode`."""
        assert n == 1, "such an endpoint gives one reply per request"
        sampling = request.sampling
        if more_tokens and sampling.max_tokens is not None:
            sampling = msgspec.structs.replace(sampling, max_tokens=sampling.max_tokens + more_tokens)
            request = msgspec.structs.replace(request, sampling=sampling)
        fields = request_fields(request, seed=seed, model=self._target.wire_name)
        for name in habits.left_out:
            fields.pop(name, None)
            fields["sampling"].pop(name, None)
        template = self._target.plain.request if self._target.plain else {}
        return _ENCODER.encode(filled(template, fields) if template else fields)


def read_plain(
    body: bytes, target: Target, sampling: Sampling, paths: Mapping[str, str]
) -> Answer | AttemptFailure:
    """Read an answer: a line of a command, or the body of a 200."""
    try:
        said = decode_mended(body, _DECODER)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        start = quote(" ".join(body[:20_000].decode("utf-8", "replace").split()), target)
        what = "nested too deep" if isinstance(fault, RecursionError) else "no JSON"
        return _elsewhere(f"the reply is {what}: {start or 'an empty line'}", target)
    if error := find(said, paths["error"]) if "error" in paths else None:
        return _reported(error, target)
    text = find(said, paths["text"])
    if not isinstance(text, str):
        held = described(said if text is None else text)
        if text is None and isinstance(said, dict) and paths["text"] in said:
            held = "null"
        where = f"the reply holds no text at '{paths['text']}', but {quote(held, target)}"
        return _elsewhere(where, target)
    return answer_of_text(
        text,
        finish_reason=_at(said, paths, "finish_reason"),
        reasoning=_at(said, paths, "reasoning"),
        usage=_at(said, paths, "usage"),
        target=target,
        sampling=sampling,
    )


def _at(said: Any, paths: Mapping[str, str], name: str) -> Any:
    return find(said, paths[name]) if name in paths else None


def _elsewhere(why: str, target: Target) -> AttemptFailure:
    """A reply without a text where one is looked for."""
    remedy = f"say with {target.option}.http_reply where the text is in the JSON that it answers"
    return replace(unusable(why, target, retry=False), remedy=remedy)


def _reported(error: Any, target: Target) -> AttemptFailure:
    """What the agent says went wrong: known by its words, such as a full context, else about this request."""
    words = error if isinstance(error, str | dict) else str(error)
    refusal = read_hidden_refusal({}, msgspec.json.encode({"error": words}), target)
    if refusal.kind is Unreachable and refusal.status == 200:  # in words that nobody knows
        said = words if isinstance(words, str) else str(words.get("message") or words)
        text = f"it reports an error: {quote(said, target)}"
        return replace(unusable(text, target, retry=False), kind=Rejected)
    return refusal
