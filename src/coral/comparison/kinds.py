"""Kinds of conversations, as `coral show --only` and `coral fork --where` name them, and the turn of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from coral.types import Answered, Conversation, Seat, StopReason, Turn, Unreadable

Kind = Literal[
    "agreed", "agreed_right", "agreed_wrong", "disagreed", "never_agreed", "right", "wrong", "changed",
    "lost_right_answer", "lost", "gained_right_answer", "gained", "right_to_wrong", "wrong_to_right",
    "rescued", "unused", "unreadable",
]  # fmt: skip
"""Some have two names: never_agreed, lost and gained are what the viewer calls disagreed and the two
`..._right_answer`; right_to_wrong and wrong_to_right are metrics.
"""


def turn_of(conversation: Conversation, kind: Kind) -> int | None:
    """The turn (from 1) at which a conversation is of a kind; None where it is not, or failed."""
    if conversation.stop is StopReason.FAILED or not conversation.turns:
        return None
    return _KINDS[kind](conversation)


def _ending(is_so: Callable[[Conversation], bool]) -> Callable[[Conversation], int | None]:
    return lambda conversation: len(conversation.turns) if is_so(conversation) else None


def _is_agreed(conversation: Conversation) -> bool:
    return conversation.stop is StopReason.AGREED


def _is_disagreed(conversation: Conversation) -> bool:
    several = len(conversation.speakers) > 1
    return several and conversation.stop in {StopReason.MAX_TURNS, StopReason.CONTEXT_FULL}


def _grade(turn: Turn) -> bool | None:
    """Of an answer; unsure and unreadable turns hold none."""
    return turn.reply.correct if isinstance(turn.reply.belief, Answered) else None


def _changed(conversation: Conversation) -> int | None:
    """The first turn with another answer than its seat's before."""
    held: dict[Seat, str] = {}
    for number, turn in enumerate(conversation.turns, 1):
        belief = turn.reply.belief
        if isinstance(belief, Answered) and held.setdefault(turn.seat, belief.value) != belief.value:
            return number
    return None


def _turning(*, was: bool) -> Callable[[Conversation], int | None]:
    """The first turn whose speaker held the other kind of answer in its turn before."""

    def turn_of(conversation: Conversation) -> int | None:
        before: dict[Seat, bool | None] = {}
        for number, turn in enumerate(conversation.turns, 1):
            now = _grade(turn)
            if before.get(turn.seat) is was and now is (not was):
                return number
            before[turn.seat] = now
        return None

    return turn_of


def _in_the_end(*, was: bool) -> Callable[[Conversation], int | None]:
    """Of whoever spoke first, whose first answer is of one kind and last one of the other: the turn from
    which on its answers stay so.
    """

    def turn_of(conversation: Conversation) -> int | None:
        grades = _grades_of(conversation, conversation.turns[0].seat)
        if not grades or grades[0] != (1, was) or grades[-1][1] is not (not was):
            return None
        last = max(place for place, (_, grade) in enumerate(grades) if grade is not (not was))
        return grades[last + 1][0]

    return turn_of


def _grades_of(conversation: Conversation, seat: Seat) -> Sequence[tuple[int, bool | None]]:
    """The turns (from 1) in which a seat answers, and whether it is right there."""
    return [
        (number, turn.reply.correct)
        for number, turn in enumerate(conversation.turns, 1)
        if turn.seat == seat and isinstance(turn.reply.belief, Answered)
    ]


def _rescued(conversation: Conversation) -> int | None:
    """Wrong at first and right in the end: the first right turn."""
    ended = _is_agreed(conversation) or len(conversation.speakers) == 1
    grades = [_grade(turn) for turn in conversation.turns]
    if not ended or grades[0] is not False or grades[-1] is not True:
        return None
    return 1 + grades.index(True)


def _unused(conversation: Conversation) -> int | None:
    """Right at a turn, but not in the end: the turn after the last right one, if there is one."""
    grades = [_grade(turn) for turn in conversation.turns]
    ended = _is_agreed(conversation) or len(conversation.speakers) == 1
    if True not in grades or (ended and grades[-1] is True):
        return None
    last = max(place for place, grade in enumerate(grades) if grade is True)
    return min(last + 2, len(grades))


def _unreadable(conversation: Conversation) -> int | None:
    beliefs = (turn.reply.belief for turn in conversation.turns)
    return next((number for number, one in enumerate(beliefs, 1) if isinstance(one, Unreadable)), None)


_KINDS: Mapping[Kind, Callable[[Conversation], int | None]] = {
    "agreed": _ending(_is_agreed),
    "agreed_right": _ending(lambda one: _is_agreed(one) and _grade(one.turns[-1]) is True),
    "agreed_wrong": _ending(lambda one: _is_agreed(one) and _grade(one.turns[-1]) is False),
    "disagreed": _ending(_is_disagreed),
    "never_agreed": _ending(_is_disagreed),
    "right": _ending(lambda one: one.turns[-1].reply.correct is True),
    "wrong": _ending(lambda one: one.turns[-1].reply.correct is False),
    "changed": _changed,
    "lost_right_answer": _turning(was=True),
    "lost": _turning(was=True),
    "gained_right_answer": _turning(was=False),
    "gained": _turning(was=False),
    "right_to_wrong": _in_the_end(was=True),
    "wrong_to_right": _in_the_end(was=False),
    "rescued": _rescued,
    "unused": _unused,
    "unreadable": _unreadable,
}
