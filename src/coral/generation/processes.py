"""`processes: N`: a batch as N shards on this machine, each in a process of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import AsyncExitStack

import msgspec

from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, generate, launched
from coral.processes import Order, Said, retry_state, share, total
from coral.store.shards import shards

COUNTERS = (
    "total", "kept", "answered", "failed", "in_flight", "prompt_tokens", "cached_tokens", "completion_tokens",
    "from_cache", "batched",
)  # fmt: skip
"""Of `Counts`, what a process says of its shard and what all of them add up to."""


async def run(config: GenerateConfig, counts: Counts) -> Counts:
    """Answer the rows in this process or in several. See `generate`.

    Raises:
        CoralError: what ended a process; the others have kept what they had.
    """
    if config.processes == 1:
        return await generate(config, counts)

    def add_up(said: Sequence[Said]) -> None:
        for name in COUNTERS:
            setattr(counts, name, total(said, name))
        counts.retry_state = retry_state(said)

    async with AsyncExitStack() as stack:
        placed = await launched(config, counts, stack)  # one server for all
        orders = [
            Order(kind=GenerateConfig.__name__, shard=str(shard), options=_part(placed, str(shard)))
            for shard in shards(config.processes)
        ]
        said = await share(orders, telling=counts.telling, listen=add_up)
    counts.written = any(one.result and one.result["written"] for one in said)
    counts.price(placed)
    return counts


def _part(config: GenerateConfig, shard: str) -> dict[str, object]:
    """The options of one of the processes."""
    width = max(1, config.max_connections // config.processes)
    part = dataclasses.replace(config, shard=shard, processes=1, max_connections=width)
    options: dict[str, object] = msgspec.to_builtins(part)
    return options
