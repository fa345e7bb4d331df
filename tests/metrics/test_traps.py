"""The known traps of the published measurements, one test each; docs/parity.md explains the decisions."""

from __future__ import annotations

import msgspec
import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import METRICS, load_prices, measure, summarize
from coral.types import Failure, StopReason, Unreadable, Unsure

PAIR = build("pair", Settings(agents=("agent", "partner")))


async def test_trap_1_agreement_uses_the_tasks_equivalence_and_the_latest_turns(conversation, trace):
    """1/2 agrees with 0.5; a belief that its holder has left since does not agree with anything."""
    spelled = conversation(["R", "R2"])
    values = measure(spelled, await trace(spelled), PAIR)
    assert (values["agreement"], values["agreement_correctness"]) == (1.0, 1.0)
    assert (values["reference/agreement"], values["reference/agreement_correctness"]) == (0.0, 0.0)
    left = conversation(["R", "X", "?", "R"], stop=StopReason.MAX_TURNS)
    assert measure(left, await trace(left), PAIR)["agreement"] == 0.0


async def test_trap_2_an_instant_i_agree_persuades_nobody(conversation, trace):
    """The opening is no belief: who holds none cannot be talked out of it."""
    values = measure(one := conversation("RR"), await trace(one), PAIR)
    assert values["persuasion"] == 0.0
    assert values["persuasion_quality"] is None
    assert values["reference/persuade_rate"] == 0.5


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("!!", "two unreadable turns with the same reason are the same text in the published code"),
        ("R!", "one side's answer is not known"),
        ("??", "two who are unsure hold no answer"),
    ],
)
async def test_trap_3_a_failed_extraction_is_no_answer(conversation, trace, words, why):
    """Only an answer can be equal or right."""
    values = measure(one := conversation(words, stop=StopReason.MAX_TURNS), await trace(one), PAIR)
    assert (values["agreement"], values["agreement_correctness"]) == (0.0, 0.0), why


@pytest.mark.parametrize("belief", [Unsure(), Unreadable("")])
async def test_trap_4_what_is_no_answer_is_never_right(conversation, trace, belief):
    """A grade beside a belief that is no answer is ignored, however it came about: no matcher sees such a
    belief.
    """
    one = conversation("RR")
    turns = tuple(
        msgspec.structs.replace(
            turn, replies=(msgspec.structs.replace(turn.reply, belief=belief, correct=True),)
        )
        for turn in one.turns
    )
    one = msgspec.structs.replace(one, turns=turns)
    values = measure(one, await trace(one), PAIR)
    assert (values["any_turn_right"], values["agreement_correctness"], values["answered"]) == (0.0, 0.0, 0.0)
    assert values["reference/final_success_rate"] == 0.0


async def test_trap_5_an_answer_that_cannot_be_read_is_unscored_and_shown(conversation, tally):
    """A formatting failure of the extraction is not a wrong answer; it is counted beside the score."""
    runs = [conversation(word, problem=f"p{i}", protocol="cot") for i, word in enumerate("RX!!")]
    metrics = summarize(await tally(runs, "cot")).metrics
    assert (metrics["accuracy"].mean, metrics["accuracy"].n, metrics["accuracy"].num_unscored) == (0.5, 2, 2)
    assert metrics["accuracy_strict"].mean == 0.25
    assert metrics["unreadable_rate"].mean == 0.5


@pytest.mark.parametrize(
    ("words", "expected", "published", "why"),
    [
        ("R?RR", 1 / 4, 2 / 4, "the opener's first turn keeps nothing: only turn 3 asserts"),
        ("R", 0.0, 0.0, "the first turn has no previous belief"),
        ("RX", 0.0, 0.0, "nor has the second"),
        ("RXR", 1 / 3, 1 / 3, "the third has: R kept against X"),
    ],
)
async def test_trap_6_assertion_needs_a_previous_belief(conversation, trace, words, expected, published, why):
    """Assertion keeps a belief that was stated in an earlier turn; a number never stands for a belief."""
    values = measure(one := conversation(words, stop=StopReason.MAX_TURNS), await trace(one), PAIR)
    assert values["assertiveness"] == pytest.approx(expected), why
    assert values["reference/assert_rate"] == pytest.approx(published), why


