"""As many workers as the servers of a run take requests, more or fewer as replicas come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from coral.models.client import ServedModel

LOOK_EVERY_S = 1.0
"""Between two looks how many requests the replicas take."""


AT_ONCE_BY_BATCH = 50_000
"""Workers where a model is asked by batches, which hold no connection: as many as one batch may hold."""


class Crew:
    """Workers that each do one piece of work after the other.

    Args:
        models: those behind a server.
        otherwise: how many workers there are where no model is.
    """

    def __init__(self, models: Sequence[ServedModel], *, otherwise: int) -> None:
        self._models = models
        self._otherwise = otherwise
        self._busy = 0

    @property
    def width(self) -> int:
        """How many workers there are to be: one per request that all servers take at once."""
        if not self._models:
            return self._otherwise
        if any(model.billing == "batch" for model in self._models):
            return AT_ONCE_BY_BATCH
        servers = {endpoint.server for model in self._models for endpoint in model.endpoints}
        return max(1, sum(server.limit.ceiling for server in servers))

    @property
    def has_room(self) -> bool:
        """Whether a worker may begin another piece; if not it ends, since there are too many."""
        return self._busy <= self.width

    async def work(self, worker: Callable[[], Awaitable[None]], *, most: int) -> None:
        """Run workers until the last one ends by itself. What they raise is theirs to tell.

        Args:
            worker: works until nothing is left, or until the crew has no room for it.
            most: no more of them are started than this at a time.
        """
        running: set[asyncio.Task[None]] = set()
        look_after_s = LOOK_EVERY_S if any(model.target.replicas for model in self._models) else None
        try:
            while True:
                missing = min(most, self.width) - len(running)
                running |= {asyncio.create_task(self._counted(worker)) for _ in range(missing)}
                ended, running = await asyncio.wait(running, timeout=look_after_s)
                await asyncio.gather(*ended, return_exceptions=True)
                if not running:
                    return
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _counted(self, worker: Callable[[], Awaitable[None]]) -> None:
        self._busy += 1
        try:
            await worker()
        finally:
            self._busy -= 1
