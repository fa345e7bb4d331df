"""The evaluation job, end to end against a real server."""

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from coral.api import evaluate_async, load_run
from coral.errors import ConfigError, DataError, FatalReject, RunFolderError
from coral.evaluation.measure import score
from coral.evaluation.progress import Progress
from coral.types import OPENER, RESPONDER, StopReason


def options(url, data, path, **more):
    agent = {"model": "scripted", "base_url": url, "backoff_s": 0.001, **more.pop("agent", {})}
    return {"agent": agent, "data": data, "output": str(path), "limit": 12, "max_connections": 8, **more}


async def test_a_run_ends_with_conversations_and_a_summary(serve, data, tmp_path):
    """One call: conversations on disk, metrics with intervals, the summary file, no journal left."""
    async with serve() as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", samples=2))
    conversations = list(run.conversations())
    assert len({c.id for c in conversations}) == len(conversations) == 24
    assert {c.stop for c in conversations} <= {StopReason.AGREED, StopReason.MAX_TURNS}
    headline = run.summary.metrics["agreement_correctness"]
    agreed_right = [c.stop is StopReason.AGREED and c.turns[-1].reply.correct for c in conversations]
    assert headline.mean == pytest.approx(sum(agreed_right) / 24)
    assert (headline.n, headline.num_problems) == (24, 12)
    stored = msgspec.json.decode((tmp_path / "run" / "summary.json").read_bytes())
    assert stored["metrics"]["agreement_correctness"]["mean"] == headline.mean
    assert {"mean", "stderr", "low", "high", "n", "num_failed", "num_unscored"} <= set(
        stored["metrics"]["agreement"]
    )
    assert set(stored["groups"]) == {"order", "deception"}
    assert not (tmp_path / "run" / "journal").exists()


async def test_chain_of_thought_is_one_reply_a_problem(serve, data, tmp_path):
    """`--protocol cot`: the same harness, one agent, one turn; accuracy is its headline."""
    async with serve(unsure=0.0) as (url, counter):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", protocol="cot"))
    assert sum(counter.values()) == 12
    right = [c.turns[0].reply.correct for c in run.conversations()]
    assert run.summary.metrics["accuracy"].mean == pytest.approx(sum(right) / 12)


async def test_the_same_call_again_sends_nothing(serve, data, tmp_path):
    """A finished run is measured, not repeated."""
    async with serve() as (url, counter):
        first = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
        sent = sum(counter.values())
        again = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert sum(counter.values()) == sent
    assert again.summary == first.summary


async def test_a_run_grows_by_samples_and_limit(serve, data, tmp_path, content):
    """What is there is kept; only what is new is sent."""
    async with serve() as (url, counter):
        small = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", limit=4)))
        sent = sum(counter.values())
        grown = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", limit=8, samples=2))
        assert counter.most_common(1)[0][1] == 1
    assert sum(counter.values()) > sent
    assert len(content(grown)) == 16
    assert small.items() <= content(grown).items()


@pytest.mark.parametrize("stop_after", [1, 5, 17])
async def test_an_interrupted_run_goes_on_without_asking_twice(serve, data, tmp_path, content, stop_after):
    """Requests in flight finish and are kept, also in the middle of a conversation."""
    async with serve() as (url, counter):
        whole = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole")))
        wanted = set(counter)
        counter.clear()
        progress = Progress()

        async def interrupt():
            while progress.requests < stop_after:
                await asyncio.sleep(0.001)
            progress.stopping = True

        watch = asyncio.create_task(interrupt())
        stopped = await evaluate_async("hi_tom", progress=progress, **options(url, data, tmp_path / "run"))
        await watch
        assert stopped.summary is None
        assert stopped.finished < stopped.total
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert content(resumed) == whole
    assert set(counter) == wanted
    assert counter.most_common(1)[0][1] == 1


async def test_faults_of_the_server_change_no_result(serve, data, tmp_path, content):
    """429, 500, dropped and cut replies are retried; what comes out equals an undisturbed run."""
    async with serve() as (url, _):
        calm = content(await evaluate_async("hi_tom", **options(url, data, tmp_path / "calm")))
    faults = "429:0.1,500:0.1,drop:0.1,cut_json:0.1"
    async with serve(faults=faults) as (url, _):
        rough = await evaluate_async(
            "hi_tom", **options(url, data, tmp_path / "rough", agent={"max_attempts": 50})
        )
    assert rough.summary.failures == {}
    for identity, conversation in content(rough).items():
        texts = [turn["replies"][0]["text"] for turn in conversation["turns"]]
        assert texts == [turn["replies"][0]["text"] for turn in calm[identity]["turns"]]


