"""Estimates and intervals, against printed tables and sums done by hand."""

from __future__ import annotations

from itertools import product
from math import comb, exp, sqrt
from random import Random

import numpy as np
import pytest

from coral.metrics.bounded import BoundedMean, gamma_sum_deviate
from coral.metrics.claims import adjusted, benjamini_hochberg, detectable, holm
from coral.metrics.distributions import t_cdf, t_quantile
from coral.metrics.paired import paired_difference
from coral.metrics.statistics import clustered_ratio, interval_of, paired_interval, sign_flip_p_value, wilson


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


def test_quantities_get_students_t_on_the_logarithm():
    """1, 2, 3: the same half-width 2.484, over 2: a factor of exp(1.2421) = 3.463 to either side."""
    interval = interval_of(clustered_ratio([1, 2, 3], [1, 1, 1]), "amount")
    assert interval == pytest.approx((2 / 3.4629, 2 * 3.4629), abs=1e-3)


@pytest.mark.parametrize(
    ("numerators", "expected", "why"),
    [
        ([0.0, 0.0, 0.0], (0.0, 0.0), "free of charge everywhere"),
        ([7.0, 7.0, 7.0], (7 - 7 * 0.56150, 7 + 7 * 0.56150), "56.15% is Wilson's limit of none of three"),
    ],
)
def test_quantities_that_are_the_same_everywhere_still_have_a_width(numerators, expected, why):
    """A problem unlike those that were seen may have none, or twice as much; and no logarithm of 0."""
    assert interval_of(clustered_ratio(numerators, [1.0] * 3), "amount") == pytest.approx(
        expected, abs=1e-4
    ), why


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
        below += ratio.value - t_quantile(0.975, problems - 1) * ratio.stderr < 0
        defined += 1
    assert 0.92 <= covered / defined <= 0.98
    assert (below > defined / 2) == (problems * share < 5)


def test_a_p_value_far_out_is_small_and_not_nought():
    """In the far tail 1 - cdf is 0 in floating point, which would stand in tables as a certainty."""
    effects = [1.0] * 450 + [0.0] * 550
    _, p_value = paired_interval(0.45, effects)
    assert 0 < p_value < 1e-100


def test_paired_interval_by_hand():
    """8 pairs: 3 up, 1 down. One more each way: centre (4-2)/10, variance (4+2)/10 - 0.04 over 10."""
    (low, high), p_value = paired_interval(2 / 8, [1, 1, 1, -1, 0, 0, 0, 0])
    half = 1.959964 * sqrt((0.6 - 0.04) / 10)
    assert (low, high) == pytest.approx((0.2 - half, 0.2 + half), abs=1e-6)
    assert p_value == pytest.approx(0.3980, abs=1e-3)  # z = 0.2 / sqrt(0.056) = 0.8452


def test_pseudo_problems_are_as_large_as_the_differences_that_were_seen():
    """Five samples per problem: differences of a fifth are padded by (4/25 + 1/2) / (4/5 + 1/2) = 0.5077."""
    (low, high), _ = paired_interval(0.1, [0.2, 0.2, 0.2, -0.2])
    size, centre = 0.66 / 1.3, 0.4 / 6
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
    ("right", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2269),
        (1, 10, 0.0027, 0.3972),
        (5, 10, 0.1988, 0.8012),
        (10, 10, 0.7731, 1.0),
        (1, 50, 0.0005, 0.0905),
    ],
)
def test_random_weights_of_yes_and_no_are_beta_variables(right, n, low, high):
    """Half a problem more at the far end: the quantiles of Beta(r, n - r + 1/2) and Beta(r + 1/2, n - r)."""
    outcomes = (np.arange(n) < right).astype(float)
    assert BoundedMean(outcomes, np.ones(n), 0.0, 1.0).limits(1.959964) == pytest.approx(
        (low, high), abs=4e-3
    )


def test_the_deviate_of_a_gamma_sum_by_hand():
    """Two exponentials, X < 3Y: P = 3/4, the normal's quantile of which is 0.6745."""
    import numpy as np

    assert gamma_sum_deviate(np.array([1.0, -3.0]), np.ones(2)) == pytest.approx(0.6745, abs=0.01)


