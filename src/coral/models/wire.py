"""The bytes of a chat completion, both ways: a request encoded, an answer read.

Only the fields Coral uses are decoded; unknown ones are skipped without being built.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, TypeVar

import msgspec

from coral.errors import BadResponse, ContentFiltered
from coral.models.habits import AS_IN_THE_TABLE, Habits
from coral.models.protocol import Candidate, Request, Sampling
from coral.models.providers import Target
from coral.models.refusals import quote, read_hidden_refusal, unreadable, unusable
from coral.models.retries import AttemptFailure
from coral.models.secrets import hide_known
from coral.models.thinking import is_thinking_part, split_thinking, thinking_in
from coral.models.token_ids import gives_token_ids, no_token_ids, read_ids, read_logprobs
from coral.types import FinishReason, Message, Role, Usage, encodable

T = TypeVar("T")

SEED_BITS = 31
"""Some servers keep seeds in a signed 32-bit integer."""

SEED_STRIDE = 7919
"""Between the seeds of two rounds, so that a server that counts up from the seed for several candidates does
not draw the same ones again."""

LARGEST_COUNT = 10**12
"""More tokens than that are no count."""

_FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "max_output_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
}
_FILTERED = frozenset(
    {"content_filter", "safety", "refusal", "recitation", "sensitive", "prohibited_content"}
)
_BROKEN_OFF = frozenset(
    {"abort", "aborted", "error", "cancelled", "canceled", "insufficient_system_resource", "network_error"}
)

_ENCODER = msgspec.json.Encoder()
_NOTHING_ASKED = Sampling()


class RequestEncoder:
    """Encodes the requests of one model. What stays the same from request to request is encoded once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        # Keyed by identity (raw JSON has no hash); the sampling is kept, so that its id stays taken.
        self._heads: dict[tuple[int, Habits, int], tuple[Sampling, bytes]] = {}

    def encode(
        self,
        request: Request,
        n: int,
        seed: int | None,
        habits: Habits = AS_IN_THE_TABLE,
        more_tokens: int = 0,
    ) -> bytes:
        """The request body for `n` candidates of `request`.

        Args:
            habits: what the model was found to refuse, or to call otherwise.
            more_tokens: for thinking, on top of the sampling's `max_tokens`.
        """
        messages = _without_system(request.messages) if habits.system_in_user else request.messages
        parts = [
            self._head(request.sampling, habits, more_tokens),
            b',"messages":',
            _ENCODER.encode(messages),
        ]
        if n > 1:
            parts.append(b',"n":%d' % n)
        seed_field = self._target.provider.seed_field
        if seed is not None and seed_field is not None and "seed" not in habits.left_out:
            parts.append(b',"%b":%d' % (seed_field.encode(), seed & ((1 << SEED_BITS) - 1)))
        parts.append(b"}")
        return b"".join(parts)

    def _head(self, sampling: Sampling, habits: Habits, more_tokens: int) -> bytes:
        key = (id(sampling), habits, more_tokens)
        known = self._heads.get(key)
        if known is not None:
            return known[1]
        if len(self._heads) >= 64:
            self._heads.clear()
        head = _ENCODER.encode(self._settings(sampling, habits, more_tokens))[:-1]
        self._heads[key] = (sampling, head)
        return head

    def _settings(self, sampling: Sampling, habits: Habits, more_tokens: int) -> dict[str, Any]:
        max_tokens = None if sampling.max_tokens is None else sampling.max_tokens + more_tokens
        settings: dict[str, Any] = {
            "model": self._target.wire_name,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            habits.max_tokens_field or self._target.provider.max_tokens_field: max_tokens,
            "stop": list(sampling.stop) or None,
            "logprobs": True if sampling.logprobs else None,
            "return_token_ids": True if sampling.return_token_ids else None,
        }
        given = {
            name: value
            for name, value in settings.items()
            if value is not None and name not in habits.left_out
        }
        extra = msgspec.json.decode(sampling.extra, type=dict[str, Any]) if sampling.extra else {}
        return {**given, **extra}


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages with the system prompt at the top of the first user message."""
    if not messages or messages[0].role is not Role.SYSTEM:
        return messages
    system, *rest = messages
    if not rest or rest[0].role is not Role.USER:
        return (Message(Role.USER, system.content), *rest)
    return (Message(Role.USER, f"{system.content}\n\n{rest[0].content}"), *rest[1:])


# Answers ----------------------------------------------------------------------------------------------------


class _Message(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None  # DeepSeek, vLLM, SGLang, llama.cpp, xAI, GLM
    reasoning: Any = None  # OpenRouter, Groq, Together, newer vLLM
    thinking: Any = None  # Ollama
    reasoning_details: Any = None  # OpenRouter
    thinking_blocks: Any = None  # LiteLLM
    refusal: Any = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message | None = None
    finish_reason: Any = None
    error: Any = None
    logprobs: msgspec.Raw = msgspec.Raw(b"null")
    token_ids: msgspec.Raw = msgspec.Raw(b"null")


class _Completion(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    prompt_token_ids: msgspec.Raw = msgspec.Raw(b"null")
    usage: Any = None
    timings: Any = None  # llama.cpp
    error: Any = None


class _ErrorObject(msgspec.Struct, gc=False):
    """A body without choices that says what is wrong, in the fields of several servers."""

    object: Any = None
    message: Any = None
    detail: Any = None
    msg: Any = None
    errors: Any = None
    base_resp: Any = None

    @property
    def tells(self) -> bool:
        return bool(
            self.object == "error" or self.message or self.detail or self.msg or self.errors or self.base_resp
        )


_DECODER = msgspec.json.Decoder(_Completion)
_ERROR_DECODER = msgspec.json.Decoder(_ErrorObject)


class Answer(NamedTuple):
    """What one response held: the usable candidates, why others are not, and the tokens of all together.

    Attributes:
        thinks: the model thinks before it replies, shown or hidden.
        miscounted: the reported tokens are not those of all candidates together.
    """

    candidates: tuple[Candidate, ...]
    failures: tuple[AttemptFailure, ...]
    usage: Usage
    thinks: bool = False
    miscounted: bool = False
    prompt_token_ids: tuple[int, ...] | None = None


def read_answer(
    body: bytes, n: int, target: Target, sampling: Sampling = _NOTHING_ASKED
) -> Answer | AttemptFailure:
    """Read the body of a 200 to a request for `n` candidates. Choices beyond `n` are left out."""
    try:
        completion = decode_mended(body, _DECODER)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        return _unreadable(body, fault, target)
    except RecursionError:
        return unreadable("JSON that is nested too deep to be a completion", target)
    if completion.error:
        return read_hidden_refusal({}, body, target)
    if not completion.choices:
        return _no_choices(body, target)
    return _answer(completion, completion.choices, n, target, sampling)


def answer_of_text(
    text: Any, *, finish_reason: Any, reasoning: Any, usage: Any, target: Target, sampling: Sampling
) -> Answer:
    """A text that came in another shape, read as that of a completion."""
    message = _Message(content=text, reasoning_content=reasoning)
    choice = _Choice(message=message, finish_reason="stop" if finish_reason is None else finish_reason)
    return _answer(_Completion(usage=usage), [choice], 1, target, sampling)


def _answer(
    completion: _Completion, choices: list[_Choice], n: int, target: Target, sampling: Sampling
) -> Answer:
    usage = _read_usage(completion.usage)
    texts = [choice.message.content for choice in choices if choice.message is not None]
    miscounted = _is_impossible(usage, texts) or (len(texts) > 1 and _counts_one(completion.timings))
    if miscounted:
        usage = msgspec.structs.replace(usage, completion_tokens=None, reasoning_tokens=None)
    own_usage = usage if len(choices) == 1 else None
    results = [_read_choice(choice, own_usage, target, sampling) for choice in choices[:n]]
    candidates = tuple(result for result in results if isinstance(result, Candidate))
    return Answer(
        candidates=candidates,
        failures=tuple(result for result in results if isinstance(result, AttemptFailure)),
        usage=usage,
        thinks=bool(usage.reasoning_tokens or any(candidate.reasoning for candidate in candidates)),
        miscounted=miscounted,
        prompt_token_ids=read_ids(completion.prompt_token_ids) if sampling.return_token_ids else None,
    )


def decode_mended(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode what should be JSON; where it holds what JSON does not allow (half a surrogate pair, NaN, a raw
    line break in a text, numbers without measure) that is fixed first.

    Raises:
        DecodeError, UnicodeDecodeError: it is not what the decoder reads.
        RecursionError: it is nested too deep.
    """
    try:
        return decoder.decode(body)
    except msgspec.DecodeError as fault:
        try:
            fixed = json.loads(
                body.decode("utf-8-sig"),
                strict=False,
                parse_constant=lambda _: None,
                parse_float=_finite,
                parse_int=lambda digits: int(digits) if len(digits) < 30 else None,
            )
        except ValueError:
            raise fault from None
        text = json.dumps(fixed, ensure_ascii=False)
        return decoder.decode(encodable(text).encode())


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _unreadable(body: bytes, fault: Exception, target: Target) -> AttemptFailure:
    start = quote(" ".join(body[:20_000].decode("utf-8", "replace").split()), target)
    what = "HTML instead of JSON" if start.startswith("<") else f"no readable completion ({fault})"
    return unreadable(f"{what}: {start or 'an empty body'}", target)


