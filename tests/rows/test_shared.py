"""Problems that are kept for evaluation must not become training rows unnoticed."""

import msgspec
import pytest

from coral import tasks
from coral.rows.assemble import SharedProblems
from coral.rows.problem_statistics import text_digest
from coral.types import Problem

PLAIN = "What is 2+2?"


def renamed(conversation, **changes):
    problem = msgspec.structs.replace(conversation.problem, **changes)
    return msgspec.structs.replace(conversation, problem=problem, id=f"{problem.id}#0")


async def test_a_shared_id_stops_the_build(workshop, talk):
    """Nothing is written, and the message says how many, which, and what to do."""
    evaluated = workshop.run([talk("2+2", "4", "4"), talk("9+9", "4", "4")], "evaluated", split="test")
    with pytest.raises(SharedProblems, match="1 problems of the runs are held out: 1 by their id") as caught:
        await workshop.build(talk("2+2", "4", "4"), talk("1+3", "4", "4"), kind="sft", held_out=[evaluated])
    assert "gsm8k/2+2" in str(caught.value)
    assert "--shared drop" in caught.value.remedy
    assert not list(workshop.folder.glob("rows-*"))
    assert not list(workshop.folder.glob(".rows-*"))


async def test_drop_leaves_them_out_and_keep_trains_on_them(workshop, talk):
    """Both are said in the report."""
    evaluated = workshop.run([talk("2+2", "4", "4")], "evaluated")
    trees = [talk("2+2", "4", "4"), talk("1+3", "4", "4")]
    dropped = await workshop.build(*trees, kind="sft", held_out=[evaluated], shared="drop")
    assert {row["source"]["conversation"] for row in dropped.rows} == {"1+3#0"}
    assert dropped.kept["problems", "not_held_out"] == (1, 2)
    kept = await workshop.build(*trees, kind="sft", held_out=[evaluated], shared="keep")
    assert len(kept.rows) == 4
    one = await workshop.build(*trees, kind="sft", held_out=evaluated, shared="drop")  # one need be no list
    assert one.rows == [{**row, "source": {**row["source"], "run": "run-3"}} for row in dropped.rows]
    for built in (dropped, kept):
        shared = built.report.shared
        assert (shared.checked, shared.by_id, shared.by_text, shared.examples) == (1, 1, 0, ("gsm8k/2+2",))


@pytest.mark.parametrize(
    ("question", "choices", "shared", "why"),
    [
        ("What is 2+2?", (), True, "the same words under another id"),
        ("  what is\n 2+2? ", (), False, "a line broken elsewhere is taken for another text"),
        (" What  IS 2+2?", (), True, "case and spaces say nothing"),
        ("What is 2+3?", (), False, "another problem"),
    ],
)
async def test_a_shared_text_stops_the_build(workshop, talk, question, choices, shared, why):
    """Authors renumber problems, and files are converted: ids alone would miss it."""
    evaluated = workshop.run([talk("2+2", "4", "4")], "evaluated")
    copy = renamed(talk("2+2", "4", "4"), id="other", question=question, choices=choices)
    if not shared:
        assert (await workshop.build(copy, kind="sft", held_out=[evaluated])).report.shared.count == 0, why
        return
    with pytest.raises(SharedProblems, match="1 by their text"):
        await workshop.build(copy, kind="sft", held_out=[evaluated])


def test_the_order_of_choices_says_nothing():
    """GPQA's choices are shuffled with a seed: the problem is the same one."""
    task = tasks.load("mmlu_pro")
    one = Problem(id="1", task="mmlu_pro", question=PLAIN, target="A", choices=("four", "five"))
    two = Problem(id="2", task="mmlu_pro", question=PLAIN, target="B", choices=("five", "four"))
    other = Problem(id="3", task="mmlu_pro", question=PLAIN, target="A", choices=("four", "six"))
    assert text_digest(task, one) == text_digest(task, two) != text_digest(task, other)


def test_what_only_one_seat_is_told_tells_problems_apart():
    """With split information all openings ask alike; the stories differ."""
    task = tasks.load("sally_anne", split_information=True)
    parts = [{"responder": "Anne left.", "opener": text} for text in ("Ben left.", "Ben stayed.")]
    one, two = (
        Problem(id=str(i), task="sally_anne", question=PLAIN, target="A", choices=("x", "y"), source=source)
        for i, source in enumerate(parts)
    )
    assert text_digest(task, one) != text_digest(task, two)


@pytest.mark.parametrize(
    ("task", "split"), [("gsm8k", "test"), ("mmlu_pro", "seeded-test"), ("mmlu_pro", "")]
)
async def test_runs_on_an_evaluation_split_stop_the_build(workshop, talk, task, split):
    """The split's name is enough, also where it is the task's default: no held-out run needs to be named."""
    run = workshop.run([talk("2+2", "4", "4")], task={"name": task}, split=split)
    with pytest.raises(SharedProblems, match="meant for evaluation") as caught:
        await workshop.build(run, kind="sft")
    assert "--shared keep" in caught.value.remedy
    with pytest.raises(SharedProblems):
        await workshop.build(run, kind="sft", shared="drop")
    built = await workshop.build(run, kind="sft", shared="keep")
    assert set(built.report.shared.splits) == {"run"}


async def test_same_ids_of_another_task_are_other_problems(workshop, talk):
    """Problem 17 of one data set is not problem 17 of another."""
    other = renamed(talk("9+9", "4", "4"), id="2+2", question="Something else?", choices=("x", "y"))
    evaluated = workshop.run([other], "evaluated", task={"name": "mmlu_pro"})
    built = await workshop.build(talk("2+2", "4", "4"), kind="sft", held_out=[evaluated])
    assert built.report.shared.count == 0


@pytest.mark.parametrize("where", ["held out", "sampled"])
async def test_an_id_that_two_data_sets_share_hides_no_text(workshop, talk, where):
    """Files number their problems from 1: what one of them says under an id is not what another says."""
    mine = talk("2+2", "4", "4")
    other = renamed(mine, question="What is 7+7?")
    renumbered = renamed(mine, id="8")
    first, second = (workshop.run([one], name) for one, name in ((other, "first"), (mine, "second")))
    third = workshop.run([renumbered], "third")
    held_out, runs = ([first, second], [third]) if where == "held out" else ([third], [first, second])
    with pytest.raises(SharedProblems, match="1 by their text"):
        await workshop.build(*runs, kind="sft", held_out=held_out)


async def test_an_evaluation_split_may_be_shared_out(workshop, talk):
    """Some data sets have no other split: with its evaluation named, the split's other problems make rows."""
    split = {"task": {"name": "mmlu_pro"}, "split": "test"}
    evaluated = workshop.run([talk("2+2", "4", "4")], "evaluated", **split)
    sampled = workshop.run([talk("2+2", "4", "4"), talk("1+3", "4", "4")], **split)
    with pytest.raises(SharedProblems, match="meant for evaluation"):  # not without being asked to
        await workshop.build(sampled, kind="sft", held_out=[evaluated])
    built = await workshop.build(sampled, kind="sft", held_out=[evaluated], shared="drop")
    assert {row["source"]["conversation"] for row in built.rows} == {"1+3#0"}
    assert built.report.shared.splits == {"run": "test"}
    elsewhere = workshop.run([talk("9+9", "4", "4")], "elsewhere", **{**split, "split": "validation"})
    with pytest.raises(SharedProblems, match="meant for evaluation"):  # which says nothing about this split
        await workshop.build(sampled, kind="sft", held_out=[elsewhere], shared="drop")
