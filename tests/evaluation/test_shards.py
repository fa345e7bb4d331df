"""A run in shards: several processes hold it, and it reads as one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

import coral
from coral.comparison.compare import compare_runs
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.measure import score
from coral.evaluation.processes import run as evaluate
from coral.evaluation.progress import Progress
from coral.exchange.export import export
from coral.rows.build import BuildConfig, build
from coral.store.shards import shard_of


def arguments(url, data, path, **more):
    flags = {
        "agent.model": "scripted", "agent.base_url": url, "data": data, "output": path, "limit": 12,
        "samples": 2, "extractor.mode": "rules", **more,
    }  # fmt: skip
    return [str(part) for name, value in flags.items() for part in (f"--{name}", value)]


async def start(*words):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "coral", *map(str, words), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


async def finish(*words):
    process = await start(*words)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


def summary(path):
    """What a summary says, but for what a clock told."""

    def timeless(value):
        if isinstance(value, dict):
            return {name: timeless(inner) for name, inner in value.items() if name != "seconds"}
        return value

    return timeless(json.loads((path / "summary.json").read_bytes()))


def config(url, data, path, **more):
    options = {"task": {"name": "hi_tom"}, "data": data, "limit": 12, "output": str(path), **more}
    agent = AgentConfig(model="scripted", base_url=(url,))
    return EvalConfig(agent=agent, extractor={"mode": "rules"}, **options)


async def test_processes_hold_what_one_process_holds(serve, data, tmp_path, content):
    """Ids, beliefs, texts, and the summary to the last digit; every reader takes the run for one."""
    async with serve() as (url, counter):
        code, output = await finish("eval", "hi_tom", *arguments(url, data, tmp_path / "one"))
        assert code == 0, output
        asked = +counter
        counter.clear()
        code, output = await finish("eval", "hi_tom", *arguments(url, data, tmp_path / "two", processes=2))
        assert code == 0, output
        assert counter == asked, "no request is sent by both"
        assert "12 problems, 24 conversations" in output
    one, two = (coral.load_run(tmp_path / name) for name in ("one", "two"))
    assert content(two) == content(one)
    assert summary(two.path) == summary(one.path)
    shards = [path / "conversations" for path in (two.path / "shards").iterdir()]
    assert len(shards) == 2
    assert all(any(path.iterdir()) for path in shards)
    await _readers_take_it_for_one(two.path, one.path, tmp_path)


async def _readers_take_it_for_one(two, one, tmp_path):
    code, output = await finish("show", two)
    assert code == 0
    assert "20 of 24 conversations" in output, output
    some = next(coral.load_run(one).conversations()).id
    assert coral.load_run(two).conversation(some).id == some
    (two / "summary.json").unlink()
    again = await score(coral.load_run(two), prices=None, regrade=True)
    assert (
        again.metrics["turns"]
        == (await score(coral.load_run(one), prices=None, regrade=True)).metrics["turns"]
    )
    compared = await compare_runs(coral.load_run(one), coral.load_run(two))
    assert compared.unfinished == (0, 0)
    assert all(one.difference in {0, None} for one in compared.comparisons)
    assert export(str(two), str(tmp_path / "exported.jsonl"), redact=None)[0] == 24


async def test_rows_of_a_sampling_in_shards_are_those_of_one_process(serve, data, tmp_path):
    """`coral sample` divides alike, and `coral build` reads all shards."""
    rows = {}
    async with serve() as (url, _):
        for name, more in (("one", {}), ("two", {"processes": 2})):
            run, output = tmp_path / name, tmp_path / f"rows-{name}"
            words = arguments(url, data, run, limit=6, candidates=2, **more)
            code, told = await finish("sample", "hi_tom", *words)
            assert code == 0, told
            await build(BuildConfig(runs=(str(run),), output=str(output), kind="sft", shared="drop"))
            lines = [
                json.loads(line) for file in output.glob("*.jsonl") for line in file.read_text().splitlines()
            ]
            rows[name] = sorted(json.dumps([line["prompt"], line["completion"]]) for line in lines)
    assert rows["one"]
    assert rows["one"] == rows["two"]


async def test_whoever_ends_last_measures(serve, data, tmp_path, content):
    """Shards are started one by one, by anybody; until all are complete there is no summary."""
    async with serve() as (url, counter):
        await evaluate(config(url, data, tmp_path / "one"))
        for index in (2, 0, 1):
            run = await evaluate(config(url, data, tmp_path / "run", shard=f"{index}/3"))
            assert (run.summary is not None) == (index == 1)
            assert run.missing == {2: ("0/3", "1/3"), 0: ("1/3",), 1: ()}[index]
            assert (tmp_path / "run" / "summary.json").exists() == (index == 1)
        counter.clear()
        again = await evaluate(config(url, data, tmp_path / "run", processes=3))
        assert again.summary == run.summary
        assert not counter, "complete, whoever asks"
    assert (run.finished, run.total) == (12, 12)
    assert content(coral.load_run(tmp_path / "run")) == content(coral.load_run(tmp_path / "one"))
    assert summary(tmp_path / "run") == summary(tmp_path / "one")


async def test_what_shards_have_added_up_is_what_their_conversations_say(serve, data, tmp_path):
    """Whoever ends last reads what each shard kept of itself. Where one kept nothing that can be used, the
    conversations are read. The summary is the same; `coral score` always reads them.
    """
    async with serve() as (url, _):
        await evaluate(config(url, data, tmp_path / "one", samples=2))
        run = tmp_path / "run"
        for index in range(3):
            await evaluate(config(url, data, run, samples=2, shard=f"{index}/3"))
        assert summary(run) == summary(tmp_path / "one")
        kept = run / "shards" / "2-of-3" / "tally.json"
        whole = json.loads(kept.read_text())
        changed = {**whole, "tally": {**whole["tally"], "stop_reasons": {"failed": 7}}}
        kept.write_text(json.dumps(changed))
        await evaluate(config(url, data, run, samples=2, shard="0/3"))
        assert summary(run)["stop_reasons"]["failed"] == 7, "it is this that is read"
        assert (await score(coral.load_run(run), prices=None, regrade=False)).stop_reasons.get(
            "failed"
        ) is None
        for other in (json.dumps({**changed, "version": "0.1"}), '{"version": "9", "rows": []}', "{"):
            kept.write_text(other)
            await evaluate(config(url, data, run, samples=2, shard="1/3"))
            assert summary(run) == summary(tmp_path / "one")
        kept.unlink()
        await evaluate(config(url, data, run, samples=2, shard="1/3"))
        assert summary(run) == summary(tmp_path / "one")


async def test_shards_that_end_at_the_same_moment_leave_one_summary(serve, data, tmp_path):
    """Whoever finds all complete measures: if several do, they write the same, whole."""
    async with serve() as (url, _):
        await evaluate(config(url, data, tmp_path / "one", limit=8))
        for attempt in range(5):
            path = tmp_path / f"run-{attempt}"
            runs = await asyncio.gather(
                *(evaluate(config(url, data, path, limit=8, shard=f"{index}/4")) for index in range(4))
            )
            assert any(run.summary is not None for run in runs)
            assert summary(path) == summary(tmp_path / "one")
            assert not [left for left in path.iterdir() if left.name.endswith(".partial")]


async def test_a_killed_shard_resumes_alone(serve, data, tmp_path, content):
    """Nothing that the others hold is asked again, and of its own at most what was in flight."""
    async with serve() as (url, counter):
        await evaluate(config(url, data, tmp_path / "one", samples=2))
        wanted = +counter
        counter.clear()
    async with serve(latency_s=0.02) as (url, counter):
        run = tmp_path / "run"
        other = await finish("eval", "hi_tom", *arguments(url, data, run, shard="0/2"))
        assert other[0] == 0, other[1]
        before = counter.total()
        words = ("eval", "hi_tom", *arguments(url, data, run, shard="1/2", max_connections=3))
        process = await start(*words)
        while counter.total() < before + 12:
            await asyncio.sleep(0.002)
        process.kill()
        await process.communicate()
        assert not (run / "summary.json").exists()
        code, output = await finish(*words)
        assert code == 0, output
        assert "24 conversations" in output
        assert set(counter) == set(wanted)
        assert counter.total() - wanted.total() <= 3
    assert content(coral.load_run(run)) == content(coral.load_run(tmp_path / "one"))
    assert summary(run) == summary(tmp_path / "one")


async def test_a_run_may_grow_and_no_problem_is_dealt_anew(serve, data, tmp_path):
    """A larger limit adds to each shard; the summary of less is gone as soon as one begins."""
    async with serve() as (url, counter):
        for index in range(3):
            await evaluate(config(url, data, tmp_path / "run", limit=7, shard=f"{index}/3"))
        first = +counter
        counter.clear()
        for index in range(3):
            grown = config(url, data, tmp_path / "run", limit=11, samples=2, shard=f"{index}/3")
            run = await evaluate(grown)
            assert (run.summary is not None) == (index == 2)
        assert not first & counter
        assert run.summary.conversations == 22
        smaller = await evaluate(config(url, data, tmp_path / "run", limit=5, shard="1/3"))
    assert smaller.summary is not None, "what is complete for more is complete for less"
    ids = [conversation.id for conversation in coral.load_run(tmp_path / "run").conversations()]
    assert len(ids) == len(set(ids)) == 22


@pytest.mark.parametrize(
    ("begun", "resumed", "cause", "remedy"),
    [
        ({"shard": "0/2"}, {"shard": "0/3"}, "in 2 shards, not 3", "--shard I/2"),
        ({"processes": 2}, {"processes": 4}, "in 2 shards, not 4", "--processes 2"),
        ({"shard": "1/2"}, {"processes": 3}, "in 2 shards, not 3", "--processes 2"),
        ({"shard": "1/2"}, {}, "in 2 shards", "--shard I/2"),
        ({}, {"shard": "1/2"}, "not divided", "leave out --shard"),
        ({}, {"processes": 2}, "not divided", "leave out --shard"),
        ({"shard": "0/2"}, {"shard": "1/2", "max_turns": 3}, "max_turns: 20 there, 3 now", "--output"),
    ],
)  # fmt: skip
async def test_a_run_stays_as_it_was_divided(serve, data, tmp_path, begun, resumed, cause, remedy):
    """Another number of shards would deal problems anew: refused before a request, with the way on."""
    async with serve() as (url, counter):
        await evaluate(config(url, data, tmp_path / "run", limit=2, **begun))
        counter.clear()
        with pytest.raises(coral.UserError, match=cause) as refused:
            await evaluate(config(url, data, tmp_path / "run", limit=2, **resumed))
        assert remedy in refused.value.remedy
        assert not counter


async def test_a_folder_of_another_division_is_not_left_out_in_silence(serve, data, tmp_path):
    """Conversations that nobody would count are named."""
    async with serve() as (url, _):
        await evaluate(config(url, data, tmp_path / "run", limit=2, shard="0/2"))
    (tmp_path / "run/shards/0-of-2").rename(tmp_path / "run/shards/0-of-5")
    with pytest.raises(RunFolderError, match=r"in 2 shards, and holds shards/0-of-5"):
        list(coral.load_run(tmp_path / "run").conversations())


async def test_two_processes_of_one_shard(serve, data, tmp_path):
    """The second is kept out, as of any run folder."""
    async with serve(latency_s=0.05) as (url, _):
        options = config(url, data, tmp_path / "run", shard="0/2")
        runs = await asyncio.gather(evaluate(options), evaluate(options), return_exceptions=True)
        refused = [run for run in runs if isinstance(run, RunFolderError)]
    assert len(refused) == 1
    assert "works in" in str(refused[0])


async def test_ctrl_c_reaches_all_processes(serve, data, tmp_path, content):
    """Requests in flight are kept, the exit code is 130, and the same command resumes."""
    async with serve() as (url, _):
        await evaluate(config(url, data, tmp_path / "one", samples=2))
    async with serve(latency_s=0.02) as (url, counter):
        words = ("eval", "hi_tom", *arguments(url, data, tmp_path / "run", processes=2, max_connections=4))
        process = await start(*words)
        while counter.total() < 12 or len(_holders(tmp_path / "run/shards")) < 2:
            await asyncio.sleep(0.002)
        process.send_signal(signal.SIGINT)
        output, _ = await process.communicate()
        assert process.returncode == 130, output.decode()
        assert "run the same command again to resume" in output.decode()
        code, output = await finish(*words)
        assert code == 0, output
        assert set(counter.values()) == {1}
    assert content(coral.load_run(tmp_path / "run")) == content(coral.load_run(tmp_path / "one"))


async def test_no_process_outlives_the_one_that_started_it_by_more_than_its_requests(serve, data, tmp_path):
    """After `kill -9` of that one the others finish what is in flight, and end."""
    async with serve(latency_s=0.02) as (url, counter):
        words = ("eval", "hi_tom", *arguments(url, data, tmp_path / "run", processes=2, max_connections=2))
        process = await start(*words)
        while counter.total() < 12 or len(pids := _holders(tmp_path / "run/shards")) < 2:
            await asyncio.sleep(0.002)
        process.kill()
        await process.communicate()
        while any(map(_is_alive, pids)):
            await asyncio.sleep(0.01)
        assert set(counter.values()) == {1}
        for index in range(2):
            run = await evaluate(config(url, data, tmp_path / "run", samples=2, shard=f"{index}/2"))
        assert set(counter.values()) == {1}, "all that was in flight had been kept"
    assert run.summary is not None


def _holders(shards):
    """The processes that have begun to work on a shard; one may be ahead of the other by many requests."""
    signed = (lock.read_text().split() for lock in shards.glob("*/lock"))
    return [int(words[0]) for words in signed if words]


def _is_alive(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def test_what_ends_a_process_ends_the_run_with_its_cause(serve, data, tmp_path, refusal):
    """A refused key in one shard: the command says it as one process would, and the others stop."""

    def react(_number, _body):
        return refusal(401, "no such key")

    async with serve(react=react) as (url, _):
        words = arguments(url, data, tmp_path / "run", processes=2)
        code, output = await finish("eval", "hi_tom", *words)
    assert code == 2, output
    assert "no such key" in output
    assert "Traceback" not in output


async def test_a_process_that_is_killed_ends_the_run_resumably(serve, data, tmp_path):
    """The others keep what they have, and the message says how to go on."""
    shards = tmp_path / "run/shards"
    async with serve(latency_s=0.05) as (url, _):
        words = ("eval", "hi_tom", *arguments(url, data, tmp_path / "run", processes=2, max_connections=2))
        process = await start(*words)
        while len(_holders(shards)) < 2:
            await asyncio.sleep(0.002)
        last = max(shards.glob("*/lock"), key=lambda lock: lock.stat().st_mtime_ns)
        os.kill(int(last.read_text().split()[0]), signal.SIGKILL)
        output, _ = await process.communicate()
        assert process.returncode == 2, output.decode()
        assert f"the process of shard {last.parent.name[0]}/2 was ended by signal 9" in output.decode()
        for index in range(2):
            run = await evaluate(config(url, data, tmp_path / "run", samples=2, shard=f"{index}/2"))
    assert run.summary is not None


async def test_progress_adds_up(serve, data, tmp_path):
    """What a display shows of several processes is the sum of them."""
    progress = Progress()
    async with serve() as (url, counter):
        run = await evaluate(config(url, data, tmp_path / "run", processes=2), progress)
        assert progress.requests == counter.total()
    assert (progress.total, progress.done, progress.kept, progress.in_flight) == (12, 12, 0, 0)
    assert (run.finished, run.total, run.summary.conversations) == (12, 12, 12)


def test_python_objects_stay_in_their_process(data, tmp_path):
    """They cannot be handed over: refused with the two ways out."""
    with pytest.raises(ConfigError, match="cannot be given to other processes") as refused:
        coral.evaluate("hi_tom", data=data, agent=lambda messages: "x", processes=2, output=str(tmp_path))
    assert "module:name" in refused.value.remedy


@pytest.mark.parametrize(
    "text", ["", "1", "/", "0/0", "2/2", "5/2", "-1/2", "a/b", "0/2/3", " 0/2", "1/99999999", "٠/٢"]
)
def test_texts_that_are_no_shard(text):
    """Refused with what a shard looks like, and with what to do in a job array."""
    with pytest.raises(ConfigError) as refused:
        shard_of(text)
    assert "SLURM_ARRAY_TASK_ID" in refused.value.remedy


def test_a_part_of_a_part_is_refused(data):
    """Both options divide the run."""
    with pytest.raises(ConfigError, match="shard and processes"):
        EvalConfig(task={"name": "hi_tom"}, data=data, shard="0/2", processes=2)
