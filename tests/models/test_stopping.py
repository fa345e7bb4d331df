"""A client that is told to send no more."""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import replace

import pytest

from coral.models.client import Stopped
from coral.models.connections import Connections


async def _until(condition) -> None:
    while not condition():
        await asyncio.sleep(0.001)


async def test_pauses_end_at_once(server, open_model, ask):
    """Requests that wait to be sent again are not sent again, and say that they were stopped, not failed."""
    server.default = server.error(503)
    async with Connections() as connections:
        model = await open_model(connections, backoff_s=60, max_backoff_s=60)
        calls = [
            asyncio.ensure_future(model.generate(ask(conversation_id=f"c{number}"))) for number in range(5)
        ]
        await _until(lambda: connections.retry_state.retrying == 5)
        await asyncio.sleep(0.01)
        started = time.monotonic()
        connections.stop()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert time.monotonic() - started < 30
    assert {type(outcome) for outcome in outcomes} == {Stopped}
    assert len(server.requests) == 5
    assert connections.retry_state.retrying == 0


async def test_requests_in_flight_are_answered_and_those_in_the_queue_are_not_sent(server, open_model, ask):
    """What the server has taken is paid for, so it is awaited; what still waits for a place costs nothing."""
    server.default = replace(server.says(), delay_s=0.1)
    async with Connections() as connections:
        model = await open_model(connections, max_connections=2)
        calls = [asyncio.ensure_future(model.generate(ask())) for _ in range(9)]
        await _until(lambda: server.in_flight == 2)
        connections.stop()
        outcomes = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert [type(outcome).__name__ for outcome in outcomes] == ["Generation"] * 2 + ["Stopped"] * 7
        assert len(server.requests) == 2
        assert model.endpoints[0].server.limit.in_flight == 0


async def test_a_request_in_flight_that_meets_a_fault_is_not_sent_again(server, open_model, ask):
    """Its one answer was no answer: it is owed, whatever attempts it would have had left."""
    server.default = replace(server.error(500), delay_s=0.05)
    async with Connections() as connections:
        model = await open_model(connections, backoff_s=60, max_backoff_s=60)
        call = asyncio.ensure_future(model.generate(ask()))
        await _until(lambda: server.in_flight == 1)
        connections.stop()
        with pytest.raises(Stopped):
            await asyncio.wait_for(call, 5)
    assert len(server.requests) == 1


async def test_another_endpoint_is_not_tried(server, start_server, open_model, ask):
    """A change of endpoint has no pause in between, and is a sending all the same."""
    other = await start_server()
    for each in (server, other):
        each.default = replace(server.error(500), delay_s=0.05)
    async with Connections() as connections:
        model = await open_model(connections, base_url=(server.url, other.url))
        call = asyncio.ensure_future(model.generate(ask()))
        await _until(lambda: server.in_flight + other.in_flight == 1)
        connections.stop()
        with pytest.raises(Stopped):
            await asyncio.wait_for(call, 5)
    assert len(server.requests) + len(other.requests) == 1


async def test_all_models_of_a_run_stop_and_nothing_new_is_sent(server, open_model, ask):
    """Models share the connections, so agents and extractor end together."""
    async with Connections() as connections:
        models = [await open_model(connections), await open_model(connections, model="other")]
        connections.stop()
        for model in models:
            with pytest.raises(Stopped):
                await model.generate(ask())
    assert server.requests == []


async def test_candidates_asked_for_singly_end_together(server, open_model, ask):
    """A generation of which a part is not sent is owed as a whole; what was in flight of it still arrives."""
    server.default = replace(server.says(), delay_s=0.05)
    async with Connections() as connections:
        model = await open_model(connections, model="ollama/m", max_connections=1)
        call = asyncio.ensure_future(model.generate(ask(n=3)))
        await _until(lambda: server.in_flight == 1)
        connections.stop()
        with pytest.raises(Stopped):
            await asyncio.wait_for(call, 5)
        assert model.endpoints[0].server.limit.in_flight == 0
    assert len(server.requests) == 1


async def test_a_cancelled_pause_leaves_nothing_behind(server, open_model, ask):
    """Cancelled and stopped in the same moment: the cancellation counts, and no future is left unread."""
    server.default = server.error(503)
    async with Connections() as connections:
        model = await open_model(connections, backoff_s=60, max_backoff_s=60)
        call = asyncio.ensure_future(model.generate(ask()))
        await _until(lambda: connections.retry_state.retrying == 1)
        await asyncio.sleep(0.01)
        connections.stop()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert connections.retry_state.retrying == 0
    gc.collect()
