"""How a conversation came out: agreed or not, right or not, what it votes for, and what talking changed."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from coral.metrics.trace import UNREADABLE, UNSURE, Trace, TraceTurn
from coral.types import Seat


class Outcome(msgspec.Struct, frozen=True):
    """The end of a conversation, derived from its trace.

    Attributes:
        agreed: both seats' latest beliefs are equal answers. Of chain of thought: its last turn answers.
        right: whether the agreed answer (chain of thought: the last turn) is right; None where that is not
            known. No agreement, or an unsure last turn, is not right.
        answer: class number of the agreed (last) answer; None where there is none.
    """

    agreed: bool
    right: bool | None
    answer: int | None


def outcome_of_pair(trace: Trace) -> Outcome:
    """Outcome of a conversation between two seats. No belief is carried forward: latest turns count."""
    if len(trace.turns) < 2:
        return Outcome(agreed=False, right=False, answer=None)
    before, last = trace.turns[-2:]
    if last.belief < 0 or last.belief != before.belief:
        return Outcome(agreed=False, right=False, answer=None)
    return Outcome(agreed=True, right=is_right(last, trace), answer=last.belief)


def outcome_of_one(trace: Trace) -> Outcome:
    """Outcome of chain of thought: its last turn. Unsure is wrong; unreadable is not scored."""
    if not trace.turns or trace.turns[-1].belief == UNREADABLE:
        return Outcome(agreed=False, right=None, answer=None)
    last = trace.turns[-1]
    answer = None if last.belief == UNSURE else last.belief
    return Outcome(agreed=answer is not None, right=is_right(last, trace), answer=answer)


class Change(NamedTuple):
    """What a conversation did to one seat's answer.

    Attributes:
        first: whether the seat's first turn submits the right answer. One that cannot be read does not.
        last: whether its last answer, that of the last turn that submits one, is right; not where none does.
        gain: last minus first; None where the first turn submits no answer.
        found: the first turn was unsure, and the last answer is right.

    Each is None where a grade is missing that it needs, or the seat has no turn.
    """

    first: bool | None
    last: bool | None
    gain: int | None
    found: bool | None


def change_of(seat: Seat, trace: Trace) -> Change:
    """First against last answer of a seat.

    A conversation goes on where a turn submits no answer, so its end holds one more often than its beginning.
    Nothing may be gained by that: without an answer in the first turn there is no gain, and with one the last
    answer stands for the end. So who never changes the answer gains exactly 0, however many turns are unsure
    or cannot be read.
    """
    own = [turn for turn in trace.turns if turn.seat is seat]
    if not own:
        return Change(None, None, None, None)
    answers = [turn for turn in own if turn.belief >= 0]
    last = is_right(answers[-1], trace) if answers else False
    if own[0].belief < 0:
        return Change(False, last, None, last if own[0].belief == UNSURE else False)
    first = is_right(own[0], trace)
    return Change(first, last, None if first is None or last is None else last - first, False)


def first_right_turn(trace: Trace) -> int | None:
    """Number (from 1) of the first turn whose answer is right."""
    return next((i for i, turn in enumerate(trace.turns, 1) if _is_graded_right(turn)), None)


def any_turn_right(trace: Trace) -> bool | None:
    """Whether any turn was right; None where none was known to be and a grade is missing."""
    if any(_is_graded_right(turn) for turn in trace.turns):
        return True
    return None if any(turn.belief >= 0 and turn.correct is None for turn in trace.turns) else False


def is_right(turn: TraceTurn, trace: Trace) -> bool | None:
    """Whether a turn is right; None where it cannot be read, or nothing of its class has a grade.

    Equal answers have one grade: where the grader could not tell about one wording, another's counts.
    """
    if turn.belief < 0:
        return False if turn.belief == UNSURE else None
    if turn.correct is not None:
        return turn.correct
    grades = (other.correct for other in trace.turns if other.belief == turn.belief)
    return next((grade for grade in grades if grade is not None), None)


def _is_graded_right(turn: TraceTurn) -> bool:
    return turn.belief >= 0 and turn.correct is True
