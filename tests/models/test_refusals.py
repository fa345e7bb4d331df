"""What error bodies of many servers mean. The bodies are in the form those servers send."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from coral.errors import FatalReject, Unreachable
from coral.models.config import ModelConfig
from coral.models.error_bodies import read_error_body
from coral.models.providers import Target, resolve
from coral.models.refusals import SHOWN, quote, read_hidden_refusal, read_refusal

TARGET = resolve(ModelConfig(model="m", base_url="http://gpu:8000/v1"), {})

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "refusals" / "refusals.jsonl")
    .read_text("utf-8")
    .splitlines()
]
"""What servers say when they refuse, and what it means: one row a sentence (see the README beside it)."""
RETRIED = {"RateLimited", "Unreachable"}


def _body(row: dict[str, Any]) -> bytes:
    return row["body"].encode() if isinstance(row["body"], str) else json.dumps(row["body"]).encode()


def _name(row: dict[str, Any]) -> str:
    return f"{row['server']}: {_body(row).decode()[:70]}"


def _target(row: dict[str, Any]) -> Target:
    return resolve(ModelConfig(model=row.get("model", "m"), base_url="http://gpu:8000/v1"), {})


@pytest.mark.parametrize("row", ROWS, ids=_name)
def test_a_refusal_is_understood_in_its_servers_own_words(row):
    """Overflow, unknown model, a limit of the moment, used-up credit, a refused field, role or key."""
    failure = read_refusal(row["status"], {}, _body(row), _target(row))
    assert failure.kind.__name__ == row["kind"]
    assert row.get("says", "") in failure.brief
    assert failure.refused == row.get("refused")
    assert failure.retry_after_s == row.get("pause")
    assert failure.retry == (row["kind"] in RETRIED)


FINAL = {"ContextOverflow", "FatalReject"}
INSIDE_200 = [row for row in ROWS if row["kind"] in FINAL and row["body"] and row["status"] not in {401, 403}]


@pytest.mark.parametrize("row", INSIDE_200, ids=_name)
def test_an_error_inside_a_200_is_as_final_as_with_its_status(row):
    """Gateways answer 200 with an error that names no status: the words alone decide."""
    failure = read_hidden_refusal({}, _body(row), _target(row))
    assert not failure.retry
    assert failure.kind.__name__ in {row["kind"], "FatalReject"}


LONG = (
    "larger than the a b c ",
    "exceeds the ",
    "context length ",
    "model ",
    "max_tokens ",
    "<script ",
    "a-",
    "a_",
    "x-api-key: ",
    "bearer ",
    "http://",
    "try again in ",
    "1s",
)


@pytest.mark.parametrize("piece", LONG)
def test_a_long_body_is_read_to_a_bound(piece):
    """Only the beginning of a body is searched: 50 MB cost what 20,000 characters do."""
    body = piece.encode() * (50_000_000 // len(piece))
    failure = read_refusal(400, {}, body, TARGET)
    assert len(failure.message) < 2 * SHOWN


GROWING = ("exceed", "surpass", "invalid", "no", "alternat", "violat", "limit", "no aa", "wait 1")


@pytest.mark.parametrize("piece", GROWING)
def test_no_words_keep_the_search_busy(piece):
    """No pattern is quadratic in what a body repeats: `exceed`, 3,333 times, was searched for minutes."""
    body = json.dumps({"error": {"message": piece * (100_000 // len(piece))}}).encode()
    start = time.process_time()
    read_refusal(400, {}, body, TARGET)
    assert time.process_time() - start < 4


PAUSES = [
    ({"error": {"message": "slow", "retry_after": 20}}, 20.0),
    ({"error": {"message": "slow", "retry_after": "1.5"}}, 1.5),
    ({"error": {"message": "slow", "retryAfter": "3s"}}, 3.0),
    ({"error": {"message": "slow", "retry_after_ms": 350}}, 0.35),
    ({"error": {"message": "slow", "retryAfterMs": "350ms"}}, 0.35),
    ({"error": "slow", "retry_after_seconds": 12}, 12.0),
    ({"message": "You are being rate limited.", "retry_after": 64.57, "global": False}, 64.57),
    ({"error": "Model m is currently loading", "estimated_time": 20.0}, 20.0),
    ({"detail": {"msg": "busy", "retry_in": "2 minutes"}}, 120.0),
    ({"error": {"message": "slow", "details": [{"@type": "x.RetryInfo", "retryDelay": "17s"}]}}, 17.0),
    ([{"error": {"message": "slow", "details": [{"a": 1}, {"retryDelay": "0.250s"}]}}], 0.25),
    ({"error": {"message": "slow", "metadata": {"headers": {"Retry-After": "9"}}}}, 9.0),
    ({"error": {"message": "slow", "metadata": {"retry_after_seconds": 4, "raw": "x"}}}, 4.0),
    ({"error": {"message": "Rate limit reached. Please try again in 1.5s. Visit ..."}}, 1.5),
    ({"error": {"message": "Please try again in 6m0s."}}, 360.0),
    ({"error": {"message": "Please retry after 20 seconds."}}, 20.0),
    ({"error": {"message": "Please retry your requests after 2 seconds"}}, 2.0),
    ({"detail": "Request was throttled. Expected available in 8 seconds."}, 8.0),
    ({"error": {"message": "Too many requests; next one allowed in 4.2s"}}, 4.2),
    ({"error": {"message": "Wait! There were too many. Retry-After: 30s"}}, 30.0),
    ({"error": {"message": "Limit 3 / min. Current: 4 / min. Please try again in 250ms."}}, 0.25),
    ({"error": {"message": "slow", "retry_after": None}}, None),
    ({"error": {"message": "slow", "retry_after": True}}, None),
    ({"error": {"message": "slow", "retry_after": -5}}, None),
    ({"error": {"message": "slow", "retry_after": "soon"}}, None),
    ({"error": {"message": "slow", "retry_after": [5]}}, None),
    ({"error": {"message": "slow", "retry_after": "soon", "retry_after_ms": 500}}, 0.5),
    ({"error": {"message": "Try again in 4s", "retry_after": 7}}, 7.0),
    ({"error": {"message": "slow", "limits": {"a": {"b": {"c": {"d": {"retry_after": 3}}}}}}}, None),
]


@pytest.mark.parametrize(("body", "pause"), PAUSES, ids=[str(body)[:70] for body, _ in PAUSES])
def test_a_pause_that_the_body_names_is_kept(body, pause):
    """In a field, however it is called and wherever a gateway puts it, or in words; nonsense is no pause."""
    failure = read_refusal(429, {}, json.dumps(body).encode(), TARGET)
    assert failure.retry_after_s == pause
    assert read_refusal(429, {"Retry-After": "2"}, json.dumps(body).encode(), TARGET).retry_after_s == 2.0


@pytest.mark.parametrize("value", [1, 1000])
def test_a_time_of_day_in_a_body_is_a_pause(value):
    """Gateways pass on when a limit resets: in seconds or milliseconds since 1970, or as ISO 8601."""
    then = time.time() + 90
    for said in (then * value, str(int(then * value))):
        body = json.dumps({"error": {"message": "slow", "metadata": {"X-RateLimit-Reset": said}}}).encode()
        assert read_refusal(429, {}, body, TARGET).retry_after_s == pytest.approx(90, abs=3)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
    body = json.dumps({"error": {"message": "slow", "reset_at": stamp}}).encode()
    assert read_refusal(429, {}, body, TARGET).retry_after_s == pytest.approx(90, abs=3)


REMEDIES = [
    ({}, {}, "api_key_env", "an unknown server: name a variable"),
    ({"api_key_env": "MY_KEY"}, {"MY_KEY": "k"}, "check the value of MY_KEY", "a key that is refused"),
    ({"model": "vllm/m"}, {}, "export VLLM_API_KEY", "a local server that was started with a key"),
]


@pytest.mark.parametrize(
    ("options", "environ", "words", "reason"), REMEDIES, ids=[row[3] for row in REMEDIES]
)
def test_a_refused_key_has_a_remedy(options, environ, words, reason):
    """401 says what to do about the key."""
    target = resolve(ModelConfig(**{"model": "m", "base_url": "http://gpu:8000", **options}), environ)
    failure = read_refusal(401, {}, b'{"error": "Unauthorized"}', target)
    assert failure.kind is FatalReject
    assert words in failure.message


BODIES = [
    (b"", "", "empty"),
    (b"upstream timed out", "upstream timed out", "plain text"),
    (
        b"<html><style>a{}</style><h1>502</h1>\n<p>Bad Gateway</p></html>",
        "502 Bad Gateway",
        "HTML without its tags",
    ),
    (b'{"error": "model overloaded"}', "model overloaded", "a bare string"),
    (b'{"detail": "Not Found"}', "Not Found", "FastAPI"),
    (b'{"error": {}}', '{"error":{}}', "an empty object"),
    (b'{"error": null, "message": "late"}', "late", "a null error beside a message"),
    (b"[]", "[]", "an empty list"),
    (b'"gone"', "gone", "a JSON string"),
    (b"\xff\xfe", "\ufffd\ufffd", "no text at all"),
]


@pytest.mark.parametrize(("body", "message", "reason"), BODIES, ids=[row[2] for row in BODIES])
def test_every_body_is_read(body, message, reason):
    """No error body, however odd, is itself an error."""
    assert read_error_body(body).message == message
    assert read_refusal(500, {}, body, TARGET).kind is Unreachable


def test_quotes_are_short_and_hold_no_key():
    """The key goes before the text is cut, so no half of it remains; what looks like a key goes, too."""
    target = resolve(ModelConfig(model="openai/m"), {"OPENAI_API_KEY": "sk-abcdefghijklmnop"})
    text = quote("x" * (SHOWN - 8) + "sk-abcdefghijklmnop" + "y" * 100, target)
    assert "sk-" not in text
    assert len(text) <= SHOWN + 10
    assert quote("Authorization: Bearer other-key-1", target) == "Authorization: Bearer [key]"
    assert quote("{'api-key': 'other-key-1'}", target) == "{'api-key': '[key]'}"
