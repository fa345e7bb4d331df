"""What an audited sample says of all: agreement beyond chance, error rates, and the corrected headline.

The corrected headline is the prediction-powered estimate (Angelopoulos et al. 2023, "Prediction-powered
inference"): what the first reading says of all conversations, plus what the sample says that it is off by.
The sample is stratified and lies within all conversations, so each error weighs by its stratum, and each
problem's pull on the sum of both parts makes the standard error (clustered, as everywhere).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from coral.metrics.arrays import Array, Indices, sum_by
from coral.metrics.distributions import Z
from coral.metrics.statistics import clustered_ratio, effective_size, interval_of, wilson
from coral.types import Record

CERTAIN = -1
"""Stratum of conversations that are never read again, such as failed ones: nothing is off there."""
PRIOR_ERROR = 0.5
"""Errors of either direction that are added before their spread is told: none in 50 does not mean none."""


class Share(Record, frozen=True, omit_defaults=False):
    """A share with its interval.

    Attributes:
        n: what it is of; `problems` are its clusters.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    problems: int


class Headline(Record, frozen=True, omit_defaults=False):
    """Right of all, as it was read and corrected by the sample.

    Attributes:
        off: corrected minus plain: what reading alone does, with its interval and standard error.
    """

    plain: float
    plain_low: float
    plain_high: float
    corrected: float
    low: float
    high: float
    off: float
    off_low: float
    off_high: float
    off_stderr: float
    conversations: int
    audited: int
    problems: int


@dataclass(frozen=True)
class Audited:
    """One arm: the first reading of all conversations, and the reference's of the sampled ones.

    Attributes:
        problems: number of the problem of every conversation.
        strata: of every conversation; CERTAIN of one in which nothing can be read otherwise.
        first: 1 where it was read as right, else 0.
        rows: the conversations that were read again.
        second: the same as `first` of those, by the reference.
    """

    problems: Indices
    strata: Indices
    first: Array
    rows: Indices
    second: Array

    @property
    def errors(self) -> Array:
        """Second minus first reading of each audited conversation: -1, 0 or 1."""
        found: Array = self.second - self.first[self.rows]
        return found

    @property
    def weights(self) -> Array:
        """How many conversations each audited one stands for, over all of them; they sum to the share that
        could be read again.

        A stratum of which none was audited is counted to the largest one that was.
        """
        sizes: Array = np.bincount(self.strata[self.strata != CERTAIN]).astype(np.float64)
        audited = np.bincount(self.strata[self.rows], minlength=len(sizes))
        if not len(self.rows):
            return np.zeros(0)
        missing = sizes[audited == 0].sum()
        sizes[audited == 0] = 0.0
        sizes[int(np.argmax(sizes))] += missing
        own = self.strata[self.rows]
        found: Array = sizes[own] / audited[own] / len(self.first)
        return found

    @property
    def off(self) -> float:
        """What reading is off by: corrected minus plain headline."""
        return float(self.weights @ self.errors)

    @property
    def moved(self) -> Array:
        """What each audited conversation adds to that beyond the mean; they sum to 0."""
        whole = float(self.weights.sum())
        found: Array = self.weights * (self.errors - (self.off / whole if whole else 0.0))
        return found

    def pulls(self) -> Array:
        """Each problem's pull on the corrected headline, by its number; they sum to 0."""
        plain = (self.first - self.first.mean()) / len(self.first)
        size = int(self.problems.max()) + 1
        return sum_by(self.problems, size, plain) + sum_by(self.problems[self.rows], size, self.moved)

    def unseen(self) -> float:
        """Variance that the sample cannot show, since it holds few errors or none."""
        number = len(self.rows)
        if not number or not self.unread:
            return 0.0
        spread = (float(np.square(self.errors).sum()) + 2 * PRIOR_ERROR) / (number + 2)
        expected = spread / (number + 2) * float(self.weights.sum()) ** 2
        return max(0.0, expected - float(np.square(self.moved).sum())) * self.unread

    @property
    def unread(self) -> float:
        """Share of the conversations that could be read again and were not."""
        return 1 - len(self.rows) / max(1, int((self.strata != CERTAIN).sum()))


def headline(arm: Audited) -> Headline:
    """The plain and the corrected headline of an arm."""
    plain = float(arm.first.mean())
    sums = np.bincount(arm.problems, arm.first), np.bincount(arm.problems)
    ratio = clustered_ratio(*(column[np.bincount(arm.problems) > 0] for column in sums))
    around = interval_of(ratio, "proportion") or wilson(plain, 1)
    off = arm.off
    stderr = sqrt(_error_variance(arm))
    corrected = min(1.0, max(0.0, plain + off))
    low, high = _around(corrected, _variance(arm.pulls()) + arm.unseen(), len(ratio.residuals))
    return Headline(
        plain=plain,
        plain_low=around.low,
        plain_high=around.high,
        corrected=corrected,
        low=low,
        high=high,
        off=off,
        off_low=max(-1.0, off - Z * stderr),
        off_high=min(1.0, off + Z * stderr),
        off_stderr=stderr,
        conversations=len(arm.first),
        audited=len(arm.rows),
        problems=len(ratio.residuals),
    )


