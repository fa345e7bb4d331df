"""`--batch`: a turn of all conversations is one batch, at half price; a killed run submits nothing twice."""

import asyncio
import json
import signal
import subprocess
import sys

import pytest

from coral.api import estimate, evaluate_async
from coral.batches.anthropic import completion, native
from coral.batches.gather import Waiting
from coral.batches.record import BatchRecord
from coral.batches.wire import State
from coral.errors import ConfigError, StoppedEarly
from coral.evaluation.config import EvalConfig
from coral.evaluation.processes import run as run_eval
from coral.evaluation.progress import Progress
from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, generate
from coral.models.config import ModelConfig
from coral.options import build_config


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Batches of tests begin and end at once."""
    monkeypatch.setattr("coral.batches.gather.QUIET_S", 0.05)
    monkeypatch.setattr("coral.batches.gather.PATIENCE_S", 0.3)
    monkeypatch.setattr("coral.batches.gather.FIRST_POLL_S", 0.01)


def options(server, data, **more):
    agent = {"model": server.model, "base_url": server.url, "max_tokens": 120, "backoff_s": 0.001}
    return {"agent": agent, "data": data, "limit": 8, "extractor": {"mode": "rules"}, "batch": True, **more}


def prices(tmp_path):
    path = tmp_path / "prices.yaml"
    path.write_text(
        "scripted: {prompt: 1, completion: 2}\nanthropic/claude-scripted: {prompt: 1, completion: 2}\n"
    )
    return str(path)


def texts(run):
    return {talk.id: [turn.reply.text for turn in talk.turns] for talk in run.conversations()}


async def test_a_run_by_batches_is_the_run_at_half_the_price(openai, data, tmp_path):
    """The same conversations as asked directly; one batch per turn; each reply says how it was paid for."""
    asked = options(openai, data, prices=prices(tmp_path))
    run = await evaluate_async("hi_tom", output=str(tmp_path / "batch"), **asked)
    direct = {**asked, "batch": False, "agent": {**asked["agent"], "base_url": openai.backend}}
    other = await evaluate_async("hi_tom", output=str(tmp_path / "direct"), **direct)
    assert texts(run) == texts(other)
    assert run.summary.cost == pytest.approx(other.summary.cost / 2)
    assert run.summary.metrics["total_tokens"].mean == other.summary.metrics["total_tokens"].mean
    assert all(role.batched == role.calls for role in run.summary.usage.values())
    longest = max(len(turns) for turns in texts(run).values())
    assert len(openai.batches) == longest, "a turn of all conversations is one batch"
    assert openai.most_at_once == 8
    assert set(openai.sent.values()) == {1}


async def test_both_providers_hold_whole_runs(provider, data, tmp_path):
    """Results come in another order than requests went; they are told by their ids."""
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **options(provider, data))
    assert "failed" not in run.summary.stop_reasons
    assert run.summary.conversations == 8
    assert set(provider.sent.values()) == {1}
    reply = next(run.conversations()).turns[0].reply
    assert reply.billing == "batch"
    assert reply.usage.prompt_tokens > 0


async def test_samples_of_one_problem_stay_apart(provider, data, tmp_path):
    """Their first requests may be word for word the same: each is an item of its own."""
    asked = options(provider, data, limit=1, samples=4, protocol="cot")
    await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert len(provider.sent) == 4


@pytest.mark.parametrize("what", ["expired", (500, "overloaded, try again"), (429, "slow down")])
async def test_items_that_came_to_nothing_are_sent_again(provider, data, tmp_path, what):
    """Partly expired or failed batches: only those items are in the next one."""
    provider.item = lambda batch, number: what if batch == 1 and number < 3 else None
    asked = options(provider, data, protocol="cot")
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert "failed" not in run.summary.stop_reasons
    assert sorted(provider.sent.values()) == [1] * 5 + [2] * 3


async def test_results_that_are_missing_are_sent_again(openai, data, tmp_path):
    """Neither in the output file nor in that of errors."""
    openai.item = lambda batch, number: "missing" if batch == 1 and number == 2 else None
    run = await evaluate_async(
        "hi_tom", output=str(tmp_path / "run"), **options(openai, data, protocol="cot")
    )
    assert "failed" not in run.summary.stop_reasons
    assert sum(openai.sent.values()) == 9


async def test_a_refused_item_fails_its_conversation_alone(provider, data, tmp_path):
    """With the provider's words; the others go on."""
    provider.item = lambda batch, number: (
        (400, "this text is not wanted") if (batch, number) == (1, 0) else None
    )
    asked = options(provider, data, protocol="cot", max_failed_rate=1.0)
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.stop_reasons["failed"] == 1
    (failed,) = (talk for talk in run.conversations() if talk.failure)
    assert "this text is not wanted" in failed.failure.message


