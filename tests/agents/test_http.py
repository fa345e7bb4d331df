"""Endpoints that do not speak chat completions: real ones on loopback, through the client of the hot path."""

import itertools
import json
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from coral.api import evaluate_async, load_run
from coral.errors import ConfigError, CoralError
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.protocol import Request, Sampling
from coral.types import FinishReason, Message, Role, StopReason

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")


@asynccontextmanager
async def endpoint(answer):
    """A server that answers each POST with what `answer(number, body, request)` returns; yields its address,
    and the bodies that it was posted.
    """
    posted, numbers = [], itertools.count(1)

    async def handle(request):
        if request.method != "POST":
            return web.Response(status=405)
        posted.append(await request.json())
        found = answer(next(numbers), posted[-1], request)
        return found if isinstance(found, web.Response) else web.json_response(found)

    app = web.Application()
    app.router.add_route("*", "/bot", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/bot", posted
    finally:
        await runner.cleanup()


def request(**more):
    messages = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "hello"))
    sampling = Sampling(temperature=0.5, max_tokens=64)
    return Request(
        **{"messages": messages, "sampling": sampling, "seed": 3, "conversation_id": "p#0", **more}
    )


async def asked(url, **options):
    async with build_model(ModelConfig(http=url, backoff_s=0.001, **options)) as model:
        return await model.generate(request())


async def test_it_is_posted_what_a_command_reads():
    """One schema for both, and the same reply."""
    async with endpoint(lambda *_: {"text": "7", "usage": {"prompt_tokens": 4}, "reasoning": "hm"}) as (
        url,
        posted,
    ):
        generation = await asked(url)
    (candidate,) = generation.candidates
    assert (candidate.text, candidate.reasoning, generation.usage.prompt_tokens) == ("7", "hm", 4)
    assert posted == [
        {
            "id": "p#0/3",
            "conversation": "p#0",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
            "sampling": {"temperature": 0.5, "max_tokens": 64},
            "seed": 3,
        }
    ]


TEMPLATE = {
    "inputs": "$text", "parameters": {"max_new_tokens": "$max_tokens", "top_p": "$top_p", "best_of": 1},
    "who": ["$system", "$last"], "price": "$5",
}  # fmt: skip


async def test_another_shape_both_ways():
    """Names are filled in, what is not set is left out, and other texts stay; paths find the reply."""
    answer = [
        {"generated_text": "so 7", "details": {"finish_reason": "length", "n": {"completion_tokens": 3}}}
    ]
    reply = {"text": "0.generated_text", "finish_reason": "0.details.finish_reason", "usage": "0.details.n"}
    async with endpoint(lambda *_: answer) as (url, posted):
        generation = await asked(url, http_request=TEMPLATE, http_reply=reply)
    (candidate,) = generation.candidates
    assert (candidate.text, candidate.finish_reason) == ("so 7", FinishReason.LENGTH)
    assert generation.usage.completion_tokens == 3
    assert posted == [
        {
            "inputs": "system: Be brief.\n\nuser: hello\n\nassistant:",
            "parameters": {"max_new_tokens": 64, "best_of": 1},
            "who": ["Be brief.", "hello"],
            "price": "$5",
        }
    ]


async def test_retries_limits_and_keys_are_those_of_the_client(monkeypatch):
    """A 503 and a 429 are waited out; the key travels in the header, and is taken out of what comes back."""
    monkeypatch.setenv("BOT_KEY", "abcdef-123456")

    def answer(number, _, asked):
        if number < 3:
            return web.Response(status=503 if number == 1 else 429, headers={"Retry-After": "0"})
        return {"text": f"your header is {asked.headers['Authorization']}"}

    async with endpoint(answer) as (url, posted):
        generation = await asked(url, api_key_env="BOT_KEY")
    assert generation.attempts == len(posted) == 3
    assert generation.candidates[0].text == "your header is Bearer [key]"


async def test_a_key_may_travel_in_another_header(monkeypatch):
    """Without the word Bearer."""
    monkeypatch.setenv("BOT_KEY", "abcdef-123456")
    seen = []

    def answer(_number, _body, asked):
        seen.append((asked.headers.get("X-Api-Key"), asked.headers.get("Authorization")))
        return {"text": "7"}

    async with endpoint(answer) as (url, _):
        await asked(url, api_key_env="BOT_KEY", http_key_header="X-API-Key")
    assert seen == [("abcdef-123456", None)]


