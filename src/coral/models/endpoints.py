"""The endpoints of one model: who answers a conversation, and who is set aside for a while."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SHUT_RDWR, socket
from weakref import WeakSet

from yarl import URL

from coral.models.limits import AdaptiveLimit

FAILURES_UNTIL_SET_ASIDE = 3
"""Failures in a row after which an endpoint is left alone for a while."""

FIRST_REST_S = 5.0
"""How long it is left alone at first; doubled from rest to rest up to LONGEST_REST_S."""

LONGEST_REST_S = 60.0

FAILOVERS_AT_ONCE = 2
"""Endpoints tried one right after the other. If these fail, too, it is an outage, and the request pauses."""


class Health:
    """Whether a server answers at present. After a rest, a single request finds out.

    Attributes:
        answers: how often it has answered so far, refusals of its own included.
    """

    def __init__(
        self, *, first_rest_s: float = FIRST_REST_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first_rest_s = first_rest_s
        self._clock = clock
        self.answers = 0
        self._failures = 0
        self._rests = 0
        self._resting_until = 0.0
        self._probing = False

    @property
    def resting(self) -> bool:
        """Whether the server is set aside now."""
        return self._rests > 0 and self._clock() < self._resting_until

    def doublings(self, retry: int) -> int:
        """How often the pause before retry number `retry` has doubled.

        At every retry while the server answers nobody; at every second one while it answers others, since the
        fault is then a stray one and a long pause would only hold up one conversation.
        """
        return max(retry // 2, min(retry, self._failures))

    def note_success(self) -> None:
        """The server answered: all is forgiven."""
        self.answers += 1
        self._failures = 0
        self._rests = 0
        self._probing = False

    def note_failure(self) -> None:
        """The server did not answer, or with a fault of its own."""
        self._failures += 1
        if self._probing or (self._failures >= FAILURES_UNTIL_SET_ASIDE and not self.resting):
            self._probing = False
            self._rests += 1
            self._resting_until = self._clock() + self._rest_s()

    def note_probe(self) -> None:
        """A request is about to be sent: if it is the first after a rest, the others stay away meanwhile."""
        if self._rests > 0 and not self.resting:
            self._probing = True
            self._resting_until = self._clock() + self._rest_s()

    def _rest_s(self) -> float:
        return float(min(LONGEST_REST_S, self._first_rest_s * 2.0 ** (self._rests - 1)))


@dataclass(frozen=True, kw_only=True, eq=False)
class Server:
    """One address (scheme, host, port) with its limit and health, shared by all models served there.

    Attributes:
        sockets: of the connections to it.
    """

    origin: str
    limit: AdaptiveLimit
    health: Health = field(default_factory=Health)
    sockets: WeakSet[socket] = field(default_factory=WeakSet, repr=False)

    def hang_up(self) -> None:
        """End all connections at once: whoever waits for an answer gets a fault instead."""
        for each in list(self.sockets):
            with suppress(OSError):
                each.shutdown(SHUT_RDWR)


@dataclass(kw_only=True, eq=False)
class Endpoint:
    """Where the completions of one model are posted, and the proxy on the way there (None: directly).

    Attributes:
        proxy: without user and password, so that no message can show them.
        proxy_login: the header that carries them.
        closed: its replica takes no new requests, and those that wait for a place go elsewhere.
    """

    url: URL
    server: Server
    proxy: URL | None = None
    proxy_login: Mapping[str, str] = field(default_factory=dict, repr=False)
    closed: bool = False

    def headers(self, own: Mapping[str, str]) -> Mapping[str, str]:
        """The headers of a request. A proxy reads its login among them, unless it is asked for a tunnel."""
        return {**own, **self.proxy_login} if self.proxy_login and self.url.scheme == "http" else own


class Route:
    """The endpoints of one request in the order of preference, with those that already failed it.

    Conversations are spread by rendezvous hashing (Thaler and Ravishankar, 1998): all turns of one meet the
    same endpoint, whose prefix cache is warm, and if an endpoint drops out only its own conversations move.
    """

    def __init__(self, endpoints: Sequence[Endpoint], conversation_id: str | None = None) -> None:
        """Without a conversation the endpoints are in the order of preference already."""
        is_ranked = conversation_id is None or len(endpoints) == 1
        self._order = endpoints if is_ranked else _rank(endpoints, conversation_id or "")
        self._failed: tuple[Endpoint, ...] = ()

    def pick(self) -> Endpoint:
        """The best endpoint that did not fail yet; a resting one only if there is no other."""
        if len(self._order) == 1:
            return self._order[0]
        fresh = [endpoint for endpoint in self._order if endpoint not in self._failed] or list(self._order)
        awake = (endpoint for endpoint in fresh if not endpoint.server.health.resting)
        return next(awake, fresh[0])

    def note_failure(self, endpoint: Endpoint) -> bool:
        """Remember a failure of `endpoint`; whether another one is to be tried at once, without a pause."""
        self._failed = (*self._failed, endpoint)
        if any(e not in self._failed and not e.server.health.resting for e in self._order):
            return len(self._failed) <= FAILOVERS_AT_ONCE
        self._failed = ()
        return False


def _rank(endpoints: Sequence[Endpoint], conversation_id: str) -> list[Endpoint]:
    if not conversation_id:
        return sorted(endpoints, key=lambda endpoint: endpoint.server.limit.in_flight)
    key = conversation_id.encode()
    return sorted(endpoints, key=lambda endpoint: _score(key, endpoint), reverse=True)


def _score(key: bytes, endpoint: Endpoint) -> bytes:
    return hashlib.blake2b(key + b"\0" + str(endpoint.url).encode(), digest_size=8).digest()
