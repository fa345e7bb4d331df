"""What one call of a model has cost so far."""

from __future__ import annotations

import time

from coral.models.protocol import Generation, Request
from coral.types import Usage


class Tally:
    """Attempts, tokens and time of one `generate`.

    Time counts from the first sending, not from the queue before it.

    Attributes:
        attempts: how often a request reached a server.
    """

    __slots__ = ("_kept_s", "_started", "_timeout_s", "_usages", "attempts")

    def __init__(self, timeout_s: float) -> None:
        self.attempts = 0
        self._timeout_s = timeout_s
        self._started: float | None = None
        self._kept_s = 0.0
        self._usages: list[Usage] = []

    def note_start(self, now: float) -> None:
        """A request is sent."""
        if self._started is None:
            self._started = now

    def note_waited(self, seconds: float) -> None:
        """Nobody was there to send it to for so long: that is not the request's time."""
        if self._started is not None:
            self._started += seconds

    def note_answered(self, usage: Usage) -> None:
        """A reply came, usable or not."""
        self._usages.append(usage)

    def note_kept(self, part: Generation) -> None:
        """A part that an earlier session received: it was paid for, and the whole took at least as long."""
        self.attempts += part.attempts
        self._usages.append(part.usage)
        self._kept_s = max(self._kept_s, part.latency_s)

    def usage(self) -> Usage | None:
        """The tokens of all replies; None where none came."""
        return Usage.total(self._usages) if self._usages else None

    def seconds(self) -> float:
        """Seconds since the first sending."""
        return 0.0 if self._started is None else time.monotonic() - self._started

    def latency_s(self) -> float:
        """The seconds that the call is recorded with."""
        return max(self.seconds(), self._kept_s)

    def seconds_left(self) -> float:
        """Seconds until the call is given up."""
        return self._timeout_s - self.seconds()


def part_name(n: int, seed_shift: int) -> str:
    """What tells one response to a request from the others: how many candidates, and from which seed on."""
    return f"{n}@{seed_shift}"


def kept_part(request: Request, n: int, seed_shift: int) -> Generation | None:
    """The response that an earlier session received."""
    return None if request.parts is None else request.parts.find(part_name(n, seed_shift))
