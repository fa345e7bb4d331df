"""What a pool of replicas brings and costs: throughput of N against one, CPU per request, and the longest
time without an answer while one replica leaves and one joins.

    python benchmarks/replicas.py [--replicas 64] [--delay_s 1] [--connections 4] [--seconds 20]

All replicas are ports of one other process that answers with the same bytes after a delay; their records are
written by this one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from itertools import count, pairwise
from multiprocessing.connection import Connection
from pathlib import Path

import uvloop

from client import Answering
from coral.models.client import ServedModel, build_model
from coral.models.config import ModelConfig
from coral.models.connections import Stopped
from coral.models.crew import Crew
from coral.models.protocol import Request
from coral.types import Message, Role

BEAT_S = 1.0


def serve(delay_s: float, replicas: int, ready: Connection) -> None:
    """Listen on as many ports as there are replicas, until the process is ended."""

    async def forever() -> None:
        Answering.delay_s = delay_s
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(Answering, "127.0.0.1", 0, backlog=512) for _ in range(replicas)]
        ready.send([server.sockets[0].getsockname()[1] for server in servers])
        await asyncio.Event().wait()

    uvloop.run(forever())


async def beat(folder: Path, ports: list[int]) -> None:
    """Keep the records of these replicas beating."""
    for number in count(1):
        for port in ports:
            record = {
                "state": "ready",
                "beat": number,
                "url": f"http://127.0.0.1:{port}/v1",
                "in_flight": 0.0,
            }
            partial = folder / f".{port}"
            partial.write_text(json.dumps(record))
            partial.replace(folder / f"{port}.json")
        for path in folder.glob("*.json"):
            if int(path.stem) not in ports:
                path.unlink()
        await asyncio.sleep(BEAT_S)


async def load(model: ServedModel, seconds: float) -> tuple[list[float], float]:
    """Send requests for so long; returns when each was answered, and the CPU per request in seconds."""
    sampling, numbers = ModelConfig(model="m").sampling(), count()
    messages = (Message(Role.USER, "what is this about, and why? " * 14),)
    crew = Crew([model], otherwise=1)
    done: list[float] = []
    end = time.perf_counter() + seconds

    async def work() -> None:
        conversation = f"c{next(numbers)}"
        while crew.has_room and time.perf_counter() < end:
            try:
                await model.generate(
                    Request(messages=messages, sampling=sampling, seed=1, conversation_id=conversation)
                )
            except Stopped:
                return
            done.append(time.perf_counter())

    cpu = time.process_time()
    await crew.work(work, most=1_000_000)
    return done, (time.process_time() - cpu) / len(done)


async def measure(ports: list[int], options: argparse.Namespace) -> None:
    """Print the figures."""

    def rate(done: list[float]) -> float:
        # Answers come in waves: count them over whole ones.
        window = options.seconds / 2 // options.delay_s * options.delay_s
        return sum(moment > done[-1] - window for moment in done) / window

    def open_model(**place: str | tuple[str, ...]) -> ServedModel:
        return build_model(ModelConfig(model="m", max_connections=options.connections, **place))

    with tempfile.TemporaryDirectory() as name:
        folder, there = Path(name), ports[:-1]
        beating = asyncio.create_task(beat(folder, there))
        async with open_model(base_url=f"http://127.0.0.1:{ports[0]}/v1") as model:
            one = rate((await load(model, options.seconds))[0])
        addresses = tuple(f"http://127.0.0.1:{port}/v1" for port in there)
        async with open_model(base_url=addresses) as model:
            _, fixed_cpu = await load(model, options.seconds)
        async with open_model(replicas=name) as model:
            done, cpu = await load(model, options.seconds)
        share = rate(done) / (one * len(there))
        print(
            f"1 replica {one:.1f} requests/s, {len(there)} replicas {rate(done):.1f}: {share:.1%} of linear"
        )
        print(f"client CPU per request: {fixed_cpu * 1e6:.0f} us by addresses, {cpu * 1e6:.0f} us by roster")
        asyncio.get_running_loop().call_later(options.seconds / 3, there.pop)
        asyncio.get_running_loop().call_later(options.seconds * 2 / 3, there.append, ports[-1])
        async with open_model(replicas=name) as model:
            done, _ = await load(model, options.seconds)
        gap = max(later - earlier for earlier, later in pairwise(done))
        print(f"one replica leaves, one joins: longest time without an answer {gap:.2f} s")
        beating.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=64)
    parser.add_argument("--delay_s", type=float, default=1.0)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    receiving, sending = multiprocessing.Pipe(duplex=False)
    arguments = (options.delay_s, options.replicas + 1, sending)
    server = multiprocessing.Process(target=serve, args=arguments, daemon=True)
    server.start()
    uvloop.run(measure(receiving.recv(), options))
    server.terminate()


if __name__ == "__main__":
    main()
