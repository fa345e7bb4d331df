"""How often the 95% intervals hold the truth, and how often a comparison finds what is or is not there.

    python benchmarks/coverage.py [--repeats 1000] [--only turns]

Prints the tables of docs/metrics.md: simulated runs of known truth, measured by the functions that every
command uses. Problems differ (Beta, two samples of one problem correlate by 0.3), and of two runs that are
compared four of five problems are as hard for either. Six minutes on one idle core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from coral.metrics.components import components
from coral.metrics.paired import paired_difference
from coral.metrics.statistics import IntervalKind, Ratio, clustered_ratio, interval_of

PROBLEMS = (10, 50, 200)
SAMPLES = (1, 5)
RATES = (0.02, 0.1, 0.5, 0.98)
ALIKE = 0.3
"""Correlation of two samples of one problem."""
LIMIT = 20
Array = np.ndarray


class Runs(NamedTuple):
    """Simulated runs, a row each: numerators and denominators by problem, and the ratio that is true."""

    numerators: Array
    denominators: Array
    truth: float

    def ratios(self) -> Iterator[Ratio]:
        """What a run of each row measures; problems with nothing to count are no part of it."""
        for a, b in zip(self.numerators.tolist(), self.denominators.tolist(), strict=True):
            counted = [(x, y) for x, y in zip(a, b, strict=True) if x or y]
            yield clustered_ratio([x for x, _ in counted], [y for _, y in counted])


Make = Callable[[np.random.Generator, Array, float], Runs]
"""Makes runs of how often something happens: on each problem (repeats x problems x samples), and in all."""


def difficulties(rng: np.random.Generator, rate: float, shape: tuple[int, int, int], at: Array) -> Array:
    """Each problem's own rate, by quantile: `at` places the problems, so two runs can share their places."""
    size = 1 / ALIKE - 1
    sorted_draws = np.sort(rng.beta(rate * size, (1 - rate) * size, 20_001))
    rates = np.interp(at, np.linspace(0, 1, len(sorted_draws)), sorted_draws)
    return np.broadcast_to(rates[:, :, None], shape)


