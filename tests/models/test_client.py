"""The client against a real server: what is sent, what comes back, and what each fault becomes."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from dataclasses import replace

import msgspec
import pytest

from coral.errors import (
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    FatalReject,
    LongWait,
    Outage,
    RateLimited,
    Rejected,
    Unreachable,
)
from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.types import FinishReason, Usage


async def test_a_request_holds_exactly_what_was_asked_for(server, open_model, ask):
    """The body names model, messages, settings, n, seed and the extra fields, and nothing else."""
    model = await open_model(
        temperature=0.3, top_p=0.9, max_tokens=50, stop=("END",), extra_body={"top_k": 4}
    )
    config = ModelConfig(
        model="m", temperature=0.3, top_p=0.9, max_tokens=50, stop=("END",), extra_body={"top_k": 4}
    )
    request = msgspec.structs.replace(ask(n=2), sampling=config.sampling(logprobs=True))
    await model.generate(request)
    assert server.requests[0].body == {
        "model": "m",
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
        "temperature": 0.3,
        "top_p": 0.9,
        "max_tokens": 50,
        "stop": ["END"],
        "logprobs": True,
        "top_k": 4,
        "n": 2,
        "seed": 5,
    }


async def test_unset_settings_are_left_to_the_server(server, open_model, ask):
    """None is not sent as null, which several servers refuse."""
    model = await open_model()
    await model.generate(ask(seed=None))
    assert server.requests[0].body.keys() == {"model", "messages"}


async def test_extra_fields_win_over_settings(server, open_model, ask):
    """A field named twice is sent once, as the extra body says it: strict parsers refuse doubled keys."""
    model = await open_model()
    extra = msgspec.Raw(b'{"temperature": 1}')
    await model.generate(ask(temperature=0.2, extra=extra))
    assert server.requests[0].body["temperature"] == 1


async def test_a_single_candidate_has_the_usage_of_the_request(server, open_model, ask):
    """With one candidate, the request's tokens are its own, reasoning and cached ones included."""
    server.default = server.choices(
        server.choice("four"),
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 8},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    )
    generation = await (await open_model()).generate(ask())
    usage = Usage(prompt_tokens=9, completion_tokens=5, reasoning_tokens=3, cached_tokens=8)
    assert generation.usage == usage
    assert generation.candidates[0].usage == usage
    assert generation.candidates[0].text == "four"
    assert generation.attempts == 1
    assert generation.latency_s > 0


async def test_candidates_of_one_request_have_no_usage_of_their_own(server, open_model, ask):
    """The sum over n candidates is no candidate's: it is unknown, not shared out."""
    generation = await (await open_model()).generate(ask(n=3))
    assert [candidate.text for candidate in generation.candidates] == ["reply 0", "reply 1", "reply 2"]
    assert all(candidate.usage is None for candidate in generation.candidates)
    assert generation.usage.completion_tokens == 21
    assert len(server.requests) == 1


async def test_a_server_without_n_gets_a_request_a_candidate(server, open_model, ask):
    """Without `n`, candidates come from parallel requests with different seeds, each with its own usage."""
    model = await open_model(model="ollama/m")
    generation = await model.generate(ask(n=3, seed=10))
    assert len(generation.candidates) == 3
    assert [candidate.usage.completion_tokens for candidate in generation.candidates] == [7, 7, 7]
    assert generation.usage.completion_tokens == 21
    assert sorted(request.body["seed"] for request in server.requests) == [10, 11, 12]
    assert all("n" not in request.body for request in server.requests)
    assert generation.attempts == 3


async def test_a_server_that_ignores_n_is_found_out_once(server, open_model, ask):
    """One choice for n=3 is kept, the missing ones are asked for singly, and later requests come singly."""
    server.default = lambda _: server.says()
    model = await open_model()
    first = await model.generate(ask(n=3))
    assert (len(first.candidates), first.attempts) == (3, 3)
    assert first.usage.completion_tokens == 21
    await model.generate(ask(n=2))
    assert [request.body.get("n") for request in server.requests] == [3, None, None, None, None]
    assert len({request.body["seed"] for request in server.requests[:3]}) == 3


