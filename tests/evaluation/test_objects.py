"""Functions and model objects as agents: real runs in this process, without a server."""

import asyncio
import functools
import json
import sys
import threading
from pathlib import Path

import pytest

import coral
from coral.api import estimate, evaluate_async, load_run, sample_async
from coral.errors import ConfigError, Notice
from coral.models.protocol import Candidate, Generation
from coral.models.scripted import ScriptedModel
from coral.types import FinishReason, StopReason, Usage

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def hi_tom():
    """The records that the scripted server knows."""
    return str(DATA / "hi_tom" / "Hi-ToM_data.sample.json")


@pytest.fixture(name="data")
def gsm8k():
    """Real records whose answers are numbers."""
    return str(DATA / "gsm8k" / "test.sample.jsonl")


def options(path, **more):
    return {"output": str(path), "limit": 4, "max_turns": 4, **more}


def seven(messages):
    """A sync function: always 7."""
    assert all(set(message) == {"role", "content"} for message in messages)
    return r"Three and four. \boxed{7}"


async def seven_async(messages):
    await asyncio.sleep(0)
    return seven(messages)


class Callable_:  # noqa: N801
    async def __call__(self, messages):
        return seven(messages)


class Bot:
    """A method of an object, which keeps a count."""

    def __init__(self):
        self.calls = 0

    def answer(self, messages):
        self.calls += 1
        return seven(messages)


class Foreign:
    """A model object of somebody else, without a context manager."""

    name = "foreign/model"

    async def generate(self, request):
        candidate = Candidate(text=seven([]), finish_reason=FinishReason.STOP)
        return Generation(
            candidates=(candidate,) * request.n, usage=Usage(completion_tokens=7), latency_s=0.0
        )


@pytest.mark.parametrize(
    "agent",
    [
        seven,
        seven_async,
        Callable_(),
        Bot().answer,
        functools.partial(seven),
        lambda messages: f"{len(messages)} messages. The answer is 7.",
        Foreign(),
        ScriptedModel(lambda _: seven([])),
        {"model": seven, "system_prompt": "Answer with a number."},
    ],
    ids=["sync", "async", "callable", "method", "partial", "lambda", "model", "scripted", "mapping"],
)
async def test_whatever_turns_messages_into_text_is_an_agent(agent, tmp_path, data):
    """A function, sync or async, a callable, a Model: a whole run of each, every turn read by the rules."""
    run = await evaluate_async("gsm8k", data=data, agent=agent, **options(tmp_path / "run"))
    conversations = list(run.conversations())
    assert [c.stop for c in conversations] == [StopReason.AGREED] * 4
    assert {turn.reply.belief.value for c in conversations for turn in c.turns} == {"7"}
    assert run.summary.metrics["valid_answer_rate"].mean == 1.0


async def test_objects_stand_beside_names(serve, hi_tom, tmp_path):
    """A function talks with a served model; records and run.json tell who is who."""
    async with serve() as (url, _):
        run = await evaluate_async(
            "hi_tom", data=hi_tom, agent={"model": "scripted", "base_url": url}, partner=seven,
            extractor={"mode": "rules"}, **options(tmp_path / "run"),
        )  # fmt: skip
    speakers = {speaker.name: speaker.model for speaker in next(run.conversations()).speakers.values()}
    assert speakers["agent"] == "scripted"
    assert speakers["partner"].startswith("python:")
    assert speakers["partner"].endswith("test_objects:seven")
    identity = load_run(run.path).identity()
    assert identity["partner"]["model"] == speakers["partner"]
    assert len(identity["partner"]["source"]) == 16


async def test_a_panel_of_objects(data, tmp_path):
    """`agents` takes objects and mappings; two functions of one name stay two."""
    bots = [Bot(), Bot()]
    agents = [seven, {"model": seven_async}, bots[0].answer, bots[1].answer]
    run = await evaluate_async(
        "gsm8k", data=data, protocol="panel", agents=agents, **options(tmp_path / "run")
    )
    models = [speaker.model for speaker in next(run.conversations()).speakers.values()]
    assert len(set(models)) == 4
    assert models[3] == f"{models[2]}#2"


def raising(error):
    def agent(_):
        raise error

    return agent


def exiting(_):
    sys.exit("enough")


def iterating(_):
    return next(iter(()))


async def cancelling(_):
    raise asyncio.CancelledError


async def raising_async(_):
    raise SystemExit(3)


def interrupting(_):
    raise KeyboardInterrupt


