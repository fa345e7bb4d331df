"""The HTTP face: what a client of the OpenAI wire may count on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, final

import aiohttp
import openai
import pytest

from coral import errors
from coral.models.protocol import Candidate, Generation, Request
from coral.serving.app import Limits
from coral.serving.listen import raise_open_files_limit
from coral.types import FinishReason, Usage

JSON = {"Content-Type": "application/json"}


@final
@dataclass
class Echo:
    """Says back what the last message said; waits for `gate` first, fails with `failure`."""

    gate: asyncio.Event | None = None
    failure: Exception | None = None
    usage: Usage = field(default_factory=lambda: Usage(prompt_tokens=3, completion_tokens=2))
    seen: list[Request] = field(default_factory=list)
    cancelled: int = 0
    name: str = "echo"

    async def __aenter__(self) -> Echo:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def generate(self, request: Request) -> Generation:
        self.seen.append(request)
        if self.gate is not None:
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        if self.failure is not None:
            raise self.failure
        candidates = tuple(self._candidate(request, index) for index in range(request.n))
        return Generation(candidates=candidates, usage=self.usage, latency_s=0.0)

    def _candidate(self, request: Request, index: int) -> Candidate:
        return Candidate(
            text=f"{request.messages[-1].content} {index}",
            finish_reason=FinishReason.STOP,
            token_logprobs=(-0.5, -0.25) if request.sampling.logprobs else None,
        )


async def until(condition: Any) -> None:
    """Give the server time to get there."""
    for _ in range(6000):  # half a minute: other tests may keep the cores busy
        if condition():
            return
        await asyncio.sleep(0.005)
    pytest.fail("the server never got there")


async def test_openai_package_gets_candidates_usage_and_logprobs(serve: Any) -> None:
    """The official client reads n choices, their finish reasons, the usage and logprobs."""
    model = Echo()
    async with serve(model) as site, openai.AsyncOpenAI(base_url=site.url, api_key="none") as client:
        reply = await client.chat.completions.create(
            model="echo",
            messages=[{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hello"}],
            n=2,
            seed=7,
            stop=["###"],
            logprobs=True,
            temperature=0.5,
            top_p=0.9,
            max_completion_tokens=20,
            user="someone",
            extra_body={"top_k": 5},
        )
        listed = [card.id async for card in client.models.list()]
        one = await client.models.retrieve("echo")
    assert [choice.message.content for choice in reply.choices] == ["hello 0", "hello 1"]
    assert {choice.finish_reason for choice in reply.choices} == {"stop"}
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (3, 2, 5)
    assert reply.choices[0].logprobs is not None
    assert [token.logprob for token in reply.choices[0].logprobs.content or []] == [-0.5, -0.25]
    assert (listed, one.id) == (["echo"], "echo")
    request = model.seen[0]
    assert [message.role.value for message in request.messages] == ["system", "user"]
    assert (request.n, request.seed, request.sampling.stop) == (2, 7, ("###",))
    assert (request.sampling.temperature, request.sampling.top_p, request.sampling.max_tokens) == (
        0.5,
        0.9,
        20,
    )
    assert json.loads(bytes(request.sampling.extra or b"")) == {"top_k": 5}


async def test_openai_package_streams_with_usage(serve: Any) -> None:
    """A model that cannot stream is sent as one delta a candidate; usage comes last, on request."""
    async with serve(Echo()) as site, openai.AsyncOpenAI(base_url=site.url, api_key="none") as client:
        stream = await client.chat.completions.create(
            model="echo",
            messages=[{"role": "user", "content": "hello"}],
            n=2,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    texts = {0: "", 1: ""}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "hello 0", 1: "hello 1"}
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == [
        "stop"
    ] * 2
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 5
    assert all(chunk.usage is None for chunk in chunks[:-1])


async def test_stream_is_server_sent_events_that_end_with_done(serve: Any) -> None:
    """On the wire: `data:` events, the role first, no usage unless asked for, [DONE] last."""
    async with serve(Echo()) as site:
        body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}], "stream": True}
        async with site.session.post(f"{site.url}/chat/completions", json=body) as response:
            assert response.content_type == "text/event-stream"
            events = (await response.text()).strip().split("\n\n")
    assert all(event.startswith("data: ") for event in events)
    assert events[-1] == "data: [DONE]"
    first, *_, last = (json.loads(event.removeprefix("data: ")) for event in events[:-1])
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "usage" not in first
    assert last["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": None}, "messages", "Expected `array`"),
        ({"messages": []}, "messages", "length >= 1"),
        ({"messages": [{"role": "user"}]}, "messages", "content"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "Invalid enum value 'tool'"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "image_url"),
        ({"model": 3}, "model", "Expected `str`"),
        ({"n": 0}, "n", ">= 1"),
        ({"n": 129}, "n", "<= 128"),
        ({"n": "two"}, "n", "Expected `int"),
        ({"n": 9}, "n", "at most 8"),
        ({"temperature": -1}, "temperature", ">= 0"),
        ({"top_p": 0}, "top_p", "> 0"),
        ({"max_tokens": 0}, "max_tokens", ">= 1"),
        ({"stop": 5}, "stop", "Expected `str | array | null`"),
        ({"seed": 1.5}, "seed", "Expected `int"),
        ({"stream": "yes"}, "stream", "Expected `bool"),
        ({"tools": [{"type": "function"}]}, "tools", "not supported"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"top_logprobs": 5}, "top_logprobs", "not supported"),
    ],
)
async def test_bad_field_is_named_in_an_openai_error(serve: Any, change: Any, param: str, words: str) -> None:
    """Wrong type, out of range, or not supported: 400 with the field's name, and the model is not asked."""
    model = Echo()
    async with serve(model, limits=Limits(max_n=8)) as site:
        status, body = await site.chat(**change)
    assert (status, body["error"]["param"], body["error"]["type"]) == (400, param, "invalid_request_error")
    assert words in body["error"]["message"]
    assert not model.seen


