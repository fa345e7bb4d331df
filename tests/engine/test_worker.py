"""What an unexpected error on the engine's thread costs: one request, those in work, or the engine."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
import weakref

import pytest

from coral.engine import llama, worker
from coral.engine.model import EmbeddedModel, EngineLimits
from coral.errors import FatalReject, Rejected, Unreachable

BUG = "{% if 'poison' in messages[-1].content %}{{ 1 // 0 }}{% endif %}"


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Tracebacks of provoked errors are not printed."""
    caplog.set_level(logging.CRITICAL, logger="coral.engine.worker")


@pytest.fixture
def buggy_folder(tmp_path, folder):
    """A folder whose chat template has a bug that some messages meet."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    template = tmp_path / "chat_template.jinja"
    template.write_text(BUG + template.read_text())
    return tmp_path


def fail_steps(monkeypatch, *, times, after=0, beside=1):
    """Let forward passes fail, as a bug or a full memory would: `times` of them, `after` so many more.

    The first pass waits for `beside` requests, so that all of these are there when it fails.
    """
    passes, posted = itertools.count(), itertools.count(1)
    whole, post, all_posted = llama.Llama.forward, worker.Worker.post, threading.Event()

    def count(self, ticket):
        post(self, ticket)
        if next(posted) >= beside:
            all_posted.set()

    monkeypatch.setattr(worker.Worker, "post", count)

    def forward(self, batch):
        assert all_posted.wait(60)
        if after <= next(passes) < after + times:
            raise MemoryError("no room for scores")
        return whole(self, batch)

    monkeypatch.setattr(llama.Llama, "forward", forward)


def texts(generation):
    return [candidate.text for candidate in generation.candidates]


async def failure_beside_others(folder, ask):
    """What a poisoned request meets, whose neighbours are answered."""
    async with EmbeddedModel(folder) as model:
        requests = [ask(text, max_tokens=30) for text in ("fine", "poison", "fine")]
        first, failed, last = await asyncio.gather(*map(model.generate, requests), return_exceptions=True)
        assert first.candidates[0].text == last.candidates[0].text
        assert model.defect is None
    assert isinstance(failed, Rejected)
    assert not isinstance(failed, FatalReject), "it does not stop a run"
    return failed


async def test_a_bug_of_the_chat_template_fails_the_request_that_meets_it(buggy_folder, ask):
    """A template is the folder's: its mistake is a refusal that names the cause, as a client's mistake is."""
    failed = await failure_beside_others(buggy_folder, ask)
    assert "the chat template fails on these messages: ZeroDivisionError: integer division" in str(failed)
    assert failed.status == 400


async def test_an_error_while_preparing_a_request_is_its_own(folder, ask, monkeypatch, caplog):
    """Also what nobody foresaw fails one request, with the cause; its traceback is logged once."""
    caplog.set_level(logging.ERROR, logger="coral.engine.worker")
    whole = EmbeddedModel._prepare

    def prepare(self, request, prompt, **options):
        if "poison" in request.messages[-1].content:
            raise BufferError("no such buffer")
        return whole(self, request, prompt, **options)

    monkeypatch.setattr(EmbeddedModel, "_prepare", prepare)
    failed = await failure_beside_others(folder, ask)
    assert "cannot prepare this request: BufferError: no such buffer" in str(failed)
    assert failed.status == 500
    async with EmbeddedModel(folder) as model:
        caplog.clear()
        await asyncio.gather(*[model.generate(ask("poison")) for _ in range(3)], return_exceptions=True)
    assert caplog.text.count("Traceback") == 1


async def test_an_error_in_a_step_fails_the_requests_in_work_alone(folder, ask, monkeypatch):
    """Whoever is in work hears the cause; later requests get the text they always got, from a clean start."""
    request = ask("Where is the ball? " * 20, n=3, max_tokens=20, logprobs=True)
    async with EmbeddedModel(folder) as model:
        expected = await model.generate(request)
        fail_steps(monkeypatch, times=1)
        failed = await asyncio.gather(model.generate(ask("x", n=80)), return_exceptions=True)
        again = await model.generate(request)
        assert model.defect is None
    assert isinstance(failed[0], Unreachable)
    assert failed[0].status == 500
    assert "MemoryError: no room for scores" in str(failed[0])
    assert again.candidates == expected.candidates
    assert again.usage.cached_tokens == 0, "what a failed step may have spoilt is forgotten"


async def test_a_step_that_fails_under_load_leaves_no_row_behind(folder, ask, monkeypatch):
    """Rows and waiting requests of the failed step are gone: the same load runs again, and completely."""
    async with EmbeddedModel(folder, limits=EngineLimits(slots=8)) as model:
        load = [ask(f"story {number}", n=9, max_tokens=12) for number in range(3)]
        expected = [texts(await model.generate(request)) for request in load]
        fail_steps(monkeypatch, times=1, after=8, beside=3)
        failed = await asyncio.gather(*map(model.generate, load), return_exceptions=True)
        after = [texts(reply) for reply in await asyncio.gather(*map(model.generate, load))]
    assert [type(error) for error in failed] == [Unreachable] * 3
    assert after == expected


async def test_the_failed_engine_is_gone_before_the_clean_start(folder, ask, monkeypatch):
    """Both at a time would need twice the memory, where too little of it may have been the cause."""
    built, alive = [], []
    whole = EmbeddedModel._build

    def build(self, *loaded):
        alive.append(sum(one() is not None for one in built))
        scheduler = whole(self, *loaded)
        built.append(weakref.ref(scheduler))
        return scheduler

    monkeypatch.setattr(EmbeddedModel, "_build", build)
    async with EmbeddedModel(folder) as model:
        fail_steps(monkeypatch, times=1)
        with pytest.raises(Unreachable, match="MemoryError"):
            await model.generate(ask("x", max_tokens=5))
        assert (await model.generate(ask("y", max_tokens=2))).candidates
    assert alive == [0, 0]


async def test_a_stream_hears_of_a_failed_step(folder, ask, monkeypatch):
    """A streamed reply ends with the error instead of hanging."""
    async with EmbeddedModel(folder) as model:
        fail_steps(monkeypatch, times=1, after=4)
        stream = model.stream(ask("x", n=40, max_tokens=400))
        assert (await anext(stream)).text
        with pytest.raises(Unreachable, match="MemoryError"):
            [delta async for delta in stream]
        assert (await model.generate(ask("y", max_tokens=2))).candidates


async def test_an_engine_that_cannot_compute_any_more_says_so(folder, ask, monkeypatch):
    """If the clean start fails, too, later requests get the cause at once, as what stops a run."""
    async with EmbeddedModel(folder) as model:
        fail_steps(monkeypatch, times=2)
        with pytest.raises(Unreachable, match="MemoryError"):
            await model.generate(ask("x", max_tokens=5))
        for _ in range(100):
            if model.defect is not None:
                break
            await asyncio.sleep(0.02)
        with pytest.raises(FatalReject, match="stopped after an error: MemoryError: no room") as caught:
            await model.generate(ask("x", max_tokens=5))
        assert caught.value.status == 503
        assert model.defect == str(caught.value)
    assert model.defect is None, "a closed model has no defect"
    async with model:
        assert (await model.generate(ask("x", max_tokens=5))).candidates, "opened anew, it works"


async def test_the_check_leaves_nothing_in_the_cache(folder, ask, monkeypatch):
    """The engine's own trial request is not found as somebody's prefix (its token opens every prompt)."""
    async with EmbeddedModel(folder) as model:
        fail_steps(monkeypatch, times=1)
        with pytest.raises(Unreachable):
            await model.generate(ask("x", max_tokens=5))
        generation = await model.generate(ask("y", max_tokens=5))
    assert generation.usage.cached_tokens == 0
