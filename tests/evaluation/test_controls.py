"""Runs with control partners, as a user starts them: for every task, without a server."""

import asyncio
import json
import warnings
from pathlib import Path

import pytest

import coral
from coral.api import build_async, evaluate_async, load_run, sample_async
from coral.cli import main
from coral.errors import RunFolderError
from coral.types import OPENER, RESPONDER, Answered, Unsure

DATA = Path(__file__).parents[1] / "data"
TASKS = {
    "sally_anne": {},
    "hidden_profile": {},
    "split_chain": {},
    "hi_tom": {"data": DATA / "hi_tom" / "Hi-ToM_data.sample.json"},
    "gsm8k": {"data": DATA / "gsm8k" / "test.sample.jsonl"},
    "mmlu_pro": {"data": DATA / "mmlu_pro"},
    "explore_tom": {"data": DATA / "explore_tom"},
    "gpqa": {"data": DATA / "gpqa"},
}


def silent(messages):
    return "I have no idea yet. I am not sure yet."


def _data(task):
    """A file of a task's sample records."""
    given = TASKS[task].get("data")
    if given is None or given.is_file():
        return {} if given is None else {"data": str(given)}
    files = sorted(path for path in given.iterdir() if path.suffix in {".csv", ".jsonl", ".json"})
    return {"data": str(files[0])}


