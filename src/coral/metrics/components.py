"""Where variance comes from: crossed random effects of a balanced design, by mean squares.

A generalizability study (Cronbach and others 1972; Brennan 2001, chapter 3): factors such as problem and
wording are crossed, samples repeat each of their cells. Mean squares give each component without bias; their
intervals are those of Ting, Burdick, Graybill, Jeyaratnam and Lu (1990) for sums and differences of mean
squares. In a balanced design these estimates are those of a crossed random-effects model, as long as none is
negative; a negative one is said to be 0.

Those intervals are of normal effects. Right and wrong, and shares of them, are not: near 0 or 1 a few
problems make all of the variance, and the intervals are far too narrow. So whatever varies by problem is
there judged by leaving out one problem at a time: the jackknife on the logarithm (Arvesen 1969, "Jackknifing
U-statistics"; Miller 1974, "The jackknife: a review"), with Student's t. Three or more levels of other
factors, such as wordings, are left out one at a time, too, and the errors added up. Where a component
vanishes when some problem is left out, the problems do not say how large it is, and there is no interval.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import exp, inf, prod, sqrt

import numpy as np

from coral.metrics.arrays import Array
from coral.metrics.distributions import f_quantile, t_quantile
from coral.types import Record

SAMPLES = "samples"
PROBLEM, CROSS = "problem", "\u00d7"
FEWEST = 3
"""So many problems must have a right answer, and so many a wrong one, for their variance to be told."""
NEXT_TO_NOTHING = 1e-9
"""A variance, of rounding alone."""
FAR = 1e6
"""Degrees of freedom that are as good as infinitely many."""
_TAIL = 0.975
_MOST_OF_SHARES = 0.25
"""Nothing between 0 and 1 varies more, so no interval of two wordings or models reaches beyond."""


class Component(Record, frozen=True, omit_defaults=False):
    """A variance component.

    Attributes:
        name: factors, joined by a cross where they are an interaction; samples for what is left.
        variance: of one conversation, never below 0.
        low: lower end of the 95% interval; likewise `high`. None where so few problems tell of it that there
            is none.
        share: of the variance of one conversation. Of `problem`, the intra-class correlation.
        levels: how many there are: problems, wordings, ...
    """

    name: str
    variance: float
    low: float | None
    high: float | None
    share: float
    levels: int


def components(values: Array, factors: Sequence[str]) -> list[Component]:
    """The components of a balanced design.

    Args:
        values: one axis per factor, each of two levels or more, and a last one of samples. With one sample
            the crossing of all factors cannot be told from them, and is counted there. Of right and wrong
            (1 and 0), or shares of it, with a factor `problem`, intervals are those of the jackknife over
            problems.
    """
    *sizes, samples = values.shape
    squares, degrees = mean_squares(values)
    axes = range(len(sizes))
    of_shares = bool(((values >= 0) & (values <= 1)).all())
    most = _MOST_OF_SHARES if of_shares else inf
    judged = _Left(values, factors) if PROBLEM in factors and of_shares else None
    found = []
    for subset in [*subsets(axes), ()]:
        left = not subset
        if samples == 1 and len(subset) == len(sizes):
            continue
        whole = tuple(axes) if left and samples == 1 else subset
        terms = {whole: 1} if left else _terms(subset, axes, samples)
        within = 1 if left else samples * prod(sizes[axis] for axis in axes if axis not in subset)
        value, *ends = (end / within for end in _interval(terms, squares, degrees))
        low, high = (max(0.0, end) for end in ends)
        of_problems = left or PROBLEM in [factors[axis] for axis in subset]
        told = judged.interval(value, terms, within) if judged is not None and of_problems else (low, high)
        if (
            max(squares[one] for one in terms) <= NEXT_TO_NOTHING
        ):  # two wordings that came out alike do not say that all would
            told = (None, None)
        within_reach = (None if end is None else min(end, max(most, value)) for end in told)
        name = SAMPLES if left else CROSS.join(factors[axis] for axis in subset)
        levels = samples if left else prod(sizes[axis] for axis in subset)
        found.append((name, max(0.0, value), *within_reach, levels))
    total = sum(one[1] for one in found) or 1.0
    return [
        Component(name, value, low, high, value / total, levels) for name, value, low, high, levels in found
    ]


class _Left:
    """Mean squares of right and wrong, or of shares of them, without each problem, and without each level of
    other factors.
    """

    def __init__(self, values: Array, factors: Sequence[str]) -> None:
        self._problems = factors.index(PROBLEM)
        others = tuple(axis for axis in range(values.ndim) if axis != self._problems)
        right, wrong = (int(part.any(axis=others).sum()) for part in (values, 1 - values))
        self._tell = min(right, wrong) >= FEWEST
        wide = [axis for axis, size in enumerate(values.shape[:-1]) if size >= _LEAST_LEVELS]
        self._without = [_without_each(values, axis) for axis in wide]

    def interval(
        self, value: float, terms: dict[tuple[int, ...], int], within: float
    ) -> tuple[float | None, float | None]:
        """The ends from a component and what it is without each; the errors of several factors add up."""
        variances: list[tuple[float, int]] = []
        for squares in self._without if self._tell and value > NEXT_TO_NOTHING else ():
            each = np.sum([sign * squares[one] for one, sign in terms.items()], axis=0) / within
            if each.min() <= NEXT_TO_NOTHING:
                return None, None
            logs = np.log(each)
            squared = float(np.square(logs - logs.mean()).sum())
            variances.append(((len(each) - 1) / len(each) * squared, len(each) - 1))
        whole = sum(one for one, _ in variances)
        if whole <= NEXT_TO_NOTHING:  # or all are alike, which says nothing of one that is not
            return None, None
        freedom = whole**2 / sum(one**2 / number for one, number in variances)
        reach = t_quantile(_TAIL, freedom) * sqrt(whole)
        return value * exp(-reach), value * exp(reach)


_LEAST_LEVELS = 3
"""Of fewer, none can be left out."""


def _without_each(values: Array, out: int) -> dict[tuple[int, ...], Array]:
    """The mean squares of a balanced design without each level of an axis, an array over its levels each.

    All of it from sums: what a level has of them is taken off.
    """
    *sizes, samples = values.shape
    axes = [axis for axis in range(len(sizes)) if axis != out]
    number = sizes[out]
    table = np.moveaxis(values, out, 0)
    cells = table.mean(axis=-1)
    place = {axis: 1 + axes.index(axis) for axis in axes}
    squared: dict[tuple[int, ...], Array] = {}
    for kept in [(), *subsets(axes)]:
        rest = tuple(place[axis] for axis in axes if axis not in kept)
        means = cells.mean(axis=rest).reshape(number, -1)
        own = np.square(means).mean(axis=1)
        squared[tuple(sorted((*kept, out)))] = (own.sum() - own) / (number - 1)
        squared[kept] = np.square((means.sum(axis=0) - means) / (number - 1)).mean(axis=1)
    found = {}
    for subset in subsets(range(len(sizes))):
        effect = sum((-1) ** (len(subset) - len(part)) * squared[part] for part in [(), *subsets(subset)])
        left = [(number - 1 if axis == out else sizes[axis]) for axis in range(len(sizes))]
        found[subset] = samples * prod(left) * effect / prod(left[axis] - 1 for axis in subset)
    if samples > 1:
        inside = np.square(table - cells[..., None]).reshape(number, -1).sum(axis=1)
        freedom = (number - 1) * prod(sizes[axis] for axis in axes) * (samples - 1)
        found[()] = (inside.sum() - inside) / freedom
    return found


def mean_squares(values: Array) -> tuple[dict[tuple[int, ...], float], dict[tuple[int, ...], int]]:
    """Mean squares and their degrees of freedom by crossed axes; () is what varies inside of cells."""
    *sizes, samples = values.shape
    axes = range(len(sizes))
    cells = values.mean(axis=-1)
    squares, degrees = {}, {}
    for subset in subsets(axes):
        effect = sum(
            (-1) ** (len(subset) - len(part)) * _mean_over(cells, [a for a in axes if a not in part])
            for part in [(), *subsets(subset)]
        )
        degrees[subset] = prod(sizes[axis] - 1 for axis in subset)
        within = samples * prod(sizes[axis] for axis in axes if axis not in subset)
        squares[subset] = within * float(np.square(effect).sum()) / degrees[subset]
    if samples > 1:
        degrees[()] = prod(sizes) * (samples - 1)
        squares[()] = float(np.square(values - cells[..., None]).sum()) / degrees[()]
    return squares, degrees


def _mean_over(cells: Array, axes: Sequence[int]) -> Array:
    mean: Array = cells.mean(axis=tuple(axes), keepdims=True)
    return mean


def subsets(axes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All but the empty one, small ones first."""
    for size in range(1, len(axes) + 1):
        yield from combinations(axes, size)