async def test_a_server_that_refuses_n_is_found_out_once(server, open_model, ask):
    """A 400 to n=2 from an unknown server leads to single requests, whatever the words of the refusal."""
    server.default = lambda r: (
        server.error(400, "Only one completion choice is allowed") if "n" in r.body else server.says()
    )
    model = await open_model()
    assert len((await model.generate(ask(n=2))).candidates) == 2
    assert len((await model.generate(ask(n=2))).candidates) == 2
    assert [request.body.get("n") for request in server.requests] == [2, None, None, None, None]


async def test_fewer_choices_than_n_are_made_up(server, open_model, ask):
    """Two of three: the third is asked for, with another seed."""
    server.plan = [server.choices(server.choice("a"), server.choice("b"))]
    generation = await (await open_model()).generate(ask(n=3))
    assert [candidate.text for candidate in generation.candidates] == ["a", "b", "reply 0"]
    assert server.requests[1].body["seed"] != server.requests[0].body["seed"]


async def test_one_empty_choice_is_replaced_not_kept(server, open_model, ask):
    """An empty reply among good ones never becomes a candidate; its tokens still count."""
    server.plan = [server.choices(server.choice("a"), server.choice(""), server.choice("c"))]
    generation = await (await open_model()).generate(ask(n=3))
    assert [candidate.text for candidate in generation.candidates] == ["a", "c", "reply 0"]
    assert generation.usage.completion_tokens == 28


async def test_too_few_choices_for_good_are_an_error(server, open_model, ask):
    """A server that cannot give n candidates ends in BadResponse with the count, not in fewer candidates."""
    server.default = lambda r: (
        server.choices(server.choice("a"), server.choice("")) if "n" in r.body else server.says("")
    )
    with pytest.raises(BadResponse, match="1 of 4"):
        await (await open_model()).generate(ask(n=4))


async def test_more_choices_than_n_are_left_out(server, open_model, ask):
    """Exactly n candidates, and no usage of their own: the server's count covers more."""
    server.default = server.choices(server.choice("a"), server.choice("b"), server.choice("c"))
    generation = await (await open_model()).generate(ask(n=1))
    assert [candidate.text for candidate in generation.candidates] == ["a"]
    assert generation.candidates[0].usage is None
    assert generation.usage.completion_tokens == 21


HTML = b"<!doctype html><html><body>Bad gateway</body></html>"

