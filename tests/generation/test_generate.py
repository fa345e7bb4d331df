"""Batches: every row answered exactly once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
import sys

import pytest
from aiohttp import web

from coral.errors import ConfigError, DataError, RunFolderError
from coral.generation import parts
from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, generate, preview

BATCH_LINE = {
    "custom_id": "first",
    "method": "POST",
    "url": "/v1/chat/completions",
    "body": {
        "model": "gpt-whatever",
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "batch"}],
        "temperature": 0.9,
        "max_completion_tokens": 7,
        "top_k": 3,
        "stop": "END",
    },
}
CHAT = {
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "ch"}, {"type": "text", "text": "at"}]}
    ],
    "id": 5,
}
PROMPT = {"prompt": "plain", "label": {"nested": [1, 2]}}


async def test_each_form_comes_back_as_it_came(batch, echo):
    """A batch line becomes a batch line; others come back whole, with `response` and `error`."""
    batch.write(BATCH_LINE, CHAT, PROMPT)
    counts = await batch.run(agent={"max_tokens": 64, "extra_body": {"top_k": 1, "min_p": 0.1}})
    first, second, third = batch.replies()
    assert first.keys() == {"id", "custom_id", "response", "error"}
    assert (first["custom_id"], first["error"], first["response"]["status_code"]) == ("first", None, 200)
    assert first["response"]["body"]["choices"][0]["message"] == {"role": "assistant", "content": "batch!"}
    assert second == {**CHAT, "response": second["response"], "error": None}
    assert third == {**PROMPT, "response": third["response"], "error": None}
    assert third["response"]["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert (counts.total, counts.answered, counts.failed) == (3, 3, 0)
    sent = {body["messages"][-1]["content"]: body for body in echo.bodies}
    told = {
        name: sent["batch"][name] for name in ("model", "temperature", "max_tokens", "top_k", "min_p", "stop")
    }
    assert told == {
        "model": "m", "temperature": 0.9, "max_tokens": 7, "top_k": 3, "min_p": 0.1, "stop": ["END"],
    }  # fmt: skip
    assert (sent["plain"]["max_tokens"], sent["plain"]["top_k"]) == (64, 1)
    assert sent["chat"]["messages"] == [{"role": "user", "content": "chat"}]


async def test_rows_say_n_and_seed_themselves(batch, echo):
    """Else the options say them, and no two rows share a seed."""
    batch.write(
        {"body": {"messages": [{"role": "user", "content": "own"}], "n": 3, "seed": 0}},
        {"prompt": "a"}, {"prompt": "b"},
    )  # fmt: skip
    await batch.run(n=2)
    assert [len(row["response"]["choices"]) for row in batch.replies()[1:]] == [2, 2]
    assert len(batch.replies()[0]["response"]["body"]["choices"]) == 3
    seeds = {body["messages"][-1]["content"]: body["seed"] for body in echo.bodies}
    assert seeds["own"] == 0
    assert seeds["a"] != seeds["b"]


async def test_candidates_that_arrived_are_not_paid_for_twice(batch, echo):
    """Where a server sends replies one by one and then fails, the next run asks for the others alone."""
    batch.prompts(2)
    seeds = []

    def react(body):
        if body.get("n", 1) > 1:
            return echo.error(400, "n must be 1")
        seeds.append(body["seed"])
        return echo.error(500) if len(set(seeds)) > 4 else None

    echo.react = react
    counts = await batch.run(n=3, max_connections=1)
    assert (counts.answered, counts.failed) == (1, 1)
    answered, asked = set(seeds[:4]), len(echo.bodies)
    echo.react = lambda body: echo.error(400, "n must be 1") if body.get("n", 1) > 1 else None
    assert (await batch.run(n=3)).answered == 1
    again = {body["seed"] for body in echo.bodies[asked:] if body.get("n", 1) == 1}
    assert len(again) == 2
    assert not again & answered
    assert [len(row["response"]["choices"]) for row in batch.replies()] == [3, 3]


async def test_thinking_stands_apart(batch, echo):
    """What the model thought is no part of its reply."""
    batch.prompts(1)
    choice = {"index": 0, "message": {"content": "<think>hm</think>yes"}, "finish_reason": "stop"}
    echo.react = lambda body: web.json_response({"choices": [choice]})
    await batch.run()
    message = batch.replies()[0]["response"]["choices"][0]["message"]
    assert message == {"role": "assistant", "content": "yes", "reasoning_content": "hm"}


async def test_the_order_is_that_of_the_rows(batch, echo):
    """Replies arrive in any order; blank lines are no rows; a text with line breaks stays one row."""
    rows = [
        {"prompt": text} for text in ("a\nb", "ü € 漢字 🙂", "\u2028", "x" * 10_000, *map(str, range(50)))
    ]
    batch.write(*rows[:10], b"", b"   ", *rows[10:])
    await batch.run()
    assert [row["prompt"] for row in batch.replies()] == [row["prompt"] for row in rows]
    assert all(
        row["response"]["choices"][0]["message"]["content"] == f"{row['prompt']}!" for row in batch.replies()
    )


BAD = {
    "no JSON": (b"hello", "line 2 is not a JSON object"),
    "half of a row": (b'{"prompt": "a', "line 2 is not a JSON object"),
    "a list": (["a"], "line 2 is not a JSON object"),
    "other bytes": (b"\xff\xfe", "line 2 is not a JSON object"),
    "nothing to ask": ({"question": "a"}, "has none of body, messages and prompt"),
    "a prompt that is no text": ({"prompt": 5}, "has a prompt that is not a text"),
    "no messages": ({"messages": []}, "has no messages"),
    "messages that are no list": ({"messages": "hi"}, "a message is not an object"),
    "messages that are a number": ({"messages": 5}, "messages is not a list"),
    "a part without its text": (
        {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
        "other than text",
    ),
    "a picture": ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "other than text"),
    "no content": ({"messages": [{"role": "user", "content": None}]}, "not a text"),
    "a tool call beside its text": (
        {"messages": [{"role": "assistant", "content": "a", "tool_calls": [{"id": "1"}]}]},
        "a message holds tool_calls",
    ),
    "a name": ({"messages": [{"role": "user", "content": "a", "name": "b"}]}, "a message holds name"),
    "an unknown role": ({"messages": [{"role": "tool", "content": "a"}]}, "and not 'tool'"),
    "another endpoint": ({"body": {"input": "a"}, "url": "/v1/embeddings"}, "/v1/embeddings"),
    "no temperature": (
        {"body": {"messages": [{"role": "user", "content": "a"}], "temperature": "hot"}},
        "Expected",
    ),
    "no replies": ({"body": {"messages": [{"role": "user", "content": "a"}], "n": 0}}, "$.n"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_row_is_told_before_anything_is_sent(batch, echo, name):
    """With its line and what is wrong; no row is skipped, and nothing is paid for."""
    row, words = BAD[name]
    batch.write({"prompt": "fine"}, row, {"prompt": "fine, too"})
    with pytest.raises(DataError, match="line 2") as caught:
        await batch.run()
    assert words in str(caught.value)
    assert echo.bodies == []
    assert not batch.parts.exists()


async def test_failed_rows_are_told_and_asked_again(batch, echo):
    """The output has a line for each, with its error; the same command asks those alone."""
    batch.prompts(30)
    echo.react = lambda b: echo.error(400, "no such thing") if "7" in b["messages"][-1]["content"] else None
    counts = await batch.run()
    assert (counts.answered, counts.failed, counts.is_complete) == (27, 3, True)
    failed = [row for row in batch.replies() if row["error"]]
    assert [row["mine"] for row in failed] == [7, 17, 27]
    assert failed[0]["response"] is None
    assert failed[0]["error"]["code"] == "Rejected"
    assert "no such thing" in failed[0]["error"]["message"]
    echo.react = lambda b: None
    before = echo.asked.total()
    counts = await batch.run()
    assert (counts.kept, counts.answered, counts.failed) == (27, 3, 0)
    assert echo.asked.total() == before + 3
    assert not [row for row in batch.replies() if row["error"]]


async def test_a_finished_batch_asks_nothing(batch, echo):
    """The same command again sends nothing; more rows behind the old ones are all that is asked."""
    batch.prompts(5)
    await batch.run()
    first = batch.output.read_bytes()
    await batch.run()
    assert echo.asked.total() == 5
    assert batch.output.read_bytes() == first
    batch.prompts(8)
    await batch.run()
    assert echo.asked.total() == 8
    assert batch.output.read_bytes().startswith(first)


async def test_a_changed_row_is_asked_again(batch, echo):
    """What was answered belongs to the row as it was."""
    batch.write({"prompt": "a"}, {"prompt": "b"})
    await batch.run()
    batch.write({"prompt": "a"}, {"prompt": "c"})
    await batch.run()
    assert dict(echo.asked) == {"a": 1, "b": 1, "c": 1}
    assert [row["response"]["choices"][0]["message"]["content"] for row in batch.replies()] == ["a!", "c!"]


async def test_other_options_are_refused(batch):
    """Half of a file by one model and half by another is nobody's wish; addresses may change."""
    batch.prompts(2)
    await batch.run()
    with pytest.raises(RunFolderError, match="temperature"):
        await batch.run(agent={"temperature": 0.9})
    with pytest.raises(RunFolderError, match="seed"):
        await batch.run(seed=1)
    await batch.run(agent={"request_timeout_s": 5.0}, max_connections=3)


