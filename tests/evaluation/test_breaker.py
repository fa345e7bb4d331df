"""Runs in which everything is refused, fails, or cannot be read stop after a handful, and owe the rest."""

import json
import random
import subprocess
import sys
from asyncio import create_subprocess_exec

import pytest
from aiohttp import web

from coral.api import evaluate_async, load_run, sample_async
from coral.errors import StoppedEarly

MANY = {"limit": 30, "max_connections": 8}
BRIEF = {"samples": 2, "max_turns": 4}


def options(url, data, path, **more):
    agent = {"model": "scripted", "base_url": url, "backoff_s": 0.001, "max_backoff_s": 0.002}
    agent |= more.pop("agent", {})
    return {"agent": agent, "data": data, "output": str(path), **MANY, **more}


def is_extraction(body):
    return "\n# Message\n" in body["messages"][-1]["content"]


def says(text, finish_reason="stop"):
    """A completion of this text."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    usage = {"prompt_tokens": 5, "completion_tokens": 5}
    return web.json_response({"choices": [choice], "usage": usage})


def says_always(*what):
    """A server that says the same to every request."""
    return lambda *_: says(*what)


def cut_extractions(_, body):
    """A server that is cut whenever it extracts."""
    return says("The answer", "length") if is_extraction(body) else says("I like stories.")


def stored(path):
    return [c.stop.value for c in load_run(path).conversations()]


REFUSED = {
    "system role": (400, "System role not supported", "System role not supported"),
    "a parameter": (
        400,
        "Unsupported value: 'temperature' does not support 0.2 with this model",
        "temperature",
    ),
    "null content": (None, None, "null"),
    "no credit in unknown words": (400, "your purse is empty", "your purse is empty"),
    "context of 10 tokens": (400, "maximum context length is 10 tokens", "maximum context length"),
    "filtered": (400, "content_filter", "content"),
    "500 for ever": (500, "CUDA error: device-side assert", "CUDA error"),
}


def refuse(refusal, status, message):
    return says(None) if status is None else refusal(status, message)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_refuses_every_request_stops_the_run(serve, refusal, data, tmp_path, name):
    """After a handful, with the server's words, exit code 3, and everything owed."""
    status, message, words = REFUSED[name]
    sent = []

    def react(number, _):
        sent.append(number)
        return refuse(refusal, status, message)

    async with serve(react=react) as (url, _):
        settings = options(url, data, tmp_path / "run", agent={"max_attempts": 2, "system_in_user": False})
        with pytest.raises(StoppedEarly, match=words) as caught:
            await evaluate_async("hi_tom", **settings)
        assert len(sent) <= 12 * 3, "what was in flight, with its retries"
        assert stored(tmp_path / "run") == []
    assert caught.value.exit_code == 3
    assert "then run the" in caught.value.remedy
    async with serve() as (url, _):
        fixed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert "failed" not in fixed.summary.stop_reasons
    assert len(stored(tmp_path / "run")) == 30, "every refused request was asked again"


@pytest.mark.parametrize(
    "name", ["a parameter", "null content", "no credit in unknown words", "500 for ever"]
)
async def test_what_refuses_every_request_in_mid_run_stops_it_too(
    serve, refusal, data, tmp_path, content, name
):
    """What was there stays, what comes after is owed, and an undisturbed run comes to the same."""
    status, message, words = REFUSED[name]
    sent = []

    def react(number, _):
        sent.append(number)
        return refuse(refusal, status, message) if number > 40 else None

    async with serve() as (url, _):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole", **BRIEF)))
    async with serve(react=react) as (url, _):
        settings = options(url, data, tmp_path / "run", agent={"max_attempts": 2}, **BRIEF)
        with pytest.raises(StoppedEarly, match=words):
            await evaluate_async("hi_tom", **settings)
        assert len(sent) <= 40 + 3 * (20 + 8)
        assert "failed" not in stored(tmp_path / "run")
    async with serve() as (url, _):
        fixed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **BRIEF))
    assert content(fixed) == whole


async def test_an_extractor_that_refuses_everything_stops_the_run(serve, refusal, data, tmp_path, content):
    """Its refusals alone would leave every belief unreadable; once it is fixed, none is."""

    def react(_, body):
        return refusal(400, "temperature is not welcome") if is_extraction(body) else None

    settings = {"extractor": {"mode": "model"}, "protocol": "cot"}
    async with serve() as (url, _):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole", **settings)))
    async with serve(react=react) as (url, counter):
        with pytest.raises(StoppedEarly, match="temperature is not welcome"):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
        assert sum(counter.values()) <= 16
    assert stored(tmp_path / "run") == []
    async with serve() as (url, counter):
        fixed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert content(fixed) == whole
    extractions = sum(is_extraction({"messages": [{"content": t} for t in key[0]]}) for key in counter)
    assert extractions == 30


UNREADABLE = {
    "an extractor that is cut": (
        {"mode": "model"}, lambda body: says("Well,", "length") if is_extraction(body) else None,
        "extractor.max_tokens",
    ),
    "words without an answer": ({"mode": "rules"}, lambda _: says("I like stories."), "extractor.mode model"),
    "replies that are cut": ({"mode": "rules"}, lambda _: says("I li", "length"), "agent.max_tokens"),
}  # fmt: skip


