"""`--cache DIR`: what was asked before is answered from there, in whatever run, and costs nothing."""

import asyncio
import signal
import sqlite3
import subprocess
import sys

import msgspec
import pytest

from coral.api import evaluate_async, sample_async
from coral.cli import main
from coral.errors import Notice, StoppedEarly
from coral.metrics import Summary
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.protocol import Candidate, Generation, Request, Sampling
from coral.reply_cache import KeptModel
from coral.store.folder import RunFolder
from coral.store.replies import SUFFIX, ReplyStore
from coral.studies.study import study_async
from coral.types import FinishReason, Message, Role, Usage


def options(url, data, cache, **more):
    agent = {"model": "scripted", "base_url": url, "max_tokens": 120}
    return {"agent": agent, "data": data, "limit": 6, "cache": str(cache), **more}


def priced(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text("scripted: {prompt: 1, completion: 2}\n")
    return str(path)


def texts(run):
    return {
        talk.id: [[reply.text for reply in turn.replies] for turn in talk.turns]
        for talk in run.conversations()
    }


async def test_the_second_run_asks_nothing_and_costs_nothing(serve, data, tmp_path):
    """Extraction included: the same conversations, marked and counted, their tokens kept, their cost 0."""
    more = {"extractor": {"mode": "model"}, "prices": priced(tmp_path)}
    async with serve(stubbornness=0.8) as (url, counter):
        asked = options(url, data, tmp_path / "cache", **more)
        first = await evaluate_async("hi_tom", output=str(tmp_path / "first"), **asked)
        sent = sum(counter.values())
        again = await evaluate_async("hi_tom", output=str(tmp_path / "again"), **asked)
        assert sum(counter.values()) == sent
        apart = await evaluate_async("hi_tom", output=str(tmp_path / "c"), **{**asked, "cache": None})
        assert sum(counter.values()) == 2 * sent, "off by default"
    assert texts(again) == texts(first) == texts(apart)
    before, after = first.summary, again.summary
    assert before.requests == sent
    assert before.cost > 0
    assert (after.requests, after.cost) == (0, 0.0)
    assert after.metrics["cost"].mean == 0.0
    assert after.metrics["total_tokens"].mean == before.metrics["total_tokens"].mean
    assert {role: one.from_cache for role, one in after.usage.items()} == {
        role: one.calls for role, one in before.usage.items()
    }
    reply = next(again.conversations()).turns[0].reply
    assert (reply.billing, reply.extraction.billing) == ("cache", "cache")
    assert all(not one.from_cache for one in before.usage.values())


async def test_what_is_shared_by_two_runs_is_asked_once(serve, data, tmp_path):
    """A run that grows by problems and by samples pays for what is new alone."""
    async with serve() as (url, counter):
        asked = options(url, data, tmp_path / "cache", extractor={"mode": "rules"}, protocol="cot")
        await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
        assert sum(counter.values()) == 6
        more = {**asked, "limit": 8, "samples": 2}
        run = await evaluate_async("hi_tom", output=str(tmp_path / "b"), **more)
        assert sum(counter.values()) == 16
    assert run.summary.usage["agent"].from_cache == 6


async def test_samples_and_seeds_do_not_collapse(serve, data, tmp_path):
    """Every sample of a problem, and every seed and salt, is a request of its own."""
    async with serve(accuracy=0.5) as (url, counter):
        asked = options(url, data, tmp_path / "cache", protocol="cot", limit=2, extractor={"mode": "rules"})
        await evaluate_async("hi_tom", output=str(tmp_path / "a"), samples=5, **asked)
        assert sum(counter.values()) == 10
        assert set(counter.values()) == {1}
        await evaluate_async("hi_tom", output=str(tmp_path / "b"), seed=1, data_seed=0, **asked)
        await evaluate_async("hi_tom", output=str(tmp_path / "c"), salt="x", **asked)
        assert sum(counter.values()) == 14


async def test_candidates_of_a_turn_are_kept_together(serve, data, tmp_path):
    """A sampling with candidates and roll-outs is found again as a whole."""
    async with serve(stubbornness=0.8) as (url, counter):
        asked = options(url, data, tmp_path / "cache", samples=2, candidates=3, rollouts=1, limit=2)
        first = await sample_async("hi_tom", output=str(tmp_path / "a"), **asked)
        sent = sum(counter.values())
        again = await sample_async("hi_tom", output=str(tmp_path / "b"), prices=priced(tmp_path), **asked)
        assert sum(counter.values()) == sent
    assert texts(again) == texts(first)
    assert (again.summary.requests, again.summary.cost) == (0, 0.0)
    assert any(len(set(turn)) > 1 for turns in texts(first).values() for turn in turns)


async def test_the_arms_of_a_study_share_the_cache(serve, data, tmp_path):
    """Two studies in two folders pay once, and the second says that it did not pay."""
    async with serve() as (url, counter):
        sent = []
        for name in ("a", "b"):
            results = await study_async(
                {
                    "task": {"name": "hi_tom"},
                    "agent": {"model": "scripted", "base_url": url},
                    "extractor": {"mode": "rules"},
                    "data": data,
                    "limit": 3,
                    "cache": str(tmp_path / "cache"),
                    "output": str(tmp_path / name),
                    "arms": {"alone": {"protocol": "cot"}, "pair": {}},
                }
            )
            assert results is not None
            sent.append(sum(counter.values()))
        assert sent[0] == sent[1] > 0
    summary = RunFolder(tmp_path / "b" / "arms" / "pair").read("summary.json", Summary)
    assert summary.requests == 0


KEY_OF = {"messages": (Message(Role.USER, "x"),), "sampling": Sampling(temperature=0.7), "seed": 1}


def kept(tmp_path, **config):
    config = {"model": "m", "base_url": "http://127.0.0.1:9/v1", **config}
    return KeptModel(build_model(ModelConfig(**config)), ReplyStore(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("config", "request_", "same"),
    [
        ({}, {}, True),
        ({"api_key_env": "OTHER_KEY"}, {}, True),
        ({"max_connections": 3, "max_attempts": 2}, {}, True),
        ({}, {"conversation_id": "elsewhere#3"}, True),
        ({"model": "n"}, {}, False),
        ({"base_url": "http://127.0.0.1:8/v1"}, {}, False),
        ({"revision": "v2"}, {}, False),
        ({"thinking_tokens": 0}, {}, False),
        ({}, {"messages": (Message(Role.SYSTEM, "x"),)}, False),
        ({}, {"messages": (Message(Role.USER, "x"), Message(Role.USER, ""))}, False),
        ({}, {"sampling": Sampling(temperature=0.8)}, False),
        ({}, {"sampling": Sampling(temperature=0.7, max_tokens=3)}, False),
        ({}, {"sampling": Sampling(temperature=0.7, stop=("x",))}, False),
        ({}, {"sampling": Sampling(temperature=0.7, extra=msgspec.Raw(b'{"top_k":3}'))}, False),
        ({}, {"sampling": Sampling(temperature=0.7, logprobs=True)}, False),
        ({}, {"seed": 2}, False),
        ({}, {"seed": None}, False),
        ({}, {"n": 2}, False),
    ],
)
def test_what_makes_two_requests_one(tmp_path, monkeypatch, config, request_, same):
    """What reaches the model and decides its reply, and nothing else; never a key."""
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    one = kept(tmp_path).key(Request(**KEY_OF))
    other = kept(tmp_path, **config).key(Request(**{**KEY_OF, **request_}))
    assert (one == other) == same


@pytest.mark.parametrize(("model", "seed"), [("anthropic/claude-x", 1), ("gemini/g", 1), ("openai/m", None)])
def test_without_a_seed_at_the_server_samples_stay_apart(tmp_path, monkeypatch, model, seed):
    """Where no seed is sent, equal requests of two samples are still two."""
    for name in ("ANTHROPIC", "GEMINI", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    asked = kept(tmp_path, model=model, base_url=None)
    first, second = (Request(**{**KEY_OF, "seed": seed}, conversation_id=f"p#{n}") for n in (0, 1))
    assert asked.key(first) != asked.key(second)
    assert asked.key(first) == asked.key(first)


def test_the_place_is_the_pool_or_the_revision(tmp_path):
    """A server that is started on another port is the same model, if its revision says so."""
    keys = {
        kept(tmp_path, base_url=f"http://127.0.0.1:{port}/v1", revision="a").key(Request(**KEY_OF))
        for port in (1, 2)
    }
    assert len(keys) == 1


async def test_no_key_is_in_the_folder(serve, data, tmp_path, monkeypatch):
    """The folder may be copied to others."""
    monkeypatch.setenv("MY_KEY", "sk-very-secret-1234567890")
    async with serve() as (url, _):
        asked = options(url, data, tmp_path / "cache", limit=2)
        asked["agent"]["api_key_env"] = "MY_KEY"
        await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
    for path in (tmp_path / "cache").iterdir():
        assert b"sk-very-secret" not in path.read_bytes()


@pytest.mark.parametrize(
    "value", [b"", b"{", b'{"candidates":[]}', b'{"other":1}', b"\xff\xfe", b'{"candidates":1,"usage":{}}']
)
async def test_an_entry_that_is_no_generation_is_asked_again(serve, data, tmp_path, value):
    """Named, replaced, and the run is as it would have been."""
    async with serve() as (url, counter):
        asked = options(url, data, tmp_path / "cache", protocol="cot", limit=1, extractor={"mode": "rules"})
        first = await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
        (path,) = (tmp_path / "cache").glob(f"*{SUFFIX}")
        with sqlite3.connect(path) as raw:
            (key,) = raw.execute("SELECT key FROM replies").fetchone()
        raw.close()
        store = ReplyStore(tmp_path / "cache")
        store.keep(key, value)
        store.close()
        with pytest.warns(Notice, match=f"{key.hex()} .* is damaged"):
            again = await evaluate_async("hi_tom", output=str(tmp_path / "b"), **asked)
        assert sum(counter.values()) == 2
        third = await evaluate_async("hi_tom", output=str(tmp_path / "c"), **asked)
        assert sum(counter.values()) == 2
    assert texts(first) == texts(again) == texts(third)


async def test_failures_are_not_kept(serve, refusal, data, tmp_path):
    """A server that failed is asked again in the next run."""
    failing = [True]

    def react(number, _):
        return refusal(500, "broken") if failing[0] and number > 1 else None

    async with serve(react=react) as (url, _):
        asked = options(url, data, tmp_path / "cache", protocol="cot", limit=3, max_failed_rate=1.0)
        asked["agent"] |= {"max_attempts": 1, "backoff_s": 0.001}
        first = await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
        assert first.summary.stop_reasons["failed"] == 2
        failing[0] = False
        again = await evaluate_async("hi_tom", output=str(tmp_path / "b"), **asked)
    assert "failed" not in again.summary.stop_reasons


async def test_money_is_not_set_aside_for_what_is_there(serve, data, tmp_path):
    """A limit of almost nothing stops a run that asks, and lets one pass that finds all in the cache."""
    async with serve(stubbornness=0.8) as (url, _):
        more = {"prices": priced(tmp_path), "extractor": {"mode": "rules"}}
        asked = options(url, data, tmp_path / "cache", **more)
        await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
        for limit in ({"max_cost": 1e-9}, {"max_tokens_total": 1}):
            name, elsewhere = next(iter(limit)), {**asked, "cache": None}
            with pytest.raises(StoppedEarly):
                await evaluate_async("hi_tom", output=str(tmp_path / name), **elsewhere, **limit)
            run = await evaluate_async("hi_tom", output=str(tmp_path / f"c{name}"), **asked, **limit)
            assert run.summary.cost == 0.0
            grown = await evaluate_async(
                "hi_tom", output=str(tmp_path / f"c{name}"), **{**asked, "limit": 6}, **limit
            )
            assert grown.summary.conversations == 6


def command(url, data, path, cache, **more):
    flags = {
        "agent.model": "scripted", "agent.base_url": url, "data": data, "output": path, "limit": 30,
        "max_connections": 6, "extractor.mode": "model", "cache": cache, **more,
    }  # fmt: skip
    return [
        sys.executable, "-m", "coral", "eval", "hi_tom",
        *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
    ]  # fmt: skip


async def test_what_a_killed_run_was_told_is_there_for_the_next(serve, data, tmp_path):
    """kill -9: of all that both runs ask, only what was in flight is asked twice. Said at the end."""
    async with serve(latency_s=0.004) as (url, counter):
        process = await asyncio.create_subprocess_exec(
            *command(url, data, tmp_path / "a", tmp_path / "cache"), stdout=subprocess.DEVNULL
        )
        while sum(counter.values()) < 60:
            await asyncio.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        again = await asyncio.create_subprocess_exec(
            *command(url, data, tmp_path / "b", tmp_path / "cache", processes=2),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, _ = await again.communicate()
        assert again.returncode == 0
        assert "from the cache, free" in said.decode()
        assert sum(counter.values()) - len(counter) <= 6
    run = RunFolder(tmp_path / "b")
    assert sum(1 for _ in run.conversations()) == 30


def test_it_says_what_cannot_be_the_folder(tmp_path, capsys, data):
    """Before anything is asked: exit code 2, cause and remedy."""
    (tmp_path / "file").write_text("x")
    flags = ["--data", data, "--limit", "1", "--output", str(tmp_path / "run")]
    assert main(["eval", "hi_tom", *flags, "--cache", str(tmp_path / "file")]) == 2
    said = capsys.readouterr().err
    assert "the response cache" in said
    assert "Traceback" not in said


def test_a_generation_is_kept_whole(tmp_path):
    """Every field comes back as it was."""
    candidate = Candidate(
        text="é\U0001f600 \ufffd", finish_reason=FinishReason.LENGTH, reasoning="r",
        usage=Usage(cached_tokens=1), token_ids=(1, 2), token_logprobs=(-0.5, -1.25), overrun=3,
    )  # fmt: skip
    whole = Generation(
        candidates=(candidate,) * 2, usage=Usage(prompt_tokens=3), latency_s=1.5, attempts=2,
        prompt_token_ids=(7,), billing="batch",
    )  # fmt: skip
    asked = kept(tmp_path)
    key = asked.key(Request(**KEY_OF))
    asked._store.keep(key, msgspec.json.encode(whole))
    assert asked._find(key) == whole
