"""What a conversation cost: tokens and requests by role, and money by a price table the user can edit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from coral.config import load_yaml
from coral.errors import ConfigError
from coral.metrics.arrays import Array
from coral.types import (
    Billing,
    Conversation,
    Extraction,
    Failure,
    Probe,
    Record,
    Reply,
    Seat,
    Spent,
    Turn,
    Usage,
)

MILLION = 1e6
Role = str
"""The name of a speaker, EXTRACTOR or JUDGE."""
EXTRACTOR: Role = "extractor"
JUDGE: Role = "judge"
NAN = float("nan")


class Tokens(NamedTuple):
    """Tokens by what they cost; `cached` are among `prompt`."""

    prompt: float
    cached: float
    completion: float


NO_TOKENS = Tokens(0.0, 0.0, 0.0)
UNKNOWN_TOKENS = Tokens(NAN, NAN, NAN)
SHARE_BILLED: dict[Billing, float] = {"list": 1.0, "batch": 0.5, "cache": 0.0}
"""Of the list price; both providers whose batches are used sell them at half of it."""


class Price(Record, frozen=True):
    """USD per million tokens. Cached prompt tokens cost as much as others where no own price is given.

    Attributes:
        as_of: when it was looked up, and `source`, where.
    """

    prompt: float
    completion: float
    cached: float | None = None
    as_of: date | None = None
    source: str = ""

    @property
    def figures(self) -> tuple[float, float, float | None]:
        """What it is, wherever it was looked up."""
        return self.prompt, self.completion, self.cached

    def of(self, tokens: ArrayLike) -> Array:
        """USD for each row of `tokens` (prompt, cached, completion); NaN where they are not known."""
        discount = 0.0 if self.cached is None else self.prompt - self.cached
        usd: Array = np.sum(np.multiply(tokens, (self.prompt, -discount, self.completion)), axis=-1)
        return usd / MILLION


class PriceTable(msgspec.Struct, frozen=True):
    """Prices by model name."""

    prices: dict[str, Price]

    def price(self, model: str) -> Price | None:
        """The model's price, None where it is unknown.

        A table may name a model with its provider or without; a name without provider is that of every
        provider, if all of them ask the same.
        """
        exact = self.prices.get(model)
        if exact is not None:
            return exact
        bare = self.prices.get(model.rpartition("/")[2]) if "/" in model else None
        if bare is not None or "/" in model:
            return bare
        found = [price for name, price in self.prices.items() if name.partition("/")[1:] == ("/", model)]
        return found[0] if len({price.figures for price in found}) == 1 else None

    def cost(self, model: str | None, tokens: Tokens) -> float:
        """USD for `tokens` of `model`; NaN where either is unknown. No tokens cost nothing, whoever sold
        them.
        """
        return float(self.costs(model, np.array([tokens]))[0])

    def costs(self, model: str | None, tokens: Array) -> Array:
        """The same for each row of `tokens`: prompt, cached, completion."""
        price = None if model is None else self.price(model)
        each = np.full(len(tokens), NAN) if price is None else price.of(tokens)
        return np.where(tokens.any(axis=1), each, 0.0)


def load_prices(path: str | Path | None = None) -> PriceTable:
    """The shipped prices, overlaid with those of the user's file.

    Raises:
        ConfigError: the file cannot be read, or an entry is no price.
    """
    shipped = _shipped()
    if path is None:
        return PriceTable(shipped)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read the price file {path}: {error}", remedy="give the path of a YAML file"
        ) from error
    return PriceTable({**shipped, **_read(text, str(path))})


@cache
def _shipped() -> dict[str, Price]:
    """The table of the package, read once, and by libyaml where it is there: 12 ms instead of 67."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = resources.files("coral.metrics").joinpath("prices.yaml").read_text(encoding="utf-8")
    return _read(text, "prices.yaml", lambda text: yaml.load(text, Loader=loader))  # noqa: S506 - a safe one