async def test_somebody_elses_file_is_left_alone(batch, echo):
    """An output that this command did not write is not replaced."""
    batch.prompts(1)
    batch.output.write_text("precious")
    with pytest.raises(RunFolderError, match="is not the work of this command"):
        await batch.run()
    assert batch.output.read_text() == "precious"
    assert echo.bodies == []


async def test_one_process_at_a_time(batch, echo):
    """A second one is refused while the first one works."""
    batch.prompts(20)
    echo.delay_s = 0.3
    first = asyncio.ensure_future(batch.run())
    while not echo.bodies:
        await asyncio.sleep(0.01)
    with pytest.raises(RunFolderError, match="another process works"):
        await batch.run()
    await first


async def test_a_stop_keeps_what_arrives(batch, echo):
    """Requests in flight are answered and kept, no others are sent, and the next run has the rest."""
    batch.prompts(200)
    echo.delay_s = 0.05
    counts = Counts()
    running = asyncio.ensure_future(generate(batch.config(max_connections=8), counts))
    while counts.answered < 20:
        await asyncio.sleep(0.005)
    counts.stop()
    await asyncio.wait_for(running, 20)
    assert not counts.is_complete
    assert not batch.output.exists()
    assert counts.answered == echo.asked.total()
    echo.delay_s = 0.0
    await batch.run()
    assert set(echo.asked.values()) == {1}
    assert len(batch.replies()) == 200


