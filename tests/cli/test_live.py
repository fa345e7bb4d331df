"""What a run shows while it works."""

import asyncio
import io

import pytest
from rich.console import Console

from coral.cli import live
from coral.cli.live import Display, Rates, clock, describe, shown
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


def line(protocol="coral", *, now=10.0, **counters):
    progress = Stopwatch(**counters)
    rates = Rates(progress)
    progress.now = now
    return describe(progress, rates, protocol)


LINES = [
    ({"in_flight": 8}, "8 active · 0 req/s · 0 tok/s", "nothing is known yet"),
    (
        {"total": 40, "done": 10, "agreed": 5, "in_flight": 8},
        "8 active · 0 req/s · 0 tok/s · agree 50% · 30s left",
        "ten in ten seconds, thirty to go",
    ),
    (
        {"total": 50, "kept": 10, "done": 10, "in_flight": 8},
        "8 active · 0 req/s · 0 tok/s · agree 0% · 30s left",
        "what earlier sessions did says nothing about the pace",
    ),
    (
        {"total": 12, "done": 10, "failed": 8, "agreed": 1, "in_flight": 2},
        "8 failed · 2 active · 0 req/s · 0 tok/s · agree 50% · 2s left",
        "shares are of those that did not fail",
    ),
    (
        {"total": 10, "done": 10, "failed": 10},
        "10 failed · 0 active · 0 req/s · 0 tok/s · 0s left",
        "no share of nothing",
    ),
    (
        {"total": 10, "in_flight": 3, "stopping": True},
        "stopping, 3 to finish · 0 req/s · 0 tok/s",
        "after Ctrl-C",
    ),
]


@pytest.mark.parametrize(("counters", "text", "reason"), LINES, ids=[row[2] for row in LINES])
def test_the_line(counters, text, reason):
    """One line tells what fails, what is under way, how well so far and how long still."""
    assert line(**counters) == text, reason


def test_chain_of_thought_counts_right_ones():
    """One agent agrees with nobody."""
    assert "right 30%" in line("cot", total=40, done=10, right=3)


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
    assert text == "1 retrying: connection refused · 2 active · 0 req/s · 0 tok/s"
    progress.retry_state.settle(request)
    assert "retrying" not in describe(progress, Rates(progress), "coral")


def test_a_long_cause_stays_on_one_line():
    """A server's own words may be a page of HTML."""
    progress = Stopwatch()
    progress.retry_state.note(1, failure("one\ntwo " * 50))
    text = describe(progress, Rates(progress), "coral").split(" · ")[0]
    assert text.startswith("1 retrying: one two one")
    assert len(text) == len("1 retrying: ") + live.LONGEST_CAUSE
    assert text.endswith("…")


async def _show(console, progress, seconds):
    async with shown(progress, console, protocol="coral"):
        await asyncio.sleep(seconds)


async def test_where_nobody_looks_it_prints_plain_lines(monkeypatch):
    """A log file gets a line now and then, whole and without control characters; brackets are just text."""
    monkeypatch.setattr(live, "LINE_EVERY_S", 0.02)
    out = io.StringIO()
    progress = Progress(total=40, kept=5, done=10, in_flight=8)
    progress.retry_state.note(1, failure("no secure connection [SSL: WRONG_VERSION_NUMBER] [/b]"))
    await _show(Console(file=out, width=40), progress, 0.1)
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    for text in lines:
        assert text.startswith(
            "15/40 1 retrying: no secure connection [SSL: WRONG_VERSION_NUMBER] [/b] · 8 act"
        )
        assert text.isprintable()


async def test_on_a_terminal_it_draws_one_line_and_clears_it():
    """The bar is for the eye alone: what the command prints afterwards stands by itself."""
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    progress = Progress(total=40, kept=5, done=10, in_flight=8)
    progress.retry_state.note(1, failure("refused [/b]"))
    await _show(console, progress, 0.05)
    drawn = out.getvalue()
    assert "15/40" in drawn
    assert "1 retrying: refused [/b]" in drawn
    assert drawn.removesuffix("\x1b[?25h").endswith("\x1b[2K"), "the line is erased at the end"


async def test_a_failing_job_is_not_hidden_by_its_display():
    """The display ends with the body, whatever ends it."""
    before = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        async with shown(Progress(), Console(file=io.StringIO()), protocol="coral"):
            raise ZeroDivisionError
    assert asyncio.all_tasks() == before


async def test_one_display_after_another_leaves_no_bar_behind():
    """A bar is gone the moment it ends, also where nothing is awaited: two would draw over each other."""
    out = io.StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    for total in (40, 50):
        display = Display(Progress(total=total), console, protocol="coral")
        display.end()
        console.print("done")
        assert out.getvalue().endswith("\x1b[2Kdone\n"), "it stands on an empty line"
        assert out.getvalue().count("done") == (total - 30) // 10
