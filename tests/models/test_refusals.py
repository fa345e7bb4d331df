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
