"""Which differences a design finds, and how many problems a difference needs: before the money is spent."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from statistics import NormalDist

import numpy as np

from coral import workers
from coral.comparison.facts import MAJORITY, RIGHT, control_of, headline, info_of
from coral.errors import ConfigError
from coral.evaluation.measure import tally_run
from coral.metrics.counts import needs_gold
from coral.metrics.distributions import Z
from coral.metrics.estimate import sums_of
from coral.metrics.info import MetricInfo
from coral.metrics.statistics import TINY, cluster_names, spread_of, unseen_share
from coral.metrics.tally import Tally
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of
from coral.types import Record

MOST = 10_000_000
"""Problems beyond which a design is none."""
BONETT_PRICE = 2
"""Imaginary problems that the interval of a paired difference adds (see `metrics.statistics`)."""


class Design(Record, frozen=True, omit_defaults=False):
    """What is known, or assumed, of two runs on the same problems.

    Attributes:
        source: where it comes from, in words.
        rates: of a and of b.
        correlation: of the two runs' rates on a problem: what pairing is worth.
        spread: standard deviation of a problem's difference.
        problems: of the pilot; 0 where everything is assumed.
        by: the measure; by default what is right of all.
        counted: share of the problems that have something to count, such as a challenged answer. The others
            tell nothing, but must be held to find these.
    """

    source: str
    rates: tuple[float, float]
    correlation: float
    spread: float
    problems: int
    by: str = RIGHT
    counted: float = 1.0

    def detectable(self, problems: int, power: float = 0.8) -> float:
        """The true difference of shares that so many problems find with this probability at 0.05."""
        number = problems * self.counted
        stderr = sqrt(number * self.spread**2 + BONETT_PRICE) / (number + BONETT_PRICE)
        return (Z + NormalDist().inv_cdf(power)) * stderr

    def needed(self, difference: float, power: float = 0.8) -> int | None:
        """The fewest problems that find such a difference; None where more than ten million would not."""
        low, high = 2, MOST
        if self.detectable(high, power) > difference:
            return None
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.detectable(middle, power) <= difference else (middle + 1, high)
        return low


def assumed(rate_a: float, rate_b: float, correlation: float) -> Design:
    """Two runs with one sample per problem, with these rates and this correlation of right and wrong.

    Raises:
        ConfigError: no two such runs can have this correlation.
    """
    for name, value in (("rate_a", rate_a), ("rate_b", rate_b)):
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} must be between 0 and 1 (got {value})", remedy="it is a share")
    variances = rate_a * (1 - rate_a), rate_b * (1 - rate_b)
    both = rate_a * rate_b + correlation * sqrt(variances[0] * variances[1])
    if not max(0.0, rate_a + rate_b - 1) - 1e-9 <= both <= min(rate_a, rate_b) + 1e-9:
        raise ConfigError(
            f"rates of {rate_a:g} and {rate_b:g} cannot correlate by {correlation:g}",
            remedy="give a --correlation nearer to 0",
        )
    variance = max(0.0, rate_a + rate_b - 2 * both - (rate_a - rate_b) ** 2)
    return Design(
        source="assumed", rates=(rate_a, rate_b), correlation=correlation, spread=sqrt(variance), problems=0
    )


def unless_unseen(spread: float, problems: int) -> float:
    """The spread of a pilot's differences; where nothing differed, that of as many as may have been missed.

    Two problems without a difference do not say that 78 problems find 5 points.
    """
    return spread if spread > TINY else sqrt(unseen_share(problems))


async def of_pilot(a: RunFolder, b: RunFolder | None, correlation: float, name: str = RIGHT) -> Design:
    """From one stored run or two.

    Args:
        correlation: with one run: of its rates with those of a run like it; two say it themselves.
        name: a share; by default what is right of all conversations.

    Raises:
        UserError: a folder cannot be read, or the runs share too few problems.
    """
    async with workers.in_use():
        found = [await _rates(one, name) for one in (a, b) if one is not None]
    rates, names, clusters, held = zip(*found, strict=True)
    by = ", by agreement with the majority" if set(names) == {MAJORITY} else ""
    if len(set(names)) > 1 and MAJORITY in names:
        raise ConfigError(
            "only one of the runs has gold answers, so they have no common measure",
            remedy="give two runs of the same data",
        )
    if b is None:
        values = np.array(list(rates[0].values()))
        _check(len(values))
        spread = spread_of(values, cluster_names(list(rates[0]), clusters[0])) * sqrt(2 * (1 - correlation))
        mean = float(values.mean())
        return Design(
            source=f"{a.path}, and a run like it{by}",
            rates=(mean, mean),
            correlation=correlation,
            spread=unless_unseen(spread, len(values)),
            problems=len(held[0]),
            counted=len(values) / len(held[0]),
        )
    both = len(held[0] & held[1])
    return between(rates[0], rates[1], f"{a.path} and {b.path}{by}", clusters[0], both)


def between(
    first: Mapping[str, float],
    second: Mapping[str, float],
    source: str,
    clusters: Mapping[str, str] | None = None,
    held: int | None = None,
) -> Design:
    """From what two runs measured on each problem, by id; problems that one of them lacks are left out.

    Args:
        clusters: of problems that share one with others.
        held: problems of both runs, those included that have nothing to count in one; by default none has.

    Raises:
        ConfigError: they share too few.
    """
    shared = [problem for problem in first if problem in second]
    _check(len(shared))
    problems = held or len(shared)
    a, b = (np.array([each[problem] for problem in shared]) for each in (first, second))
    constant = a.std() == 0 or b.std() == 0
    return Design(
        source=source,
        rates=(float(a.mean()), float(b.mean())),
        correlation=0.0 if constant else float(np.corrcoef(a, b)[0, 1]),
        spread=unless_unseen(spread_of(b - a, cluster_names(shared, clusters or {})), len(shared)),
        problems=problems,
        counted=len(shared) / problems,
    )


async def _rates(
    folder: RunFolder, name: str
) -> tuple[dict[str, float], str, dict[str, str], frozenset[str]]:
    """The metric on each problem of a run, and its name: without gold answers another one than asked for; the
    clusters of the problems, and all of them.
    """
    tally = await tally_run(folder, task_of(folder))
    if name == RIGHT:
        name = _without_gold(tally, folder) or headline(tally.rules, control_of(folder.identity()))
    info = info_of(name, str(folder.path), tally.rules)
    if info.unit != "share":
        raise ConfigError(f"{name} is not a share", remedy="give the name of a share (docs/metrics.md)")
    rates = rates_of(tally, info)
    if not rates and needs_gold(info.numerator):
        raise _ungraded(folder, f"{name} needs one")
    return rates, name, tally.cluster_names, frozenset(tally.problems)


def _without_gold(tally: Tally, folder: RunFolder) -> str:
    """What stands for what is right of all where no problem has a gold answer; empty where one has.

    Raises:
        ConfigError: nothing does, since there is one sample of each problem.
    """
    if not tally.num_problems or len(tally.without_gold) < tally.num_problems:
        return ""
    if tally.num_conversations == tally.num_problems:
        raise _ungraded(folder, "nothing is right or wrong")
    return MAJORITY


def _ungraded(folder: RunFolder, so: str) -> ConfigError:
    return ConfigError(
        f"no problem of {folder.path} has a gold answer, and {so}",
        remedy="take a pilot with --samples 2 or more, whose agreement with the majority stands for it; or "
        "--metric agreement of a pair; or assumed rates (--rate_a 0.6)",
    )


def rates_of(tally: Tally, info: MetricInfo) -> dict[str, float]:
    """A metric on each problem of a run, by its id."""
    sums = sums_of(info, tally.view())
    ids = {number: problem for problem, number in tally.problems.items()}
    each = zip(sums.problems.tolist(), sums.numerators.tolist(), sums.denominators.tolist(), strict=True)
    return {ids[number]: part / whole for number, part, whole in each if whole}


def _check(problems: int) -> None:
    if problems < 2:
        raise ConfigError(
            f"the pilot has {problems} problem{'s' * (problems != 1)} to go by",
            remedy="run at least 20 problems; two runs must be about the same ones",
        )