def _no_choices(body: bytes, target: Target) -> AttemptFailure:
    try:
        tells = _ERROR_DECODER.decode(body).tells
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tells = False
    return read_hidden_refusal({}, body, target) if tells else unreadable("no choices", target)


# Counts -----------------------------------------------------------------------------------------------------


def _read_usage(usage: Any) -> Usage:
    """What is reported of the tokens, by the names of chat completions or of OpenAI's responses, as some
    gateways pass them on; a count of another form, or none at all, is unknown.
    """
    if not isinstance(usage, dict):
        return Usage()
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details")
    completion = usage.get("completion_tokens_details") or usage.get("output_tokens_details")
    return Usage(
        prompt_tokens=_first_count((usage, "prompt_tokens"), (usage, "input_tokens")),
        completion_tokens=_first_count((usage, "completion_tokens"), (usage, "output_tokens")),
        reasoning_tokens=_first_count((completion, "reasoning_tokens"), (usage, "reasoning_tokens")),
        cached_tokens=_first_count((prompt, "cached_tokens"), (usage, "prompt_cache_hit_tokens")),
    )


def _first_count(*places: tuple[Any, str]) -> int | None:
    """The first of these fields that is a count."""
    for holder, name in places:
        if isinstance(holder, dict) and (count := _count(holder.get(name))) is not None:
            return count
    return None


