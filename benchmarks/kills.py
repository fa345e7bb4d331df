"""Runs that are killed: at random moments, and at every single file operation.

    python benchmarks/kills.py [--runs 40] [--kills 3] [--conversations 30]

Each run is killed `--kills` times with SIGKILL at random moments, then left to its end; each file operation
of a small run is met with a kill before it, after it, and, if it is a write, amid it. In the end every run
must hold the ids, beliefs and texts of one that nobody disturbed: the exit code is 1 where one does not.

What is counted are requests that had to be sent again, and of these the ones that the server had answered, so
that their reply was under way or in the client's memory, unread, when the kill came. Sampling from a provider
that takes no `n`: one request a candidate.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

import coral
from coral import tasks
from coral.serving.app import ChatServer
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source

TESTS = Path(__file__).parents[1] / "tests"
DATA = TESTS / "data" / "hi_tom" / "Hi-ToM_data.sample.json"


class Log:
    """What the server saw: each request by its bytes, and which were answered."""

    def __init__(self):
        self.requests, self.answered = Counter(), set()
        self.again = self.again_answered = 0

    @property
    def middleware(self):
        """Notes what passes."""

        @web.middleware
        async def note(request, handler):
            if request.method != "POST":
                return await handler(request)
            key = hashlib.sha256(await request.read()).digest()
            if self.requests[key]:
                self.again += 1
                self.again_answered += key in self.answered
            self.requests[key] += 1
            response = await handler(request)
            self.answered.add(key)
            return response

        return note

    def forget(self):
        """Begin with a new run: its first requests are not those of the last one again."""
        self.requests.clear()
        self.answered.clear()


@asynccontextmanager
async def scripted_server(log, latency_s):
    task = tasks.load("hi_tom")
    knowledge = Knowledge(task, task.problems(Source(data=str(DATA), split="")))
    persona = Persona(accuracy=0.5, stubbornness=0.6, latency_s=latency_s)
    server = ChatServer(serve_scripted(knowledge, persona))
    server.app.middlewares.insert(0, log.middleware)
    async with listening(server, host="127.0.0.1", port=0) as url:
        yield url


class Commands:
    """Runs commands in children that may be killed (see tests/evaluation/dying.py)."""

    async def __aenter__(self):
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            TESTS / "evaluation" / "dying.py",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=2**26,
        )
        return self

    async def __aexit__(self, *_):
        self._process.stdin.close()
        await self._process.wait()

    async def __call__(self, arguments, folder, **kill):
        order = {"arguments": arguments, "folder": str(folder), **kill}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        return json.loads(await self._process.stdout.readline())


def arguments(url, path, conversations, connections):
    flags = {
        "agent.model": "ollama/scripted", "agent.base_url": url, "data": DATA, "output": path,
        "limit": conversations, "samples": 1, "candidates": 3, "max_turns": 6, "max_connections": connections,
    }  # fmt: skip
    parts = (part for name, value in flags.items() for part in (f"--{name}", str(value)))
    return ["sample", "hi_tom", *parts]


def content(path):
    """Ids, beliefs and texts of a run; times and attempts may differ."""
    found = {}
    for conversation in coral.load_run(path).conversations():
        plain = msgspec.to_builtins(conversation)
        plain.pop("seconds"), plain.pop("started_at")
        for turn in plain["turns"]:
            turn.pop("attempts", None)
            for reply in turn["replies"]:
                reply.pop("latency_s", None), reply.pop("attempts", None)
        found[plain["id"]] = plain
    return found


async def at_random(url, log, command, folder, options):
    """Kill runs at random moments; returns how many came to another end."""
    asked = options.conversations, options.connections
    started = time.perf_counter()
    undisturbed = await command(arguments(url, folder / "whole", *asked), folder / "whole")
    assert undisturbed["status"] == 0
    seconds, expected = time.perf_counter() - started, content(folder / "whole")
    rng, wrong, killed = random.Random(options.seed), 0, 0
    log.again = log.again_answered = 0
    for number in range(options.runs):
        log.forget()
        path = folder / f"random-{number}"
        for _ in range(options.kills):
            moment = rng.uniform(0.1, seconds / 3)
            killed += (await command(arguments(url, path, *asked), path, kill_after_s=moment))["status"] < 0
        ended = await command(arguments(url, path, *asked), path)
        wrong += ended["status"] != 0 or content(path) != expected
    print(f"random: {options.runs} runs, {killed} kills, {wrong} runs that came to another end")
    print(f"  {log.again} requests sent again, of which {log.again_answered} had been answered")
    print(f"  {log.again / max(killed, 1):.1f} a kill, at most {options.connections} in flight")
    return wrong


async def at_each_operation(url, log, command, folder):
    """Kill a small run at each of its file operations."""
    asked = 2, 2
    done = await command(arguments(url, folder / "small", *asked), folder / "small")
    expected, wrong, kills = content(folder / "small"), 0, 0
    for number, operation in enumerate(done["operations"]):
        for moment in ("before", "after", *(("amid",) if operation.startswith("write ") else ())):
            log.forget()
            path = folder / f"operation-{number}-{moment}"
            killed = await command(arguments(url, path, *asked), path, kill=[number, moment])
            ended = await command(arguments(url, path, *asked), path)
            same = ended["status"] == 0 and content(path) == expected
            kills += killed["status"] < 0
            wrong += not same
            if not same:
                print(f"  another end after a kill {moment} {operation}")
    kinds = len(set(done["operations"]))
    print(f"operations: {len(done['operations'])} of {kinds} kinds, {kills} kills, {wrong} another end")
    return wrong


async def main(options):
    log = Log()
    with tempfile.TemporaryDirectory() as name:
        async with scripted_server(log, options.latency_s) as url, Commands() as command:
            wrong = await at_random(url, log, command, Path(name), options)
            wrong += await at_each_operation(url, log, command, Path(name))
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--conversations", type=int, default=30)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--latency_s", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    sys.exit(asyncio.run(main(parser.parse_args())))
