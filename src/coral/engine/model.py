"""`EmbeddedModel`: a checkpoint on disk behind the same protocol as a model behind HTTP."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from coral.errors import ConfigError, ContextOverflow, Rejected, Unreachable
from coral.models.protocol import Candidate, Delta, Generation, Request, Sampling
from coral.types import FinishReason, Usage

if TYPE_CHECKING:
    from coral.engine.checkpoint import Checkpoint
    from coral.engine.prompt import PromptMaker
    from coral.engine.scheduler import Job, Scheduler, Written
    from coral.engine.weights import Weights
    from coral.engine.worker import Worker

MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class EngineLimits:
    """What the engine may take.

    Attributes:
        slots: candidates that run at a time; more wait.
        prompt_tokens: prompt tokens computed in one step beside the running candidates.
        cache_mib: memory for prefixes seen before, in MiB; 0 keeps none.
        memory_mib: memory for keys and values of the requests in work; more requests wait. 0: half of what
            the machine has.
    """

    slots: int = 64
    prompt_tokens: int = 512
    cache_mib: int = 64
    memory_mib: int = 0

    def __post_init__(self) -> None:
        if self.slots < 1 or self.prompt_tokens < 1 or self.cache_mib < 0 or self.memory_mib < 0:
            raise ConfigError(
                f"the engine cannot work with {self}",
                remedy="give it at least one slot and one prompt token per step",
            )


class _Extra(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `Sampling.extra` may ask of this engine."""

    top_k: Annotated[int, msgspec.Meta(ge=-1)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class EmbeddedModel:
    """A Llama-architecture model folder, run in this process.

    The folder holds config.json, safetensors, tokenizer.json and a chat template. What `Sampling` leaves open
    means temperature 1, no cuts, and as many tokens as fit; its `extra` may hold `top_k` and
    `chat_template_kwargs`. A request gives the same text whatever else is running. Log probabilities are the
    model's own, before temperature and cuts, one for each token of the text; the end mark has one only where
    token ids are asked for, which hold it, too.
    """

    def __init__(
        self, folder: str | Path, *, name: str | None = None, limits: EngineLimits | None = None
    ) -> None:
        """Nothing is read yet; `name` is what records call the model, by default the folder as given."""
        self._folder = Path(folder)
        self._name = str(folder) if name is None else name
        self._limits = limits or EngineLimits()
        self._worker: Worker | None = None
        self._prompts: PromptMaker | None = None
        self._checkpoint: Checkpoint | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        """Most tokens of prompt and reply together; known once the model is open."""
        assert self._checkpoint is not None
        return self._checkpoint.config.max_context

    @property
    def defect(self) -> str | None:
        """Why the open model can answer no more, after an error in the engine; None while it can."""
        return self._worker.defect if self._worker is not None else None

    async def __aenter__(self) -> EmbeddedModel:
        """Load the model, off the event loop.

        Raises:
            UserError: the folder is incomplete, or its model is none that this engine can run.
        """
        from coral.engine.prompt import PromptMaker
        from coral.engine.worker import Worker

        self._prompts = PromptMaker(self._folder)
        self._worker = Worker(self._load)
        checked = asyncio.ensure_future(self._prompts.check())
        try:
            await self._worker.wait_ready()
            await checked
        except BaseException:
            checked.cancel()
            await asyncio.gather(checked, return_exceptions=True)
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def reload(self) -> None:
        """Read the weights again, as they lie in the folder now; template and tokenizer stay as they were.

        Requests in work fail.

        Raises:
            UserError: the folder does not hold them any more.
        """
        from coral.engine.worker import Worker

        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.close()
        self._worker = Worker(self._load)
        await self._worker.wait_ready()

    async def _close(self) -> None:
        worker, self._worker = self._worker, None
        prompts, self._prompts = self._prompts, None
        if prompts is not None:
            await prompts.close()
        if worker is not None:
            await worker.close()

    async def generate(self, request: Request) -> Generation:
        """All `n` candidates of `request`.

        Raises:
            ContextOverflow: the messages leave no room for a reply.
            Rejected: an option is out of range or unknown, or the chat template refuses the messages.
            Unreachable: the model is not open, was closed meanwhile, or a step of the engine failed.
            FatalReject: an error has stopped the engine for good.
        """
        started = time.monotonic()
        replies = _Replies(request)
        async with aclosing(self._news(request, streamed=False)) as news:
            async for job, item in news:
                replies.add(job, item)
        return replies.generation(time.monotonic() - started)

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """The candidates' text as it is written; joined by index it is what `generate` returns.

        Raises:
            ModelError: as `generate` does, before the first piece.
        """
        replies = _Replies(request)
        async with aclosing(self._news(request, streamed=True)) as news:
            async for job, item in news:
                replies.add(job, item)
                yield Delta(
                    index=item.index,
                    text=item.text,
                    finish_reason=item.finish,
                    token_logprobs=item.logprobs if request.sampling.logprobs else None,
                    token_ids=item.tokens if request.sampling.return_token_ids else None,
                    usage=replies.usage if replies.are_complete else None,
                    prompt_token_ids=replies.new_prompt_ids(),
                )

    def split_tokens(self, text: str) -> Sequence[str]:
        """The tokens of `text` as text; joined they are `text`."""
        if self._checkpoint is None:
            return (text,)
        offsets = self._checkpoint.tokenizer.encode(text, add_special_tokens=False).offsets
        begins = [0, *(begin for begin, _ in offsets[1:]), len(text)]
        return [text[begin:end] for begin, end in pairwise(begins)]

    async def _news(self, request: Request, *, streamed: bool) -> AsyncGenerator[tuple[Job, Written], None]:
        """What the engine says about `request` until all candidates are done; leaving early gives it up."""
        from coral.engine.worker import Ticket

        worker, prompts = self._worker, self._prompts
        if worker is None or prompts is None:
            raise Unreachable("the embedded model is not open: use it inside `async with`")
        _check(request)
        extra = _read_extra(request.sampling)
        options = extra.chat_template_kwargs or {}
        prompt = await prompts.tokens(request.messages, options, context=self.context_tokens)
        inbox: asyncio.Queue[tuple[Job | None, list[Written], BaseException | None]] = asyncio.Queue()
        ticket = Ticket(
            loop=asyncio.get_running_loop(),
            prepare=lambda: self._prepare(request, prompt, top_k=extra.top_k or 0, streamed=streamed),
            deliver=lambda *news: inbox.put_nowait(news),
        )
        worker.post(ticket)
        try:
            async for pair in _read(inbox, request.n):
                yield pair
        finally:
            if ticket.open_candidates:
                worker.cancel(ticket)

    # On the engine's thread ---------------------------------------------------------------------------

    def _load(self) -> Callable[[], Scheduler]:
        """Read the folder once: a scheduler that replaces another one computes with the same weights."""
        from coral.engine.blas import use_one_thread
        from coral.engine.checkpoint import open_checkpoint
        from coral.engine.weights import build_weights

        use_one_thread()
        checkpoint = open_checkpoint(self._folder)
        self._checkpoint = checkpoint
        return partial(self._build, checkpoint, build_weights(checkpoint))

    def _build(self, checkpoint: Checkpoint, weights: Weights) -> Scheduler:
        from coral.engine.llama import Llama
        from coral.engine.scheduler import Scheduler

        limits = self._limits
        llama = Llama(checkpoint.config, weights, slots=limits.slots)
        return Scheduler(
            llama,
            checkpoint.tokenizer,
            checkpoint.end_tokens,
            slots=limits.slots,
            prompt_tokens=limits.prompt_tokens,
            cache_bytes=limits.cache_mib * MIB,
            memory_blocks=self._memory_blocks(),
        )

    def _memory_blocks(self) -> int:
        """How many blocks of keys and values fit into the memory for them."""
        from coral.engine.cache import BLOCK

        assert self._checkpoint is not None
        config = self._checkpoint.config
        block_bytes = 2 * 4 * BLOCK * config.num_layers * config.num_kv_heads * config.head_dim
        return max((self._limits.memory_mib * MIB or _half_of_memory()) // block_bytes, 1)

    def _prepare(self, request: Request, prompt: list[int], *, top_k: int, streamed: bool) -> Job:
        from coral.engine.sampler import Settings
        from coral.engine.scheduler import Job

        sampling = request.sampling
        self._check_prompt(prompt)
        room = self._room(len(prompt))
        return Job(
            prompt=prompt,
            n=request.n,
            max_tokens=room if sampling.max_tokens is None else min(sampling.max_tokens, room),
            settings=Settings(
                temperature=_temperature(sampling.temperature),
                top_p=1.0 if sampling.top_p is None else sampling.top_p,
                top_k=max(top_k, 0),
                logprobs=sampling.logprobs,
            ),
            seed=random.SystemRandom().getrandbits(64) if request.seed is None else request.seed,
            stop=tuple(stop for stop in sampling.stop if stop),
            streamed=streamed,
            token_ids=sampling.return_token_ids,
        )

    def _check_prompt(self, prompt: list[int]) -> None:
        assert self._checkpoint is not None
        size = self._checkpoint.config.vocab_size
        if (largest := max(prompt)) >= size:
            text = self._checkpoint.tokenizer.id_to_token(largest)
            message = f"the messages hold {text!r}, token {largest}, and the model has {size} tokens"
            raise Rejected(message, status=400)

    def _room(self, num_prompt_tokens: int) -> int:
        room = self.context_tokens - num_prompt_tokens
        if room < 1:
            message = (
                f"the messages have {num_prompt_tokens} tokens; the model's context of "
                f"{self.context_tokens} leaves no room for a reply"
            )
            raise ContextOverflow(message, status=400)
        from coral.engine.scheduler import largest_request

        held = largest_request(self._memory_blocks())
        if num_prompt_tokens >= held:
            message = (
                f"the messages have {num_prompt_tokens} tokens; the engine's memory for keys and values "
                f"holds {held} of prompt and reply"
            )
            raise ContextOverflow(message, status=400)
        return min(room, held - num_prompt_tokens)


async def _read(
    inbox: asyncio.Queue[tuple[Job | None, list[Written], BaseException | None]], n: int
) -> AsyncIterator[tuple[Job, Written]]:
    open_candidates = n
    while open_candidates:
        job, written, error = await inbox.get()
        if error is not None:
            raise error
        assert job is not None
        for item in written:
            open_candidates -= item.finish is not None
            yield job, item


def _check(request: Request) -> None:
    sampling = request.sampling
    temperature, top_p, max_tokens = sampling.temperature, sampling.top_p, sampling.max_tokens
    wrong = [
        (request.n < 1, f"n is {request.n}; it must be at least 1"),
        (not request.messages, "there are no messages"),
        (
            temperature is not None and not 0 <= temperature <= 100,
            f"temperature is {temperature}, not in 0 to 100",
        ),
        (top_p is not None and not 0 < top_p <= 1, f"top_p is {top_p}; it must be above 0 and at most 1"),
        (max_tokens is not None and max_tokens < 1, f"max_tokens is {max_tokens}; it must be at least 1"),
    ]
    for refused, why in wrong:
        if refused:
            raise Rejected(why, status=400)


def _half_of_memory() -> int:
    """Bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (ValueError, OSError, AttributeError):  # a system that does not tell
        return 4 << 30


def _temperature(asked: float | None) -> float:
    """Below what float32 can divide logits by, only the most likely token is left."""
    if asked is None:
        return 1.0
    return asked if asked >= _COLDEST else 0.0


_COLDEST = 1e-5


def _read_extra(sampling: Sampling) -> _Extra:
    if sampling.extra is None:
        return _Extra()
    try:
        return msgspec.json.decode(sampling.extra, type=_Extra)
    except msgspec.DecodeError as error:
        message = f"the embedded engine's own options are 'top_k' and 'chat_template_kwargs': {error}"
        raise Rejected(message, status=400) from error


class _Replies:
    """Gathers the news of one request."""

    def __init__(self, request: Request) -> None:
        self._logprobs_wanted = request.sampling.logprobs
        self._ids_wanted = request.sampling.return_token_ids
        self._prompt_ids: tuple[int, ...] | None = None
        self._tokens: list[tuple[int, ...]] = [()] * request.n
        self._texts = [""] * request.n
        self._logprobs: list[tuple[float, ...]] = [()] * request.n
        self._finish: list[FinishReason | None] = [None] * request.n
        self._counts = [0] * request.n
        self._prompt = Usage()

    def add(self, job: Job, item: Written) -> None:
        self._texts[item.index] += item.text
        self._logprobs[item.index] += item.logprobs
        self._tokens[item.index] += item.tokens
        self._finish[item.index] = item.finish
        self._counts[item.index] = item.num_tokens
        self._prompt = Usage(prompt_tokens=len(job.prompt), cached_tokens=job.cached)
        if self._ids_wanted and self._prompt_ids is None:
            self._prompt_ids = tuple(job.prompt)

    def new_prompt_ids(self) -> tuple[int, ...] | None:
        """The prompt's tokens where they are wanted, once."""
        ids, self._ids_wanted = self._prompt_ids if self._ids_wanted else None, False
        return ids

    @property
    def are_complete(self) -> bool:
        return None not in self._finish

    @property
    def usage(self) -> Usage:
        """Of the whole request: the prompt counts once."""
        return self._used(sum(self._counts))

    def _used(self, completion_tokens: int) -> Usage:
        return msgspec.structs.replace(self._prompt, completion_tokens=completion_tokens)

    def generation(self, latency_s: float) -> Generation:
        """The complete answer."""
        candidates = tuple(
            Candidate(
                text=text,
                finish_reason=finish or FinishReason.UNKNOWN,
                usage=self._used(count),
                token_logprobs=logprobs if self._logprobs_wanted else None,
                token_ids=tokens if self._ids_wanted else None,
            )
            for text, finish, count, logprobs, tokens in zip(
                self._texts, self._finish, self._counts, self._logprobs, self._tokens, strict=True
            )
        )
        return Generation(
            candidates=candidates,
            usage=self.usage,
            latency_s=latency_s,
            prompt_token_ids=self._prompt_ids,
        )
