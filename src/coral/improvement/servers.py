"""Who serves a checkpoint while a stage runs: this process, a running endpoint, or a server for the time."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from coral.errors import ConfigError, Unreachable, UserError
from coral.improvement.config import ServeConfig
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.listing import is_listed, list_models

SUPERVISOR = str(Path(__file__).with_name("supervisor.py"))
POLL_S = 0.2
SHOWN_LINES = 15
"""Last lines of a log in an error message."""


class Checkpoint(NamedTuple):
    """A model of the loop.

    Attributes:
        name: such as start or pair-dpo-1.
        path: its folder, or a name on the hub.
    """

    name: str
    path: str


class Stopped(Exception):
    """The loop was told to stop; everything so far is kept."""


@asynccontextmanager
async def serving(
    config: ServeConfig,
    checkpoints: Sequence[Checkpoint],
    logs: Path,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[dict[Checkpoint, dict[str, Any]]]:
    """Serve each checkpoint while the body runs; yields the agent options that reach it.

    Raises:
        Stopped: `stopping` while it waited for a server.
        UserError: a server did not start in time, or ended; says what it wrote last.
    """
    async with AsyncExitStack() as stack:
        served = {}
        for checkpoint in dict.fromkeys(checkpoints):
            served[checkpoint] = await _served(config, checkpoint, logs, stack, stopping)
        yield served


def places(config: ServeConfig, checkpoint: Checkpoint, port: int | str = "PORT") -> dict[str, Any]:
    """The agent options that reach a checkpoint."""
    if config.kind == "embedded":
        return {"model": checkpoint.path}
    names = _names(checkpoint, port)
    return {"model": fill(config.model, names), "base_url": fill(config.base_url, names)}


def fill(text: str, names: Mapping[str, str]) -> str:
    """`text` with {checkpoint}, {name} ... filled in; other braces stay."""
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


async def run_supervised(command: Sequence[str], log: Path) -> int:
    """Run a command to its end, its output in `log`. It ends with this process, however that ends."""
    process = await _start(command, log)
    try:
        return await process.wait()
    finally:
        await _stop(process, within_s=30.0)


def tail(log: Path) -> str:
    """The last lines of a log, for a message."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.is_file() else []
    return "\n".join(f"  {line}" for line in lines[-SHOWN_LINES:])


async def _served(
    config: ServeConfig,
    checkpoint: Checkpoint,
    logs: Path,
    stack: AsyncExitStack,
    stopping: Callable[[], bool],
) -> dict[str, Any]:
    log = logs / f"server-{checkpoint.name}.log"
    if config.kind == "endpoint" and config.prepare:
        command = [fill(part, _names(checkpoint)) for part in config.prepare]
        if code := await run_supervised(command, log):
            raise UserError(f"serve.prepare ended with {code}:\n{tail(log)}", remedy=f"see {log}")
    if config.kind != "command":
        return places(config, checkpoint)
    port = _free_port()
    command = [fill(part, _names(checkpoint, port)) for part in config.command]
    process = await _start(command, log)
    stack.push_async_callback(_stop, process, within_s=config.stop_within_s)
    options = places(config, checkpoint, port)
    await _ready(process, options, config.ready_within_s, log, stopping)
    return options


def _names(checkpoint: Checkpoint, port: int | str = "") -> dict[str, str]:
    return {
        "checkpoint": checkpoint.path,
        "name": checkpoint.name,
        "port": str(port),
        "python": sys.executable,
    }


async def _start(command: Sequence[str], log: Path) -> asyncio.subprocess.Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            SUPERVISOR,
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


async def _stop(process: asyncio.subprocess.Process, *, within_s: float) -> None:
    """SIGTERM, and after `within_s` the supervisor's end."""
    assert process.stdin is not None
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), within_s)
        except asyncio.TimeoutError:
            process.stdin.close()
            await process.wait()
    process.stdin.close()


async def _ready(
    process: asyncio.subprocess.Process,
    options: Mapping[str, Any],
    within_s: float,
    log: Path,
    stopping: Callable[[], bool],
) -> None:
    """Poll until the server lists its model.

    Raises:
        Stopped: `stopping`.
        UserError: it ended, lists other models alone, or the time is over.
    """
    deadline = time.monotonic() + within_s
    wanted = options["model"]
    async with build_model(ModelConfig(**options)) as model:
        while time.monotonic() < deadline:
            if stopping():
                raise Stopped
            if process.returncode is not None:
                raise UserError(
                    f"the server ended with {process.returncode} before it was ready:\n{tail(log)}",
                    remedy=f"mend serve.command; all it wrote is in {log}",
                )
            try:
                listing = await list_models(model, model.endpoints[0], timeout_s=5.0)
            except Unreachable:
                listing = None
            if listing is not None and is_listed(listing, model.target.wire_name):
                return
            if listing is not None and listing.names:
                raise UserError(
                    f"the server does not list '{wanted}', but {', '.join(listing.names)}",
                    remedy="have serve.command name it {name}, or make serve.model the name that it lists",
                )
            await asyncio.sleep(POLL_S)
    raise UserError(
        f"the server does not list '{wanted}' after {within_s:g} s:\n{tail(log)}",
        remedy=f"raise serve.ready_within_s; all it wrote is in {log}",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def check_start(config: ServeConfig, model: str) -> None:
    """Refuse a start that cannot be run.

    Raises:
        ConfigError: the embedded engine needs a folder.
    """
    if config.kind == "embedded" and not Path(model).is_dir():
        raise ConfigError(
            f"there is no checkpoint folder '{model}'",
            remedy="name a folder, or have a server run the model with serve.kind command",
        )
