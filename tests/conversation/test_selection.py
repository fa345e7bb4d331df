"""Which candidate goes on."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coral.conversation.selection import belief_kinds, obstacle, select
from coral.types import Answered, Extraction, FinishReason, Reply, Unreadable, Unsure

BELIEFS = {
    "R": (Answered("4"), True),
    "W": (Answered("5"), False),
    "V": (Answered("6"), False),
    "G": (Answered("7"), None),
    "?": (Unsure(), False),
    "!": (Unreadable("no single answer"), None),
}
"""Right, two wrong answers, an ungraded one, unsure, unreadable by rules."""
UNFIT = {
    "C": {"finish_reason": FinishReason.LENGTH},
    "E": {"text": " \n"},
    "X": {"extraction": Extraction(by="model", attempts=3)},
}
"""Cut, empty, extraction failed: never go on."""
ALL = "".join([*BELIEFS, *UNFIT])
HOW = ("random", "stratified", "correct", "wrong", "diverse")


def reply(mark):
    belief, correct = BELIEFS.get(mark, BELIEFS["!"])
    fields = {
        "text": f"I say {mark}",
        "finish_reason": FinishReason.STOP,
        "extraction": Extraction(by="rules"),
    }
    return Reply(belief=belief, correct=correct, **{**fields, **UNFIT.get(mark, {})})


def pick(how, marks, seed=0, held=""):
    kinds = {mark: number for number, mark in enumerate(ALL)}
    return select(
        how, [reply(mark) for mark in marks], random.Random(seed), kinds=[kinds[mark] for mark in marks],
        held={kinds[mark] for mark in held},
    )  # fmt: skip


def picked(how, marks, held="", draws=300):
    """How often each kind of candidate goes on."""
    counts = Counter()
    for seed in range(draws):
        counts[marks[pick(how, marks, seed, held)]] += 1
    return counts


MARKS = st.text(ALL, min_size=1, max_size=8)


@given(how=st.sampled_from(HOW), marks=MARKS, seed=st.integers(), held=st.text("RWV?!"))
def test_only_who_can_go_on_goes_on(how, marks, seed, held):
    """Cut, empty and unextracted candidates never go on; None exactly where nobody else is there."""
    chosen = pick(how, marks, seed, held)
    able = [mark for mark in marks if mark not in UNFIT]
    assert (chosen is None) == (not able)
    assert chosen is None or marks[chosen] not in UNFIT


@given(how=st.sampled_from(HOW), marks=MARKS, seed=st.integers())
def test_the_same_seed_chooses_the_same_candidate(how, marks, seed):
    """Selection is a function of the candidates and the generator alone."""
    assert pick(how, marks, seed) == pick(how, marks, seed)


@given(how=st.sampled_from(HOW), marks=st.text("RW?!", min_size=1, max_size=6), seed=st.integers())
def test_every_selector_can_be_satisfied(how, marks, seed):
    """`correct` takes a right one and `wrong` a wrong answer wherever there is one."""
    chosen = marks[pick(how, marks, seed)]
    if how == "correct" and "R" in marks:
        assert chosen == "R"
    if how == "wrong" and "W" in marks:
        assert chosen == "W"


@pytest.mark.parametrize("mark", UNFIT)
def test_what_cannot_go_on_says_why(mark):
    """The reason ends up in the record of a failed conversation."""
    assert obstacle(reply(mark))


@pytest.mark.parametrize("mark", BELIEFS)
def test_what_rules_alone_cannot_read_may_go_on(mark):
    """A turn without an answer is a turn."""
    assert obstacle(reply(mark)) is None


@pytest.mark.parametrize(
    ("how", "marks", "held", "shares", "why"),
    [
        ("random", "RRRW", "", {"R": 0.75, "W": 0.25}, "each candidate alike"),
        ("random", "RCCC", "", {"R": 1.0}, "the cut ones do not count"),
        ("stratified", "RWWW", "", {"R": 0.5, "W": 0.5}, "a coin between right and not, however many"),
        ("stratified", "RRR?", "", {"R": 0.5, "?": 0.5}, "unsure is not right"),
        ("stratified", "RRRG", "", {"R": 0.5, "G": 0.5}, "what has no grade is not known to be right"),
        ("stratified", "WWW?", "", {"W": 0.75, "?": 0.25}, "without a right one: at random"),
        ("stratified", "RRXX", "", {"R": 1.0}, "the lost ones are no side"),
        ("correct", "RWW?", "", {"R": 1.0}, "a right one where there is one"),
        ("correct", "WWW?", "", {"W": 0.75, "?": 0.25}, "else at random"),
        ("wrong", "RRW?", "", {"W": 1.0}, "a wrong answer; unsure is none"),
        ("wrong", "RRR?", "", {"R": 0.75, "?": 0.25}, "else at random"),
        ("wrong", "RRGG", "", {"R": 0.5, "G": 0.5}, "what has no grade is not known to be wrong"),
        ("diverse", "RRRW", "", {"W": 1.0}, "the rarest among the candidates"),
        ("diverse", "RRRW", "W", {"R": 1.0}, "first of all one that nobody held so far"),
        ("diverse", "RRWV", "RWV", {"W": 0.5, "V": 0.5}, "all held: the rarest, each alike"),
        ("diverse", "RW!", "RW", {"R": 0.5, "W": 0.5}, "what cannot be read is no new belief"),
        ("diverse", "RR?", "R", {"?": 1.0}, "unsure is a belief"),
        ("diverse", "RWXX", "W", {"R": 1.0}, "lost ones count for nothing"),
    ],
)
def test_whom_a_selector_prefers(how, marks, held, shares, why):
    """The definitions, as shares over many seeds."""
    counts = picked(how, marks, held)
    assert set(counts) == set(shares), why
    for mark, share in shares.items():
        assert counts[mark] / 300 == pytest.approx(share, abs=0.1), why


async def test_equal_answers_are_one_kind_of_belief():
    """By the task's comparison; it is not asked about equal spellings, and unsure equals unsure."""
    asked = []

    async def same(a, b):
        asked.append((a, b))
        return float(a) == float(b)

    beliefs = [
        Answered("4"),
        Unsure(),
        Answered("4.0"),
        Answered("5"),
        Answered("4"),
        Unsure(),
        Unreadable("-"),
    ]
    kinds = await belief_kinds(beliefs, same)
    assert kinds[0] == kinds[2] == kinds[4] != kinds[3]
    assert kinds[1] == kinds[5]
    assert len(set(kinds)) == 4
    assert ("4", "4") not in asked
