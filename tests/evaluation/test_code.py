"""Pairs that write programs, end to end against a real server: runs, rows and controls."""

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest

import coral
from coral import jail
from coral.api import build_async, evaluate_async, load_run, sample_async, score_async
from coral.cli import main
from coral.conversation.calls import direct
from coral.conversation.extraction import Extractor, template_for
from coral.conversation.mistakes import Mistakes
from coral.conversation.sight import reasons_in
from coral.errors import UserError
from coral.jail import Finding
from coral.models.protocol import Candidate, Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks import registry
from coral.types import Answered, FinishReason, Problem

DATA = Path(__file__).parents[1] / "data"
UNSAFE = {"allow_unsafe_code": True, "timeout_s": 2.0}
HIDDEN = "def check(candidate)"


ISOLATED = pytest.mark.skipif(
    not any(finding.works and finding.isolates for finding in jail.findings()),
    reason="no jail that isolates works here",
)


@pytest.fixture
def humaneval(tmp_path):
    """The first six problems of HumanEval."""
    path = tmp_path / "HumanEval.jsonl"
    with gzip.open(DATA / "humaneval" / "HumanEval.jsonl.gz", "rt") as lines:
        path.write_text("".join(islice(lines, 6)))
    return str(path)


async def test_a_pair_writes_programs(serve, humaneval, tmp_path):
    """Agreement, grades and pass@k, from scripted agents that know the reference solutions and mistakes."""
    options = {"data": humaneval, "samples": 5, "max_turns": 4, "output": str(tmp_path / "run")}
    async with serve(task="humaneval", data=humaneval, options=UNSAFE) as (url, counter):
        agent = {"model": "scripted", "base_url": url}
        run = await evaluate_async({"name": "humaneval", **UNSAFE}, agent=agent, **options)
    assert not any(HIDDEN in text for texts, _ in counter for text in texts), "agents never see the tests"
    task = registry.load("humaneval", **UNSAFE)
    agreed = 0
    for conversation in run.conversations():
        assert conversation.failure is None
        assert HIDDEN not in conversation.opening
        for turn in conversation.turns:
            belief = turn.reply.belief
            if isinstance(belief, Answered):
                assert turn.reply.correct is not None
                assert f"def {conversation.problem.source['name']}(" in belief.value
                reasons = reasons_in(turn.reply.text, conversation.problem, task)
                assert reasons
                assert "```" not in reasons, "what is shown without the stance holds no program"
        agreed += conversation.stop.value == "agreed"
    metrics = run.summary.metrics
    assert 0 < agreed < 30
    assert 0 < metrics["agreement_correctness"].mean < 1
    assert 0 <= metrics["pass_at_1"].mean <= metrics["pass_at_5"].mean == metrics["pass_any"].mean
    assert "pass_at_10" not in metrics


@pytest.mark.parametrize("extractor", [{"mode": "model"}, {"mode": "model", "max_tokens": 8}])
async def test_a_model_that_extracts_programs(serve, humaneval, tmp_path, extractor):
    """It is given room for a whole one, unless the user set another limit."""
    options = {"data": humaneval, "limit": 3, "protocol": "cot", "extractor": extractor}
    async with serve(task="humaneval", data=humaneval, options=UNSAFE) as (url, counter):
        agent = {"model": "scripted", "base_url": url}
        task = {"name": "humaneval", **UNSAFE}
        run = await evaluate_async(task, agent=agent, output=str(tmp_path / "run"), **options)
    assert any("Copy the program the message submits" in text for texts, _ in counter for text in texts)
    found = [conversation.turns[0].reply.belief for conversation in run.conversations()]
    assert [isinstance(belief, Answered) for belief in found] == [len(extractor) == 1] * 3


async def test_an_extractor_that_writes_a_program_itself_is_not_believed():
    """In mode hybrid a program has to stand in the reply, line by line, but for what the prompt gives."""
    task = registry.load("humaneval", **UNSAFE)
    prompt = 'def add(a, b):\n    """Add two numbers."""'
    problem = Problem(id="1", task="humaneval", question=prompt, target="", source={"name": "add"})
    reply = "I return a + b, so the last line is\n\n    return a + b\n\nand that is all. Questions?"
    for body, believed in (("    return a + b", True), ("    return sum((a, b))", False)):
        said = iter([f"```python\n{prompt}\n{body}\n```", "Quote: none"])
        model = ScriptedModel(lambda _, said=said: next(said))
        tool = Extractor(
            mode="hybrid", task=task, model=model, sampling=Sampling(), template=template_for(task)
        )
        candidate = Candidate(text=reply, finish_reason=FinishReason.STOP)
        belief, how = await tool.extract(
            candidate, problem, calls=direct, conversation_id="c", step="1/extraction", seed=0
        )
        assert how.by == "model"
        assert isinstance(belief, Answered) is believed


