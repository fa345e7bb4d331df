"""Answers as servers send them: counts in any form, errors in a 200, broken JSON, sizes without measure."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace

import pytest

from coral.errors import BadResponse, ContextOverflow, FatalReject, RateLimited, Rejected, Unreachable
from coral.models import connections as connections_module
from coral.models.config import ModelConfig
from coral.models.listing import list_models
from coral.models.protocol import Sampling
from coral.models.providers import resolve
from coral.models.wire import Answer, read_answer
from coral.types import FinishReason, Usage

TARGET = resolve(ModelConfig(model="m", base_url="http://gpu:8000/v1"), {})


def _body(*texts, n_usage=None, **fields):
    choices = [
        {"index": 0, "message": {"content": text}, "finish_reason": "stop"} for text in texts or ("four",)
    ]
    return json.dumps({"choices": choices, "usage": n_usage, **fields}).encode()


COUNTS = [
    (10, 10, "a number"),
    (10.0, 10, "a decimal without fraction"),
    ("10", 10, "a text"),
    ("10.0", 10, "a text with a decimal"),
    (0, None, "none for a reply with words is impossible"),
    (10.5, None, "a fraction of a token"),
    (-3, None, "negative"),
    ("many", None, "a word"),
    ("", None, "an empty text"),
    (None, None, "null"),
    (True, None, "a truth value"),
    ([10], None, "a list"),
    ({"total": 10}, None, "an object"),
    (int("9" * 400), None, "400 digits"),
    (2**60, None, "more than all tokens ever written"),
]


@pytest.mark.parametrize(("given", "count", "reason"), COUNTS, ids=[row[2] for row in COUNTS])
def test_counts_are_true_or_unknown(given, count, reason):
    """A count in an odd form never costs the reply, and never becomes a wrong number."""
    answer = read_answer(_body(n_usage={"prompt_tokens": 5, "completion_tokens": given}), 1, TARGET)
    assert answer.candidates[0].text == "four"
    assert answer.usage == Usage(prompt_tokens=5, completion_tokens=count)


HUGE = [
    (b"9" * 5000, "5,000 digits"),
    (b"1e400", "a number beyond floats"),
    (b"NaN", "not a number"),
    (b"-Infinity", "negative infinity"),
]


@pytest.mark.parametrize(("digits", "reason"), HUGE, ids=[row[1] for row in HUGE])
def test_numbers_that_no_reader_of_json_takes_cost_no_reply(digits, reason):
    """They stand in what is not needed: the reply is read without them."""
    body = _body(n_usage={"prompt_tokens": 5, "completion_tokens": "X"}).replace(b'"X"', digits)
    answer = read_answer(body, 1, TARGET)
    assert answer.candidates[0].text == "four"
    assert answer.usage.completion_tokens is None


USAGES = [3, "ten", [], [1], {"prompt_tokens_details": 3, "completion_tokens_details": []}]


@pytest.mark.parametrize("usage", USAGES, ids=str)
def test_a_usage_of_another_form_is_unknown(usage):
    """Nor does a whole usage in an odd form cost the reply."""
    answer = read_answer(_body(n_usage=usage), 1, TARGET)
    assert (len(answer.candidates), answer.usage) == (1, Usage())


TOLD = {
    "input_tokens": 9,
    "output_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens_details": {"reasoning_tokens": 7},
}
NAMES = [
    (TOLD, Usage(9, 12, 7, 4), "the names of OpenAI's responses"),
    ({**TOLD, "prompt_tokens": 8, "completion_tokens": 11}, Usage(8, 11, 7, 4), "ours come first"),
    ({**TOLD, "output_tokens": "12"}, Usage(9, 12, 7, 4), "as a text"),
    ({"input_tokens": -1, "output_tokens": None}, Usage(), "no counts"),
]


@pytest.mark.parametrize(("usage", "counted", "reason"), NAMES, ids=[row[2] for row in NAMES])
def test_counts_are_read_by_either_name(usage, counted, reason):
    """Gateways that pass on `input_tokens` and `output_tokens` say what was paid, too."""
    assert read_answer(_body(n_usage=usage), 1, TARGET).usage == counted


STORY = "the brig sailed far and wide and came home in spring"
SUMS = [
    (2, 11, {}, True, "fewer tokens than words: the first candidate's"),
    (5, 11, {}, True, "the same for five"),
    (2, 22, {}, False, "as many tokens as words: possible"),
    (2, 30, {}, False, "an ordinary sum"),
    (2, 30, {"timings": {"predicted_n": 30, "predicted_ms": 1.0}}, True, "llama.cpp, whatever the number"),
    (1, 11, {"timings": {"predicted_n": 11}}, False, "one candidate of llama.cpp is counted well"),
    (1, 3, {}, False, "of a single one nothing but none is impossible"),
]


@pytest.mark.parametrize(("n", "count", "fields", "wrong", "reason"), SUMS, ids=[row[4] for row in SUMS])
def test_an_impossible_sum_is_unknown(n, count, fields, wrong, reason):
    """llama.cpp reports the tokens of candidate 0 as those of all `n`."""
    usage = {"prompt_tokens": 9, "completion_tokens": count}
    answer = read_answer(_body(*[STORY] * n, n_usage=usage, **fields), n, TARGET)
    assert answer.miscounted == wrong
    assert answer.usage == Usage(prompt_tokens=9, completion_tokens=None if wrong else count)


async def test_a_server_that_counts_one_candidate_for_all_is_asked_singly(server, open_model, ask):
    """From then on each candidate has its own count, and the sum is true. It is told once."""
    server.default = lambda r: server.choices(
        *(server.choice(STORY) for _ in range(r.body.get("n", 1))),
        usage={"prompt_tokens": 9, "completion_tokens": 12},
    )
    model = await open_model()
    first = await model.generate(ask(n=3))
    assert (first.usage.completion_tokens, len(first.candidates)) == (None, 3)
    second = await model.generate(ask(n=3))
    assert (second.usage.completion_tokens, len(server.requests)) == (36, 4)
    assert [made.setting for made in model.connections.adjustments.made] == ["n"]


async def test_llama_cpp_is_asked_singly_from_the_first(server, open_model, ask):
    """It names itself in its list of models, which is read before the first request: no count is lost."""
    server.models = server.json({"data": [{"id": "m", "owned_by": "llamacpp"}]})
    model = await open_model()
    await list_models(model, model.endpoints[0])
    await model.generate(ask())
    assert model.connections.adjustments.made == [], "who asks for one candidate is told nothing"
    generation = await model.generate(ask(n=3))
    assert generation.usage.completion_tokens == 21
    assert all("n" not in request.body for request in server.requests)
    assert [made.setting for made in model.connections.adjustments.made] == ["n"]


HIDDEN = {
    "vLLM": ({"object": "error", "message": "The model `m` does not exist.", "code": 404}, FatalReject),
    "OpenRouter": ({"error": {"message": "Provider returned error", "code": 502}}, Unreachable),
    "a status as a text": ({"error": {"message": "slow down", "code": "429"}}, RateLimited),
    "words of a limit": ({"object": "error", "message": "Rate limit reached, try again in 2s"}, RateLimited),
    "words of an overflow": ({"message": "prompt is too long: 9000 tokens > 8192 maximum"}, ContextOverflow),
    "words of a refused field": ({"detail": "Unsupported parameter: 'stop' is not supported"}, Rejected),
    "a list of errors": ({"errors": [{"message": "The model `m` does not exist."}]}, FatalReject),
    "MiniMax": ({"base_resp": {"status_code": 1004, "status_msg": "invalid api key"}}, FatalReject),
    "words that say nothing": ({"message": "something went wrong"}, Unreachable),
    "an error text": ({"error": "upstream connect error"}, Unreachable),
}


@pytest.mark.parametrize("name", HIDDEN)
def test_an_error_inside_a_200_is_read(name):
    """The server's message is told, not that there are no choices."""
    body, kind = HIDDEN[name]
    failure = read_answer(json.dumps(body).encode(), 1, TARGET)
    assert failure.kind is kind
    assert "no choices" not in failure.message