def _terms(subset: tuple[int, ...], axes: Sequence[int], samples: int) -> dict[tuple[int, ...], int]:
    """Signs of the mean squares whose sum expects to be the component, times what it is averaged over."""
    others = [axis for axis in axes if axis not in subset]
    terms = {tuple(sorted((*subset, *more))): (-1) ** len(more) for more in [(), *subsets(others)]}
    if not others and samples > 1:
        terms[()] = -1
    return terms


def _interval(
    terms: dict[tuple[int, ...], int],
    squares: dict[tuple[int, ...], float],
    degrees: dict[tuple[int, ...], int],
) -> tuple[float, float, float]:
    """The sum of signed mean squares, and its 95% interval (Ting and others 1990)."""
    plus = [(squares[one], degrees[one]) for one, sign in terms.items() if sign > 0]
    minus = [(squares[one], degrees[one]) for one, sign in terms.items() if sign < 0]
    value = sum(square for square, _ in plus) - sum(square for square, _ in minus)
    below, above = _reach(plus, minus, _TAIL), _reach(plus, minus, 1 - _TAIL)
    return value, value - below, value + above


def _reach(plus: Sequence[tuple[float, int]], minus: Sequence[tuple[float, int]], tail: float) -> float:
    """How far the interval reaches to one side: down with the upper tail, up with the lower."""
    whole = 0.0
    for square, df in plus:
        whole += ((1 - 1 / f_quantile(tail, df, FAR)) * square) ** 2
    for square, df in minus:
        whole += ((1 / f_quantile(1 - tail, df, FAR) - 1) * square) ** 2
    for mine, df in plus:
        for theirs, other in minus:
            f = f_quantile(tail, df, other)
            g, h = 1 - 1 / f_quantile(tail, df, FAR), 1 / f_quantile(1 - tail, other, FAR) - 1
            whole += ((f - 1) ** 2 - (g * f) ** 2 - h**2) / f * mine * theirs
    return sqrt(max(whole, 0.0))
