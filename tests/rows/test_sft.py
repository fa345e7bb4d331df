"""SFT rows, and the filters that all kinds share."""

import msgspec
import pytest

from coral.errors import ConfigError, DataError
from coral.types import Speaker, StopReason


async def test_default_is_every_turn_of_conversations_that_agreed_and_are_right(workshop, talk, texts):
    """The publication's choice: also the wrong turn of one who was persuaded later."""
    built = await workshop.build(
        talk("1+3", "5", "4", "4"),
        talk("2+3", "7", "7"),
        talk("3+3", "4", "5", stop=StopReason.MAX_TURNS),
        kind="sft",
    )
    assert texts(built.rows) == ["I say 4.", "I say 4.", "I say 5."]
    assert built.kept["conversations", "agreed"] == (2, 3)
    assert built.kept["conversations", "agreed_and_right"] == (1, 2)


async def test_failed_conversations_give_no_row(workshop, talk):
    """Whatever else is asked for."""
    half = talk("1+3", "4", stop=StopReason.FAILED, sample=1)
    with pytest.raises(DataError) as caught:
        await workshop.build(half, kind="sft", conversations="any")
    assert "not_failed" in str(caught.value)
    whole = talk("1+3", "4", stop=StopReason.CONTEXT_FULL, sample=2)
    built = await workshop.build(half, whole, kind="sft", conversations="any")
    assert [row["source"]["conversation"] for row in built.rows] == ["1+3#2"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {(1, "5"), (2, "4"), (3, "4")}),
        ({"turns": "right"}, {(2, "4"), (3, "4")}),
        ({"first_turns": 1}, {(1, "5")}),
        ({"seat": "opener"}, {(2, "4")}),
        ({"seat": "responder"}, {(1, "5"), (3, "4")}),
        ({"speaker": "agent"}, {(2, "4")}),
        ({"speaker": "partner"}, {(1, "5"), (3, "4")}),
        ({"siblings": True}, {(1, "5"), (2, "4"), (3, "4"), (3, "4b")}),
        ({"siblings": True, "turns": "right"}, {(2, "4"), (3, "4"), (3, "4b")}),
        ({"siblings": True, "max_completion_chars": 8}, {(1, "5"), (2, "4"), (3, "4")}),
        ({"max_prompt_chars": 60}, {(1, "5")}),
    ],
)
async def test_each_filter_keeps_what_it_says(workshop, talk, say, options, expected):
    """Turns by number, seat, speaker and verdict; replies by length; siblings only if right."""
    tree = talk("1+3", ["5", "6"], ["4", "5"], ["4", say("4", "I say 4b.")])
    built = await workshop.build(tree, kind="sft", **options)
    found = {(row["source"]["turn"], row["completion"][0]["content"][6:-1]) for row in built.rows}
    assert found == expected


@pytest.mark.parametrize(
    ("bounds", "kept"),
    [
        ({}, {"a", "b", "c"}),
        ({"min_solve_rate": 0.1}, {"a", "b"}),
        ({"max_solve_rate": 0.9}, {"b", "c"}),
        ({"min_solve_rate": 0.5, "max_solve_rate": 0.5}, {"b"}),
    ],
)
async def test_solve_rate_counts_all_conversations_of_a_problem(workshop, talk, bounds, kept):
    """Over files and runs; failed conversations are no tries."""
    right, wrong = ("4", "4"), ("5", "5")
    first = [talk("a", *right), talk("b", *right), talk("c", *wrong)]
    second = [
        talk("a", *right, sample=1),
        talk("b", *wrong, sample=1),
        talk("c", *wrong, sample=1),
        talk("a", "5", sample=2, stop=StopReason.FAILED),
    ]
    runs = [workshop.run(first, "first"), workshop.run(second, "second")]
    built = await workshop.build(*runs, kind="sft", conversations="any", **bounds)
    assert {row["source"]["conversation"][0] for row in built.rows} == kept
    solved = built.report.solved
    assert (solved.problems, solved.always, solved.sometimes, solved.never, solved.unknown) == (3, 1, 1, 1, 0)
    assert {row["source"]["run"] for row in built.rows} == {"first", "second"}


async def test_single_agent_runs(workshop, talk, texts):
    """Chain of thought: each reply is a try of its own; right siblings are rows on request."""
    alone = [talk("2+2", ["5", "4", "?"], alone=True, stop=StopReason.MAX_TURNS)]
    run = workshop.run(alone, protocol="cot")
    rejection = {"kind": "sft", "conversations": "any", "turns": "right", "siblings": True}
    built = await workshop.build(run, **rejection, min_solve_rate=0.3, max_solve_rate=0.4)
    assert texts(built.rows) == ["I say 4."]
    assert [message["role"] for message in built.rows[0]["prompt"]] == ["system", "user"]
    pairs = await workshop.build(run, kind="dpo")
    assert texts(pairs.rows, "rejected") == ["I say 5.", "I say ?."]


