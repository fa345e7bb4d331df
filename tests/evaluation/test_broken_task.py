"""A run whose task raises: it ends, it can be stopped and resumed, and what is scored later is the same."""

import asyncio
import zlib

import pytest

from coral.api import evaluate_async
from coral.evaluation.measure import score
from coral.evaluation.progress import Progress
from coral.store.folder import RunFolder
from coral.tasks import boundary
from coral.tasks.hi_tom import HiTom
from coral.types import Answered, StopReason, Unreadable

PARTS = ("read", "same", "grade")


def sometimes_raising(method, share):
    """The method, raising for one in `share` of its first arguments, always for the same ones."""

    def raising(self, first, *others):
        if zlib.crc32(first.encode()) % share == 0:
            raise IndexError(f"no {first[:5]!r}")
        return method(self, first, *others)

    return raising


@pytest.fixture(autouse=True)
def _nothing_counted():
    boundary.failures()
    yield
    boundary.failures()


def options(url, data, path):
    agent = {"model": "scripted", "base_url": url}
    return {"agent": agent, "data": data, "output": str(path), "limit": 12, "max_connections": 4}


async def interrupted(serve, data, path):
    """A run that is stopped a few requests after its start."""
    progress = Progress()
    async with serve(latency_s=0.01) as (url, _):
        run = asyncio.create_task(evaluate_async("hi_tom", progress=progress, **options(url, data, path)))
        while progress.requests < 12 and not run.done():
            await asyncio.sleep(0.002)
        progress.stopping = True
        return await run


def numbers(summary):
    """What a summary counts, clocks left out; conversations are summed in any order."""
    return {
        name: (found.mean if found.mean is None else round(found.mean, 9), found.n)
        for name, found in summary.metrics.items()
        if name != "seconds"
    }


@pytest.mark.parametrize("broken", [*PARTS, "all"])
@pytest.mark.parametrize("share", [1, 3], ids=["always", "sometimes"])
async def test_a_task_that_raises_ends_no_run_and_hinders_no_resume(
    serve, data, tmp_path, content, monkeypatch, broken, share
):
    """Whatever part raises, however often: the resumed run is the undisturbed one, and scores the same."""
    for part in PARTS if broken == "all" else [broken]:
        monkeypatch.setattr(HiTom, part, sometimes_raising(getattr(HiTom, part), share))
    async with serve() as (url, _):
        whole = await evaluate_async("hi_tom", **options(url, data, tmp_path / "whole"))
    assert whole.summary.conversations == 12
    assert not whole.summary.failures
    assert boundary.failures()
    stopped = await interrupted(serve, data, tmp_path / "run")
    assert stopped.summary is None
    async with serve() as (url, _):
        resumed = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"))
    assert content(resumed) == content(whole)
    again = await score(RunFolder(tmp_path / "run"), prices=None, regrade=False)
    assert numbers(again) == numbers(resumed.summary) == numbers(whole.summary)


async def test_what_raised_is_stored_as_such(serve, data, tmp_path, monkeypatch):
    """A text whose reader raises is unreadable and says why, an answer whose grader raises has no grade."""
    monkeypatch.setattr(HiTom, "read", sometimes_raising(HiTom.read, 2))
    monkeypatch.setattr(HiTom, "grade", sometimes_raising(HiTom.grade, 2))
    async with serve() as (url, _):
        rules = {"extractor": {"mode": "rules"}}
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"), **rules)
    replies = [turn.reply for one in run.conversations() for turn in one.turns]
    reasons = {reply.belief.reason for reply in replies if isinstance(reply.belief, Unreadable)}
    assert any(reason.startswith("reader failed: IndexError: no ") for reason in reasons)
    assert {reply.correct for reply in replies if isinstance(reply.belief, Answered)} >= {None}


async def always(self, a, b, problem):
    """A comparison that finds everything the same."""
    return True


@pytest.mark.parametrize("then", [always, sometimes_raising(HiTom.same, 1)], ids=["the same", "raises"])
@pytest.mark.parametrize("now", [always, sometimes_raising(HiTom.same, 1)], ids=["the same", "raises"])
async def test_how_a_conversation_ended_stands(serve, data, tmp_path, monkeypatch, then, now):
    """A comparison that failed or ran out of time in the loop may succeed when the run is scored later, and
    the other way round: whoever stopped agreed is an agreement in the table, and nobody else."""
    monkeypatch.setattr(HiTom, "same", then)
    async with serve(stubbornness=1.0, unsure=0.0) as (url, _):
        run = await evaluate_async("hi_tom", **options(url, data, tmp_path / "run"), max_turns=3)
    monkeypatch.setattr(HiTom, "same", now)
    again = await score(RunFolder(tmp_path / "run"), prices=None, regrade=False)
    ends = [one.stop for one in run.conversations()]
    assert StopReason.AGREED in ends
    assert then is always or StopReason.MAX_TURNS in ends
    assert again.metrics["agreement"].mean == pytest.approx(ends.count(StopReason.AGREED) / len(ends))
    for name in ("agreement", "agreement_correctness", "turns", "conversation_gain"):
        assert again.metrics[name].mean == pytest.approx(run.summary.metrics[name].mean)
