"""The sampling job, end to end against a real server."""

import asyncio
import signal
import subprocess
import sys

import msgspec
import pytest

import coral
from coral.api import evaluate_async, load_run, sample_async
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import SampleConfig, agent_config
from coral.evaluation.estimate import estimate
from coral.evaluation.identity import default_output, identity
from coral.evaluation.measure import score
from coral.evaluation.progress import Progress
from coral.types import StopReason


def options(url, data, path, **more):
    agent = {"model": "scripted", "base_url": url, "backoff_s": 0.001, **more.pop("agent", {})}
    return {
        "agent": agent, "data": data, "output": str(path), "limit": 8, "samples": 1, "max_connections": 6,
        **more,
    }  # fmt: skip


async def sampled(url, data, path, **more):
    return await sample_async("hi_tom", **options(url, data, path, **more))


async def test_a_sampled_run_holds_trees_and_counts_them(serve, data, tmp_path):
    """Five candidates a turn by default, one on; the summary says what there is to train on."""
    async with serve() as (url, counter):
        run = await sampled(url, data, tmp_path / "run", samples=2)
    turns = [turn for conversation in run.conversations() for turn in conversation.turns]
    assert all(len(turn.replies) == 5 and turn.attempts == 1 for turn in turns)
    assert len({turn.chosen for turn in turns}) > 1
    assert len(turns) == sum(counter.values()), "one request a turn"
    counts = run.summary.candidates
    assert (counts.turns, counts.drawn) == (len(turns), 5 * len(turns))
    assert counts.right == sum(reply.correct is True for turn in turns for reply in turn.replies)
    assert counts.paired_turns > 0
    assert run.summary.requests == len(turns)
    written = sum(turn.usage.completion_tokens for turn in turns)
    assert sum(role.completion_tokens for role in run.summary.usage.values()) == written
    stored = msgspec.json.decode((tmp_path / "run" / "summary.json").read_bytes())
    assert stored["candidates"]["drawn"] == counts.drawn


async def test_the_chosen_path_is_what_the_agents_heard(serve, data, tmp_path):
    """Every request shows exactly the chosen replies of the turns before it."""
    async with serve() as (url, counter):
        run = await sampled(url, data, tmp_path / "run")
    heard = {texts for texts, _ in counter}
    for conversation in run.conversations():
        for turn, following in zip(conversation.turns, conversation.turns[1:], strict=False):
            assert any(turn.reply.text in texts[-1] for texts in heard)
            for sibling in turn.siblings:
                if all(sibling.text not in other.text for other in turn.replies if other is not sibling):
                    views = [texts for texts in heard if conversation.opening in texts[1]]
                    assert not any(sibling.text == texts[-1] for texts in views), following.seat


@pytest.mark.parametrize("stop_after", [1, 6, 25])
async def test_an_interrupted_run_goes_on_without_asking_twice(serve, data, tmp_path, content, stop_after):
    """Also in the middle of a roll-out."""
    more = {"candidates": 2, "rollouts": 1, "limit": 4}
    async with serve() as (url, counter):
        whole = content(await sampled(url, data, tmp_path / "whole", **more))
        wanted = set(counter)
        counter.clear()
        progress = Progress()

        async def interrupt():
            while progress.requests < stop_after:
                await asyncio.sleep(0.001)
            progress.stopping = True

        watch = asyncio.create_task(interrupt())
        stopped = await sampled(url, data, tmp_path / "run", progress=progress, **more)
        await watch
        assert stopped.summary is None
        assert content(await sampled(url, data, tmp_path / "run", **more)) == whole
    assert set(counter) == wanted
    assert counter.most_common(1)[0][1] == 1


def command(url, data, path):
    flags = {
        "agent.model": "scripted", "agent.base_url": url, "data": data, "output": path, "limit": 8,
        "samples": 2, "candidates": 3, "rollouts": 1, "max_connections": 6, "extractor.mode": "model",
        "select": "diverse",
    }  # fmt: skip
    return [
        sys.executable, "-m", "coral", "sample", "hi_tom",
        *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
    ]  # fmt: skip


