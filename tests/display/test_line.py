"""The line that a running job shows."""

import pytest

from coral.display import line as lines
from coral.display.line import Rates, clock, describe, ending, headline_of, opening
from coral.errors import Unreachable
from coral.evaluation.progress import Progress
from coral.models.retries import AttemptFailure


class Stopwatch(Progress):
    """A progress whose time a test sets."""

    now = 0.0

    @property
    def elapsed_s(self):
        return self.now


def failure(brief):
    return AttemptFailure(kind=Unreachable, message=f"m: {brief}", brief=brief)


CLOCK = [
    (0, "0s", "now"),
    (4.4, "4s", "rounded"),
    (59.4, "59s", "still seconds"),
    (59.6, "1:00", "rounds to a minute, not to 60s"),
    (187, "3:07", "seconds have two digits"),
    (3599.7, "1:00:00", "rounds to an hour"),
    (7800, "2:10:00", "hours"),
    (90_061, "25:01:01", "days are hours"),
]


@pytest.mark.parametrize(("seconds", "text", "reason"), CLOCK, ids=[row[2] for row in CLOCK])
def test_the_clock(seconds, text, reason):
    """A duration is read at a glance."""
    assert clock(seconds) == text, reason


def test_rates_follow_what_was_done_since_the_last_look():
    """Half the newest rate, half what was shown before: figures settle and do not jump."""
    progress = Stopwatch()
    rates = Rates(progress)
    progress.now, progress.requests, progress.completion_tokens = 2.0, 20, 4000
    rates.look()
    assert (rates.requests, rates.tokens) == (5.0, 1000.0)
    progress.now, progress.requests, progress.completion_tokens = 4.0, 40, 8000
    rates.look()
    assert (rates.requests, rates.tokens) == (7.5, 1500.0)


def test_two_looks_in_the_same_moment_divide_by_nothing():
    """The second one leaves the figures as they are."""
    progress = Stopwatch()
    rates = Rates(progress)
    progress.requests = 10
    rates.look()
    assert rates.requests == 0.0


def line(protocol="coral", width=None, *, now=10.0, **counters):
    progress = Stopwatch(**counters)
    rates = Rates(progress)
    progress.now = now
    return describe(progress, rates, protocol, width)


LINES = [
    ({"in_flight": 8}, "0/? · 8 active · 0 req/s · 0 tok/s", "nothing is known yet"),
    (
        {"total": 40, "done": 10, "scored": 10, "graded": 10, "right": 5, "in_flight": 8},
        "10/40 · agreed and right 50% · 30s left · 8 active · 0 req/s · 0 tok/s",
        "ten in ten seconds, thirty to go",
    ),
    (
        {"total": 50, "kept": 10, "done": 10, "scored": 10, "graded": 10, "in_flight": 8},
        "20/50 · agreed and right 0% of 10 new · 30s left · 8 active · 0 req/s · 0 tok/s",
        "what earlier sessions did says nothing about the pace, and is not in the figure",
    ),
    (
        {"total": 12, "done": 10, "failed": 8, "scored": 2, "graded": 2, "right": 1, "in_flight": 2},
        "10/12 · agreed and right 50% · 2s left · 8 failed · 2 active · 0 req/s · 0 tok/s",
        "shares are of those that did not fail",
    ),
    (
        {"total": 10, "done": 10, "failed": 10},
        "10/10 · 0s left · 10 failed · 0 active · 0 req/s · 0 tok/s",
        "no share of nothing",
    ),
    (
        {"total": 10, "in_flight": 3, "stopping": True},
        "0/10 · stopping, 3 to finish · 0 req/s · 0 tok/s",
        "after Ctrl-C",
    ),
]


@pytest.mark.parametrize(("counters", "text", "reason"), LINES, ids=[row[2] for row in LINES])
def test_the_line(counters, text, reason):
    """The count and the headline first; then how long still, what fails, what is under way and how fast."""
    assert line(**counters) == text, reason


LARGE = {
    "total": 1_000_000, "kept": 300_000, "done": 412_345, "failed": 1234, "scored": 411_111,
    "graded": 411_111, "right": 277_000, "in_flight": 256,
}  # fmt: skip
WIDTHS = [
    (
        200,
        (
            "712345/1000000 · agreed and right 67% of 411111 new · 7s left · 1234 failed · 256 active"
            " · 0 req/s · 0 tok/s"
        ),
    ),
    (90, "712345/1000000 · agreed and right 67% of 411111 new · 7s left · 1234 failed · 256 active"),
    (80, "712345/1000000 · agreed and right 67% of 411111 new · 7s left · 1234 failed"),
    (60, "712345/1000000 · agreed and right 67% · 1234 failed"),
    (10, "712345/1000000 · 1234 failed"),
]  # fmt: skip