async def test_null_and_empty_replies_become_no_answer(serve, data, tmp_path):
    """They are asked for again, with another seed; no turn is ever empty."""
    async with serve(faults="null:0.2,empty:0.2") as (url, _):
        run = await evaluate_async(
            "hi_tom", **options(url, data, tmp_path / "run", agent={"max_attempts": 50})
        )
    turns = [turn for conversation in run.conversations() for turn in conversation.turns]
    assert set(run.summary.failures) <= {"BadResponse"}, "three empty replies in a row fail the conversation"
    assert all(turn.reply.text.strip() for turn in turns)
    assert any(turn.attempts > 1 for turn in turns), "a turn counts the requests of all its draws"


async def test_failed_conversations_are_data_and_can_be_run_again(serve, data, tmp_path):
    """A dead server kills no run: failures are counted, left out, and retried on request."""
    async with serve(faults="500:0.5") as (url, _):
        settings = options(url, data, tmp_path / "run", agent={"max_attempts": 1})
        run = await evaluate_async("hi_tom", **settings)
    failed = run.summary.stop_reasons["failed"]
    assert failed
    headline = run.summary.metrics["agreement_correctness"]
    assert (headline.num_failed, headline.n) == (failed, 12 - failed)
    async with serve() as (url, counter):
        settings = options(url, data, tmp_path / "run", agent={"max_attempts": 1})
        assert (await evaluate_async("hi_tom", **settings)).summary.stop_reasons["failed"] == failed
        assert not counter
        fixed = await evaluate_async("hi_tom", retry_failed=True, **settings)
    assert "failed" not in fixed.summary.stop_reasons
    assert len(list(fixed.conversations())) == 12


async def test_two_different_agents_and_who_opens(serve, data, tmp_path):
    """Each agent has its own model and sampling; the opener is an option; metrics tell them apart."""
    async with serve() as (url, _):
        run = await evaluate_async(
            "hi_tom", partner={"model": "scripted:accuracy=0.9", "temperature": 0.9}, opener="partner",
            **options(url, data, tmp_path / "run"),
        )  # fmt: skip
    first = next(run.conversations())
    assert (first.speakers[OPENER].name, first.speakers[OPENER].model) == ("partner", "scripted:accuracy=0.9")
    assert (first.speakers[RESPONDER].name, first.speakers[RESPONDER].model) == ("agent", "scripted")
    assert "partner/persuasion" in run.summary.metrics


async def test_the_extractor_is_a_role_of_its_own(serve, data, tmp_path):
    """Mode `model` shows every turn to the extractor, and its requests are counted apart."""
    async with serve() as (url, _):
        run = await evaluate_async(
            "hi_tom", extractor={"mode": "model", "model": "scripted"}, **options(url, data, tmp_path / "run")
        )
    turns = sum(len(c.turns) for c in run.conversations())
    assert run.summary.usage["extractor"].requests == turns
    assert run.summary.metrics["model_extraction_rate"].mean == 1.0


async def test_a_refused_key_stops_the_run_at_once(serve, data, tmp_path):
    """An unknown model is refused for every conversation: the run says so instead of failing them all."""
    async with serve() as (url, _):
        with pytest.raises(FatalReject, match="nobody"):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", agent={"model": "nobody"}))
    assert list(load_run(tmp_path / "run").conversations()) == []


async def test_other_options_on_the_same_folder_are_refused(serve, data, tmp_path):
    """A folder holds one run; the difference is shown."""
    async with serve() as (url, _):
        await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
        with pytest.raises(RunFolderError, match="max_turns"):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", max_turns=4))


async def test_another_name_of_the_same_split_goes_on(serve, data, tmp_path):
    """`--split all` and the default name the same problems, so the run goes on; a part is another run."""
    async with serve() as (url, counter):
        for first, second in ((None, "all"), ("all", None)):
            path = tmp_path / f"from-{first}"
            begun = await evaluate_async("hi_tom", **options(url, data, path, split=first))
            sent = sum(counter.values())
            again = await evaluate_async("hi_tom", **options(url, data, path, split=second))
            assert sum(counter.values()) == sent
            assert again.summary == begun.summary
            with pytest.raises(RunFolderError, match=r'split: .* there, "train" now'):
                await evaluate_async("hi_tom", **options(url, data, path, split="train"))


