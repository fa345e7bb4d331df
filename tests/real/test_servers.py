"""Coral's whole way, with a real model behind two real servers: llama.cpp's and `coral serve`."""

import re
import signal
import subprocess
import time

import openai
import pytest

import coral as library

pytestmark = pytest.mark.real
SHORT = {
    "agent.system_prompt": "Choose one of the options. Reply with one line of this form: Answer: (A)",
    "agent.max_tokens": 32,
    "extractor.max_tokens": 12,
    "max_turns": 2,
    "max_connections": 8,
}
NOTHING_READ = 3
"""The exit code of a run of which nothing could be read, which may happen to so poor a model."""


@pytest.fixture(scope="module")
def records(data, tmp_path_factory):
    """The ten shortest of the real records."""
    lines = (data / "mmlu_pro" / "test.sample.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path = tmp_path_factory.mktemp("records") / "shortest.jsonl"
    path.write_text("".join(sorted(lines, key=len)[:10]), encoding="utf-8")
    return path


@pytest.fixture
def options(server, records):
    """What a run about ten real records needs."""
    return {"data": records, "limit": 10, **SHORT, **server.options()}


def plain(text):
    """Words alone: `show` wraps lines and has its own way with control characters."""
    return "".join(re.findall(r"\w", text))


class Served:
    """What holds behind both servers. A class each, so that they are tested at the same time."""

    def test_doctor_finds_the_server_usable(self, server, coral):
        """The doctor ends, says usable, and finds that llama.cpp counts one of `n` candidates for all.

        How long the context is takes a long prompt, which a busy machine may not answer in time.
        """
        printed = coral("doctor", **server.options(), **{"agent.max_tokens": 16})
        assert re.search(r"^usable", printed, re.MULTILINE), printed
        for probe in ("reachable", "model listed", "answers", "stop"):
            assert re.search(rf"^{probe} +ok ", printed, re.MULTILINE), printed
        assert re.search(r"^context length +(ok|unknown) ", printed, re.MULTILINE), printed
        takes_n = "no" if server.kind == "llama.cpp" else "ok"
        assert re.search(rf"^n +{takes_n} ", printed, re.MULTILINE), printed

    @pytest.mark.parametrize(
        ("protocol", "extractor"), [("cot", "rules"), ("cot", "model"), ("coral", "hybrid")], ids=str
    )
    def test_ten_real_records(self, server, options, coral, spent, tmp_path, protocol, extractor):
        """All ten end, tokens add up with the server's own count, and every reply can be read in `show`."""
        run, before = tmp_path / "run", server.tokens()
        options = {**options, "protocol": protocol, "extractor.mode": extractor, "output": run}
        coral("eval", "mmlu_pro", **options, expected=(0, NOTHING_READ))
        assert spent(run) == server.since(before)
        conversations = list(library.load_run(run).conversations())
        assert len(conversations) == 10
        assert {conversation.stop.value for conversation in conversations} <= {"agreed", "max_turns"}
        replies = [turn.reply for conversation in conversations for turn in conversation.turns]
        shown = plain(coral("show", str(run), read=10))
        assert all(plain(reply.text) in shown for reply in replies)
        by = {reply.extraction.by for reply in replies}
        assert by == {"rules"} if extractor == "rules" else "model" in by

    def test_five_candidates_are_counted_truly_or_not_at_all(self, server, options, coral, tmp_path):
        """Each turn of a sampled run has five candidates; a count is the server's own, or unknown."""
        run, before = tmp_path / "run", server.tokens()
        options |= {"limit": 2, "samples": 1, "agent.temperature": 0.8, "extractor.mode": "rules"}
        coral("sample", "mmlu_pro", **options, output=run, expected=(0, NOTHING_READ))
        talks = list(library.load_run(run).conversations())
        turns = [turn for talk in talks for turn in talk.turns]
        assert {len(turn.replies) for turn in turns} == {5}
        written = [turn.usage and turn.usage.completion_tokens for turn in turns]
        failures = [talk.failure for talk in talks if talk.failure]  # of whom all five were cut, for one
        written += [one.usage and one.usage.completion_tokens for each in failures for one in each.spent]
        counted = server.since(before)["completion_tokens"]
        if None in written:
            assert server.kind == "llama.cpp", "counts of this server are complete"
            assert sum(count or 0 for count in written) < counted
        elif len(talks) == options["limit"]:
            assert sum(written) == counted
        else:  # nothing could be read, so the run stopped: replies that were in flight stand in no turn
            assert sum(written) < counted

    def test_a_killed_run_goes_on(self, server, options, command, coral, tmp_path):
        """kill -9 in the middle, the same command again: all ten, and no more repeated than was in flight."""
        run, before = tmp_path / "run", server.tokens()
        options = {**options, "protocol": "cot", "output": run, "max_connections": 2, "agent.max_tokens": 24}
        options["extractor.mode"] = "rules"
        with subprocess.Popen(command("eval", "mmlu_pro", **options), stdout=subprocess.DEVNULL) as process:
            while server.since(before)["completion_tokens"] < 60 and process.poll() is None:
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        coral("eval", "mmlu_pro", **options, expected=(0, NOTHING_READ))
        conversations = list(library.load_run(run).conversations())
        assert len(conversations) == 10
        kept = sum(talk.turns[0].reply.usage.completion_tokens for talk in conversations)
        assert 0 <= server.since(before)["completion_tokens"] - kept <= 2 * 24

    def test_an_openai_client_is_served(self, server):
        """The ecosystem's client gets what it asks for, whole and streamed, with usage."""
        asked = {
            "model": "smollm2",
            "messages": [{"role": "user", "content": "Name three colours."}],
            "max_tokens": 16,
            "temperature": 0,
            "seed": 1,
        }
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            reply = client.chat.completions.create(**asked)
            stream = client.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
            chunks = list(stream)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert streamed == reply.choices[0].message.content
        assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens <= 16


class TestLlamaCpp(Served):
    """Behind llama.cpp's server."""

    @pytest.fixture
    def server(self, llama_cpp):
        return llama_cpp


class TestCoralServe(Served):
    """Behind `coral serve`."""

    @pytest.fixture
    def server(self, coral_serve):
        return coral_serve
