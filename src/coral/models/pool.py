"""Where the requests of one model go: addresses that stay, or replicas that come and go."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.models.endpoints import Endpoint, Route
from coral.models.providers import DNS, Target
from coral.roster import NameRoster, Present, Roster

DEFAULT_CONNECTIONS = 256
"""Most requests in flight to a server where nobody says otherwise."""

READ_EVERY_S = 2.0

WORSE_BY, WORSE_TIMES = 8, 2
"""A conversation leaves its replica, and the cache of its prefix there, only where the load is more than
twice that of the least loaded one, and 8."""

REMEMBERED = 4
"""Homes remembered, as a multiple of the conversations that can be held at once."""


class Pool:
    """The endpoints of a model whose addresses are given.

    Attributes:
        endpoints: those that take new requests.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)

    @property
    def places(self) -> int:
        """Requests that all endpoints together take at once."""
        return sum(endpoint.server.limit.ceiling for endpoint in self.endpoints)

    def route(self, conversation_id: str) -> Route:
        """The endpoints in the order in which a request of this conversation tries them."""
        return Route(self.endpoints, conversation_id)

    async def open(self) -> None:
        """Begin to look who is there."""

    async def close(self) -> None:
        """Look no more."""

    async def wait_ready(self) -> float:
        """Wait until an endpoint takes requests; returns the seconds that it took.

        Raises:
            NobodyReady: it takes too long.
            Stopped: no more requests are to be sent.
        """
        return 0.0

    def describe(self) -> str:
        """Why nobody takes requests, in few words."""
        return "no address is given"


class NobodyReady(Exception):
    """No replica takes requests, for longer than a run waits."""


class EndpointClosed(Exception):
    """An endpoint takes no more requests: one that waited for a place there goes elsewhere."""


@dataclass(slots=True)
class _Home:
    """The replica that a conversation is held with."""

    endpoint: Endpoint
    since: float


class ReplicaPool(Pool):
    """The endpoints of the replicas of a roster.

    A new conversation goes to the replica with the least to do, and stays there until that one ends, rests
    after failures, or has much more to do than another. None begins on a replica that has less time left than
    conversations take.

    Attributes:
        present: who was there at the latest look.
    """

    def __init__(
        self,
        roster: Roster | NameRoster,
        connections: Connections,
        endpoint: Callable[[str], Endpoint],
        *,
        within_s: float,
        note_key: Callable[[str | None], None],
    ) -> None:
        super().__init__(())
        self.present = Present(ready={}, closing=frozenset(), states={}, key=None)
        self._roster, self._connections = roster, connections
        self._make, self._note_key = endpoint, note_key
        self._within_s = within_s
        self._known: dict[str, Endpoint] = {}
        self._others: dict[Endpoint, float] = {}
        self._ends: dict[Endpoint, float] = {}
        self._homes: OrderedDict[str, _Home] = OrderedDict()
        self._conversation_s = 0.0
        self._watching: asyncio.Task[None] | None = None
        self._empty_since = time.monotonic()

    async def open(self) -> None:
        """Look who is there, now and from then on."""
        if self._watching is None:
            self.meet(await asyncio.to_thread(self._roster.read))
            self._empty_since = time.monotonic()
            self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Look no more."""
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            self.meet(await asyncio.to_thread(self._roster.read))

    def meet(self, present: Present) -> None:
        """Send requests to those that are ready, and wait no longer for answers of those that are gone."""
        if present.key != self.present.key:
            self._note_key(present.key)
        self.present = present
        for url in present.ready:
            if url not in self._known:
                self._known[url] = self._make(url)
        for url in [url for url in self._known if url not in present.ready]:
            endpoint = self._known[url]
            if url not in present.closing or not endpoint.server.limit.in_flight:
                del self._known[url]
                self._connections.drop(endpoint)
        endpoints = tuple(self._known[url] for url in present.ready)
        now = time.monotonic()
        for endpoint, record in zip(endpoints, present.ready.values(), strict=True):
            own = endpoint.server.limit.in_flight
            self._others[endpoint] = max(0.0, (record.in_flight or 0.0) - own)
            self._ends[endpoint] = float("inf") if record.seconds_left is None else now + record.seconds_left
        for endpoint in set(self.endpoints) - set(endpoints):
            endpoint.closed = True
            del self._others[endpoint], self._ends[endpoint]
        if self.endpoints and not endpoints:
            self._empty_since = now
        if endpoints != self.endpoints:
            self.endpoints = endpoints

    async def wait_ready(self) -> float:
        """See `Pool`."""
        if self._watching is None:
            raise RuntimeError("the model is not open: use it inside `async with`")
        began = time.monotonic()
        while not self.endpoints:
            if time.monotonic() - self._empty_since > self._within_s:
                raise NobodyReady(f"{self.describe()} in {self._roster.place}")
            await self._connections.pause(0.1)
        return time.monotonic() - began

    def describe(self) -> str:
        """See `Pool`."""
        states = ", ".join(f"{count} {state}" for state, count in sorted(self.present.states.items()))
        return f"no replica is ready ({states or 'none is there'})"

    def route(self, conversation_id: str) -> Route:
        """See `Pool`."""
        order = sorted(self.endpoints, key=self._load)
        if len(order) > 1 and conversation_id:
            home = self._home(conversation_id, order)
            order.remove(home)
            order.insert(0, home)
        return Route(order)

    def _load(self, endpoint: Endpoint) -> float:
        limit = endpoint.server.limit
        return limit.in_flight + limit.waiting + self._others[endpoint]

    def _home(self, conversation_id: str, order: list[Endpoint]) -> Endpoint:
        now = time.monotonic()
        home = self._homes.get(conversation_id)
        if home is None:
            home = self._homes[conversation_id] = _Home(self._newcomers(order, now), now)
            while len(self._homes) > max(4096, REMEMBERED * self.places):
                self._homes.popitem(last=False)
            return home.endpoint
        self._homes.move_to_end(conversation_id)
        self._conversation_s = max(now - home.since, 0.999 * self._conversation_s)
        if not self._is_fine(home.endpoint, self._load(order[0])):
            home.endpoint = order[0]
        return home.endpoint

    def _is_fine(self, endpoint: Endpoint, least: float) -> bool:
        if endpoint not in self._others or endpoint.server.health.resting:
            return False
        return self._load(endpoint) <= WORSE_TIMES * least + WORSE_BY

    def _newcomers(self, order: list[Endpoint], now: float) -> Endpoint:
        """Where a new conversation begins."""
        lasting = (one for one in order if self._ends[one] - now > self._conversation_s)
        return next(lasting, order[0])


def open_pool(
    config: ModelConfig, target: Target, connections: Connections, *, note_key: Callable[[str | None], None]
) -> Pool:
    """The endpoints of a model that is served at `target`.

    Args:
        note_key: called with the key that the replicas of a pool want, as soon as it is known.
    """
    most = config.max_connections or DEFAULT_CONNECTIONS
    place = target.replicas
    if place is None:
        return Pool([connections.endpoint(url, most) for url in target.chat_urls])
    return ReplicaPool(
        NameRoster(place) if place.startswith(DNS) else Roster(Path(place).expanduser()),
        connections,
        lambda url: connections.endpoint(f"{url}/chat/completions", most),
        within_s=config.replicas_within_s,
        note_key=note_key,
    )
