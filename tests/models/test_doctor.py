"""What `coral doctor` finds out about servers of different abilities."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coral
from coral.cli.doctor import run
from coral.doctor import context_probe
from coral.doctor.diagnose import Diagnosis, diagnose
from coral.errors import ConfigError, ContextOverflow
from coral.models.config import ModelConfig
from coral.models.protocol import Candidate, Generation
from coral.types import FinishReason, Usage

TINY = Path(coral.__file__).parent / "assets" / "tiny"


@pytest.fixture
def able(server) -> Callable[[Any], Any]:
    """A server that can do everything: seeds, n, stop, log-probabilities, usage."""

    def answer(request):
        body = request.body
        asked = body["messages"][-1]["content"]
        seed = body.get("seed") if body.get("temperature") == 1.0 else 0
        said = "1, 2, 3, 4, " if "stop" in body else f"reply of seed {seed}" if "ship" in asked else "coral"
        choices = []
        for index in range(body.get("n", 1)):
            choice = server.choice(f"{said}{index or ''}")
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [{"token": "c", "logprob": -0.1}]}
            choices.append(choice)
        return server.choices(*choices)

    return answer


async def _diagnose(server, **options) -> Diagnosis:
    config = {"model": "m", "base_url": server.url, "backoff_s": 0.001, "max_backoff_s": 0.001, **options}
    return await diagnose(ModelConfig(**config))


def _row(diagnosis: Diagnosis, probe: str):
    return next(row for row in diagnosis.findings if row.probe == probe)


async def test_an_able_server(server, able):
    """Every ability that is there is found, and the context length is the listed one."""
    server.default = able
    diagnosis = await _diagnose(server)
    verdicts = {row.probe: row.verdict for row in diagnosis.findings}
    assert verdicts == {
        "reachable": "ok",
        "model listed": "ok",
        "answers": "ok",
        "n": "ok",
        "usage per n": "no",
        "seed": "ok",
        "stop": "ok",
        "logprobs": "ok",
        "context length": "ok",
        "extraction": "no",
        "usage": "ok",
        "thinking": "no",
        "latency p50": "ok",
    }
    assert "4,096" in _row(diagnosis, "context length").seen
    assert diagnosis.usable


async def test_a_poor_server(server):
    """No list, no n, no seed, no stop, no usage: each is said with what follows, and it is usable still."""
    count = iter(range(100))
    server.models = server.error(404)
    server.default = lambda _: server.json({"choices": [server.choice(f"5 ships {next(count)}")]})
    diagnosis = await _diagnose(server)
    for probe in ("n", "seed", "stop", "logprobs", "usage"):
        assert _row(diagnosis, probe).verdict == "no", probe
        assert _row(diagnosis, probe).consequence, probe
    assert _row(diagnosis, "model listed").verdict == "unknown"
    assert _row(diagnosis, "usage per n").verdict == "ok", "a request a candidate: each has its own"
    assert diagnosis.usable


async def test_a_refused_probe_is_a_finding(server, able):
    """A server that refuses logprobs (Groq) is usable; the row quotes the refusal."""
    server.default = lambda r: (
        server.error(400, "property 'logprobs' is unsupported") if r.body.get("logprobs") else able(r)
    )
    diagnosis = await _diagnose(server)
    assert _row(diagnosis, "logprobs").verdict == "no"
    assert "'logprobs'" in _row(diagnosis, "logprobs").seen
    assert diagnosis.usable


async def test_thinking_is_seen(server, able):
    """A model that thinks needs tokens for it, which the row says."""
    server.default = server.says("coral", reasoning_content="a reef")
    row = _row(await _diagnose(server), "thinking")
    assert (row.verdict, row.seen) == ("ok", "kept apart from the reply")
    assert "max_tokens" in row.consequence


CONTEXTS = [
    ("refused", "ok", "8,192 tokens"),
    ("cut", "no", "cuts long prompts to 2,050 tokens"),
    ("taken", "unknown", "takes a prompt"),
]


@pytest.mark.parametrize(("behaviour", "verdict", "words"), CONTEXTS, ids=[row[0] for row in CONTEXTS])
async def test_an_unlisted_context_is_probed(server, able, behaviour, verdict, words):
    """A prompt beyond the limit shows whether a server refuses it, or cuts it silently as Ollama does."""

    def answer(request):
        long = len(request.body["messages"][0]["content"]) > 100_000
        if long and behaviour == "refused":
            return server.error(400, "the request exceeds the available context size (40001 > 8192 tokens)")
        counted = {"prompt_tokens": 2050 if behaviour == "cut" else 40_001, "completion_tokens": 1}
        return server.choices(server.choice("coral"), usage=counted) if long else able(request)

    server.models = server.json({"data": [{"id": "m"}]})
    server.default = answer
    row = _row(await _diagnose(server), "context length")
    assert row.verdict == verdict
    assert words in row.seen


async def test_a_prompt_is_never_sent_twice(server, able):
    """A server that is busy with a long prompt gets no second one: that would block it for minutes."""
    sent = []

    def answer(request):
        words = len(request.body["messages"][-1]["content"].split())
        if words < 1000:
            return able(request)
        sent.append(words)
        return server.drop() if words > 5000 else server.says()

    server.models = server.json({"data": [{"id": "m"}]})
    server.default = answer
    row = _row(await _diagnose(server), "context length")
    assert sent == [1000, 2500, 6000]
    assert row.verdict == "unknown"
    assert "a prompt of 6,000 words failed: " in row.seen


class _Reader:
    """Reads prompts at a pace of its own, on a clock of its own."""

    def __init__(self, seconds, limit=None, cut=None):
        self.seconds, self.limit, self.cut = seconds, limit, cut
        self.now, self.sent = 0.0, []

    def clock(self):
        return self.now

    async def ask(self, text):
        words = len(text.split())
        self.sent.append(words)
        self.now += self.seconds(words)
        if self.limit and words > self.limit:
            raise ContextOverflow(f"the model's context length is only {self.limit} tokens, you sent {words}")
        tokens = min(words, self.cut or words)
        candidate = Candidate(text="", finish_reason=FinishReason.LENGTH)
        usage = Usage(prompt_tokens=tokens, completion_tokens=1)
        return Generation(candidates=(candidate,), usage=usage, latency_s=0.0)


GROWING = [
    (_Reader(lambda _: 0.1), 5, "unknown", "takes a prompt of 40,000 words", "a fast server gets them all"),
    (_Reader(lambda _: 0.1, limit=4096), 3, "ok", "4,096 tokens", "the first refusal ends it"),
    (_Reader(lambda _: 0.1, cut=2048), 5, "no", "cuts long prompts to 2,048 tokens", "cut without a word"),
    (_Reader(lambda n: n / 500), 2, "unknown", "2,500 words; longer ones would take more than 30 s", "slow"),
    (
        _Reader(lambda n: (n / 1000) ** 2),
        2,
        "unknown",
        "2,500 words; longer ones",
        "slower from prompt to prompt",
    ),
    (_Reader(lambda n: n / 100), 1, "unknown", "takes a prompt of 1,000 words; longer", "very slow"),
]


@pytest.mark.parametrize(
    ("reader", "count", "verdict", "words", "reason"), GROWING, ids=[row[4] for row in GROWING]
)
async def test_the_context_probe_grows_within_its_time(reader, count, verdict, words, reason):
    """An 80,000-token prompt blocked a slow server for 8 minutes: what would not fit in is not sent."""
    seen = await context_probe.probe(reader.ask, reader.clock)
    assert len(reader.sent) == count, reason
    assert (seen[0], words in seen[1]) == (verdict, True)
    assert reader.now < context_probe.BUDGET_S


async def test_seeds_are_checked_under_load(server, able):
    """A server that batches may draw another text for the same seed while it draws for others."""
    others = []

    def answer(request):
        seed = request.body.get("seed")
        if request.body.get("temperature") == 1.0 and seed in others:
            return server.says("another story")
        others.extend([11] if seed == 12 else [])  # alone, 11 came twice before 12
        return able(request)

    server.default = answer
    row = _row(await _diagnose(server), "seed")
    assert row.verdict == "no"
    assert "another text while other requests run" in row.seen


@pytest.mark.parametrize("listed", [True, False])
async def test_a_server_that_counts_one_candidate_for_all_is_named(server, able, listed):
    """llama.cpp: the row says what its count is, and that candidates are asked for singly."""
    if listed:
        server.models = server.json({"data": [{"id": "m", "owned_by": "llamacpp"}]})

    def answer(request):
        body = json.loads(able(request).body)
        return server.json({**body, "timings": {"predicted_n": 7}})

    server.default = answer
    diagnosis = await _diagnose(server)
    row = _row(diagnosis, "n")
    assert row.verdict == "no"
    assert _row(diagnosis, "usage per n").verdict == ("ok" if listed else "no")
    assert "counts the tokens of one candidate for all: candidates are asked for one by one" in row.seen


async def test_settings_that_a_model_refuses_are_shown(server, able):
    """A reasoning model is usable, and the table says what is changed for it."""

    def answer(request):
        if "temperature" in request.body:
            return server.error(400, "Unsupported parameter: 'temperature' is not supported with this model.")
        if request.body["messages"][0]["role"] == "system":
            return server.error(400, "System role not supported")
        return able(request)

    server.default = answer
    diagnosis = await _diagnose(server)
    row = _row(diagnosis, "settings")
    assert diagnosis.usable
    assert (
        row.seen == "temperature is left to the server; the system prompt is sent in the first user message"
    )


async def test_a_model_that_does_not_answer_is_unusable(server):
    """The reason is shown, and no further probe is sent."""
    server.default = server.error(401, "no")
    diagnosis = await _diagnose(server)
    assert not diagnosis.usable
    assert "api_key_env" in _row(diagnosis, "answers").seen
    assert len(server.requests) == 1


async def test_nothing_is_asked_of_nobody(server):
    """A refused connection is told at once, without the patience that a run has with a restart."""
    await server.stop()
    diagnosis = await _diagnose(server)
    assert [row.verdict for row in diagnosis.findings] == ["no", "unknown", "no"]
    assert not diagnosis.usable


async def test_a_wrong_name_shows_the_right_ones(server, able):
    """The list tells what the server has instead."""
    server.default = able
    row = _row(await _diagnose(server, model="n"), "model listed")
    assert (row.verdict, row.seen) == ("no", "'n' is not among 1: m")


async def test_a_silent_endpoint_among_several_is_reported(server, start_server, able):
    """The others answer, so the run works; the table says that one does not."""
    other = await start_server()
    server.default = able
    url = other.url
    await other.stop()
    diagnosis = await _diagnose(server, base_url=(server.url, url))
    assert _row(diagnosis, "reachable").verdict == "no"
    assert "1 of 2" in _row(diagnosis, "reachable").seen
    assert diagnosis.usable


async def test_the_command_prints_a_table(server, able, capsys, monkeypatch):
    """Within 80 columns, exit code 0 or 2, and no key in it."""
    monkeypatch.setenv("MY_KEY", "sk-0123456789")
    server.default = able
    flags = ["--agent.model=m", f"--agent.base_url={server.url}", "--agent.api_key_env=MY_KEY"]
    assert await asyncio.to_thread(run, flags) == 0
    shown = capsys.readouterr().out
    assert "context length" in shown
    assert max(len(line) for line in shown.splitlines()) <= 80
    server.default = server.error(400, "bad key sk-0123456789 [in brackets]")
    assert await asyncio.to_thread(run, flags) == 2
    shown += capsys.readouterr().out
    assert "not usable" in shown
    assert "[in brackets]" in " ".join(shown.split())
    assert "sk-0" not in shown


def test_a_bare_name_is_explained():
    """`coral doctor NAME` is refused with the option to write instead."""
    with pytest.raises(ConfigError) as caught:
        run(["gpt-4o"])
    assert "--agent.model gpt-4o" in caught.value.remedy


EMBEDDED = {"package": "", "named": "tiny", "folder": str(TINY)}


@pytest.mark.parametrize("model", EMBEDDED.values(), ids=EMBEDDED)
async def test_a_model_in_this_process(model):
    """The model in the package, and any checkpoint folder, gets the same table, without an address."""
    diagnosis = await diagnose(ModelConfig(model=model))
    assert diagnosis.model == (model if model == str(TINY) else "tiny (embedded)")
    assert diagnosis.addresses == ()
    assert diagnosis.usable
    assert {row.probe: row.verdict for row in diagnosis.findings} == {
        "runs": "ok",
        "answers": "ok",
        "n": "ok",
        "usage per n": "ok",
        "seed": "ok",
        "stop": "ok",
        "logprobs": "ok",
        "context length": "ok",
        "extraction": "no",
        "usage": "ok",
        "thinking": "no",
        "latency p50": "ok",
    }
    limit = json.loads((TINY / "config.json").read_text())["max_position_embeddings"]
    assert _row(diagnosis, "context length").seen == f"{limit:,} tokens (config.json)"


async def test_an_address_is_probed_whatever_the_name(server, able):
    """A model called tiny behind an address is that server's, not the one in the package."""
    server.default = able
    diagnosis = await _diagnose(server, model="tiny")
    assert diagnosis.addresses
    assert len(server.requests) > 5


def test_the_command_without_options_probes_the_model_in_the_package(capsys):
    """`coral doctor` alone works: what runs where no model is named is what is probed."""
    assert run([]) == 0
    out = capsys.readouterr().out
    assert out.startswith("tiny (embedded)\n\nruns ")
    assert out.rstrip().endswith("usable")
    assert " at " not in out.splitlines()[0]


def test_a_folder_without_a_checkpoint_is_an_error(tmp_path):
    """The remedy is the engine's own, before any probe."""
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        run(["--agent.model", str(tmp_path)])


@pytest.mark.parametrize(("honoured", "verdict"), [(True, "ok"), (False, "unknown")])
async def test_stop_is_probed_within_a_reply_if_the_model_does_not_count(server, able, honoured, verdict):
    """What a model wrote once shows whether the server stops there, though the model cannot count to nine."""
    story = "the brig sailed far and wide"

    def answer(request):
        asked, stop = request.body["messages"][-1]["content"], request.body.get("stop")
        if stop and honoured:
            return server.says(story.partition(stop[0])[0])
        return server.says(story) if stop or "ship" in asked else able(request)

    server.default = answer
    assert _row(await _diagnose(server), "stop").verdict == verdict
