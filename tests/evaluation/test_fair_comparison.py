"""What a pair and one agent alone may share, so that a comparison is about talking: prompt, turns, draws."""

import pytest

import coral
from coral.rows.run import open_run
from coral.store.folder import RunFolder
from coral.types import Answered


async def evaluated(url, data, output, *, model="scripted", prompt="same", **options):
    agent = {"model": model, "base_url": url, "prompt": prompt}
    run = await coral.evaluate_async(
        "hi_tom", agent=agent, extractor={"mode": "rules"}, data=data, limit=20, output=str(output), **options
    )
    return run, {one.problem.id: one for one in run.conversations()}


@pytest.mark.parametrize(("salt", "shared"), [("", True), ("b", False)])
async def test_one_prompt_and_one_seed_make_the_first_turns_one(serve, data, tmp_path, salt, shared):
    """With `--agent.prompt same` both protocols ask the first question in the same words; with one seed they
    get the same reply, and `--salt` draws another. Problems stay the same in either case.
    """
    async with serve(stubbornness=1.0) as (url, asked):
        _, alone = await evaluated(url, data, tmp_path / "alone", protocol="cot")
        only = set(asked)
        _, pair = await evaluated(url, data, tmp_path / "pair", max_turns=2, salt=salt)
    assert alone.keys() == pair.keys()
    words = {texts for texts, _ in only}
    assert words == {texts for texts, _ in asked if texts in words}
    same = [pair[name].turns[0].reply.text == one.turns[0].reply.text for name, one in alone.items()]
    assert all(same) is shared
    firsts = [texts for texts, _ in asked.elements() if texts in words]
    assert len(firsts) == 40, "the pair's first requests have the single agent's words"


async def test_by_default_each_protocol_has_its_own_prompt(serve, data, tmp_path):
    """Then the first answers of a pair and those of one agent differ by more than chance may say."""
    async with serve() as (url, asked):
        await evaluated(url, data, tmp_path / "alone", prompt=None, protocol="cot")
        words = {texts for texts, _ in asked}
        await evaluated(url, data, tmp_path / "pair", prompt=None, max_turns=2)
    assert sum(count for (texts, _), count in asked.items() if texts in words) == 20


async def test_a_second_chance_counts_its_turn_and_tokens(serve, data, tmp_path):
    """Who is unsure is asked once more, in the words that the run keeps, and pays for it; who has answered is
    not. The first answer is told apart from the last.
    """
    async with serve(unsure=0.5) as (url, _):
        options = {"prompt": "agent", "protocol": "cot"}  # with it scripted agents may be unsure
        once, before = await evaluated(url, data, tmp_path / "once", **options)
        twice, after = await evaluated(url, data, tmp_path / "twice", second_chance=True, **options)
    asked = {name for name, one in before.items() if not isinstance(one.turns[0].reply.belief, Answered)}
    assert asked, "some are unsure"
    assert {name for name, one in after.items() if len(one.turns) == 2} == asked
    assert all(after[name].turns[0].reply.text == one.turns[0].reply.text for name, one in before.items())
    first, second = once.summary.metrics, twice.summary.metrics
    assert second["first_accuracy"].mean == first["first_accuracy"].mean == first["accuracy_strict"].mean
    assert second["turns"].mean == 1 + len(asked) / 20
    assert second["conversation_tokens"].mean > first["conversation_tokens"].mean
    assert second["accuracy_strict"].mean > first["accuracy_strict"].mean
    run = open_run(tmp_path / "twice", "twice")
    words = run.prompt(after[min(asked)], 1)
    assert words[-1].content == run.protocol.second_chance
    assert "State your answer" in words[-1].content
    assert words[-2].content == after[min(asked)].turns[0].reply.text


async def test_prompts_salt_and_second_chance_decide_a_run(serve, data, tmp_path):
    """They are in its record where they are used; runs without them keep the record they had before."""
    async with serve() as (url, _):
        for name, options in {
            "plain": {},
            "salted": {"salt": "x"},
            "twice": {"protocol": "cot", "second_chance": True},
        }.items():
            await evaluated(url, data, tmp_path / name, **{"max_turns": 2, **options})
    records = {name: RunFolder(tmp_path / name).identity() for name in ("plain", "salted", "twice")}
    assert {"salt", "second_chance"}.isdisjoint(records["plain"])
    assert records["salted"] == {**records["plain"], "salt": "x"}
    assert records["twice"]["second_chance"] is True


def test_a_dry_run_counts_the_second_turn(data):
    """At most two turns are asked for, and one where all goes well."""
    volumes = coral.estimate(
        "hi_tom", data=data, limit=2, agent={"model": "m", "base_url": "http://a"}, protocol="cot",
        second_chance=True, extractor={"mode": "rules"},
    ).volumes  # fmt: skip
    assert [volume.requests for volume in volumes] == [2, 4, 4]