PASSING = {
    "429": (lambda s: s.error(429), RateLimited),
    "429 with seconds": (lambda s: s.json({}, 429, Retry_After="0"), RateLimited),
    "429 with milliseconds": (lambda s: s.json({}, 429, retry_after_ms="3"), RateLimited),
    "429 with a date": (lambda s: s.json({}, 429, Retry_After="Mon, 23 Nov 2020 10:00:00 GMT"), RateLimited),
    "500": (lambda s: s.error(500), Unreachable),
    "502 with HTML": (lambda s: s.raw(HTML, 502, "text/html"), Unreachable),
    "503": (lambda s: s.error(503), Unreachable),
    "529, Anthropic overloaded": (lambda s: s.error(529, type="overloaded_error"), Unreachable),
    "dropped before the answer": (lambda s: s.drop(), Unreachable),
    "dropped in the body": (lambda s: s.cut(), Unreachable),
    "JSON cut off": (lambda s: s.raw(s.says().body[:50]), BadResponse),
    "malformed JSON": (lambda s: s.raw(b'{"choices": [}'), BadResponse),
    "empty body": (lambda s: s.raw(b""), BadResponse),
    "not UTF-8": (lambda s: s.raw(b'{"choices":[{"message":{"content":"\xff"}}]}'), BadResponse),
    "HTML with 200": (lambda s: s.raw(HTML, 200, "text/html"), BadResponse),
    "null": (lambda s: s.raw(b"null"), BadResponse),
    "no choices": (lambda s: s.json({"id": "x"}), BadResponse),
    "null choices": (lambda s: s.json({"choices": None}), BadResponse),
    "zero choices": (lambda s: s.json({"choices": []}), BadResponse),
    "no message": (lambda s: s.json({"choices": [{"index": 0}]}), BadResponse),
    "broken off": (lambda s: s.says("half a", "abort"), BadResponse),
    "error inside a 200": (lambda s: s.json({"error": {"message": "upstream", "code": 502}}), Unreachable),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_passing_fault_is_survived(server, open_model, ask, name):
    """After one fault the request is sent again, and the answer counts both sendings."""
    server.plan = [PASSING[name][0](server)]
    generation = await (await open_model()).generate(ask())
    assert generation.candidates[0].text == "reply 0"
    assert generation.attempts == 2
    assert len(server.requests) == 2


@pytest.mark.parametrize("name", PASSING)
async def test_a_lasting_fault_ends_in_one_error(server, open_model, ask, name):
    """A fault that stays becomes the named error, after the allowed attempts and never as an answer."""
    fault, kind = PASSING[name]
    server.default = fault(server)
    with pytest.raises(kind) as caught:
        await (await open_model(max_attempts=3)).generate(ask())
    assert type(caught.value) is kind
    assert caught.value.attempts == 3
    assert len(server.requests) == 3


UNUSABLE = {
    "null content": (lambda s: s.says(None), "null"),
    "empty": (lambda s: s.says(""), "empty"),
    "whitespace": (lambda s: s.says(" \n\t"), "empty"),
    "thought, then nothing": (lambda s: s.says("", reasoning_content="hm"), "thought"),
    "thought inline, then nothing": (lambda s: s.says("<think>hm</think>\n"), "thought"),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_empty_reply_is_asked_for_again_with_another_seed(server, open_model, ask, name):
    """The same seed would draw the same nothing; and nothing never becomes a message."""
    fault, words = UNUSABLE[name]
    server.plan = [fault(server)]
    model = await open_model()
    assert (await model.generate(ask())).candidates[0].text == "reply 0"
    assert server.requests[0].body["seed"] != server.requests[1].body["seed"]
    server.default = fault(server)
    with pytest.raises(BadResponse, match=words) as caught:
        await model.generate(ask())
    assert caught.value.attempts == 3
    assert caught.value.status == 200


FINAL = {
    "401": (401, {"message": "Incorrect API key provided"}, FatalReject, "refused the key"),
    "403": (403, {"message": "no access"}, FatalReject, "refused the key"),
    "404 model": (404, {"message": "The model `m` does not exist"}, FatalReject, "knows no model 'm'"),
    "400 model (some proxies)": (
        400,
        {"message": "x", "code": "model_not_found"},
        FatalReject,
        "knows no model",
    ),
    "400 key (Gemini)": (
        400,
        {"message": "API key not valid. Please pass a valid API key."},
        FatalReject,
        "refused the key",
    ),
    "429 quota (OpenAI)": (
        429,
        {"message": "You exceeded", "code": "insufficient_quota"},
        FatalReject,
        "quota",
    ),
    "402 balance (DeepSeek)": (402, {"message": "Insufficient Balance"}, FatalReject, "credit"),
    "301": (301, {"message": "moved"}, FatalReject, "redirects"),
    "400 parameter": (
        400,
        {"message": "Unsupported value: 'temperature' does not support 0.2", "param": "temperature"},
        Rejected,
        "'temperature'",
    ),
    "400 in words only": (400, {"message": "'foo' must be positive"}, Rejected, "must be positive"),
    "413": (413, {"message": "body too large"}, ContextOverflow, "do not fit"),
    "filter (Azure)": (
        400,
        {"message": "The response was filtered", "param": "prompt", "code": "content_filter"},
        ContentFiltered,
        "withheld",
    ),
    "overflow": (400, {"message": "x", "code": "context_length_exceeded"}, ContextOverflow, "do not fit"),
}


@pytest.mark.parametrize("name", FINAL)
async def test_a_refusal_is_not_repeated(server, open_model, ask, name):
    """What would be refused again is sent once, and the error says what to fix."""
    status, error, kind, words = FINAL[name]
    server.default = server.json({"error": error}, status)
    with pytest.raises(kind, match=words) as caught:
        await (await open_model()).generate(ask())
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.attempts) == (status, 1)
    assert len(server.requests) == 1


async def test_a_model_that_was_there_is_not_given_up_at_once(server, open_model, ask):
    """A 404 after answers is a gateway whose replica restarts; the run stops only if it lasts."""
    model = await open_model(max_attempts=3)
    server.plan = [server.says(), server.error(404)]
    await model.generate(ask())
    assert (await model.generate(ask())).attempts == 2
    server.default = server.error(404)
    with pytest.raises(FatalReject) as caught:
        await model.generate(ask())
    assert caught.value.attempts == 3


async def test_a_filtered_reply_is_an_error(server, open_model, ask):
    """A finish reason content_filter, even with half a text, and a `refusal` are ContentFiltered."""
    model = await open_model()
    for reaction in (
        server.says("half", "content_filter"),
        server.says(None, "content_filter"),
        server.says(None, "stop", refusal="I can't help with that."),
    ):
        server.default = reaction
        with pytest.raises(ContentFiltered):
            await model.generate(ask())
    assert len(server.requests) == 3


async def test_a_reply_cut_by_length_passes_through(server, open_model, ask):
    """A reply at its token limit is a reply; who reads it sees why it ended."""
    server.default = server.says("half an ans", "length")
    candidate = (await (await open_model()).generate(ask())).candidates[0]
    assert (candidate.text, candidate.finish_reason) == ("half an ans", FinishReason.LENGTH)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("<think>so many words", {}),
        ("", {"reasoning_content": "so many words"}),
        ("", {}),
        (None, {"reasoning": "so many words"}),
    ],
    ids=["unclosed block", "reasoning_content", "hidden reasoning", "reasoning and null"],
)
async def test_thinking_to_the_limit_is_a_cut_reply(server, open_model, ask, said, message):
    """All tokens spent on thinking: cut like a reply that is cut while it speaks, and as final."""
    server.default = server.says(said, "length", **message)
    candidate = (await (await open_model()).generate(ask())).candidates[0]
    assert (candidate.text, candidate.finish_reason) == ("", FinishReason.LENGTH)
    assert len(server.requests) == 1, "there is no limit of ours that could be raised"