async def test_a_kill_costs_only_what_was_in_flight(batch, echo, tmp_path):
    """After kill -9 the same command resumes, and the output is byte for byte that of an undisturbed run."""
    batch.prompts(300)
    await batch.run(max_connections=8)
    undisturbed = batch.output.read_bytes()
    other = tmp_path / "other.jsonl"
    command = [
        sys.executable, "-m", "coral", "generate", batch.input, "--output", other, "--agent.model", "m",
        "--agent.base_url", echo.url, "--max_connections", "8",
    ]  # fmt: skip
    echo.asked.clear()
    echo.delay_s = 0.03
    process = await asyncio.create_subprocess_exec(*map(str, command), stderr=subprocess.DEVNULL)
    while echo.asked.total() < 100:
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    assert not other.exists()
    echo.delay_s = 0.0
    process = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    assert "300 of 300 rows answered" in output.decode()
    assert "by earlier runs" in output.decode()
    assert other.read_bytes() == undisturbed
    assert echo.asked.total() <= 300 + 8


async def test_the_exit_code_counts_lines(batch, echo):
    """1 where a row failed, 0 where none did."""
    batch.prompts(3)
    command = [
        sys.executable, "-m", "coral", "generate", batch.input, "--output", batch.output,
        "--agent.model", "m", "--agent.base_url", echo.url,
    ]  # fmt: skip
    echo.react = lambda b: echo.error(400) if "1" in b["messages"][-1]["content"] else None
    for code, words in (
        (1, "2 of 3 rows answered; 1 failed"),
        (0, "3 of 3 rows answered, 2 of them by earlier runs"),
    ):
        process = await asyncio.create_subprocess_exec(*map(str, command), stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        assert (process.returncode, output.decode().splitlines()[0]) == (code, words)
        echo.react = lambda b: None


def test_a_dry_run_sends_nothing(tmp_path):
    """It checks every row and shows the first request."""
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(PROMPT) + "\n" + json.dumps(CHAT) + "\n")
    shown = preview(GenerateConfig(input=str(path), dry_run=True))
    assert (shown.rows, shown.first.messages[0].content) == (2, "plain")