class Between(Record, frozen=True, omit_defaults=False):
    """Left minus right arm, plain and corrected.

    Attributes:
        reading_alone: errors of reading alone could produce the plain difference.
    """

    left: str
    right: str
    plain: float
    corrected: float
    low: float
    high: float
    reading_alone: bool


def reading_alone(difference: float, left: Headline, right: Headline) -> bool:
    """Whether errors of reading alone could produce a difference of plain headlines, left minus right."""
    corrected = difference + left.off - right.off
    return abs(corrected) <= Z * sqrt(left.off_stderr**2 + right.off_stderr**2)


def between(left: tuple[str, Audited], right: tuple[str, Audited], names: Sequence[Sequence[str]]) -> Between:
    """The difference of two arms, paired by problem.

    Args:
        names: the ids of the problems of each, by number.
    """
    (name, a), (other, b) = left, right
    plain = float(a.first.mean() - b.first.mean())
    off = a.off - b.off
    pulls: dict[str, float] = defaultdict(float)
    for arm, ids, sign in ((a, names[0], 1), (b, names[1], -1)):
        for number, pull in enumerate(arm.pulls().tolist()):
            pulls[ids[number]] += sign * pull
    spread = sqrt(_variance(np.array(list(pulls.values()), np.float64)) + a.unseen() + b.unseen())
    return Between(
        left=name,
        right=other,
        plain=plain,
        corrected=plain + off,
        low=max(-1.0, plain + off - Z * spread),
        high=min(1.0, plain + off + Z * spread),
        reading_alone=reading_alone(plain, headline(a), headline(b)),
    )


def _error_variance(arm: Audited) -> float:
    """Of the correction alone."""
    pulls = sum_by(arm.problems[arm.rows], int(arm.problems.max()) + 1, arm.moved)
    return _variance(pulls) * arm.unread + arm.unseen()


def _variance(pulls: Array) -> float:
    """Of a sum of independent pulls; problems that pull nothing are problems, too."""
    number = len(pulls)
    return float(np.square(pulls).sum()) * number / max(number - 1, 1)


def _around(value: float, variance: float, problems: int) -> tuple[float, float]:
    """Wilson's interval with the sample size that would have this variance."""
    within = min(max(value, 1 / (problems + 2)), 1 - 1 / (problems + 2))
    size = within * (1 - within) / variance if variance > 0 else float(problems)
    return wilson(value, max(size, 1.0))


class Pair(NamedTuple):
    """Two readings of one text.

    Attributes:
        kinds: what each says: right, wrong, unsure or unreadable.
        same: both submit one answer, or neither does, in the same way.
    """

    problem: int
    weight: float
    kinds: tuple[str, str]
    same: bool


class Agreement(Record, frozen=True, omit_defaults=False):
    """How two readers agree.

    Attributes:
        kappa: agreement beyond chance (Cohen 1960): (agreement - chance) / (1 - chance). Chance is that of
            two readers who draw kinds of readings (right, wrong, unsure, unreadable) at their own rates; two
            different wrong answers are no agreement, so it is at most too large, and kappa too small.
    """

    readers: tuple[str, str]
    agreement: Share
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None


def agreement_of(readers: tuple[str, str], pairs: Sequence[Pair]) -> Agreement:
    """The agreement of two readers over texts, weighted by what each text stands for."""
    share = share_of([(pair.problem, pair.weight, float(pair.same)) for pair in pairs])
    whole = sum(pair.weight for pair in pairs)
    chance = 0.0
    for kind in {kind for pair in pairs for kind in pair.kinds}:
        a, b = (sum(pair.weight for pair in pairs if pair.kinds[side] == kind) for side in (0, 1))
        chance += a * b / whole**2
    if share.value is None or chance > 1 - 1e-9:
        return Agreement(readers=readers, agreement=share, kappa=None, kappa_low=None, kappa_high=None)
    kappa, low, high = (
        None if end is None else (end - chance) / (1 - chance) for end in (share.value, share.low, share.high)
    )
    return Agreement(readers=readers, agreement=share, kappa=kappa, kappa_low=low, kappa_high=high)


def share_of(items: Sequence[tuple[int, float, float]]) -> Share:
    """A weighted share of things: problem, weight, and 1 or 0 of each."""
    if not items:
        return Share(value=None, low=None, high=None, n=0, problems=0)
    problems, weights, truths = (np.array(column) for column in zip(*items, strict=True))
    weights = weights / weights.sum() * len(items)
    numbers = problems.astype(int)
    held = np.bincount(numbers) > 0
    ratio = clustered_ratio(np.bincount(numbers, weights * truths)[held], np.bincount(numbers, weights)[held])
    if ratio.value is None or ratio.stderr is None:
        return Share(value=ratio.value, low=None, high=None, n=len(items), problems=len(ratio.residuals))
    ends = wilson(ratio.value, effective_size(ratio))
    return Share(value=ratio.value, low=ends.low, high=ends.high, n=len(items), problems=len(ratio.residuals))
