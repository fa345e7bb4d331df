"""Runs whose server is gone, or that are told to stop, and what of them is paid for twice."""

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from coral import tasks, workers
from coral.api import evaluate_async, load_run, sample_async
from coral.errors import Rejected, RunFolderError, StoppedEarly, UserError
from coral.evaluation.progress import Progress
from coral.serving.app import ChatServer, Served
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source

ALL = {"max_failed_rate": 1.0}
"""Runs in which everything is refused, and which are not to stop for it."""


def options(url, data, path, **more):
    agent = {"model": "scripted", "base_url": url, "backoff_s": 0.001, **more.pop("agent", {})}
    return {"agent": agent, "data": data, "output": str(path), "limit": 12, "max_connections": 8, **more}


PATIENT = {"backoff_s": 60, "max_backoff_s": 60}
"""Pauses much longer than a test."""


async def until(condition):
    """Wait for a condition, though not for ever."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.002)


# Stopping ---------------------------------------------------------------------------------------------------


async def test_stopping_ends_retries_and_owes_what_is_unfinished(serve, data, tmp_path, content):
    """The server dies, the user stops: no pause is waited for, nothing fails, nothing is lost."""
    async with serve() as (url, counter):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole")))
        wanted = set(counter)
    progress = Progress()
    async with serve(latency_s=0.02) as (url, counter):
        settings = options(url, data, tmp_path / "run", agent=PATIENT)
        run = asyncio.create_task(evaluate_async("hi_tom", progress=progress, **settings))
        await until(lambda: progress.requests >= 10)
    await until(lambda: progress.retry_state.retrying == progress.in_flight > 0)
    assert "127.0.0.1" in progress.retry_state.latest.message
    assert progress.retry_state.latest.brief.lower().startswith(("connection re", "server disconnected"))
    started = time.monotonic()
    progress.stopping = True
    stopped = await run
    assert time.monotonic() - started < 25
    assert (stopped.summary, progress.failed) == (None, 0)
    seen = counter
    async with serve() as (url, counter):
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert content(resumed) == whole
    assert set(seen) | set(counter) == wanted
    assert sum((seen + counter).values()) - len(wanted) <= 8, "only what was in flight may be sent twice"


async def test_the_switch_works_from_another_thread(serve, data, tmp_path):
    """A notebook's button, or a signal handler of Python's own, need not know of the event loop."""
    progress = Progress()
    async with serve() as (url, _):
        settings = options(url, data, tmp_path / "run", agent=PATIENT)
        run = asyncio.create_task(evaluate_async("hi_tom", progress=progress, **settings))
        await until(lambda: progress.requests >= 4)
    await until(lambda: progress.retry_state.retrying == progress.in_flight > 0)
    await asyncio.to_thread(setattr, progress, "stopping", True)
    assert (await asyncio.wait_for(run, 5)).summary is None


async def test_a_run_that_is_to_stop_before_it_begins_sends_nothing(serve, data, tmp_path):
    """A loop of runs may be told to stop between two of them."""
    async with serve() as (url, counter):
        settings = options(url, data, tmp_path / "run")
        run = await evaluate_async("hi_tom", progress=Progress(stopping=True), **settings)
    assert (run.summary, run.finished, run.total) == (None, 0, 12)
    assert not counter


def test_who_listens_is_told_once():
    """Whether the switch was set before or while one listens, and not after."""
    told = []
    progress = Progress()
    with progress.telling(lambda: told.append("first")):
        progress.stopping = True
        progress.stopping = True
        with progress.telling(lambda: told.append("second")):
            pass
    assert told == ["first", "second"]
    assert progress.stopping
    later = Progress()
    with later.telling(lambda: told.append("third")):
        pass
    later.stopping = True
    assert told == ["first", "second"]


@pytest.mark.parametrize("name", ["eval", "sample"])
async def test_ctrl_c_with_a_dead_server_exits_with_130(serve, data, tmp_path, name):
    """The user gets the prompt back, and the same command goes on when the server is there again."""
    flags = {
        "agent.model": "scripted", "data": data, "output": tmp_path / "run", "limit": 6, "max_connections": 6,
        "agent.backoff_s": 60, "agent.max_backoff_s": 60, **({"samples": 1} if name == "sample" else {}),
    }  # fmt: skip
    parts = [part for flag, value in flags.items() for part in (f"--{flag}", str(value))]
    arguments = [sys.executable, "-m", "coral", name, "hi_tom", *parts]
    async with serve(latency_s=0.05) as (url, counter):
        process = await asyncio.create_subprocess_exec(
            *arguments, "--agent.base_url", url, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        await until(lambda: sum(counter.values()) >= 8 or process.returncode is not None)
    await asyncio.sleep(0.3)  # all its requests have met the closed port by then
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 130, output.decode()
    assert time.monotonic() - started < 25
    assert "run the same command again to resume" in output.decode()
    assert "failed" not in {c.stop.value for c in load_run(tmp_path / "run").conversations()}


# Nobody answers ---------------------------------------------------------------------------------------------


NOBODY = {
    "500:1": "the server failed \\(500\\)",
    "429:1": "limits the rate",
    "drop:1": "connection",
    "html:1": "the server answered 200 with",
}


@pytest.mark.parametrize("faults", NOBODY)
async def test_a_server_that_never_answers_stops_the_run_and_stores_nothing(
    serve, data, tmp_path, content, faults
):
    """The first retries that run out name the cause; once it is fixed, the same call starts as if new."""
    async with serve(faults=faults) as (url, _):
        with pytest.raises(UserError, match=NOBODY[faults]) as caught:
            await evaluate_async(
                "hi_tom",
                **options(url, data, tmp_path / "run", agent={"max_attempts": 2, "max_backoff_s": 0.01}),
            )
    assert "run the same command again" in caught.value.remedy
    assert list(load_run(tmp_path / "run").conversations()) == []
    async with serve() as (url, _):
        fixed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert "failed" not in fixed.summary.stop_reasons
    assert len(content(fixed)) == 12


async def test_a_server_that_dies_stops_the_run_and_fails_nothing(serve, data, tmp_path, content):
    """After `total_timeout_s` without a connection the rest is owed; a new server goes on with it."""
    async with serve() as (url, _):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole")))
    progress = Progress()
    async with serve(latency_s=0.005) as (url, _):
        hasty = {"total_timeout_s": 1, "max_backoff_s": 0.1}
        settings = options(url, data, tmp_path / "run", agent=hasty)
        run = asyncio.create_task(evaluate_async("hi_tom", progress=progress, **settings))
        await until(lambda: progress.requests >= 12)
    with pytest.raises(
        StoppedEarly, match=r"connection refused, for all of total_timeout_s \(1 s\)"
    ) as caught:
        await asyncio.wait_for(run, 30)
    assert "of 12 conversations are finished, the others are owed" in caught.value.remedy
    assert "failed" not in {c.stop.value for c in load_run(tmp_path / "run").conversations()}
    async with serve() as (url, _):
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert content(resumed) == whole


@pytest.mark.parametrize(
    ("seconds", "says"), [(3600, r"before \d\d"), (400_000, r"before \d{4}-\d\d-\d\d \d\d")]
)
async def test_a_long_pause_that_the_server_asks_for_stops_the_run(
    serve, refusal, data, tmp_path, content, seconds, says
):
    """A daily limit in mid-run: nothing fails, the message names the time, the rest is owed."""
    settings = {"max_connections": 4}
    async with serve() as (url, _):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole")))

    def used_up(number, _):
        return refusal(429, "daily limit", Retry_After=str(seconds)) if number > 20 else None

    async with serve(react=used_up) as (url, counter):
        with pytest.raises(StoppedEarly, match=says) as caught:
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
        assert sum(counter.values()) == 20
    assert "after" in caught.value.remedy
    assert caught.value.exit_code == 3
    assert "failed" not in {c.stop.value for c in load_run(tmp_path / "run").conversations()}
    async with serve() as (url, counter):
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert content(resumed) == whole


async def test_refusals_of_what_was_asked_do_not_mean_that_nobody_is_there(serve, data, tmp_path):
    """The server answers, if only to say no: these conversations failed, whatever comes after them."""
    async with serve(faults="context:1") as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **ALL))
    assert run.summary.failures == {"ContextOverflow": 12}


# A folder that is gone --------------------------------------------------------------------------------------


@pytest.mark.parametrize("vanish", [shutil.rmtree, lambda path: path.rename(path.with_name("moved"))])
async def test_a_run_whose_folder_vanishes_stops(serve, data, tmp_path, monkeypatch, vanish):
    """What arrives from then on would be paid for and lost."""
    monkeypatch.setattr("coral.evaluation.session.GUARD_S", 0.05)
    progress = Progress()
    async with serve(latency_s=0.02) as (url, counter):
        settings = options(url, data, tmp_path / "run", samples=20)
        run = asyncio.create_task(evaluate_async("hi_tom", progress=progress, **settings))
        await until(lambda: progress.requests >= 20)
        vanish(tmp_path / "run")
        with pytest.raises(RunFolderError, match="deleted or moved"):
            await asyncio.wait_for(run, 20)
        assert sum(counter.values()) < 400, "of more than a thousand"


# Failures that are not paid for twice -----------------------------------------------------------------------


class Picky:
    """Refuses some requests for as long as `is_sour`."""

    def __init__(self, model, refuses, counter):
        self._model, self._refuses, self._counter = model, refuses, counter
        self.name = model.name
        self.is_sour = True

    async def generate(self, request):
        messages = tuple(message.content for message in request.messages)
        self._counter[messages, request.seed] += 1
        if self.is_sour and self._refuses(messages):
            raise Rejected("these words are not welcome", status=400)
        return await self._model.generate(request)


@asynccontextmanager
async def picky_server(data, refuses):
    """The scripted agent behind somebody who refuses; yields address, counter and who refuses."""
    task = tasks.load("hi_tom")
    knowledge = Knowledge(task, task.problems(Source(data=data, split="")))
    scripted = serve_scripted(knowledge, Persona(accuracy=0.5, stubbornness=0.6, unsure=0.0))
    counter = Counter()
    picky = Picky(scripted.find("scripted"), refuses, counter)
    server = ChatServer(Served(names=("scripted",), find={"scripted": picky}.get))
    async with listening(server, host="127.0.0.1", port=0) as url:
        yield url, counter, picky


def is_extraction(messages):
    return "\n# Message\n" in messages[-1]


def is_third_turn(messages):
    """Of the agent that hears the problem first: its own first reply stands between two of the other."""
    return len(messages) == 4 and not is_extraction(messages)


EXTRACTING = {"extractor": {"mode": "model"}, **ALL}


@pytest.mark.parametrize("stop_after", [3, 20])
async def test_refused_extractions_are_not_paid_again(data, tmp_path, content, stop_after):
    """They had their answer: a run that goes on asks for nothing twice, and comes to the same end."""
    async with picky_server(data, is_extraction) as (url, counter, _):
        settings = {**EXTRACTING, "max_turns": 4}
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole", **settings)))
        beliefs = [turn["replies"][0]["belief"] for c in whole.values() for turn in c["turns"]]
        assert {belief["kind"] for belief in beliefs} == {"unreadable"}
        wanted = set(counter)
        counter.clear()
        progress = Progress()
        settings |= {"progress": progress}
        run = asyncio.create_task(
            evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
        )
        await until(lambda: progress.requests >= stop_after)
        progress.stopping = True
        assert (await run).summary is None
        settings |= {"progress": Progress()}
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert content(resumed) == whole
    assert set(counter) == wanted
    assert counter.most_common(1)[0][1] == 1


async def test_what_failed_a_conversation_is_asked_again_and_earlier_refusals_are_not(data, tmp_path):
    """`--retry_failed` where the third turn was refused: that one is sent, not the extractions before it."""

    def refuses(messages):
        return is_extraction(messages) or is_third_turn(messages)

    async with picky_server(data, refuses) as (url, counter, picky):
        settings = options(url, data, tmp_path / "run", max_turns=4, **EXTRACTING)
        run = await evaluate_async("hi_tom", **settings)
        assert run.summary.failures == {"Rejected": 12}
        first = Counter(counter)
        picky.is_sour = False
        fixed = await evaluate_async("hi_tom", retry_failed=True, **settings)
    assert "failed" not in fixed.summary.stop_reasons
    asked_twice = [key for key, times in counter.items() if times > first[key] > 0]
    assert len(asked_twice) == 12, "the turns that failed, and nothing else"
    assert all(is_third_turn(messages) for messages, _ in asked_twice)
    for conversation in fixed.conversations():
        kinds = [type(turn.reply.belief).__name__ for turn in conversation.turns]
        assert kinds[:2] == ["Unreadable", "Unreadable"], "beliefs that later turns build on stay"
        assert "Unreadable" not in kinds[2:]


async def test_candidates_whose_extraction_was_refused_are_asked_about_again(data, tmp_path):
    """Nothing but the extractions failed the turn, so `--retry_failed` keeps its replies, which were good."""
    async with picky_server(data, is_extraction) as (url, counter, picky):
        settings = options(url, data, tmp_path / "run", samples=1, candidates=3, max_turns=4, **EXTRACTING)
        run = await sample_async("hi_tom", **settings)
        assert run.summary.failures == {"NoCandidate": 12}
        first = Counter(counter)
        picky.is_sour = False
        fixed = await sample_async("hi_tom", retry_failed=True, **settings)
    assert "failed" not in fixed.summary.stop_reasons
    asked_twice = [
        messages for (messages, seed), times in counter.items() if times > first[messages, seed] > 0
    ]
    assert asked_twice
    assert all(is_extraction(messages) for messages in asked_twice)


async def test_candidates_of_which_none_can_go_on_are_drawn_again(serve, data, tmp_path):
    """Where no request failed, `--retry_failed` would else replay the very replies that could not go on."""
    settings = {"samples": 1, "candidates": 3, "max_turns": 4, **ALL}
    async with serve(faults="length:1") as (url, _):
        run = await sample_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert run.summary.failures == {"NoCandidate": 12}
    async with serve() as (url, _):
        settings |= {"retry_failed": True}
        fixed = await sample_async("hi_tom", **options(url, data, tmp_path / "run", **settings))
    assert "failed" not in fixed.summary.stop_reasons


# Candidates that are asked for singly -----------------------------------------------------------------------


def singly(url, data, path, **more):
    """Sampling from a provider that takes no `n`: each candidate is a request of its own."""
    agent = {"model": "ollama/scripted", **more.pop("agent", {})}
    settings = {"samples": 1, "candidates": 4, "max_turns": 3, "limit": 6, **more}
    return options(url, data, path, agent=agent, **settings)


@pytest.mark.parametrize("stop_after", [2, 9, 30])
async def test_candidates_that_came_before_a_stop_are_kept(serve, data, tmp_path, content, stop_after):
    """Of a turn whose candidates are asked for one by one, those that arrived are not paid for again."""
    async with serve(latency_s=0.01) as (url, counter):
        whole = content(await sample_async("hi_tom", **singly(url, data, tmp_path / "whole")))
        wanted = set(counter)
        assert counter.most_common(1)[0][1] == 1
        counter.clear()
        progress = Progress()
        settings = singly(url, data, tmp_path / "run", max_connections=3)
        run = asyncio.create_task(sample_async("hi_tom", progress=progress, **settings))
        await until(lambda: sum(counter.values()) >= stop_after)
        progress.stopping = True
        assert (await run).summary is None
        resumed = await sample_async("hi_tom", **settings)
    assert content(resumed) == whole
    assert set(counter) == wanted
    assert counter.most_common(1)[0][1] == 1


async def test_candidates_survive_a_sibling_that_failed(data, tmp_path):
    """Of a refused candidate's siblings each is kept: `--retry_failed` asks for what is missing alone."""
    refused = set()

    def refuses_one_of_each(messages):
        is_new = messages not in refused
        refused.add(messages)
        return is_new

    async with picky_server(data, refuses_one_of_each) as (url, counter, picky):
        settings = singly(url, data, tmp_path / "run", **ALL)
        run = await sample_async("hi_tom", **settings)
        assert run.summary.failures == {"Rejected": 6}
        first = Counter(counter)
        assert len(first) == 6 * 4, "the siblings of the refused candidate were sent, too"
        picky.is_sour = False
        fixed = await sample_async("hi_tom", retry_failed=True, **settings)
    assert "failed" not in fixed.summary.stop_reasons
    again = [key for key, times in counter.items() if times > first[key] > 0]
    assert len(again) == 6, "the refused ones"
    first_turns = [conversation.turns[0] for conversation in fixed.conversations()]
    assert {(len(turn.replies), turn.attempts) for turn in first_turns} == {(4, 4)}


