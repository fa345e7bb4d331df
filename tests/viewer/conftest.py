"""Runs to look at: a pair of functions talks, and some of what is said is hostile."""

import json
import os
from contextlib import asynccontextmanager

import pytest
from aiohttp.test_utils import TestClient, TestServer

import coral
from coral.viewer.pages import TOKEN_HEADER
from coral.viewer.runs import open_runs
from coral.viewer.server import ViewServer

BOTS = '''
import zlib

HOSTILE = (
    "<script>window.ran = 1</script>", "</script><!--", "<img src=x onerror='window.ran = 1'>",
    "[click](javascript:window.ran=1)", "<a href='javascript:window.ran=1'>x</a>",
    "\\u202eevil\\u2028\\u2029 \\x00 \\ud800", "<svg onload=window.ran=1>",
    "{{constructor.constructor('window.ran=1')()}}", "<style>*{display:none}</style>",
)

def speak(messages):
    """Right, wrong or unsure, by the text alone, and something hostile each time."""
    text = " ".join(message["content"] for message in messages)
    number = zlib.crc32(text.encode(errors="replace"))
    said = ["The answer is 7.", "The answer is 8.", "Let me think."][number % 3]
    return f"Consider **this**: {HOSTILE[number % len(HOSTILE)]}\\n{said}"

def sure(messages):
    return "Plainly.\\nThe answer is 7."
'''


def make_run(folder, *, agent="python:view_bots:speak", name="run", problems=30):
    """A finished run of open questions in two groups."""
    rows = [
        {"question": f"What is {n} + <b>1</b>?", "answer": 7 + n % 2, "topic": "ab"[n % 2], "id": f"q{n}"}
        for n in range(problems)
    ]
    data = folder / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "name": "open", "kind": "number",
        "question": "question", "answer": "answer", "group": "topic", "id": "id",
    }  # fmt: skip
    return coral.evaluate(task, data=data, agent=agent, max_turns=6, output=folder / name)


@pytest.fixture(scope="session")
def bots(tmp_path_factory):
    """Makes the functions importable for the whole session."""
    folder = tmp_path_factory.mktemp("bots")
    (folder / "view_bots.py").write_text(BOTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
        yield folder


@pytest.fixture(scope="session")
def stored(bots, tmp_path_factory):
    """Two finished runs on the same problems, for tests that only read them."""
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder, name="first")
    make_run(folder, agent="python:view_bots:sure", name="second")
    return folder


@pytest.fixture
def make(bots):
    """Makes runs of such functions."""
    return make_run


@pytest.fixture
def fresh(bots, tmp_path):
    """A run of its own, for tests that change it."""
    return make_run(tmp_path, problems=6).path


@pytest.fixture
def view():
    """Shows runs to a client that knows the token, once all of them are taken in."""

    @asynccontextmanager
    async def show(*paths, token=True):
        server = ViewServer(open_runs(paths))
        headers = {TOKEN_HEADER: server.token} if token else {}
        async with TestClient(TestServer(server.app), headers=headers) as client:
            server.start()
            await server.close()
            yield client

    return show