async def test_a_setting_that_the_model_refuses_is_changed_for_the_next_batch(provider, data, tmp_path):
    """As where it is asked directly: said, kept for later turns, and nothing fails."""

    def react(body):
        return (400, "`temperature` is not supported with this model") if "temperature" in body else None

    provider.react = react
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **options(provider, data))
    assert "failed" not in run.summary.stop_reasons
    assert [made.setting for made in run.summary.adjustments] == ["temperature"]
    longest = max(len(turns) for turns in texts(run).values())
    assert len(provider.batches) == longest + 1


async def test_a_whole_batch_that_expired_is_sent_again(provider, data, tmp_path):
    """What was answered before it expired is kept."""
    provider.fate = lambda batch: "expired" if batch == 1 else "completed"
    run = await evaluate_async(
        "hi_tom", output=str(tmp_path / "run"), **options(provider, data, protocol="cot")
    )
    assert "failed" not in run.summary.stop_reasons
    assert sorted(provider.sent.values()) == [1] * 4 + [2] * 4


async def test_an_item_that_never_comes_fails(openai, data, tmp_path):
    """After four batches; the run ends, and says so."""
    openai.item = lambda batch, number: "expired" if number == 0 else None
    asked = options(openai, data, protocol="cot", limit=3, max_failed_rate=1.0)
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.stop_reasons["failed"] == 1
    assert max(openai.sent.values()) == 4


@pytest.mark.parametrize("fate", ["failed", "cancelled"])
async def test_a_batch_that_is_ended_by_the_provider_or_the_user_stops_the_run(openai, data, tmp_path, fate):
    """Nothing is sent on its own account; the same command sends what is owed."""
    openai.fate = lambda batch: fate if batch == 1 else "completed"
    asked = options(openai, data, protocol="cot")
    with pytest.raises(StoppedEarly, match=f"batch_1 has ended .*{fate}") as caught:
        await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    if fate == "failed":
        assert "Enqueued token limit" in str(caught.value)
    assert len(openai.batches) == 1
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.conversations == 8
    twice = 8 if fate == "failed" else 4
    assert sorted(openai.sent.values()) == [1] * (8 - twice) + [2] * twice


async def test_a_lost_answer_to_the_begin_of_a_batch_begins_none_twice(provider, data, tmp_path):
    """The connection breaks after the provider took the batch: it is found in its list."""
    provider.break_off = {1, 2}
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **options(provider, data))
    assert "failed" not in run.summary.stop_reasons
    assert set(provider.sent.values()) == {1}


@pytest.mark.parametrize(
    ("refusal", "words"),
    [((401, "Incorrect API key provided"), "key"), ((403, "no batches for you"), "no batches")],
)
async def test_a_refused_batch_stops_the_run(provider, data, tmp_path, refusal, words):
    """With the provider's words, and nothing is stored as failed."""
    from coral.errors import CoralError

    provider.refuse = lambda number: refusal
    with pytest.raises(CoralError, match=words):
        await evaluate_async("hi_tom", output=str(tmp_path / "run"), **options(provider, data))
    assert not provider.batches


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_busy_provider_is_asked_again(provider, data, tmp_path, status):
    """The begin of a batch may be put off."""
    provider.refuse = lambda number: (status, "try again later") if number == 1 else None
    asked = options(provider, data, protocol="cot", limit=2)
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.conversations == 2
    assert set(provider.sent.values()) == {1}


def command(server, data, path, **more):
    flags = {
        "agent.model": server.model,
        "agent.base_url": server.url,
        "data": data,
        "output": path,
        "limit": 6,
        "extractor.mode": "rules",
        "batch": "true",
        "protocol": "cot",
        **more,
    }
    return [
        sys.executable,
        "-m",
        "coral",
        "eval",
        "hi_tom",
        *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
    ]


async def test_after_a_kill_nothing_is_submitted_twice(provider, data, tmp_path):
    """kill -9 while the batch is under way: the next session waits for that very batch, and says so."""
    provider.polls = 10**9
    arguments = command(provider, data, tmp_path / "run")
    process = await asyncio.create_subprocess_exec(*arguments, stderr=subprocess.DEVNULL)
    while not any(batch["left"] < provider.polls for batch in provider.batches.values()):
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    for batch in provider.batches.values():
        batch["left"] = 1
    again = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said, _ = await again.communicate()
    assert again.returncode == 0, said.decode()
    assert "was begun by an earlier session" in said.decode()
    assert set(provider.sent.values()) == {1}
    assert len(provider.sent) == 6


