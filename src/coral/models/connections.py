"""What models share: one HTTP session with its pool, one limit and health record a server, and one end."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import warnings
from base64 import b64encode
from contextvars import ContextVar
from types import TracebackType
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from coral.errors import Notice
from coral.models.endpoints import Endpoint, Server
from coral.models.files import OUT_OF_FILES, raise_file_limit
from coral.models.habits import Adjustments
from coral.models.limits import AdaptiveLimit
from coral.models.retries import RetryState

CONNECT_TIMEOUT_S = 30.0

SILENT_LINK_S = 30
"""A connection whose other end is out of reach for so long is given up. Without that, a request to a machine
that lost its link would wait for all of its time-out."""

_WATCHED = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPALIVE": 10,  # macOS' word for it
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 1000 * SILENT_LINK_S,
}

KEEPALIVE_S = 4.0
"""Idle connections are dropped after this time, before the server does (uvicorn, so vLLM: 5 s): a request on
a connection that closes at the same moment would be lost."""


LARGEST_BODY = 64 * 2**20
"""Bytes of one response, unpacked. No reply is so long: something else answers there."""


CALLED: ContextVar[Server] = ContextVar("CALLED")
"""The server that the present task sends a request to."""


class TooLarge(Exception):
    """A response of more than `LARGEST_BODY`."""


class Stopped(Exception):
    """No more requests are sent. This one is owed: it was neither answered nor did it fail."""


class Connections:
    """Connections to all servers of a run. Enter it once, around everything that sends requests.

    Attributes:
        stopping: no request is sent any more, whether for the first time or again.
        answered: whether any request was ever answered with a completion.
        retry_state: the requests that are sent again, and why.
        adjustments: what was changed for models that refuse what the options say.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.answered = False
        self.retry_state = RetryState()
        self.adjustments = Adjustments()
        self._pauses: set[asyncio.Future[None]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._servers: dict[str, Server] = {}

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        if self._session is None:
            raise RuntimeError("the model is not open: use it inside `async with`")
        return self._session

    def endpoint(self, url: str, max_connections: int) -> Endpoint:
        """The endpoint at `url`; all that have its origin share a server, under their smallest limit."""
        parsed = URL(url)
        origin = str(parsed.origin())
        server = self._servers.get(origin)
        if server is None:
            server = Server(origin=origin, limit=AdaptiveLimit(max_connections))
            self._servers[origin] = server
            self._fit_into_open_files()
        else:
            server.limit.lower_ceiling(max_connections)
        proxy, login = _proxy_for(parsed)
        return Endpoint(url=parsed, server=server, proxy=proxy, proxy_login=login)

    def drop(self, endpoint: Endpoint) -> None:
        """Forget an endpoint whose server is gone, and end its connections."""
        endpoint.closed = True
        self._servers.pop(endpoint.server.origin, None)
        endpoint.server.hang_up()

    def _fit_into_open_files(self) -> None:
        """Lower the ceilings where all servers together may have more connections than there can be files."""
        servers = self._servers.values()
        asked = sum(server.limit.ceiling for server in servers)
        room = raise_file_limit()
        if asked <= room:
            return
        share = max(1, room // len(servers))
        for server in servers:
            server.limit.lower_ceiling(share)
        warnings.warn(
            f"this process may open too few files for {asked} connections: at most {share} per server are "
            "used; `ulimit -n` raises that limit",
            Notice,
            stacklevel=2,
        )

    def stop(self) -> None:
        """Send no more requests, and end all pauses. Requests in flight are still answered.

        Those that wait for a place come to it, at the latest when those in flight end, and give it back.
        """
        self.stopping = True
        for pause in self._pauses:
            _end(pause)

    async def pause(self, seconds: float) -> None:
        """Wait until a request may be sent again.

        Raises:
            Stopped: it may not.
        """
        loop = asyncio.get_running_loop()
        pause = loop.create_future()
        timer = loop.call_later(0.0 if self.stopping else seconds, _end, pause)
        self._pauses.add(pause)
        try:
            await pause
        finally:
            timer.cancel()
            self._pauses.discard(pause)
        if self.stopping:
            raise Stopped

    async def __aenter__(self) -> Connections:
        # The limits decide how many connections there are, so the pool itself has no bound. Cookies and
        # compression cost time on every request and have no use here.
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=60, socket_factory=_watched_socket
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices when its peer is out of reach, and that its server knows."""
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _WATCHED.items():
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    server = CALLED.get(None)
    if server is not None:
        server.sockets.add(made)
    return made


_PLAIN = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")
"""What OpenSSL of several versions says of an answer without encryption."""


def describe_fault(fault: Exception) -> str:
    """Why there was no answer, in few words."""
    if isinstance(fault, aiohttp.ClientConnectorDNSError):
        return "the host name is not known"
    if isinstance(fault, aiohttp.ClientConnectorCertificateError):  # without os_error in older aiohttp
        why = getattr(fault.certificate_error, "verify_message", "") or fault.certificate_error
        return f"its certificate is not accepted ({why})"
    if is_ours(fault):
        return "this process has no files left to open; raise `ulimit -n`, or lower max_connections"
    if isinstance(fault, aiohttp.ClientConnectorError) and isinstance(fault.os_error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(fault, aiohttp.ClientConnectorSSLError):
        reason = str(getattr(fault.os_error, "reason", None) or fault.os_error)
        plain = "; the server speaks http, not https?" if any(word in reason for word in _PLAIN) else ""
        return f"no secure connection ({reason}){plain}"
    if isinstance(fault, asyncio.TimeoutError):
        return "no answer in time"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) or type(fault).__name__


def is_ours(fault: Exception) -> bool:
    """Whether this machine is at fault and no server: no files or no ports are left for a connection."""
    number = fault.errno if isinstance(fault, OSError) else None
    return number in OUT_OF_FILES or number == errno.EADDRNOTAVAIL


def is_unsent(fault: Exception) -> bool:
    """Whether no connection could be made, so that no request was sent."""
    return is_ours(fault) or isinstance(fault, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def is_insecure(fault: Exception) -> bool:
    """Whether there is no TLS to be had: the certificate is refused, or the port speaks something else.

    A connection that merely breaks off while keys are exchanged is an ordinary fault.
    """
    if isinstance(fault, aiohttp.ClientConnectorSSLError):
        broken_off = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        return not isinstance(fault.os_error, broken_off)
    return isinstance(fault, aiohttp.ClientSSLError)


def _end(pause: asyncio.Future[None]) -> None:
    if not pause.done():
        pause.set_result(None)


def _proxy_for(url: URL) -> tuple[URL | None, dict[str, str]]:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY, ...) names for `url`, looked up once; its user
    and password as a header.
    """
    host = url.host or ""
    if host == "localhost" or host.startswith("127.") or host == "::1" or proxy_bypass(host):
        return None, {}
    named = getproxies().get(url.scheme)
    if not named:
        return None, {}
    proxy = URL(named)
    if proxy.user is None and proxy.password is None:
        return proxy, {}
    login = b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode()).decode()
    return proxy.with_user(None), {"Proxy-Authorization": f"Basic {login}"}


async def read_body(response: aiohttp.ClientResponse) -> bytes:
    """The body of a response.

    Raises:
        TooLarge: it is larger than any reply; the connection is closed.
    """
    length = response.content_length
    if length is not None and length <= LARGEST_BODY and "Content-Encoding" not in response.headers:
        return await response.read()
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > LARGEST_BODY:
            response.close()
            raise TooLarge(f"more than {LARGEST_BODY // 2**20} MB")
        parts.append(part)
    response.release()
    return b"".join(parts)
