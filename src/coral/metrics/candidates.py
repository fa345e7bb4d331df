"""What a sampled run offers for training: its candidates by grade, and turns of which pairs can be made."""

from __future__ import annotations

from collections import Counter

import msgspec

from coral.types import Answered, Conversation, FinishReason, Record, Reply, StopReason, Turn, Unsure


class CandidateCounts(Record, frozen=True, omit_defaults=False):
    """The candidates of all finished conversations; those of failed ones are in none of the counts.

    Attributes:
        drawn: right, wrong, unsure, unreadable and ungraded ones together.
        wrong: submit a wrong answer.
        unreadable: what they submit could not be determined; cut ones are among them.
        ungraded: submit an answer of which the grader could not tell whether it is right.
        cut: ended at their token limit.
        distinct: different texts, turn by turn: a server that ignores the temperature gives one a turn.
        paired_turns: turns that hold a right candidate and one that is not right (unsure and unreadable
            count as not right): from each a preference pair can be made.
        rollouts: conversations continued from candidates.
        failed_rollouts: of these, failed: they say nothing about their candidate.
        right_rollouts: of the others, agreed and right.
    """

    turns: int = 0
    drawn: int = 0
    right: int = 0
    wrong: int = 0
    unsure: int = 0
    unreadable: int = 0
    ungraded: int = 0
    cut: int = 0
    distinct: int = 0
    paired_turns: int = 0
    rollouts: int = 0
    failed_rollouts: int = 0
    right_rollouts: int = 0


class CandidateCounter:
    """Adds up the candidates of a run while its conversations stream past."""

    def __init__(self) -> None:
        self._sums: Counter[str] = Counter()

    def add(self, conversation: Conversation) -> None:
        """Count the candidates of one conversation, unless it failed."""
        if conversation.stop is StopReason.FAILED:
            return
        for turn in conversation.turns:
            self._sums["turns"] += 1
            self._sums["paired_turns"] += _is_paired(turn)
            self._sums["distinct"] += len({reply.text.strip() for reply in turn.replies})
            for reply in turn.replies:
                self._sums["drawn"] += 1
                self._sums[_grade(reply)] += 1
                self._sums["cut"] += reply.finish_reason is FinishReason.LENGTH
                self._add_rollouts(reply)

    def _add_rollouts(self, reply: Reply) -> None:
        for rollout in reply.rollouts:
            self._sums["rollouts"] += 1
            self._sums["failed_rollouts"] += rollout.stop is StopReason.FAILED
            self._sums["right_rollouts"] += rollout.correct is True

    def merge(self, counts: CandidateCounts) -> None:
        """Add what was counted elsewhere."""
        self._sums.update(msgspec.structs.asdict(counts))

    def counts(self) -> CandidateCounts:
        """The sums so far."""
        return CandidateCounts(**self._sums)


def _is_paired(turn: Turn) -> bool:
    right = sum(reply.correct is True for reply in turn.replies)
    return 0 < right < len(turn.replies)


def _grade(reply: Reply) -> str:
    match reply.belief:
        case Answered():
            return {True: "right", False: "wrong", None: "ungraded"}[reply.correct]
        case Unsure():
            return "unsure"
        case _:
            return "unreadable"
