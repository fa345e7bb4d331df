"""Which requests are let in: from whom, of what type, how large, how slow.

There is no authentication. A web page that a user of this machine opens must therefore not reach the server:
neither under a name of its own that resolves to this machine (DNS rebinding), nor with a form, which browsers
send across sites without asking.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from fnmatch import fnmatchcase
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from coral.serving.wire import RequestRefused


class HostCheck:
    """Lets in requests to this machine by address, by a name without dots, or by a name that it is known by.

    Args:
        allowed: more names that clients use, or patterns such as "*.cluster.example".
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._allowed = [name.lower().rstrip(".") for name in (*allowed, socket.gethostname())]

    def check(self, request: web.Request) -> None:
        """Refuse a request to another name.

        Raises:
            RequestRefused: 403; names the option that helps.
        """
        name = _host_name(request.headers.get("Host", ""))
        if _cannot_be_foreign(name) or any(fnmatchcase(name, pattern) for pattern in self._allowed):
            return
        message = (
            f"this server is not known as '{name}': it answers to addresses, to localhost, and to names "
            f"without dots; start it with --allowed_hosts {name} if that is its name"
        )
        raise RequestRefused(HTTPStatus.FORBIDDEN, message, code="host_not_allowed")


def names_of(host: str) -> tuple[str, ...]:
    """What clients call a server that is bound to `host`: on a network also this machine's full name."""
    if host in {"localhost", "::1"} or host.startswith("127."):
        return ()
    return (host, socket.gethostname().partition(".")[0] + ".*")


def _host_name(host: str) -> str:
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name.rstrip(".")


def _cannot_be_foreign(name: str) -> bool:
    """No one else can make such a name resolve to this machine in a user's browser."""
    with suppress(ValueError):
        return bool(ipaddress.ip_address(name.partition("%")[0]))
    return "." not in name or name.endswith(".localhost")


def check_json_type(request: web.Request) -> None:
    """Refuse what is not declared as JSON.

    Raises:
        RequestRefused: 415.
    """
    declared = request.headers.get("Content-Type", "")
    kind = declared.partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        message = f"the body's type is '{declared}': send the header 'Content-Type: application/json'"
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


_GZIP_OR_ZLIB = 47
"""zlib's word for: find out by the header."""


class BodyReader:
    """Reads request bodies within limits of size, time and memory.

    Args:
        max_bytes: of one body, decompressed.
        max_total_bytes: of all bodies whose requests are in work.
        within_s: seconds for a whole body.
    """

    def __init__(self, *, max_bytes: int, max_total_bytes: int, within_s: float) -> None:
        self._max_bytes = max_bytes
        self._left = max(max_total_bytes, max_bytes)
        self._within_s = within_s

    @asynccontextmanager
    async def read(self, request: web.Request) -> AsyncIterator[bytes]:
        """The body, whose bytes count while the context is open.

        Raises:
            RequestRefused: too large (413), too slow (408), cut off or badly encoded (400), or without room
                beside those in work (503).
        """
        declared = request.content_length
        if declared is not None and declared > self._max_bytes:
            raise self._too_large()
        held = self._max_bytes if declared is None or "Content-Encoding" in request.headers else declared
        if held > self._left:
            raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "too many large requests are in work")
        self._left -= held
        try:
            raw = await self._receive(request)
            self._left += held - len(raw)
            held = len(raw)
            yield raw
        finally:
            self._left += held

    async def _receive(self, request: web.Request) -> bytes:
        try:
            raw = await asyncio.wait_for(request.read(), self._within_s)
        except asyncio.TimeoutError:
            message = f"the body did not arrive within {self._within_s:g} s"
            raise RequestRefused(HTTPStatus.REQUEST_TIMEOUT, message) from None
        except web.HTTPRequestEntityTooLarge:
            raise self._too_large() from None
        except (HttpProcessingError, web.RequestPayloadError) as error:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST, "the body is cut off, or not chunked rightly"
            ) from error
        encoding = request.headers.get("Content-Encoding", "identity").lower()
        return raw if encoding == "identity" else self._decompressed(raw, encoding)

    def _decompressed(self, raw: bytes, encoding: str) -> bytes:
        """Never more than one byte beyond the limit, however much `raw` would become."""
        if encoding not in {"gzip", "deflate"}:
            message = f"the body's encoding '{encoding}' is not known here: gzip and deflate are"
            raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)
        decoder = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        try:
            body = decoder.decompress(raw, self._max_bytes + 1)
        except zlib.error:
            body = b""
        if len(body) > self._max_bytes:
            raise self._too_large()
        if not decoder.eof or decoder.unused_data:
            message = f"the body is cut off, or not encoded as '{encoding}'"
            raise RequestRefused(HTTPStatus.BAD_REQUEST, message)
        return body

    def _too_large(self) -> RequestRefused:
        message = f"the body has more than {self._max_bytes} bytes, this server's limit (--max_body_mb)"
        return RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
