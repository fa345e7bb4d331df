"""An OpenAI-compatible HTTP server over any `Model`.

`POST /v1/chat/completions`, `GET /v1/models`, `GET /health`, `GET /metrics`. The application keeps no
state but its counters; `ChatServer.drain` ends it without losing a request that is being worked on.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, runtime_checkable

import msgspec
from aiohttp import web

from coral.errors import ModelError
from coral.models.protocol import Delta, Model, Request
from coral.serving import faults
from coral.serving.admission import BodyReader, HostCheck, check_json_type
from coral.serving.connection import Connection
from coral.serving.faults import FaultPlan
from coral.serving.metrics import ServerMetrics
from coral.serving.stream import ChunkWriter, event, split_tokens, stream_deltas
from coral.serving.wire import ChatRequest, RequestRefused, parse_chat, refusal, render_chat, render_error

CHAT_PATH = "/v1/chat/completions"
EVENT_STREAM = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logging.getLogger(__name__)


@runtime_checkable
class BreakableModel(Protocol):
    """What a model offers if an error can end it for good: `/health` tells."""

    @property
    def defect(self) -> str | None:
        """Why it can answer no more; None while it can."""
        ...


@dataclass(frozen=True, kw_only=True)
class Served:
    """Which models a server offers.

    Attributes:
        names: what `/v1/models` lists.
        find: the model of a name, None if there is none; may know more names than are listed.
        hint: told to a client that asks for an unknown name.
    """

    names: tuple[str, ...]
    find: Callable[[str], Model | None]
    hint: str = ""


def serve_one(model: Model) -> Served:
    """Offer a single model under its own name."""
    hint = f"this server serves '{model.name}'"
    return Served(names=(model.name,), find={model.name: model}.get, hint=hint)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What the server takes on.

    Attributes:
        max_body_bytes: a larger request body is refused with 413.
        max_total_bytes: bodies of all requests in work; one that does not fit is refused with 503.
        max_n: more candidates per request are refused with 400.
        body_s: seconds for a whole body, and for a client to take a piece of a stream.
        allowed_hosts: names that clients may use beside those that can only mean this machine.
    """

    max_body_bytes: int = 8 * 1024 * 1024
    max_total_bytes: int = 512 * 1024 * 1024
    max_n: int = 128
    body_s: float = 60.0
    allowed_hosts: tuple[str, ...] = ()


