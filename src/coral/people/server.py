"""The pages of people: one link per session, and one for who runs the study.

Whatever a page asks for, it sends the token of its link, and is told of that session alone. Safety is as in
the viewer: the same policy for pages, and requests under other names, or from other pages, are refused.
"""

from __future__ import annotations

import json
import secrets
import shlex
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from coral.errors import ConfigError, UserError
from coral.people.host import WebHost
from coral.people.place import Place
from coral.people.sessions import Door, Spell
from coral.serving.admission import HostCheck, check_json_type, names_of
from coral.serving.wire import RequestRefused
from coral.types import encodable
from coral.viewer.pages import HEADERS, TOKEN_HEADER, Pages, page_files
from coral.viewer.wire import answer

POLL_S = 20.0
"""How long a page waits for something new before it asks again."""
LARGEST_BODY = 1_000_000
"""Bytes of a request: of one turn."""
SHARED = ("ask.js", "sent.js", "text.js", "style.css", "icon.svg", "vendor/preact.js")
"""Files of the viewer's page that these pages use, too."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")


class Words(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A turn, as its page sends it."""

    turn: str
    text: str
    spell: Spell


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a request that failed is sent again."""

    again: bool


class Guest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for sessions: one per seat that people have."""


class HandOn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give the conversation of a session to a new one."""

    number: int


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where pages are served.

    Attributes:
        host: address to bind.
        port: port to bind; None: that of the last time, else a free one.
        public: how people reach it, where that is another address; empty: as it is bound.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    public: str = ""

    def __post_init__(self) -> None:
        """Refuse what is no address.

        Raises:
            ConfigError: `public` is none.
        """
        parts = urlsplit(self.public)
        if self.public and (parts.scheme not in {"http", "https"} or not parts.netloc or parts.query):
            raise ConfigError(
                f"'{self.public}' is not the address of a page", remedy="--address https://study.example.org"
            )

    @property
    def is_private(self) -> bool:
        """Whether this machine alone can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def is_plain(self) -> bool:
        """Whether words cross a network that others may read."""
        return not self.is_private and not self.public.startswith("https:")

    def base(self, port: int) -> str:
        """What every link begins with."""
        if self.public:
            return self.public.rstrip("/")
        name = socket.gethostname() if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - a name for it
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class PeopleServer:
    """The application over the sessions of a host.

    Attributes:
        base: what every link begins with.
        token: of who runs the study.
    """

    def __init__(self, host: WebHost, address: Address, token: str) -> None:
        self._host, self._address, self.token = host, address, token
        self.base = ""
        public = urlsplit(address.public)
        self._public = public.netloc
        self._names = HostCheck([*names_of(address.host), *([public.hostname] if public.hostname else [])])
        self.app = web.Application(middlewares=[self._guard], client_max_size=LARGEST_BODY)
        self.app.router.add_routes(Pages(_page(), "person.html").routes())
        self.app.router.add_get("/api/seat", self._seat)
        self.app.router.add_post("/api/seat/next", self._next)
        self.app.router.add_post("/api/seat/say", self._say)
        self.app.router.add_post("/api/seat/again", self._again)
        self.app.router.add_get("/api/people", self._people)
        self.app.router.add_post("/api/people", self._add)
        self.app.router.add_post("/api/people/hand_on", self._hand_on)

    def link(self, token: str) -> str:
        """The link with a token."""
        return f"{self.base}/?token={token}"

    @property
    def own_link(self) -> str:
        """The link of who runs the study."""
        return self.link(self.token)

    # What every request must be ----------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._check_name(request)
            if request.method == "POST":
                check_json_type(request)
                origin = request.headers.get("Origin", "").partition("://")[2]
                if origin not in {request.headers.get("Host", ""), self._public} - {""}:
                    raise RequestRefused(HTTPStatus.FORBIDDEN, "only the page itself may say something")
            response = await handler(request)
        except RequestRefused as refused:
            response = answer({"error": str(refused)}, refused.status)
        except UserError as error:
            response = answer({"error": str(error), "remedy": error.remedy}, HTTPStatus.BAD_REQUEST)
        except web.HTTPRequestEntityTooLarge:
            told = {"error": "that is too long to send at once", "remedy": "send a shorter text"}
            response = answer(told, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except web.HTTPException as error:
            response = answer({"error": error.reason}, error.status)
        response.headers.update(HEADERS)
        return response

    def _check_name(self, request: web.Request) -> None:
        try:
            self._names.check(request)
        except RequestRefused:
            words = "this page is not known under that name: who runs the study gives it with --address"
            raise RequestRefused(HTTPStatus.FORBIDDEN, words) from None

    def _place(self, request: web.Request) -> Place:
        """The session whose token a request has."""
        given = request.headers.get(TOKEN_HEADER, "").encode()
        found = None
        for place in self._host.places:  # all of them, so that the time says nothing
            if secrets.compare_digest(given, place.session.token.encode()):
                found = place
        if found is None:
            raise RequestRefused(
                HTTPStatus.FORBIDDEN,
                "this link is not known here: it may be cut off, or belong to a study that has ended",
            )
        return found

    def _is_own(self, request: web.Request) -> bool:
        given = request.headers.get(TOKEN_HEADER, "").encode()
        return secrets.compare_digest(given, self.token.encode())

    # Handlers ----------------------------------------------------------------------------------------------

    async def _seat(self, request: web.Request) -> web.StreamResponse:
        """The state of a session, as soon as it is another one than the page knows."""
        if self._is_own(request):
            return answer({"phase": "study"})
        place = self._place(request)
        self._host.look(place)
        if request.query.get("version") == self._host.version(place) and not self._host.stopping:
            await place.changed.heard(POLL_S)
            self._host.look(place)
        return answer(self._host.state(place))

    async def _next(self, request: web.Request) -> web.StreamResponse:
        place = self._place(request)
        self._host.look(place)
        self._host.want(place)
        return answer(self._host.state(place))

    async def _say(self, request: web.Request) -> web.StreamResponse:
        place = self._place(request)
        said = await _read(request, Words)
        self._host.say(place, said.turn, said.text, said.spell)
        return answer(self._host.state(place))

    async def _again(self, request: web.Request) -> web.StreamResponse:
        place = self._place(request)
        choice = await _read(request, Choice)
        if place.again is not None and not place.again.done():
            place.again.set_result(choice.again)
        return answer(self._host.state(place))

    async def _people(self, request: web.Request) -> web.StreamResponse:
        self._must_be_own(request)
        sessions = [{**one, "link": self.link(one.pop("token"))} for one in self._host.overview()]
        return answer(
            {
                "sessions": sessions, "left": self._host.left, "plain": self._address.is_plain,
                "reads": f"coral view {shlex.quote(str(self._host.folder))}",
            }
        )  # fmt: skip

    async def _add(self, request: web.Request) -> web.StreamResponse:
        self._must_be_own(request)
        await _read(request, Guest)
        for name in self._host.seats:
            self._host.add(name)
        return await self._people(request)

    async def _hand_on(self, request: web.Request) -> web.StreamResponse:
        self._must_be_own(request)
        self._host.hand_on((await _read(request, HandOn)).number)
        return await self._people(request)

    def _must_be_own(self, request: web.Request) -> None:
        if not self._is_own(request):
            raise RequestRefused(HTTPStatus.FORBIDDEN, "this link is of a person, not of who runs the study")


@asynccontextmanager
async def receiving(
    host: WebHost, address: Address, announce: Callable[[PeopleServer], None]
) -> AsyncIterator[None]:
    """Serve the pages of a host while the context is open.

    Args:
        announce: called as soon as they are there.

    Raises:
        ConfigError: the address cannot be bound.
    """
    before = host.sessions.door
    port = address.port if address.port is not None else (before.port if before else 0)
    server = PeopleServer(host, address, before.token if before else secrets.token_urlsafe(16))
    runner = web.AppRunner(server.app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, address.host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"cannot listen on {address.host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="end what listens there, or give --port another one: links then hold that"
                if port
                else "--host must be an address of this machine",
            ) from None
        taken = runner.addresses[0][1]
        host.sessions.keep_door(Door(taken, server.token))
        server.base = address.base(taken)
        announce(server)
        yield
    finally:
        await runner.cleanup()


async def _read(request: web.Request, kind: type[T]) -> T:
    """The body; half a surrogate pair, which browsers send and no file can hold, becomes U+FFFD."""
    try:
        text = json.dumps(json.loads(await request.read()), ensure_ascii=False)
        return msgspec.json.decode(encodable(text), type=kind)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise UserError(f"what was sent cannot be read: {error}", remedy="reload the page") from None


def _page() -> dict[str, bytes]:
    """The files of the pages, by the names under which they ask for them."""
    of_viewer = page_files()
    return {**{name: of_viewer[name] for name in SHARED}, **page_files("coral.people")}
