"""All ordered pairs of some models: what each of them contributes as opener, as responder and as persuader.

The cells of the square are ratios over the same problems. An effect is a weighted sum of cells, found by
least squares with effects that sum to zero over the models; each problem's pull on the cells gives its error.
So problems are random, and what makes one hard for all models, or for one of them, is in the interval. The
models are these models, not a sample of all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from coral.comparison.facts import RIGHT
from coral.metrics import Estimate, adjusted, benjamini_hochberg
from coral.metrics.arrays import Array
from coral.metrics.components import Component, components
from coral.metrics.distributions import UPPER, t_cdf, t_quantile
from coral.metrics.own import own_info
from coral.metrics.statistics import (
    TINY,
    Interval,
    Ratio,
    clustered_stderr,
    effects_of,
    paired_interval,
)
from coral.studies.measured import ALONE, Group, Parts, contrast, estimate_of, pool, ratio_of
from coral.types import Record

PERSUASION = "persuasion_success_rate"
Key = TypeVar("Key")


class Cell(Record, frozen=True, omit_defaults=False):
    """Two models in their seats.

    Attributes:
        right: agreed and right, of all conversations.
        persuasion: of the opener's turns with another answer, those after which the responder adopts it,
            and of the responder's after which the opener does: by who persuades.
        tokens: per conversation.
        usd: per conversation; None where a price is unknown.
    """

    arm: str
    opener: str
    responder: str
    right: Estimate
    persuasion: dict[str, Estimate]
    tokens: float | None
    usd: float | None


class Effect(Record, frozen=True, omit_defaults=False):
    """What a model, or a place, adds to the mean of all cells.

    Attributes:
        of: right or persuasion.
        kind: opener, responder, and responder minus opener (of right); actor, partner, and speaks first (of
            persuasion).
        model: empty where it is of all models.
        p_bh: adjusted for all effects (Benjamini and Hochberg 1995).
        problems: that have something to count in some cell.
    """

    of: str
    kind: str
    model: str
    value: float
    low: float
    high: float
    p_value: float
    p_bh: float | None
    problems: int


class PairTest(Record, frozen=True, omit_defaults=False):
    """Two cells of the square: left minus right, in right of all.

    Attributes:
        p_bh: adjusted for all such tests of the matrix.
    """

    text: str
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_bh: float | None
    problems: int


class Matrix(Record, frozen=True, omit_defaults=False):
    """What all ordered pairs of some models come to.

    Attributes:
        persuades: how often the first persuades the second, in whatever seats, by "first>second".
        variance: of what is right, by where it comes from: opener, responder, problem and their crossings.
    """

    models: tuple[str, ...]
    cells: tuple[Cell, ...]
    persuades: dict[str, Estimate]
    effects: tuple[Effect, ...]
    tests: tuple[PairTest, ...]
    variance: tuple[Component, ...]


class _Directed(NamedTuple):
    """Who persuades whom, and whether the first of them opened the talk of answers."""

    actor: str
    partner: str
    first: bool


def matrix_of(arms: Mapping[str, Group], pairs: Mapping[str, tuple[str, str]]) -> Matrix | None:
    """The matrix of the pairs' arms; None without any.

    Args:
        pairs: agent and partner of each pair's arm.
    """
    held = {name: models for name, models in pairs.items() if name in arms}
    if not held:
        return None
    models = tuple(dict.fromkeys(model for of_arm in held.values() for model in of_arm))
    seats = {name: _seats(arms[name], *of_arm) for name, of_arm in held.items()}
    right = {seats[name]: arms[name].parts(RIGHT) for name in held}
    directed = _directed(arms, held)
    clusters = arms[next(iter(held))].clusters
    effects = [*_of_right(right, models, clusters), *_of_persuasion(directed, models, clusters)]
    ps = adjusted(benjamini_hochberg, [one.p_value for one in effects])
    return Matrix(
        models=models,
        cells=tuple(_cell(arms[name], *seats[name], held[name]) for name in held),
        persuades=_persuades(directed, clusters),
        effects=tuple(msgspec.structs.replace(e, p_bh=p) for e, p in zip(effects, ps, strict=True)),
        tests=tuple(_tests(arms, {seat: name for name, seat in seats.items()})),
        variance=_variance(right, models),
    )


def _seats(arm: Group, agent: str, partner: str) -> tuple[str, str]:
    """(opener, responder): the responder speaks first."""
    speaks_first = next(iter(arm.tally.rules.speakers.values()))
    return (partner, agent) if speaks_first == "agent" else (agent, partner)


def _directed(arms: Mapping[str, Group], held: Mapping[str, tuple[str, str]]) -> dict[_Directed, Parts]:
    found: dict[_Directed, Parts] = {}
    for name, (agent, partner) in held.items():
        if agent == partner:
            continue
        speaks_first = next(iter(arms[name].tally.rules.speakers.values()))
        for actor, other, role in ((agent, partner, "agent"), (partner, agent, "partner")):
            parts = arms[name].parts(f"{role}/{PERSUASION}")
            found[_Directed(actor, other, role == speaks_first)] = parts
    return found


def _cell(arm: Group, opener: str, responder: str, models: tuple[str, str]) -> Cell:
    roles = {} if opener == responder else dict(zip(models, ("agent", "partner"), strict=True))
    return Cell(
        arm=arm.name,
        opener=opener,
        responder=responder,
        right=arm.estimate(RIGHT),
        persuasion={model: arm.estimate(f"{role}/{PERSUASION}") for model, role in roles.items()},
        tokens=arm.estimate("total_tokens").mean,
        usd=arm.estimate("cost").mean,
    )


def _persuades(directed: Mapping[_Directed, Parts], clusters: Mapping[str, str]) -> dict[str, Estimate]:
    """Both orders pooled."""
    pooled: dict[str, list[Parts]] = {}
    for who, parts in directed.items():
        pooled.setdefault(f"{who.actor}>{who.partner}", []).append(parts)
    return {
        name: estimate_of(pool(several), own_info(PERSUASION, is_share=True), clusters=clusters)
        for name, several in pooled.items()
    }


# Effects ----------------------------------------------------------------------------------------------------


def aligned(cells: Mapping[Key, Parts], clusters: Mapping[str, str] = ALONE) -> dict[Key, Ratio]:
    """Each cell as a ratio over the problems of all cells; cells with nothing to count are left out."""
    names = list(dict.fromkeys(name for parts in cells.values() for name in parts))
    ratios = {key: ratio_of(parts, names, clusters) for key, parts in cells.items() if parts}
    return {key: ratio for key, ratio in ratios.items() if ratio.value is not None}


def _number_of_problems(cells: Mapping[Key, Parts]) -> int:
    """Of all cells, whether or not problems share a cluster."""
    return len({problem for parts in cells.values() for problem in parts})


def _of_right(
    right: Mapping[tuple[str, str], Parts], models: Sequence[str], clusters: Mapping[str, str] = ALONE
) -> list[Effect]:
    ratios = aligned(right, clusters)
    columns: list[Callable[[tuple[str, str]], Sequence[float]]] = [
        lambda cell: _zero_sum(models, cell[0]),
        lambda cell: _zero_sum(models, cell[1]),
    ]
    weights = _weights(ratios, columns)
    if weights is None:
        return []
    opener, responder = (_by_model(models, part) for part in weights)
    found, problems = [], _number_of_problems(right)
    for place, model in enumerate(models):
        for kind, weight in (
            ("opener", opener[place]),
            ("responder", responder[place]),
            ("responder minus opener", responder[place] - opener[place]),
        ):
            found += _effect("right", kind, model, weight, list(ratios.values()), problems)
    return found


def _of_persuasion(
    directed: Mapping[_Directed, Parts], models: Sequence[str], clusters: Mapping[str, str] = ALONE
) -> list[Effect]:
    ratios = aligned(directed, clusters)
    columns: list[Callable[[_Directed], Sequence[float]]] = [
        lambda cell: _zero_sum(models, cell.actor),
        lambda cell: _zero_sum(models, cell.partner),
        lambda cell: [0.5 if cell.first else -0.5],
    ]
    cells, problems, found = list(ratios.values()), _number_of_problems(directed), list[Effect]()
    weights = _weights(ratios, columns)
    if weights is None:  # of two models persuading is the other's being persuaded: the order alone is left
        alone = _weights(ratios, [lambda cell: [float(cell.actor == models[0]) - 0.5], columns[2]])
        return (
            [] if alone is None else _effect("persuasion", "speaks first", "", alone[1][0], cells, problems)
        )
    for kind, part in zip(("actor", "partner"), weights, strict=False):
        for model, weight in zip(models, _by_model(models, part), strict=True):
            found += _effect("persuasion", kind, model, weight, cells, problems)
    return found + _effect("persuasion", "speaks first", "", weights[2][0], cells, problems)


def _zero_sum(models: Sequence[str], model: str) -> list[float]:
    """Columns of a model's effect, of all models but the last, whose effect is minus the sum of theirs."""
    last = model == models[-1]
    return [-1.0 if last else float(model == other) for other in models[:-1]]


