"""Scripted agents over real Hi-ToM records behind a real server on loopback."""

from collections import Counter
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import pytest
from aiohttp import web

from coral import tasks
from coral.serving.app import ChatServer, Served
from coral.serving.faults import parse_faults
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source

DATA = Path(__file__).parents[1] / "data" / "hi_tom" / "Hi-ToM_data.sample.json"


class Recording:
    """A model that counts the requests that reach it."""

    def __init__(self, model, counter):
        self._model, self._counter = model, counter
        self.name = model.name

    async def generate(self, request):
        texts = tuple(message.content for message in request.messages)
        self._counter[(texts, request.seed)] += 1
        return await self._model.generate(request)


def refusing(react):
    """A middleware that answers with what `react(number, body)` returns, numbers from 1; None passes on."""
    numbers = count(1)

    @web.middleware
    async def answer(request, handler):
        if request.method == "POST":
            response = react(next(numbers), await request.json())
            if response is not None:
                return response
        return await handler(request)

    return answer


def error(status, message, **headers):
    """An error in OpenAI's form."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return web.json_response({"error": {"message": message}}, status=status, headers=named)


@asynccontextmanager
async def scripted_server(*, faults="", task="hi_tom", data=DATA, react=None, **persona):
    """A server; yields (base URL, counter of requests by content)."""
    loaded = tasks.load(task)
    knowledge = Knowledge(loaded, loaded.problems(Source(data=str(data), split="")))
    served = serve_scripted(knowledge, Persona(**{"accuracy": 0.5, "stubbornness": 0.6, **persona}))
    counter = Counter()

    def find(name):
        model = served.find(name)
        return None if model is None else Recording(model, counter)

    server = ChatServer(
        Served(names=served.names, find=find, hint=served.hint), plan=parse_faults(faults, seed=1)
    )
    if react is not None:
        server.app.middlewares.insert(0, refusing(react))
    async with listening(server, host="127.0.0.1", port=0) as url:
        yield url, counter


@pytest.fixture
def serve():
    """Starts a server of scripted agents."""
    return scripted_server


@pytest.fixture
def refusal():
    """Makes errors in OpenAI's form."""
    return error


@pytest.fixture
def data():
    """Real Hi-ToM records."""
    return str(DATA)


def without_times(conversation):
    """What must be the same however often a run was interrupted."""
    plain = msgspec.to_builtins(conversation)
    plain.pop("seconds"), plain.pop("started_at")
    for turn in plain["turns"]:
        for reply in turn["replies"]:
            reply.pop("latency_s", None)
    return plain


@pytest.fixture
def content():
    """The conversations of a run by id, without times."""
    return lambda run: {c.id: without_times(c) for c in run.conversations()}
