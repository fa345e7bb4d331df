"""What a run shows while it works."""

import asyncio
import io
import re

import pytest
from rich.console import Console

from coral.cli import live
from coral.cli.live import Display, shown
from coral.errors import Unreachable
from coral.evaluation.progress import Progress
from coral.models.retries import AttemptFailure


def failure(brief):
    return AttemptFailure(kind=Unreachable, message=f"m: {brief}", brief=brief)


async def _show(console, progress, seconds):
    async with shown(progress, console, protocol="coral"):
        await asyncio.sleep(seconds)


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


async def test_where_nobody_looks_it_prints_plain_lines(monkeypatch):
    """A log file gets lines with their time, whole and without control characters; brackets are just text."""
    monkeypatch.setattr(live, "LINE_EVERY_S", 0.02)
    out = io.StringIO()
    progress = Progress(place="runs/a", total=40, kept=5, done=10, in_flight=8)
    progress.retry_state.note(1, failure("no secure connection [SSL: WRONG_VERSION_NUMBER] [/b]"))
    async with shown(progress, Console(file=out, width=40), protocol="coral"):
        while out.getvalue().count("\n") < 3:
            await asyncio.sleep(0.01)
    first, *lines, last = out.getvalue().splitlines()
    assert re.fullmatch(f"{STAMP}resumed runs/a: 5 finished conversations were kept, .*", first)
    assert re.fullmatch(f"{STAMP}15/40 · agreed 0% of 10 new · took 0s", last)
    assert len(lines) >= 2
    for text in lines:
        assert re.match(f"{STAMP}15/40 · ", text)
        assert "1 retrying: no secure connection [SSL: WRONG_VERSION_NUMBER] [/b] · 8 act" in text
        assert text.isprintable()


async def test_a_log_has_its_first_line_before_a_minute_is_over(monkeypatch):
    """The folder and what was kept stand there as soon as they are known, a note as soon as it is made."""
    monkeypatch.setattr(live, "REFRESH_S", 0.01)
    out = io.StringIO()
    progress = Progress()
    async with shown(progress, Console(file=out, width=40), protocol="coral"):
        await asyncio.sleep(0.05)
        assert out.getvalue() == "", "nothing is known yet"
        progress.place, progress.total = "runs/a", 40
        progress.notes.append("temperature is left out")
        await asyncio.sleep(0.05)
        said = re.sub(STAMP, "", out.getvalue())
    assert said == "runs/a: 40 conversations to hold\nnote: temperature is left out\n"


async def test_a_job_that_never_began_leaves_nothing_in_a_log():
    """Its error says all there is to say."""
    out = io.StringIO()
    await _show(Console(file=out, width=40), Progress(), 0.01)
    assert out.getvalue() == ""


@pytest.mark.parametrize(("width", "bar"), [(60, False), (80, True), (120, True), (200, True)])
async def test_on_a_terminal_it_draws_one_line_and_clears_it(width, bar):
    """One line at every width, the count whole, a bar where there is room; nothing of it stays."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True)
    progress = Progress(place="runs/a", total=40, kept=5, done=10, in_flight=8)
    progress.retry_state.note(1, failure("refused [/b]"))
    await _show(console, progress, 0.05)
    drawn = out.getvalue()
    assert ("━" in drawn) is bar
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).replace("\r", "\n")
    assert "resumed runs/a: 5 finished conversations were kept" in plain
    shown_lines = [text for text in plain.splitlines() if "15/40 · " in text and "1 retrying" in text]
    assert shown_lines
    assert all(len(text.rstrip()) <= width for text in shown_lines)
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