async def test_thinking_is_kept_apart(server, open_model, ask):
    """Reasoning fields and think blocks go into `reasoning`, the text is what follows."""
    model = await open_model()
    for reaction in (
        server.says("4", reasoning_content="2 and 2"),
        server.says("4", reasoning="2 and 2"),
        server.says("<think>2 and 2</think>\n\n4"),
        server.says(
            [
                {"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]},
                {"type": "text", "text": "4"},
            ]
        ),
    ):
        server.default = reaction
        candidate = (await model.generate(ask())).candidates[0]
        assert (candidate.text, candidate.reasoning) == ("4", "2 and 2")


async def test_logprobs_come_along_when_asked_for(server, open_model, ask):
    """Log-probabilities of the chosen tokens, in order; a form that is not known counts as none."""
    model = await open_model()
    good = {
        **server.choice("4"),
        "logprobs": {"content": [{"token": "4", "logprob": -0.5, "top_logprobs": []}]},
    }
    odd = {**server.choice("4"), "logprobs": {"content": "?"}}
    server.plan = [server.choices(good), server.choices(odd), server.choices(good)]
    found = [(await model.generate(ask(logprobs=wanted))).candidates[0] for wanted in (True, True, False)]
    assert [candidate.token_logprobs for candidate in found] == [(-0.5,), None, None]


async def test_retry_after_is_waited_for(server, open_model, ask):
    """The server's own pause is kept, although the back-off would be a millisecond."""
    server.plan = [server.json({}, 429, retry_after_ms="120")]
    generation = await (await open_model()).generate(ask())
    assert generation.latency_s >= 0.12


async def test_a_pause_beyond_the_total_time_is_not_waited_for(server, open_model, ask):
    """A server that asks for an hour gets the error now, not after an hour, and it concerns all requests."""
    server.default = server.json({}, 429, Retry_After="3600")
    with pytest.raises(LongWait, match="3600 s, more than total_timeout_s") as caught:
        await (await open_model()).generate(ask())
    assert (caught.value.retry_after_s, caught.value.attempts) == (3600, 1)
    assert len(server.requests) == 1


async def test_a_short_pause_for_which_no_time_is_left_fails_one_request(server, open_model, ask):
    """A server that asks for seconds will answer others: that is no reason to stop them."""
    server.default = server.json({}, 429, Retry_After="2")
    model = await open_model(total_timeout_s=1, max_backoff_s=30)
    with pytest.raises(RateLimited, match="no time is left") as caught:
        await model.generate(ask())
    assert type(caught.value) is RateLimited


async def test_another_endpoint_is_asked_before_a_long_pause(server, start_server, open_model, ask):
    """One of two accounts has used up its day: the other one answers."""
    other = await start_server()
    server.default = server.json({}, 429, Retry_After="3600")
    model = await open_model(base_url=(server.url, other.url))
    for number in range(8):
        await model.generate(ask(conversation_id=f"c{number}"))
    assert len(other.requests) == 8


async def test_a_stalled_answer_times_out(server, open_model, ask):
    """Headers and then nothing: the request is given up after request_timeout_s and sent again."""
    server.plan = [server.stall()]
    generation = await (await open_model(request_timeout_s=0.1)).generate(ask())
    assert generation.attempts == 2
    server.default = replace(server.says(), delay_s=60)
    with pytest.raises(Unreachable, match="no answer within"):
        await (await open_model(request_timeout_s=0.05, max_attempts=2)).generate(ask())


async def test_the_total_time_bounds_all_attempts(server, open_model, ask):
    """The last attempt gets only what is left of total_timeout_s."""
    server.default = server.stall()
    model = await open_model(request_timeout_s=60, total_timeout_s=0.15, max_attempts=50)
    started = time.monotonic()
    with pytest.raises(Unreachable):
        await model.generate(ask())
    assert time.monotonic() - started < 30


async def test_an_outage_is_survived(server, open_model, ask):
    """503 for a while does not burn all attempts at once: the pauses outlast it, for every request."""
    over = time.monotonic() + 0.4
    server.default = lambda r: server.error(503) if time.monotonic() < over else server.complete(r)
    model = await open_model(max_attempts=9, backoff_s=0.02, max_backoff_s=1.0)
    calls = (model.generate(ask(conversation_id=f"c{number}")) for number in range(20))
    generations = await asyncio.gather(*calls)
    assert all(1 < generation.attempts < 9 for generation in generations)


async def test_a_server_that_is_not_there_is_an_outage(server, open_model, ask):
    """A refused connection names the address; nothing was sent, and only time bounds how long it takes."""
    model = await open_model(total_timeout_s=0.2)
    await server.stop()
    started = time.monotonic()
    with pytest.raises(
        Outage, match=r"127\.0\.0\.1:\d+ failed: connection refused.*total_timeout_s"
    ) as caught:
        await model.generate(ask())
    assert (caught.value.status, caught.value.attempts) == (None, 0)
    assert time.monotonic() - started > 0.1


async def test_cancelling_passes_through_and_frees_the_place(server, open_model, ask):
    """A cancelled request leaves no place taken, whether it waited, was under way, or paused."""
    model = await open_model(max_connections=1, backoff_s=30, max_backoff_s=30)
    server.plan = [server.stall(), server.error(500)]
    calls = [asyncio.ensure_future(model.generate(ask())) for _ in range(3)]
    await asyncio.sleep(0.05)
    for call in (calls[2], calls[0]):
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.sleep(0.05)
    calls[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[1]
    assert (await asyncio.wait_for(model.generate(ask()), 2)).attempts == 1


async def test_one_failed_candidate_lets_the_others_arrive(server, open_model, ask):
    """Of parallel requests for one generation, the others are paid for: they are awaited; none is left."""
    late = replace(server.says(), delay_s=0.1)
    server.plan = [late, server.error(400, "no"), late]
    model = await open_model(model="ollama/m")
    with pytest.raises(Rejected):
        await asyncio.wait_for(model.generate(ask(n=3)), 2)
    assert server.in_flight == 0
    assert (await model.generate(ask())).attempts == 1


async def test_models_share_a_server_and_its_limit(server, open_model, ask):
    """Two models at one address send no more at a time than the smaller of their limits allows."""
    server.default = replace(server.says(), delay_s=0.02)
    async with Connections() as connections:
        one = await open_model(connections, max_connections=3)
        two = await open_model(connections, model="other", max_connections=8)
        await asyncio.gather(*(model.generate(ask()) for model in (one, two) for _ in range(6)))
    assert server.most_in_flight == 3


async def test_connections_are_reused(server, open_model, ask):
    """One connection serves request after request."""
    model = await open_model()
    for _ in range(5):
        await model.generate(ask())
    assert server.connections == 1


async def test_a_lost_idle_connection_costs_one_retry(server, open_model, ask):
    """A server that closes kept connections between requests is no failure."""
    server.default = lambda r: replace(
        server.complete(r), headers={"Connection": "keep-alive"}, cut_at=10_000
    )
    model = await open_model()
    for _ in range(3):
        assert (await model.generate(ask())).attempts <= 2
        await asyncio.sleep(0.01)


async def test_closing_leaves_nothing_open(server, open_model, ask):
    """After the end, garbage collection finds no open session or transport (warnings are errors)."""
    async with Connections() as connections:
        model = await open_model(connections)
        await model.generate(ask())
    gc.collect()
    with pytest.raises(RuntimeError, match="not open"):
        _ = connections.session


SECRET = "sk-very-secret-0123456789"


async def test_the_key_appears_nowhere(server, open_model, ask, monkeypatch, caplog):
    """A server that echoes the Authorization header does not make the key public; nor do repr and logs."""
    monkeypatch.setenv("MY_KEY", SECRET)
    server.default = lambda r: server.raw(
        b"x" * 290 + json.dumps(r.headers).encode() + r.headers["authorization"].encode(), 400
    )
    model = await open_model(api_key_env="MY_KEY")
    shown = [repr(model), repr(model.target)]
    for reaction in (
        server.default,
        lambda r: server.error(500, r.headers["authorization"]),
        lambda r: server.raw(r.headers["authorization"].encode()),
    ):
        server.default = reaction
        with pytest.raises((Rejected, Unreachable, BadResponse)) as caught:
            await model.generate(ask())
        shown += [str(caught.value), repr(caught.value), repr(caught.value.__cause__)]
    assert server.requests[0].headers["authorization"] == f"Bearer {SECRET}"
    assert not [text for text in [*shown, caplog.text] if SECRET[:12] in text]


async def test_a_failed_endpoint_is_replaced_at_once(server, start_server, open_model, ask):
    """With several endpoints, a fault of one sends the request to another without a pause."""
    other = await start_server()
    server.default = server.error(500)
    model = await open_model(base_url=(server.url, other.url), backoff_s=20, max_backoff_s=20)
    calls = [model.generate(ask(conversation_id=f"c{number}")) for number in range(24)]
    generations = await asyncio.wait_for(asyncio.gather(*calls), 5)
    assert {generation.attempts for generation in generations} == {1, 2}
    assert len(other.requests) == 24


async def test_an_endpoint_behind_a_broken_proxy_is_replaced(server, start_server, open_model, ask):
    """A page of HTML with status 200 speaks against the endpoint, too."""
    other = await start_server()
    server.default = server.raw(HTML, 200, "text/html")
    model = await open_model(base_url=(server.url, other.url), backoff_s=20, max_backoff_s=20)
    calls = [model.generate(ask(conversation_id=f"c{number}")) for number in range(24)]
    await asyncio.wait_for(asyncio.gather(*calls), 5)
    assert len(other.requests) == 24


async def test_requests_go_through_a_proxy(server, open_model, ask, monkeypatch):
    """With HTTP_PROXY set, the proxy gets the request with the full address."""
    for name in ("http_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    model = await open_model(base_url="http://gpu.example:8000/v1")
    await model.generate(ask())
    assert server.requests[0].path == "http://gpu.example:8000/v1/chat/completions"


async def test_a_dead_endpoint_is_set_aside(server, start_server, open_model, ask):
    """After a few failures in a row nothing is sent there for a while."""
    other = await start_server()
    server.default = server.error(503)
    model = await open_model(base_url=(server.url, other.url))
    for number in range(40):
        await model.generate(ask(conversation_id=f"c{number}"))
    assert len(server.requests) == 3
    assert len(other.requests) == 40


async def test_a_conversation_stays_at_its_endpoint(server, start_server, open_model, ask):
    """All turns of a conversation meet the same endpoint, and conversations are spread over all."""
    other = await start_server()
    model = await open_model(base_url=(server.url, other.url))
    for number in range(16):
        before = (len(server.requests), len(other.requests))
        for _ in range(3):
            await model.generate(ask(conversation_id=f"c{number}"))
        after = (len(server.requests), len(other.requests))
        assert sorted(b - a for a, b in zip(before, after, strict=True)) == [0, 3]
    assert min(len(server.requests), len(other.requests)) >= 3
