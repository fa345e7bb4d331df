"""The page in a browser, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from coral.serving.admission import names_of
from coral.serving.listen import refused_bind
from coral.viewer.runs import ViewedRun
from coral.viewer.server import Form, ViewServer


async def serve(
    runs: list[ViewedRun],
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    forms: Sequence[Form] = (),
    screen: str = "",
    tokenizer: Path | None = None,
) -> None:
    """Show runs, or ask people for something, until SIGTERM or Ctrl-C.

    Args:
        host: address to bind.
        port: port to bind, 0 for a free one.
        on_ready: called with the page's address as soon as it answers.
        forms: what people are asked for, or choose from.
        screen: which of the page's screens the address opens, such as "compare".
        tokenizer: folder of the model that training rows are for; by default that of who speaks.

    Raises:
        ConfigError: the address cannot be bound.
    """
    server = ViewServer(runs, forms=forms, allowed_hosts=names_of(host), tokenizer=tokenizer)
    async with listening(server, host, port) as taken:
        server.start()
        shown = f"[{host}]" if ":" in host else host
        on_ready(f"http://{shown}:{taken}/?token={server.token}{f'#/{screen}' if screen else ''}")
        await _until_signal()
        await server.close()


@asynccontextmanager
async def listening(server: ViewServer, host: str, port: int) -> AsyncIterator[int]:
    """Answer requests while the context is open; yields the port.

    Raises:
        ConfigError: the address cannot be bound.
    """
    runner = web.AppRunner(server.app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except (OSError, UnicodeError) as error:
            raise refused_bind(host, port, error) from None
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def _until_signal() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
