"""What judges found: how often a run is preferred to another, how strong each is, how far judges agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from coral.metrics.statistics import clustered_ratio, interval_of
from coral.types import Record
from coral.viewer.judging import Design, Judgement

DRAWS = 1000
"""Of the bootstrap of strengths."""


class Preference(Record, frozen=True, omit_defaults=False):
    """Run b against run a in one aspect.

    Attributes:
        rate: share of judgements that prefer b, one half of "neither" included; over pairs, each as the mean
            of its judges.
        judgements: how many there are; `wins` prefer b, `losses` prefer a.
        pairs: how many pairs they are of.
    """

    aspect: str
    a: str
    b: str
    rate: float | None
    low: float | None
    high: float | None
    judgements: int
    wins: int
    losses: int
    pairs: int


class Strength(Record, frozen=True, omit_defaults=False):
    """How strong a run is among more than two: Bradley and Terry (1952), "neither" as half a win of each.

    Attributes:
        value: the natural logarithm of its strength, 0 on average over the runs.
    """

    aspect: str
    run: str
    value: float
    low: float
    high: float


def preferences(design: Design, judgements: Sequence[Judgement]) -> list[Preference]:
    """Every two runs that met, in every aspect."""
    pairs = {pair.id: pair for pair in design.pairs}
    found = []
    for aspect in design.aspects:
        for a, b in combinations(range(len(design.runs)), 2):
            own = [one for one in judgements if one.aspect == aspect and pairs[one.pair].runs == (a, b)]
            if own:
                found.append(_preference(aspect, design.names[a], design.names[b], b, own))
    return found


def _preference(aspect: str, a: str, b: str, second: int, own: Sequence[Judgement]) -> Preference:
    scores: dict[str, list[float]] = defaultdict(list)
    for one in own:
        scores[one.pair].append(0.5 if one.better is None else float(one.better == second))
    means = [sum(each) / len(each) for each in scores.values()]
    ratio = clustered_ratio(means, [1.0] * len(means))
    ends = interval_of(ratio, "rate")
    return Preference(
        aspect=aspect, a=a, b=b, rate=ratio.value,
        low=ends and ends.low, high=ends and ends.high, judgements=len(own),
        wins=sum(one.better == second for one in own),
        losses=sum(one.better not in (second, None) for one in own),
        pairs=len(means),
    )  # fmt: skip


def strengths(design: Design, judgements: Sequence[Judgement]) -> list[Strength]:
    """Of more than two runs, in every aspect; intervals by drawing pairs again (percentiles)."""
    if len(design.runs) < 3:
        return []
    found = []
    for aspect in design.aspects:
        wins = _wins(design, [one for one in judgements if one.aspect == aspect])
        if not wins:
            continue
        tables = np.array(list(wins.values()))
        rng = np.random.default_rng(design.seed)
        drawn = rng.integers(0, len(tables), (DRAWS, len(tables)))
        values = bradley_terry(tables.sum(axis=0))
        spread = np.array([bradley_terry(tables[rows].sum(axis=0)) for rows in drawn])
        low, high = np.percentile(spread, [2.5, 97.5], axis=0)
        found += [
            Strength(aspect=aspect, run=name, value=float(values[n]), low=float(low[n]), high=float(high[n]))
            for n, name in enumerate(design.names)
        ]
    return found


def _wins(design: Design, judgements: Sequence[Judgement]) -> dict[str, np.ndarray]:
    """By pair: how often each run was preferred to each other, as the mean of the judges."""
    pairs = {pair.id: pair for pair in design.pairs}
    count = Counter(one.pair for one in judgements)
    found: dict[str, np.ndarray] = {}
    for one in judgements:
        a, b = pairs[one.pair].runs
        table = found.setdefault(one.pair, np.zeros((len(design.runs), len(design.runs))))
        share = 1.0 / count[one.pair]
        for winner, loser in ((a, b), (b, a)):
            table[winner, loser] += share * (0.5 if one.better is None else float(one.better == winner))
    return found


def bradley_terry(wins: np.ndarray, steps: int = 200) -> np.ndarray:
    """Logarithms of the strengths, 0 on average: Hunter (2004), equation 3, by iteration.

    Half a win of each against each is added first, so that who won or lost everything has a finite strength.

    Args:
        wins: how often the run of a row was preferred to that of a column.
    """
    number = len(wins)
    table = wins + 0.5 * (1 - np.eye(number))
    met = table + table.T
    strength = np.ones(number)
    for _ in range(steps):
        expected = met / (strength[:, None] + strength[None, :])
        strength = table.sum(axis=1) / expected.sum(axis=1)
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


def alpha(judgements: Sequence[Judgement], aspect: str) -> float | None:
    """Krippendorff's alpha for names (2011, "Computing Krippendorff's alpha-reliability", section C): 1 where
    the judges agree always, 0 where as often as chance. None with fewer than two judges of any pair.
    """
    by_pair: dict[str, list[int | None]] = defaultdict(list)
    for one in judgements:
        if one.aspect == aspect:
            by_pair[one.pair].append(one.better)
    shared = [each for each in by_pair.values() if len(each) > 1]
    values = Counter(value for each in shared for value in each)
    total = sum(values.values())
    if total == 0:
        return None
    observed = sum(
        sum(n * (len(each) - n) for n in Counter(each).values()) / (len(each) - 1) for each in shared
    )
    expected = sum(n * (total - n) for n in values.values()) / (total - 1)
    return 1.0 if expected == 0 else 1 - observed / expected