def yielding(_):
    yield "A"


async def hanging(_):
    await asyncio.Event().wait()


def hanging_thread(_):
    threading.Event().wait()


class Unsayable(Exception):
    def __str__(self):
        raise ValueError("no words")


class RaisingModel(Foreign):
    async def generate(self, request):
        raise KeyError("secret")


class Nameless:
    def generate(self, messages):
        return "A"


class SpentModel(Foreign):
    async def generate(self, request):
        return "text"


class ShortModel(Foreign):
    async def generate(self, request):
        return Generation(candidates=(), usage=Usage(), latency_s=0.0)


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (raising(ValueError("nothing left")), "ValueError: nothing left"),
        (raising(Unsayable()), "raised Unsayable"),
        (raising(ValueError("\ud800")), "ValueError: \ufffd"),
        (exiting, "SystemExit: enough"),
        (raising_async, "SystemExit: 3"),
        (iterating, "StopIteration (test_objects.py, line"),
        (interrupting, "KeyboardInterrupt (test_objects.py, line"),
        (yielding, "returned a generator (return the whole text"),
        (cancelling, "cancelled itself"),
        (lambda _: None, "returned nothing, not a text"),
        (lambda _: 7, "a value of type int"),
        (lambda _: b"A", "a value of type bytes"),
        (lambda _: "  \n", "an empty text"),
        (hanging, "did not return within"),
        (hanging_thread, "did not return within"),
        (RaisingModel(), "foreign/model raised KeyError"),
        (SpentModel(), "returned a value of type str, not a Generation"),
        (ShortModel(), "0 candidates, not 1"),
    ],
    ids=[
        "raises", "raises unsayably", "raises surrogates", "exits", "exits async", "stops iterating",
        "interrupts", "yields",
        "cancels",
        "none", "number", "bytes", "blank", "hangs", "hangs in a thread",
        "model raises", "model returns text", "model returns too few",
    ],
)  # fmt: skip
async def test_what_a_function_does_fails_conversations_never_the_run(agent, words, tmp_path, data):
    """Whatever it raises or returns: every conversation fails and names it, and the run ends."""
    agent = {"model": agent, "request_timeout_s": 0.2}
    run = await evaluate_async("gsm8k", data=data, agent=agent, **{**options(tmp_path / "run"), "limit": 12})
    failures = [conversation.failure for conversation in run.conversations()]
    assert [failure.type for failure in failures] == ["AgentFailed"] * 12
    assert all(words in failure.message for failure in failures), failures[0]
    name = next(run.conversations()).speakers["responder"].model
    assert all(failure.message.startswith(name) for failure in failures)
    assert run.summary.failures == {"AgentFailed": 12}


async def test_half_surrogates_of_a_function_are_stored_readably(tmp_path, data):
    """A text that no file can hold has U+FFFD in its place, and is counted as garbled."""
    run = await evaluate_async(
        "gsm8k", data=data, agent=lambda _: "\ud83d The answer is 7.", **options(tmp_path / "run")
    )
    assert run.summary.metrics["garbled_rate"].mean == 1.0
    assert all(turn.reply.text.startswith("\ufffd ") for c in run.conversations() for turn in c.turns)


async def test_a_function_cannot_change_what_others_are_told(tmp_path, data):
    """Each call gets messages of its own."""

    def greedy(messages):
        text = messages[-1]["content"]
        messages.clear()
        return f"{len(text)} characters. The answer is 7."

    run = await evaluate_async("gsm8k", data=data, agent=greedy, **options(tmp_path / "run", samples=2))
    assert run.summary.failures == {}


async def test_a_run_with_a_function_resumes_and_says_when_its_source_changed(tmp_path, data):
    """The same function is asked nothing anew; a fixed one fills in what failed, and the user is told."""

    def make(fixed):
        def agent(messages):
            if not fixed:
                raise ValueError("too long")
            return seven(messages)

        return agent

    settings = options(tmp_path / "run")
    first = await evaluate_async("gsm8k", data=data, agent=make(fixed=False), **settings)
    assert first.summary.failures == {"AgentFailed": 4}
    again = await evaluate_async("gsm8k", data=data, agent=make(fixed=False), **settings)
    assert again.summary == first.summary
    with pytest.warns(Notice, match=r"the source of python:\S+agent has changed since"):
        fixed = await evaluate_async(
            "gsm8k", data=data, agent=make(fixed=True), retry_failed=True, **settings
        )
    assert fixed.summary.failures == {}


