"""What may be claimed: how large a difference so many problems show, and which of several hold together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import sqrt
from statistics import NormalDist

from coral.metrics.distributions import Z

POWER = 0.8
"""How often a true difference of the detectable size is found."""


def detectable(stderr: float) -> float:
    """The true difference that a comparison with this standard error finds in 8 of 10 cases.

    An interval of 95% then leaves out 0: (1.96 + 0.84) standard errors (Cohen 1988, section 2.4).
    """
    return (Z + NormalDist().inv_cdf(POWER)) * stderr


def detectable_in_points(share: float) -> str:
    """A detectable difference of shares, in points; one larger than 100 is none that there could be."""
    return f"{100 * share:.1f}" if share <= 1 else "over 100"


def detectable_with(problems: int) -> float:
    """The same before anything was measured, in a share: where one problem of three comes out differently."""
    padded = problems + 2  # as the interval of paired differences does
    return detectable(sqrt((problems / 3 + 2) / padded / padded))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number, in the order given: below 0.05, a claim holds among them all.

    Holm (1979): the smallest is multiplied by the number of tests, the next by one less, and so on; none may
    be below one that is smaller.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted in the order given: of those below 0.05, one in 20 is expected to be false.

    Benjamini and Hochberg (1995): the largest stays, the next is multiplied by m/(m - 1), down to the
    smallest by m; none may be above one that is larger. Holds for independent and positively dependent tests.
    """
    number = len(p_values)
    adjusted_ps, smallest = [1.0] * number, 1.0
    ranked = sorted(range(number), key=p_values.__getitem__)
    for rank in range(number, 0, -1):
        place = ranked[rank - 1]
        smallest = min(smallest, p_values[place] * number / rank)
        adjusted_ps[place] = smallest
    return adjusted_ps


def adjusted(
    method: Callable[[Sequence[float]], list[float]], p_values: Sequence[float | None]
) -> list[float | None]:
    """P-values adjusted by a method among those that there are; None stays None."""
    found = iter(method([p for p in p_values if p is not None]))
    return [None if p is None else next(found) for p in p_values]
