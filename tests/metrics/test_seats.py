"""Metrics of any number of seats, worked out by hand; with two they are those of a pair."""

import random

import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import Tally, Trace, TraceTurn, metric, metrics_of, summarize, trace_of
from coral.metrics.outcome import change_of
from coral.metrics.social import SocialFacts, persuasions, social_facts, total
from coral.types import Speaker

A, B, C = "agent_1", "agent_2", "agent_3"
PANEL = build("panel", Settings(agents=(A, B, C), max_turns=9))
SPECIAL = {"?": -1, "!": -2}


def trace(words, seats=(A, B, C)):
    """Turns in rotation: `R` is right, other letters are wrong answers, `?` unsure, `!` unreadable."""
    turns = [
        TraceTurn(
            seats[i % len(seats)], SPECIAL.get(word, ord(word)), SPECIAL.get(word, ord(word)),
            None if word == "!" else word == "R",
        )
        for i, word in enumerate(words)
    ]  # fmt: skip
    return Trace(tuple(turns), shared=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # A says X, B says R, C says Y; then A adopts R: it met R of B and Y of C.
        ("XRYR", {(B, A): (1, 1), (C, A): (1, 0)}),
        # Everybody adopts what the two others hold: both persuaded.
        ("XRRR", {(B, A): (1, 1), (C, A): (1, 1)}),
        # Nobody moves: each listener met what differed.
        ("XRYX", {(B, A): (1, 0), (C, A): (1, 0)}),
        # Doubt and what cannot be read persuade nobody, and nothing is known of who cannot be read.
        ("X?!X", {}),
        ("XRY!", {}),
        # Who holds the same answer is not met.
        ("XXYY", {(C, A): (1, 1)}),
        # B's second turn: since its first it heard C's Y and A's new R.
        ("XXYRR", {(C, A): (1, 0), (C, B): (1, 0), (A, B): (1, 1)}),
    ],
)
def test_who_persuades_whom(words, expected):
    """For every ordered pair of seats: how often another's answer was met, and adopted."""
    assert persuasions(trace(words)) == expected


def test_social_facts_of_three():
    """The partner of a turn is who speaks next; what one answers to is the previous turn of another seat."""
    facts = social_facts(trace("XYRXX"))
    # Turn 4 (A, X again, after C's R): assertive and wrong, a right answer not gained, and B, who held Y,
    # adopts X: contested, won, persuasive.
    fourth = facts[3]
    assert (fourth.assertive, fourth.assertive_wrong) == (1.0, 1.0)
    assert (fourth.disagreements, fourth.yielded, fourth.wrong_challenged, fourth.wrong_mended) == (
        1,
        0,
        1,
        0,
    )
    assert (fourth.contested, fourth.won, fourth.persuasive, fourth.persuasion_gain) == (1, 1, 1, 0)
    # Turn 5 (B, from Y to A's X): it yields to a wrong answer, from a wrong one.
    assert (facts[4].disagreements, facts[4].yielded, facts[4].wrong_challenged) == (1, 1, 0)
    assert facts[0] == facts[1] == SocialFacts()


@pytest.mark.parametrize("seed", range(40))
def test_with_two_seats_pairs_add_up_to_the_facts(seed):
    """Met and adopted are `contested` and `won`: one definition, whatever the number of seats."""
    rng = random.Random(seed)
    one = trace("".join(rng.choice("RXY?!") for _ in range(rng.randint(0, 9))), seats=("responder", "opener"))
    facts = social_facts(one)
    for seat, other in (("responder", "opener"), ("opener", "responder")):
        own = total(fact for fact, turn in zip(facts, one.turns, strict=True) if turn.seat == seat)
        assert persuasions(one).get((seat, other), (0, 0)) == (own.contested, own.won)


async def test_a_run_of_a_panel_has_its_metrics(conversation, same):
    """Outcome, change, social metrics, by speaker and for every ordered pair; no published ones of pairs."""
    sums = Tally(task="t", rules=PANEL)
    for sample, words in enumerate(("XRYRRR", "RRR", "XXX")):
        one = conversation(
            words, sample=sample, seats={name: Speaker(name=name, model="m") for name in (A, B, C)}
        )
        sums.add(one, await trace_of(one, same))
    metrics = summarize(sums).metrics
    assert metrics["agreement_correctness"].mean == pytest.approx(2 / 3)
    assert metrics["conversation_gain"].mean == pytest.approx(1 / 3)
    assert metrics["agent_2>agent_1/persuasion_success_rate"].mean == 1.0
    assert metrics["agent_3>agent_1/persuasion_success_rate"].mean == 0.0
    assert metrics["agent_1/valid_answer_rate"].n == 4
    assert "accuracy" not in metrics
    assert {name for name in metrics if name.startswith("reference/")} == {"reference/final_success_rate"}
    assert all(metric(name).name == name for name in metrics)


async def test_a_run_of_one_who_refines_has_first_and_last_answers(conversation, same):
    """One seat, several turns: accuracy is that of the last, and talking to oneself has a gain."""
    rules = build("self_refine", Settings(agents=("agent",), max_turns=5))
    sums = Tally(task="t", rules=rules)
    for sample, words in enumerate(("XRR", "RR", "RX!")):
        one = conversation(words, sample=sample, seats={"responder": Speaker(name="agent", model="m")})
        sums.add(one, await trace_of(one, same))
    metrics = summarize(sums).metrics
    assert metrics["accuracy_strict"].mean == pytest.approx(2 / 3)
    assert metrics["first_accuracy"].mean == pytest.approx(2 / 3)
    assert metrics["conversation_gain"].mean == pytest.approx(0.0)
    assert "agreement" not in metrics
    assert not [info.name for info in metrics_of(sums) if info.seats in {"two", "several"}]


def test_change_is_of_a_seat():
    """The first against the last answer of whoever is asked about."""
    one = trace("XRYRRR")
    assert change_of(A, one)[:3] == (False, True, 1)
    assert change_of(B, one)[:3] == (True, True, 0)