async def test_a_kill_before_the_id_is_known_submits_nothing_twice(provider, data, tmp_path):
    """The intention is on disk before the call: the next session looks for the batch at the provider."""
    asked = options(provider, data, protocol="cot")
    folder = tmp_path / "run"
    await evaluate_async("hi_tom", output=str(folder), **{**asked, "limit": 8})
    (path,) = folder.rglob("batches/*/*.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    other = tmp_path / "other"
    provider.polls = 1
    for batch in provider.batches.values():
        batch["left"] = 1
    place = other / path.relative_to(folder)
    place.parent.mkdir(parents=True)
    place.write_bytes(lines[0])  # the line of intention alone, as a kill would leave it
    (other / path.relative_to(folder).parts[0]).rename(other / "kept")
    run_folder = tmp_path / "fresh"
    await _start_and_stop(asked, run_folder)
    (other / "kept").rename(run_folder / "batches")
    run = await evaluate_async("hi_tom", output=str(run_folder), **asked)
    assert run.summary.conversations == 8
    assert set(provider.sent.values()) == {1}


async def _start_and_stop(asked, folder):
    """A run folder that has begun, and has asked nothing."""
    progress = Progress()
    progress.stopping = True
    config = build_config(EvalConfig, {**asked, "task": {"name": "hi_tom"}, "output": str(folder)}, "run")
    await run_eval(config, progress)


async def test_a_stop_leaves_the_batch_to_the_next_session(openai, data, tmp_path):
    """A run that waits for hours stops at once; the batch goes on."""
    openai.polls = 10**9
    asked = options(openai, data, protocol="cot")
    config = build_config(
        EvalConfig, {**asked, "task": {"name": "hi_tom"}, "output": str(tmp_path / "run")}, "run"
    )
    progress = Progress()
    running = asyncio.create_task(run_eval(config, progress))
    while "waiting for batch batch_1 0/8" not in progress.waiting_for():
        await asyncio.sleep(0.01)
    progress.stopping = True
    run = await asyncio.wait_for(running, 10)
    assert run.summary is None
    assert any("8 requests at half price" in note for note in progress.notes)
    openai.batches["batch_1"]["left"] = 1
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.conversations == 8
    assert set(openai.sent.values()) == {1}


async def test_a_batch_that_the_provider_has_forgotten_is_sent_anew(openai, data, tmp_path):
    """Results are kept for a month; after that the same command asks again."""
    openai.fate = lambda batch: "failed"
    asked = options(openai, data, protocol="cot")
    with pytest.raises(StoppedEarly):
        await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    openai.batches.clear()
    openai.fate = lambda batch: "completed"
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.conversations == 8


async def test_the_limit_on_money_holds_at_the_price_of_batches(openai, data, tmp_path):
    """What may be spent is set aside at half price, and a run stops before its limit."""
    asked = options(openai, data, prices=prices(tmp_path), protocol="cot")
    whole = await evaluate_async("hi_tom", output=str(tmp_path / "whole"), **asked)
    limit = whole.summary.cost * 0.6
    with pytest.raises(StoppedEarly, match="the run has spent"):
        await evaluate_async("hi_tom", output=str(tmp_path / "run"), max_cost=limit, **asked)
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), max_cost=10 * limit, **asked)
    assert run.summary.cost == pytest.approx(whole.summary.cost)


async def test_batches_fill_the_cache(openai, data, tmp_path):
    """What a batch answered is free in the next run."""
    asked = options(openai, data, cache=str(tmp_path / "cache"), prices=prices(tmp_path), protocol="cot")
    await evaluate_async("hi_tom", output=str(tmp_path / "a"), **asked)
    again = await evaluate_async("hi_tom", output=str(tmp_path / "b"), **asked)
    assert (again.summary.cost, len(openai.batches)) == (0.0, 1)


@pytest.mark.parametrize("model", ["groq/llama", "gemini/gemini-3-flash", "vllm/m"])
async def test_models_without_batches_are_refused(data, tmp_path, monkeypatch, openai, model):
    """Where nothing could be asked by a batch, the option is a mistake."""
    for name in ("GROQ", "GEMINI"):
        monkeypatch.setenv(f"{name}_API_KEY", "sk-test")
    asked = options(openai, data)
    if model.startswith("vllm"):
        asked["agent"] = {"model": model, "base_url": openai.url}
    else:
        monkeypatch.setattr("coral.agents.open.Models._reach", _reached)
        asked["agent"] = {"model": model}
    with pytest.raises(ConfigError, match="no model here is sold in batches"):
        await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)