def test_an_error_inside_a_choice_is_told():
    """OpenRouter puts the failure of a provider there."""
    choice = {
        "message": {"content": ""},
        "finish_reason": "error",
        "error": {"message": "gpu lost", "code": 502},
    }
    answer = read_answer(json.dumps({"choices": [choice]}).encode(), 1, TARGET)
    assert "gpu lost" in answer.failures[0].message
    assert answer.failures[0].retry


TEXTS = [
    (rb'"x \ud83d"', "x \ufffd", "half a pair at the end"),
    (rb'"\ude00 x"', "\ufffd x", "half a pair at the start"),
    (rb'"a \ud83d\ude00 b"', "a 😀 b", "a whole pair"),
    (rb'"\ud83d\ud83d\ude00"', "\ufffd😀", "half a pair before a whole one"),
    (b'"line\nline"', "line\nline", "a raw line break"),
    (b'"tab\there"', "tab\there", "a raw tab"),
]


@pytest.mark.parametrize(("raw", "text", "reason"), TEXTS, ids=[row[2] for row in TEXTS])
def test_a_text_that_is_no_json_is_mended(raw, text, reason):
    """Sending again would cost the same, and bring the same."""
    answer = read_answer(_body("X").replace(b'"X"', raw), 1, TARGET)
    assert answer.candidates[0].text == text


