"""Opening runs, and the page in a browser, until Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from coral.errors import ConfigError
from coral.serving.admission import names_of
from coral.store.folder import RunFolder
from coral.viewer.index import RunIndex
from coral.viewer.judging import Judging
from coral.viewer.server import ViewedRun, ViewServer


def open_runs(paths: Sequence[str | Path]) -> list[ViewedRun]:
    """Open the runs to show, under names that tell them apart.

    Raises:
        UserError: a folder is no run, or cannot be read.
    """
    folders = [Path(path).expanduser() for path in paths]
    names = names_of_runs(folders)
    return [ViewedRun(name, RunIndex(RunFolder(folder))) for name, folder in zip(names, folders, strict=True)]


def names_of_runs(paths: Sequence[str | Path]) -> list[str]:
    """The folders' own names where these tell them apart, else the paths as they were given."""
    own = [Path(path).resolve().name for path in paths]
    return [name if own.count(name) == 1 else str(path) for name, path in zip(own, paths, strict=True)]


async def serve(
    runs: Sequence[ViewedRun],
    *,
    host: str,
    port: int,
    on_ready: Callable[[str], None],
    judging: Judging | None = None,
) -> None:
    """Show runs, or ask for judgements, until SIGTERM or Ctrl-C.

    Args:
        host: address to bind.
        port: port to bind, 0 for a free one.
        on_ready: called with the page's address as soon as it answers.

    Raises:
        ConfigError: the address cannot be bound.
    """
    server = ViewServer(runs, judging=judging, allowed_hosts=names_of(host))
    runner = web.AppRunner(server.app, shutdown_timeout=0.5)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
                remedy="--port 0 takes a free port; --host must be an address of this machine",
            ) from None
        server.start()
        taken = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        on_ready(f"http://{shown}:{taken}/?token={server.token}{'#/judge' if judging else ''}")
        await _until_signal()
        await server.close()
    finally:
        await runner.cleanup()


async def _until_signal() -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