async def test_duplicates_are_dropped_and_counted(workshop, talk):
    """Two trees that begin alike teach the same first turn once; kept on request."""
    twins = [talk("2+2", "4", "4", sample=s) for s in range(3)]
    built = await workshop.build(*twins, kind="sft")
    assert (len(built.rows), built.report.duplicates) == (2, 4)
    assert built.kept["rows", "distinct"] == (2, 6)
    every = await workshop.build(*twins, kind="sft", duplicates="keep")
    assert (len(every.rows), every.report.duplicates) == (6, 0)


async def test_the_same_words_to_another_prompt_are_no_duplicate(workshop, talk):
    """What counts is prompt and reply together, and who is addressed."""
    built = await workshop.build(talk("2+2", "4", "4"), talk("1+3", "4", "4"), kind="sft")
    assert len(built.rows) == 4


async def test_order_depends_on_seed_and_content_alone(workshop, talk, say):
    """Conversations end in any order, also after a resume: the same rows come out, byte by byte."""
    trees = [
        talk(p, [say("4", f"4{p}{s}"), say("5", f"5{p}{s}")], "4", sample=s)
        for p in "abcdef"
        for s in range(3)
    ]
    one = await workshop.build(workshop.run(trees, "x/run"), kind="dpo")
    two = await workshop.build(workshop.run(trees[::-1], "y/run"), kind="dpo")
    assert (one.path / "train.jsonl").read_bytes() == (two.path / "train.jsonl").read_bytes()
    other = await workshop.build(workshop.run(trees, "z/run"), kind="dpo", seed=1)
    assert [row["source"] for row in one.rows] != [row["source"] for row in other.rows]
    assert sorted(map(str, one.rows)) == sorted(map(str, other.rows))


async def test_duplicates_keep_the_same_lineage_in_any_order(workshop, talk):
    """Which of two equal rows is kept must not depend on the order in the file."""
    twins = [talk("2+2", "4", "4", sample=s) for s in range(4)]
    one = await workshop.build(workshop.run(twins, "x/run"), kind="sft")
    two = await workshop.build(workshop.run(twins[::-1], "y/run"), kind="sft")
    assert one.rows == two.rows


async def test_a_thinking_models_reasoning_is_left_out_and_said(workshop, talk):
    """Rows hold what the partner read; the report says that more was written."""
    plain = talk("2+2", "4", "4")
    thought = msgspec.structs.replace(plain.turns[0].replies[0], reasoning="hidden")
    turns = (msgspec.structs.replace(plain.turns[0], replies=(thought,)), plain.turns[1])
    built = await workshop.build(msgspec.structs.replace(plain, turns=turns), kind="sft")
    assert "hidden" not in str(built.rows)
    assert built.report.reasonings_left_out == 1


async def test_lengths_and_turns_are_reported(workshop, talk, say):
    """A preference for long replies would show here."""
    tree = talk("2+2", [say("4", "x" * 10), say("5", "y" * 40)], "4")
    report = (await workshop.build(tree, kind="dpo")).report
    assert (report.replies.mean, report.rejected.longest, report.turns) == (10.0, 40, {"1": 1})


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"kind": "rlhf"}, "kind cannot be 'rlhf'"),
        ({"kind": "dpo", "siblings": True}, "siblings says nothing about dpo rows"),
        ({"kind": "sft", "min_margin": 0.9}, "min_margin says nothing about sft rows"),
        ({"kind": "kto", "length_penalty": 0.1}, "length_penalty says nothing about kto rows"),
        ({"first_turns": 0}, "first_turns must be at least 1"),
        ({"max_per_turn": -1}, "max_per_turn must be at least 0"),
        ({"length_penalty": -0.1}, "length_penalty must be at least 0"),
        ({"min_solve_rate": 1.5}, "min_solve_rate must be between 0 and 1"),
        ({"min_solve_rate": 0.8, "max_solve_rate": 0.2}, "is above max_solve_rate"),
        ({"max_rows": "many"}, "max_rows cannot be 'many'"),
        ({"margin": 1}, "no option margin"),
        ({"kind": "kto", "format": "openai"}, "openai has no kto rows"),
        ({"format": "fairseq2"}, "no tokenizer was named"),
        ({"tokenizer": "x"}, "takes no tokenizer"),
        ({"held_out": ["nowhere"]}, "neither a run folder nor a split"),
    ],
)
async def test_mistakes_are_named(workshop, talk, options, cause):
    """An option that cannot be meant is an error with a remedy, and writes nothing."""
    with pytest.raises(ConfigError, match=cause) as caught:
        await workshop.build(talk("2+2", ["4", "5"]), **options)
    assert caught.value.remedy
    assert not (workshop.folder / "rows-1").exists()


async def test_speakers_may_differ_in_everything(workshop, talk):
    """Agent and partner keep their own system prompts, whichever seat they hold."""
    turned = talk("2+2", "4", "4", opener=Speaker(name="agent", model="a"))
    built = await workshop.build(turned, kind="sft")
    systems = {row["source"]["turn"]: row["prompt"][0]["content"] for row in built.rows}
    assert systems == {1: "You are the partner.", 2: "You are the agent."}
