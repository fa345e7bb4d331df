"""What a model is to the rest of Coral: something that turns a request into a generation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Protocol, runtime_checkable

import msgspec

from coral.types import Billing, FinishReason, Message, Usage


class Sampling(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to sample. None leaves a setting to the server.

    `extra` is merged into the request body as it is, for what only one server knows
    (`top_k`, `chat_template_kwargs`, `reasoning_effort`, ...).
    `return_token_ids`, together with `logprobs`, asks for the tokens of the prompt and of the replies.
    """

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    logprobs: bool = False
    return_token_ids: bool = False
    extra: msgspec.Raw | None = None


class Parts(Protocol):
    """What has arrived of a request whose candidates come in several responses, until all are there."""

    def find(self, name: str) -> Generation | None:
        """The part that an earlier session received under this name."""
        ...

    def keep(self, name: str, part: Generation) -> None:
        """Keep a part that has just arrived."""
        ...


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request: `n` candidate continuations of `messages`.

    Attributes:
        seed: for the sampler of the server; derived from run seed and conversation, never from time.
        conversation_id: requests of one conversation go to one endpoint where possible (prefix cache).
        parts: keeps candidates as they arrive; None where only the whole counts.
    """

    messages: tuple[Message, ...]
    sampling: Sampling
    n: int = 1
    seed: int | None = None
    conversation_id: str = ""
    parts: Parts | None = None


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One candidate.

    Attributes:
        usage: None where the server only reports the sum over `n`.
        token_ids: with the end mark's; then `token_logprobs` has as many. None where not asked for.
        overrun: characters that the model wrote past its end mark; they are not in `text`.
    """

    text: str
    finish_reason: FinishReason
    reasoning: str | None = None
    usage: Usage | None = None
    token_logprobs: tuple[float, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    overrun: int = 0


class Generation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A complete answer to one request: exactly `n` usable candidates.

    Attributes:
        usage: of the whole request, as reported.
        latency_s: from first sending to full reply, retries and waiting between them included.
        attempts: requests sent, retries included.
        prompt_token_ids: None where not asked for or not given.
        billing: how it was paid for. From the cache, all else is as it was when the server was asked.
    """

    candidates: tuple[Candidate, ...]
    usage: Usage
    latency_s: float
    attempts: int = 1
    prompt_token_ids: tuple[int, ...] | None = None
    billing: Billing = "list"


class Model(Protocol):
    """A served model. An async context manager: entering opens connections, leaving closes them."""

    @property
    def name(self) -> str:
        """What identifies the model in records and price tables."""
        ...

    async def generate(self, request: Request) -> Generation:
        """Answer `request`, retrying what is worth retrying.

        Raises:
            ModelError: the request failed for good.
        """
        ...

    async def __aenter__(self) -> Model: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of one candidate's text.

    Attributes:
        index: of the candidate.
        finish_reason: set on the candidate's last piece alone.
        usage: of the whole request, on its very last piece alone; `prompt_token_ids` on its first.
    """

    index: int
    text: str
    finish_reason: FinishReason | None = None
    token_logprobs: tuple[float, ...] | None = None
    token_ids: tuple[int, ...] | None = None
    usage: Usage | None = None
    prompt_token_ids: tuple[int, ...] | None = None


@runtime_checkable
class StreamingModel(Protocol):
    """What a model offers beside `generate` if it can send text while it writes."""

    def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The pieces of all candidates as they come; together they are what `generate` returns.

        An async generator: closing it ends the work on the request.

        Raises:
            ModelError: before or between pieces.
        """
        ...