@pytest.mark.parametrize("kind", ["right", "wrong", "random"])
@pytest.mark.parametrize("task", list(TASKS))
def test_controls_are_read_as_what_they_say(task, kind, tmp_path):
    """For every task, the rules read a control's words as its stance: right is right, wrong is wrong."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = coral.evaluate(
            task, agent=silent, partner={"control": kind}, limit=8, max_turns=3, output=str(tmp_path / "run"),
            **_data(task),
        )  # fmt: skip
    for conversation in run.conversations():
        spoken = [turn.reply for turn in conversation.turns if turn.seat == RESPONDER]
        assert all(isinstance(reply.belief, Answered) for reply in spoken), spoken[0]
        assert len({reply.belief for reply in spoken}) == 1
        if kind != "random":
            assert all(reply.correct is (kind == "right") for reply in spoken)
    summary = run.summary
    assert summary.models["partner"] == f"control:{kind}"
    assert summary.usage["partner"].requests == 0
    assert summary.usage["partner"].completion_tokens == 0


async def test_the_wrong_answer_is_the_same_in_all_arms(serve, data, tmp_path):
    """Seed, limit and what is shown do not move the wrong answer of a problem."""
    arms = {
        "a": {"limit": 6, "seed": 0},
        "b": {"limit": 12, "seed": 3, "data_seed": 0},
        "c": {"limit": 6, "agent": {"sees": "stance"}, "partner": {"sees": "everything"}},
    }
    held = {}
    async with serve(task="hi_tom") as (url, _):
        for name, more in arms.items():
            agent = {"model": "scripted", "base_url": url, **more.pop("agent", {})}
            partner = {"control": "wrong", **more.pop("partner", {})}
            run = await evaluate_async(
                "hi_tom", agent=agent, partner=partner, data=data, opener="partner", max_turns=2,
                extractor={"mode": "rules"}, output=str(tmp_path / name), **more,
            )  # fmt: skip
            held[name] = {
                one.problem.id: turn.reply.belief
                for one in run.conversations()
                for turn in one.turns
                if turn.seat == OPENER
            }
    for problem in held["a"].keys() & held["b"].keys() & held["c"].keys():
        assert held["a"][problem] == held["b"][problem] == held["c"][problem]


async def test_a_stopped_run_with_controls_resumes(serve, data, tmp_path, content):
    """Resuming a run with a control gives the conversations of one that was never stopped."""
    from coral.evaluation.progress import Progress

    options = {
        "partner": {"control": "wrong"}, "opener": "partner", "data": data, "limit": 12, "max_turns": 5,
        "extractor": {"mode": "rules"}, "max_connections": 2,
    }  # fmt: skip
    async with serve(stubbornness=0.9, latency_s=0.01) as (url, _):
        agent = {"model": "scripted", "base_url": url, "max_connections": 2}
        whole = await evaluate_async("hi_tom", agent=agent, output=str(tmp_path / "a"), **options)
        progress = Progress()
        task = asyncio.create_task(
            evaluate_async("hi_tom", agent=agent, output=str(tmp_path / "b"), progress=progress, **options)
        )
        while progress.done < 3:
            await asyncio.sleep(0.005)
        progress.stopping = True
        assert (await task).summary is None
        again = await evaluate_async("hi_tom", agent=agent, output=str(tmp_path / "b"), **options)
    assert content(whole) == content(again)


def test_the_command_line_and_the_record(tmp_path, capsys):
    """`--partner.control wrong`, `--agent.sees stance` as a user types them; both stand in the record."""
    path = tmp_path / "run"
    words = ["--limit", "4", "--partner.control", "wrong", "--agent.sees", "stance", "--opener", "partner"]
    assert main(["eval", "sally_anne", *words, "--max_turns", "3", "--output", str(path)]) == 0
    assert main(["eval", "sally_anne", *words, "--max_turns", "3", "--output", str(path)]) == 0
    identity = load_run(path).identity()
    assert identity["partner"] == {"model": "control:wrong", "control": "wrong"}
    assert identity["agent"]["sees"] == "stance"
    capsys.readouterr()
    assert main(["eval", "sally_anne", "--limit", "4", "--partner.control", "wring"]) == 2
    assert "did you mean wrong?" in capsys.readouterr().err


def test_a_run_without_controls_is_called_as_before(tmp_path):
    """The new options are in no identity where they are not set: runs of earlier versions go on."""
    run = coral.evaluate("sally_anne", limit=2, protocol="cot", output=str(tmp_path / "run"))
    assert not {"control", "control_words", "sees"} & load_run(run.path).identity()["agent"].keys()


def test_a_dry_run_counts_no_request_of_a_control():
    """What a control says is read by the agent, and asked of nobody."""
    pair = coral.estimate("sally_anne", limit=10, opener="partner", extractor={"mode": "rules"})
    controlled = coral.estimate(
        "sally_anne", limit=10, opener="partner", extractor={"mode": "rules"}, partner={"control": "right"}
    )
    assert [one.requests for one in pair.volumes] == [40, 200]
    assert [one.requests for one in controlled.volumes] == [20, 100]


async def test_rows_hold_what_was_shown_and_no_words_of_a_control(serve, data, tmp_path):
    """A row's prompt is the request of its turn, with what the agent was shown; a control teaches nobody."""
    async with serve() as (url, asked):
        agent = {"model": "scripted", "base_url": url, "sees": "stance"}
        run = await sample_async(
            "hi_tom", agent=agent, partner={"control": "right"}, data=data, limit=8, samples=2, candidates=3,
            opener="partner", max_turns=4, extractor={"mode": "rules"}, output=str(tmp_path / "run"),
        )  # fmt: skip
    await build_async(run.path, output=tmp_path / "rows", unfinished=True)
    rows = [json.loads(line) for line in (tmp_path / "rows" / "train.jsonl").read_text().splitlines()]
    requests = {texts for texts, _ in asked}
    assert rows
    for row in rows:
        assert tuple(message["content"] for message in row["prompt"]) in requests


def test_rows_of_unrelated_reasons_are_refused(tmp_path):
    """What a run does not keep cannot stand in a row."""
    run = coral.evaluate(
        "sally_anne", agent={"sees": "unrelated"}, partner={"control": "right"}, opener="partner", limit=2,
        max_turns=3, output=str(tmp_path / "run"),
    )  # fmt: skip
    with pytest.raises(RunFolderError, match="unrelated"):
        coral.build(run.path, output=tmp_path / "rows")


def test_unsure_and_echo(tmp_path):
    """`unsure` never submits; `echo` has nothing to repeat at first, then agrees."""
    for kind, first in (("unsure", Unsure), ("echo", Unsure)):
        run = coral.evaluate(
            "sally_anne", partner={"control": kind}, limit=4, max_turns=4, output=str(tmp_path / kind)
        )
        for conversation in run.conversations():
            spoken = [turn.reply.belief for turn in conversation.turns if turn.seat == RESPONDER]
            assert isinstance(spoken[0], first)
            if kind == "echo" and len(spoken) > 1:
                assert spoken[1] == conversation.turns[1].reply.belief
