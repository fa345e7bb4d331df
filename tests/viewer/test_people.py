"""Pages for people, opened by the viewer: each with a token of its own, and kept where they were begun."""

import shutil
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer

from coral.people.pages import PeoplePages
from coral.viewer.pages import TOKEN_HEADER
from coral.viewer.runs import open_runs
from coral.viewer.server import ViewServer


class Asked:
    """What the viewer answers about people."""

    def __init__(self, client):
        self._client = client
        self._origin = {"Origin": f"http://{client.host}:{client.port}"}

    async def open(self, what, *runs):
        told = {"what": what, "runs": runs}
        async with self._client.post("/api/people", json=told, headers=self._origin) as response:
            return response.status, await response.json()

    async def get(self, path):
        async with self._client.get(path) as response:
            return response.status, await response.json()


@pytest.fixture
def own(stored, tmp_path):
    """The runs, to write into."""
    return [shutil.copytree(stored / name, tmp_path / name) for name in ("first", "second")]


@asynccontextmanager
async def viewed(*paths):
    """A viewer that opens such pages."""
    runs = open_runs(paths)
    async with PeoplePages(runs, "127.0.0.1") as people:
        server = ViewServer(runs, forms=[people])
        async with TestClient(TestServer(server.app), headers={TOKEN_HEADER: server.token}) as client:
            yield Asked(client)


@pytest.fixture
async def asked(own):
    """A viewer of two runs."""
    async with viewed(*own) as client:
        yield client


async def get(page, path, token=None):
    """An answer of an opened page, by its own token unless another one is given."""
    own = page["path"].partition("=")[2].partition("#")[0]
    async with (
        ClientSession(headers={TOKEN_HEADER: token or own}) as session,
        session.get(f"http://127.0.0.1:{page['port']}/api/{path}") as response,
    ):
        return response.status, await response.json()


PAGES = {
    "label": (("label", 0), "labels?judge=Ada", "question"),
    "judge": (("judge", 0, 1), "judging?judge=Ada", "problem"),
}


@pytest.mark.parametrize("name", PAGES)
async def test_a_page_for_people_knows_nothing_of_the_viewer(asked, name):
    """It asks what it is for, has no run on display, and takes no other token; asked again it is the same."""
    wish, path, what = PAGES[name]
    status, page = await asked.open(*wish)
    assert status == 200
    status, shown = await get(page, path)
    assert (status, bool(shown[what])) == (200, True)
    assert await get(page, "runs") == (200, [])
    assert (await get(page, "people?run=0"))[0] == 404
    assert (await get(page, path, token="another"))[0] == 403
    assert await asked.open(*wish) == (200, page)


async def test_where_answers_go_and_what_comes_then_is_told(asked, own):
    """Beside the run, as the commands would have it."""
    first, second = own
    _, label = await asked.open("label", 0)
    assert label["then"] == f"coral audit {first} --labels {first}/audit/people"
    _, judge = await asked.open("judge", 1, 0)
    assert judge["then"] == f"coral judge {judge['folder']} --results true"
    _, commands = await asked.get("/api/people?run=1")
    assert commands["label"] == f"coral audit {second} --label"
    assert commands["seat"]["command"].endswith(f"--output {second}-with-people --web")


async def test_judgements_that_were_begun_go_on(asked, own):
    """In whichever order the two are asked for, and by another viewer."""
    _, before = await asked.open("judge", 0, 1)
    async with viewed(*reversed(own)) as later:
        _, after = await later.open("judge", 0, 1)
    assert after["folder"] == before["folder"]
    assert after["port"] != before["port"]


REFUSED = {
    "no such run": (("label", 7), "no run 7 is on display"),
    "a run below none": (("label", -1), "no run -1 is on display"),
    "no run": (("label",), "no run folder given"),
    "one run": (("judge", 0), "two runs are judged against each other"),
    "another page": (("chat", 0), "cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_no_page_is_for_is_refused(asked, name):
    """With a remedy, and nothing is opened."""
    wish, cause = REFUSED[name]
    status, told = await asked.open(*wish)
    assert (status, cause in told["error"], bool(told["remedy"])) == (400, True, True)