@pytest.mark.parametrize(("width", "text"), WIDTHS)
def test_a_narrow_line_leaves_out_whole_figures_and_cuts_none(width, text):
    """Rates go first, the count and failures never; no figure is cut in the middle."""
    assert line(width=width, **LARGE) == text


@pytest.mark.parametrize("width", range(10, 140))
def test_a_count_is_never_cut(width):
    """At every width the line begins with the whole count, and fits where more than that is there."""
    text = line(width=width, **LARGE)
    assert text.startswith("712345/1000000 · ")
    assert len(text) <= max(width, len("712345/1000000 · 1234 failed"))


def test_a_cause_of_retries_goes_before_that_there_are_some():
    """Of a long cause the number of retries is left."""
    progress = Stopwatch(total=40, in_flight=2)
    progress.retry_state.note(1, failure("connection refused by the server"))
    assert describe(progress, Rates(progress), "coral", 30) == "0/40 · 1 retrying"


def test_chain_of_thought_counts_right_ones():
    """One agent agrees with nobody."""
    assert "· right 30% ·" in line("cot", total=40, done=10, scored=10, graded=10, right=3)


def test_what_has_no_grade_is_not_in_the_figure():
    """As in the table: an unknown grade is neither right nor wrong."""
    assert (
        headline_of(Progress(total=40, done=10, scored=4, graded=4, right=3), "coral")
        == "agreed and right 75%"
    )
    assert headline_of(Progress(total=40), "coral") == ""


def test_without_gold_answers_agreement_is_the_figure():
    """Nothing is right or wrong there, so nothing says 0% right."""
    ungraded = Progress(total=40, done=10, agreed=5, scored=5)
    assert headline_of(ungraded, "coral") == "agreed 50%"
    assert headline_of(ungraded, "cot") == headline_of(ungraded, "") == ""


def test_beside_a_control_partner_the_last_answer_is_the_figure():
    """Agreeing with one that says what it was told to is no success, and not agreeing no failure."""
    counters = {"total": 40, "done": 10, "agreed": 3, "scored": 4, "last_answer_counts": True}
    assert headline_of(Progress(**counters, graded=4, right=3), "coral") == "last answer right 75%"
    assert headline_of(Progress(**counters), "coral") == ""


OPENINGS = [
    ({"total": 40}, "runs/a: 40 conversations to hold"),
    ({"total": 1}, "runs/a: 1 conversation to hold"),
    (
        {"total": 40, "kept": 5},
        "resumed runs/a: 5 finished conversations were kept, 35 conversations to hold",
    ),
    (
        {"total": 40, "kept": 5, "replayed": 7},
        (
            "resumed runs/a: 5 finished conversations and 7 replies of unfinished ones were kept, "
            "35 conversations to hold"
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("counters", "text"), OPENINGS)
def test_the_first_line_says_where_and_what_was_kept(counters, text):
    """A log file tells from its first line what this session adds to what there is."""
    assert opening(Progress(place="runs/a", **counters)) == text


def test_the_last_line_says_what_came_of_it():
    """The headline, what failed, and how long it took."""
    progress = Stopwatch(place="runs/a", total=40, done=40, failed=2, scored=38, graded=38, right=19)
    progress.now = 187.0
    assert ending(progress, "coral") == "40/40 · agreed and right 50% · 2 failed · took 3:07"


def test_many_tokens_are_told_in_thousands():
    """Half of 30,000 tokens in 10 s at the first look."""
    progress = Stopwatch()
    rates = Rates(progress)
    progress.now, progress.completion_tokens = 10.0, 30_000
    assert "1.5k tok/s" in describe(progress, rates, "coral")


def test_why_requests_are_sent_again_is_told_while_they_are():
    """A server that died in mid-run is seen at once, not when the run is over."""
    progress = Stopwatch(in_flight=2)
    request = object()
    progress.retry_state.note(request, failure("connection refused"))
    text = describe(progress, Rates(progress), "coral")
    assert text == "0/? · 1 retrying: connection refused · 2 active · 0 req/s · 0 tok/s"
    progress.retry_state.settle(request)
    assert "retrying" not in describe(progress, Rates(progress), "coral")


def test_a_long_cause_stays_on_one_line():
    """A server's own words may be a page of HTML."""
    progress = Stopwatch()
    progress.retry_state.note(1, failure("one\ntwo " * 50))
    text = describe(progress, Rates(progress), "coral").split(" · ")[1]
    assert text.startswith("1 retrying: one two one")
    assert len(text) == len("1 retrying: ") + lines.LONGEST_CAUSE
    assert text.endswith("…")
