"""Variance components: simulated designs of known components, and what to buy."""

import numpy as np
import pytest

import coral
from coral.metrics.components import _without_each, components, mean_squares
from coral.metrics.distributions import f_quantile
from coral.studies.facets import Facets, stderr_of
from coral.studies.matrix_tables import facet_tables

PROBLEM, WORDING, CROSSED, REST = 0.04, 0.01, 0.006, 0.15


def design(rng, problems, wordings, samples):
    """A crossed design of normal effects."""
    shape = (problems, wordings, samples)
    return (
        0.5
        + rng.normal(0, PROBLEM**0.5, (problems, 1, 1))
        + rng.normal(0, WORDING**0.5, (1, wordings, 1))
        + rng.normal(0, CROSSED**0.5, (problems, wordings, 1))
        + rng.normal(0, REST**0.5, shape)
    )


def test_mean_squares_by_hand():
    """Two problems, two wordings, two samples: sums of squares 4.5, 0.5, 0.5 and 2, with 1, 1, 1 and 4
    degrees of freedom."""
    values = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 2.0], [2.0, 3.0]]])
    squares, degrees = mean_squares(values)
    assert degrees == {(0,): 1, (1,): 1, (0, 1): 1, (): 4}
    assert squares == pytest.approx({(0,): 4.5, (1,): 0.5, (0, 1): 0.5, (): 0.5})
    found = {one.name: one.variance for one in components(values, ("problem", "wording"))}
    assert found == pytest.approx({"problem": 1.0, "wording": 0.0, "problem×wording": 0.0, "samples": 0.5})


@pytest.mark.parametrize("levels", [2, 3])
def test_nothing_between_0_and_1_varies_more_than_a_quarter(levels):
    """Two wordings say next to nothing, and yet no share has a variance of 11."""
    rng = np.random.default_rng(1)
    rates = rng.random((30, levels, 1))
    for values in (rates, (rng.random((30, levels, 2)) < rates) * 1.0):
        for one in components(values, ("problem", "wording")):
            assert one.high is None or one.variance <= one.high <= 0.25


def test_wordings_that_come_out_alike_say_nothing_of_others():
    """No interval from 0 to 0: it would claim that wordings never matter."""
    values = np.repeat(np.array([[[1.0, 0.0]], [[0.0, 0.0]], [[1.0, 1.0]], [[1.0, 0.0]]]), 2, axis=1)
    found = {one.name: one for one in components(values, ("problem", "wording"))}
    assert (found["wording"].variance, found["wording"].low, found["wording"].high) == (0.0, None, None)


@pytest.mark.parametrize("problems", [10, 50, 200])
def test_components_are_unbiased_and_their_intervals_hold(problems):
    """Four wordings, three samples. Intervals of Ting and others hold 95 of 100, and some more."""
    rng, true = np.random.default_rng(problems), (PROBLEM, WORDING, CROSSED, REST)
    tables = [design(rng, problems, 4, 3) for _ in range(300)]
    squares = [mean_squares(table)[0] for table in tables]
    raw = np.array([
        [(s[0,] - s[0, 1]) / 12, (s[1,] - s[0, 1]) / (3 * problems), (s[0, 1] - s[()]) / 3, s[()]]
        for s in squares
    ])  # fmt: skip
    assert np.all(np.abs(raw.mean(axis=0) - true) < 4 * raw.std(axis=0) / 300**0.5)
    found = [components(table, ("problem", "wording")) for table in tables]
    said = np.array([[one.variance for one in each] for each in found])
    assert said == pytest.approx(np.maximum(raw, 0.0))
    for place, known in enumerate(true):
        assert np.mean([each[place].low <= known <= each[place].high for each in found]) > 0.92


def yes_no(rng, rate, problems, samples=5, alike=0.3):
    """Right and wrong of problems that differ (Beta), and the true components of problem and samples."""
    size = 1 / alike - 1
    rates = rng.beta(rate * size, (1 - rate) * size, (problems, 1))
    whole = rate * (1 - rate)
    return (rng.random((problems, samples)) < rates).astype(float), (alike * whole, (1 - alike) * whole)


@pytest.mark.parametrize(("rate", "problems"), [(0.1, 50), (0.5, 10), (0.02, 200), (0.98, 200), (0.3, 200)])
def test_intervals_of_right_and_wrong_hold(rate, problems):
    """Normal theory held 23 to 78 of 100 near 0 and 1. The full table is in docs/studies.md."""
    rng, held = np.random.default_rng(round(1000 * rate) + problems), ([], [])
    for _ in range(300):
        values, true = yes_no(rng, rate, problems)
        for place, one in enumerate(components(values, ("problem",))):
            if one.low is not None:
                assert one.low <= one.variance <= one.high
                held[place].append(one.low <= true[place] <= one.high)
    for each in held:
        assert len(each) > 240
        assert np.mean(each) > 0.93 - 0.035  # two standard errors and a half


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5, 0.9])
def test_intervals_of_shares_hold_in_a_matrix(rate):
    """Two samples of each cell are shares, 0, a half or 1, and no more normal than one: of such matrices
    normal theory held 33 of 100 at 0.02, and 69 at 0.1."""
    rng, alike, held = np.random.default_rng(round(1000 * rate)), 0.3, []
    size = 1 / alike - 1
    for _ in range(100):
        rates = rng.beta(rate * size, (1 - rate) * size, 200)
        shares = rng.binomial(2, np.broadcast_to(rates, (3, 3, 200)))[..., None] / 2
        found = {one.name: one for one in components(shares, ("opener", "responder", "problem"))}["problem"]
        if found.low is not None:
            held.append(found.low <= alike * rate * (1 - rate) <= found.high)
    assert len(held) > 90
    assert np.mean(held) > 0.9


