"""Limits of a job on tokens, money and time: it stops before one is passed, and can be resumed.

What a request may take at most is set aside before it is sent, and given back for what it took. So requests
in flight cannot pass a limit together, and near it fewer are sent at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from math import inf, isnan

import msgspec

from coral.errors import ConfigError, ModelError, StoppedEarly
from coral.metrics.cost import JUDGE, SHARE_BILLED, PriceTable, Tokens, calls_of
from coral.models.client import ServedModel, Stopped
from coral.models.protocol import Generation, Model, Request
from coral.reply_cache import KeptModel
from coral.store.journal import Calls
from coral.types import Billing, Conversation, StopReason, Usage

MESSAGE_TOKENS = 16
"""Of a message's frame in a chat template, at most."""
FIRST_RATE = 0.5
"""Tokens per character of a prompt, until the server has counted one: twice what English text has."""
MARGIN = 1.1
"""On the largest rate that was seen."""
UNLIMITED_REPLY = 4096
"""Tokens of a reply that nothing limits, until a longer one was seen."""


class OutOfBudget(StoppedEarly):
    """The next request could pass a limit that the user set."""


@dataclass(frozen=True)
class Limits:
    """What a run may take in all sessions together; hours are of one session.

    Attributes:
        tokens: read and written.
        usd: by the price table.
    """

    tokens: float | None = None
    usd: float | None = None
    hours: float | None = None

    @property
    def any(self) -> bool:
        return self != Limits()

    def shared(self, processes: int) -> Limits:
        """The share of each of several processes that work on a run together, for as long as each may."""
        tokens, usd = (None if each is None else each / processes for each in (self.tokens, self.usd))
        return Limits(tokens, usd, self.hours)


@dataclass
class Spent:
    """Tokens and money."""

    tokens: float = 0.0
    usd: float = 0.0

    def add(self, other: Spent, sign: int = 1) -> None:
        self.tokens += sign * other.tokens
        self.usd += sign * other.usd


