"""Estimates and intervals, against printed tables and sums done by hand."""

from __future__ import annotations

from math import exp, sqrt
from random import Random

import pytest

from coral.metrics.statistics import (
    clustered_ratio,
    interval_of,
    paired_interval,
    t_cdf,
    t_interval,
    t_quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("p", "df", "expected"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.95, 5, 2.015),
        (0.975, 10, 2.228),
        (0.995, 10, 3.169),
        (0.975, 19, 2.093),
        (0.975, 30, 2.042),
        (0.9, 60, 1.296),
        (0.975, 120, 1.980),
        (0.975, 1e6, 1.960),
        (0.5, 7, 0.0),
        (0.025, 10, -2.228),
    ],
)
def test_t_quantiles_are_those_of_the_printed_table(p, df, expected):
    """Student's t to the three decimals that books print."""
    assert t_quantile(p, df) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("df", [1, 2, 3.5, 30, 5000])
@pytest.mark.parametrize("p", [0.001, 0.2, 0.5, 0.9, 0.9999])
def test_t_quantile_inverts_the_distribution_function(p, df):
    """cdf(quantile(p)) = p."""
    assert t_cdf(t_quantile(p, df), df) == pytest.approx(p, abs=1e-10)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),
        (20, 20, 0.8389, 1.0),
        (10, 20, 0.2993, 0.7007),
        (1, 10, 0.0179, 0.4042),
        (81, 263, 0.2553, 0.3662),
    ],
)
def test_independent_proportions_get_the_textbook_wilson_interval(right, n, low, high):
    """One sample a problem: the effective size is the number of problems, and 0/20 has a width."""
    ratio = clustered_ratio([1.0] * right + [0.0] * (n - right), [1.0] * n)
    interval = interval_of(ratio, "proportion")
    assert interval == pytest.approx((low, high), abs=5e-5)


def test_stderr_is_the_sample_standard_error_without_clusters():
    """0, 0, 1, 1: sd = sqrt(1/3), divided by sqrt(4)."""
    ratio = clustered_ratio([0, 0, 1, 1], [1, 1, 1, 1])
    assert ratio.stderr == pytest.approx(sqrt(1 / 3) / 2)


def test_stderr_counts_problems_not_samples():
    """Copying every sample ten times adds no information."""
    once = clustered_ratio([0, 0, 1, 1], [1, 1, 1, 1])
    tenfold = clustered_ratio([0, 0, 10, 10], [10, 10, 10, 10])
    assert tenfold.stderr == pytest.approx(once.stderr)
    assert interval_of(tenfold, "proportion") != interval_of(
        clustered_ratio([1.0] * 20 + [0.0] * 20, [1.0] * 40), "proportion"
    )


def test_stderr_of_a_ratio_by_hand():
    """R = 3/6. Residuals (1 - 0.5*4)/6 and (2 - 0.5*2)/6, so se = sqrt(2/1 * 2/36) = 1/3."""
    ratio = clustered_ratio([1, 2], [4, 2])
    assert (ratio.value, ratio.stderr) == (0.5, pytest.approx(1 / 3))


@pytest.mark.parametrize(
    ("numerators", "denominators", "value", "why"),
    [
        ([], [], None, "nothing measured"),
        ([0.0], [0.0], None, "a share of nothing is no number"),
        ([1.0], [2.0], 0.5, "one problem has a mean and no spread"),
    ],
)
def test_too_little_to_say(numerators, denominators, value, why):
    """Fewer than two problems have neither standard error nor interval."""
    ratio = clustered_ratio(numerators, denominators)
    assert (ratio.value, ratio.stderr, interval_of(ratio, "proportion")) == (value, None, None), why


def test_scores_get_students_t():
    """1, 2, 3: mean 2, se 1/sqrt(3), t(2 df) = 4.303."""
    interval = interval_of(clustered_ratio([1, 2, 3], [1, 1, 1]), "t")
    assert interval == pytest.approx((2 - 4.3027 / sqrt(3), 2 + 4.3027 / sqrt(3)), abs=1e-3)


def test_quantities_get_students_t_on_the_logarithm():
    """1, 2, 3: the same half-width 2.484, over 2: a factor of exp(1.2421) = 3.463 to either side."""
    interval = interval_of(clustered_ratio([1, 2, 3], [1, 1, 1]), "amount")
    assert interval == pytest.approx((2 / 3.4629, 2 * 3.4629), abs=1e-3)


@pytest.mark.parametrize(
    ("numerators", "expected", "why"),
    [
        ([0.0, 0.0, 0.0], (0.0, 0.0), "free of charge everywhere"),
        ([7.0, 7.0, 7.0], (7.0, 7.0), "the same everywhere"),
    ],
)
def test_quantities_without_spread_have_no_width(numerators, expected, why):
    """A logarithm of 0 is not asked for."""
    assert interval_of(clustered_ratio(numerators, [1.0] * 3), "amount") == expected, why


def test_two_problems_give_a_wide_but_finite_interval():
    """All the right answers in one of two problems: next to nothing is known, and nothing overflows."""
    low, high = interval_of(clustered_ratio([1e-9, 1e9], [1.0, 0.0]), "amount")
    assert 0 < low < high < 1e30


def test_problems_that_never_vary_count_once_each():
    """Two problems with ten equal samples each: the interval is that of two trials, not of twenty."""
    ratio = clustered_ratio([10.0, 10.0], [10.0, 10.0])
    assert interval_of(ratio, "proportion") == wilson(1.0, 2)


