"""What talking changed: first answers against last ones. Nothing may be gained where nobody is influenced."""

from __future__ import annotations

import random

import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import measure, summarize
from coral.types import StopReason

PAIR = build("pair", Settings(agents=("agent", "partner")))


ACCURACY, MAX_TURNS = 0.6, 8


def drawn(rng: random.Random) -> str:
    """An answer that is right with probability `ACCURACY`, else one of two wrong ones."""
    return "R" if rng.random() < ACCURACY else rng.choice("XY")


def uninfluenced(rng: random.Random, held: tuple[str, str], unreadable: float, unsure: float) -> str:
    """The beliefs of two agents of whom each holds one answer, whatever the other says. By chance a turn
    cannot be read, or is unsure; they stop when their latest turns submit equal answers.
    """
    words = ""
    while len(words) < MAX_TURNS and not (
        len(words) > 1 and words[-1] == words[-2] and words[-1] not in "!?"
    ):
        draw = rng.random()
        said = held[len(words) % 2]
        words += "!" if draw < unreadable else "?" if draw < unreadable + unsure else said
    return words


@pytest.mark.parametrize("unsure", [0.0, 0.1])
@pytest.mark.parametrize("unreadable", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("alike", [True, False], ids=["one answer", "two answers"])
async def test_agents_that_never_influence_each_other_gain_nothing(
    conversation, tally, alike, unreadable, unsure
):
    """Exactly 0, however often a turn cannot be read or is unsure, whether they agree or not."""
    rng = random.Random(f"{alike} {unreadable} {unsure}")
    runs = []
    for number in range(1000):
        first, second = drawn(rng), drawn(rng)
        words = uninfluenced(rng, (first, first if alike else second), unreadable, unsure)
        runs.append(conversation(words, problem=f"p{number}", stop=StopReason.MAX_TURNS))
    metrics = summarize(await tally(runs)).metrics
    gain = metrics["conversation_gain"]
    assert gain.mean == metrics["wrong_to_right"].mean == metrics["right_to_wrong"].mean == 0.0
    assert gain.low < 0 < gain.high, "an interval all the same"
    assert gain.num_unscored == sum(one.turns[0].reply.text[-1] in "!?" for one in runs)


@pytest.mark.parametrize("unreadable", [0.05, 0.2])
async def test_ends_against_single_turns_favour_the_pair(conversation, tally, unreadable):
    """Why the gain is measured as it is: the share that ends right exceeds the share of right single turns by
    (unreadable x accuracy), though nobody changed anything. A pair takes another turn, one agent does not.
    """
    rng = random.Random(unreadable)
    held = [drawn(rng) for _ in range(4000)]
    pairs = [
        conversation(uninfluenced(rng, (one, one), unreadable, 0.0), problem=f"p{number}")
        for number, one in enumerate(held)
    ]
    single = [
        conversation("!" if rng.random() < unreadable else one, problem=f"p{number}", protocol="cot")
        for number, one in enumerate(held)
    ]
    pair = summarize(await tally(pairs)).metrics
    alone = summarize(await tally(single, "cot")).metrics
    favour = pair["agreement_correctness_strict"].mean - alone["accuracy_strict"].mean
    assert favour == pytest.approx(unreadable * ACCURACY, abs=0.015)
    assert pair["first_accuracy"].mean == pytest.approx(alone["first_accuracy"].mean, abs=0.03)
    assert pair["conversation_gain"].mean == 0.0


@pytest.mark.parametrize(
    ("words", "first", "opener", "last", "gain", "to_right", "to_wrong", "found", "why"),
    [
        ("XRR", 0, 1, 1, 1, 1, 0, 0, "talked into the right answer"),
        ("RXX", 1, 0, 0, -1, 0, 1, 0, "talked out of it"),
        ("RR", 1, 1, 1, 0, 0, 0, 0, "agreed at once"),
        ("RXRX", 1, 0, 1, 0, 0, 0, 0, "no agreement: the responder still holds what it held"),
        ("RXXR", 1, 0, 0, -1, 0, 1, 0, "no agreement: they changed places"),
        ("XRYR", 0, 1, 0, 0, 0, 0, 0, "from one wrong answer to another"),
        ("!RR", 0, 1, 1, None, None, None, 0, "nobody knows what it held at first"),
        ("?RR", 0, 1, 1, None, None, None, 1, "no answer at first: counted apart"),
        ("R!RR", 1, 0, 1, 0, 0, 0, 0, "what cannot be read changes nothing"),
        ("RX!X", 1, 0, 1, 0, 0, 0, 0, "the last answer that can be read stands"),
        ("RX?X", 1, 0, 1, 0, 0, 0, 0, "doubt is no other answer; the conversation is not agreed"),
        ("!!!!", 0, 0, 0, None, None, None, 0, "nothing can be read"),
        ("R", 1, None, 1, 0, 0, 0, 0, "the opener never spoke"),
        ("UXX", None, 0, 0, None, None, None, 0, "the first answer has no grade"),
        ("XUU", 0, None, None, None, None, None, 0, "the last one has none"),
        ("", None, None, None, None, None, None, None, "no turn at all"),
    ],
)
async def test_first_answers_and_last_ones(
    conversation, trace, words, first, opener, last, gain, to_right, to_wrong, found, why
):
    """An answer is what a turn submits; without one in the first turn no change is claimed."""
    values = measure(one := conversation(words, stop=StopReason.MAX_TURNS), await trace(one), PAIR)
    assert tuple(
        values[name]
        for name in (
            "first_accuracy", "opener_first_accuracy", "final_accuracy", "conversation_gain",
            "wrong_to_right", "right_to_wrong", "unsure_to_right",
        )
    ) == (first, opener, last, gain, to_right, to_wrong, found), why  # fmt: skip


async def test_a_grade_of_equal_words_counts(conversation, trace):
    """Where the grader could not tell about one wording of an answer, the grade of another is its grade."""
    one = conversation(["R", "X", "R2", "R"])
    seen = await trace(one)
    turns = [*seen.turns]
    turns[2] = type(turns[2])(turns[2].seat, turns[2].belief, turns[2].spelling, None)
    values = measure(one, type(seen)(tuple(turns), shared=False), PAIR)
    assert (values["conversation_gain"], values["agreement_correctness"]) == (0.0, 1.0)


async def test_gains_less_losses_are_the_gain(conversation, tally):
    """One denominator: the conversations whose first turn submits an answer."""
    words = ["XRR", "XRR", "RXX", "RR", "XX", "!RR", "?RR", "RXRX"]
    metrics = summarize(await tally([conversation(w, problem=str(i)) for i, w in enumerate(words)])).metrics
    names = ("conversation_gain", "wrong_to_right", "right_to_wrong")
    assert [(metrics[name].mean, metrics[name].n) for name in names] == [(1 / 6, 6), (2 / 6, 6), (1 / 6, 6)]
    assert (metrics["unsure_to_right"].mean, metrics["unsure_to_right"].n) == (1 / 8, 8)


@pytest.mark.parametrize(
    ("words", "false", "gap", "why"),
    [
        ("XX", 1.0, 0.0, "agreed and wrong; nobody knew better"),
        ("RXX", 1.0, 1.0, "agreed and wrong, though it was right once"),
        ("RXRX", 0.0, 1.0, "right, and not agreed"),
        ("RR", 0.0, 0.0, "nothing left to win"),
        ("UU", None, None, "the agreed answer has no grade"),
    ],
)
async def test_wrong_agreements_and_unused_right_answers(conversation, trace, words, false, gap, why):
    """Of all conversations: those that agree on a wrong answer, and those in which a right one was lost."""
    values = measure(one := conversation(words, stop=StopReason.MAX_TURNS), await trace(one), PAIR)
    assert (values["false_agreement"], values["oracle_gap"]) == (false, gap), why


async def test_agreement_by_turn(conversation, tally):
    """What a lower limit of turns would have come to: each step of agreement, of all conversations."""
    words = ["RR", "XX", "XRR", "RXRX", "RXX", "XRXRR"]
    summary = summarize(await tally([conversation(w, problem=w) for w in words]))
    assert {
        turn: tuple(one.mean for one in estimates.values()) for turn, estimates in summary.by_turn.items()
    } == {
        "2": (2 / 6, 1 / 6),
        "3": (4 / 6, 2 / 6),
        "5": (5 / 6, 3 / 6),
    }
    last = summary.by_turn["5"]
    assert last["agreement"] == summary.metrics["agreement"]
    assert last["agreement_correctness"] == summary.metrics["agreement_correctness"]
    assert summarize(await tally([conversation("R", protocol="cot")], "cot")).by_turn == {}
