"""Servers that refuse everything, from the first row on or from some moment on; and rows that are bad."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from coral.errors import CoralError, FatalReject, StoppedEarly
from coral.generation.generate import Counts
from coral.generation.processes import run


def completion(content):
    return lambda e: web.json_response({"choices": [{"index": 0, "message": {"content": content}}]})


REFUSALS = {
    "a wrong key": (lambda e: e.error(401, "bad key"), FatalReject, "bad key"),
    "a parameter": (lambda e: e.error(400, "bad template"), StoppedEarly, "bad template"),
    "a length": (lambda e: e.error(400, "maximum context length is 8 tokens"), StoppedEarly, "context"),
    "its content": (lambda e: e.error(400, "content management policy"), StoppedEarly, "content"),
    "a failure of the server": (lambda e: e.error(500, "out of memory"), StoppedEarly, "out of memory"),
    "no reply": (completion(None), StoppedEarly, "reply"),
    "no choices": (lambda e: web.json_response({"choices": []}), StoppedEarly, "choices"),
    "a page": (lambda e: web.Response(text="<html>maintenance</html>"), StoppedEarly, "200"),
    "a limit without an end": (lambda e: e.error(429, "slow down"), StoppedEarly, "slow down"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_meets_every_row_stops_the_work(batch, echo, name):
    """After a handful of rows, with the server's words; no output claims to be complete."""
    react, kind, words = REFUSALS[name]
    batch.prompts(500)
    echo.react = lambda body: react(echo)
    with pytest.raises(kind, match=words):
        await batch.run(max_connections=4)
    assert echo.asked.total() < 60
    assert not batch.output.exists()


FROM_SOME_MOMENT_ON = {
    **{name: (name, {}) for name in REFUSALS},
    "in a shard": ("a parameter", {"shard": "0/2"}),
    "in two processes": ("a failure of the server", {"processes": 2}),
    "with several replies per row": ("a length", {"n": 2}),
}


@pytest.mark.parametrize("name", FROM_SOME_MOMENT_ON)
async def test_what_meets_every_row_from_some_moment_on(batch, echo, name):
    """The same after rows were answered: it asked for each of those that were left. The same command has the
    rest once the server answers again."""
    refusal, how = FROM_SOME_MOMENT_ON[name]
    react, _, words = REFUSALS[refusal]
    batch.prompts(400)
    echo.react = lambda body: react(echo) if len(echo.bodies) > 100 else None
    options = {"max_connections": 4, **how}
    with pytest.raises(CoralError, match=words) as stopped:
        await asyncio.wait_for(run(batch.config(**options), Counts()), 60)
    assert "run the same command again" in stopped.value.remedy or isinstance(stopped.value, FatalReject)
    assert echo.asked.total() < 250
    assert not batch.output.exists()
    echo.react = lambda body: None
    counts = await asyncio.wait_for(run(batch.config(**options), Counts()), 60)
    assert (counts.kept + counts.answered, counts.failed) == (counts.total, 0)
    assert 60 < counts.kept < 110


async def test_a_resumed_batch_whose_server_refuses_everything(batch, echo):
    """Rows that an earlier session answered say that its server can answer, not that it does."""
    batch.prompts(500)
    await batch.run(limit=10)
    echo.react = lambda body: echo.error(400, "bad template")
    with pytest.raises(StoppedEarly, match=r"one that was answered before: .*bad template"):
        await batch.run(max_connections=4)
    assert echo.asked.total() < 60


async def test_a_stretch_of_bad_rows_stops_nothing(batch, echo):
    """The server still answers a row that it had answered: the others may be answered, too. Of each bad row
    the output has the error; to find out costs a request per twenty of them."""
    batch.prompts(300)
    echo.react = lambda b: echo.error(400, "bad row") if "row 1" in b["messages"][-1]["content"] else None
    counts = await batch.run(max_connections=4)
    assert (counts.answered, counts.failed, counts.is_complete) == (189, 111, True)
    assert [row["mine"] for row in batch.replies() if row["error"]] == [
        number for number in range(300) if str(number).startswith("1")
    ]
    again = echo.asked.total() - 300
    assert 4 <= again <= 6
    assert counts.prompt_tokens == 3 * (189 + again)