def _count(value: Any) -> int | None:
    """A count of tokens: a whole number in whatever form, from 0 on; None for anything else."""
    if isinstance(value, str) and len(value) < 20:
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, float):
        if not value.is_integer():
            return None
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST_COUNT else None


def _is_impossible(usage: Usage, contents: list[Any]) -> bool:
    """Whether fewer tokens are reported than the texts of several candidates have words: no tokenizer in use
    joins words. Of a single one only a count of none is impossible.
    """
    if usage.completion_tokens is None:
        return False
    texts = [content for content in contents if isinstance(content, str)]
    if len(texts) > 1:
        return usage.completion_tokens < sum(len(text.split()) for text in texts)
    return usage.completion_tokens == 0 and any(text.strip() for text in texts)


def _counts_one(timings: Any) -> bool:
    """llama.cpp, recognised by its `timings`, reports the first candidate's tokens as those of all."""
    return isinstance(timings, dict) and "predicted_n" in timings


# Replies ----------------------------------------------------------------------------------------------------


def _read_choice(
    choice: _Choice, usage: Usage | None, target: Target, sampling: Sampling
) -> Candidate | AttemptFailure:
    message = choice.message
    if choice.error:
        said = choice.error.get("message") if isinstance(choice.error, dict) else choice.error
        words = quote(said, target) if isinstance(said, str) else "an error"
        return unusable(f"the server broke the reply off: {words}", target, retry=True)
    if message is None:
        return unusable("a choice holds no message", target, retry=True)
    ended = choice.finish_reason.lower() if isinstance(choice.finish_reason, str) else ""
    text, reasoning = _read_texts(message, target)
    if ended in _FILTERED or (message.refusal and not text.strip()):
        return _filtered(message, target)
    if ended in _BROKEN_OFF:
        return unusable(f"the server broke the reply off (finish reason '{ended}')", target, retry=True)
    finish = _FINISH_REASONS.get(ended, FinishReason.UNKNOWN)
    if not text.strip():
        if finish is not FinishReason.LENGTH and (ended or not reasoning):
            return _blank(message, reasoning, target)
        text, finish = "", FinishReason.LENGTH  # cut while it thought
    candidate = Candidate(
        text=text,
        finish_reason=finish,
        reasoning=reasoning,
        usage=usage,
        token_logprobs=read_logprobs(choice.logprobs) if sampling.logprobs else None,
        token_ids=read_ids(choice.token_ids, choice.logprobs) if sampling.return_token_ids else None,
    )
    if sampling.return_token_ids and not gives_token_ids((candidate,)):
        return no_token_ids(target.name, target.option)
    return candidate


def _read_texts(message: _Message, target: Target) -> tuple[str, str | None]:
    content, thought = message.content, ""
    if isinstance(content, list):
        content, thought = _join_parts(content)
    text, inline = split_thinking(content if isinstance(content, str) else "")
    fields = (message.reasoning_content, message.reasoning, message.thinking)
    if not any(fields):
        fields = (message.reasoning_details, message.thinking_blocks, None)
    told = [words for words in (*map(thinking_in, fields), thought, inline) if words and words.strip()]
    reasoning = "\n\n".join(dict.fromkeys(told)) or None
    if reasoning:
        text = text.strip()
    if target.secrets:
        text = hide_known(text, target.secrets)
        reasoning = reasoning and hide_known(reasoning, target.secrets)
    return text, reasoning


def _join_parts(parts: list[Any]) -> tuple[str, str]:
    """Join a content in parts: the texts, and the thinking (Mistral's is itself a list of parts)."""
    texts, thoughts = [], []
    for part in parts:
        if is_thinking_part(part):
            thoughts.append(thinking_in(part))
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, str):
            texts.append(part)
    return "".join(texts), "".join(thoughts)


def _filtered(message: _Message, target: Target) -> AttemptFailure:
    words = f": {quote(message.refusal, target)}" if isinstance(message.refusal, str) else ""
    text = f"the server withheld the reply for reasons of content{words}"
    return unusable(text, target, retry=False, kind=ContentFiltered)


def _blank(message: _Message, reasoning: str | None, target: Target) -> AttemptFailure:
    if reasoning:
        return unusable("the model thought and then replied nothing", target, retry=True)
    what = "null" if message.content is None else "empty"
    return unusable(f"the content of the reply is {what}", target, retry=True, kind=BadResponse)
