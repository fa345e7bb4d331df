"""A small task whose rules fit on a page, and real servers on loopback."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from coral.models.protocol import Model
from coral.serving.app import ChatServer, Limits, Served, serve_one
from coral.serving.faults import FaultPlan, parse_faults
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Belief, Problem, Seat, Unreadable, Unsure

GAUGE = "A gauge shows 3 bar at noon.\nIt loses 1 bar an hour until evening.\n"
PROBLEMS = (
    Problem(
        id="gauge",
        task="quiz",
        question=GAUGE + "What does it show at one?",
        choices=("1 bar", "2 bar", "3 bar", "4 bar"),
        target="B",
    ),
    Problem(
        id="gauge-late",
        task="quiz",
        question=GAUGE + "What does it show at two?",
        choices=("1 bar", "2 bar", "3 bar", "4 bar"),
        target="A",
    ),
    Problem(
        id="ring",
        task="quiz",
        question="Mara puts the ring into the red_box.\nIvo moves it to the blue_box.\nWhere is the ring?",
        target="blue_box",
    ),
    Problem(
        id="lamp", task="quiz", question="The lamp is in the red_box.\nWhere is the lamp?", target="red_box"
    ),
    Problem(id="sum", task="quiz", question="How much is 20 and 22?", target="42"),
    Problem(id="sea", task="quiz", question="Is the sea salty?", target="yes"),
    Problem(id="secret", task="quiz", question="Where does the person look who you are?", target="red_box"),
    Problem(
        id="secret-2", task="quiz", question="Where does the person look who you are?", target="blue_box"
    ),
)
BRIEFINGS = {
    "secret": "You saw the key fall into the red_box.",
    "secret-2": "You saw it fall into the blue_box.",
}


class Quiz:
    """A task in miniature: the last line "Answer: X" submits X."""

    info = TaskInfo(
        name="quiz", title="Quiz", size="8", origin="here", license="MIT", fetch="none", splits=("all",)
    )
    instruction = "End with a line: Answer: (X), or Answer: and the answer."

    def problems(self, source: Source) -> Iterator[Problem]:
        return iter(PROBLEMS)

    def opening(self, problem: Problem) -> str:
        listed = "\n".join(f"({chr(65 + i)}) {text}" for i, text in enumerate(problem.choices))
        return f"I'm trying to solve this:\n\n{problem.question}\n\n{listed}".strip()

    def briefing(self, problem: Problem, seat: Seat) -> str:
        return BRIEFINGS.get(problem.id, "")

    def read(self, text: str, problem: Problem) -> Belief:
        found = re.findall(r"^Answer: (.+)$", text, re.MULTILINE)
        if found:
            return self.parse(found[-1], problem)
        return Unsure() if "not sure" in text else Unreadable("no answer line")

    def parse(self, answer: str, problem: Problem) -> Belief:
        return Unsure() if "not sure" in answer else Answered(answer.strip("() "))

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        return a.lower() == b.lower()

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        return await self.same(answer, problem.target, problem)


@pytest.fixture
def quiz() -> Quiz:
    return Quiz()


@pytest.fixture
def problems() -> dict[str, Problem]:
    return {problem.id: problem for problem in PROBLEMS}


@pytest.fixture
def knowledge(quiz: Quiz) -> Knowledge:
    return Knowledge(quiz, quiz.problems(Source(data=None, split="all")))


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Serves a model, or several, on a free port: `async with serve(model, faults="429:1") as site`."""

    @asynccontextmanager
    async def serving(
        served: Model | Served, *, limits: Limits | None = None, faults: str = "", **listen: Any
    ) -> AsyncIterator[Site]:
        offered = served if isinstance(served, Served) else serve_one(served)
        plan = parse_faults(faults) if faults else FaultPlan()
        server = ChatServer(offered, limits=limits, plan=plan)
        async with (
            listening(server, host="127.0.0.1", port=0, **listen) as url,
            aiohttp.ClientSession() as session,
        ):
            yield Site(server, url, session)

    return serving


class Site:
    """A running server and a client for it."""

    def __init__(self, server: ChatServer, url: str, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.url = url
        self.root = url.removesuffix("/v1")
        self.session = session

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection, for what no client library sends."""
        return await asyncio.open_connection("127.0.0.1", int(self.url.split(":")[2].removesuffix("/v1")))

    async def raw(self, data: bytes) -> bytes:
        """Send bytes; what comes back, the whole of a response's body included."""
        reader, writer = await self.connect()
        received = b""
        try:
            writer.write(data)
            while not _is_whole(received):
                piece = await asyncio.wait_for(reader.read(1 << 16), 20)
                if not piece:
                    break
                received += piece
            return received
        finally:
            writer.close()

    async def chat(self, **body: Any) -> tuple[int, Any]:
        """Send a chat completion; status and decoded body."""
        whole = {"model": "echo", "messages": [{"role": "user", "content": "hello"}], **body}
        async with self.session.post(f"{self.url}/chat/completions", json=whole) as response:
            return response.status, await response.json()

    async def text(self, path: str) -> tuple[int, str]:
        """GET a path of the server's root."""
        async with self.session.get(self.root + path) as response:
            return response.status, await response.text()


def _is_whole(received: bytes) -> bool:
    """Whether the last response in it has all of its body."""
    head, found, body = received[received.rfind(b"HTTP/1.") :].partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(found and length and len(body) >= int(length[1]))
