"""Who serves a checkpoint while a stage runs: this process, a running endpoint, or a server for the time."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from coral.errors import ConfigError, UserError
from coral.improvement.config import ServeConfig
from coral.models.config import ModelConfig
from coral.serving.launch import fill, free_port, run_supervised, running, tail


class Checkpoint(NamedTuple):
    """A model of the loop.

    Attributes:
        name: such as start or pair-dpo-1.
        path: its folder, or a name on the hub.
    """

    name: str
    path: str


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
        Interrupted: `stopping` while it waited for a server.
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
    names = filled_in(config, checkpoint, port)
    return {"model": names["model"], "base_url": fill(config.base_url, names)}


def filled_in(config: ServeConfig, checkpoint: Checkpoint, port: int | str = "") -> dict[str, str]:
    """What stands for {checkpoint}, {port} ... in the options of `serve`."""
    names = {
        "checkpoint": checkpoint.path,
        "name": checkpoint.name,
        "port": str(port),
        "python": sys.executable,
    }
    return {**names, "model": fill(config.model, names)}


async def _served(
    config: ServeConfig,
    checkpoint: Checkpoint,
    logs: Path,
    stack: AsyncExitStack,
    stopping: Callable[[], bool],
) -> dict[str, Any]:
    log = Path(config.log or logs / f"server-{checkpoint.name}.log")
    if config.kind == "endpoint" and config.prepare:
        command = [fill(word, filled_in(config, checkpoint)) for word in config.prepare]
        if code := await run_supervised(command, log):
            raise UserError(f"serve.prepare ended with {code}:\n{tail(log)}", remedy=f"see {log}")
    if config.kind != "command":
        return places(config, checkpoint)
    port = free_port()
    command = [fill(word, filled_in(config, checkpoint, port)) for word in config.words]
    options = places(config, checkpoint, port)
    server = running(command, ModelConfig(**options), config, log, stopping=stopping)
    await stack.enter_async_context(server)
    return options


def check_start(config: ServeConfig, model: str) -> None:
    """Refuse a start that cannot be run.

    Raises:
        ConfigError: the embedded engine needs a folder.
    """
    if config.kind == "embedded" and not Path(model).is_dir():
        raise ConfigError(
            f"there is no checkpoint folder '{model}'",
            remedy="name a folder, or have a server run the model with serve.command",
        )
