"""Opens the port, says so, and closes it again without losing a request."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from aiohttp import web

from coral.errors import ConfigError
from coral.serving.app import ChatServer
from coral.serving.connection import IDLE_S, Connection

BACKLOG = 4096
"""Connections the kernel holds until they are accepted: a thousand clients may start at once."""

_RESERVED_FILES = 64
"""Files that a server needs beside its connections."""

_CLOSE_S = 0.5
"""Seconds that a handler gets after the drain, to write out what is done."""


@asynccontextmanager
async def listening(
    server: ChatServer, *, host: str, port: int, idle_s: float = IDLE_S, max_connections: int = 0
) -> AsyncIterator[str]:
    """Listen while the context is open; port 0 takes a free one.

    Args:
        server: what to serve.
        host: address to bind.
        port: port to bind.
        idle_s: seconds after which a connection without a request in work is closed.
        max_connections: more are refused with 503; 0: as many as this process may open files.

    Yields:
        The base URL for clients, such as `http://127.0.0.1:8765/v1`.

    Raises:
        ConfigError: the address cannot be bound.
    """
    loop = asyncio.get_running_loop()
    runner = web.AppRunner(server.app, handler_cancellation=True, shutdown_timeout=_CLOSE_S)
    await runner.setup()
    manager = runner.server
    assert manager is not None
    most = max_connections or max(open_files_limit() - _RESERVED_FILES, 1)

    def connect() -> Connection:
        return Connection(manager, idle_s=idle_s, max_connections=most, loop=loop, access_log=None)

    try:
        listener = await loop.create_server(connect, host, port, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:  # the latter: a host that cannot be a name
        await runner.cleanup()
        raise refused_bind(host, port, error) from error
    try:
        yield _base_url(host, listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        await manager.shutdown(_CLOSE_S)
        await runner.cleanup()


def refused_bind(host: str, port: int, error: OSError | UnicodeError) -> ConfigError:
    """What is said of an address that cannot be bound."""
    number = getattr(error, "errno", None) or 0
    cause = os.strerror(number) if number > 0 else getattr(error, "strerror", None) or error
    return ConfigError(
        f"cannot listen on {host}:{port}: {cause}",
        remedy="--port 0 takes a free port; --host must be an address of this machine",
    )


async def serve_until_signal(
    server: ChatServer, *, host: str, port: int, drain_s: float, on_ready: Callable[[str], None]
) -> bool:
    """Serve until SIGTERM or SIGINT, then drain; a second signal ends the draining, too.

    Args:
        server: what to serve.
        host: address to bind.
        port: port to bind, 0 for a free one.
        drain_s: seconds that requests in flight get to finish.
        on_ready: called with the base URL as soon as connections are accepted.

    Returns:
        Whether every request in flight was finished.
    """
    with _signals() as signals:
        async with listening(server, host=host, port=port) as url:
            on_ready(url)
            await signals.get()
            return await _drain_unless_signalled(server, drain_s, signals)


async def _drain_unless_signalled(server: ChatServer, drain_s: float, signals: asyncio.Queue[int]) -> bool:
    drain = asyncio.ensure_future(server.drain(drain_s))
    second = asyncio.ensure_future(signals.get())
    await asyncio.wait({drain, second}, return_when=asyncio.FIRST_COMPLETED)
    done = drain.done() and drain.result()
    drain.cancel()
    second.cancel()
    return done


def open_files_limit() -> int:
    """How many files and connections this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def raise_open_files_limit(wanted: int = 65536) -> None:
    """Let this process hold more connections than the usual soft limit of 1,024 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return
    with suppress(ValueError, OSError):  # a sandbox may forbid it; then the limit stays as it is
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _signals() -> Iterator[asyncio.Queue[int]]:
    """SIGTERM and SIGINT as items of a queue."""
    received: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, received.put_nowait, number)
    try:
        yield received
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _base_url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"