def test_mean_squares_without_each_level_are_those_of_the_rest():
    """What is taken off the sums is what leaving a level out does, on every axis."""
    values = (np.random.default_rng(0).random((7, 3, 4, 2)) < 0.4).astype(float)
    for axis in (0, 1, 2):
        without = _without_each(values, axis)
        for level in range(values.shape[axis]):
            rest, _ = mean_squares(np.delete(values, level, axis=axis))
            assert {one: without[one][level] for one in rest} == pytest.approx(rest)


NOTHING_TO_TELL = {
    "nobody is right": np.zeros((20, 5)),
    "all are right": np.ones((20, 5)),
    "two problems have a right answer": np.eye(20, 5) * (np.arange(20)[:, None] < 2),
    "a single problem has all of the variance": np.repeat(np.arange(20)[:, None] < 1, 5, axis=1) * 1.0,
    "all problems are alike": np.tile([1.0, 0.0, 1.0, 0.0], (20, 1)),
    "two problems": np.array([[1.0, 0.0], [0.0, 0.0]]),
}


@pytest.mark.parametrize("case", NOTHING_TO_TELL)
def test_what_problems_do_not_tell_has_no_interval(case):
    """It is said to be not estimable, in place of an interval of no width, or of one that a problem makes."""
    found = components(NOTHING_TO_TELL[case], ("problem",))
    assert (found[0].low, found[0].high) == (None, None)
    rows = facet_tables((Facets("a", ("a",), tuple(found), {}, 0.0, {}, "problem"),))[0].rows
    assert rows[0][3] == f"not estimable from {len(NOTHING_TO_TELL[case])} problems"


def test_the_standard_error_is_that_of_repeated_studies():
    """Other problems, wordings and samples: the spread of the means is what the components say."""
    rng = np.random.default_rng(1)
    tables = [design(rng, 20, 3, 2) for _ in range(1500)]
    levels = {"problem": 20, "wording": 3, "samples": 2}
    said = np.sqrt(np.mean([stderr_of(components(t, ("problem", "wording")), levels) ** 2 for t in tables]))
    assert said == pytest.approx(np.std([table.mean() for table in tables]), rel=0.1)


@pytest.mark.parametrize(
    ("p", "above", "below", "printed"),
    [(0.95, 3, 10, 3.708), (0.975, 5, 5, 7.146), (0.05, 4, 8, 0.1655), (0.975, 2, 1e6, 3.689)],
)
def test_f_quantiles_are_those_of_the_printed_table(p, above, below, printed):
    """Fisher's F to three decimals; over very many degrees of freedom chi-square over its own."""
    assert f_quantile(p, above, below) == pytest.approx(printed, abs=1e-3)


async def test_wordings_are_facets_of_a_study(serve, data, tmp_path):
    """Each arm once per wording; contrasts are of all wordings; the report says what to buy."""
    async with serve(accuracy=0.6) as (url, _):
        found = await coral.study_async(
            {
                "task": {"name": "hi_tom"}, "data": data, "limit": 10, "samples": 2, "max_turns": 4,
                "agent": {"model": "scripted", "base_url": url}, "extractor": {"mode": "rules"},
                "arms": {"alone": {"protocol": "single"}, "pair": {}}, "prompts": ["agent", "same"],
                "output": str(tmp_path / "study"),
            }
        )  # fmt: skip
    assert [arm.name for arm in found.arms] == ["alone.agent", "alone.same", "pair.agent", "pair.same"]
    [contrast] = [one for one in found.contrasts if one.kind == "arms"]
    rates = {arm.name: arm.right.mean for arm in found.arms}
    assert contrast.text == "pair - alone"
    assert contrast.left == pytest.approx((rates["pair.agent"] + rates["pair.same"]) / 2)
    assert contrast.right == pytest.approx((rates["alone.agent"] + rates["alone.same"]) / 2)
    pair = next(one for one in found.facets if one.name == "pair")
    assert pair.levels == {"problem": 10, "wording": 2, "samples": 2}
    assert [one.name for one in pair.components] == ["problem", "wording", "problem×wording", "samples"]
    assert pair.advice in {"problem", "wording", "samples"}
    assert all(one <= pair.stderr + 1e-12 for one in pair.doubled.values())
    assert pair.icc == pair.components[0].share
    report = (tmp_path / "study" / "report.md").read_text()
    assert "## What varies the result" in report
    assert "## What to buy" in report
