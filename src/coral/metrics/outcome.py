"""How a conversation came out: agreed or not, right or not, what it votes for, and what talking changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from coral.metrics.trace import UNREADABLE, UNSURE, Trace, TraceTurn
from coral.types import Answered, Conversation, Seat, StopReason


class Outcome(msgspec.Struct, frozen=True):
    """The end of a conversation, derived from its trace by its protocol.

    Attributes:
        agreed: the agents came to an answer together, by the protocol's rule; one agent alone submits one.
        right: whether that answer is right; None where that is not known. No agreement, or an unsure last
            turn of one agent alone, is not right.
        answer: class number of the answer; None where there is none.
    """

    agreed: bool
    right: bool | None
    answer: int | None


NO_AGREEMENT = Outcome(agreed=False, right=False, answer=None)


class Rules(Protocol):
    """What metrics need to know of a protocol; see `coral.conversation.protocols`."""

    @property
    def name(self) -> str: ...

    @property
    def speakers(self) -> Mapping[Seat, str]:
        """The agent in each seat."""
        ...

    @property
    def max_turns(self) -> int:
        """The most turns that a conversation can have."""
        ...

    @property
    def answers_once(self) -> bool:
        """Nobody is asked for an answer again."""
        ...

    def outcome(self, trace: Trace) -> Outcome:
        """What came out of a conversation."""
        ...


def shared_answer(trace: Trace, seats: Sequence[Seat]) -> Outcome:
    """The answer that all seats hold. No belief is carried forward: latest turns count."""
    latest = {turn.seat: turn for turn in trace.turns}
    beliefs = {turn.belief for turn in latest.values()}
    if len(latest) < len(seats) or len(beliefs) > 1 or min(beliefs) < 0:
        return NO_AGREEMENT
    last = trace.turns[-1]
    return Outcome(agreed=True, right=is_right(last, trace), answer=last.belief)


def majority_answer(trace: Trace, seats: Sequence[Seat]) -> Outcome:
    """The answer that more than half of the seats hold in their latest turns."""
    latest = {turn.seat: turn for turn in trace.turns}
    held = Counter(turn.belief for turn in latest.values() if turn.belief >= 0)
    answer, votes = held.most_common(1)[0] if held else (UNSURE, 0)
    if 2 * votes <= len(seats):
        return NO_AGREEMENT
    holder = next(turn for turn in latest.values() if turn.belief == answer)
    return Outcome(agreed=True, right=is_right(holder, trace), answer=answer)


def last_answer(trace: Trace) -> Outcome:
    """The last turn of one agent alone. Unsure is wrong; unreadable is not scored."""
    if not trace.turns or trace.turns[-1].belief == UNREADABLE:
        return Outcome(agreed=False, right=None, answer=None)
    last = trace.turns[-1]
    answer = None if last.belief == UNSURE else last.belief
    return Outcome(agreed=answer is not None, right=is_right(last, trace), answer=answer)


def last_answer_counts(rules: Rules, control: str) -> bool:
    """Whether the last answer of the agent that speaks first is what is right of a conversation.

    So it is beside a control partner, which says what it was told to: agreeing with one tells nothing.

    Args:
        control: kind of the control partner; empty without one.
    """
    return bool(control) and next(iter(rules.speakers.values())) == "agent"


def at_a_glance(conversation: Conversation, *, last_answer_counts: bool) -> tuple[bool | None, bool]:
    """Whether a conversation that has just ended did so right, and whether the answer that decides it has a
    grade: for figures of a run that goes on. The table is measured from traces.
    """
    replies = [(turn.seat, turn.reply) for turn in conversation.turns]
    if last_answer_counts:
        first = next(iter(conversation.speakers))
        replies = [one for one in replies if one[0] == first and isinstance(one[1].belief, Answered)]
    last = replies[-1][1] if replies else None
    has_grade = bool(last and last.correct is not None and isinstance(last.belief, Answered))
    if conversation.stop is StopReason.FAILED or not conversation.turns:
        return None, has_grade
    must_agree = len(conversation.speakers) > 1 and not last_answer_counts
    if last is None or (must_agree and conversation.stop is not StopReason.AGREED):
        return False, has_grade
    return last.correct, has_grade


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


NO_CHANGE = Change(None, None, None, None)


def change_of(seat: Seat, trace: Trace) -> Change:
    """First against last answer of a seat.

    A conversation continues where a turn submits no answer, so its end holds one more often than its start.
    Nothing may be gained by that: without an answer in the first turn there is no gain, and with one the last
    answer stands for the end. So who never changes the answer gains exactly 0, however many turns are unsure
    or cannot be read.
    """
    own = [turn for turn in trace.turns if turn.seat == seat]
    if not own:
        return NO_CHANGE
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