async def test_probes_that_are_all_refused_stop_the_run(serve, refusal, data, tmp_path):
    """A run with --probe true of which every probe is refused ended without a word about probes."""
    refused = []

    def react(_, body):
        if "between you and me" not in body["messages"][-1]["content"]:
            return None
        refused.append(body)
        return refusal(400, "this model answers no such thing")

    async with serve(react=react) as (url, _):
        with pytest.raises(StoppedEarly, match=r"probes of scripted.*no such thing"):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", probe=True))
    assert len(refused) <= 5 + MANY["max_connections"]
    assert stored(tmp_path / "run") == []
    async with serve() as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", probe=True))
    turns = [turn for one in run.conversations() for turn in one.turns]
    assert all(turn.probe.reply.text for turn in turns)


@pytest.mark.parametrize("name", UNREADABLE)
async def test_a_run_of_which_nothing_can_be_read_stops(serve, data, tmp_path, name):
    """Not after 30 conversations of 20 turns, but after 40 replies."""
    extractor, reply, remedy = UNREADABLE[name]
    sent = []

    def react(number, body):
        sent.append(number)
        return reply(body)

    async with serve(react=react) as (url, _):
        settings = options(url, data, tmp_path / "run", extractor=extractor)
        with pytest.raises(StoppedEarly, match="no answer could be read from the first 40 replies") as caught:
            await evaluate_async("hi_tom", **settings)
    assert len(sent) <= 2 * 40 + 16
    assert remedy in caught.value.remedy


async def test_a_readable_reply_among_many_is_enough(serve, data, tmp_path):
    """A weak model is measured, not stopped."""
    async with serve(react=lambda number, _: None if number == 30 else says("I like stories.")) as (url, _):
        run = await evaluate_async(
            "hi_tom", **options(url, data, tmp_path / "run", extractor={"mode": "rules"}, max_turns=3)
        )
    assert run.summary.conversations == 30


async def test_conversations_without_a_candidate_stop_a_sampling(serve, data, tmp_path):
    """All replies are cut: `coral sample` says which option helps, and draws them anew afterwards."""
    settings = {"samples": 1, "candidates": 3, "max_turns": 4}
    async with serve(faults="length:1") as (url, _):
        with pytest.raises(StoppedEarly, match="5 conversations failed in turn 1") as caught:
            await sample_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert "--agent.max_tokens" in caught.value.remedy
    assert stored(tmp_path / "run") == []
    async with serve() as (url, _):
        fixed = await sample_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert "failed" not in fixed.summary.stop_reasons


@pytest.mark.parametrize("rate", [0.3, 0.6])
async def test_a_server_that_fails_many_requests_does_not_stop_the_run(serve, refusal, data, tmp_path, rate):
    """Some requests of each kind come through: failures are data, all are stored."""

    def react(number, _):
        is_bad = number > 20 and random.Random(number).random() < rate
        return refusal(400, "not this one") if is_bad else None

    async with serve(react=react) as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", samples=2))
    assert run.summary.conversations == 60
    assert run.summary.stop_reasons["failed"] > 10


async def test_all_may_fail_where_the_user_says_so(serve, data, tmp_path):
    """`--max_failed_rate 1` is for who wants to see every failure."""
    async with serve(faults="filter:1") as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", max_failed_rate=1.0))
    assert run.summary.stop_reasons == {"failed": 30}


async def test_few_failures_of_a_small_run_are_stored(serve, data, tmp_path):
    """Three refused conversations are no row that tells anything; the run ends, as failed."""
    async with serve(faults="filter:1") as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", limit=3))
    assert run.summary.stop_reasons == {"failed": 3}


UNREAD = {
    "a long run": (
        30,
        "rules",
        says_always("I like stories."),
        "first 40 replies; 40 times: no final answer stated",
    ),
    "a short run": (
        4,
        "rules",
        says_always("I like stories."),
        "any of 8 replies; 8 times: no final answer stated",
    ),
    "one reply": (
        1,
        "rules",
        says_always("I like stories."),
        "any of 2 replies; 2 times: no final answer stated",
    ),
    "cut replies": (4, "rules", says_always("I like", "length"), "--agent.max_tokens"),
    "an extractor that is cut": (4, "model", cut_extractions, "--extractor.max_tokens"),
}


@pytest.mark.parametrize("name", UNREAD)
async def test_a_run_that_is_all_unreadable_exits_with_3_and_says_why(serve, data, tmp_path, name):
    """Whether the run is long enough to be stopped or not; once more where it is finished already."""
    limit, extractor, react, says_so = UNREAD[name]
    arguments = {"data": data, "output": tmp_path / "run", "limit": limit, "protocol": "cot", "samples": 2}
    async with serve(react=react) as (url, _):
        arguments |= {"agent.model": "scripted", "agent.base_url": url, "extractor.mode": extractor}
        flags = [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
        for _sitting in range(1 if limit == 30 else 2):
            process = await create_subprocess_exec(
                sys.executable, "-m", "coral", "eval", "hi_tom", *flags,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            _, errors = await process.communicate()
            told = " ".join(errors.decode().split())
            assert process.returncode == 3, told
            assert "no answer could be read from" in told
            assert says_so in told
            assert "Traceback" not in told
    if limit < 30:
        summary = json.loads((tmp_path / "run" / "summary.json").read_text())
        assert summary["metrics"]["unreadable_rate"]["mean"] == 1.0


async def test_the_option_that_helps_may_change_a_run_that_holds_nothing(serve, refusal, data, tmp_path):
    """With `--output` the fixed command meets the folder of the refused one: it takes it."""
    async with serve(react=lambda *_: refusal(400, "temperature is not welcome")) as (url, _):
        with pytest.raises(StoppedEarly):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    async with serve() as (url, _):
        settings = options(url, data, tmp_path / "run", agent={"temperature": None})
        run = await evaluate_async("hi_tom", **settings)
    assert run.summary.conversations == 30
