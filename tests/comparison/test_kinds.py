"""Kinds of conversations: which turn shows them."""

from typing import get_args

import pytest

from coral.comparison.kinds import Kind, turn_of
from coral.types import (
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
)


def talk(words, stop="agreed", seats=("responder", "opener")):
    """R is right, other letters are wrong, ? is unsure, ! unreadable."""
    beliefs = {"?": Unsure(), "!": Unreadable("nothing")}
    grades = {"?": False, "!": None, "R": True}
    turns = tuple(
        Turn(
            seat=seats[place % len(seats)],
            replies=(
                Reply(
                    text=word, belief=beliefs.get(word, Answered(word)), correct=grades.get(word, False),
                    finish_reason=FinishReason.STOP, extraction=Extraction(by="rules"),
                ),
            ),
        )
        for place, word in enumerate(words)
    )  # fmt: skip
    return Conversation(
        schema=SCHEMA, id="p#0", problem=Problem(id="p", task="t", question="?", target="R"), opening="?",
        speakers={seat: Speaker(name="agent", model="m") for seat in seats}, turns=turns,
        stop=StopReason(stop), seconds=0.0, seed=0, started_at=0.0,
    )  # fmt: skip


TABLE = [
    ("RR", "agreed", "agreed=2 agreed_right=2 right=2"),
    ("WW", "agreed", "agreed=2 agreed_wrong=2 wrong=2"),
    ("RWRW", "max_turns", "disagreed=4 wrong=4 unused=4"),
    ("WRWR", "max_turns", "disagreed=4 right=4 unused=4"),
    ("RWW", "agreed",
     "agreed=3 agreed_wrong=3 wrong=3 changed=3 lost=3 right_to_wrong=3 unused=2"),
    ("WRR", "agreed",
     "agreed=3 agreed_right=3 right=3 changed=3 gained=3 wrong_to_right=3 rescued=2"),
    ("WVRVR?R", "agreed",
     "agreed=7 agreed_right=7 right=7 changed=3 gained=3 wrong_to_right=3 rescued=3"),
    ("RVWVRVW", "agreed",
     "agreed=7 agreed_wrong=7 wrong=7 changed=3 lost=3 gained=5 right_to_wrong=7 unused=6"),
    ("?RR", "agreed", "agreed=3 agreed_right=3 right=3"),
    ("!RR", "agreed", "agreed=3 agreed_right=3 right=3 unreadable=1"),
    ("R!R?", "max_turns", "disagreed=4 wrong=4 unused=4 unreadable=2"),
    ("RWR", "failed", ""),
    ("", "failed", ""),
]  # fmt: skip
ALIASES = {
    "never_agreed": "disagreed", "lost_right_answer": "lost", "gained_right_answer": "gained",
}  # fmt: skip


@pytest.mark.parametrize(("words", "stop", "kinds"), TABLE)
def test_the_turn_that_shows_a_kind(words, stop, kinds):
    """Each kind at its turn, and no other kind; one thing that has two names is one thing."""
    conversation = talk(words, stop)
    expected = {kind: int(turn) for kind, turn in (pair.split("=") for pair in kinds.split())}
    for kind in get_args(Kind):
        assert turn_of(conversation, kind) == expected.get(ALIASES.get(kind, kind)), kind


def test_one_agent_alone_ends_without_agreement():
    """What one agent says in the end is its answer: it never disagrees, and may be rescued."""
    conversation = talk("WR", "max_turns", seats=("responder",))
    assert turn_of(conversation, "disagreed") is None
    assert turn_of(conversation, "rescued") == turn_of(conversation, "wrong_to_right") == 2