def _read(text: str, name: str, load: Callable[[str], Any] = load_yaml) -> dict[str, Price]:
    import yaml

    remedy = (
        "write one line per model: NAME: {prompt: 2.5, cached: 1.25, completion: 10} (USD per million tokens)"
    )
    try:
        raw = load(text) or {}
        if isinstance(raw, dict):  # what several entries share is no model
            raw = {model: price for model, price in raw.items() if not str(model).startswith(".")}
        prices = msgspec.convert(raw, dict[str, Price])
    except (yaml.YAMLError, msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{name} is not a price table: {error}", remedy=remedy) from error
    for model, price in prices.items():
        if not all(0 <= usd < float("inf") for usd in (price.prompt, price.completion, price.cached or 0.0)):
            raise ConfigError(f"{name}: a price of '{model}' is negative or not finite", remedy=remedy)
    return prices


class Call(NamedTuple):
    """Replies, extractions or verdicts that were paid for together: one, or the candidates of one request.

    Attributes:
        attempts: requests sent, retries included.
        received: how many of them came.
        billing: from the cache no request was sent, whatever `attempts` it once took.
    """

    role: Role
    usage: Usage | None
    attempts: int
    received: int = 1
    billing: Billing = "list"


def calls_of(conversation: Conversation) -> list[Call]:
    """Every reply, unchosen candidates, roll-outs and probes included, and what was asked about each."""
    names = {seat: speaker.name for seat, speaker in conversation.speakers.items()}
    return _calls_of(paid_turns(conversation), names) + _lost(conversation.failure)


def paid_turns(conversation: Conversation) -> tuple[Turn, ...]:
    """The turns without those that a fork shares with its parent, which were paid for there."""
    return conversation.turns[conversation.parent.turns if conversation.parent else 0 :]


def spent_on(turns: Iterable[Turn], names: Mapping[Seat, Role]) -> tuple[Spent, ...]:
    """What `turns` cost, by role.

    Args:
        names: who holds each seat.
    """
    return _by_role(_calls_of(turns, names))


def _by_role(calls: Iterable[Call]) -> tuple[Spent, ...]:
    alike: dict[tuple[Role, Billing], list[Call]] = {}
    for call in calls:
        alike.setdefault((call.role, call.billing), []).append(call)
    return tuple(
        Spent(
            role=role,
            calls=sum(call.received for call in calls),
            requests=sum(call.attempts for call in calls),
            usage=Usage.total(call.usage or Usage() for call in calls),
            billing=billing,
        )
        for (role, billing), calls in sorted(alike.items())
    )


def spent_asking(extraction: Extraction) -> tuple[Spent, ...]:
    """What an extraction cost."""
    return _by_role(_extraction(extraction))


def _calls_of(turns: Iterable[Turn], names: Mapping[Seat, Role]) -> list[Call]:
    calls: list[Call] = []
    for turn in turns:
        role = names[turn.seat]
        if turn.attempts:  # all draws together; the usage of a reply is a part of that
            calls.append(Call(role, turn.usage, turn.attempts, len(turn.replies), turn.reply.billing))
        for reply in turn.replies:
            if not turn.attempts:
                calls.append(Call(role, reply.usage, reply.attempts, billing=reply.billing))
            calls += asked_about(reply)
            for rollout in reply.rollouts:
                calls += [*map(_call, rollout.spent), *_lost(rollout.failure)]
        if turn.probe is not None:
            calls += probe_calls(turn.probe, role)
    return calls


def asked_about(reply: Reply) -> list[Call]:
    """What was paid to find its belief and its grade, by models."""
    judged = reply.judgement
    calls = _extraction(reply.extraction)
    if judged is not None and judged.attempts:
        calls.append(Call(JUDGE, judged.usage, judged.attempts, billing=judged.billing))
    return calls


def _extraction(asked: Extraction) -> list[Call]:
    paid = asked.by == "model" and (asked.attempts or asked.usage)
    return [Call(EXTRACTOR, asked.usage, asked.attempts, billing=asked.billing)] if paid else []


def probe_calls(probe: Probe, role: Role) -> list[Call]:
    """What was paid to ask off the record: the reply, and what was asked about it."""
    reply = probe.reply
    return [Call(role, reply.usage, reply.attempts, billing=reply.billing), *asked_about(reply)]


def _lost(failure: Failure | None) -> list[Call]:
    """What the turn that failed had cost."""
    return [] if failure is None else [*map(_call, failure.spent)]


def _call(spent: Spent) -> Call:
    return Call(spent.role, spent.usage, spent.requests, spent.calls, spent.billing)


def tokens_of(calls: Iterable[Call]) -> Tokens:
    """All tokens of some calls; NaN where the server did not count those of one.

    Where it does not report cached tokens none are assumed, so the price is an upper bound. Reasoning tokens
    are part of the completion tokens.
    """
    prompt = cached = completion = 0.0
    for call in calls:  # of every call of a run: no record is made of each
        usage = call.usage
        if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
            return UNKNOWN_TOKENS
        prompt += usage.prompt_tokens
        completion += usage.completion_tokens
        if usage.cached_tokens:
            cached += min(usage.cached_tokens, usage.prompt_tokens)
    return Tokens(prompt, cached, completion)


def billed_of(calls: Iterable[Call]) -> Tokens:
    """The tokens of some calls as they are billed: as many as would cost the same at the list price."""
    prompt = cached = completion = 0.0
    for call in calls:
        share = SHARE_BILLED[call.billing]
        counted = counted_in(call.usage) if share else NO_TOKENS
        if counted is None:
            return UNKNOWN_TOKENS
        prompt += share * counted.prompt
        cached += share * counted.cached
        completion += share * counted.completion
    return Tokens(prompt, cached, completion)


def counted_in(usage: Usage | None) -> Tokens | None:
    """The tokens that a server counted; None where it did not count the prompt's or the completion's."""
    if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.prompt_tokens)
    return Tokens(usage.prompt_tokens, cached, usage.completion_tokens)