async def test_a_changed_function_begins_a_run_of_its_own(tmp_path, data, monkeypatch):
    """Without `output`, what a changed function says is never taken from the old one's folder."""
    monkeypatch.chdir(tmp_path)

    def make(choice):
        return lambda _: f"The answer is {choice}."

    paths = [(await evaluate_async("gsm8k", data=data, agent=make(choice), limit=2)).path for choice in "787"]
    assert paths[0] == paths[2] != paths[1]


async def test_candidates_of_a_function_are_drawn_one_call_each(tmp_path, data):
    """`sample` asks a function as often as there are candidates."""
    bot = Bot()
    run = await sample_async(
        "gsm8k", data=data, agent=bot.answer, candidates=3, samples=1, **options(tmp_path / "run")
    )
    turns = [turn for conversation in run.conversations() for turn in conversation.turns]
    assert {len(turn.replies) for turn in turns} == {3}
    assert bot.calls == 3 * len(turns)


async def test_max_connections_limits_calls_at_a_time(tmp_path, data):
    """A function that is not safe in several threads is called by one at a time."""
    lock = threading.Lock()
    collisions = []

    def alone(messages):
        if not lock.acquire(blocking=False):
            collisions.append(1)
            return seven(messages)
        try:
            threading.Event().wait(0.002)
            return seven(messages)
        finally:
            lock.release()

    await evaluate_async(
        "gsm8k",
        data=data,
        agent={"model": alone, "max_connections": 1},
        **options(tmp_path / "run", samples=4),
    )
    assert collisions == []


async def test_an_object_extracts_beliefs_where_it_is_asked_to(tmp_path, data):
    """A function only takes turns unless `extractor` says otherwise."""
    asked = []

    def extractor(messages):
        asked.append(messages)
        return "7"

    agent = lambda _: "I lean towards a small number."  # noqa: E731
    plain = await evaluate_async("gsm8k", data=data, agent=agent, **options(tmp_path / "plain"))
    assert plain.summary.metrics["valid_answer_rate"].mean == 0.0
    run = await evaluate_async(
        "gsm8k", data=data, agent=agent, extractor={"model": extractor, "mode": "model"},
        **options(tmp_path / "run"),
    )  # fmt: skip
    assert asked
    assert run.summary.metrics["valid_answer_rate"].mean == 1.0


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        (7, "an int is not a model"),
        (Foreign, "Foreign is a class"),
        (Nameless(), "a Nameless has `generate`, as a model has, but no `name`"),
        (lambda: "A", "cannot be called with one argument"),
        (lambda messages, more: "A", "cannot be called with one argument"),
        (object(), "an object is not a model"),
        ({"model": ["a"]}, "a list is not a model"),
        ("python:coral.nowhere:agent", "cannot be imported: ModuleNotFoundError"),
        ("python:json:nothing", "cannot be imported: there is no 'nothing'"),
        ("python:json", "cannot be imported"),
        ("python:json:decoder", "a module is not a model"),
        ("python:m:make.<locals>.agent", "no module holds it by a name"),
    ],
)
async def test_what_is_no_model_is_refused_at_once(agent, words, tmp_path, data):
    """With cause and remedy, before a folder is made."""
    with pytest.raises(ConfigError, match=words) as error:
        await evaluate_async("gsm8k", data=data, agent=agent, **options(tmp_path / "run"))
    assert error.value.remedy
    assert not (tmp_path / "run").exists()


def test_a_function_can_be_named_on_the_command_line(tmp_path, data, monkeypatch, capsys):
    """`--agent.model python:module:function`, from the working folder."""
    from coral.cli import main

    (tmp_path / "my_bots.py").write_text("def answer(messages):\n    return 'The answer is 7.'\n")
    monkeypatch.chdir(tmp_path)
    words = ["eval", "gsm8k", "--data", data, "--limit", "2", "--agent.model", "python:my_bots:answer"]
    assert main([*words, "--output", "run"]) == 0
    assert "python:my_bots:answer" in capsys.readouterr().out
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["agent"]["model"] == "python:my_bots:answer"
    )


def test_an_estimate_takes_objects(data):
    """It names them, and calls none."""
    found = estimate("gsm8k", data=data, agent=raising(ValueError()), partner=Foreign(), limit=3)
    assert found.conversations == 3
    assert found.volumes[0].usd is None
    assert "test_objects" in coral.estimate("gsm8k", data=data, agent=seven, limit=1).speaker.model