@pytest.mark.parametrize(
    ("agent", "cause"),
    [
        ({"model": "openai/gpt-4o-mini", "base_url": None}, "OPENAI_API_KEY"),
        ({"model": "scripted", "base_url": "http://127.0.0.1:9/v1"}, "no answer"),
        ({"model": "no-such-folder", "base_url": None}, "checkpoint folder"),
    ],
    ids=["no key", "no server", "no model"],
)
async def test_a_run_that_cannot_begin_leaves_no_folder(data, tmp_path, monkeypatch, agent, cause):
    """What is wrong with a model is met before the folder is made: no empty run is left to wonder about."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError) as caught:
        await evaluate_async("hi_tom", **options(None, data, tmp_path / "run", agent=agent))
    assert cause in f"{caught.value} {caught.value.remedy}"
    assert list(tmp_path.iterdir()) == []


async def test_a_finished_run_is_measured_without_its_key(serve, data, tmp_path, monkeypatch):
    """Where nothing is to be sent, no model is opened: neither key nor server is needed."""
    monkeypatch.setenv("KEY_OF_THE_DAY", "sesame")
    async with serve() as (url, _):
        asked = options(url, data, tmp_path / "run", agent={"api_key_env": "KEY_OF_THE_DAY"})
        first = await evaluate_async("hi_tom", **asked)
    monkeypatch.delenv("KEY_OF_THE_DAY")
    assert (await evaluate_async("hi_tom", **asked)).summary == first.summary


async def test_other_data_on_the_same_folder_are_refused(serve, data, tmp_path):
    """The data's fingerprint is part of what a run is."""
    changed = tmp_path / "changed.json"
    changed.write_text(Path(data).read_text() + "\n")
    async with serve() as (url, _):
        await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
        with pytest.raises(RunFolderError, match="data_sha256"):
            await evaluate_async("hi_tom", **options(url, str(changed), tmp_path / "run"))


async def test_a_server_may_move_between_sittings(serve, data, tmp_path):
    """Addresses decide no result: a run goes on against another port."""
    for limit in (4, 8):
        async with serve() as (url, _):
            run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", limit=limit))
    assert run.summary.conversations == 8


async def test_measuring_again_gives_the_same_numbers(serve, data, tmp_path):
    """A metric is a function of the stored conversations; regrading them changes nothing either."""
    async with serve() as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    for regrade in (False, True):
        again = await score(load_run(run.path), prices=None, regrade=regrade)
        assert again == run.summary


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"data": "/does/not/exist.json"}, DataError),
        ({"limit": 0}, ConfigError),
        ({"partner": {"temprature": 1}}, ConfigError),
        ({"partner": {"temperature": "hot"}}, ConfigError),
        ({"nonsense": 1}, ConfigError),
        ({"prompt_library": "/does/not/exist.json"}, ConfigError),
    ],
)
async def test_what_the_user_got_wrong_is_said_before_anything_is_sent(serve, data, tmp_path, change, error):
    """Ask at the door."""
    async with serve() as (url, counter):
        with pytest.raises(error) as caught:
            await evaluate_async("hi_tom", **{**options(url, data, tmp_path / "run"), **change})
    assert caught.value.remedy
    assert not counter


async def test_progress_counts_what_happens(serve, data, tmp_path):
    """The counters a display polls add up to the run."""
    progress = Progress()
    async with serve() as (url, counter):
        run = await evaluate_async("hi_tom", progress=progress, **options(url, data, tmp_path / "run"))
    assert (progress.total, progress.done, progress.in_flight) == (12, 12, 0)
    assert progress.requests == sum(counter.values())
    assert progress.agreed == run.summary.stop_reasons["agreed"]
    assert dataclasses.replace(progress, done=0).remaining_s is None


async def test_each_replica_gets_all_of_its_connections(serve, data, tmp_path):
    """`max_connections` is per server: three replicas have three times as many conversations under way."""
    progress, most = Progress(), 0

    def watch(*_):
        nonlocal most
        most = max(most, progress.in_flight)

    async with AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(serve(react=watch, latency_s=0.01)) for _ in range(3)]
        urls = [url for url, _ in replicas]
        settings = options(urls, data, tmp_path / "run", samples=4, max_connections=4)
        await evaluate_async("hi_tom", progress=progress, **settings)
    assert most == 12
    assert all(counter for _, counter in replicas)
