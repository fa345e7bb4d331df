"""The fault plan: what goes wrong on purpose, and that it goes wrong the same way each time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from coral.errors import ConfigError
from coral.serving.faults import FaultPlan, Outage, parse_faults
from coral.serving.scripted import Knowledge, Persona, serve_scripted


def test_plan_is_read() -> None:
    """Rates, outages and white space; an empty text is no fault."""
    plan = parse_faults("429:0.05, drop:0.01,outage:5@30,outage:1", seed=3)
    assert plan == FaultPlan(
        rates=(("429", 0.05), ("drop", 0.01)),
        outages=(Outage(seconds=5, start_s=30), Outage(seconds=1, start_s=0)),
        seed=3,
    )
    assert parse_faults(" ") == FaultPlan()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("429", "not a number"),
        ("429:x", "not a number"),
        ("429:-0.1", "not a number"),
        ("429:nan", "not a number"),
        ("429:1.5", "between 0 and 1"),
        ("teapot:0.1", "no fault is called 'teapot'"),
        ("429:0.6,500:0.6", "sum to more than 1"),
        ("outage:5@", "not a number"),
        ("outage:long@3", "not a number"),
    ],
)
def test_plan_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    """A typing error in the plan is named, with the remedy, before anything is served."""
    with pytest.raises(ConfigError, match=words) as caught:
        parse_faults(text)
    assert caught.value.remedy


def test_choice_follows_from_seed_and_number_alone() -> None:
    """The n-th request meets the same fault in every run, in about the planned shares."""
    plan = parse_faults("429:0.1,drop:0.05", seed=1)
    picks = [plan.pick(number) for number in range(4000)]
    assert picks == [plan.pick(number) for number in range(4000)]
    assert picks != [parse_faults("429:0.1,drop:0.05", seed=2).pick(number) for number in range(4000)]
    assert 0.08 < picks.count("429") / 4000 < 0.12
    assert 0.035 < picks.count("drop") / 4000 < 0.065


def test_outage_covers_its_seconds() -> None:
    """An outage begins at its start and ends after its seconds."""
    plan = parse_faults("outage:5@30")
    assert [plan.is_out(at) for at in (29.9, 30.0, 34.9, 35.0)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("429:1", 429, "rate_limit_exceeded"),
        ("retry_after:1", 429, "rate_limit_exceeded"),
        ("500:1", 500, None),
        ("503:1", 503, None),
        ("outage:60@0", 503, None),
        ("context:1", 400, "context_length_exceeded"),
    ],
)
async def test_refusals(serve: Any, knowledge: Knowledge, fault: str, status: int, code: str | None) -> None:
    """A status fault is an OpenAI error; only `retry_after` says when to come back."""
    async with serve(serve_scripted(knowledge, Persona()), faults=fault) as site:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "x"}]}
        async with site.session.post(f"{site.url}/chat/completions", json=body) as response:
            assert response.status == status
            assert (await response.json())["error"]["code"] == code
            assert ("Retry-After" in response.headers) == fault.startswith("retry_after")
        name = "503" if fault.startswith("outage") else fault.removesuffix(":1")
        assert f'coral_faults_total{{kind="{name}"}} 1' in (await site.text("/metrics"))[1]
        assert (await site.text("/health"))[0] == 200


@pytest.mark.parametrize(
    ("fault", "content", "finish_reason"),
    [("empty:1", "", "stop"), ("null:1", None, "stop"), ("filter:1", "", "content_filter")],
)
async def test_spoiled_replies(
    serve: Any, knowledge: Knowledge, fault: str, content: str | None, finish_reason: str
) -> None:
    """A reply without a text comes with status 200, as real servers send it."""
    async with serve(serve_scripted(knowledge, Persona()), faults=fault) as site:
        status, body = await site.chat(model="scripted", n=2)
    assert status == 200
    assert [choice["message"]["content"] for choice in body["choices"]] == [content, content]
    assert {choice["finish_reason"] for choice in body["choices"]} == {finish_reason}


async def test_cut_replies(serve: Any, knowledge: Knowledge) -> None:
    """`length` cuts the text, `few` the choices, `cut_json` the body; `html` is no JSON at all."""
    async with serve(serve_scripted(knowledge, Persona()), faults="length:1") as site:
        _, body = await site.chat(model="scripted")
        assert body["choices"][0]["finish_reason"] == "length"
        assert "not sure yet" not in body["choices"][0]["message"]["content"]
    async with serve(serve_scripted(knowledge, Persona()), faults="few:1") as site:
        assert len((await site.chat(model="scripted", n=3))[1]["choices"]) == 2
    for fault in ("cut_json:1", "html:1"):
        async with serve(serve_scripted(knowledge, Persona()), faults=fault) as site:
            with pytest.raises((json.JSONDecodeError, aiohttp.ContentTypeError)):
                await site.chat(model="scripted")


async def test_dropped_connection(serve: Any, knowledge: Knowledge) -> None:
    """`drop` closes the connection without a byte, and is counted as 499."""
    async with serve(serve_scripted(knowledge, Persona()), faults="drop:1") as site:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await site.chat(model="scripted")
        assert 'coral_requests_total{status="499"} 1' in (await site.text("/metrics"))[1]


async def test_stall_lasts_until_the_client_gives_up(serve: Any, knowledge: Knowledge) -> None:
    """`stall` takes the request and answers nothing; it does not outlive the client."""
    async with serve(serve_scripted(knowledge, Persona()), faults="stall:1") as site:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(site.chat(model="scripted"), 0.1)
        for _ in range(6000):  # half a minute: other tests may keep the cores busy
            if not site.server.metrics.in_flight:
                break
            await asyncio.sleep(0.005)
        assert site.server.metrics.in_flight == 0


async def test_streams_meet_only_what_precedes_the_reply(serve: Any, knowledge: Knowledge) -> None:
    """A body fault leaves a streamed reply alone, and is not counted as injected."""
    async with serve(serve_scripted(knowledge, Persona()), faults="empty:1") as site:
        body = {"model": "scripted", "messages": [{"role": "user", "content": "x"}], "stream": True}
        async with site.session.post(f"{site.url}/chat/completions", json=body) as response:
            assert "I do not know" in "".join(
                choice["delta"].get("content", "")
                for line in (await response.text()).split("\n\n")
                if line.startswith("data: {")
                for choice in json.loads(line.removeprefix("data: "))["choices"]
            )
        assert "coral_faults_total" not in (await site.text("/metrics"))[1]
