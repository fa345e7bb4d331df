"""What an audited sample says of all: hand-worked values, and intervals that hold in simulations."""

import numpy as np
import pytest

from coral.audits.statistics import CERTAIN, Audited, Pair, agreement_of, between, headline, share_of


def arm(first, rows, second, strata=None, problems=None):
    number = len(first)
    return Audited(
        problems=np.arange(number) if problems is None else np.array(problems),
        strata=np.zeros(number, int) if strata is None else np.array(strata),
        first=np.array(first, float),
        rows=np.array(rows, int),
        second=np.array(second, float),
    )


def test_what_was_read_of_all_is_corrected_by_the_sample():
    """6 of 10 read as right; of 5 read again one is wrongly right: 0.6 - 1/5."""
    found = headline(arm([1] * 6 + [0] * 4, [0, 1, 2, 6, 7], [0, 1, 1, 0, 0]))
    assert (found.plain, found.off, found.corrected) == (0.6, pytest.approx(-0.2), pytest.approx(0.4))


def test_errors_weigh_by_their_stratum():
    """Of 8 read as right 2 were read again, one wrongly right: it stands for 4 of all 10."""
    found = headline(arm([1] * 8 + [0] * 2, [0, 1, 8, 9], [0, 1, 0, 0], strata=[0] * 8 + [1] * 2))
    assert found.off == pytest.approx(-0.4)


def test_a_stratum_that_nobody_read_is_counted_to_the_largest():
    """Labels may be unfinished: the weights still sum to 1, the largest stratum carries the rest."""
    one = arm([1] * 6 + [0] * 2 + [0] * 2, [0, 1, 6], [0, 1, 0], strata=[0] * 6 + [1] * 2 + [2] * 2)
    assert one.weights.tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_errors_say_nothing_of_conversations_in_which_nothing_was_read():
    """6 of 10 read as right, 4 failed: one error in 3 of the 6 is 0.2 of all, and nothing of the failed."""
    one = arm([1] * 6 + [0] * 4, [0, 1, 2], [0, 1, 1], strata=[0] * 6 + [CERTAIN] * 4)
    assert one.weights.tolist() == pytest.approx([0.2] * 3)
    assert headline(one).corrected == pytest.approx(0.4)
    whole = arm([1] * 6 + [0] * 4, range(6), [0, 1, 1, 1, 1, 1], strata=[0] * 6 + [CERTAIN] * 4)
    assert (headline(whole).off_low, headline(whole).off_high) == pytest.approx((-0.1, -0.1))


def test_the_corrected_interval_holds_where_many_failed():
    """Half of the conversations failed, and of the others a fifth of what is right was missed."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        one = drawn(rng, 200, 50, 0.6, 0.2, 0.05)
        failed = np.full(200, CERTAIN)
        both = arm(
            np.concatenate([one.first, np.zeros(200)]), one.rows, one.second,
            strata=np.concatenate([one.strata, failed]),
        )  # fmt: skip
        found = headline(both)
        held += found.low <= 0.3 <= found.high
    assert held >= 182


def test_an_audit_of_all_leaves_no_doubt_about_reading():
    """All read again: the corrected headline is the reference's, and its interval that of a share."""
    first, second = [1, 1, 1, 0, 0] * 8, [1, 1, 0, 0, 1] * 8
    found = headline(arm(first, range(40), second))
    plain = headline(arm(second, range(40), second))
    assert found.corrected == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))


def test_a_sample_without_errors_still_leaves_doubt():
    """No error in 20 of 1,000 does not say that there is none: the interval is wider than the plain one."""
    first = [1] * 500 + [0] * 500
    found = headline(arm(first, range(490, 510), [1] * 10 + [0] * 10))
    assert found.corrected == 0.5
    assert found.high - found.low > 1.5 * (found.plain_high - found.plain_low)
    assert found.off_low < 0 < found.off_high