@pytest.mark.parametrize(
    "neutral",
    [
        {"tools": []},
        {"frequency_penalty": 0},
        {"response_format": {"type": "text"}},
        {"n": None},
        {"stop": None},
    ],
)
async def test_neutral_values_are_accepted(serve: Any, neutral: dict[str, Any]) -> None:
    """Clients that send defaults for everything are served."""
    async with serve(Echo()) as site:
        status, _ = await site.chat(**neutral)
    assert status == 200


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"model": "echo"', "not valid JSON"),
        (b"", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b'{"model": "echo", "messages": [{"role": "user", "content": "\xff"}]}', "JSON"),
        (b"[]", "Expected `object`"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', "missing required field `model`"),
    ],
)
async def test_malformed_body_is_400(serve: Any, raw: bytes, words: str) -> None:
    """A body that is no request gets an OpenAI error body, never a 500."""
    async with (
        serve(Echo()) as site,
        site.session.post(f"{site.url}/chat/completions", data=raw, headers=JSON) as response,
    ):
        body = await response.json()
        assert response.status == 400
        assert words in body["error"]["message"]


async def test_too_large_a_body_is_413(serve: Any) -> None:
    """A body above the limit is refused with an OpenAI error body."""
    async with serve(Echo(), limits=Limits(max_body_bytes=1000)) as site:
        status, body = await site.chat(messages=[{"role": "user", "content": "x" * 2000}])
    assert status == 413
    assert "1000" in body["error"]["message"]