def _weights(
    ratios: Mapping[Key, Ratio], columns: Sequence[Callable[[Key], Sequence[float]]]
) -> list[Array] | None:
    """What each cell weighs in each effect, by group of columns; None where they cannot be told apart."""
    if not ratios:
        return None
    rows = [[1.0, *(value for column in columns for value in column(cell))] for cell in ratios]
    design = np.array(rows)
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    inverse, sizes = np.linalg.pinv(design), [len(column(next(iter(ratios)))) for column in columns]
    return np.split(inverse[1:], np.cumsum(sizes)[:-1])


def _by_model(models: Sequence[str], weights: Array) -> Array:
    assert len(weights) == len(models) - 1
    return np.vstack([weights, -weights.sum(axis=0)])


def _effect(
    of: str, kind: str, model: str, weights: Array, cells: Sequence[Ratio], problems: int
) -> list[Effect]:
    """By Student's t: a mean over many cells is nearly continuous. As a share where nothing varies."""
    value = float(sum(weight * (cell.value or 0.0) for weight, cell in zip(weights, cells, strict=True)))
    residuals = weights @ np.array([cell.residuals for cell in cells])
    stderr = clustered_stderr(residuals)
    if stderr is None:
        return []
    if stderr < TINY:
        interval, p_value = paired_interval(value, effects_of(value, residuals))
    else:
        half = t_quantile(UPPER, len(residuals) - 1) * stderr
        interval = Interval(value - half, value + half)
        p_value = 2 * t_cdf(-abs(value) / stderr, len(residuals) - 1)
    return [Effect(of, kind, model, value, *interval, p_value, None, problems)]