# Several runs of one process, and graders -------------------------------------------------------------------


GSM8K = Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl"


def algebra(number):
    """Answers that only a grader in a process of its own can tell from the gold ones."""
    message = {"role": "assistant", "content": f"So it is \\boxed{{\\sqrt{{{number}}} + x - x}}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 5}})


def graded(url, path, **more):
    agent = {"model": "scripted", "base_url": url}
    settings = {"protocol": "cot", "extractor": {"mode": "rules"}, **more}
    return {"agent": agent, "data": str(GSM8K), "output": str(path), **settings}


async def test_two_runs_in_one_process_leave_each_other_their_graders(serve, tmp_path):
    """The short one ends first, while answers of the long one are being compared."""
    async with serve(task="gsm8k", data=GSM8K, react=lambda number, _: algebra(number)) as (url, _):
        runs = await asyncio.gather(
            evaluate_async("gsm8k", **graded(url, tmp_path / "short", limit=1)),
            evaluate_async("gsm8k", **graded(url, tmp_path / "long", limit=3, samples=4)),
        )
    for run in runs:
        assert {conversation.turns[0].reply.correct for conversation in run.conversations()} <= {True, False}


async def test_graders_that_cannot_start_stop_the_run_with_a_message(serve, tmp_path, monkeypatch):
    """Not every grade is unknown without a word; what was paid for is graded when they can."""
    sent = []
    # Other tests' graders have shown that they start, and their answers are remembered.
    monkeypatch.setattr(workers._shared, "workers", workers.Workers())

    def react(number, _):
        sent.append(number)
        return algebra(number)

    async with serve(task="gsm8k", data=GSM8K, react=react) as (url, _):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "executable", "/no/such/python")
            with pytest.raises(UserError, match="no process that grades can start"):
                await evaluate_async("gsm8k", **graded(url, tmp_path / "run", limit=2))
        run = await evaluate_async("gsm8k", **graded(url, tmp_path / "run", limit=2))
    assert len(sent) == 2
    assert {conversation.turns[0].reply.correct for conversation in run.conversations()} <= {True, False}
