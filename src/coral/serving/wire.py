"""The OpenAI wire: a request's body becomes a `Request`, a `Generation` becomes a response's body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from coral import errors
from coral.models.protocol import Candidate, Generation, Request, Sampling
from coral.types import Message, Role, Usage

MAX_N = 128
"""The most candidates one request may ask for: OpenAI's own limit."""

_WITHOUT_EFFECT = {
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
}
"""Fields that clients send for bookkeeping: they change no text, so they are left out."""

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "function_call": (None, "none", "auto"),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "audio": (None,),
    "logit_bias": (None, {}),
    "frequency_penalty": (None, 0, 0.0),
    "presence_penalty": (None, 0, 0.0),
    "top_logprobs": (None, 0),
}
"""Fields this server cannot honour, with the values that ask for nothing. Any other value is refused."""


class RequestRefused(Exception):
    """The request cannot be served as it is: an HTTP status and an OpenAI error body."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, kind: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = render_error(message, param=param, code=code, kind=kind or _error_kind(status))


StopText = Annotated[str, Meta(max_length=1_000)]
"""Every new token's text is searched for it."""


class TextPart(msgspec.Struct, frozen=True):
    """One part of a message's content; only text is served."""

    type: Literal["text"]
    text: str


class WireMessage(msgspec.Struct, frozen=True):
    """A chat message as clients send it; what else they put beside it (`name`, `refusal`) is ignored."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]


class StreamOptions(msgspec.Struct, frozen=True):
    """`include_usage`: send the usage in a last chunk of its own."""

    include_usage: bool = False


class ChatBody(msgspec.Struct, frozen=True):
    """The body of `POST /v1/chat/completions`, as far as this server knows it."""

    model: Annotated[str, Meta(min_length=1)]
    messages: Annotated[list[WireMessage], Meta(min_length=1)]
    n: Annotated[int, Meta(ge=1, le=MAX_N)] | None = None
    seed: int | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    stop: StopText | Annotated[list[StopText], Meta(max_length=16)] | None = None
    logprobs: bool | None = None
    return_token_ids: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class ChatRequest(msgspec.Struct, frozen=True):
    """A chat completion that was asked for: which model, what, and how to send it."""

    model: str
    request: Request
    stream: bool
    include_usage: bool


_body_decoder = msgspec.json.Decoder(ChatBody)
_fields_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_chat(raw: bytes) -> ChatRequest:
    """Read the body of a chat completion request.

    Raises:
        RequestRefused: malformed JSON, a wrong type, a value out of range, or a field that
            this server would have to ignore although it changes the reply.
    """
    try:
        body = _body_decoder.decode(raw)
        extra = _extra(_fields_decoder.decode(raw))
    except msgspec.ValidationError as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, str(error), param=_param(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "the body is nested too deeply") from None
    options = body.stream_options or StreamOptions()
    return ChatRequest(
        model=body.model,
        request=_request(body, extra),
        stream=bool(body.stream),
        include_usage=options.include_usage,
    )


def _request(body: ChatBody, extra: msgspec.Raw | None) -> Request:
    stop = [body.stop] if isinstance(body.stop, str) else body.stop or []
    sampling = Sampling(
        temperature=body.temperature,
        top_p=body.top_p,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        stop=tuple(text for text in stop if text),
        logprobs=bool(body.logprobs),
        return_token_ids=bool(body.return_token_ids),
        extra=extra,
    )
    messages = tuple(map(_message, body.messages))
    return Request(messages=messages, sampling=sampling, n=body.n or 1, seed=body.seed)


def _message(message: WireMessage) -> Message:
    role = Role.SYSTEM if message.role == "developer" else Role(message.role)
    if isinstance(message.content, str):
        return Message(role, message.content)
    return Message(role, "".join(part.text for part in message.content))


def _extra(fields: dict[str, msgspec.Raw]) -> msgspec.Raw | None:
    """The fields that only some model knows (`top_k`, ...): it decides what they mean."""
    for name, neutral in _NEUTRAL.items():
        if name in fields and msgspec.json.decode(fields[name]) not in neutral:
            message = f"'{name}' is not supported by this server: leave it out"
            raise RequestRefused(HTTPStatus.BAD_REQUEST, message, param=name, code="unsupported_parameter")
    known = _WITHOUT_EFFECT | _NEUTRAL.keys() | set(ChatBody.__struct_fields__)
    rest = {name: value for name, value in fields.items() if name not in known}
    return msgspec.Raw(msgspec.json.encode(rest)) if rest else None


def _param(message: str) -> str | None:
    """The top-level field that a validation error names: "... - at `$.messages[0].role`" -> "messages"."""
    found = re.search(r"at `\$\.(\w+)", message) or re.search(r"required field `(\w+)`", message)
    return found.group(1) if found else None


def render_chat(
    completion_id: str,
    model: str,
    created: int,
    generation: Generation,
    pieces: Sequence[Sequence[str] | None],
) -> dict[str, Any]:
    """The body of a `chat.completion`. `pieces` are each candidate's tokens as text, where known.

    Token ids stand where vLLM puts them: `prompt_token_ids` in the body, `token_ids` in each choice.
    """
    choices = [
        {
            "index": index,
            "message": render_message(candidate),
            "logprobs": render_logprobs(candidate.token_logprobs, tokens),
            "finish_reason": candidate.finish_reason.value,
            **({} if candidate.token_ids is None else {"token_ids": candidate.token_ids}),
        }
        for index, (candidate, tokens) in enumerate(zip(generation.candidates, pieces, strict=True))
    ]
    return {
        "id": completion_id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": choices,
        "usage": render_usage(generation.usage),
        **({} if generation.prompt_token_ids is None else {"prompt_token_ids": generation.prompt_token_ids}),
    }


def render_message(candidate: Candidate) -> dict[str, Any]:
    """One candidate as an assistant's message; a thinking model's reasoning stands apart."""
    message: dict[str, Any] = {"role": "assistant", "content": candidate.text, "refusal": None}
    if candidate.reasoning is not None:
        message["reasoning_content"] = candidate.reasoning
    return message


def render_logprobs(logprobs: Sequence[float] | None, tokens: Sequence[str] | None) -> dict[str, Any] | None:
    """Log probabilities (natural logarithm) token by token.

    A model that does not say how its text falls into tokens gets empty token texts.
    """
    if logprobs is None:
        return None
    if tokens is None or len(tokens) != len(logprobs):
        tokens = [""] * len(logprobs)
    content = [
        {"token": token, "logprob": value, "bytes": list(token.encode()), "top_logprobs": []}
        for token, value in zip(tokens, logprobs, strict=True)
    ]
    return {"content": content, "refusal": None}


def render_usage(usage: Usage) -> dict[str, Any] | None:
    """Token counts; None where the model does not count: unknown is not 0."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens is not None:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


_MAX_MESSAGE = 1_000


def render_error(
    message: str, *, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    """An OpenAI error body. Of a message that repeats what a client sent, the beginning will do."""
    if len(message) > _MAX_MESSAGE:
        message = message[:_MAX_MESSAGE] + " ..."
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal(error: errors.ModelError) -> RequestRefused:
    """How a model's failure looks to the client of this server."""
    if isinstance(error, errors.ContextOverflow):
        return RequestRefused(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, errors.ContentFiltered):
        return RequestRefused(400, str(error), code="content_filter")
    if isinstance(error, errors.RateLimited):
        return RequestRefused(429, str(error), code="rate_limit_exceeded")
    if isinstance(error, errors.Rejected):
        return RequestRefused(error.status or 400, str(error))
    return RequestRefused(error.status if error.status in _PASSED_ON else 502, str(error))


_PASSED_ON = (HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE)
"""Statuses that a failure of the model itself has; any other one is of something behind it."""


def _error_kind(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_error"
    return "invalid_request_error" if status < 500 else "server_error"
