"""A real HTTP server that misbehaves by plan, and models that talk to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from coral.models.client import ServedModel, build_model
from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.models.protocol import Request, Sampling
from coral.types import Message, Role


@dataclass(frozen=True)
class Reaction:
    """What the server does with one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    cut_at: int | None = None
    """Closes the connection after so many bytes of the body; -1: before the first byte of the answer."""
    stall: bool = False
    """Sends the head and never the body."""


@dataclass(frozen=True)
class Received:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    connection: int


Rule = Reaction | Callable[[Received], Reaction]


class PlannedServer:
    """HTTP/1.1 on a free port. Takes `plan` from the front, one entry a completion; then does `default`."""

    def __init__(self) -> None:
        self.plan: list[Rule] = []
        self.default: Rule = self.complete
        self.models: Reaction = self.json({"object": "list", "data": [{"id": "m", "max_model_len": 4096}]})
        self.requests: list[Received] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, port: int = 0) -> None:
        """Listen, on any free port or on one that was stopped."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def stop(self) -> None:
        """Refuse connections and break off those that are open."""
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        try:
            while (request := await self._read(reader, writer, number)) is not None:
                if not await self._react(request, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _read(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int
    ) -> Received | None:
        start = await reader.read(1)
        if start == b"\x16":  # the handshake of a client that believes in TLS
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
        if not start or start == b"\x16":
            return None
        line = (start + await reader.readline()).decode()
        headers: dict[str, str] = {}
        while (header := (await reader.readline()).decode().strip()) != "":
            name, _, value = header.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Received(line.split()[1], headers, json.loads(body) if body else {}, number)

    async def _react(self, request: Received, writer: asyncio.StreamWriter) -> bool:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            reaction = self._choose(request)
            if reaction.delay_s:
                await asyncio.sleep(reaction.delay_s)
            return await self._answer(reaction, writer)
        finally:
            self.in_flight -= 1

    def _choose(self, request: Received) -> Reaction:
        if request.path.split("?")[0].endswith("/models"):
            return self.models
        self.requests.append(request)
        rule = self.plan.pop(0) if self.plan else self.default
        return rule if isinstance(rule, Reaction) else rule(request)

    async def _answer(self, reaction: Reaction, writer: asyncio.StreamWriter) -> bool:
        if reaction.cut_at == -1:
            return False
        headers = {"Content-Type": "application/json", "Content-Length": str(len(reaction.body))}
        lines = [f"{name}: {value}" for name, value in {**headers, **reaction.headers}.items()]
        head = f"HTTP/1.1 {reaction.status} X\r\n" + "\r\n".join(lines) + "\r\n\r\n"
        writer.write(head.encode() + (b"" if reaction.stall else reaction.body[: reaction.cut_at]))
        await writer.drain()
        if reaction.stall:
            await asyncio.sleep(60)
        return reaction.cut_at is None

    # What a test plans.

    def json(self, body: Any, status: int = 200, **headers: str) -> Reaction:
        """Any JSON body."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reaction(status=status, body=json.dumps(body).encode(), headers=named)

    def raw(self, body: bytes, status: int = 200, content_type: str = "application/json") -> Reaction:
        """Any bytes."""
        return Reaction(status=status, body=body, headers={"Content-Type": content_type})

    def error(self, status: int, message: str = "planned", **fields: Any) -> Reaction:
        """An error in OpenAI's form."""
        return self.json({"error": {"message": message, **fields}}, status)

    def choices(self, *choices: dict[str, Any], usage: dict[str, Any] | None = None) -> Reaction:
        """A completion with these choices."""
        counted = usage or {"prompt_tokens": 11, "completion_tokens": 7 * len(choices)}
        return self.json({"id": "x", "choices": list(choices), "usage": counted})

    def choice(
        self, content: Any = "hello", finish_reason: str | None = "stop", **message: Any
    ) -> dict[str, Any]:
        """One choice."""
        said = {"role": "assistant", "content": content, **message}
        return {"index": 0, "message": said, "finish_reason": finish_reason}

    def says(self, content: Any = "hello", finish_reason: str | None = "stop", **message: Any) -> Reaction:
        """A completion with one choice."""
        return self.choices(self.choice(content, finish_reason, **message))

    def complete(self, request: Received) -> Reaction:
        """A faultless answer to any request: `n` different texts."""
        texts = [f"reply {index}" for index in range(request.body.get("n", 1))]
        return self.choices(*(self.choice(text) for text in texts))

    def drop(self) -> Reaction:
        """Close the connection instead of answering."""
        return Reaction(cut_at=-1)

    def cut(self) -> Reaction:
        """Close the connection in the middle of the body."""
        return replace(self.says(), cut_at=20)

    def stall(self) -> Reaction:
        """Send the head of the answer, then nothing."""
        return replace(self.says(), stall=True)


@pytest.fixture
async def start_server() -> AsyncIterator[Callable[[], Awaitable[PlannedServer]]]:
    """Starts servers, and stops them after the test."""
    running: list[PlannedServer] = []

    async def start() -> PlannedServer:
        running.append(PlannedServer())
        await running[-1].start()
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest.fixture
async def server(start_server: Callable[[], Awaitable[PlannedServer]]) -> PlannedServer:
    """One running server."""
    return await start_server()


@pytest.fixture
async def open_model(server: PlannedServer) -> AsyncIterator[Callable[..., Awaitable[ServedModel]]]:
    """Opens models of the server, with pauses of milliseconds; closes them after the test."""
    async with AsyncExitStack() as stack:

        async def open_one(connections: Connections | None = None, **options: Any) -> ServedModel:
            quick = {"model": "m", "base_url": server.url, "backoff_s": 0.001, "max_backoff_s": 0.002}
            config = ModelConfig(**{**quick, "max_attempts": 4, **options})
            return await stack.enter_async_context(build_model(config, connections))

        yield open_one


@pytest.fixture
def ask() -> Callable[..., Request]:
    """Makes requests."""

    def make(n: int = 1, seed: int | None = 5, conversation_id: str = "c", **sampling: Any) -> Request:
        return Request(
            messages=(Message(Role.USER, "What is 2 + 2?"),),
            sampling=Sampling(**sampling),
            n=n,
            seed=seed,
            conversation_id=conversation_id,
        )

    return make