def read_by_model(server, data, tmp_path, **more):
    """A run whose turns are all read by a model at the same provider, other than the agents'."""
    asked = options(server, data, prices=prices(tmp_path), protocol="cot", **more)
    return {**asked, "extractor": {**asked["agent"], "mode": "model"}}


async def test_the_extractor_is_asked_by_batches(provider, data, tmp_path):
    """At half the price, counted, each request once; of one model both kinds may share a batch."""
    run = await evaluate_async(
        "hi_tom", output=str(tmp_path / "run"), **read_by_model(provider, data, tmp_path)
    )
    assert run.summary.usage["extractor"].batched == run.summary.usage["extractor"].calls == 8
    assert set(provider.sent.values()) == {1}
    assert len(provider.batches) == 2, "all turns, then all readings"
    extraction = next(run.conversations()).turns[0].reply.extraction
    assert (extraction.by, extraction.billing) == ("model", "batch")
    used = run.summary.usage.values()
    tokens = [(role.prompt_tokens, role.completion_tokens) for role in used]
    assert run.summary.cost == pytest.approx(sum(read + 2 * written for read, written in tokens) / 2e6)


async def test_a_killed_reading_is_not_submitted_twice(provider, data, tmp_path):
    """The run stops while the batch of readings is under way; the next session takes what came of it."""
    provider.polls = 1
    asked = read_by_model(provider, data, tmp_path)
    config = build_config(
        EvalConfig, {**asked, "task": {"name": "hi_tom"}, "output": str(tmp_path / "run")}, "run"
    )
    progress = Progress()
    running = asyncio.create_task(run_eval(config, progress))
    while not provider.batches:
        await asyncio.sleep(0.005)
    provider.polls = 10**9
    while len(provider.batches) < 2:
        await asyncio.sleep(0.005)
    progress.stopping = True
    await asyncio.wait_for(running, 20)
    for batch in provider.batches.values():
        batch["left"] = 1
    provider.polls = 1
    run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), **asked)
    assert run.summary.conversations == 8
    assert set(provider.sent.values()) == {1}


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
async def test_a_judge_is_asked_by_batches(openai, tmp_path):
    """Agents that are no model of a provider, graded by one: each answer once, in one batch."""
    rows = tmp_path / "why.jsonl"
    rows.write_text("".join(f'{{"question": "Why ({n})?", "answer": "Air."}}\n' for n in range(5)))

    async def judge(body):
        message = {"role": "assistant", "content": "Verdict: right"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}

    openai.ask = judge
    run = await evaluate_async(
        {"name": "open", "judge": {"model": "scripted", "base_url": openai.url}}, data=str(rows), batch=True,
        agent=lambda messages: "Answer: It scatters.", protocol="cot", samples=2, prices=prices(tmp_path),
        output=str(tmp_path / "run"),
    )  # fmt: skip
    assert (run.summary.judged.right, run.summary.metrics["accuracy"].n) == (5, 10)
    used = run.summary.usage["judge"]
    assert (used.calls, used.batched, len(openai.batches)) == (5, 5, 1)


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
def test_an_estimate_halves_the_price_of_agent_extractor_and_judge(tmp_path):
    """Where all of them are sold in batches, so is everything."""
    rows = tmp_path / "why.jsonl"
    rows.write_text('{"question": "Why?", "answer": "Air."}\n')
    task = {
        "name": "open",
        "question": "question",
        "answer": "answer",
        "judge": {"model": "openai/gpt-5-mini"},
    }
    asked = {"data": str(rows), "agent": "openai/gpt-5-mini", "extractor": "openai/gpt-5-nano"}
    half, whole = (estimate(task, batch=batch, **asked).volumes for batch in (True, False))
    assert [one.usd for one in half] == pytest.approx([one.usd / 2 for one in whole])


async def _reached(self, model):
    """Nothing outside of this machine is asked."""