async def test_measuring_again_runs_no_test_again(serve, humaneval, tmp_path, monkeypatch):
    """Grades are stored with the replies: `coral score` gives the same figures and checks nothing."""
    options = {"data": humaneval, "limit": 3, "max_turns": 3, "output": str(tmp_path / "run")}
    async with serve(task="humaneval", data=humaneval, options=UNSAFE) as (url, _):
        agent = {"model": "scripted", "base_url": url}
        run = await evaluate_async({"name": "humaneval", **UNSAFE}, agent=agent, **options)

    async def refuse(*_, **__):
        raise AssertionError("a check was made again")

    monkeypatch.setattr(jail, "check", refuse)
    assert (await score_async(tmp_path / "run")).metrics == run.summary.metrics


async def test_rows_to_train_on(serve, humaneval, tmp_path):
    """Candidates are graded, pairs have a right and a wrong program, and no row holds a hidden test."""
    task = {"name": "humaneval", **UNSAFE}
    async with serve(task="humaneval", data=humaneval, options=UNSAFE) as (url, _):
        agent = {"model": "scripted", "base_url": url}
        run = await sample_async(
            task,
            agent=agent,
            data=humaneval,
            split="seeded-train",
            limit=4,
            candidates=4,
            max_turns=3,
            output=str(tmp_path / "run"),
        )
    assert run.summary.candidates.right > 0
    assert run.summary.candidates.paired_turns > 0
    for kind in ("sft", "dpo"):
        await build_async(str(tmp_path / "run"), kind=kind, output=str(tmp_path / kind))
        rows = [line for file in (tmp_path / kind).rglob("*.jsonl") for line in file.read_text().splitlines()]
        assert rows
        assert not any("def check(candidate)" in row for row in rows)
    pairs = [json.loads(line) for line in rows if "chosen" in json.loads(line)]
    assert pairs
    assert all("```python" in json.dumps(pair["chosen"]) for pair in pairs)


@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_a_control_partner_writes_programs(humaneval, kind, tmp_path):
    """It insists on the reference solution, or on one mistake, the same in every turn."""
    run = coral.evaluate(
        {"name": "humaneval", **UNSAFE}, agent=lambda _: "I am not sure yet.", partner={"control": kind},
        data=humaneval, limit=3, max_turns=4, opener="agent", output=str(tmp_path / "run"),
    )  # fmt: skip
    for conversation in run.conversations():
        spoken = [turn.reply for turn in conversation.turns if turn.reply.text != "I am not sure yet."]
        assert len(spoken) == 2
        assert {reply.correct for reply in spoken} == {kind == "right"}
        assert len({reply.belief for reply in spoken}) == 1


def test_no_jail_is_said_before_anything_is_asked(humaneval, tmp_path, monkeypatch):
    """The message says why none works and which option runs programs nevertheless."""
    monkeypatch.setattr(jail.drivers, "probe", lambda name: Finding(name, False, "not here", "install it"))
    asked = []
    with pytest.raises(UserError, match="no jail for untrusted programs works here") as caught:
        coral.evaluate("humaneval", agent=asked.append, data=humaneval, output=str(tmp_path / "run"))
    assert "allow_unsafe_code true" in caught.value.remedy
    assert asked == []
    assert main(["tasks", "humaneval", "--data", humaneval]) == 0, "to read about the task, none is needed"


def test_the_option_of_the_command_is_the_tasks(humaneval, tmp_path):
    """`--allow_unsafe_code true`, as the message has it, is the task's option; no other task takes it."""
    agent = lambda _: "I am not sure yet."  # noqa: E731
    options = {"agent": agent, "limit": 1, "max_turns": 1, "output": str(tmp_path / "run")}
    run = coral.evaluate("humaneval", data=humaneval, allow_unsafe_code=True, **options)
    assert load_run(run.path).identity()["task"]["allow_unsafe_code"] is True
    with pytest.raises(UserError, match="the task sally_anne has no option 'allow_unsafe_code'"):
        coral.evaluate("sally_anne", allow_unsafe_code=True, **{**options, "output": str(tmp_path / "other")})


@ISOLATED
def test_the_task_is_listed(capsys, humaneval):
    """`coral tasks` names the three; with data it shows options and the first problem, without its tests."""
    assert main(["tasks"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("humaneval", "mbpp", "livecodebench"))
    assert main(["tasks", "humaneval", "--data", humaneval]) == 0
    shown = capsys.readouterr().out
    assert "timeout_s" in shown
    assert "has_close_elements" in shown
    assert HIDDEN not in shown


async def test_a_mistake_is_the_same_whoever_asks(humaneval):
    """The wrong program of a problem follows from the problem alone."""
    task = registry.load("humaneval", **UNSAFE)
    problems = list(task.problems(coral.tasks.protocol.Source(data=humaneval, split="")))[:2]
    async with jail.in_use():
        first = [await Mistakes(task, problems).of(problem) for problem in problems]
        assert first == [await Mistakes(task, []).of(problem) for problem in problems]
