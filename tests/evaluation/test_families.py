"""Whole evaluations with the default settings of models that refuse, think or insist in their own ways.

Each family is a real server that does what its makers' documentation says of it, as far as Coral meets it:

- OpenAI's reasoning models: no temperature, top_p, logprobs or `max_tokens`; hidden thinking, counted in
  `reasoning_tokens`; all tokens spent on it give an empty content with `length`. o1-mini: no system role.
- gpt-oss: channels of the harmony format, in the field `reasoning` (vLLM), in the text, or as bare words.
- Qwen3, GLM-4.5: `reasoning_content` with a parser (vLLM, SGLang), a `<think>` block without one.
- DeepSeek-R1: the chat template opens the block, so only `</think>` comes.
- Magistral: content in parts (Mistral's API), `[THINK]` without a parser. Mistral's API takes no `seed`.
- Gemma 3: no system role, in the words of Google's API, of vLLM and of llama.cpp (status 500).
- Mistral: roles alternate, the last one is the user's, and no message is empty.
- Claude: takes no temperature any more, one candidate, and needs a limit of tokens.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from coral.api import evaluate_async, sample_async

DATA = str(Path(__file__).parents[1] / "data" / "mmlu_pro" / "test.sample.jsonl")
THOUGHT = "pondering the rooms"
THINKS = 300
SAYS = "My notes lead me to (B), and to no other."
"""The rules read no answer in it: the extractor is asked."""


def error(message, status=400, **fields):
    return web.json_response(
        {"error": {"message": message, "type": "invalid_request_error", **fields}}, status=status
    )


def unsupported(body, *names):
    """OpenAI's words for a parameter that its reasoning models do not take."""
    for name in names:
        if name in body:
            hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
            text = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
            return error(text, param=name, code="unsupported_parameter")
    return None


def roles(body):
    return [message["role"] for message in body["messages"]]


def no_refusal(body):
    return None


def openai_refusal(body):
    if body.get("temperature", 1) != 1:
        text = f"Unsupported value: 'temperature' does not support {body['temperature']} with this model."
        return error(text, param="temperature", code="unsupported_value")
    return unsupported(body, "top_p", "logprobs", "stop", "max_tokens")


def o1_mini_refusal(body):
    if "system" in roles(body):
        text = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
        return error(text, param="messages[0].role", code="unsupported_value")
    return openai_refusal(body)


def google_refusal(body):
    if "system" in roles(body):
        details = {"code": 400, "message": "Developer instruction is not enabled for models/gemma-3-27b-it"}
        return web.json_response([{"error": {**details, "status": "INVALID_ARGUMENT"}}], status=400)
    return None


def vllm_gemma_refusal(body):
    return error("System role not supported") if "system" in roles(body) else None


def llama_cpp_gemma_refusal(body):
    if "system" not in roles(body):
        return None
    text = "\n------------\nWhile executing CallExpression at line 1, column 66 in source:\n"
    return error(f"{text}Error: Jinja Exception: System role not supported", status=500)


def mistral_refusal(body):
    if "seed" in body:
        detail = [
            {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
        ]
        return web.json_response({"object": "error", "message": {"detail": detail}}, status=422)
    return None


def first_mistral_refusal(body):
    if "system" in roles(body):
        return error("Conversation roles must alternate user/assistant/user/assistant/...")
    return None


def claude_refusal(body):
    if "temperature" in body:
        return error("temperature is deprecated for this model.")
    if body.get("n", 1) > 1:
        return error("n must be 1")
    return None if "max_tokens" in body else error("max_tokens: Field required")


def hidden(text, cut):
    return {"content": "" if cut else text}


def field(name):
    return lambda text, cut: {"content": None if cut else f"\n{text}", name: THOUGHT}


def block(start, end):
    return lambda text, cut: {"content": f"{start}{THOUGHT}" + ("" if cut else f"{end}{text}")}


def parts(text, cut):
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THOUGHT}]}
    return {"content": [thinking] if cut else [thinking, {"type": "text", "text": text}]}


def plain(text, cut):
    return {"content": text}


HARMONY = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>")
DROPPED_TEMPERATURE = {"temperature", "max_tokens"}

