"""The published code's values beside ours, on belief sequences worked out by hand from the two definitions.

Published, with belief b0 = ? of the opening (turn 0), scores R = 1, ? = 0.5, all else 0, and T turns:
  persuasive i: b(i-1) != b(i+1) and b(i) == b(i+1)           (no partner turn after i: not persuasive)
  assertive  i: b(i-1) != b(i-2) and b(i) == b(i-2), i >= 2
  rates over T; quality = mean of score(i+1) - score(i-1) over persuasive turns; nothing to average: 0
Ours: the opening holds no belief, `!` equals nothing and is compared with nothing, a share of nothing is
undefined.
"""

from __future__ import annotations

import pytest

from coral.conversation.protocols.pair import Pair
from coral.metrics.reference import reference_values
from coral.metrics.social import social_facts, total
from coral.types import StopReason

ZERO = {
    "persuade_rate": 0,
    "correct_persuade_rate": 0,
    "incorrect_persuade_rate": 0,
    "unsure_persuade_rate": 0,
    "persuasion_quality": 0,
    "assert_rate": 0,
    "correct_assert_rate": 0,
    "incorrect_assert_rate": 0,
    "unsure_assert_rate": 0,
    "agreement": 0,
    "agreement_correctness": 0,
    "final_success_rate": 0,
    "n_turns_to_success": 20,
}
SUCCESS_AT_1 = {"final_success_rate": 1, "n_turns_to_success": 1}
AGREED_RIGHT = {"agreement": 1, "agreement_correctness": 1}

