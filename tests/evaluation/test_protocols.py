"""Whole runs by each protocol, as a user starts them."""

import json

import pytest

import coral
from coral.api import build_async, evaluate_async, load_run, sample_async
from coral.cli import main
from coral.errors import ConfigError
from coral.types import OPENER, RESPONDER, Role, StopReason

THREE = ({"model": "scripted:accuracy=1"}, {"model": "scripted:accuracy=0"}, {})


def options(url, data, path, **more):
    agent = {"model": "scripted", "base_url": url}
    settings = {"extractor": {"mode": "rules"}, "limit": 6, **more}
    return {"agent": agent, "data": data, "output": str(path), **settings}


async def test_a_panel_of_different_models(serve, data, tmp_path):
    """Each agent has its own options, like `agent` where not set; all is told by agent."""
    async with serve() as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path, protocol="panel", agents=THREE))
    conversations = list(run.conversations())
    assert [list(one.speakers) for one in conversations] == [["agent_1", "agent_2", "agent_3"]] * 6
    models = [one["model"] if one else "scripted" for one in THREE]
    assert [speaker.model for speaker in conversations[0].speakers.values()] == models
    summary = run.summary
    assert summary.models == dict(zip(("agent_1", "agent_2", "agent_3"), models, strict=True))
    assert set(summary.usage) == {"agent_1", "agent_2", "agent_3"}
    assert summary.metrics["agent_1>agent_2/persuasion_success_rate"].mean is not None
    first = [one.turns[0].reply.correct for one in conversations]
    assert first == [True] * 6


async def test_a_majority_decides_only_by_option(serve, data, tmp_path):
    """At the limit, two of three who never move: without the option no answer, with it theirs."""
    stubborn = [{"model": f"scripted:accuracy={one},stubbornness=1,patience=0"} for one in (1, 0, 1)]
    async with serve() as (url, _):
        more = {"protocol": "panel", "agents": stubborn, "max_turns": 6}
        alone = await evaluate_async("hi_tom", **options(url, data, tmp_path / "a", **more))
        voted = await evaluate_async("hi_tom", **options(url, data, tmp_path / "b", majority=True, **more))
    assert {one.stop for one in voted.conversations()} == {StopReason.MAX_TURNS}
    assert alone.summary.metrics["agreement_correctness"].mean == 0.0
    assert voted.summary.metrics["agreement_correctness"].mean == 1.0


async def test_one_agent_refines_its_own_answer(serve, data, tmp_path):
    """The first turn is that of chain of thought, word for word; then it reviews."""
    async with serve() as (url, _):
        alone = await evaluate_async("hi_tom", **options(url, data, tmp_path / "a", protocol="single"))
        more = {"protocol": "self_refine", "max_turns": 3}
        refined = await evaluate_async("hi_tom", **options(url, data, tmp_path / "b", **more))
    first = {one.id: one.turns[0].reply.text for one in alone.conversations()}
    assert {one.id: one.turns[0].reply.text for one in refined.conversations()} == first
    assert {turn.seat for one in refined.conversations() for turn in one.turns} == {RESPONDER}
    assert all(2 <= len(one.turns) <= 3 for one in refined.conversations())
    metrics = refined.summary.metrics
    assert metrics["first_accuracy"].mean == alone.summary.metrics["accuracy"].mean
    assert metrics["conversation_gain"].n > 0


async def test_agents_spell_a_pair_out(serve, data, tmp_path):
    """`--agents` with two is `--agent` and `--partner`: the same run, to the letter."""
    two = ({}, {"model": "scripted:accuracy=1"})
    async with serve() as (url, _):
        one = await evaluate_async("hi_tom", **options(url, data, tmp_path / "a", partner=two[1]))
        other = await evaluate_async("hi_tom", **options(url, data, tmp_path / "b", agents=two))
    texts = [
        [(turn.seat, turn.reply.text) for talk in run.conversations() for turn in talk.turns]
        for run in (one, other)
    ]
    assert texts[0] == texts[1]
    identities = [load_run(tmp_path / name).identity() for name in "ab"]
    assert identities[0] == identities[1]
    assert next(iter(other.conversations())).speakers[OPENER].name == "agent"


@pytest.mark.parametrize("protocol", ["panel", "self_refine"])
async def test_trees_become_rows_with_what_the_seat_saw(serve, data, tmp_path, protocol):
    """Sampling, roll-outs and rows ask the protocol: the prompt of a row is the request of its turn."""
    async with serve() as (url, asked):
        more = {"protocol": protocol, "candidates": 3, "rollouts": 1, "samples": 2, "split": "all"}
        run = await sample_async("hi_tom", **options(url, data, tmp_path / "run", **more))
    requests = {texts for texts, _ in asked}
    await build_async(run.path, output=tmp_path / "rows")
    rows = [json.loads(line) for line in (tmp_path / "rows" / "train.jsonl").read_text().splitlines()]
    assert rows
    for row in rows:
        assert tuple(message["content"] for message in row["prompt"]) in requests
        assert row["prompt"][-1]["role"] == Role.USER.value


@pytest.mark.parametrize(
    ("more", "message", "remedy"),
    [
        ({"protocol": "cot", "partner": {"model": "x"}}, "the protocol cot has no partner", "coral"),
        ({"protocol": "coral", "majority": True}, "the protocol coral has no majority", "panel"),
        ({"protocol": "self_refine", "second_chance": True}, "has no second_chance", "cot"),
        ({"protocol": "panel", "agents": [{}, {}]}, "seats 3 or more agents, and agents lists 2", "protocol"),
        ({"agents": [{}, {}], "partner": {"model": "x"}}, "agents and partner name the same", "one of them"),
        ({"protocol": "panel", "agents": [{}, {}, {"modle": "x"}]}, "modle", "model"),
        ({"protocol": "debate"}, "there is no protocol 'debate'", "self_refine"),
    ],
)
def test_options_of_other_protocols_are_refused(more, message, remedy, tmp_path):
    """What is set and would do nothing is said, with the protocol that has it."""
    with pytest.raises(ConfigError, match=message) as caught:
        coral.estimate("sally_anne", limit=2, output=str(tmp_path / "run"), **more)
    assert remedy in caught.value.remedy


def test_the_command_line_takes_a_list_of_agents(tmp_path, capsys):
    """As the issue spells it: YAML in brackets."""
    agents = "[{temperature: 0.1}, {temperature: 0.5}, {}, {system_prompt: Be brief.}]"
    path = tmp_path / "run"
    command = ["eval", "sally_anne", "--limit", "3", "--protocol", "panel", "--max_turns", "4"]
    assert main([*command, "--agents", agents, "--output", str(path)]) == 0
    assert "panel" in capsys.readouterr().out
    identity = load_run(path).identity()
    temperatures = [identity[f"agent_{number}"]["temperature"] for number in (1, 2, 3, 4)]
    assert temperatures == [0.1, 0.5, 0.2, 0.2]
    prompts = json.loads((path / "prompts.json").read_text())["systems"]
    assert prompts["agent_4"].startswith("Be brief.\n\nSubmit an answer")
    assert main(["show", str(path), "--read", "1"]) == 0
    assert "agent_4" in capsys.readouterr().out


def test_the_version_stands_in_the_run(tmp_path):
    """Which Coral made a run, and which measured it, can be told years later."""
    run = coral.evaluate("sally_anne", limit=2, protocol="cot", output=str(tmp_path / "run"))
    assert load_run(run.path).identity()["version"] == coral.__version__ == run.summary.version
    again = coral.evaluate("sally_anne", limit=3, protocol="cot", output=str(tmp_path / "run"))
    assert again.finished == 3
