"""The requests of an audit: journaled and watched. What is refused is no reading, and limits are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from coral.agents.open import Build, Models
from coral.batches.model import Batches, is_sold
from coral.budget import Budget, Limits, OutOfBudget
from coral.conversation import calls
from coral.errors import ABOUT_THE_TEXT, FatalReject, Interrupted, ModelError, StoppedEarly
from coral.evaluation.breaker import HANDFUL
from coral.evaluation.progress import Progress
from coral.generation.breaker import Breaker
from coral.metrics import load_prices
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.connections import Connections, Stopped
from coral.models.crew import AT_ONCE_BY_BATCH
from coral.models.protocol import Generation, Model, Request
from coral.store.folder import RunFolder
from coral.store.journal import Calls, Journal


class Allowance:
    """What the limits of an audit leave to all whom it asks together."""

    def __init__(self, limits: Limits, prices: str | None) -> None:
        self._limits, self._prices = limits, prices
        self._before: Budget | None = None

    def budget(self, model: Model | None, watch: Watch) -> Budget | None:
        """For the requests to a model, what the others took taken off; None without limits.

        Raises:
            ConfigError: money is limited, and the model has no price.
        """
        if not self._limits.any or model is None:
            return None
        prices = load_prices(self._prices)
        budget = Budget(self._limits, prices, [model.name], is_stopping=lambda: watch.is_stopping)
        if self._before is not None:
            budget.spent.add(self._before.spent)
        self._before = budget
        return budget


class Asking(NamedTuple):
    """What is needed to ask a model about texts."""

    models: Models
    journal: Journal
    watch: Watch


@asynccontextmanager
async def asking(
    out: RunFolder, options: ModelConfig, max_connections: int, progress: Progress, who: str, *, batch: bool
) -> AsyncIterator[Asking]:
    """Ask a model about texts; what an earlier session asked is not sent again.

    Args:
        options: of the model.
        who: is asked, such as "the second extractor".
        batch: ask by batches, which are written down in the folder, where the model is sold so.

    Raises:
        StoppedEarly, Interrupted: as `Watch.check`.
    """
    journal = Journal(out.journal_path, frozenset())
    try:
        async with AsyncExitStack() as stack:
            connections = await stack.enter_async_context(Connections())
            at_once = min(options.max_connections or max_connections, max_connections)
            build: Build = build_model
            if batch and is_sold(options):
                at_once, build = AT_ONCE_BY_BATCH, _batches(out, progress, stack)
            watch = Watch(connections.stop, progress, who, at_once)
            progress.retry_state = connections.retry_state
            stack.enter_context(progress.telling(watch.stop))
            try:
                models = Models(connections, stack, max_connections=max_connections, build=build)
                yield Asking(models, journal, watch)
            except (ModelError, Stopped, OutOfBudget) as error:
                watch.check(error)
                raise
            watch.check()
    finally:
        journal.close()


def _batches(out: RunFolder, progress: Progress, stack: AsyncExitStack) -> Build:
    """What builds a model that is asked by batches; what is waited for is told."""
    batches = Batches(out.path / "batches", lambda: progress.in_flight, progress.notes.append)
    progress.waiting_for = batches.waiting.describe
    stack.push_async_callback(batches.close)
    return batches.build


class Watch:
    """Stops an audit in which nothing is answered, or nothing more, and takes back what it kept of that.

    Attributes:
        unanswered: the texts about which there was no answer, by key.
        budget: what the limits of the audit leave; None without limits.
    """

    def __init__(self, stop: Callable[[], None], progress: Progress, who: str, at_once: int) -> None:
        self._who = who
        self.unanswered: set[str] = set()
        self.budget: Budget | None = None
        self._stop = stop
        self._progress = progress
        self._answered = False
        self._breaker = Breaker(self._ask_again, ever_answered=False, what="texts")
        self._room = asyncio.Semaphore(at_once)  # so that nothing stands before what is asked again
        self._latest_answered: tuple[Model, Request] | None = None
        self._cause: ModelError | OutOfBudget | None = None
        self._latest: ModelError | None = None
        self._retract: list[Callable[[], None]] = []

    def over(self, key: str, journaled: Calls) -> calls.Calls:
        """The journal's calls about one text, watched."""

        async def call(step: str, model: Model, request: Request) -> Generation:
            if journaled.holds(step):
                return await make(step, model, request, is_new=False)
            async with self._room:
                if self.is_stopping:
                    raise Stopped
                return await make(step, model, request, is_new=True)

        async def make(step: str, model: Model, request: Request, *, is_new: bool) -> Generation:
            try:
                if self.budget is None:
                    generation = await journaled(step, model, request)
                else:
                    generation = await self.budget.make(journaled, step, model, request)
            except OutOfBudget as error:
                self._end(error)
                raise
            except ModelError as error:
                self.unanswered.add(key)
                await self._note(error, (lambda: journaled.retract(step)) if is_new else None)
                raise
            self._note_answer(model, request)
            self._progress.requests += generation.attempts * is_new
            self._progress.completion_tokens += (generation.usage.completion_tokens or 0) * is_new
            return generation

        return call

    def _note_answer(self, model: Model, request: Request) -> None:
        self._answered = True
        self._latest_answered = model, request
        self._breaker.answered()
        if self._cause is None:
            self._retract.clear()  # they were refused by somebody who answers

    async def _note(self, error: ModelError, retract: Callable[[], None] | None) -> None:
        self._latest = error
        if isinstance(error, FatalReject) or not isinstance(error, ABOUT_THE_TEXT):
            self._end(error)
        elif retract is not None:
            self._retract.append(retract)
            if self._cause is not None or (not self._answered and len(self._retract) >= HANDFUL):
                self._end(error)
            elif self._answered:
                await self._doubt(error)

    async def _doubt(self, error: ModelError) -> None:
        """After many refusals in a row: whether one that was answered before still is."""
        try:
            await self._breaker.failed(error)
        except (ModelError, OutOfBudget) as found:
            self._end(found)

    async def _ask_again(self) -> None:
        """Send what was answered before. The reply is counted, not kept.

        Raises:
            ModelError: it is not answered now.
            Stopped: another text has found that out.
        """
        assert self._latest_answered is not None
        if self.is_stopping:
            raise Stopped
        model, request = self._latest_answered
        if self.budget is None:
            generation = await model.generate(request)
        else:
            generation = await self.budget.send(model, request, lambda: model.generate(request))
        self._progress.requests += generation.attempts
        self._progress.completion_tokens += generation.usage.completion_tokens or 0
        self._retract.clear()

    @property
    def is_stopping(self) -> bool:
        """Nothing more is sent."""
        return self._cause is not None or self._progress.stopping

    def stop(self) -> None:
        """Send nothing more: what is in flight still arrives, what waits for room is let go."""
        self._stop()
        if self.budget is not None:
            self.budget.wake()

    def _end(self, cause: ModelError | OutOfBudget) -> None:
        """Send nothing more. What was refused meanwhile is asked again by the next session."""
        self._cause = self._cause or cause
        while self._retract:
            self._retract.pop()()
        self.stop()

    def check(self, error: ModelError | Stopped | OutOfBudget | None = None) -> None:
        """Whether the readings can be used.

        Args:
            error: what ended the requests, if anything did.

        Raises:
            StoppedEarly: they ended early, or brought nothing at all.
            Interrupted: the user stopped them.
        """
        found = error if isinstance(error, ModelError) else None
        cause = self._cause or found or (None if self._answered else self._latest)
        if isinstance(cause, OutOfBudget):
            raise OutOfBudget(str(cause), remedy=f"run the same command again with a higher limit: {_KEPT}")
        if cause is None and self._progress.stopping and error is not None:
            raise Interrupted("the audit was interrupted", remedy=f"the same command resumes: {_KEPT}")
        if cause is None:
            return
        fix = cause.remedy and f"{cause.remedy}; then "
        raise StoppedEarly(
            f"{self._who} could not be asked: {cause}",
            remedy=f"{fix}run the same command again: {_KEPT}",
        )


_KEPT = "what it has read is kept"