class Budget:
    """What is left of the limits of one process's run.

    Args:
        models: that are asked; each needs a price where money is limited.
        is_stopping: whether the run ends anyway.

    Raises:
        ConfigError: money is limited, and a model has no price.
    """

    def __init__(
        self,
        limits: Limits,
        prices: PriceTable,
        models: Iterable[str],
        *,
        is_stopping: Callable[[], bool],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits, self._prices = limits, prices
        self.spent, self._reserved = Spent(), Spent()
        self._is_stopping, self._clock = is_stopping, clock
        self._began, self._longest_s = clock(), 0.0
        self._in_flight = 0
        self._rate, self._most_written = FIRST_RATE, 0.0
        self._changed = asyncio.Event()
        self._counted: set[str] = set()
        unpriced = [name for name in models if limits.usd is not None and prices.price(name) is None]
        if unpriced:
            raise ConfigError(
                f"max_cost is set, and {unpriced[0]} has no price",
                remedy="give its price with --prices FILE (`coral prices` shows the form), or limit "
                "--max_tokens_total",
            )

    def count(self, conversation: Conversation, extractor: str | None) -> None:
        """Count what an earlier session spent on a conversation, its judge apart. If it is held again, since
        it failed, what the journal has of it is in this already.
        """
        if conversation.stop is StopReason.FAILED:
            self._counted.add(conversation.id)
        models = {speaker.name: speaker.model for speaker in conversation.speakers.values()}
        for call in calls_of(conversation):
            if call.usage is not None and call.role != JUDGE:
                model = models.get(call.role, extractor or "")
                self.spent.add(self._price(model, call.usage, call.billing))

    def replayed(self, model: Model, usage: Usage, billing: Billing = "list") -> None:
        """Count what an earlier session received from a model."""
        self.spent.add(self._price(model.name, usage, billing))

    async def enter(self, model: Model, request: Request) -> Reservation:
        """Set aside what a request may take at most; waits for others where it does not fit beside them.

        Raises:
            OutOfBudget: it does not fit although nothing else is in flight, or the time is over.
            Stopped: the run ends meanwhile.
        """
        while True:
            if self._is_stopping():
                raise Stopped
            if self._is_late():
                raise OutOfBudget(f"the session has lasted its {self.limits.hours:g} hours")
            wanted = self._most(model, request)
            if self._fits(wanted):
                break
            if not self._in_flight:
                raise OutOfBudget(self._why())
            changed = self._changed
            await changed.wait()
        self._in_flight += 1
        self._reserved.add(wanted)
        characters = sum(len(message.content) for message in request.messages)
        return Reservation(model.name, wanted, characters, self._clock(), _billing(model))

    def leave(self, reservation: Reservation, usage: Usage | None, *, replies: int = 1) -> None:
        """A request has come to its end: give back what it did not take.

        Args:
            usage: None where nothing is known: then all that was set aside counts as spent.
        """
        self._in_flight -= 1
        self._reserved.add(reservation.wanted, -1)
        self._longest_s = max(self._longest_s, self._clock() - reservation.began)
        is_known = usage is not None and None not in (usage.prompt_tokens, usage.completion_tokens)
        if usage is not None and is_known:
            self.spent.add(self._price(reservation.model, usage, reservation.billing))
            written = (usage.completion_tokens or 0) / max(replies, 1)
            self._most_written = max(self._most_written, written)
            if reservation.characters:
                seen = (usage.prompt_tokens or 0) / reservation.characters
                self._rate = max(MARGIN * seen, 0.0 if self._rate == FIRST_RATE else self._rate)
        else:
            self.spent.add(reservation.wanted)
        self.wake()

    async def make(self, journaled: Calls, step: str, model: Model, request: Request) -> Generation:
        """Make a request of a conversation where there is room for it; what the journal has is only counted.

        Raises:
            OutOfBudget: there is no room.
            ModelError: it failed for good.
        """
        if journaled.holds(step):
            generation = await journaled(step, model, request)
            if request.conversation_id not in self._counted:
                self.replayed(model, generation.usage, generation.billing)
            return generation
        return await self.send(model, request, lambda: journaled(step, model, request))

    async def send(
        self,
        model: Model,
        request: Request,
        call: Callable[[], Awaitable[Generation]],
        *,
        counted: Usage | None = None,
    ) -> Generation:
        """Make a request by `call`, where there is room for it.

        Args:
            counted: of the tokens that it will report, those that an earlier session's pieces took, which
                count already.

        Raises:
            OutOfBudget: there is no room.
            ModelError: it failed for good.
        """
        if isinstance(model, KeptModel) and model.holds(request):
            return await call()  # nothing is spent on it
        reservation = await self.enter(model, request)
        usage: Usage = Usage(prompt_tokens=0, completion_tokens=0)
        try:
            generation = await call()
            usage = _less(generation.usage, counted)
        except ModelError as error:
            usage = _less(error.usage, counted) if error.usage else usage
            raise
        finally:
            self.leave(reservation, usage, replies=request.n)
        return generation

    def wake(self) -> None:
        """Let those that wait look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _is_late(self) -> bool:
        if self.limits.hours is None:
            return False
        return self._clock() - self._began + self._longest_s > 3600 * self.limits.hours

    def _fits(self, wanted: Spent) -> bool:
        tokens = self.spent.tokens + self._reserved.tokens + wanted.tokens
        usd = self.spent.usd + self._reserved.usd + wanted.usd
        limits = self.limits
        return tokens <= _or_inf(limits.tokens) and usd <= _or_inf(limits.usd)

    def _why(self) -> str:
        tokens, usd = self.limits.tokens, self.limits.usd
        parts = []
        if tokens is not None:
            parts.append(f"{self.spent.tokens:,.0f} of {tokens:,.0f} tokens")
        if usd is not None:
            parts.append(f"${self.spent.usd:.4f} of ${usd:.4f}")
        return f"the run has spent {' and '.join(parts)}, and the next request could take more than is left"

    def _most(self, model: Model, request: Request) -> Spent:
        characters = sum(len(message.content) for message in request.messages)
        prompt = self._rate * characters + MESSAGE_TOKENS * len(request.messages)
        limit = request.sampling.max_tokens
        reply = max(limit if limit is not None else UNLIMITED_REPLY, self._most_written)
        usage = Usage(prompt_tokens=round(prompt), completion_tokens=round(reply * request.n))
        return self._price(model.name, usage, _billing(model))

    def _price(self, model: str, usage: Usage, billing: Billing = "list") -> Spent:
        if billing == "cache":
            return Spent()
        prompt, completion = usage.prompt_tokens or 0, usage.completion_tokens or 0
        usd = self._prices.cost(model, Tokens(prompt, min(usage.cached_tokens or 0, prompt), completion))
        return Spent(prompt + completion, 0.0 if isnan(usd) else SHARE_BILLED[billing] * usd)


@dataclass(frozen=True)
class Reservation:
    """What was set aside for a request."""

    model: str
    wanted: Spent
    characters: int
    began: float
    billing: Billing = "list"


def _billing(model: Model) -> Billing:
    return model.billing if isinstance(model, ServedModel | KeptModel) else "list"


def _less(usage: Usage, counted: Usage | None) -> Usage:
    """The tokens of a reply without those that count already; unknown ones stay unknown."""
    if counted is None:
        return usage
    rest = {
        name: None if count is None else max(0, count - (getattr(counted, name) or 0))
        for name, count in msgspec.structs.asdict(usage).items()
    }
    return Usage(**rest)


def _or_inf(limit: float | None) -> float:
    return inf if limit is None else limit
