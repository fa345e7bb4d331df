"""Who serves a checkpoint while steps need it: this process, a running endpoint, a server, or a pool."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

from coral.cluster.config import PoolConfig
from coral.errors import ConfigError, UserError
from coral.improvement import pools
from coral.improvement.config import ServeConfig
from coral.models.config import ModelConfig
from coral.serving.launch import fill, free_port, run_supervised, running, tail
from coral.store.checkpoints import model_fingerprint


class Checkpoint(NamedTuple):
    """A model of the loop.

    Attributes:
        name: such as start or pair-dpo-1.
        path: its folder, or a name on the hub.
    """

    name: str
    path: str


class Servers:
    """Serves the checkpoints of one step after the other: what the next step needs, too, stays up.

    An async context manager; at its end nothing that it started is left running.
    """

    def __init__(
        self,
        config: ServeConfig,
        folder: Path,
        *,
        stopping: Callable[[], bool] = lambda: False,
        say: Callable[[str], object] = lambda _line: None,
    ) -> None:
        """Start nothing.

        Args:
            folder: for logs and pools.
            stopping: whether the user wants to stop; asked while a server starts.
            say: told what is waited for.
        """
        self._config, self._folder, self._stopping, self._say = config, folder, stopping, say
        self._open: dict[Checkpoint, tuple[dict[str, Any], AsyncExitStack]] = {}
        self._left = pools.left_behind(folder) if config.kind == "cluster" else set()

    async def __aenter__(self) -> Servers:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._end(tuple(self._open), *failure)
        await self._end_left(set())

    async def at(self, checkpoints: Sequence[Checkpoint]) -> dict[Checkpoint, dict[str, Any]]:
        """Serve these checkpoints and no others; returns the agent options that reach them.

        Raises:
            Interrupted: the user wants to stop.
            UserError: a server did not start in time, or ended; says what it wrote last.
        """
        wanted = tuple(dict.fromkeys(checkpoints))
        await self._end([one for one in self._open if one not in wanted])
        await self._end_left({one.name for one in wanted})
        for checkpoint in wanted:
            if checkpoint not in self._open:
                async with AsyncExitStack() as stack:
                    options = await self._serve(checkpoint, stack)
                    self._open[checkpoint] = options, stack.pop_all()
        return {checkpoint: self._open[checkpoint][0] for checkpoint in wanted}

    async def free(self) -> None:
        """End all of them: what comes needs the devices."""
        await self._end(tuple(self._open))
        await self._end_left(set())

    async def _end(self, checkpoints: Sequence[Checkpoint], *failure: Any) -> None:
        ending = AsyncExitStack()
        for checkpoint in checkpoints:
            ending.push_async_exit(self._open.pop(checkpoint)[1])
        await ending.__aexit__(*(failure or (None, None, None)))

    async def _end_left(self, wanted: Collection[str]) -> None:
        """End the pools that a session which was killed has left; one that is wanted is taken over."""
        left, self._left = self._left - set(wanted), set()
        for name in sorted(left):
            await pools.end(self._pool(Checkpoint(name, "")), self._say)

    def _pool(self, checkpoint: Checkpoint) -> PoolConfig:
        return pools.pool_config(self._config.pool, filled_in(self._config, checkpoint), self._folder)

    async def _serve(self, checkpoint: Checkpoint, stack: AsyncExitStack) -> dict[str, Any]:
        config = self._config
        log = Path(config.log or self._folder / f"server-{checkpoint.name}.log")
        port = free_port() if config.kind == "command" else ""
        names = filled_in(config, checkpoint, port)
        options = places(config, checkpoint, self._folder, port)
        if config.kind == "endpoint" and config.prepare:
            if code := await run_supervised([fill(word, names) for word in config.prepare], log):
                raise UserError(f"serve.prepare ended with {code}:\n{tail(log)}", remedy=f"see {log}")
        elif config.kind == "command":
            command = [fill(word, names) for word in config.words]
            server = running(command, ModelConfig(**options), config, log, stopping=self._stopping)
            await stack.enter_async_context(server)
        elif config.kind == "cluster":
            pool = pools.pooled(self._pool(checkpoint), stopping=self._stopping, say=self._say)
            await stack.enter_async_context(pool)
        if config.kind != "embedded":
            options["revision"] = model_fingerprint(checkpoint.path)
        return options


def places(
    config: ServeConfig, checkpoint: Checkpoint, folder: Path, port: int | str = "PORT"
) -> dict[str, Any]:
    """The agent options that reach a checkpoint; `folder` is that of the pools."""
    if config.kind == "embedded":
        return {"model": checkpoint.path}
    names = filled_in(config, checkpoint, port)
    if config.kind == "cluster":
        return {"model": names["model"], "replicas": str(folder / pools.FOLDER / checkpoint.name)}
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


def check_start(config: ServeConfig, model: str) -> None:
    """Refuse a start that cannot be run.

    Raises:
        ConfigError: the embedded engine needs a folder.
    """
    if config.kind == "embedded" and not Path(model).is_dir():
        raise ConfigError(
            f"there is no checkpoint folder '{model}'",
            remedy="name a folder, or have a server run the model with serve.command or serve.pool",
        )
    if config.kind == "cluster":
        pools.pool_config(config.pool, filled_in(config, Checkpoint("start", model)), Path())
