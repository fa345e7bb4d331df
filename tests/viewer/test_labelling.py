"""People read in the page, blind; what they write goes into the audit."""

import csv
import io

import pytest
from aiohttp.test_utils import TestClient, TestServer

from coral.audits.audit import AuditConfig, audit, drawn_texts
from coral.cli import main
from coral.viewer.labelling import Labelling
from coral.viewer.pages import TOKEN_HEADER
from coral.viewer.server import ViewServer


@pytest.fixture
async def form(fresh):
    """The sheets of an audit of a run of six conversations."""
    texts, task = await drawn_texts([str(fresh)], AuditConfig())
    return Labelling(fresh / "audit" / "people", texts, task)


async def test_what_people_write_goes_into_the_audit(form, fresh):
    """From the page over the sheets to the corrected headline; a reload resumes."""
    server = ViewServer([], forms=[form])
    headers = {TOKEN_HEADER: server.token}
    async with TestClient(TestServer(server.app), headers=headers) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        for person in ("Ada", "Bo"):
            async with client.get("/api/labels", params={"judge": person}) as response:
                text = await response.json()
            assert (text["read"], text["number"]) == (0, 0)
            while not text["done"]:
                body = {"judge": person, "key": text["key"], "answer": "7"}
                async with client.post("/api/labels", json=body, headers=own) as response:
                    assert response.status == 200, await response.text()
                    text = await response.json()
            assert text["read"] == text["count"] > 6
            async with client.get("/api/labels", params={"judge": person}) as response:
                assert (await response.json())["done"]
    found = await audit([str(fresh)], AuditConfig(labels=str(fresh / "audit" / "people")))
    assert (found.reference, found.people, found.labelled) == ("people", 2, found.texts)
    assert found.agreements[-1].readers == ("Ada", "Bo")
    assert found.agreements[-1].agreement.value == 1
    assert found.arms[0].errors.value > 0


def test_the_command_reads_the_sheets(fresh, form, capsys):
    """`coral audit RUN --labels AUDIT/people`, as it was printed."""
    for person, answer in (("Ada", "7"), ("Bo", "8")):
        form.take(person, form.shown(person)["key"], answer)
    assert main(["audit", str(fresh), "--labels", str(fresh / "audit" / "people")]) == 0
    assert "divided" in capsys.readouterr().out


async def test_the_page_sees_nothing_that_tells(form):
    """Neither gold, nor belief, nor run, conversation or seat; and the order is everybody's."""
    shown = form.shown("Ada")
    assert set(shown) == {
        "done", "read", "count", "number", "key", "answer", "question", "message", "how", "words",
    }  # fmt: skip
    assert form.shown("Bo")["key"] == shown["key"]


async def test_an_answer_can_be_changed(form):
    """By whoever wrote it; the last one stands, and nobody else's changes."""
    key = form.shown("Ada")["key"]
    form.take("Ada", key, "7")
    form.take("Bo", key, "unsure")
    form.take("Ada", key, "8")
    assert form.shown("Ada", 0)["answer"] == "8"
    assert form.shown("Bo", 0)["answer"] == "unsure"
    rows = csv.DictReader(io.StringIO((form.folder / "Ada.csv").read_text("utf-8-sig"), newline=""))
    assert [row["answer"] for row in rows if row["answer"]] == ["8"]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"answer": ""}, "is not an answer"),
        ({"key": "none"}, "no text 'none'"),
        ({"judge": "../../x"}, "no name"),
        ({"judge": ""}, "no name"),
        ({"more": 1}, "cannot be read"),
    ],
)
async def test_what_cannot_be_kept_is_refused(form, change, cause):
    """In words, and nothing is written."""
    server = ViewServer([], forms=[form])
    async with TestClient(TestServer(server.app), headers={TOKEN_HEADER: server.token}) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        body = {"judge": "Ada", "key": form.shown("Ada")["key"], "answer": "7", **change}
        async with client.post("/api/labels", json=body, headers=own) as response:
            assert response.status == 400
            assert cause in (await response.json())["error"]
        async with client.post("/api/labels", json=body) as response:
            assert response.status == 403
    assert not form.folder.exists()


@pytest.mark.parametrize(
    "words", [["--labels", "x.csv"], ["--extractor.model", "m"], ["--verdicts", "v.csv"]]
)
def test_people_are_asked_alone(fresh, capsys, words):
    """An option that would be ignored is refused."""
    assert main(["audit", str(fresh), "--label", "--no_browser", *words]) == 2
    assert "--label asks people alone" in capsys.readouterr().err