def _own_replies(batch):
    return all(
        row["response"]["choices"][0]["message"]["content"] == f"row {row['mine']}!"
        for row in batch.replies()
    )


async def test_a_folder_that_is_deleted_ends_the_work(batch, echo, monkeypatch):
    """Replies that nobody can find again are not paid for: all 2,000 were, and then came a traceback."""
    monkeypatch.setattr(parts, "LOOK_EVERY_S", 0.0)
    batch.prompts(200)
    echo.react = lambda body: shutil.rmtree(batch.parts) if len(echo.bodies) == 20 else None
    with pytest.raises(RunFolderError, match="deleted or moved"):
        await batch.run(max_connections=4)
    assert len(echo.bodies) < 40
    assert not batch.output.exists()
    await batch.run()
    assert len(batch.replies()) == 200
    assert _own_replies(batch)


async def test_what_earlier_sessions_left_may_be_deleted_meanwhile(batch, echo):
    """No row gets the reply to another one: what is missing at the end is said, and asked again alone."""
    batch.prompts(20)
    await batch.run(limit=8)
    earlier = batch.parts / "00000.jsonl"
    echo.react = lambda body: earlier.unlink() if len(echo.bodies) == 20 else None
    with pytest.raises(RunFolderError, match="8 rows") as caught:
        await batch.run(max_connections=1)
    assert "again" in caught.value.remedy
    await batch.run()
    assert len(batch.replies()) == 20
    assert _own_replies(batch)
    assert len(echo.bodies) == 28


REFUSED = {
    "no rows": ({"output": "b"}, "no file of rows"),
    "no output": ({"input": "a"}, "no output"),
    "one file": ({"input": "a", "output": "./a"}, "one file"),
    "no replies": ({"input": "a", "output": "b", "n": 0}, "n must be at least 1"),
    "no connections": (
        {"input": "a", "output": "b", "max_connections": 0},
        "max_connections must be at least 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_no_batch_can_use(name):
    """They are refused by name."""
    options, words = REFUSED[name]
    with pytest.raises(ConfigError, match=words):
        GenerateConfig(**options)


@pytest.mark.parametrize("content", [None, b"", b"\n\n"])
async def test_an_input_without_rows(batch, content):
    """No file, an empty one or blank lines: told, and nothing is made."""
    if content is not None:
        batch.input.write_bytes(content)
    with pytest.raises(DataError):
        await batch.run()
    assert not batch.parts.exists()


async def test_rows_that_were_answered_before_come_from_the_cache(batch, echo, tmp_path):
    """Another output, the same rows: nothing is asked, and nothing is counted or paid for."""
    batch.prompts(5)
    cache, prices = str(tmp_path / "cache"), tmp_path / "prices.yaml"
    prices.write_text("m: {prompt: 1000000, completion: 1000000}\n")
    first = await batch.run(cache=cache, n=2, prices=str(prices))
    assert (first.from_cache, first.usd) == (0, 35)
    batch.output = tmp_path / "again.jsonl"
    again = await batch.run(cache=cache, n=2, prices=str(prices))
    assert (again.answered, again.from_cache, again.prompt_tokens, again.usd) == (5, 5, 0, 0)
    assert sum(echo.asked.values()) == 5
    batch.output = tmp_path / "limited.jsonl"
    limited = await batch.run(cache=cache, n=2, prices=str(prices), max_cost=1e-6)
    assert limited.is_complete


async def test_equal_rows_are_two_requests(batch, echo, tmp_path):
    """The seed of a row is its place's, so that a prompt that stands there twice is asked twice."""
    batch.write({"prompt": "same"}, {"prompt": "same"})
    await batch.run(cache=str(tmp_path / "cache"))
    assert echo.asked["same"] == 2