async def run_command(arguments, counter, *, kill_after=None):
    already = sum(counter.values())
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while kill_after and sum(counter.values()) - already < kill_after and process.returncode is None:
        await asyncio.sleep(0.002)
    if kill_after:
        process.send_signal(signal.SIGKILL)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def test_after_kills_the_trees_are_those_of_an_undisturbed_run(serve, data, tmp_path, content):
    """Candidates, extractions and roll-outs are journaled: only requests in flight are sent again."""
    async with serve(latency_s=0.002) as (url, counter):
        code, output = await run_command(command(url, data, tmp_path / "whole"), counter)
        assert code == 0, output
        wanted = set(counter)
        counter.clear()
        for kill_after in (40, 150):
            code, output = await run_command(
                command(url, data, tmp_path / "run"), counter, kill_after=kill_after
            )
            assert code == -signal.SIGKILL, output
        code, output = await run_command(command(url, data, tmp_path / "run"), counter)
        assert code == 0, output
    assert "were kept" in " ".join(output.split())
    whole, run = load_run(tmp_path / "whole"), load_run(tmp_path / "run")
    assert content(run) == content(whole)
    assert len(content(run)) == 16
    assert set(counter) == wanted
    assert sum(counter.values()) - len(wanted) <= 2 * 6, "more was sent again than could have been in flight"
    assert (tmp_path / "run" / "summary.json").exists()
    assert not (tmp_path / "run" / "journal").exists()


async def test_rollouts_give_every_candidate_a_value(serve, data, tmp_path):
    """R outcomes each, one where the candidate ends the conversation; all they cost is in the summary."""
    async with serve() as (url, counter):
        run = await sampled(url, data, tmp_path / "run", candidates=2, rollouts=3, limit=4)
    replies = [reply for c in run.conversations() for turn in c.turns for reply in turn.replies]
    assert {len(reply.rollouts) for reply in replies} == {1, 3}
    assert all(reply.value is not None for reply in replies)
    assert all(reply.rollouts[0].turns == 0 for reply in replies if len(reply.rollouts) == 1)
    assert run.summary.requests == sum(counter.values())
    assert run.summary.candidates.rollouts == sum(len(reply.rollouts) for reply in replies)


async def test_one_candidate_gives_independent_conversations(serve, data, tmp_path, content):
    """`--candidates 1` is what an evaluation at the same temperature says, word for word."""
    async with serve() as (url, _):
        trees = await sampled(url, data, tmp_path / "trees", candidates=1, samples=2)
        plain = await evaluate_async(
            "hi_tom", **options(url, data, tmp_path / "plain", samples=2, agent={"temperature": 0.8})
        )
        assert content(trees) == content(plain)
    assert trees.summary.candidates.drawn == trees.summary.candidates.turns


async def test_chain_of_thought_draws_the_single_agent_baseline(serve, data, tmp_path):
    """`--protocol cot --candidates K`: one request a conversation, K replies to the problem."""
    async with serve() as (url, counter):
        run = await sampled(url, data, tmp_path / "run", protocol="cot", candidates=4)
    assert sum(counter.values()) == 8
    assert all([len(turn.replies) for turn in c.turns] == [4] for c in run.conversations())
    assert run.summary.metrics["accuracy"].n == 8


async def test_faults_and_cut_replies_never_go_on(serve, data, tmp_path):
    """With every fault at once, no turn that went on was cut or lost."""
    faults = "429:0.05,500:0.05,drop:0.05,length:0.02,few:0.1,empty:0.1,null:0.05"
    async with serve(faults=faults) as (url, _):
        run = await sampled(url, data, tmp_path / "run", agent={"max_attempts": 30, "max_tokens": 24})
    turns = [turn for conversation in run.conversations() for turn in conversation.turns]
    assert any(reply.finish_reason.value == "length" for turn in turns for reply in turn.replies)
    assert all(turn.reply.finish_reason.value == "stop" and turn.reply.text.strip() for turn in turns)
    assert set(run.summary.failures) <= {"NoCandidate", "BadResponse"}