def test_a_byte_order_mark_is_no_obstacle():
    """Some gateways write one."""
    assert isinstance(read_answer(b"\xef\xbb\xbf" + _body(), 1, TARGET), Answer)


def test_forms_of_what_is_not_needed_cost_no_reply():
    """A finish reason that is a number, an index that is a text, log-probabilities that are neither."""
    choice = {"index": "0", "message": {"content": "four", "role": 3}, "finish_reason": 7, "logprobs": "?"}
    answer = read_answer(
        json.dumps({"id": 3, "choices": [choice]}).encode(), 1, TARGET, Sampling(logprobs=True)
    )
    candidate = answer.candidates[0]
    assert (candidate.text, candidate.finish_reason, candidate.token_logprobs) == (
        "four",
        FinishReason.UNKNOWN,
        None,
    )


NESTED = b"[" * 200_000 + b"]" * 200_000
DEEP = {
    "in the usage": _body(n_usage="X").replace(b'"X"', NESTED),
    "in an unknown field": _body(extra="X").replace(b'"X"', NESTED),
    "in the reasoning": _body().replace(b'"content"', b'"reasoning": ' + NESTED + b', "content"'),
    "in an error": b'{"error": {"message": ' + NESTED + b"}}",
    "alone": NESTED,
    "objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_nested_json_is_a_bad_response(name):
    """No depth ends the run: it is a response that is no completion, sent again and counted."""
    failure = read_answer(DEEP[name], 1, TARGET)
    assert (failure.kind, failure.retry) == (BadResponse, True)


async def test_nested_json_in_an_error_body_and_a_model_list(server, open_model, ask):
    """The status still says what it is; a list that cannot be read is no list."""
    server.default = server.raw(DEEP["in an error"], 401)
    server.models = server.raw(b'{"data": ' + NESTED + b"}")
    model = await open_model()
    with pytest.raises(FatalReject, match="refused the key"):
        await model.generate(ask())
    assert (await list_models(model, model.endpoints[0])).names is None


@pytest.fixture
def small(monkeypatch):
    """A limit that tests can reach in no time."""
    monkeypatch.setattr(connections_module, "LARGEST_BODY", 2**20)


SIZES = {
    "with its length": lambda server: server.raw(b" " * (2**20 + 1)),
    "packed": lambda server: replace(
        server.raw(gzip.compress(b" " * 2**24)), headers={"Content-Encoding": "gzip"}
    ),
    "in an error": lambda server: server.raw(b" " * (2**20 + 1), 500),
}


@pytest.mark.parametrize("name", SIZES)
async def test_a_reply_without_measure_is_not_read(server, open_model, ask, small, name):
    """It is told as what it is, and not asked for again: it would be as large."""
    server.default = SIZES[name](server)
    model = await open_model()
    with pytest.raises(BadResponse, match="more than 1 MB"):
        await model.generate(ask())
    assert len(server.requests) == 1
    server.default = server.complete
    assert (await model.generate(ask())).candidates[0].text == "reply 0"


async def test_a_packed_reply_is_read(server, open_model, ask):
    """A server may pack although nobody asked it to."""
    server.default = replace(
        server.raw(gzip.compress(server.says("four").body)), headers={"Content-Encoding": "gzip"}
    )
    assert (await (await open_model()).generate(ask())).candidates[0].text == "four"


async def test_a_model_list_without_measure_is_no_list(server, open_model, small):
    """The same limit."""
    server.models = server.raw(b" " * (2**20 + 1))
    model = await open_model()
    assert (await list_models(model, model.endpoints[0])).names is None


LENGTHS = [
    ({"max_model_len": 4096}, 4096, "vLLM, SGLang"),
    ({"context_length": 131072}, 131072, "OpenRouter, Together"),
    ({"context_window": 8192}, 8192, "Groq"),
    ({"max_context_length": 32768}, 32768, "Mistral, LM Studio"),
    ({"meta": {"n_ctx_train": 8192, "n_ctx": 2048}}, 2048, "llama.cpp: what one slot has"),
    ({"context_length": "many"}, None, "a word"),
    ({"context_length": -1}, None, "negative"),
    ({"context_length": int("9" * 400)}, None, "400 digits"),
    ({"meta": 3}, None, "another form"),
]


@pytest.mark.parametrize(("fields", "tokens", "reason"), LENGTHS, ids=[row[2] for row in LENGTHS])
async def test_the_listed_context_length(server, open_model, fields, tokens, reason):
    """Where a server tells it, nothing has to be probed."""
    server.models = server.json({"data": [{"id": "other"}, {"id": "m", **fields}]})
    model = await open_model()
    assert (await list_models(model, model.endpoints[0])).context_tokens == tokens
