"""Several samples of a problem: does the most frequent answer win, and is any of them right?

One rule for what is not known: a sample whose answer cannot be read casts no vote and is not right, and an
answer without a grade is not right. So with one sample a problem a vote is the strict score. Dropping such
problems instead would keep those that another sample solved. How far the truth may lie from that is told by
bounds, in which everything unknown is wrong, or right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isnan
from typing import Literal, NamedTuple

NAN = float("nan")
NO_VOTE = -1.0
"""The vote of a sample that submits no answer."""
_ANOTHER = -2.0
"""An answer that no sample was seen to give."""

Unknown = Literal["abstains", "wrong", "right"]
"""What is assumed of samples that cannot be read: no vote (and nothing ungraded is right), or a vote for a
wrong or for the right answer.
"""


class Sample(NamedTuple):
    """One sample of a problem.

    Attributes:
        vote: the class of its answer; NO_VOTE without one; NaN where it was not compared with other samples'.
        right: whether its outcome is right; NaN where that is not known.
    """

    vote: float
    right: float


def majority_vote(samples: Sequence[Sample], unknown: Unknown = "abstains") -> float | None:
    """Whether the most frequent answer is right: the expected score of picking one of the tied answers at
    random. Where no sample votes, the vote is wrong. None where answers were never compared.
    """
    if any(isnan(sample.vote) for sample in samples):
        return None
    votes = Counter(sample.vote for sample in samples if sample.vote != NO_VOTE)
    grades = {sample.vote: sample.right for sample in samples if not isnan(sample.right)}
    right = {vote: grades.get(vote, float(unknown == "right")) for vote in votes}
    unread = sum(sample.vote == NO_VOTE and isnan(sample.right) for sample in samples)
    if unknown != "abstains" and unread:
        side = float(unknown == "right")
        favoured = max(
            (vote for vote in votes if right[vote] == side), key=votes.__getitem__, default=_ANOTHER
        )
        votes[favoured] += unread
        right[favoured] = side
    most = max(votes.values(), default=0)
    leaders = [right[vote] for vote, count in votes.items() if count == most]
    return sum(leaders) / len(leaders) if leaders else 0.0


def agreement_with_others(votes: Sequence[float]) -> list[float]:
    """Of each answer to a problem, whether it is the most frequent one of the others.

    Nobody votes for itself, or a single answer would always agree. Tied ones share the credit. No answer
    agrees with none; NaN where none of the others is one, or the answers were not compared.
    """
    counts = Counter(vote for vote in votes if vote != NO_VOTE and not isnan(vote))
    found = []
    for vote in votes:
        others = counts - Counter([vote])
        most = max(others.values(), default=0)
        leaders = [other for other, count in others.items() if count == most]
        unknown = isnan(vote) or not leaders
        found.append(NAN if unknown else (vote in leaders) / len(leaders))
    return found


def any_right(samples: Sequence[Sample], unknown: Unknown = "abstains") -> float:
    """Whether any sample is right."""
    hopeful = unknown == "right" and any(isnan(sample.right) for sample in samples)
    return float(hopeful or any(sample.right == 1.0 for sample in samples))