async def test_where_every_reply_is_cut_conversations_fail_and_say_so(serve, data, tmp_path):
    """A token limit that is too small is named, not trained on."""
    async with serve() as (url, _):
        run = await sampled(url, data, tmp_path / "run", agent={"max_tokens": 2}, max_failed_rate=1.0)
    assert run.summary.failures == {"NoCandidate": 8}
    first = next(run.conversations())
    assert first.stop is StopReason.FAILED
    assert "cut by the token limit" in first.failure.message


async def test_a_sampled_run_is_measured_again_like_any_other(serve, data, tmp_path):
    """`coral score`, with regraded candidates and roll-outs, gives the same numbers."""
    async with serve() as (url, _):
        run = await sampled(url, data, tmp_path / "run", rollouts=1, candidates=2, limit=4)
    for regrade in (False, True):
        assert await score(load_run(run.path), prices=None, regrade=regrade) == run.summary


async def test_evaluation_and_sampling_do_not_share_a_folder(serve, data, tmp_path):
    """How turns are drawn is part of what a run is."""
    async with serve() as (url, _):
        await sampled(url, data, tmp_path / "run", limit=1)
        with pytest.raises(RunFolderError, match="candidates"):
            await sampled(url, data, tmp_path / "run", limit=1, candidates=3)
        with pytest.raises(RunFolderError, match="select"):
            await sampled(url, data, tmp_path / "run", limit=1, select="correct")
        with pytest.raises(RunFolderError, match="holds a run of `coral sample`, and this is `coral eval`"):
            await evaluate_async("hi_tom", **options(url, data, tmp_path / "run", limit=1))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"candidates": 0}, "candidates must be at least 1"),
        ({"rollouts": -1}, "rollouts must be at least 0"),
        ({"rollouts": 1, "protocol": "cot"}, "one agent alone"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
async def test_what_the_user_got_wrong_is_said_before_anything_is_sent(data, tmp_path, change, words):
    """Ask at the door."""
    with pytest.raises(ConfigError, match=words) as caught:
        await sampled("http://127.0.0.1:9", data, tmp_path / "run", **change)
    assert caught.value.remedy


def config(data, **more):
    return SampleConfig(
        task={"name": "hi_tom"}, data=data, limit=4, samples=1, agent=agent_config({"model": "m"}), **more
    )


def test_the_defaults_are_those_of_the_published_sampling():
    """Temperature 0.8, five candidates, five trees per problem, one picked at random (paper, 4.1 and D.2)."""
    plain = SampleConfig(task={"name": "hi_tom"})
    assert (plain.samples, plain.candidates, plain.select, plain.rollouts) == (5, 5, "random", 0)
    assert (plain.agent.temperature, plain.partner_config().temperature) == (0.8, 0.8)
    assert plain.extractor_config().temperature == 0.0


def test_how_one_candidate_is_selected_decides_nothing(data):
    """Nothing to choose from: the same run under any selector."""
    both = [
        identity(config(data, candidates=1, select=how), task={}, split="", data_fingerprint="", prompts="")
        for how in ("random", "wrong")
    ]
    assert both[0] == both[1]
    assert "sample" in default_output(config(data), both[0])


@pytest.mark.parametrize(("rollouts", "turns"), [(0, 4), (2, 4 + 3 * 2 * 6)])
def test_the_estimate_counts_candidates_and_rollouts(data, rollouts, turns):
    """T + K R T (T - 1) / 2 requests for a conversation of T turns, and an extraction a reply."""
    volume = estimate(config(data, candidates=3, rollouts=rollouts, extractor={"mode": "rules"})).volumes[0]
    assert volume.requests == 4 * turns
    replies = 4 * 3 + turns - 4
    assert volume.completion_tokens == 4 * replies * 250
    asked = estimate(config(data, candidates=3, rollouts=rollouts, extractor={"mode": "model"})).volumes[0]
    assert asked.requests == 4 * (turns + replies)


def test_the_python_api_has_the_command(data):
    """Beside `coral.evaluate`."""
    assert {"sample", "sample_async"} <= set(coral.__all__)
    with pytest.raises(ConfigError, match="candidates must be at least 1"):
        coral.sample("hi_tom", agent="m", data=data, candidates=0)