async def test_rows_are_one_batch(provider, tmp_path):
    """`coral generate`: all rows at once; a second run resumes nothing, and the cost is halved."""
    rows = tmp_path / "in.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"say {n}"}) + "\n" for n in range(5)))
    config = GenerateConfig(
        input=str(rows),
        output=str(tmp_path / "out.jsonl"),
        batch=True,
        prices=prices(tmp_path),
        agent=ModelConfig(model=provider.model, base_url=provider.url),
    )
    counts = await asyncio.wait_for(generate(config, Counts()), 60)
    assert (counts.answered, counts.batched, len(provider.batches)) == (5, 5, 1)
    assert counts.usd == pytest.approx((counts.prompt_tokens + 2 * counts.completion_tokens) / 2e6)


@pytest.mark.parametrize(
    ("chat", "expected"),
    [
        (
            {
                "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
                "max_tokens": 5,
            },
            {"system": "s", "messages": [{"role": "user", "content": "u"}], "max_tokens": 5},
        ),
        (
            {
                "messages": [{"role": "user", "content": "u"}],
                "stop": ["x"],
                "seed": 3,
                "n": 1,
                "logprobs": True,
            },
            {"messages": [{"role": "user", "content": "u"}], "stop_sequences": ["x"], "max_tokens": 4096},
        ),
        (
            {"messages": [], "max_completion_tokens": 7, "temperature": 0.0, "top_p": 0.5, "top_k": 3},
            {"messages": [], "max_tokens": 7, "temperature": 0.0, "top_p": 0.5, "top_k": 3},
        ),
        (
            {"messages": [], "max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 4}},
            {"messages": [], "max_tokens": 9, "thinking": {"type": "enabled", "budget_tokens": 4}},
        ),
    ],
)
def test_a_chat_completion_as_anthropics_message(chat, expected):
    """What both know is kept, what one does not know is left out."""
    assert native(json.dumps({"model": "m", **chat}).encode()) == {"model": "m", **expected}


def test_anthropics_message_as_a_chat_completion():
    """Texts are joined, thinking stands apart, and every token that was read is counted."""
    message = {
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "a"},
            {"type": "text", "text": "b"},
        ],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 1,
            "output_tokens": 3,
        },
    }
    found = completion(message)
    assert found["choices"][0]["message"] == {"role": "assistant", "content": "ab", "reasoning_content": "hm"}
    assert found["usage"]["prompt_tokens"] == 15
    assert found["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
    assert completion({})["usage"]["prompt_tokens"] is None


def test_the_record_keeps_the_latest_batch_of_each_request(tmp_path):
    """Through sessions; what came to nothing is in no batch any more."""
    record = BatchRecord(tmp_path)
    first = record.intend(["a", "b"])
    record.name(first, "one")
    second = record.intend(["b", "c"])
    record.close()
    again = BatchRecord(tmp_path)
    assert {key: (one.tag, one.id) for key, one in again.by_key().items()} == {
        "a": (first.tag, "one"),
        "b": (second.tag, ""),
        "c": (second.tag, ""),
    }
    assert again.ids == {"one"}
    again.keep(again.by_key()["a"], {"a"})
    again.keep(again.by_key()["b"], set())
    again.close()
    assert BatchRecord(tmp_path).by_key().keys() == {"a"}


def test_what_is_waited_for_is_said_in_few_words():
    """The first batch, and how many more."""
    waiting = Waiting(lambda: 0)
    assert waiting.describe() == ""
    waiting.states["b1"] = State(done=3, of=8, ended=False)
    assert waiting.describe() == "waiting for batch b1 3/8"
    waiting.states["b2"] = State(done=0, of=1, ended=False)
    assert waiting.describe() == "waiting for batch b1 3/8 and 1 more"


@pytest.mark.parametrize(
    ("model", "half"),
    [
        ({"model": "openai/gpt-4o"}, True),
        ({"model": "anthropic/claude-sonnet-5"}, True),
        ({"model": "scripted", "base_url": "http://127.0.0.1:9/v1"}, True),
        ({"model": "groq/openai/gpt-oss-20b"}, False),
        ({"model": "vllm/scripted", "base_url": "http://127.0.0.1:9/v1"}, False),
    ],
)
def test_what_a_run_would_cost_is_said_at_the_price_of_batches(data, tmp_path, model, half):
    """Before anything is sent: half of it, where the model is sold in batches."""
    asked = {
        "agent": model,
        "data": data,
        "limit": 2,
        "extractor": {"mode": "rules"},
        "prices": prices(tmp_path),
    }
    plain = estimate("hi_tom", **asked)
    batched = estimate("hi_tom", batch=True, **asked)
    for one, other in zip(batched.volumes, plain.volumes, strict=True):
        assert one.usd == pytest.approx(other.usd / 2 if half else other.usd)
