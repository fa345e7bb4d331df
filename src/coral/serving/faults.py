"""A plan of faults: what a server does wrong on purpose, so that clients can be shown to survive it.

A plan is a list such as `429:0.05,drop:0.01,outage:5@30`. `KIND:RATE` spoils that share of the chat
completions. The choice follows from the seed and the request's number alone, so the n-th request
meets the same fate in every run. `outage:SECONDS@START` answers 503 to everything for SECONDS,
beginning START seconds after the first request.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec

from coral.errors import ConfigError
from coral.serving.wire import render_error

STATUS_FAULTS: dict[str, tuple[int, dict[str, str], str, str | None]] = {
    "429": (429, {}, "rate limit reached (injected fault)", "rate_limit_exceeded"),
    "retry_after": (429, {"Retry-After": "1"}, "rate limit reached (injected fault)", "rate_limit_exceeded"),
    "500": (500, {}, "internal error (injected fault)", None),
    "503": (503, {}, "overloaded (injected fault)", None),
    "context": (400, {}, "maximum context length exceeded (injected fault)", "context_length_exceeded"),
}
"""Refusals: HTTP status, headers, message, OpenAI error code."""

CONNECTION_FAULTS = {
    "drop": "closes the connection without an answer",
    "stall": "takes the request and never answers",
}

BODY_FAULTS = {
    "empty": "the reply's text is empty",
    "null": "the reply's content is null",
    "length": "the reply ends in the middle, with finish_reason length",
    "filter": "the reply is withheld, with finish_reason content_filter",
    "few": "one choice fewer than asked for",
    "cut_json": "the body ends in the middle of the JSON",
    "html": "an HTML page with status 200",
}
"""Faults inside a reply with status 200. A streamed reply does not meet them."""

KINDS = (*STATUS_FAULTS, *CONNECTION_FAULTS, *BODY_FAULTS)


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds without service, `start_s` after the first request."""

    start_s: float
    seconds: float

    def covers(self, elapsed_s: float) -> bool:
        """Whether the outage is on, `elapsed_s` after the first request."""
        return self.start_s <= elapsed_s < self.start_s + self.seconds


class FaultPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which share of the requests meets which fault."""

    rates: tuple[tuple[str, float], ...] = ()
    outages: tuple[Outage, ...] = ()
    seed: int = 0

    def pick(self, number: int) -> str | None:
        """The fault that request `number` meets, None for most."""
        draw = random.Random(f"{self.seed}:{number}").random()  # noqa: S311 - repeatable on purpose
        for kind, rate in self.rates:
            if draw < rate:
                return kind
            draw -= rate
        return None

    def is_out(self, elapsed_s: float) -> bool:
        """Whether the service is out, `elapsed_s` after the first request."""
        return any(outage.covers(elapsed_s) for outage in self.outages)


def parse_faults(text: str, *, seed: int = 0) -> FaultPlan:
    """Read a plan such as `429:0.05,stall:0.005,outage:5@30`; an empty text is a plan without faults.

    Raises:
        ConfigError: an unknown kind, a rate outside of 0..1, rates that sum to more than 1.
    """
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    rates = tuple(_rate(entry) for entry in entries if not entry.startswith("outage:"))
    outages = tuple(_outage(entry) for entry in entries if entry.startswith("outage:"))
    if sum(rate for _, rate in rates) > 1 + 1e-9:
        raise ConfigError("the rates of the fault plan sum to more than 1", remedy="lower some of the rates")
    return FaultPlan(rates=rates, outages=outages, seed=seed)


def _rate(entry: str) -> tuple[str, float]:
    kind, _, value = entry.partition(":")
    if kind not in KINDS:
        raise ConfigError(f"no fault is called '{kind}'", remedy=f"choose from {', '.join(KINDS)}, outage")
    rate = _number(value, entry)
    if rate > 1:
        raise ConfigError(f"'{entry}': a rate lies between 0 and 1", remedy="write it like 429:0.05")
    return kind, rate


def _outage(entry: str) -> Outage:
    seconds, at, start = entry.removeprefix("outage:").partition("@")
    return Outage(seconds=_number(seconds, entry), start_s=_number(start, entry) if at else 0.0)


def _number(text: str, entry: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ConfigError(
            f"'{entry}' is not a fault: '{text}' is not a number of 0 or more",
            remedy="write faults like 429:0.05 or outage:5@30, separated by commas",
        )
    return value


def refuse(kind: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    """Status, headers and OpenAI error body of one of `STATUS_FAULTS`."""
    status, headers, message, code = STATUS_FAULTS[kind]
    types = {429: "rate_limit_error", 400: "invalid_request_error"}
    return status, headers, render_error(message, code=code, kind=types.get(status, "server_error"))


def spoil(kind: str, body: dict[str, Any]) -> tuple[bytes, str]:
    """A completion's body with one of `BODY_FAULTS` in it, and its content type."""
    if kind == "html":
        return b"<!doctype html><title>Bad gateway</title>", "text/html"
    if kind == "cut_json":
        whole = msgspec.json.encode(body)
        return whole[: len(whole) // 2], "application/json"
    if kind == "few":
        return msgspec.json.encode({**body, "choices": body["choices"][:-1]}), "application/json"
    choices = [_spoil_choice(choice, *_CHOICE_FAULTS[kind]) for choice in body["choices"]]
    return msgspec.json.encode({**body, "choices": choices}), "application/json"


def _spoil_choice(
    choice: dict[str, Any], content: Callable[[str], str | None], finish_reason: str
) -> dict[str, Any]:
    message = {**choice["message"], "content": content(choice["message"]["content"])}
    return {**choice, "message": message, "finish_reason": finish_reason}


_CHOICE_FAULTS: dict[str, tuple[Callable[[str], str | None], str]] = {
    "empty": (lambda _: "", "stop"),
    "null": (lambda _: None, "stop"),
    "length": (lambda text: text[: len(text) // 2], "length"),
    "filter": (lambda _: "", "content_filter"),
}