async def test_unknown_model_and_path_are_openai_errors(serve: Any) -> None:
    """404 says which model there is; an unknown path or method is JSON, too."""
    async with serve(Echo()) as site:
        status, body = await site.chat(model="gpt-none")
        assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
        assert "'echo'" in body["error"]["message"]
        assert (await site.text("/v1/models/gpt-none"))[0] == 404
        status, text = await site.text("/v1/nothing")
        assert (status, json.loads(text)["error"]["type"]) == (404, "invalid_request_error")
        status, text = await site.text("/v1/chat/completions")
        assert (status, "GET" in json.loads(text)["error"]["message"]) == (405, True)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (errors.ContextOverflow("too long"), 400, "context_length_exceeded"),
        (errors.ContentFiltered("withheld"), 400, "content_filter"),
        (errors.RateLimited("slow down"), 429, "rate_limit_exceeded"),
        (errors.Rejected("no", status=422), 422, None),
        (errors.Unreachable("gone"), 502, None),
        (errors.BadResponse("odd"), 502, None),
        (errors.Unreachable("a step failed", status=500), 500, None),
        (errors.FatalReject("stopped", status=503), 503, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_model_failure_has_a_status_of_its_own(
    serve: Any, failure: errors.ModelError, status: int, code: str | None, stream: bool
) -> None:
    """What a model raises reaches the client as status and code, streamed or not."""
    async with serve(Echo(failure=failure)) as site:
        got, body = await site.chat(stream=stream)
    assert (got, body["error"]["code"], body["error"]["message"]) == (status, code, str(failure))


@pytest.mark.parametrize("stream", [False, True])
async def test_a_bug_of_the_model_is_an_answer_in_openai_format(
    serve: Any, caplog: pytest.LogCaptureFixture, stream: bool
) -> None:
    """An exception that is no ModelError is a 500 that names it; the log has the traceback."""
    async with serve(Echo(failure=ZeroDivisionError("by zero"))) as site:
        status, body = await site.chat(stream=stream)
        assert 'coral_requests_total{status="500"} 1' in (await site.text("/metrics"))[1]
    assert status == 500
    assert body["error"]["type"] == "server_error"
    assert body["error"]["message"] == "the model failed: ZeroDivisionError: by zero"
    assert "Traceback" in caplog.text


async def test_unknown_usage_is_not_zero(serve: Any) -> None:
    """A model that does not count its tokens reports no usage."""
    async with serve(Echo(usage=Usage())) as site:
        _, body = await site.chat()
    assert body["usage"] is None


async def test_metrics_count_requests_tokens_latency_and_those_in_flight(serve: Any) -> None:
    """/metrics is Prometheus text whose numbers add up."""
    gate = asyncio.Event()
    async with serve(Echo(gate=gate)) as site:
        tasks = [asyncio.ensure_future(site.chat()) for _ in range(3)]
        await until(lambda: site.server.metrics.in_flight == 3)
        assert "coral_requests_in_flight 3" in (await site.text("/metrics"))[1]
        gate.set()
        await asyncio.gather(*tasks)
        await site.chat(n=0)
        status, text = await site.text("/metrics")
    lines = text.splitlines()
    assert status == 200
    assert {'coral_requests_total{status="200"} 3', 'coral_requests_total{status="400"} 1'} <= set(lines)
    assert {'coral_tokens_total{kind="prompt"} 9', 'coral_tokens_total{kind="completion"} 6'} <= set(lines)
    assert {'coral_request_seconds_bucket{le="+Inf"} 4', "coral_request_seconds_count 4"} <= set(lines)
    assert "coral_requests_in_flight 0" in lines
    counts = [int(line.split()[-1]) for line in lines if "_bucket" in line]
    assert counts == sorted(counts)


async def test_drain_finishes_what_runs_and_refuses_the_rest(serve: Any) -> None:
    """While it drains, a request in flight is answered, a new one gets 503, and /health says so."""
    gate = asyncio.Event()
    async with serve(Echo(gate=gate)) as site:
        running = asyncio.ensure_future(site.chat())
        await until(lambda: site.server.metrics.in_flight == 1)
        drained = asyncio.ensure_future(site.server.drain(5))
        await asyncio.sleep(0)
        status, body = await site.chat()
        assert (status, body["error"]["type"]) == (503, "server_error")
        assert (await site.text("/health"))[0] == 503
        gate.set()
        assert (await running)[0] == 200
        assert await drained


async def test_drain_is_bounded(serve: Any) -> None:
    """A request that never ends holds the drain no longer than it is allowed to."""
    async with serve(Echo(gate=asyncio.Event())) as site:
        running = asyncio.ensure_future(site.chat())
        await until(lambda: site.server.metrics.in_flight == 1)
        assert not await site.server.drain(0.05)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_client_that_leaves_frees_the_model(serve: Any) -> None:
    """A dropped connection cancels the generation and is counted as 499."""
    model = Echo(gate=asyncio.Event())
    async with serve(model) as site:
        leaving = asyncio.ensure_future(site.chat())
        await until(lambda: model.seen)
        leaving.cancel()
        await until(lambda: model.cancelled == 1)
        await until(lambda: site.server.metrics.in_flight == 0)
        assert 'coral_requests_total{status="499"} 1' in (await site.text("/metrics"))[1]


async def test_health(serve: Any) -> None:
    """/health answers without asking the model."""
    async with serve(Echo(failure=errors.Unreachable("gone"))) as site:
        assert await site.text("/health") == (200, '{"status": "ok"}')


async def test_a_thousand_connections_at_once(serve: Any) -> None:
    """1,000 requests are in flight at the same time, and all are answered."""
    raise_open_files_limit()  # both ends of every connection are in this process
    gate = asyncio.Event()
    async with (
        serve(Echo(gate=gate)) as site,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as many,
    ):
        site.session, single = many, site.session
        tasks = [asyncio.ensure_future(site.chat()) for _ in range(1000)]
        try:
            await until(lambda: site.server.metrics.in_flight == 1000)
        finally:
            gate.set()
        statuses = [status for status, _ in await asyncio.gather(*tasks)]
        site.session = single
    assert statuses == [200] * 1000
