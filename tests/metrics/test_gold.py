"""Problems without a gold answer: nothing is right or wrong there, and the majority is an estimate."""

from __future__ import annotations

from math import isnan

import msgspec
import pytest

from coral.errors import ConfigError
from coral.metrics import compare, measure, metric, summarize, trace_of
from coral.metrics.counts import needs_gold
from coral.metrics.estimate import estimate
from coral.metrics.votes import NO_VOTE, agreement_with_others

NAN = float("nan")


def without_gold(conversation):
    turns = [
        msgspec.structs.replace(
            turn, replies=tuple(msgspec.structs.replace(one, correct=None) for one in turn.replies)
        )
        for turn in conversation.turns
    ]
    problem = msgspec.structs.replace(conversation.problem, target="")
    return msgspec.structs.replace(conversation, problem=problem, turns=tuple(turns))


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ([1.0], [NAN]),
        ([1.0, 1.0], [1.0, 1.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
        ([1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 0.0]),
        ([1.0, NO_VOTE, NO_VOTE], [NAN, 0.0, 0.0]),
        ([NO_VOTE, NO_VOTE], [NAN, NAN]),
        ([1.0, 2.0, 3.0, 3.0], [0.0, 0.0, 1 / 3, 1 / 3]),
        ([1.0, NAN, 1.0], [1.0, NAN, 1.0]),
    ],
)
def test_nobody_votes_for_itself(votes, expected):
    """Ties share the credit, no answer agrees with none, and without other answers nothing is known."""
    assert agreement_with_others(votes) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("beliefs", ["RR", "RW", "?R", "??", "R!WR", "WRRW"])
@pytest.mark.parametrize("partner", [False, True])
async def test_no_metric_calls_anything_right_or_wrong(conversation, tally, beliefs, partner):
    """Neither of a run nor of a conversation, in whatever way it ended; what needs no gold is as ever."""
    talks = [conversation(beliefs, problem=f"p{i}", partner=partner) for i in range(3)]
    graded = summarize(await tally(talks)).metrics
    bare = summarize(await tally([without_gold(one) for one in talks])).metrics
    for name, found in bare.items():
        if needs_gold(metric(name).numerator) or needs_gold(metric(name).denominator):
            assert found.mean is None, name
            assert found.n == 0, name
        else:
            assert found == graded[name], name


async def test_a_conversation_without_gold(conversation, tally):
    """As of a run: what would need a gold answer is not known."""
    talk = without_gold(conversation("RW"))
    rules = (await tally([talk])).rules

    async def same(a, b):
        return a == b

    found = measure(talk, await trace_of(talk, same), rules)
    assert found["agreement_correctness"] is found["agreement_correctness_strict"] is None
    assert found["reference/agreement_correctness"] is found["first_accuracy"] is None
    assert found["turns"] == 2


async def test_only_problems_with_gold_count_as_right(conversation, tally):
    """Failed conversations included: those without gold are in no denominator of what is right."""
    talks = [
        *(conversation("RR", problem="p1", sample=i) for i in range(2)),
        *(without_gold(conversation("RR", problem="p2", sample=i)) for i in range(3)),
    ]
    summary = summarize(await tally(talks))
    assert summary.without_gold == 1
    assert summary.metrics["agreement_correctness_strict"].n == 2
    assert summary.metrics["majority_vote"].n == summary.metrics["pass_any"].n == 1
    majority = summary.metrics["majority_agreement"]
    assert (majority.mean, majority.n, majority.num_problems) == (1.0, 3, 1)


async def test_a_task_that_grades_without_a_target_has_gold(conversation, tally):
    """Such as one that runs programs: a grade of any answer says so."""
    talks = [conversation("RR", problem="p1"), conversation("??", problem="p2")]
    talks = [
        msgspec.structs.replace(one, problem=msgspec.structs.replace(one.problem, target="")) for one in talks
    ]
    summary = summarize(await tally(talks))
    assert summary.without_gold == 0
    assert summary.metrics["agreement_correctness_strict"].n == 2


async def test_parts_of_a_run_remember_what_has_no_gold(conversation, tally):
    """What shards keep merges to the numbers of the whole."""
    a = [without_gold(conversation("RW", problem="p3", sample=i)) for i in range(2)]
    b = [conversation("RR", problem="p1"), without_gold(conversation("RR", problem="p0"))]
    whole, first, second = await tally(a + b), await tally(a), await tally(b)
    first.merge(second.part())
    first.sort()
    assert summarize(first) == summarize(whole)


async def test_runs_without_gold_are_compared_by_what_is_there(conversation, tally):
    """The headline has nothing to count, and agreement with the majority has."""
    runs = [
        await tally([
            without_gold(conversation(words, problem=f"p{i}", sample=j))
            for i in range(4)
            for j, words in enumerate(talks)
        ])
        for talks in (("RR", "RR", "WW"), ("RR", "RR", "RR"))
    ]  # fmt: skip
    assert compare(*runs, "agreement_correctness_strict").difference is None
    found = compare(*runs, "majority_agreement")
    assert (found.a, found.b) == (pytest.approx(1 / 3), 1.0)
    assert isnan(runs[0].view().column("right")[0])
    assert estimate(metric("majority_agreement"), runs[0].view()).n == 12


async def test_parts_of_other_columns_are_no_parts(conversation, tally):
    """A part whose columns differ cannot be added up: its numbers would stand under other names."""
    pair = await tally([conversation("RW", problem="p1")])
    other = await tally([conversation("RW", problem="p2", partner=True)])
    with pytest.raises(ConfigError, match="hold different columns: agent/"):
        pair.merge(other.part())
