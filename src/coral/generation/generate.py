"""A reply to each row of a file, or of a shard of it; resumed where it stopped, in the order of the rows."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from math import isnan
from pathlib import Path

import msgspec

from coral import prompts
from coral.agents.open import Models
from coral.batches.model import Batches
from coral.budget import Budget, Limits, OutOfBudget
from coral.errors import STOPS_THE_RUN, FatalReject, ModelError, StoppedEarly
from coral.generation.breaker import Breaker
from coral.generation.config import GenerateConfig
from coral.generation.output import Output
from coral.generation.parts import ANSWERED, Parts
from coral.generation.rows import Rows
from coral.metrics import load_prices
from coral.metrics.cost import SHARE_BILLED, Tokens
from coral.models import embedded
from coral.models.client import Connections, ServedModel, Stopped, build_model
from coral.models.crew import Crew
from coral.models.protocol import Generation, Model, Request
from coral.models.retries import RetryState
from coral.reply_cache import ReplyCache
from coral.serving.launch import LaunchConfig, launch
from coral.store.shards import shard_of
from coral.types import Usage


@dataclass
class Counts:
    """Counters of a batch, or of a shard. Written by the job alone; a display polls them.

    Attributes:
        kept: rows that earlier runs answered.
        from_cache: rows of this run that the response cache answered; their tokens are not counted.
        batched: rows of this run that a provider's batch answered.
        usd: what this run cost; None where the model has no price.
        written: OUTPUT is whole, and holds `failed_elsewhere` rows with an error that other shards left.
        missing: the shards that are not complete, where this one is.
        stopping: requests in flight are still answered, no others are sent.
        say: told what the work waits for before the first request, and which batches are begun.
        waiting_for: what it waits for now, in a few words; empty where for nothing but replies.
    """

    total: int = 0
    kept: int = 0
    answered: int = 0
    from_cache: int = 0
    batched: int = 0
    failed: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    written: bool = False
    failed_elsewhere: int = 0
    missing: tuple[str, ...] = ()
    stopping: bool = False
    retry_state: RetryState = field(default_factory=RetryState)
    started: float = field(default_factory=time.monotonic)
    say: Callable[[str], object] = lambda _line: None
    waiting_for: Callable[[], str] = str
    _listener: Callable[[], object] | None = None

    @property
    def is_complete(self) -> bool:
        """Whether something came of every row."""
        return self.kept + self.answered + self.failed == self.total

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self.started

    def stop(self) -> None:
        """Let requests in flight end, and send no others."""
        self.stopping = True
        if self._listener is not None:
            self._listener()

    @contextmanager
    def telling(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call `listener` on `stop` while the body runs; at once if that was called already."""
        self._listener = listener
        try:
            if self.stopping:
                listener()
            yield
        finally:
            self._listener = None

    def count(self, generation: Generation) -> None:
        """A row is answered."""
        self.answered += 1
        if generation.billing == "cache":
            self.from_cache += 1
        else:
            self.batched += generation.billing == "batch"
            self.add(generation)

    def add(self, generation: Generation) -> None:
        """Add up the tokens of a reply."""
        self.prompt_tokens += generation.usage.prompt_tokens or 0
        self.cached_tokens += generation.usage.cached_tokens or 0
        self.completion_tokens += generation.usage.completion_tokens or 0

    def price(self, config: GenerateConfig) -> None:
        """Say what the tokens cost, where the price of the model is known."""
        counted = (self.prompt_tokens, self.cached_tokens, self.completion_tokens)
        usd = load_prices(config.prices).cost(config.agent.model, Tokens(*map(float, counted)))
        usd *= SHARE_BILLED["batch" if self.batched else "list"]
        self.usd = None if isnan(usd) else usd


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What `--dry_run` shows."""

    rows: int
    first: Request


def preview(config: GenerateConfig) -> Preview:
    """Check every row; sends nothing and writes nothing.

    Raises:
        DataError: a row cannot be used.
    """
    config = _with_prompt(config)
    with Rows(Path(config.input), limit=config.limit) as rows:
        return Preview(rows=len(rows), first=rows.request(0, config, config.agent.sampling()))


async def generate(config: GenerateConfig, counts: Counts) -> Counts:
    """Answer every row that has no reply yet, of all or of a shard; then OUTPUT is written, with an `error`
    where one failed, unless other shards are not complete.

    Raises:
        UserError: an option, a row or the output cannot be used, or nobody answers.
        FatalReject: the server refuses every request.
    """
    config = _with_prompt(config)
    shard = shard_of(config.shard) if config.shard else None
    with Rows(Path(config.input), limit=config.limit) as rows:
        async with AsyncExitStack() as stack:
            if not config.agent.model:  # only the server can name it
                config = await launched(config, counts, stack)
            output = Output(Path(config.output), rows, shard)
            stack.enter_context(output.claimed(config.decisive))
            parts = output.parts
            counts.total = len(parts.numbers)
            pending = [number for number in parts.numbers if parts.status[number] != ANSWERED]
            counts.kept = counts.total - len(pending)
            if pending:
                output.withdraw()
                config = await launched(config, counts, stack)
                work = await _Work.open(config, rows, parts, counts, stack)
                await work.do(iter(pending), len(pending))
            if counts.is_complete:
                written = await output.write(config.agent.model or embedded.name_of(config.agent))
                counts.written, counts.missing = not written.missing, written.missing
                counts.failed_elsewhere = max(0, written.failed - counts.failed)
    counts.price(config)
    return counts


def _with_prompt(config: GenerateConfig) -> GenerateConfig:
    """The config with the text of a system prompt that a file holds."""
    if config.agent.system_prompt is None:
        return config
    text = prompts.text_or_file(config.agent.system_prompt, "--agent.system_prompt")
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, system_prompt=text))


async def launched(config: GenerateConfig, counts: Counts, stack: AsyncExitStack) -> GenerateConfig:
    """The options with the agent at the server that `serve` starts, if it is not started yet."""
    if not config.serve.command:
        return config
    agent = await launch(
        config.serve,
        config.agent,
        stack,
        stop=counts.stop,
        stopping=lambda: counts.stopping,
        say=counts.say,
    )
    return dataclasses.replace(config, agent=agent, serve=LaunchConfig())


class _Work:
    """The requests of one run."""

    def __init__(
        self,
        config: GenerateConfig,
        rows: Rows,
        parts: Parts,
        counts: Counts,
        model: Model,
        connections: Connections,
        replies: ReplyCache | None,
    ) -> None:
        self._config, self._rows, self._parts, self._counts = config, rows, parts, counts
        self._connections = connections
        self._budget = _budget(config, model, parts, counts)
        self._sampling = config.agent.sampling()
        self._model, self._asked = model, model if replies is None else replies.of(model)
        self._cause: BaseException | None = None
        served = [model] if isinstance(model, ServedModel) else []
        self._crew = Crew(served, otherwise=config.max_connections)
        self._breaker = Breaker(self._ask_again, ever_answered=counts.kept > 0)
        self._latest_answered: int | None = None

    @staticmethod
    async def open(
        config: GenerateConfig, rows: Rows, parts: Parts, counts: Counts, stack: AsyncExitStack
    ) -> _Work:
        """Open the model; `stack` closes it.

        Raises:
            UserError: it cannot be opened.
        """
        connections = await stack.enter_async_context(Connections())
        counts.retry_state = connections.retry_state
        batches = None
        if config.batch:
            batches = Batches(parts.folder / "batches", lambda: counts.in_flight, counts.say)
            counts.waiting_for = batches.waiting.describe
            stack.push_async_callback(batches.close)
        build = build_model if batches is None else batches.build
        models = Models(connections, stack, max_connections=config.max_connections, build=build)
        model = await models.open(config.agent, "--agent")
        if batches is not None:
            batches.check()
        replies = stack.enter_context(ReplyCache(config.cache)) if config.cache else None
        return _Work(config, rows, parts, counts, model, connections, replies)

    async def do(self, pending: Iterator[int], count: int) -> None:
        """Answer the rows of `pending`.

        Raises:
            CoralError: what concerns all of them; requests in flight have ended.
        """
        loop = asyncio.get_running_loop()
        with self._counts.telling(lambda: loop.call_soon_threadsafe(self._stop)):
            await self._crew.work(lambda: self._answer(pending), most=count)
        cause = self._cause
        left = f"{self._counts.total - self._counts.kept - self._counts.answered} rows are owed"
        if isinstance(cause, OutOfBudget):
            raise OutOfBudget(str(cause), remedy=f"run the same command again with a higher limit: {left}")
        if isinstance(cause, FatalReject) or not isinstance(cause, ModelError | None):
            raise cause
        if cause is not None:
            fix = cause.remedy and f"{cause.remedy}; then "
            raise StoppedEarly(str(cause), remedy=f"{fix}run the same command again: {left}")

    def _stop(self) -> None:
        self._connections.stop()
        if self._budget is not None:
            self._budget.wake()

    async def _answer(self, pending: Iterator[int]) -> None:
        """Answer one row after the other."""
        counts = self._counts
        while self._crew.has_room and not counts.stopping:
            number = next(pending, None)
            if number is None:
                return
            counts.in_flight += 1
            try:
                await self._answer_row(number)
            except Stopped:
                return
            except BaseException as error:
                self._halt(error)
                raise
            finally:
                counts.in_flight -= 1

    async def _answer_row(self, number: int) -> None:
        request = self._rows.request(number, self._config, self._sampling)
        counted = self._parts.counted(number)
        if request.n > 1:
            request = msgspec.structs.replace(request, parts=self._parts.pieces(number))
        try:
            generation = await self._send(request, self._asked, counted)
        except STOPS_THE_RUN:
            raise
        except ModelError as error:
            self._parts.keep_failure(number, error)
            self._counts.failed += 1
            if not self._config.batch:  # there all rows were sent at once
                await self._breaker.failed(error)
        else:
            self._parts.keep(number, generation)
            self._counts.count(generation)
            self._latest_answered = number
            self._breaker.answered()

    async def _ask_again(self) -> None:
        """Send what was answered before, by this session or an earlier one. The reply is counted, not kept.

        Raises:
            ModelError: it is not answered now.
            Stopped: another row has found that out.
        """
        if self._counts.stopping:
            raise Stopped
        number = self._latest_answered
        if number is None:
            number = next(known for known in self._parts.numbers if self._parts.status[known] == ANSWERED)
        request = self._rows.request(number, self._config, self._sampling)
        # Not through the cache: that would say nothing of the server.
        self._counts.add(await self._send(msgspec.structs.replace(request, n=1), self._model))

    async def _send(self, request: Request, model: Model, counted: Usage | None = None) -> Generation:
        if self._budget is None:
            return await model.generate(request)
        return await self._budget.send(model, request, lambda: model.generate(request), counted=counted)

    def _halt(self, cause: BaseException) -> None:
        """Stop because of `cause`: the first one counts, others are mostly its consequences."""
        self._cause = self._cause or cause
        self._counts.stop()


def _budget(config: GenerateConfig, model: Model, parts: Parts, counts: Counts) -> Budget | None:
    """What the limits leave, what earlier sessions received taken off; None without limits.

    Raises:
        ConfigError: money is limited, and the model has no price.
    """
    limits = Limits(config.max_tokens_total, config.max_cost, config.max_hours)
    if not limits.any:
        return None
    if config.shard:  # each has its share
        limits = limits.shared(shard_of(config.shard).count)
    budget = Budget(limits, load_prices(config.prices), [model.name], is_stopping=lambda: counts.stopping)
    for billing, usage in parts.spent.items():
        budget.replayed(model, usage, billing)
    return budget
