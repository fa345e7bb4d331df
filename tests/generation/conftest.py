"""A server that echoes what it is asked, and files of rows."""

from __future__ import annotations

import asyncio
import json
from collections import Counter

import pytest
from aiohttp import web

from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, generate
from coral.models.config import ModelConfig


class Echo:
    """Answers with the last message's text; `react` may answer instead."""

    def __init__(self):
        self.bodies, self.asked = [], Counter()
        self.react = lambda body: None
        self.delay_s = 0.0

    async def answer(self, request):
        body = await request.json()
        text = body["messages"][-1]["content"]
        self.bodies.append(body)
        self.asked[text] += 1
        await asyncio.sleep(self.delay_s)
        reaction = self.react(body)
        if reaction is not None:
            return reaction
        choices = [
            {"index": index, "message": {"role": "assistant", "content": f"{text}!"}, "finish_reason": "stop"}
            for index in range(body.get("n") or 1)
        ]
        usage = {"prompt_tokens": 3, "completion_tokens": 2 * len(choices)}
        return web.json_response({"id": "1", "choices": choices, "usage": usage})

    @staticmethod
    def error(status, message="planned"):
        return web.json_response({"error": {"message": message}}, status=status)


@pytest.fixture
async def echo():
    """A running server."""
    server = Echo()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    yield server
    await runner.cleanup()


class Batch:
    """A file of rows, and what becomes of it."""

    def __init__(self, base, url):
        self.input, self.output, self.parts = base / "in.jsonl", base / "out.jsonl", base / "out.jsonl.parts"
        self.url = url

    def write(self, *rows):
        lines = (row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
        self.input.write_bytes(b"".join(line + b"\n" for line in lines))

    def prompts(self, count):
        self.write(*({"prompt": f"row {number}", "mine": number} for number in range(count)))

    def config(self, *, agent=None, **options):
        quick = {
            "model": "m",
            "base_url": self.url,
            "backoff_s": 0.001,
            "max_backoff_s": 0.01,
            "max_attempts": 2,
        }
        return GenerateConfig(
            input=str(self.input),
            output=str(self.output),
            agent=ModelConfig(**{**quick, **(agent or {})}),
            **options,
        )

    async def run(self, **options):
        return await asyncio.wait_for(generate(self.config(**options), Counts()), 60)

    def replies(self):
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]


@pytest.fixture
def batch(tmp_path, echo):
    """A batch for the echoing server."""
    return Batch(tmp_path, echo.url)
