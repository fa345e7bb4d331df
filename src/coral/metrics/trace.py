"""What metrics look at: a conversation reduced to who believed what, and whether it was right.

Answers become the numbers of equivalence classes here, once, by the task's own comparison. No metric compares
texts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from coral.types import Answered, Belief, Conversation, Seat, Turn, Unsure

UNSURE = -1
"""`TraceTurn.belief` of a turn that submits no answer yet."""
UNREADABLE = -2
"""`TraceTurn.belief` of a turn whose answer could not be determined. Equal to nothing, not even to itself."""

Same = Callable[[str, str], Awaitable[bool]]
"""Whether two canonical answers to one problem mean the same."""


class TraceTurn(msgspec.Struct, frozen=True, gc=False):
    """One turn.

    Attributes:
        belief: number of the answer's equivalence class (from 0), or UNSURE, or UNREADABLE.
        spelling: number of the exact wording (of an unreadable belief: of its reason), which only the
            published code's values look at; UNSURE for a turn that submits no answer.
        correct: whether the belief is right; None where that is not known.
        private: number of the belief that the seat stated off the record behind this turn; None where it was
            not asked. Equal to `belief` where both are one answer.
        private_correct: whether that one is right; None where that is not known.
        probability: that it is right, as the seat says; None where it does not.
    """

    seat: Seat
    belief: int
    spelling: int
    correct: bool | None
    private: int | None = None
    private_correct: bool | None = None
    probability: float | None = None

    @property
    def score(self) -> float | None:
        """1 right, 0 wrong, 0.5 unsure, None where it cannot be said."""
        if self.belief == UNSURE:
            return 0.5
        if self.belief == UNREADABLE or self.correct is None:
            return None
        return 1.0 if self.correct else 0.0


class Trace(msgspec.Struct, frozen=True):
    """A conversation as metrics see it.

    Attributes:
        shared: the class numbers mean the same in all samples of the problem (see `AnswerClasses`), so that
            samples can be put to the vote.
    """

    turns: tuple[TraceTurn, ...]
    shared: bool


class _Classes:
    """The classes of the answers to one problem: the first answer of each, and the class of every wording
    seen.
    """

    __slots__ = ("first_answers", "of_wording")

    def __init__(self) -> None:
        self.first_answers: list[str] = []
        self.of_wording: dict[str, int] = {}

    async def find(self, answer: str, same: Same) -> int:
        """The class of `answer`, a new one where it equals the first answer of none.

        The bound is read anew at every step: while one sample waits for `same`, another may add a class.
        """
        known = self.of_wording.get(answer)
        if known is not None:
            return known
        number = 0
        while number < len(self.first_answers):
            if await same(answer, self.first_answers[number]):
                break
            number += 1
        if number == len(self.first_answers):
            self.first_answers.append(answer)
        self.of_wording[answer] = number
        return number


class AnswerClasses:
    """Numbers equal answers alike across all samples of a problem. One object serves a whole run."""

    def __init__(self) -> None:
        self._of_problem: dict[str, _Classes] = {}

    def of(self, problem_id: str) -> _Classes:
        return self._of_problem.setdefault(problem_id, _Classes())


async def trace_of(conversation: Conversation, same: Same, classes: AnswerClasses | None = None) -> Trace:
    """Reduce a conversation to a trace.

    An answer is compared with the first answer of each class so far; identical wordings are not compared at
    all.

    Args:
        same: the task's comparison, for this conversation's problem.
        classes: share it among the conversations of a run to vote over the samples of a problem.
    """
    known = _Classes() if classes is None else classes.of(conversation.problem.id)
    return Trace(await _reduced(conversation.turns, same, known), classes is not None)


async def trace_of_turns(turns: Sequence[Turn], same: Same) -> Trace:
    """The trace of turns by themselves, such as those of a roll-out."""
    return Trace(await _reduced(turns, same, _Classes()), shared=False)


async def _reduced(turns: Sequence[Turn], same: Same, known: _Classes) -> tuple[TraceTurn, ...]:
    wordings: dict[str, int] = {}
    reduced = []
    for turn in turns:
        belief, probe = turn.reply.belief, turn.probe
        number = await _number(belief, same, known)
        public = TraceTurn(turn.seat, number, _spelling(belief, wordings), turn.reply.correct)
        if probe is not None:
            public = msgspec.structs.replace(
                public,
                private=await _number(probe.reply.belief, same, known),
                private_correct=probe.reply.correct,
                probability=probe.probability,
            )
        reduced.append(public)
    return tuple(reduced)


async def _number(belief: Belief, same: Same, known: _Classes) -> int:
    return await known.find(belief.value, same) if isinstance(belief, Answered) else _without_answer(belief)


def _without_answer(belief: Belief) -> int:
    return UNSURE if isinstance(belief, Unsure) else UNREADABLE


def _spelling(belief: Belief, wordings: dict[str, int]) -> int:
    if isinstance(belief, Unsure):
        return UNSURE
    wording = belief.value if isinstance(belief, Answered) else f"\0{belief.reason}"
    return wordings.setdefault(wording, len(wordings))