def test_the_effective_size_by_hand():
    """4 problems with 8, 2, 6, 4 of 10 right: se² = 4/3 * 20/1600, so 20 trials times (t(39)/t(3))²."""
    ratio = clustered_ratio([8.0, 2.0, 6.0, 4.0], [10.0] * 4)
    assert interval_of(ratio, "proportion") == pytest.approx(
        wilson(0.5, 20 * (2.0227 / 3.1824) ** 2), abs=1e-4
    )


def test_the_effective_size_is_at_most_the_number_of_samples():
    """20 problems with 5 of 10 right, but for a 6 and a 4: less spread than chance adds nothing."""
    ratio = clustered_ratio([6.0, 4.0, *[5.0] * 18], [10.0] * 20)
    assert interval_of(ratio, "proportion") == wilson(0.5, 200)
    assert interval_of(ratio, "rate") == pytest.approx((0.5, 0.5), abs=0.02)


def test_an_interval_contains_its_share():
    """Also where the effective size is large or the share extreme."""
    for right in range(51):
        ratio = clustered_ratio([1.0] * right + [0.0] * (50 - right), [1.0] * 50)
        low, high = interval_of(ratio, "proportion")
        assert 0 <= low <= ratio.value <= high <= 1


def test_clustered_intervals_cover_the_truth():
    """Forty problems of unequal difficulty, five samples each: 95 of 100 intervals hold the truth."""
    rng, covered, rounds = Random(7), 0, 400
    for _ in range(rounds):
        difficulty = [rng.choice((0.1, 0.5, 0.9)) for _ in range(40)]
        rights = [float(sum(rng.random() < p for _ in range(5))) for p in difficulty]
        low, high = interval_of(clustered_ratio(rights, [5.0] * 40), "proportion")
        covered += low <= 0.5 <= high
    assert 0.92 <= covered / rounds <= 0.98


@pytest.mark.parametrize(("problems", "share"), [(8, 0.5), (20, 0.1), (40, 0.3), (40, 0.7)])
def test_tokens_per_right_answer_cover_the_truth_and_never_reach_below_zero(problems, share):
    """Long-tailed token counts, wrong conversations half as long again, few right ones: 95 of 100 intervals
    hold the truth. The plain interval reaches below 0 in most runs of 20 problems with 2 right ones.
    """
    rng, covered, defined, below = Random(11), 0, 0, 0
    mean = 1000 * exp(0.8**2 / 2)
    truth = (share + (1 - share) * 1.5) * mean / share
    for _ in range(500):
        rights = [float(rng.random() < share) for _ in range(problems)]
        tokens = [1000 * rng.lognormvariate(0, 0.8) * (1.5 - 0.5 * right) for right in rights]
        ratio = clustered_ratio(tokens, rights)
        if ratio.value is None:
            continue  # nothing right: no value, and no interval
        low, high = interval_of(ratio, "amount")
        assert 0 < low < ratio.value < high
        covered += low <= truth <= high
        below += interval_of(ratio, "t").low < 0
        defined += 1
    assert 0.92 <= covered / defined <= 0.98
    assert (below > defined / 2) == (problems * share < 5)


def test_paired_interval_by_hand():
    """8 pairs: 3 up, 1 down. One more each way: centre (4-2)/10, variance (4+2)/10 - 0.04 over 10."""
    (low, high), p_value = paired_interval(2 / 8, [1, 1, 1, -1, 0, 0, 0, 0])
    half = 1.959964 * sqrt((0.6 - 0.04) / 10)
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert p_value == pytest.approx(0.3980, abs=1e-3)  # z = 0.2 / sqrt(0.056) = 0.8452


def test_pseudo_problems_are_as_large_as_the_differences_that_were_seen():
    """Five samples a problem: differences of one fifth are padded by (4/25 + 1/4) / (4/5 + 1/4) = 0.3905."""
    (low, high), _ = paired_interval(0.1, [0.2, 0.2, 0.2, -0.2])
    size, centre = 0.41 / 1.05, 0.4 / 6
    half = 1.959964 * sqrt((0.16 + 2 * size**2) / 6 - centre**2) / sqrt(6)
    assert (low, high) == pytest.approx((centre - half, centre + half), abs=1e-6)


def test_what_conversations_gain_has_the_interval_of_paired_differences():
    """3 of 8 conversations gained and 1 lost: the same as two runs that differ so."""
    ratio = clustered_ratio([1.0, 1.0, 1.0, -1.0, 0.0, 0.0, 0.0, 0.0], [1.0] * 8)
    expected, _ = paired_interval(2 / 8, [1, 1, 1, -1, 0, 0, 0, 0])
    assert interval_of(ratio, "difference") == pytest.approx(expected)


def test_equal_runs_are_not_known_to_be_exactly_equal():
    """Twenty ties leave an interval around 0, and no evidence of a difference."""
    (low, high), p_value = paired_interval(0.0, [0.0] * 20)
    assert low < 0 < high
    assert p_value == 1.0


@pytest.mark.parametrize(
    ("difference", "stderr", "df", "p_value", "why"),
    [
        (0.0, 0.0, 9, 1.0, "equal everywhere"),
        (2.0, 0.0, 3, 2 * 0.5**4, "four problems differ alike: the sign test"),
        (4.303, 1.0, 2, 0.05, "the 5 % point of two degrees of freedom"),
    ],
)
def test_t_interval(difference, stderr, df, p_value, why):
    """The p-value of a mean difference."""
    assert t_interval(difference, stderr, df)[1] == pytest.approx(p_value, abs=1e-4), why