def yes_no(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Right or wrong, once a conversation."""
    return Runs((rng.random(rates.shape) < rates).sum(2).astype(float), ones(rates), rate)


def ones(rates: Array) -> Array:
    return np.full(rates.shape[:2], float(rates.shape[2]))


def per_turn(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """A share of turns, such as unsure ones: a mean over conversations of two to six turns."""
    turns = rng.integers(2, 7, rates.shape)
    return Runs((rng.binomial(turns, rates) / turns).sum(2), ones(rates), rate)


def of_events(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """A share of events, such as conformity: 0.4 events a conversation, three of five without any."""
    events = rng.binomial(1, 0.4, rates.shape)
    return Runs(rng.binomial(events, rates).sum(2).astype(float), events.sum(2).astype(float), rate)


def quality(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Persuasion quality: 0.4 events a conversation that gain 1 (at the rate), else 0.5, 0 or -1."""
    events = rng.binomial(1, 0.4, rates.shape)
    other = rng.choice([0.5, 0.0, -1.0], rates.shape)
    gains = np.where(rng.random(rates.shape) < rates, 1.0, other) * events
    return Runs(gains.sum(2), events.sum(2).astype(float), rate - (1 - rate) / 6)


def gains(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """What a conversation gains: something changes at the rate, three times of four for the better."""
    changed = rng.random(rates.shape) < rates
    better = np.where(rng.random(rates.shape) < 0.75, 1.0, -1.0)
    return Runs((changed * better).sum(2), ones(rates), rate / 2)


def longer(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Turns: two, and at the rate two more on average, up to the limit."""
    more = np.minimum(rng.geometric(0.5, rates.shape), LIMIT - 2)
    turns = 2.0 + more * (rng.random(rates.shape) < rates)
    return Runs(turns.sum(2), ones(rates), 2 + 2 * rate)


def to_the_limit(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Turns: two, and at the rate all of them."""
    turns = np.where(rng.random(rates.shape) < rates, float(LIMIT), 2.0)
    return Runs(turns.sum(2), ones(rates), 2 + (LIMIT - 2) * rate)


def tokens(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Tokens: a long tail, and half as many again at the rate."""
    amounts = 1000 * rng.lognormal(0, 0.8, rates.shape) * (1 + 0.5 * (rng.random(rates.shape) < rates))
    return Runs(amounts.sum(2), ones(rates), 1000 * np.exp(0.32) * (1 + 0.5 * rate))


def tokens_per_right(rng: np.random.Generator, rates: Array, rate: float) -> Runs:
    """Tokens per right answer: right at the rate; wrong conversations are half as long again."""
    right = rng.random(rates.shape) < rates
    amounts = 1000 * rng.lognormal(0, 0.8, rates.shape) * np.where(right, 1.0, 1.5)
    truth = 1000 * np.exp(0.32) * (rate + 1.5 * (1 - rate)) / rate
    return Runs(amounts.sum(2), right.sum(2).astype(float), truth)


class Scenario(NamedTuple):
    name: str
    make: Make
    kind: IntervalKind


SCENARIOS = (
    Scenario("share of conversations", yes_no, "proportion"),
    Scenario("share of turns", per_turn, "rate"),
    Scenario("share of events", of_events, "proportion"),
    Scenario("gain of a conversation", gains, "difference"),
    Scenario("persuasion quality", quality, "score"),
    Scenario("turns, some longer", longer, "turns"),
    Scenario("turns, some to the limit", to_the_limit, "turns"),
    Scenario("tokens", tokens, "amount"),
    Scenario("tokens per right answer", tokens_per_right, "amount"),
)
MOVES = ((0.02, 0.02), (0.98, 0.98), (0.5, 0.5), (0.02, 0.1), (0.5, 0.65), (0.3, 0.9))
"""Rates of the two runs that are compared."""


class Found(NamedTuple):
    """What the intervals of many runs come to.

    Attributes:
        covered: share of the intervals that hold the truth.
        width: median.
        elsewhere: share of the differences whose interval leaves out 0: false alarms, or power.
        measured: share of the runs that have an interval at all.
    """

    covered: float
    width: float
    elsewhere: float
    measured: float


def cover(scenario: Scenario, rate: float, problems: int, samples: int, repeats: int, seed: int = 0) -> Found:
    """Intervals of single runs."""
    rng = np.random.default_rng([seed, problems, samples, round(100 * rate)])
    shape = (repeats, problems, samples)
    runs = scenario.make(rng, difficulties(rng, rate, shape, rng.random(shape[:2])), rate)
    intervals = [interval_of(ratio, scenario.kind, LIMIT) for ratio in runs.ratios()]
    return summed([one for one in intervals if one is not None], runs.truth, repeats)


def compare(
    scenario: Scenario, move: tuple[float, float], problems: int, samples: int, repeats: int, seed: int = 0
) -> Found:
    """Intervals of paired differences. Four of five problems are as hard for either run."""
    rng = np.random.default_rng([seed, problems, samples, *(round(100 * rate) for rate in move)])
    shape = (repeats, problems, samples)
    at = rng.random(shape[:2])
    other = np.where(rng.random(shape[:2]) < 0.8, at, rng.random(shape[:2]))
    a, b = (
        scenario.make(rng, difficulties(rng, rate, shape, place), rate)
        for rate, place in zip(move, (at, other), strict=True)
    )
    intervals = []
    for one in range(repeats):
        either = (a.denominators[one] + b.denominators[one] > 0) | (a.numerators[one] + b.numerators[one] > 0)
        first, second = (
            clustered_ratio(runs.numerators[one][either].tolist(), runs.denominators[one][either].tolist())
            for runs in (a, b)
        )
        found = paired_difference(first, second, scenario.kind, (LIMIT, LIMIT))
        intervals += [found.interval] if found else []
    return summed(intervals, b.truth - a.truth, repeats)


def summed(intervals: list[tuple[float, float]], truth: float, repeats: int) -> Found:
    if not intervals:
        return Found(np.nan, np.nan, np.nan, 0.0)
    low, high = np.array(intervals).T
    held = (low <= truth + 1e-9) & (truth - 1e-9 <= high)
    elsewhere = (low > 0) | (high < 0)
    return Found(held.mean(), float(np.median(high - low)), elsewhere.mean(), len(intervals) / repeats)


def table(title: str, rows: Iterator[list[str]]) -> None:
    """Print a table as its rows are done."""
    columns = [f"{n} × {k}" for n in PROBLEMS for k in SAMPLES]
    print(f"\n| {title} | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 2)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def singles(scenarios: list[Scenario], repeats: int) -> Iterator[list[str]]:
    for scenario in scenarios:
        for rate in RATES:
            cells = [cover(scenario, rate, n, k, repeats) for n in PROBLEMS for k in SAMPLES]
            yield [scenario.name, f"{rate}", *(f"{100 * cell.covered:.1f}" for cell in cells)]


def differences(scenarios: list[Scenario], repeats: int) -> Iterator[list[str]]:
    for scenario in scenarios:
        for move in MOVES:
            cells = [compare(scenario, move, n, k, repeats) for n in PROBLEMS for k in SAMPLES]
            shown = [f"{100 * cell.covered:.1f} ({100 * cell.elsewhere:.0f})" for cell in cells]
            yield [scenario.name, f"{move[0]} → {move[1]}", *shown]


def variances(repeats: int) -> Iterator[list[str]]:
    """Intervals of the variance components of right and wrong: problems, and samples of a problem."""
    for rate in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98):
        cells = []
        for problems in PROBLEMS:
            rng = np.random.default_rng([problems, round(100 * rate)])
            shape = (repeats, problems, SAMPLES[-1])
            outcomes = rng.random(shape) < difficulties(rng, rate, shape, rng.random(shape[:2]))
            found = [components(one.astype(float), ("problem",)) for one in outcomes]
            for place, share in enumerate((ALIKE, 1 - ALIKE)):
                truth = share * rate * (1 - rate)
                said = [one[place] for one in found if one[place].low is not None]
                held = [one.low <= truth <= one.high for one in said]
                share_said = 100 * len(said) / repeats
                cells.append(f"{100 * np.mean(held):.1f} ({share_said:.0f})" if share_said >= 5 else "-")
        yield [f"{rate}", *cells]


def components_table(repeats: int) -> None:
    """Print how often intervals of components hold, at five samples per problem, of so many in 100 runs."""
    columns = [f"{name}, {problems} problems" for problems in PROBLEMS for name in ("problem", "samples")]
    print(f"\n| rate | {' | '.join(columns)} |\n|{' --- |' * (len(columns) + 1)}")
    for row in variances(repeats):
        print(f"| {' | '.join(row)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    options = parser.parse_args()
    chosen = [one for one in SCENARIOS if options.only in one.name]
    table("of 100 intervals hold the truth | rate", singles(chosen, options.repeats))
    table("of 100 differences (leave out 0) | rates", differences(chosen, options.repeats))
    components_table(options.repeats)


if __name__ == "__main__":
    main()
