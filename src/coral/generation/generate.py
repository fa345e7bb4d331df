"""`coral generate`: a reply to each row of a file, resumed where it stopped, in the order of the rows."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from coral import prompts
from coral.errors import STOPS_THE_RUN, FatalReject, ModelError, StoppedEarly
from coral.generation.config import GenerateConfig
from coral.generation.parts import ANSWERED, Parts
from coral.generation.rows import Rows
from coral.metrics import load_prices
from coral.metrics.cost import Tokens
from coral.models.client import Connections, ServedModel, Stopped
from coral.models.crew import Crew
from coral.models.open import Models
from coral.models.protocol import Generation, Model, Request
from coral.models.retries import RetryState
from coral.serving.launch import LaunchConfig, launch

HOPELESS = 16
"""So many failed rows, where none was ever answered, stop the work: the others would fare no better."""


@dataclass
class Counts:
    """Counters of a batch. Written by the job alone; a display polls them.

    Attributes:
        kept: rows that earlier runs answered.
        stopping: requests in flight are still answered, no others are sent.
        say: told what the work waits for before the first request.
    """

    total: int = 0
    kept: int = 0
    answered: int = 0
    failed: int = 0
    in_flight: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = None
    stopping: bool = False
    retry_state: RetryState = field(default_factory=RetryState)
    started: float = field(default_factory=time.monotonic)
    say: Callable[[str], object] = lambda _line: None
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
        self.prompt_tokens += generation.usage.prompt_tokens or 0
        self.cached_tokens += generation.usage.cached_tokens or 0
        self.completion_tokens += generation.usage.completion_tokens or 0


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
    """Answer every row that has no reply yet; then OUTPUT is written, with an `error` where one failed.

    Raises:
        UserError: an option, a row or the output cannot be used, or nobody answers.
        FatalReject: the server refuses every request.
    """
    config = _with_prompt(config)
    with Rows(Path(config.input), limit=config.limit) as rows:
        async with AsyncExitStack() as stack:
            if not config.agent.model:  # only the server can name it
                config = await _launched(config, counts, stack)
            parts = Parts(Path(config.output), rows)
            stack.enter_context(parts.claimed(config.decisive))
            counts.total = len(rows)
            pending = [number for number, status in enumerate(parts.status) if status != ANSWERED]
            counts.kept = counts.total - len(pending)
            if pending:
                config = await _launched(config, counts, stack)
                work = await _Work.open(config, rows, parts, counts, stack)
                await work.do(iter(pending), len(pending))
            if counts.is_complete:
                parts.assemble(config.agent.model)
    usd = load_prices(config.prices).cost(config.agent.model, _tokens(counts))
    counts.usd = None if usd != usd else usd  # noqa: PLR0124 - NaN is unknown
    return counts


def _with_prompt(config: GenerateConfig) -> GenerateConfig:
    """The config with the text of a system prompt that a file holds."""
    if config.agent.system_prompt is None:
        return config
    text = prompts.text_or_file(config.agent.system_prompt, "--agent.system_prompt")
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, system_prompt=text))


def _tokens(counts: Counts) -> Tokens:
    return Tokens(float(counts.prompt_tokens), float(counts.cached_tokens), float(counts.completion_tokens))


async def _launched(config: GenerateConfig, counts: Counts, stack: AsyncExitStack) -> GenerateConfig:
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
    ) -> None:
        self._config, self._rows, self._parts, self._counts = config, rows, parts, counts
        self._model, self._connections = model, connections
        self._sampling = config.agent.sampling()
        self._cause: BaseException | None = None
        served = [model] if isinstance(model, ServedModel) else []
        self._crew = Crew(served, otherwise=config.max_connections)

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
        models = Models(connections, stack, max_connections=config.max_connections)
        model = await models.open(config.agent, "--agent")
        return _Work(config, rows, parts, counts, model, connections)

    async def do(self, pending: Iterator[int], count: int) -> None:
        """Answer the rows of `pending`.

        Raises:
            CoralError: what concerns all of them; requests in flight have ended.
        """
        loop = asyncio.get_running_loop()
        with self._counts.telling(lambda: loop.call_soon_threadsafe(self._connections.stop)):
            await self._crew.work(lambda: self._answer(pending), most=count)
        if isinstance(self._cause, FatalReject) or not isinstance(self._cause, ModelError | None):
            raise self._cause
        if self._cause is not None:
            left = self._counts.total - self._counts.kept - self._counts.answered
            fix = self._cause.remedy and f"{self._cause.remedy}; then "
            raise StoppedEarly(
                str(self._cause), remedy=f"{fix}run the same command again: {left} rows are owed"
            )

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
        if request.n > 1:
            request = msgspec.structs.replace(request, parts=self._parts.pieces(number))
        try:
            generation = await self._model.generate(request)
        except STOPS_THE_RUN:
            raise
        except ModelError as error:
            self._parts.keep_failure(number, error)
            self._counts.failed += 1
            if self._counts.failed >= HOPELESS and not self._counts.answered + self._counts.kept:
                raise
        else:
            self._parts.keep(number, generation)
            self._counts.count(generation)

    def _halt(self, cause: BaseException) -> None:
        """Stop because of `cause`: the first one counts, others are mostly its consequences."""
        self._cause = self._cause or cause
        self._counts.stop()
