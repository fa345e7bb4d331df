"""Flips and oracles of a single conversation."""

import pytest

from coral.comparison.facts import first_oracle, to_right, to_wrong
from coral.metrics.trace import UNREADABLE, UNSURE, Trace, TraceTurn

A, B, C = 0, 1, 2  # A is right


def trace(*beliefs, right=A, unknown=()):
    """The responder first, then in turn."""
    turns = []
    for place, belief in enumerate(beliefs):
        graded = {UNSURE: False, UNREADABLE: None}.get(belief, belief == right)
        correct = None if belief in unknown else graded
        turns.append(TraceTurn(("responder", "opener")[place % 2], belief, belief, correct))
    return Trace(tuple(turns), shared=True)


@pytest.mark.parametrize(
    ("beliefs", "wrong", "right"),
    [
        ((A, B, B), True, None),  # adopts the wrong answer
        ((A, B, C), True, None),  # flips to another wrong one
        ((A, B, A), False, None),
        ((A, B, UNSURE), False, None),
        ((A, B, UNREADABLE), None, None),
        ((A, B), None, None),  # never asked again
        ((A, A), None, None),  # not challenged
        ((B, A, A), None, True),
        ((B, A, C), None, False),
        ((B, A, B), None, False),
        ((B, C, A), None, None),  # wrong met another wrong one
        ((UNSURE, A, A), None, None),
        ((A, UNSURE, B), None, None),
        ((), None, None),
    ],
)
def test_a_flip_needs_an_answer_a_challenge_and_another_answer(beliefs, wrong, right):
    """Toward wrong: right met wrong; toward right: wrong met right. Everything else says nothing."""
    assert to_wrong(trace(*beliefs)) is wrong
    assert to_right(trace(*beliefs)) is right


def test_a_missing_grade_is_unknown():
    """Without a grade nothing is said: never a flip, never none."""
    assert to_wrong(trace(A, B, C, unknown={C})) is None
    assert to_wrong(trace(A, B, B, unknown={B})) is None


@pytest.mark.parametrize(
    ("beliefs", "known"), [((A, B), True), ((B, A), True), ((B, C), False), ((B, B, A), False), ((), False)]
)
def test_the_oracle_looks_at_first_answers(beliefs, known):
    """The first answer of any seat is right; later ones do not count."""
    assert first_oracle(trace(*beliefs)) is known
