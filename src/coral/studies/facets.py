"""What varies a result: problems, wordings of the prompt, who opens, samples. And which of them to buy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt

import numpy as np

from coral.comparison.facts import RIGHT
from coral.metrics.arrays import Array
from coral.metrics.components import CROSS, PROBLEM, SAMPLES, Component, components
from coral.studies.measured import Arm, Group
from coral.types import Record

WORDING, ORDER = "wording", "order"


class Facets(Record, frozen=True, omit_defaults=False):
    """Where the variance of what is right comes from, in one arm or in a pair of models.

    Attributes:
        arms: that it is of.
        components: of one conversation.
        levels: how many there were, by facet; `samples` per problem, wording and order.
        stderr: of the mean, if other problems, wordings and samples could have been drawn.
        doubled: the same with twice as many of each.
        advice: which of these to buy: what lowers the standard error most at twice the conversations.
    """

    name: str
    arms: tuple[str, ...]
    components: tuple[Component, ...]
    levels: dict[str, int]
    stderr: float
    doubled: dict[str, float]
    advice: str

    @property
    def icc(self) -> float:
        """Intra-class correlation: how alike two conversations about one problem are."""
        return self.components[0].share


def facets_of(groups: Mapping[str, Group], pairs: Mapping[str, tuple[str, str]]) -> list[Facets]:
    """Of every arm with several samples or wordings, and of every two models in both orders."""
    found = []
    of_pair = {models: name for name, models in pairs.items() if name in groups}
    for (a, b), name in of_pair.items():
        if a < b and (b, a) in of_pair:
            both = groups[name], groups[of_pair[b, a]]
            found.append(_facets(f"{a} and {b}", both))
    in_orders = {name for (a, b), name in of_pair.items() if a != b}
    found += [_facets(name, (group,)) for name, group in groups.items() if name not in in_orders]
    return [one for one in found if one is not None]


def _facets(name: str, orders: Sequence[Group]) -> Facets | None:
    runs = [[_outcomes(arm) for arm in group.arms] for group in orders]
    every = [run for of_order in runs for run in of_order]
    if not every[0]:
        return None
    shared = [problem for problem in every[0] if all(problem in run for run in every)]
    samples = min((len(run[problem]) for run in every for problem in shared), default=0)
    if len(shared) < 2 or not samples or (len(every) == 1 and samples == 1):
        return None
    values = np.array(
        [[[run[problem][:samples] for run in of_order] for of_order in runs] for problem in shared]
    )  # problem, order, wording, sample
    kept = [(PROBLEM, len(shared)), (ORDER, len(orders)), (WORDING, len(runs[0]))]
    names = [facet for facet, number in kept if number > 1]
    table = values.reshape(*(number for _, number in kept if number > 1), samples)
    found = components(table, names)
    levels = {facet: number for facet, number in kept if facet in names} | {SAMPLES: samples}
    buyable = [facet for facet in (PROBLEM, WORDING, SAMPLES) if facet in levels]
    doubled = {facet: stderr_of(found, {**levels, facet: 2 * levels[facet]}) for facet in buyable}
    return Facets(
        name=name,
        arms=tuple(arm.name for group in orders for arm in group.arms),
        components=tuple(found),
        levels=levels,
        stderr=stderr_of(found, levels),
        doubled=doubled,
        advice=min(doubled, key=lambda facet: doubled[facet]),
    )


def stderr_of(found: Sequence[Component], levels: Mapping[str, int]) -> float:
    """Standard error of the mean of all: each component over the number of its draws.

    Who opens is not drawn: both orders are there, and what they differ by on average is no error.
    """
    variance = 0.0
    for one in found:
        if one.name == SAMPLES:
            variance += one.variance / prod(levels.values())
        elif one.name != ORDER:
            variance += one.variance / prod(levels[facet] for facet in one.name.split(CROSS))
    return sqrt(variance)


def _outcomes(arm: Arm) -> dict[str, list[float]]:
    """Right or not of each conversation, by problem; one that failed or has no grade is not right. Problems
    without a gold answer are left out.
    """
    info, view = arm.info(RIGHT), arm.view
    found: dict[str, list[float]] = {}
    values: Array = np.nan_to_num(view.column(info.numerator))
    lacking = view.tally.without_gold
    for problem, value in zip(view.problem_of.tolist(), values.tolist(), strict=True):
        if problem not in lacking:
            found.setdefault(arm.ids[problem], []).append(value)
    for problem in (one for one in view.failed.tolist() if one not in lacking):
        found.setdefault(arm.ids[problem], []).append(0.0)
    return found