class ChatServer:
    """The application and its state: counters, whether it drains, and the fault plan."""

    def __init__(
        self, served: Served, *, limits: Limits | None = None, plan: FaultPlan | None = None
    ) -> None:
        self.metrics = ServerMetrics()
        self._served = served
        self._limits = limits or Limits()
        self._plan = plan or FaultPlan()
        self._created = int(time.time())
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._num_requests = 0
        self._first_request_at: float | None = None
        self._hosts = HostCheck(self._limits.allowed_hosts)
        self._bodies = BodyReader(
            max_bytes=self._limits.max_body_bytes,
            max_total_bytes=self._limits.max_total_bytes,
            within_s=self._limits.body_s,
        )
        self.app = self._build_app()

    def _build_app(self) -> web.Application:
        app = web.Application(
            client_max_size=self._limits.max_body_bytes, middlewares=[openai_errors, self._admit]
        )
        app.router.add_post(CHAT_PATH, self._chat, expect_handler=_expect)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/v1/models/{name:.+}", self._model)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._metrics)
        return app

    async def drain(self, within_s: float) -> bool:
        """Refuse new requests with 503 and wait for those in flight.

        Returns:
            Whether all of them ended within `within_s` seconds.
        """
        self._draining = True
        try:
            await asyncio.wait_for(self._idle.wait(), within_s)
        except asyncio.TimeoutError:
            return False
        return True

    # Handlers ---------------------------------------------------------------------------------------

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Checks what every request must be, and stops the connection's clock while it is in work."""
        self._hosts.check(request)
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.work()
        try:
            return await handler(request)
        finally:
            if isinstance(connection, Connection):
                connection.rest()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        if self._draining:
            return _error_response(503, "the server is shutting down", headers={"Retry-After": "1"})
        async with self._in_flight() as record:
            response = await self._answer(request)
            record(response.status)
            return response

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._num_requests += 1
        fault = self._next_fault()
        check_json_type(request)
        async with self._bodies.read(request) as raw:
            if fault is not None and fault not in faults.BODY_FAULTS:
                self.metrics.count_fault(fault)
                return await _meet_fault(request, fault)
            chat = parse_chat(raw)
            model = self._find(chat)
            if chat.stream:
                return await self._stream(request, chat, model)
            return await self._complete(chat, model, fault)

    async def _complete(self, chat: ChatRequest, model: Model, fault: str | None) -> web.Response:
        try:
            generation = await model.generate(chat.request)
        except Exception as error:
            raise _refused(error) from error
        self.metrics.count_tokens(generation.usage)
        wanted = chat.request.sampling.logprobs
        pieces = [split_tokens(model, candidate.text, wanted=wanted) for candidate in generation.candidates]
        body = render_chat(_completion_id(), chat.model, int(time.time()), generation, pieces)
        if fault is not None:
            self.metrics.count_fault(fault)
            spoiled, content_type = faults.spoil(fault, body)
            return web.Response(body=spoiled, content_type=content_type)
        return web.Response(body=msgspec.json.encode(body), content_type="application/json")

    async def _stream(self, request: web.Request, chat: ChatRequest, model: Model) -> web.StreamResponse:
        async with aclosing(stream_deltas(model, chat.request)) as deltas:
            try:
                first = await anext(deltas)  # a model that refuses does so here: a status can still be sent
            except Exception as error:
                raise _refused(error) from error
            response = web.StreamResponse(headers=EVENT_STREAM)
            await response.prepare(request)
            writer = ChunkWriter(
                completion_id=_completion_id(),
                model=chat.model,
                created=int(time.time()),
                include_usage=chat.include_usage,
            )
            async for data in self._events(writer, model, chat.request, first, deltas):
                await self._write(request, response, data)
        await response.write_eof()
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, data: bytes) -> None:
        """Write a piece of a stream; a client that does not take it is cut off."""
        if request.transport is None:
            return
        timer = asyncio.get_running_loop().call_later(self._limits.body_s, request.transport.abort)
        try:
            await response.write(data)
        finally:
            timer.cancel()

    async def _events(
        self, writer: ChunkWriter, model: Model, request: Request, first: Delta, rest: AsyncIterator[Delta]
    ) -> AsyncIterator[bytes]:
        """The events of a stream. A failure after its begin is an event, too: the status is gone already."""
        usage = None
        wanted = request.sampling.logprobs
        try:
            async for delta in _chain(first, rest):
                usage = delta.usage or usage
                for data in writer.chunks(delta, split_tokens(model, delta.text, wanted=wanted)):
                    yield data
        except Exception as error:  # noqa: BLE001 the client hears of it
            yield event(_refused(error).body)
            return
        if usage is not None:
            self.metrics.count_tokens(usage)
        for data in writer.closing(usage):
            yield data

    async def _models(self, _: web.Request) -> web.Response:
        data = [self._card(name) for name in self._served.names]
        return web.json_response({"object": "list", "data": data})

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._served.find(name) is None:
            raise self._unknown(name)
        return web.json_response(self._card(name))

    async def _health(self, _: web.Request) -> web.Response:
        if self._draining:
            return web.json_response({"status": "draining"}, status=503)
        if (defect := self._defect()) is not None:
            return web.json_response({"status": "failed", "cause": defect}, status=503)
        return web.json_response({"status": "ok"})

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4"})

    # What the handlers share ------------------------------------------------------------------------

    def _defect(self) -> str | None:
        """Of the first model served that has ended by an error."""
        for name in self._served.names:
            model = self._served.find(name)
            if isinstance(model, BreakableModel) and model.defect is not None:
                return model.defect
        return None

    def _card(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "coral"}

    def _find(self, chat: ChatRequest) -> Model:
        if chat.request.n > self._limits.max_n:
            message = f"n is {chat.request.n}; this server gives at most {self._limits.max_n}"
            raise RequestRefused(400, message, param="n")
        model = self._served.find(chat.model)
        if model is None:
            raise self._unknown(chat.model)
        return model

    def _unknown(self, name: str) -> RequestRefused:
        message = f"the model '{name}' does not exist; {self._served.hint}".removesuffix("; ")
        return RequestRefused(404, message, param="model", code="model_not_found")

    def _next_fault(self) -> str | None:
        """The fault the request just counted meets. An outage begins to count with the first request."""
        now = time.monotonic()
        if self._first_request_at is None:
            self._first_request_at = now
        if self._plan.is_out(now - self._first_request_at):
            return "503"
        return self._plan.pick(self._num_requests)

    @asynccontextmanager
    async def _in_flight(self) -> AsyncIterator[Callable[[int], None]]:
        """Counts one request; the caller says under which status. A client that left is a 499."""
        status = 499
        started = time.monotonic()
        self.metrics.in_flight += 1
        self._idle.clear()

        def record(final: int) -> None:
            nonlocal status
            status = final

        try:
            yield record
        except RequestRefused as refused:
            status = refused.status
            raise
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            self.metrics.in_flight -= 1
            self.metrics.count_request(status, time.monotonic() - started)
            if not self.metrics.in_flight:
                self._idle.set()


@web.middleware
async def openai_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every refusal, aiohttp's own included (404, 405, 413), carries an OpenAI error body."""
    try:
        return await handler(request)
    except RequestRefused as refused:
        headers = {"Retry-After": "1"} if refused.status == HTTPStatus.SERVICE_UNAVAILABLE else None
        return web.json_response(refused.body, status=refused.status, headers=headers)
    except web.HTTPException as error:
        return _error_response(error.status, f"{request.method} {request.path}: {error.reason}")
    except Exception as error:
        if request.protocol is None or request.transport is None:  # the client has left
            raise
        log.exception("a request failed unexpectedly")
        return _error_response(500, f"the server failed: {type(error).__name__}: {error}")


async def _expect(request: web.Request) -> web.StreamResponse | None:
    """Answers the header `Expect`, which comes before the body."""
    if request.headers.get("Expect", "").lower() != "100-continue":
        return _error_response(417, "the server knows no other expectation than '100-continue'")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # it is not a part of the response
    return None


async def _meet_fault(request: web.Request, fault: str) -> web.Response:
    if fault == "stall":
        await asyncio.Event().wait()  # until the client gives up or the server ends
    if fault == "drop":
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=499)
    status, headers, body = faults.refuse(fault)
    return web.json_response(body, status=status, headers=headers)


def _refused(error: Exception) -> RequestRefused:
    """What a client is told of a failed call: a bug of the model, too, is an answer in OpenAI's format."""
    if isinstance(error, ModelError):
        return refusal(error)
    log.error("a model failed unexpectedly", exc_info=error)
    return RequestRefused(500, f"the model failed: {type(error).__name__}: {error}")


async def _chain(first: Delta, rest: AsyncIterator[Delta]) -> AsyncIterator[Delta]:
    yield first
    async for delta in rest:
        yield delta


def _error_response(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return web.json_response(render_error(message, kind=kind), status=status, headers=headers)


def _completion_id() -> str:
    return f"chatcmpl-{uuid.uuid4().hex}"
