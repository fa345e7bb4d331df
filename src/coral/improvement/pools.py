"""Checkpoints served by pools of replicas: one pool for each, for as long as consecutive steps need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from coral.cluster import pool
from coral.cluster.config import PoolConfig
from coral.errors import ConfigError, Interrupted, UserError
from coral.options import build_config
from coral.serving.launch import fill

FOLDER = "pools"
Say = Callable[[str], object]


def pool_config(options: Mapping[str, Any], names: Mapping[str, str], folder: Path) -> PoolConfig:
    """The pool of a checkpoint.

    Args:
        options: `serve.pool`.
        names: what stands for {checkpoint}, {name} and {model}; {host}, {port} ... are the replica's.
        folder: of the loop; each pool has its own in it.

    Raises:
        ConfigError: an option of the pool cannot be used.
    """
    if taken := [name for name in ("folder", "model") if options.get(name)]:
        raise ConfigError(
            f"serve.pool.{taken[0]} is decided by the loop",
            remedy="leave it out; `serve.model` is the name under which the servers know a checkpoint",
        )
    name = f"{options.get('name') or 'improve'}-{names['name']}"
    known = {one: value for one, value in names.items() if one != "port"}
    filled = {}
    for part in ("server", "setup"):
        given = options.get(part) or ()
        texts = [given] if isinstance(given, str) else given  # one alone, as a pool's own file may have it
        filled[part] = [fill(str(text), known) for text in texts]
    own = {"name": name, "folder": str(folder / FOLDER / names["name"]), "model": names["model"]}
    return build_config(PoolConfig, {**options, **filled, **own}, "serve.pool")


@asynccontextmanager
async def pooled(config: PoolConfig, *, stopping: Callable[[], bool], say: Say) -> AsyncIterator[None]:
    """A pool with a ready replica while the body runs; others may still come. It is drained at the end.

    Waiting in the queue of the place has no time limit, since it is no failure.

    Raises:
        Interrupted: `stopping` while it waited.
        UserError: the place cannot be asked, or no replica will ever be ready; says why.
    """
    now = False
    try:
        say(f"{config.name}: {await asyncio.to_thread(pool.up, config)}")
        pool.save(config)
        await _first_ready(config, stopping, say)
        yield
    except asyncio.CancelledError:
        now = True
        raise
    finally:
        await end(config, say, now=now)


async def end(config: PoolConfig, say: Say, *, now: bool = False) -> None:
    """End a pool, if it is there. Where that cannot be done, say how the user can."""
    if not config.path.is_dir():
        return
    try:
        left = await asyncio.to_thread(pool.down, config, now=now)
        why = f"{', '.join(job.id for job in left)} would not end" if left else ""
    except UserError as error:
        why = str(error)
    if why:
        say(f"{config.name}: {why}\n  -> coral cluster down {config.path}")


def left_behind(folder: Path) -> set[str]:
    """The checkpoints that have a pool, perhaps of an earlier session that was killed."""
    pools = folder / FOLDER
    return {path.name for path in pools.iterdir()} if pools.is_dir() else set()


async def _first_ready(config: PoolConfig, stopping: Callable[[], bool], say: Say) -> None:
    said = ""
    while True:
        if stopping():
            raise Interrupted("the loop was stopped")
        seen = await asyncio.to_thread(pool.look, config)
        if any(one.is_ready for one in seen):
            return
        if not any(one.job is not None and one.state != "failed" for one in seen):
            raise UserError(
                f"no replica of {config.name} is ready or will be{_reasons(seen)}",
                remedy=f"fix serve.pool; `coral cluster logs {config.path}` shows all that the servers wrote",
            )
        states = ", ".join(sorted({one.state for one in seen}))
        line = f"{config.name}: {pool.summary(pool.wanted(config, seen), seen)} ({states})"
        if line != said:
            say(line)
            said = line
        await asyncio.sleep(pool.LOOK_EVERY_S)


def _reasons(seen: Sequence[pool.Seen]) -> str:
    """Why replicas have failed, with the last lines of one log."""
    return next((f":\n{one.record.why}" for one in seen if one.record and one.record.why), "")
