"""Several candidates from a model that gives one at a time."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import msgspec

from coral.models.protocol import Generation, Request
from coral.models.together import all_of
from coral.models.wire import SEED_STRIDE
from coral.types import Usage


async def drawn_singly(request: Request, draw: Callable[[Request], Awaitable[Generation]]) -> Generation:
    """The `n` candidates of `request`, asked for at once with seeds of their own. Each is kept as it comes.

    Args:
        draw: answers a request for one candidate.

    Raises:
        ModelError: one of them could not be drawn; the others have arrived.
    """
    if request.n == 1:
        return await draw(request)
    parts = request.parts
    started = time.monotonic()

    async def one(index: int) -> Generation:
        kept = parts.find(str(index)) if parts is not None else None
        if kept is not None:
            return kept
        seed = None if request.seed is None else request.seed + index * SEED_STRIDE
        drawn = await draw(msgspec.structs.replace(request, n=1, seed=seed, parts=None))
        if parts is not None:
            parts.keep(str(index), drawn)
        return drawn

    drawn = await all_of(one(index) for index in range(request.n))
    return Generation(
        candidates=tuple(generation.candidates[0] for generation in drawn),
        usage=Usage.total(generation.usage for generation in drawn),
        latency_s=max(time.monotonic() - started, *(generation.latency_s for generation in drawn)),
        attempts=sum(generation.attempts for generation in drawn),
    )