def _tests(arms: Mapping[str, Group], names: Mapping[tuple[str, str], str]) -> list[PairTest]:
    """Who opens, and what another partner changes for a model in its seat."""
    asked = []
    for a, b in names:
        if a < b and (b, a) in names:
            asked.append((names[a, b], names[b, a]))
        if a != b:
            asked += [(names[a, b], names[own]) for own in ((a, a), (b, b)) if own in names]
    found = [(f"{left} - {right}", contrast(arms[left], arms[right], arms[left].by)) for left, right in asked]
    ps = adjusted(benjamini_hochberg, [one.p_value for _, one in found])
    return [
        PairTest(text, one.value, one.low, one.high, one.p_value, p, one.problems)
        for (text, one), p in zip(found, ps, strict=True)
    ]


def _variance(right: Mapping[tuple[str, str], Parts], models: Sequence[str]) -> tuple[Component, ...]:
    """Of the problems that all cells have."""
    if len(right) < len(models) ** 2:
        return ()
    shared = [name for name in next(iter(right.values())) if all(name in parts for parts in right.values())]
    if len(shared) < 2:
        return ()
    rates = [
        [[right[a, b][name][0] / right[a, b][name][1] for name in shared] for b in models] for a in models
    ]
    return tuple(components(np.array(rates)[..., None], ("opener", "responder", "problem")))