FAMILIES: dict[str, tuple[Any, Any, int, set[str]]] = {
    "OpenAI reasoning": (openai_refusal, hidden, THINKS, DROPPED_TEMPERATURE | {"thinking"}),
    "o1-mini": (o1_mini_refusal, hidden, THINKS, DROPPED_TEMPERATURE | {"system", "thinking"}),
    "gpt-oss, field": (no_refusal, field("reasoning"), THINKS, {"thinking"}),
    "gpt-oss, harmony": (no_refusal, block(*HARMONY), THINKS, {"thinking"}),
    "gpt-oss, bare words": (no_refusal, block("analysisI am ", "assistantfinal"), THINKS, {"thinking"}),
    "Qwen3 and GLM, parsed": (no_refusal, field("reasoning_content"), THINKS, {"thinking"}),
    "Qwen3, unparsed": (no_refusal, block("<think>\n", "\n</think>\n\n"), THINKS, {"thinking"}),
    "DeepSeek-R1": (no_refusal, block("", "\n</think>\n\n"), THINKS, {"thinking"}),
    "Magistral, API": (mistral_refusal, parts, THINKS, {"seed", "thinking"}),
    "Magistral, unparsed": (no_refusal, block("[THINK]", "[/THINK]"), THINKS, {"thinking"}),
    "Gemma 3, Google": (google_refusal, plain, 0, {"system"}),
    "Gemma 3, vLLM": (vllm_gemma_refusal, plain, 0, {"system"}),
    "Gemma 3, llama.cpp": (llama_cpp_gemma_refusal, plain, 0, {"system"}),
    "Mistral": (mistral_refusal, plain, 0, {"seed"}),
    "Mistral 7B v0.1": (first_mistral_refusal, plain, 0, {"system"}),
    "Claude": (claude_refusal, plain, 0, {"temperature"}),
}
"""By name: what it refuses, the form of its replies, tokens it thinks for, and the changes it needs."""


class Server:
    """One family. Keeps what it was asked, and what no family would stand."""

    def __init__(self, family):
        self.refuse, self.form, self.thinks, self.changes = FAMILIES[family]
        self.blank_first = False
        """Whether the first reply to any messages is blank."""
        self.answered: list[dict[str, Any]] = []
        self.tokens = 0
        self.refused = 0
        self.faults: list[str] = []

    async def models(self, request):
        return web.json_response({"object": "list", "data": [{"id": "m"}]})

    async def complete(self, request):
        body = await request.json()
        self._check(body)
        if (refusal := self.refuse(body)) is not None:
            self.refused += 1
            return refusal
        is_new = all(body["messages"] != earlier["messages"] for earlier in self.answered)
        self.answered.append(body)
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        cut = limit is not None and limit < self.thinks + 12
        text = (
            ""
            if self.blank_first and is_new
            else "Answer: B"
            if "\n# Message\n" in body["messages"][-1]["content"]
            else SAYS
        )
        choice = {
            "index": 0,
            "message": {"role": "assistant", **self.form(text, cut)},
            "finish_reason": "length" if cut else "stop",
        }
        written = body.get("n", 1) * (limit if cut else self.thinks + 12)
        self.tokens += 50 + written
        usage: dict[str, Any] = {"prompt_tokens": 50, "completion_tokens": written}
        if self.form is hidden:
            usage["completion_tokens_details"] = {"reasoning_tokens": min(written, self.thinks)}
        return web.json_response({"choices": [choice] * body.get("n", 1), "usage": usage})

    def _check(self, body):
        spoken = [role for role in roles(body) if role != "system"]
        if "system" in roles(body)[1:] or spoken != ["user", "assistant"] * (len(spoken) // 2) + ["user"]:
            self.faults.append(f"roles {roles(body)}")
        for message in body["messages"]:
            if not message["content"].strip():
                self.faults.append("an empty message")
            if THOUGHT in message["content"]:
                self.faults.append("thinking in a message")


@asynccontextmanager
async def running(family):
    """A server of a family; yields it and its address."""
    server = Server(family)
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.complete)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield server, f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}/v1"
    finally:
        await runner.cleanup()


def options(url, path, **more):
    agent = {"model": "m", "base_url": url, "backoff_s": 0.001}
    return {"agent": agent, "data": DATA, "output": str(path), "limit": 6, "max_connections": 4, **more}


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_family_works_with_the_defaults(family, tmp_path):
    """Every conversation ends well, beliefs are read, nobody reads thoughts, and all requests are alike."""
    async with running(family) as (server, url):
        run = await evaluate_async("mmlu_pro", **options(url, tmp_path / "run"))
        refused = server.refused
        more = await evaluate_async("mmlu_pro", **options(url, tmp_path / "run", samples=2))
    assert run.summary.stop_reasons == {"agreed": 6}
    assert server.faults == []
    beliefs = [turn.reply.belief.value for c in more.conversations() for turn in c.turns]
    assert set(beliefs) == {"B"}
    assert {made.setting for made in run.summary.adjustments} == server.changes
    assert more.summary.adjustments == run.summary.adjustments
    assert server.refused == refused <= 4 * len(server.changes), "the second session refuses nothing"
    kept = [{name for name in body if name != "n"} for body in server.answered]
    assert all(names == kept[0] for names in kept)
    texts = [turn.reply.text for c in more.conversations() for turn in c.turns]
    assert set(texts) == {SAYS}
    if server.thinks and server.form is not hidden:
        assert all(THOUGHT in turn.reply.reasoning for c in more.conversations() for turn in c.turns)


