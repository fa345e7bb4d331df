"""Stand-ins for the batch APIs of OpenAI and Anthropic, on loopback.

Written after the providers' published documentation; no provider was asked. Each request of a batch is
answered by a server of scripted agents, so that a run by batches can be compared with one that asks directly.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class StandIn:
    """What both have in common.

    Attributes:
        polls: so often a batch is asked for until it ends.
        item: says what becomes of an item, given the number of its batch and its own: None, "expired",
            "canceled", or a status and a message.
        react: says the same of an item, given its body.
        fate: says how a batch ends, given its number: "completed", "failed", "expired" or "cancelled".
        break_off: numbers of the calls that begin a batch whose answer is lost.
        refuse: says what is answered to the begin of a batch instead; None: nothing else.
        sent: how often each item stood in a batch.
    """

    def __init__(self, backend):
        self.backend, self.session = backend, None
        self.polls = 2
        self.item, self.react = lambda batch, number: None, lambda body: None
        self.fate = lambda batch: "completed"
        self.break_off, self.refuse = set(), lambda number: None
        self.batches, self.sent, self.begun, self.headers = {}, Counter(), 0, []
        self.most_at_once = 0

    async def ask(self, body):
        async with self.session.post(f"{self.backend}/chat/completions", json=body) as response:
            return response.status, await response.json()

    def begin(self, batch, keys):
        assert len(set(keys)) == len(keys), "a custom_id stands twice in one batch"
        assert all(CUSTOM_ID.fullmatch(key) for key in keys)
        self.sent.update(keys)
        batch["left"], batch["number"] = self.polls, len(self.batches) + 1
        self.batches[batch["id"]] = batch
        self.most_at_once = max(self.most_at_once, len(keys))

    async def lost(self, request):
        """Whether the answer to this call gets lost; then it breaks off."""
        self.begun += 1
        if self.begun in self.break_off:
            request.transport.abort()
            await asyncio.sleep(0.01)
            return True
        return False

    async def models(self, request):
        return web.json_response({"data": [{"id": "scripted"}, {"id": "claude-scripted"}]})


class OpenAiStandIn(StandIn):
    """Files and batches."""

    def __init__(self, backend):
        super().__init__(backend)
        self.files = {}

    def routes(self, router):
        router.add_get("/v1/models", self.models)
        router.add_post("/v1/files", self.upload)
        router.add_get("/v1/files/{id}/content", self.content)
        router.add_post("/v1/batches", self.create)
        router.add_get("/v1/batches", self.list)
        router.add_get("/v1/batches/{id}", self.show)

    async def upload(self, request):
        self.headers.append(request.headers.get("Authorization"))
        form = await request.post()
        assert form["purpose"] == "batch"
        return web.json_response({"id": self.keep(form["file"].file.read()), "object": "file"})

    def keep(self, content):
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    async def content(self, request):
        return web.Response(body=self.files[request.match_info["id"]])

    async def create(self, request):
        asked = await request.json()
        refusal = self.refuse(self.begun + 1)
        if refusal is not None:
            self.begun += 1
            return web.json_response({"error": {"message": refusal[1]}}, status=refusal[0])
        assert asked["endpoint"] == "/v1/chat/completions"
        assert asked["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        assert all(line["method"] == "POST" and line["url"] == asked["endpoint"] for line in lines)
        assert len({line["body"]["model"] for line in lines}) == 1, "one file is for one model"
        batch = {
            "id": f"batch_{len(self.batches) + 1}",
            "object": "batch",
            "status": "validating",
            "metadata": asked.get("metadata"),
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "lines": lines,
        }
        self.begin(batch, [line["custom_id"] for line in lines])
        if await self.lost(request):
            return web.Response()
        return web.json_response(self.public(batch))

    @staticmethod
    def public(batch):
        return {name: value for name, value in batch.items() if name not in {"lines", "left", "number"}}

    async def list(self, request):
        found = list(reversed(self.batches.values()))
        after = request.query.get("after")
        if after:
            found = found[[one["id"] for one in found].index(after) + 1 :]
        page = found[:1]  # pages of one: whoever lists has to turn them
        return web.json_response(
            {"object": "list", "data": [self.public(one) for one in page], "has_more": len(found) > 1}
        )

    async def show(self, request):
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response({"error": {"message": "No such batch"}}, status=404)
        batch["left"] -= 1
        if batch["left"] <= 0 and batch["status"] in {"validating", "in_progress"}:
            await self.end(batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return web.json_response(self.public(batch))

    async def end(self, batch):
        batch["status"] = fate = self.fate(batch["number"])
        if fate == "failed":
            batch["errors"] = {
                "object": "list",
                "data": [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached"}],
            }
            return
        output, errors = [], []
        for number, line in enumerate(batch["lines"]):
            what = self.item(batch["number"], number) or self.react(line["body"])
            named = {"id": f"batch_req_{number}", "custom_id": line["custom_id"]}
            if what == "expired" or (fate in {"expired", "cancelled"} and number % 2):
                message = "This request could not be executed before the completion window expired."
                errors.append(
                    {**named, "response": None, "error": {"code": "batch_expired", "message": message}}
                )
                continue
            if what == "missing":
                continue
            status, body = (
                await self.ask(line["body"]) if what is None else (what[0], {"error": {"message": what[1]}})
            )
            done = {
                **named,
                "response": {"status_code": status, "request_id": "r", "body": body},
                "error": None,
            }
            (output if status == 200 else errors).append(done)
        for name, lines in (("output_file_id", output), ("error_file_id", errors)):
            if lines:
                batch[name] = self.keep(b"".join(json.dumps(one).encode() + b"\n" for one in reversed(lines)))
        batch["request_counts"] = {
            "total": len(batch["lines"]),
            "completed": len(output),
            "failed": len(errors),
        }


class AnthropicStandIn(StandIn):
    """Message batches."""

    def routes(self, router):
        router.add_get("/v1/models", self.models)
        router.add_post("/v1/messages/batches", self.create)
        router.add_get("/v1/messages/batches", self.list)
        router.add_get("/v1/messages/batches/{id}", self.show)
        router.add_get("/v1/messages/batches/{id}/results", self.results)

    def check(self, request):
        self.headers.append(request.headers.get("x-api-key"))
        assert request.headers["anthropic-version"] == "2023-06-01"

    async def create(self, request):
        self.check(request)
        asked = (await request.json())["requests"]
        refusal = self.refuse(self.begun + 1)
        if refusal is not None:
            self.begun += 1
            return web.json_response(
                {"type": "error", "error": {"type": "x", "message": refusal[1]}}, status=refusal[0]
            )
        for one in asked:
            assert one["params"]["max_tokens"] > 0
            assert all(message["role"] in {"user", "assistant"} for message in one["params"]["messages"])
            assert not {"n", "seed", "stop", "logprobs"} & one["params"].keys()
        batch = {
            "id": f"msgbatch_{len(self.batches) + 1}",
            "type": "message_batch",
            "processing_status": "in_progress",
            "created_at": "2999-01-01T00:00:00Z",
            "ended_at": None,
            "cancel_initiated_at": None,
            "results_url": None,
            "requests": asked,
            "request_counts": {
                "processing": len(asked),
                "succeeded": 0,
                "errored": 0,
                "canceled": 0,
                "expired": 0,
            },
        }
        self.begin(batch, [one["custom_id"] for one in asked])
        if await self.lost(request):
            return web.Response()
        return web.json_response(self.public(batch))

    @staticmethod
    def public(batch):
        hidden = {"requests", "left", "number", "lines"}
        return {name: value for name, value in batch.items() if name not in hidden}

    async def list(self, request):
        self.check(request)
        found = list(reversed(self.batches.values()))
        after = request.query.get("after_id")
        if after:
            found = found[[one["id"] for one in found].index(after) + 1 :]
        data = [self.public(one) for one in found[:1]]
        last = data[-1]["id"] if data else None
        return web.json_response({"data": data, "has_more": len(found) > 1, "last_id": last})

    async def show(self, request):
        self.check(request)
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response(
                {"type": "error", "error": {"type": "not_found_error", "message": "no"}}, status=404
            )
        batch["left"] -= 1
        if batch["left"] <= 0 and batch["processing_status"] != "ended":
            await self.end(batch)
        return web.json_response(self.public(batch))

    async def end(self, batch):
        fate = self.fate(batch["number"])
        if fate == "cancelled":
            batch["cancel_initiated_at"] = "2999-01-01T00:01:00Z"
        lines, counts = [], Counter()
        for number, one in enumerate(batch["requests"]):
            result = await self.result(batch["number"], number, one["params"], fate)
            counts[result["type"]] += 1
            lines.append({"custom_id": one["custom_id"], "result": result})
        batch["lines"] = list(reversed(lines))
        batch["processing_status"] = "ended"
        batch["request_counts"] = {
            "processing": 0,
            "succeeded": 0,
            "errored": 0,
            "canceled": 0,
            "expired": 0,
            **counts,
        }
        batch["results_url"] = "https://elsewhere.example/never/asked"

    async def result(self, batch, number, params, fate):
        what = self.item(batch, number) or self.react(params)
        if fate in {"expired", "cancelled"} and number % 2:
            what = fate.replace("ll", "l")
        if isinstance(what, str):
            return {"type": what}
        if what is not None:
            kinds = {400: "invalid_request_error", 429: "rate_limit_error", 500: "api_error"}
            error = {"type": kinds[what[0]], "message": what[1]}
            return {"type": "errored", "error": {"type": "error", "error": error}}
        system = [{"role": "system", "content": params["system"]}] if "system" in params else []
        told = {
            "messages": system + params["messages"],
            "model": "scripted",
            "max_tokens": params["max_tokens"],
            "seed": 1,
        }
        _, body = await self.ask(told)
        choice, usage = body["choices"][0], body["usage"]
        ended = {"stop": "end_turn", "length": "max_tokens"}[choice["finish_reason"]]
        counted = {
            "input_tokens": usage["prompt_tokens"] - 2,
            "cache_read_input_tokens": 2,
            "output_tokens": usage["completion_tokens"],
        }
        message = {
            "type": "message",
            "role": "assistant",
            "stop_reason": ended,
            "usage": counted,
            "content": [{"type": "text", "text": choice["message"]["content"]}],
        }
        return {"type": "succeeded", "message": message}

    async def results(self, request):
        self.check(request)
        lines = self.batches[request.match_info["id"]]["lines"]
        return web.Response(text="".join(json.dumps(line) + "\n" for line in lines))


KINDS = {"openai": OpenAiStandIn, "anthropic": AnthropicStandIn}
MODELS = {"openai": "scripted", "anthropic": "anthropic/claude-scripted"}


@asynccontextmanager
async def stand_in(kind, backend):
    """A running stand-in; `url` is its address, `model` the name by which a run names its model."""
    server = KINDS[kind](backend)
    app = web.Application(client_max_size=2**26)
    server.routes(app.router)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    server.model = MODELS[kind]
    async with aiohttp.ClientSession() as server.session:
        yield server
    await runner.cleanup()


@pytest.fixture(params=["openai", "anthropic"])
async def provider(request, serve):
    """A stand-in over scripted agents, of each kind in turn."""
    async with serve(stubbornness=0.8) as (backend, _), stand_in(request.param, backend) as server:
        yield server


@pytest.fixture
async def openai(serve):
    """OpenAI's stand-in; `backend` is the address that asks directly."""
    async with serve(stubbornness=0.8) as (backend, _), stand_in("openai", backend) as server:
        yield server