@pytest.mark.parametrize(
    ("turns", "low", "high", "why"),
    [
        ([2.0] * 50, 1.95, 2.90, "nobody knows how long a longer one is: up to the limit"),
        ([2.0] * 200, 1.99, 2.23, "the more there are, the less is unknown"),
        ([2.0] * 49 + [3.0], 1.96, 2.72, "one that was seen tells a little of the others"),
        ([2.0] * 40 + [3.0] * 10, 2.09, 2.46, "many tell more"),
        ([20.0] * 50, 19.05, 20.0, "at the other end"),
    ],
)
def test_turns_that_hardly_vary_have_an_honest_interval(turns, low, high, why):
    """Nearly all conversations end at the second turn: the interval has a width, within the bounds."""
    found = interval_of(clustered_ratio(turns, [1.0] * len(turns)), "turns", 20)
    assert found == pytest.approx((low, high), abs=6e-3), why


def test_one_agent_alone_has_one_turn():
    """Where the limit says so, there is nothing to be unsure of."""
    assert interval_of(clustered_ratio([1.0] * 9, [1.0] * 9), "turns", 1) == (1.0, 1.0)


def test_a_score_that_is_1_everywhere_is_not_known_to_be_1():
    """Four persuasive turns, all to a right answer."""
    low, high = interval_of(clustered_ratio([1.0] * 4, [1.0] * 4), "score")
    assert low < 0.5
    assert high == 1.0


def ratios(a, b, denominators=None):
    """Two runs, a problem a number."""
    return (
        clustered_ratio(a, denominators or [1.0] * len(a)),
        clustered_ratio(b, denominators or [1.0] * len(b)),
    )


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("proportion", [1.0] * 20),
        ("rate", [0.0] * 20),
        ("difference", [0.0] * 20),
        ("score", [1.0] * 20),
        ("turns", [2.0] * 20),
        ("amount", [64.0] * 20),
    ],
)
def test_equal_runs_have_an_interval_with_a_width_whatever_is_measured(kind, values):
    """Not a single difference in twenty problems is no proof that there is none; and no evidence of one."""
    found = paired_difference(*ratios(values, values), kind, (20, 20))
    assert found.interval.low < 0 < found.interval.high
    assert found.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("kind", "a", "b"),
    [
        ("proportion", [0.0] * 9 + [1.0], [1.0] * 9 + [0.0]),
        ("rate", [0.1, 0.2, 0.0, 0.4] * 6, [0.5, 0.6, 0.3, 0.6] * 6),
        ("score", [0.0, 0.5] * 6, [1.0, 0.5] * 6),
        ("turns", [2.0, 2.0, 3.0] * 8, [3.0, 2.0, 5.0] * 8),
        ("amount", [10.0, 20.0, 30.0, 25.0] * 3, [14.0, 21.0, 38.0, 27.0] * 3),
    ],
)
def test_the_p_value_and_the_interval_say_the_same(kind, a, b):
    """0 is outside the 95% interval where p is below 0.05, and inside where it is not."""
    strong = paired_difference(*ratios(a, b), kind, (20, 20))
    assert strong.interval.low > 0
    assert strong.p_value < 0.05
    weak = paired_difference(*ratios(a[:3], b[:3]), kind, (20, 20))
    assert weak.interval.low < 0 < weak.interval.high
    assert weak.p_value > 0.05


@pytest.mark.parametrize(
    ("a", "b", "p_value", "why"),
    [
        ([3.0] * 10, [3.0] * 10, 1.0, "equal everywhere"),
        ([3.0] * 4, [5.0] * 4, 2 * 0.5**4, "four problems differ alike: the sign test"),
        ([0.0, 0.0, 0.0], [1.303, 4.303, 7.303], 0.130, "t = 4.303 / (3 / sqrt(3)) = 2.484, 2 degrees"),
    ],
)
def test_the_difference_of_amounts(a, b, p_value, why):
    """Student's t, and the sign test where nothing varies."""
    assert paired_difference(*ratios(a, b), "amount").p_value == pytest.approx(p_value, abs=1e-3), why


def test_tokens_per_right_answer_of_few_right_answers_are_uncertain_to_one_side():
    """One right answer of twenty against ten: the first ratio may be far larger, but not far smaller."""
    rights = [1.0] + [0.0] * 19, [1.0] * 10 + [0.0] * 10
    first, second = (clustered_ratio([1000.0] * 20, right) for right in rights)
    found = paired_difference(first, second, "amount")
    assert found.value == -18_000
    assert found.interval.low < -80_000
    assert -18_000 < found.interval.high < 0
    assert found.p_value < 0.05