class RoleUsage(Record, frozen=True, omit_defaults=False):
    """What one role used in a run, failed conversations included.

    Attributes:
        requests: sent, retries included.
        calls: replies, extractions or verdicts received.
        num_uncounted: calls for which the server reported no tokens; they are missing from the sums.
        from_cache: calls that the response cache answered, without a request; their tokens, which are among
            the sums, are `free_tokens`.
        batched: calls that a provider's batch answered.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    requests: int = 0
    calls: int = 0
    num_uncounted: int = 0
    from_cache: int = 0
    batched: int = 0
    free_tokens: int = 0


class UsageCounter:
    """Adds up calls by role."""

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, int]] = {}

    @property
    def sums(self) -> dict[str, dict[str, int]]:
        """The sums so far, as plain numbers."""
        return self._sums

    def merge(self, sums: Mapping[str, Mapping[str, int]]) -> None:
        """Add the sums of another counter."""
        for role, more in sums.items():
            mine = self._sums.setdefault(role, dict.fromkeys(RoleUsage.__struct_fields__, 0))
            for name, count in more.items():
                mine[name] += count

    def add(self, calls: Iterable[Call]) -> None:
        for role, usage, attempts, received, billing in calls:
            sums = self._sums.get(role)
            if sums is None:
                sums = self._sums[role] = dict.fromkeys(RoleUsage.__struct_fields__, 0)
            sums["calls"] += received
            if billing != "cache":
                sums["requests"] += attempts
            if usage is None or usage.prompt_tokens is None or usage.completion_tokens is None:
                sums["num_uncounted"] += received
            if usage is not None:
                _add_tokens(sums, usage)
            if billing != "list":
                _add_billing(sums, billing, received, usage)

    def by_role(self) -> dict[str, RoleUsage]:
        """The sums so far; a role that made no call is absent."""
        return {role: msgspec.convert(sums, RoleUsage) for role, sums in sorted(self._sums.items())}


def _add_billing(sums: dict[str, int], billing: Billing, received: int, usage: Usage | None) -> None:
    if billing == "batch":
        sums["batched"] += received
        return
    sums["from_cache"] += received
    if usage is not None:
        sums["free_tokens"] += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)


def _add_tokens(sums: dict[str, int], usage: Usage) -> None:
    sums["prompt_tokens"] += usage.prompt_tokens or 0
    sums["completion_tokens"] += usage.completion_tokens or 0
    sums["reasoning_tokens"] += usage.reasoning_tokens or 0
    sums["cached_tokens"] += usage.cached_tokens or 0
