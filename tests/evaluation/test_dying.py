"""`kill -9` at every kind of file operation: whatever was half done, a new session comes to the same end."""

import asyncio
import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import coral

DYING = Path(__file__).with_name("dying.py")


@asynccontextmanager
async def dying():
    """Commands that are killed where a test says so."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, DYING, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**24
    )

    async def command(**order):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        await process.stdin.drain()
        return json.loads(await process.stdout.readline())

    try:
        yield command
    finally:
        process.stdin.close()
        await process.wait()


def arguments(url, data, path):
    """Candidates that are asked for one by one, so that parts of generations are journaled, too."""
    flags = {
        "agent.model": "ollama/scripted", "agent.base_url": url, "data": data, "output": path, "limit": 2,
        "samples": 1, "candidates": 2, "max_turns": 2, "max_connections": 1,
    }  # fmt: skip
    return [
        "sample",
        "hi_tom",
        *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
    ]


def moments_of(operations):
    """Before the first operation of each kind; amid the first and the last write of each file."""
    first = {operation: number for number, operation in reversed([*enumerate(operations)])}
    last = {operation: number for number, operation in enumerate(operations)}
    writes = [operation for operation in first if operation.startswith("write ")]
    amid = {number for operation in writes for number in (first[operation], last[operation])}
    return [(number, "before") for number in first.values()] + [(number, "amid") for number in amid]


async def test_a_kill_at_any_file_operation_changes_nothing(serve, data, tmp_path, content):
    """Before it, amid a write: ids, beliefs and texts are those of an undisturbed run; no litter stays."""
    async with serve() as (url, _), dying() as command:
        whole = tmp_path / "whole"
        undisturbed = await command(arguments=arguments(url, data, whole), folder=str(whole), kill=None)
        assert undisturbed["status"] == 0
        expected = content(coral.load_run(whole))
        litter = {path.name for path in whole.iterdir()}
        operations = undisturbed["operations"]
        for number, moment in moments_of(operations):
            path = tmp_path / f"run-{number}-{moment}"
            order = {"arguments": arguments(url, data, path), "folder": str(path)}
            killed = await command(**order, kill=[number, moment])
            assert killed["status"] == -signal.SIGKILL, (number, moment)
            resumed = await command(**order, kill=None)
            where = f"{moment} {operations[number]}"
            assert resumed["status"] == 0, where
            assert content(coral.load_run(path)) == expected, where
            assert {path.name for path in path.iterdir()} == litter, where
    assert len(set(operations)) >= 19, "claiming, writing whole files, journal, parts, conversations, ending"