@pytest.mark.parametrize(
    ("higher", "lower", "equal", "expected"),
    [
        (6, 0, 34, 1 / 64),  # McNemar's mid-p: half of what is as extreme, and all that is more so
        (10, 0, 0, 1 / 1024),
        (9, 1, 10, 12 / 1024),
        (5, 1, 0, 8 / 64),
        (3, 3, 0, 1.0),
        (0, 0, 5, 1.0),
    ],
)
def test_flipped_signs_by_hand(higher, lower, equal, expected):
    """Two-sided, of effects of one size; their order and size change nothing."""
    effects = np.array([1.0] * higher + [-1.0] * lower + [0.0] * equal)
    assert sign_flip_p_value(effects) == pytest.approx(expected)
    assert sign_flip_p_value(-0.3 * effects[::-1]) == pytest.approx(expected)


def test_flipped_signs_of_effects_of_any_size():
    """As counted over all 256 combinations."""
    effects = np.array([0.3, 0.5, -0.2, 0.9, 0.1, 0.7, 0.8, -0.05])
    sums = np.array([np.dot(signs, np.abs(effects)) for signs in product((1, -1), repeat=8)])
    as_far = np.isclose(np.abs(sums), effects.sum())
    farther = (np.abs(sums) > effects.sum()) & ~as_far
    assert sign_flip_p_value(effects) == pytest.approx(farther.mean() + as_far.mean() / 2)


@pytest.mark.parametrize("problems", [6, 10, 20, 50])
@pytest.mark.parametrize("differing", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("planned", [3, 8, 20])
def test_false_alarms_among_planned_contrasts(problems, differing, planned):
    """Holm asks whether p is below 0.05 / 8: without a difference that is as rare as it says, or nearly. By
    the normal distribution alone it was up to 12 times as frequent where all of six or ten problems differ.
    """
    level, alarms = 0.05 / planned, 0.0
    for higher in range(problems + 1):
        for lower in range(problems + 1 - higher):
            effects = [1.0] * higher + [-1.0] * lower + [0.0] * (problems - higher - lower)
            _, p_value = paired_interval((higher - lower) / problems, effects)
            ways = comb(problems, higher) * comb(problems - higher, lower)
            chance = (differing / 2) ** (higher + lower) * (1 - differing) ** (problems - higher - lower)
            alarms += ways * chance * (p_value < level)
    assert alarms < 2 * level


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),  # 3 x 0.01, 2 x 0.03, and 0.04 is not below that
        ([0.6, 0.0, 0.5], [1.0, 0.0, 1.0]),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    """The smallest times their number, the next times one less, never below a smaller one, at most 1."""
    assert holm(p_values) == pytest.approx(adjusted)


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.05, 0.01, 0.04, 0.02, 0.03], [0.05] * 5),
        ([0.001, 0.03, 0.02, 0.9], [0.004, 0.04, 0.04, 0.9]),
        ([0.6, 0.0, 0.5], [0.6, 0.0, 0.6]),
    ],
)
def test_benjamini_and_hochberg_by_hand(p_values, expected):
    """The largest stays, the next is taken m/(m - 1) times, the smallest m times, none above a larger one."""
    assert benjamini_hochberg(p_values) == pytest.approx(expected)


def test_of_what_benjamini_and_hochberg_find_one_in_twenty_is_false():
    """40 tests, 10 of a true difference of three standard errors: the expected false share is 30/40 of 5%."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(400):
        z = rng.standard_normal(40) + np.where(np.arange(40) < 10, 3.0, 0.0)
        found = np.array(benjamini_hochberg([2 * t_cdf(-abs(one), 1e9) for one in z])) < 0.05
        shares.append(found[10:].sum() / max(1, found.sum()))
    assert np.mean(shares) == pytest.approx(0.0375, abs=0.012)


def test_what_was_not_tested_is_not_adjusted_and_does_not_count():
    """Two p-values among three contrasts are two tests."""
    assert adjusted(holm, [0.01, None, 0.04]) == [0.02, None, 0.04]


def test_the_detectable_difference_is_found_in_8_of_10_cases():
    """A normal estimate with standard error 1 around it leaves the interval of 0 four times of five."""
    rng, true = Random(5), detectable(1.0)
    assert true == pytest.approx(2.8016, abs=1e-4)
    found = sum(abs(rng.gauss(true, 1.0)) > 1.959964 for _ in range(4000)) / 4000
    assert found == pytest.approx(0.8, abs=0.02)
