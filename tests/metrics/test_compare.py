"""Two runs on the same problems."""

from __future__ import annotations

from math import sqrt

import pytest

from coral.errors import ConfigError
from coral.metrics import compare


async def test_paired_by_problem(conversation, tally):
    """4 of 8 problems right against 6 of 8, the same four among them: two problems up, none down."""
    before = [conversation("RR" if i < 4 else "XX", problem=f"p{i}") for i in range(8)]
    after = [conversation("RR" if i < 6 else "XX", problem=f"p{i}") for i in range(8)]
    result = compare(await tally(before), await tally(after), "agreement_correctness")
    assert (result.a, result.b, result.difference) == (0.5, 0.75, 0.25)
    # Effects 0, 0, 0, 0, 1, 1, 0, 0: sd = sqrt(8/7 * (1/4 - 1/16)), over sqrt(8).
    assert result.stderr == pytest.approx(sqrt(8 / 7 * 3 / 16) / sqrt(8))
    assert (result.num_problems, result.num_higher, result.num_lower) == (8, 2, 0)
    # Padded by +1 and -1: centre 0.2, variance 0.4 - 0.04 over 10.
    assert result.low == pytest.approx(0.2 - 1.959964 * 0.6 / sqrt(10), abs=1e-6)
    assert 0.05 < result.p_value < 1


async def test_only_shared_problems_count(conversation, tally):
    """What one run alone has measured does not enter either mean."""
    a = [conversation("RR", problem="a"), conversation("XX", problem="b"), conversation("XX", problem="c")]
    b = [conversation("RR", problem="a"), conversation("RR", problem="b"), conversation("RR", problem="d")]
    result = compare(await tally(a), await tally(b), "agreement_correctness")
    assert (result.a, result.b, result.num_problems) == (0.5, 1.0, 2)
    assert (result.num_only_a, result.num_only_b) == (1, 1)


async def test_pairing_removes_what_the_problems_share(conversation, tally):
    """Equal ups and downs of difficulty cancel: the paired standard error is far below the separate ones."""
    words = ["RR", "XX"] * 20
    a = [conversation(w, problem=f"p{i}") for i, w in enumerate(words)]
    b = [conversation("RR" if i == 1 else w, problem=f"p{i}") for i, w in enumerate(words)]
    result = compare(await tally(a), await tally(b), "agreement_correctness")
    assert result.difference == pytest.approx(1 / 40)
    assert result.stderr == pytest.approx(1 / 40)


async def test_a_run_equals_itself_without_certainty(conversation, tally):
    """No difference, p = 1, and an interval with a width."""
    runs = await tally([conversation("RR", problem=f"p{i}") for i in range(20)])
    result = compare(runs, runs, "agreement_correctness")
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert result.low < 0 < result.high


@pytest.mark.parametrize("swapped", [False, True])
async def test_a_run_with_nothing_to_count_is_compared(conversation, tally, swapped):
    """Nobody in one run had an answer that could be kept: no difference is known, and nothing fails."""
    stirred = await tally([conversation("RXR", problem=f"p{i}") for i in range(3)])
    silent = await tally([conversation("??", problem=f"p{i}") for i in range(3)])
    a, b = (silent, stirred) if swapped else (stirred, silent)
    for name in ("assertiveness", "conformity", "persuasion", "valid_answer_rate"):
        result = compare(a, b, name)
        assert (result.difference is None) == (result.a is None or result.b is None)
        assert result.num_higher + result.num_lower <= result.num_problems


async def test_equal_rates_are_not_known_to_be_equal(conversation, tally):
    """Not a single unsure turn in either run of 20 problems leaves an interval around 0."""
    runs = await tally([conversation("RR", problem=f"p{i}") for i in range(20)])
    result = compare(runs, runs, "unsure_rate")
    assert (result.difference, result.p_value) == (0.0, 1.0)
    assert result.low == -result.high == pytest.approx(-1.959964 * sqrt(2) / 22)


async def test_tokens_use_students_t(conversation, tally):
    """10 more, 20 more, 30 more: t = 20 / (10 / sqrt(3)), p with 2 degrees of freedom."""
    a = [conversation("RR", problem=f"p{i}", tokens=[10, 10]) for i in range(3)]
    b = [conversation("RR", problem=f"p{i}", tokens=[10, 20 + 10 * i]) for i in range(3)]
    result = compare(await tally(a), await tally(b), "conversation_tokens")
    assert (result.difference, result.stderr) == (20.0, pytest.approx(10 / sqrt(3)))
    assert result.p_value == pytest.approx(0.0742, abs=1e-4)


async def test_the_limit_of_turns_bounds_their_difference(conversation, tally):
    """Two turns everywhere in both runs of at most 20: nobody knows more than that few differ."""
    runs = await tally([conversation("RR", problem=f"p{i}") for i in range(50)])
    result = compare(runs, runs, "turns")
    assert result.low == pytest.approx(-result.high)
    assert 0.5 < result.high < 1.5


@pytest.mark.parametrize(("halves", "difference"), [("RXX", 2.0), ("RR", 1.5)])
async def test_two_gains_may_differ_by_two(conversation, tally, halves, difference):
    """One run loses right answers by talking, the other wins them: gains lie in [-1, 1], their difference in
    [-2, 2], and an interval that ended at 1 would leave out the difference itself."""
    a = [conversation(halves if i % 2 else "RXX", problem=f"p{i}") for i in range(20)]
    b = [conversation("XRR", problem=f"p{i}") for i in range(20)]
    result = compare(await tally(a), await tally(b), "conversation_gain")
    assert result.difference == difference
    assert 1 < result.low < difference <= result.high <= 2
    reverse = compare(await tally(b), await tally(a), "conversation_gain")
    assert (reverse.low, reverse.high) == (pytest.approx(-result.high), pytest.approx(-result.low))


async def test_ratios_are_compared_as_they_are_reported(conversation, tally):
    """The difference is that of the pooled ratios; a problem without an event in one run still counts."""
    a = [conversation("XRR", problem="p"), conversation("RXX", problem="q"), conversation("RR", problem="r")]
    b = [conversation("XRR", problem="p"), conversation("XRR", problem="q"), conversation("XRR", problem="r")]
    result = compare(await tally(a), await tally(b), "correct_persuasion")
    assert (result.a, result.b, result.difference) == (0.5, 1.0, 0.5)
    assert result.num_problems == 3


@pytest.mark.parametrize(
    ("a", "b", "difference", "stderr", "why"),
    [
        (["RR"], ["XX"], -1.0, None, "one problem: a difference without spread"),
        ([], ["XX"], None, None, "nothing in common"),
    ],
)
async def test_too_little_to_compare(conversation, tally, a, b, difference, stderr, why):
    """Where nothing can be said, nothing is."""
    runs = [await tally([conversation(w) for w in words]) for words in (a, b)]
    result = compare(*runs, "agreement_correctness")
    assert (result.difference, result.stderr) == (difference, stderr), why
    assert (result.p_value, result.low, result.high) == (None, None, None), why


@pytest.mark.parametrize(
    ("name", "remedy", "why"),
    [
        ("agrement", "agreement", "a typing error"),
        ("accuracy", "protocol", "a metric of the other protocol"),
        ("agent/persuasion", "partner", "a metric of runs with a partner"),
    ],
)
async def test_a_metric_that_is_not_there(conversation, tally, name, remedy, why):
    """The error says what to do."""
    runs = await tally([conversation("RR", problem=p) for p in "ab"])
    with pytest.raises(ConfigError) as caught:
        compare(runs, runs, name)
    assert remedy in caught.value.remedy, why
