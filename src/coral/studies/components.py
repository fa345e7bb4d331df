"""Where variance comes from: crossed random effects of a balanced design, by mean squares.

A generalizability study (Cronbach and others 1972; Brennan 2001, chapter 3): factors such as problem and
wording are crossed, samples repeat each of their cells. Mean squares give each component without bias; their
intervals are those of Ting, Burdick, Graybill, Jeyaratnam and Lu (1990) for sums and differences of mean
squares. In a balanced design these estimates are those of a crossed random-effects model, as long as none is
negative; a negative one is said to be 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import prod, sqrt

import numpy as np

from coral.metrics.arrays import Array
from coral.metrics.distributions import f_quantile
from coral.types import Record

SAMPLES = "samples"
FAR = 1e6
"""Degrees of freedom that are as good as infinitely many."""
_TAIL = 0.975


class Component(Record, frozen=True, omit_defaults=False):
    """A variance component.

    Attributes:
        name: factors, joined by a cross where they are an interaction; samples for what is left.
        variance: of one conversation, never below 0.
        low: lower end of the 95% interval; likewise `high`.
        share: of the variance of one conversation. Of `problem`, the intra-class correlation.
        levels: how many there are: problems, wordings, ...
    """

    name: str
    variance: float
    low: float
    high: float
    share: float
    levels: int


def components(values: Array, factors: Sequence[str]) -> list[Component]:
    """The components of a balanced design.

    Args:
        values: one axis per factor, each of two levels or more, and a last one of samples. With one sample
            the crossing of all factors cannot be told from them, and is counted there.
    """
    *sizes, samples = values.shape
    squares, degrees = mean_squares(values)
    axes = range(len(sizes))
    found = []
    for subset in subsets(axes):
        if samples == 1 and len(subset) == len(sizes):
            continue
        terms = _terms(subset, axes, samples)
        within = samples * prod(sizes[axis] for axis in axes if axis not in subset)
        value, low, high = (max(0.0, end / within) for end in _interval(terms, squares, degrees))
        found.append(("×".join(factors[axis] for axis in subset), value, low, high,
                      prod(sizes[axis] for axis in subset)))  # fmt: skip
    left = () if samples > 1 else tuple(axes)
    value, low, high = _interval({left: 1}, squares, degrees)
    found.append((SAMPLES, value, low, high, samples))
    whole = sum(one[1] for one in found) or 1.0
    return [
        Component(name, value, low, high, value / whole, levels) for name, value, low, high, levels in found
    ]


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