@pytest.mark.parametrize(
    "family", ["OpenAI reasoning", "Qwen3, unparsed", "gpt-oss, harmony", "Magistral, API"]
)
async def test_a_reply_cut_while_thinking_is_one_that_is_cut(family, tmp_path):
    """Without tokens for thinking: the conversation goes on, and the turn counts as cut like any other."""
    settings = {"agent": {"max_tokens": 100, "thinking_tokens": 0}, "max_turns": 3, "max_failed_rate": 1.0}
    async with running(family) as (server, url):
        given = options(url, tmp_path / "run")
        agent = {**given.pop("agent"), **settings.pop("agent")}
        run = await evaluate_async("mmlu_pro", agent=agent, **given, **settings)
    assert run.summary.stop_reasons == {"max_turns": 6}
    assert run.summary.metrics["truncated_rate"].mean == 1.0
    assert {turn.reply.text for c in run.conversations() for turn in c.turns} == {""}
    assert server.faults == []


@pytest.mark.parametrize("family", ["OpenAI reasoning", "Claude", "Gemma 3, vLLM"])
async def test_sampling_several_candidates(family, tmp_path):
    """`coral sample` with the defaults, too: equal candidates are counted as such."""
    async with running(family) as (_, url):
        run = await sample_async("mmlu_pro", **options(url, tmp_path / "run", samples=1, candidates=3))
    counts = run.summary.candidates
    assert run.summary.stop_reasons == {"agreed": 6}
    assert (counts.drawn, counts.distinct) == (3 * counts.turns, counts.turns)


DRAWN_AGAIN = [
    ("OpenAI reasoning", False, {}, "cut while it thinks unseen"),
    ("Qwen3, unparsed", False, {}, "cut within a block"),
    ("gpt-oss, field", False, {"protocol": "cot"}, "cut, one agent alone"),
    ("Mistral", True, {}, "blank"),
    ("Qwen3 and GLM, parsed", True, {}, "cut, and then blank"),
    ("Magistral, API", False, {"candidates": 3}, "several candidates"),
    ("OpenAI reasoning", True, {"candidates": 2, "rollouts": 1}, "in roll-outs"),
]


@pytest.mark.parametrize(
    ("family", "blank_first", "more", "reason"), DRAWN_AGAIN, ids=[row[3] for row in DRAWN_AGAIN]
)
async def test_every_token_paid_for_is_counted_once(family, blank_first, more, reason, tmp_path):
    """Tokens and requests of a run are those that the server counted, whatever was drawn again."""
    evaluate = sample_async if "candidates" in more else evaluate_async
    async with running(family) as (server, url):
        server.blank_first = blank_first
        given = options(url, tmp_path / "run", max_turns=3, samples=1, **more)
        run = await evaluate("mmlu_pro", **{**given, "agent": {**given["agent"], "max_tokens": 100}})
    conversations = list(run.conversations())
    drawn_again = any(turn.attempts > 1 for c in conversations for turn in c.turns)
    assert drawn_again, reason
    used = run.summary.usage.values()
    assert sum(role.prompt_tokens + role.completion_tokens for role in used) == server.tokens
    assert sum(role.requests for role in used) == len(server.answered) + server.refused
    assert run.summary.metrics["total_tokens"].mean * len(conversations) == pytest.approx(server.tokens)


async def test_the_usage_of_a_reply_is_that_of_its_text(tmp_path):
    """What was drawn before it is no part of the reply's length."""
    async with running("Qwen3, unparsed") as (_, url):
        given = options(url, tmp_path / "run", limit=1)
        run = await evaluate_async("mmlu_pro", **{**given, "agent": {**given["agent"], "max_tokens": 100}})
    first, *others = next(iter(run.conversations())).turns
    assert (first.usage.completion_tokens, first.attempts) == (100 + THINKS + 12, 2)
    assert (first.reply.usage.completion_tokens, first.reply.attempts) == (THINKS + 12, 0)
    assert [(turn.usage, turn.attempts, turn.reply.attempts) for turn in others] == [(None, 0, 1)]


async def test_half_a_surrogate_pair_is_replaced_and_counted(tmp_path):
    """Every turn holds one: nothing is sent again, and the run says so."""
    async with running("Qwen3, unparsed") as (server, url):
        server.thinks, server.form = 0, lambda text, cut: {"content": f"\ude00 {text}"}
        run = await evaluate_async("mmlu_pro", **options(url, tmp_path / "run"))
    replies = [turn.reply for c in run.conversations() for turn in c.turns]
    told = {(reply.text, reply.garbled, reply.attempts) for reply in replies}
    assert told == {(f"\ufffd {SAYS}", 1, 1)}
    assert run.summary.metrics["garbled_rate"].mean == 1.0
