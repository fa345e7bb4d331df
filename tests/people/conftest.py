"""A study with people in it: a task with secrets, a real server on loopback, pages that only ask."""

import asyncio
from contextlib import asynccontextmanager
from typing import ClassVar

import aiohttp
import pytest

from coral import Answered, Problem, TaskInfo, Unreadable
from coral.api import load_run
from coral.cli.chat import ChatConfig
from coral.evaluation.config import AgentConfig
from coral.evaluation.given import Given
from coral.evaluation.progress import Progress
from coral.evaluation.session import run_session
from coral.people.host import WebHost
from coral.people.server import Address, receiving
from coral.viewer.pages import TOKEN_HEADER

SPELL = {"seconds": 2.5, "first_key_s": 1.25, "away_s": 0.5}
WELCOME = "Thank you for taking part."


class Secrets:
    """Problems whose answers, ids and briefings are words that no page may hold."""

    info: ClassVar = TaskInfo(name="secrets")
    instruction = "End with: answer WORD."

    def problems(self, source):
        del source
        for number in range(3):
            yield Problem(
                id=f"ID{number}", task="secrets", question=f"riddle {number}", target=f"GOLD{number}",
                group={"kind": "GROUP"}, source={"note": "SOURCE"},
            )  # fmt: skip

    def opening(self, problem):
        return f"Solve {problem.question}."

    def briefing(self, problem, seat):
        return f"Only you know: {seat}-secret-{problem.question[-1]}"

    def read(self, text, problem):
        del problem
        return Answered(text.split()[-1]) if "answer" in text else Unreadable("UNREADABLE")

    def parse(self, answer, problem):
        del problem
        return Answered(answer)

    async def same(self, a, b, problem):
        del problem
        return a == b

    async def grade(self, answer, problem):
        return answer == problem.target


class Study:
    """A run with people in it, from within: its host, its server, and its end."""

    def __init__(self, run, host, server, session):
        self.run, self.host, self.server, self._session = run, host, server, session

    @property
    def tokens(self):
        return [place.session.token for place in self.host.places]

    def page(self, number=0):
        return Page(self._session, self.server.base, self.tokens[number])

    def own_page(self):
        return Page(self._session, self.server.base, self.server.token)


class Page:
    """What a page in the browser sends, and all that it was ever told."""

    def __init__(self, session, base, token):
        self._session, self.base, self._headers = session, base, {TOKEN_HEADER: token}
        self.told = ""

    async def send(self, method, path, *, json=None, headers=None):
        given = {**self._headers, **({"Origin": self.base} if method == "POST" else {}), **(headers or {})}
        async with self._session.request(method, f"{self.base}{path}", json=json, headers=given) as response:
            text = await response.text()
            self.told += text
            return response, await response.json() if "json" in response.content_type else text

    async def get(self, path="/api/seat"):
        return (await self.send("GET", path))[1]

    async def post(self, path, **body):
        response, found = await self.send("POST", f"/api/{path}", json=body)
        assert response.status == 200, found
        return found

    async def sees(self, *phases):
        """Follow the session until it is in one of some phases."""
        version = ""
        while True:
            state = await asyncio.wait_for(self.get(f"/api/seat?version={version}"), 30)
            if state["phase"] in phases:
                return state
            version = state["version"]

    async def says(self, text):
        state = await self.sees("yours")
        return await self.post("seat/say", turn=state["turn"], text=text, spell=SPELL)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Starts a study, or starts it again; what it was is stopped at the end of the block."""
    monkeypatch.setattr("coral.people.host.LAST_LOOK_S", 1.0)

    @asynccontextmanager
    async def begin(agent, *, task=None, sessions=1, address=None, **options):
        progress, given, said = Progress(), Given(task=None if task else Secrets()), []
        if not isinstance(agent, AgentConfig):
            agent = AgentConfig(model=agent if isinstance(agent, str) else given.models.add(agent))
        config = ChatConfig(
            task={"name": task or "conftest:Secrets"}, agent=agent, web=True,
            **{"max_turns": 6, "output": str(tmp_path / "run"), **options},
        )  # fmt: skip
        served = asyncio.get_running_loop().create_future()
        host = WebHost(
            sessions, WELCOME, progress, say=said.append,
            receive=lambda host: receiving(host, address or Address(), served.set_result),
        )  # fmt: skip
        given.face = host
        run = asyncio.ensure_future(run_session(config, progress, given))
        await asyncio.wait({run, served}, return_when=asyncio.FIRST_COMPLETED)
        if run.done():
            run.result()
        async with aiohttp.ClientSession() as session:
            open_study = Study(run, host, served.result(), session)
            open_study.said, open_study.progress = said, progress
            try:
                yield open_study
            finally:
                monkeypatch.setattr("coral.people.host.LAST_LOOK_S", 0.0)  # these pages look no more
                progress.stopping = True
                await run

    return begin


@pytest.fixture
def stored(tmp_path):
    """The conversations of the study's run."""
    return lambda: list(load_run(tmp_path / "run").conversations())