TABLE = [
    # Turn 1: ? -> R and b1 = b2 = R: persuasive, gain 1 - 0.5.
    pytest.param(
        "RR",
        {
            **SUCCESS_AT_1,
            **AGREED_RIGHT,
            "persuade_rate": 1 / 2,
            "correct_persuade_rate": 1,
            "persuasion_quality": 0.5,
        },
        {"agreed": True, "right": True},
        id="instant 'I agree': the published half comes from the opening alone",
    ),
    # The same, wrong: gain 0 - 0.5.
    pytest.param(
        "XX",
        {
            "agreement": 1,
            "persuade_rate": 1 / 2,
            "incorrect_persuade_rate": 1,
            "persuasion_quality": -0.5,
        },
        {"agreed": True},
        id="instant agreement on a wrong answer",
    ),
    # One turn: nobody answers it, and the speaker said nothing before.
    pytest.param("R", SUCCESS_AT_1, {}, id="single turn: the opener never spoke, so nobody agreed"),
    # b0..b4 are all ?: nothing ever differs.
    pytest.param("????", {}, {}, id="all unsure: two who know nothing do not agree"),
    # Turn 3: own R at 1, partner's ! at 2 differs as a text: assertive there. Unknown, hence no fact, here.
    pytest.param(
        "R!R",
        {**SUCCESS_AT_1, "assert_rate": 1 / 3, "correct_assert_rate": 1},
        {},
        id="one unreadable in the middle: a text among others there, unknown here",
    ),
    # Turn 1: ? -> !, and both texts are the same failure: persuasive, gain 0 - 0.5. Agreement rejects
    # failures.
    pytest.param(
        "!!",
        {"persuade_rate": 1 / 2, "incorrect_persuade_rate": 1, "persuasion_quality": -0.5},
        {},
        id="two failures of the extractor do not persuade each other",
    ),
    # Agreement at 2 is remembered; turns 2 and 3 count as agreeing, turn 2 is right. Turn 1: ? -> R.
    # Turn 3: own R, partner's R: no difference, not assertive. Ours: the latest beliefs are R and X.
    pytest.param(
        "RRX",
        {
            **SUCCESS_AT_1,
            **AGREED_RIGHT,
            "persuade_rate": 1 / 3,
            "correct_persuade_rate": 1,
            "persuasion_quality": 0.5,
        },
        {},
        id="agreement, then continued: only the end counts here",
    ),
    # Persuasive: only turn 4 (Y at 3, X at 5), gain 0 - 0. Assertive: only turn 4 (own X at 2, partner's Y at
    # 3). Agreement of 4 and 5 on X. Ours: contested at 2, 3 and 4, won at 4; disagreements at 3, 4 and 5,
    # yielded at 5; at 3 a right speaker meets a wrong answer and moves to Y: challenged, but not lost to the
    # partner.
    pytest.param(
        "RXYXX",
        {
            **SUCCESS_AT_1,
            "agreement": 1,
            "persuade_rate": 1 / 5,
            "incorrect_persuade_rate": 1,
            "assert_rate": 1 / 5,
            "incorrect_assert_rate": 1,
        },
        {
            "agreed": True,
            "persuasive": 1,
            "persuasive_wrong": 1,
            "contested": 3,
            "won": 1,
            "assertive": 1,
            "assertive_wrong": 1,
            "disagreements": 3,
            "yielded": 1,
            "right_challenged": 1,
        },
        id="three answers",
    ),
    # Persuasive: turn 2 (X -> R, gain 1) and turn 4 (R -> X, gain -1). The published agreement is that of 2
    # and 3, and turn 3 is right; ours is the last, on X. Contested: 2 and 4, both won. Turn 1 has no belief
    # before it; turn 3 says what turn 2 said. Disagreements: 3 (wrong meets right, yields), 5 (right meets
    # wrong, yields).
    pytest.param(
        "XRRXX",
        {
            **AGREED_RIGHT,
            "final_success_rate": 1,
            "n_turns_to_success": 2,
            "persuade_rate": 2 / 5,
            "correct_persuade_rate": 1 / 2,
            "incorrect_persuade_rate": 1 / 2,
        },
        {
            "agreed": True,
            "persuasive": 2,
            "persuasive_right": 1,
            "persuasive_wrong": 1,
            "contested": 2,
            "won": 2,
            "disagreements": 2,
            "yielded": 2,
            "right_challenged": 1,
            "right_lost": 1,
            "wrong_challenged": 1,
            "wrong_mended": 1,
        },
        id="persuasion back and forth",
    ),
    # Assertive there: turn 2 (b0 = ? again after R: unsure) and turn 3 (own R, partner's ?). Here turn 2 is
    # the opener's first and can keep nothing. Persuasive: turn 3 (? -> R, gain 0.5), a stated "not sure" in
    # both.
    pytest.param(
        "R?RR",
        {
            **SUCCESS_AT_1,
            **AGREED_RIGHT,
            "persuade_rate": 1 / 4,
            "correct_persuade_rate": 1,
            "persuasion_quality": 0.5,
            "assert_rate": 2 / 4,
            "correct_assert_rate": 1 / 2,
            "unsure_assert_rate": 1 / 2,
        },
        {
            "agreed": True,
            "right": True,
            "persuasive": 1,
            "persuasive_right": 1,
            "persuasion_gain": 0.5,
            "contested": 1,
            "won": 1,
            "assertive": 1,
            "assertive_right": 1,
        },
        id="first-turn assertion: an opener who is unsure asserts nothing",
    ),
    # Turn 2: R -> ?, gain 0.5 - 1. Assertive there: turn 2 (b0 = ? kept after R).
    pytest.param(
        "R???",
        {
            **SUCCESS_AT_1,
            "persuade_rate": 1 / 4,
            "unsure_persuade_rate": 1,
            "persuasion_quality": -0.5,
            "assert_rate": 1 / 4,
            "unsure_assert_rate": 1,
        },
        {"persuasive": 1, "persuasive_unsure": 1, "persuasion_gain": -0.5},
        id="persuaded into doubt",
    ),
    # Turn 2 contests X, but what came of it is not known. As texts, all three differ.
    pytest.param(
        "XR!",
        {"final_success_rate": 1, "n_turns_to_success": 2},
        {},
        id="an unreadable reply tells nothing about persuasion",
    ),
    # What the responder believed before turn 3 is not known, nor whether it gave in. All texts differ.
    pytest.param(
        "!XR",
        {"final_success_rate": 1, "n_turns_to_success": 3},
        {},
        id="an unreadable start is no belief to give up",
    ),
    # Agreement of 1 and 2 on X is remembered, and turn 3 is right. Turn 1: ? -> X, gain 0 - 0.5.
    pytest.param(
        "XXR",
        {
            **AGREED_RIGHT,
            "final_success_rate": 1,
            "n_turns_to_success": 3,
            "persuade_rate": 1 / 3,
            "incorrect_persuade_rate": 1,
            "persuasion_quality": -0.5,
        },
        {},
        id="agreement on a wrong answer, then right: right by the published definition",
    ),
    # As texts R and R2 differ: neither agreement nor persuasion there.
    pytest.param(
        ("R", "R2"),
        SUCCESS_AT_1,
        {"agreed": True, "right": True},
        id="equal answers in different words agree here",
    ),
    # Turn 2: own belief b0 = ? is not X. Turn 3: own R kept against X; turn 4: own X kept against R.
    # Nobody moves: contested at 2 and 3, disagreements at 3 and 4, each challenged once, none lost or fixed.
    pytest.param(
        "RXRX",
        {
            **SUCCESS_AT_1,
            "assert_rate": 2 / 4,
            "correct_assert_rate": 1 / 2,
            "incorrect_assert_rate": 1 / 2,
        },
        {
            "contested": 2,
            "assertive": 2,
            "assertive_right": 1,
            "assertive_wrong": 1,
            "disagreements": 2,
            "right_challenged": 1,
            "wrong_challenged": 1,
        },
        id="two who insist",
    ),
    # Turn 4 is the opener's, whose latest is R; the responder's latest is ?, its older R does not stand in
    # for it.
    pytest.param(
        ("R", "X", "?", "R"),
        {**SUCCESS_AT_1},
        {"contested": 1, "disagreements": 1, "right_challenged": 1},
        id="an earlier belief is not carried forward",
    ),
]


