"""Votes over subsets, and an arm against votes at its own price."""

import random
from itertools import combinations, pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from coral.metrics.votes import NO_VOTE, Sample, majority_vote
from coral.studies.equal_cost import Votes, at_equal_cost, vote_curve

NAN = float("nan")


def by_hand(samples, number):
    """The mean of `majority_vote` over all subsets."""
    votes = [majority_vote(subset) for subset in combinations(samples, number)]
    return sum(votes) / len(votes)


@pytest.mark.parametrize("seed", range(12))
def test_the_curve_is_the_mean_over_all_subsets(seed):
    """The closed form is `majority_vote` averaged over every subset: ties, blanks and ungraded included."""
    rng = random.Random(seed)
    grades = {0.0: 1.0, 1.0: 0.0, 2.0: 0.0, 3.0: rng.choice([0.0, 1.0, NAN]), NO_VOTE: 0.0}
    samples = [Sample(vote, grades[vote]) for vote in rng.choices(list(grades), k=rng.randint(1, 8))]
    curve = vote_curve(samples)
    assert len(curve) == len(samples)
    for number, expected in enumerate((by_hand(samples, m) for m in range(1, len(samples) + 1)), 1):
        assert curve[number - 1] == pytest.approx(expected)


def test_one_sample_is_the_mean_and_all_are_the_vote():
    """The ends of the curve are what the metrics say: the mean of the samples, and their vote."""
    samples = [Sample(0.0, 1.0)] * 3 + [Sample(1.0, 0.0)] * 2 + [Sample(NO_VOTE, NAN)]
    curve = vote_curve(samples)
    assert curve[0] == pytest.approx(3 / 6)
    assert curve[-1] == majority_vote(samples) == 1.0


def test_many_samples_are_fast_and_exact():
    """64 different answers and a right one held by a third: no subset is drawn."""
    samples = [Sample(0.0, 1.0)] * 20 + [Sample(float(1 + n), 0.0) for n in range(44)]
    curve = vote_curve(samples)
    assert curve[0] == pytest.approx(20 / 64)
    assert curve[-1] == 1.0
    assert all(a <= b + 1e-12 for a, b in pairwise(curve))


class _View:
    def __init__(self, columns, problem_of):
        self._columns = columns
        self.problem_of = np.array(problem_of)
        self.failed = np.array([], dtype=np.int64)
        self.tally = SimpleNamespace(without_gold=())

    def column(self, name):
        return np.array(self._columns[name], dtype=float)


def arm(name, rows, problems):
    """An arm by its rows: (problem, vote, right, tokens)."""
    columns = {
        "vote": [row[1] for row in rows],
        "right": [row[2] for row in rows],
        "total_tokens": [row[3] for row in rows],
    }
    view = _View(columns, [row[0] for row in rows])
    sums = {f"p{n}": [0.0, 0.0] for n in range(problems)}
    for row in rows:
        sums[f"p{row[0]}"][0] += row[2]
        sums[f"p{row[0]}"][1] += 1

    places = np.array([row[0] for row in rows])

    def per_conversation(values):
        means = np.bincount(places, weights=values) / np.bincount(places)
        return {f"p{n}": mean for n, mean in enumerate(means.tolist()) if mean == mean}  # noqa: PLR0124

    return SimpleNamespace(
        name=name, view=view, ids={n: f"p{n}" for n in range(problems)}, costs=np.full(len(rows), np.nan),
        clusters={},
        per_conversation=per_conversation,
        parts=lambda _: {problem: tuple(part) for problem, part in sums.items()},
    )  # fmt: skip


def simulated(rng, problems, samples, cost):
    """A pair exactly as good as one vote of `cost` samples, at their price: the true difference is 0."""
    rates = rng.beta(2, 2, problems)
    alone, pair = [], []
    for n, rate in enumerate(rates):
        right = rng.random(samples) < rate
        alone += [(n, 0.0 if yes else 1.0, float(yes), 100 * rng.gamma(4, 0.25)) for yes in right]
        votes = rng.binomial(cost, rate)
        score = 0.5 if 2 * votes == cost else float(2 * votes > cost)
        tokens = 100 * rng.gamma(4 * cost, 0.25)
        pair.append((n, 0.0, float(rng.random() < score), tokens))
    return arm("alone", alone, problems), arm("pair", pair, problems)


@pytest.mark.parametrize("problems", [10, 50, 200])
def test_the_difference_at_equal_cost_holds_the_truth(problems):
    """95 of 100 intervals hold the true difference, at 10, 50 and 200 problems; the price is estimated."""
    rng = np.random.default_rng(problems)
    held, repeats = 0, 200
    for _ in range(repeats):
        alone, pair = simulated(rng, problems, 8, 3)
        found = at_equal_cost(pair, Votes(alone), "tokens")
        held += found.low <= 0 <= found.high
        assert (found.p_value < 0.05) == (not found.low <= 0 <= found.high)
    assert held / repeats > 0.93 - 0.025


def test_prices_beyond_the_curve_are_said():
    """Dearer than all samples: compared with all of them, and marked. Cheaper than one: with one."""
    alone = arm("alone", [(n, 0.0, 1.0, 10.0) for n in range(4) for _ in range(3)], 4)
    dear = arm("pair", [(n, 0.0, float(n > 0), 100.0) for n in range(4)], 4)
    found = at_equal_cost(dear, Votes(alone), "tokens")
    assert (found.samples, found.reached, found.against) == (10.0, False, 1.0)
    cheap = at_equal_cost(arm("pair", [(n, 0.0, 1.0, 5.0) for n in range(4)], 4), Votes(alone), "tokens")
    assert (cheap.samples, cheap.reached, cheap.against) == (0.5, True, 1.0)
    assert at_equal_cost(dear, Votes(alone), "usd") is None


def test_the_points_have_prices_and_denominators():
    """Every point of the curve says samples, tokens and problems."""
    rows = [(n, float((n + s) % 2), float((n + s) % 2 == 0), 10.0) for n in range(4) for s in range(3)]
    points = Votes(arm("alone", rows, 4)).points()
    assert [(point.samples, point.tokens, point.problems) for point in points] == [
        (1, 10.0, 4), (2, 20.0, 4), (3, 30.0, 4),
    ]  # fmt: skip
    assert points[0].accuracy == pytest.approx(0.5)
    assert points[0].low < points[0].accuracy < points[0].high
