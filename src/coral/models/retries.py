"""When to send a request again: after which failure, and after how long a pause. Who does so now."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

from coral.errors import ModelError, Unreachable

_NOBODY_THERE = frozenset({None, 502, 503, 521, 522, 523})
"""None: the connection could not be made, or broke. The others come from a gateway or a starting server."""


@dataclass(frozen=True, kw_only=True)
class AttemptFailure:
    """Why one sending of a request brought no usable reply.

    Attributes:
        kind: what it becomes if it is final.
        brief: why, in the few words of a progress line.
        retry: whether sending again may help.
        overload: the server wants less traffic.
        endpoint_fault: speaks against this endpoint, so another one is tried first.
        retry_after_s: the pause the server asked for.
        remedy: what the user can do about it; empty where nothing is known to help.
        sent: whether the request may have reached the server; not where no connection could be made.
        words: the server's own, without secrets.
        refused: the request field that the model does not take, by Coral's name of it; `system` is the role.
        too_large: of `max_tokens`: only its value is refused.
        same_seed: the reply was cut while the model thought: it may be drawn again, with more tokens.
    """

    kind: type[ModelError]
    message: str
    brief: str
    status: int | None = None
    retry: bool = False
    overload: bool = False
    endpoint_fault: bool = False
    retry_after_s: float | None = None
    remedy: str = ""
    sent: bool = True
    words: str = ""
    refused: str | None = None
    too_large: bool = False
    same_seed: bool = False

    @property
    def absent(self) -> bool:
        """Whether it looks as if no server stood behind the address at present."""
        return self.kind is Unreachable and not self.overload and self.status in _NOBODY_THERE

    def error(self, attempts: int) -> ModelError:
        """The exception that ends a request after `attempts` sendings."""
        tries = f" (sent {attempts} times)" if attempts > 1 else ""
        return self.kind(
            self.message + tries,
            status=self.status,
            attempts=attempts,
            brief=self.brief,
            remedy=self.remedy,
            retry_after_s=self.retry_after_s,
        )


class RetryState:
    """The requests that had a failure and are to be sent again, or are under way again.

    Attributes:
        latest: the latest failure of all; None where there never was one. Its texts hold no key.
    """

    def __init__(self) -> None:
        self.latest: AttemptFailure | None = None
        self._requests: set[object] = set()

    @property
    def retrying(self) -> int:
        """How many requests that are now."""
        return len(self._requests)

    def note(self, request: object, failure: AttemptFailure) -> None:
        """A request, in whatever stands for it, had a failure."""
        self._requests.add(request)
        self.latest = failure

    def settle(self, request: object) -> None:
        """A request is answered, has failed for good, or was given up."""
        self._requests.discard(request)


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential back-off with full jitter: after n doublings, uniform between 0 and `base_s` * 2^n.

    Full jitter spreads the retries of many clients best; see M. Brooker, "Exponential Backoff And Jitter",
    AWS Architecture Blog, 2015.
    """

    base_s: float
    cap_s: float

    def pause_s(self, doublings: int, key: str, asked_s: float | None = None) -> float:
        """Seconds to wait before the next retry.

        Args:
            doublings: how often the longest pause has doubled; 0 before the first retry.
            key: seeds the jitter, so that it does not depend on the order in which requests finish.
            asked_s: what the server asked for; never waited less than that.
        """
        longest = min(self.cap_s, self.base_s * 2.0 ** min(doublings, 60))
        jitter = random.Random(key).uniform(0.0, longest)  # noqa: S311 - no secret
        return jitter if asked_s is None else asked_s + min(jitter, self.base_s)


class Tries:
    """The sendings of one request: which of them count, and how long to pause before the next.

    Where no connection could be made, nothing was sent, and nothing counts. Of a server that has answered
    before and now answers nobody, failures do not count either: it restarts. Then `total_timeout_s` alone
    bounds how long the request is sent again.

    Attributes:
        failures: how many sendings have failed.
        sent: how often the request may have reached a server without being answered.
    """

    def __init__(self, max_attempts: int, backoff: Backoff, key: str) -> None:
        self.failures = self.sent = 0
        self._left = max_attempts
        self._backoff, self._key = backoff, key
        self._answers: int | None = None
        self._pauses = self._overloads = 0

    def note(self, failure: AttemptFailure, answers: int) -> bool:
        """Count a failure; whether the request may be sent again.

        Args:
            answers: how many requests the model's servers had answered when this was sent again, its siblings
                included; of a first sending, when it failed. Those that were answered meanwhile do not tell:
                the first answers after a restart arrive before the last failures of before it.
        """
        silent = failure.absent and answers == self._answers != 0
        self._answers = answers
        self.failures += 1
        self.sent += failure.sent
        if failure.sent and not silent:
            self._left -= 1
        return failure.retry and self._left > 0

    def pause_s(self, failure: AttemptFailure, doublings: Callable[[int], int]) -> float:
        """Seconds until the next sending.

        Args:
            doublings: how often the pause before a retry has doubled, given how many there were before.
        """
        doubled = self._overloads if failure.overload else doublings(self._pauses)
        self._pauses += 1
        self._overloads += failure.overload
        return self._backoff.pause_s(doubled, f"{self._key}:{self.failures}", failure.retry_after_s)


def parse_retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Seconds a server asks to wait: `retry-after-ms`, or `Retry-After` as seconds or HTTP date (RFC 9110).

    None where it asks for nothing, or for nothing that can be understood.
    """
    milliseconds = _parse_number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    text = headers.get("Retry-After")
    if text is None:
        return None
    now = time.time() if now is None else now
    seconds = parse_duration(text)
    if seconds is not None:
        if seconds >= 1000 * _EARLIEST_TIME:
            seconds /= 1000
        return seconds if seconds < _EARLIEST_TIME else max(0.0, seconds - now)
    for read in (parsedate_to_datetime, _iso):
        try:
            return max(0.0, read(text).timestamp() - now)
        except (TypeError, ValueError, OverflowError):  # the last one: a year, or a zone, of twenty digits
            continue
    return None


def _iso(text: str) -> datetime:
    """A time as ISO 8601 writes it; without a zone it is UTC."""
    then = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    return then if then.tzinfo else then.replace(tzinfo=timezone.utc)


_EARLIEST_TIME = 1e9
"""Some gateways write the time of day in seconds, or milliseconds, since 1970, where a number of seconds to
wait belongs."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(m(?=illi)|ms|[a-z])(illi)?", re.IGNORECASE)
_DURATION = re.compile(
    r"(?:\d+(?:\.\d+)?\s*"
    r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?)(?![a-z])"
    r"(?:[\s,.]|and\b)*)+",
    re.IGNORECASE,
)


def parse_duration(text: str) -> float | None:
    """Seconds of "7", "2.1s", "1m12.5s", "350ms" or "2 hours and 5 minutes"; None where it is no duration."""
    number = _parse_number(text)
    return leading_duration(text) if number is None else number


def leading_duration(text: str) -> float | None:
    """Seconds of the duration that `text` begins with, None where it begins with none."""
    found = _DURATION.match(text.strip())
    if found is None:
        return None
    amounts = _AMOUNT.findall(found.group())
    seconds = sum(float(amount) * _UNITS["ms" if milli else unit.lower()] for amount, unit, milli in amounts)
    return seconds if seconds < float("inf") else None


def _parse_number(text: str | None) -> float | None:
    try:
        number = float(text) if text is not None else -1.0
    except ValueError:
        return None
    return number if 0.0 <= number < float("inf") else None
