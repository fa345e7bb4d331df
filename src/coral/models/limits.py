"""How many requests one server gets at a time: as many as it bears.

The limit doubles from round trip to round trip until the server first pushes back, halves then, and from
there on grows by a fixed step a round trip (slow start, then additive increase and multiplicative decrease,
as in TCP: RFC 5681). It grows only while it is used up, so an idle run learns nothing false. A server pushes
back when more than one in eight of the latest answers are refusals: a stray 429 of a server that is not full
costs nothing, whereas halving at each would leave a server that refuses 5% at random nearly idle.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

START = 16
"""Requests in flight before anything is known about a server."""

STEPS_TO_CEILING = 32
"""After a cut, the limit grows by this fraction of the ceiling a round trip."""


TOLERATED_SHARE = 1 / 8
"""Share of refusals that does not yet count as pushing back."""

MEMORY = 1 / 64
"""Weight of one answer in the running share of refusals: nine in a row exceed what is tolerated."""


class AdaptiveLimit:
    """A gate to one server: first come, first served; never closed for good.

    Attributes:
        ceiling: the limit never exceeds it.
        in_flight: requests that hold a place now.
    """

    def __init__(
        self, ceiling: int, *, start: int = START, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.ceiling = ceiling
        self.in_flight = 0
        self._limit = float(min(start, ceiling))
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._slow_start = True
        self._last_cut = float("-inf")
        self._refused_share = 0.0

    @property
    def waiting(self) -> int:
        """Callers that wait for a place."""
        return len(self._waiting)

    @property
    def limit(self) -> int:
        """Requests allowed in flight now, at least 1."""
        return int(self._limit)

    def lower_ceiling(self, ceiling: int) -> None:
        """Allow no more than `ceiling` from now on; a higher value than the present one changes nothing."""
        self.ceiling = min(self.ceiling, ceiling)
        self._limit = min(self._limit, float(self.ceiling))

    async def acquire(self) -> float:
        """Wait for a place, in order of arrival. The result goes to `release` or one of its kin.

        A caller that is cancelled while it waits leaves no trace.
        """
        if self.in_flight < int(self._limit) and not self._waiting:
            self.in_flight += 1
            return self._clock()
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            # Cancelled in the same moment as the place was given: hand it on.
            if place.done() and not place.cancelled():
                self.release()
            raise
        return self._clock()

    def release(self) -> None:
        """Give the place back and learn nothing (an error that says nothing about load)."""
        self.in_flight -= 1
        self._admit()

    def release_answered(self) -> None:
        """Give the place back after an answer: the server bears this load."""
        self._refused_share *= 1.0 - MEMORY
        # More in flight than allowed: sent before the last cut, so it says nothing about the new limit.
        if self.in_flight == int(self._limit) and self._limit < self.ceiling:
            gain = 1.0 if self._slow_start else self.ceiling / STEPS_TO_CEILING / self._limit
            self._limit = min(self._limit + gain, float(self.ceiling))
        self.release()

    def release_overloaded(self, acquired_at: float) -> None:
        """Give the place back after a 429 or a time-out. If these are many, the limit is halved.

        Requests that were already under way at the last cut say nothing new and do not cut again.
        """
        if acquired_at >= self._last_cut:
            self._refused_share += (1.0 - self._refused_share) * MEMORY
            if self._refused_share > TOLERATED_SHARE:
                self._halve()
        self.release()

    def _halve(self) -> None:
        self._last_cut = self._clock()
        self._limit = max(1.0, self._limit / 2)
        self._slow_start = False
        self._refused_share = 0.0

    def _admit(self) -> None:
        while self._waiting and self.in_flight < int(self._limit):
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