@pytest.mark.parametrize(("words", "published", "ours"), TABLE)
def test_published_values(trace, words, published, ours):
    """The published definitions, worked out by hand."""
    values = reference_values(trace(words), StopReason.AGREED, [7.0] * len(words), 20)
    expected = {**ZERO, **published, "total_turns": len(words) + 1, "t_len": 7, "s_len": 7 * (len(words) > 1)}
    assert values == pytest.approx({f"reference/{name}": value for name, value in expected.items()})


@pytest.mark.parametrize(("words", "published", "ours"), TABLE)
def test_our_values(trace, words, published, ours):
    """Our definitions on the same beliefs; facts that a row does not name are 0."""
    outcome = Pair().outcome(trace(words))
    assert (outcome.agreed, outcome.right) == (ours.get("agreed", False), ours.get("right", False))
    facts = total(social_facts(trace(words)))._asdict()
    assert facts == {name: ours.get(name, 0.0) for name in facts}


@pytest.mark.parametrize(
    ("stop", "max_turns", "expected"),
    [
        pytest.param(StopReason.AGREED, 20, 20.0, id="never right counts as the limit of turns"),
        pytest.param(StopReason.MAX_TURNS, None, 2.0, id="a run that reached the limit tells it"),
    ],
)
def test_turns_to_success_without_success(trace, stop, max_turns, expected):
    """The published code puts the limit of turns where no turn is right."""
    values = reference_values(trace("XX"), stop, [1.0, 1.0], max_turns)
    assert values["reference/n_turns_to_success"] == expected


def test_turns_to_success_is_unknown_without_the_limit(trace):
    """Nothing is invented where the limit of turns is not known."""
    value = reference_values(trace("XX"), StopReason.AGREED, [1.0, 1.0], None)["reference/n_turns_to_success"]
    assert value != value  # noqa: PLR0124 - NaN


def test_token_lengths_are_means_of_a_conversation(trace):
    """t_len is the responder's mean (turns 1, 3), s_len the opener's (turn 2)."""
    values = reference_values(trace("RXX"), StopReason.AGREED, [10.0, 7.0, 30.0], 20)
    assert (values["reference/t_len"], values["reference/s_len"]) == (20.0, 7.0)