def run_options(path, **more):
    return {"data": DATA, "output": str(path), "limit": 8, "max_turns": 4, **more}


async def test_a_whole_run(tmp_path):
    """Recorded by its address without a query; it takes turns, and rules read them."""
    async with endpoint(lambda *_: {"a": [{"b": r"\boxed{7}"}]}) as (url, posted):
        agent = {"http": f"{url}?v=2", "http_reply": "a.0.b"}
        run = await evaluate_async("gsm8k", agent=agent, **run_options(tmp_path / "run"))
    assert {c.stop for c in run.conversations()} == {StopReason.AGREED}
    assert len(posted) == 16
    identity = load_run(run.path).identity()
    assert identity["agent"]["model"] == url
    assert (identity["agent"]["http_reply"], identity["extractor"]) == ("a.0.b", {"mode": "rules"})


NOTHING = [
    (lambda *_: {"reply": "7"}, "no text at 'text', but reply", "--agent.http_reply"),
    (lambda *_: {"text": None}, "no text at 'text', but null", "--agent.http_reply"),
    (lambda *_: {"error": {"message": "bad tool"}}, "reports an error: bad tool", ""),
    (lambda *_: web.Response(text="<html>hello"), "no JSON: <html>hello", "--agent.http_reply"),
    (lambda *_: web.Response(status=400, text="what?"), "400", "--agent.http_request"),
    (lambda *_: web.Response(status=404), "there is no such address (404)", "--agent.http"),
]


@pytest.mark.parametrize(("answer", "cause", "remedy"), NOTHING, ids=[row[1] for row in NOTHING])
async def test_a_run_that_comes_to_nothing_stops(tmp_path, answer, cause, remedy):
    """After a handful of requests, with nothing stored as failed, and the option that helps."""
    async with endpoint(answer) as (url, posted):
        agent = {"http": url, "backoff_s": 0.001}
        with pytest.raises(CoralError) as stopped:
            await evaluate_async("gsm8k", agent=agent, **run_options(tmp_path / "run"))
    assert cause in str(stopped.value)
    assert remedy in stopped.value.remedy
    assert len(posted) <= 16
    assert not list(load_run(tmp_path / "run").conversations())


async def test_nobody_there(tmp_path):
    """Met before there is a run folder."""
    with pytest.raises(ConfigError, match="connection refused") as refused:
        await evaluate_async(
            "gsm8k", agent={"http": "http://127.0.0.1:9/bot"}, **run_options(tmp_path / "run")
        )
    assert "--agent.http" in refused.value.remedy
    assert not (tmp_path / "run").exists()


REFUSED = [
    ({"http": "localhost:80/bot"}, "not an address", "in full"),
    ({"http": "http://me:secret@host/bot"}, "user name or password", "environment variable"),
    ({"http": "http://host/bot?api_key=12345678"}, "holds a secret in 'api_key'", "environment variable"),
    ({"http": "http://host", "base_url": "http://host"}, "both say where", "one of them"),
    ({"http": "http://host", "http_request": {"a": ["$mesages"]}}, "asks for $mesages", "$messages"),
    ({"http": "http://host", "http_reply": ""}, "does not say where the text is", "choices.0.text"),
    ({"http": "http://host", "http_reply": {"usage": "u"}}, "does not say where", "choices.0.text"),
    ({"http": "http://host", "http_reply": {"text": "a", "txt": "b"}}, "holds txt", "finish_reason"),
    ({"http_reply": "a.b"}, "are about http", "give its address"),
    ({"http": "http://host", "http_request": {"api_key": "12345678"}}, "secret in 'api_key'", "environment"),
    ({"http": "http://host", "http_request": {"a": [{"password": "12345678"}]}}, "secret in", "environment"),
    ({"http": "http://host", "http_key_header": "x: y"}, "not the name of a header", "x-api-key"),
]


@pytest.mark.parametrize(("options", "cause", "remedy"), REFUSED, ids=[json.dumps(row[0]) for row in REFUSED])
def test_options_that_cannot_be(options, cause, remedy):
    """Named, with what helps; no secret is repeated."""
    with pytest.raises(ConfigError) as refused:
        build_model(ModelConfig(**options))
    assert cause in str(refused.value)
    assert remedy in refused.value.remedy
    assert "12345678" not in str(refused.value)
    assert "me:secret" not in str(refused.value)