@pytest.mark.parametrize(
    ("table", "agreement", "kappa"),
    [
        # Cohen's kappa of (20, 5; 10, 15): po = 0.7, pe = 0.5*0.6 + 0.5*0.4 = 0.5
        (
            {("right", "right"): 20, ("right", "wrong"): 5, ("wrong", "right"): 10, ("wrong", "wrong"): 15},
            0.7, 0.4,
        ),
        ({("right", "right"): 25, ("wrong", "wrong"): 25}, 1.0, 1.0),
        ({("right", "wrong"): 25, ("wrong", "right"): 25}, 0.0, -1.0),
        ({("right", "right"): 50}, 1.0, None),  # nothing varies: no agreement beyond chance can be told
    ],
)  # fmt: skip
def test_kappa(table, agreement, kappa):
    """Agreement beyond chance, by Cohen's own formula."""
    pairs = [Pair(0, 1.0, kinds, kinds[0] == kinds[1]) for kinds, n in table.items() for _ in range(n)]
    found = agreement_of(("a", "b"), [pair._replace(problem=i) for i, pair in enumerate(pairs)])
    assert found.agreement.value == pytest.approx(agreement)
    assert found.kappa == (None if kappa is None else pytest.approx(kappa))


def test_two_wrong_answers_are_no_agreement():
    """Readers who find two different wrong answers do not agree, though both say wrong."""
    pairs = [Pair(i, 1.0, ("wrong", "wrong"), False) for i in range(10)]
    pairs += [Pair(10 + i, 1.0, ("right", "right"), True) for i in range(10)]
    found = agreement_of(("a", "b"), pairs)
    assert (found.agreement.value, found.kappa) == (0.5, pytest.approx(0.0))


def test_weights_decide_a_share():
    """A text that stands for three counts three times."""
    found = share_of([(0, 3.0, 1.0), (1, 1.0, 0.0)])
    assert (found.value, found.n, found.problems) == (0.75, 2, 2)
    assert share_of([]).value is None


def drawn(rng, conversations, audited, rate, missed, invented):
    """An arm whose reading misses right answers and invents some, sampled from both strata."""
    truth = rng.random(conversations) < rate
    read = np.where(truth, rng.random(conversations) >= missed, rng.random(conversations) < invented)
    rows = []
    for stratum in (False, True):
        places = np.flatnonzero(read == stratum)
        least = min(len(places), max(5, round(audited * len(places) / conversations)))
        rows += rng.permutation(places)[:least].tolist()
    return arm(read.astype(float), sorted(rows), truth[sorted(rows)], strata=read.astype(int))


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.98])
@pytest.mark.parametrize(("missed", "invented"), [(0.0, 0.0), (0.02, 0.02), (0.2, 0.05)])
@pytest.mark.parametrize(("conversations", "audited"), [(50, 10), (200, 50), (500, 200)])
def test_the_corrected_interval_holds(rate, missed, invented, conversations, audited):
    """At least 93 of 100 hold the truth, whatever the errors; small samples are on the safe side."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(200):
        found = headline(drawn(rng, conversations, audited, rate, missed, invented))
        held += found.low <= rate <= found.high
    assert held >= 182  # 186 would be 93%; 2.5 standard deviations of 200 draws less


@pytest.mark.parametrize(("errors", "expected"), [((0.0, 0.0), False), ((0.3, 0.0), True)])
def test_differences_that_reading_alone_could_produce_are_marked(errors, expected):
    """One arm is read 20 points lower: truly so, or since a third of its right answers was missed."""
    rng = np.random.default_rng(3)
    rate = 0.7 if expected else 0.5
    a, b = drawn(rng, 400, 150, 0.7, 0, 0), drawn(rng, 400, 150, rate, *errors)
    ids = [f"p{i}" for i in range(400)]
    found = between(("b", b), ("a", a), (ids, ids))
    assert found.plain < -0.1
    assert found.reading_alone is expected
    assert (found.low <= 0 <= found.high) is expected


def test_the_interval_of_a_difference_holds():
    """Two arms with errors of their own, 10 points apart: at least 93 of 100 hold the truth."""
    rng = np.random.default_rng(11)
    ids = [f"p{i}" for i in range(300)]
    held = 0
    for _ in range(200):
        a, b = drawn(rng, 300, 100, 0.6, 0.1, 0.05), drawn(rng, 300, 100, 0.5, 0.02, 0.1)
        found = between(("a", a), ("b", b), (ids, ids))
        held += found.low <= 0.1 <= found.high
    assert held >= 182
