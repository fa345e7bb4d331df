"""One client's connection: closed if it keeps the server waiting, and answered in JSON whatever it sends."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from coral.serving.wire import render_error

IDLE_S = 75.0
"""Seconds without a request in work after which a connection is closed, whatever trickles in meanwhile."""


class Connection(web.RequestHandler):
    """aiohttp's protocol with a limit on silence.

    Args:
        manager: aiohttp's own, which knows all connections.
        idle_s: seconds that a client gets to send a request's head, and to take a reply.
        max_connections: more are told so and closed.
    """

    def __init__(self, manager: web.Server, *, idle_s: float, max_connections: int, **options: Any) -> None:
        # Bodies are decompressed within a limit of ours; aiohttp would do it as they come.
        super().__init__(manager, keepalive_timeout=idle_s, auto_decompress=False, **options)
        self._open_connections = manager
        self._max_connections = max_connections
        self._idle_s = idle_s
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.rest()
        if len(self._open_connections.connections) > self._max_connections:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.write(_TOO_MANY)
            transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.work()
        super().connection_lost(exc)

    def work(self) -> None:
        """A request is complete: from now on the server is the one who may take its time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def rest(self) -> None:
        """It is the client's turn: to send a request, or to take the reply."""
        self.work()
        self._timer = asyncio.get_running_loop().call_later(self._idle_s, self._close_if_open)

    def _close_if_open(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Leaves out the mistakes of clients: their requests are refused."""
        if not isinstance(options.get("exc_info"), (web.RequestPayloadError, HttpProcessingError)):
            super().log_exception(*args, **options)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """An answer to what is not HTTP, in OpenAI's format."""
        self.log_exception("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the response has been begun")
        first_line = (message or HTTPStatus(status).phrase).partition("\n")[0].rstrip(":")
        kind = "server_error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        text = (
            "the server failed"
            if kind == "server_error"
            else f"this is not a valid HTTP request: {first_line}"
        )
        response = web.json_response(render_error(text, kind=kind), status=status)
        response.force_close()
        return response


def _raw_response(status: HTTPStatus, message: str) -> bytes:
    body = msgspec.json.encode(render_error(message, kind="server_error"))
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_TOO_MANY = _raw_response(HTTPStatus.SERVICE_UNAVAILABLE, "this server has no room for more connections")