async def test_trap_7_tokens_of_a_candidate_are_its_own_or_unknown(conversation, trace, tally):
    """Where the server reports only the sum over candidates, tokens are unknown, not shared out or counted
    twice.
    """
    one = conversation("RR", tokens=[10, None])
    values = measure(one, await trace(one), PAIR)
    assert (values["conversation_tokens"], values["total_tokens"]) == (None, None)
    metrics = summarize(await tally([one])).metrics
    assert (metrics["conversation_tokens"].n, metrics["conversation_tokens"].num_unscored) == (0, 1)
    both = msgspec.structs.replace(
        one.turns[0], replies=(one.turns[0].reply, conversation("X", tokens=[30]).turns[0].reply)
    )
    several = msgspec.structs.replace(one, turns=(both,))
    values = measure(several, await trace(several), PAIR)
    assert (values["conversation_tokens"], values["total_tokens"]) == (10.0, 2 * 100 + 10 + 30)


async def test_trap_8_a_failed_conversation_is_counted_and_averaged_into_nothing(conversation, tally):
    """Turns before a failure do not enter any metric but the failure rate and the strict score."""
    failure = Failure(where="turn 3 (responder)", type="Unreachable", message="timed out", attempts=4)
    runs = [
        conversation("RR", problem="p1"),
        conversation("XR", problem="p2", stop=StopReason.FAILED, failure=failure),
    ]
    summary = summarize(await tally(runs))
    for name, one in summary.metrics.items():
        if name not in {"failure_rate", "agreement_correctness_strict"}:
            assert one.num_problems <= 1, name
            assert one.num_failed == 1, name
    assert summary.metrics["agreement_correctness"].mean == 1.0
    assert summary.metrics["agreement_correctness_strict"].mean == 0.5
    assert summary.metrics["failure_rate"].mean == 0.5
    assert summary.failures == {"Unreachable": 1}
    assert summary.requests == 4 + 4, "two turns each, and four attempts that failed"


async def test_trap_9_every_metric_of_two_problems_or_more_has_an_interval(conversation, tally):
    """No number without its uncertainty, where there is any way to know it."""
    runs = [
        conversation(words, problem=f"p{i}", partner=True, stop=StopReason.MAX_TURNS)
        for i, words in enumerate(["XRXRR", "RXRXX", "R?R?R", "RXXR", "XRR", "RR"])
    ]
    summary = summarize(await tally(runs), prices=load_prices())
    for name, one in summary.metrics.items():
        assert (one.low is not None) == (one.num_problems >= 2), name
        if one.mean is not None and one.low is not None and one.high is not None:
            assert one.low <= one.mean <= one.high, name
    proportions = [info.name for info in METRICS if info.unit == "share" and info.name in summary.metrics]
    for name in proportions:
        one = summary.metrics[name]
        assert one.low is None or one.low < one.high, f"{name}: no share is known exactly"


async def test_trap_10_a_baseline_at_equal_cost_stands_beside_the_score(conversation, tally):
    """Majority vote, any-right and tokens per right answer exist for chain of thought and for pairs."""
    cot = [conversation(word, problem="p1", sample=i, protocol="cot") for i, word in enumerate("RRX")]
    pairs = [conversation(words, problem="p1", sample=i) for i, words in enumerate(["RR", "XX", "XX"])]
    alone = summarize(await tally(cot, "cot")).metrics
    together = summarize(await tally(pairs)).metrics
    assert (alone["majority_vote"].mean, alone["pass_any"].mean) == (1.0, 1.0)
    assert (together["majority_vote"].mean, together["pass_any"].mean) == (0.0, 1.0)
    assert alone["tokens_per_right_answer"].mean == 3 * 110 / 2
    assert together["tokens_per_right_answer"].mean == 3 * 220 / 1
