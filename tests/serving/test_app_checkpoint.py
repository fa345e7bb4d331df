"""A checkpoint folder behind the HTTP face: the embedded engine, as any OpenAI client meets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from coral.serving.serve import check_checkpoint

np = pytest.importorskip("numpy")
safetensors = pytest.importorskip("safetensors.numpy")
tokenizers = pytest.importorskip("tokenizers")

WORDS = ["<s>", "</s>", "<unk>", "user", ":", "assistant", "hello", "ring", "box", "where", "is", "the"]
HIDDEN, INNER, HEADS, LAYERS = 16, 32, 2, 2
TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}assistant : "


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A random Llama of twelve words."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    words = {word: index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"chat_template": TEMPLATE, "bos_token": "<s>", "eos_token": "</s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps(config()))
    safetensors.save_file(weights(), str(folder / "model.safetensors"))
    return folder


def config() -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 1,
        "vocab_size": len(WORDS),
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 64,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
    }


def weights() -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return rng.normal(0, 0.3, shape).astype("float32")

    ones = np.ones(HIDDEN, "float32")
    found = {
        "model.embed_tokens.weight": drawn(len(WORDS), HIDDEN),
        "model.norm.weight": ones,
        "lm_head.weight": drawn(len(WORDS), HIDDEN),
    }
    shapes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (HIDDEN // HEADS, HIDDEN),
        "self_attn.v_proj": (HIDDEN // HEADS, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
        "mlp.down_proj": (HIDDEN, INNER),
    }
    for layer in range(LAYERS):
        found |= {f"model.layers.{layer}.{name}.weight": drawn(*shape) for name, shape in shapes.items()}
        found |= {
            f"model.layers.{layer}.{name}.weight": ones
            for name in ("input_layernorm", "post_attention_layernorm")
        }
    return found


async def test_engine_serves_any_openai_client(serve: Any, checkpoint: Path) -> None:
    """n, seed, usage, logprobs and limits come from the real engine; streamed text is the same text."""
    from coral.engine.model import EmbeddedModel

    assert check_checkpoint(str(checkpoint)) == "tiny"
    asked: Any = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "where is the ring"}],
        "n": 3,
        "seed": 3,
        "max_tokens": 6,
    }
    async with (
        EmbeddedModel(checkpoint, name="tiny") as model,
        serve(model) as site,
        openai.AsyncOpenAI(base_url=site.url, api_key="none") as client,
    ):
        reply = await client.chat.completions.create(**asked, logprobs=True)
        again = await client.chat.completions.create(**asked)
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        ]
        long: Any = [{"role": "user", "content": "ring " * 80}]
        with pytest.raises(openai.BadRequestError) as overflow:
            await client.chat.completions.create(model="tiny", messages=long)
    texts = [choice.message.content for choice in reply.choices]
    assert texts == [choice.message.content for choice in again.choices]
    streamed = ["", "", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts
    assert len(set(texts)) > 1
    assert reply.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == reply.usage.completion_tokens <= 18
    for choice in reply.choices:
        logprobs = [token.logprob for token in choice.logprobs.content]
        assert 1 <= len(logprobs) <= 6
        assert max(logprobs) <= 0
    assert overflow.value.code == "context_length_exceeded"


async def defect_of(model: Any) -> str:
    while model.defect is None:
        await asyncio.sleep(0.01)
    return str(model.defect)


async def test_a_broken_engine_is_told_by_health_and_by_every_answer(
    serve: Any, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After an error that a clean start does not fix, /health and requests are 503 with the cause."""
    from coral.engine.llama import Llama
    from coral.engine.model import EmbeddedModel

    def forward(*_: Any) -> Any:
        raise ValueError("shapes differ")

    async with EmbeddedModel(checkpoint, name="tiny") as model, serve(model) as site:
        assert (await site.chat(model="tiny", max_tokens=2))[0] == 200
        assert await site.text("/health") == (200, '{"status": "ok"}')
        monkeypatch.setattr(Llama, "forward", forward)
        status, body = await site.chat(model="tiny", max_tokens=2)
        assert (status, body["error"]["type"]) == (500, "server_error")
        assert body["error"]["message"] == "a step of the embedded engine failed: ValueError: shapes differ"
        await asyncio.wait_for(defect_of(model), 30)
        status, body = await site.chat(model="tiny", max_tokens=2)
        assert (status, body["error"]["type"]) == (503, "server_error")
        cause = "the embedded engine has stopped after an error: ValueError: shapes differ"
        assert body["error"]["message"] == cause
        status, text = await site.text("/health")
        assert (status, json.loads(text)) == (503, {"status": "failed", "cause": cause})
    assert "Traceback" in caplog.text


async def test_token_ids_come_as_from_vllm(serve: Any, checkpoint: Path) -> None:
    """`return_token_ids`: `prompt_token_ids` in the body, `token_ids` in each choice, whole and streamed; a
    client of ours reads what the engine in this process says. Unasked, neither field is there.
    """
    from coral.engine.model import EmbeddedModel
    from coral.models.client import build_model
    from coral.models.config import ModelConfig
    from coral.models.protocol import Request
    from coral.types import Message, Role

    options: dict[str, Any] = {"temperature": 1.0, "max_tokens": 9, "return_token_ids": True}
    request = Request(
        messages=(Message(Role.USER, "where is the ring"),),
        sampling=ModelConfig(model="tiny", **options).sampling(),
        n=3,
        seed=4,
    )
    body: dict[str, Any] = {
        "model": "tiny",
        "messages": [{"role": "user", "content": "where is the ring"}],
        "seed": 4,
        "max_tokens": 9,
    }
    async with (
        EmbeddedModel(checkpoint, name="tiny") as model,
        serve(model) as site,
        build_model(ModelConfig(model="vllm/tiny", base_url=site.url, **options)) as client,
        openai.AsyncOpenAI(base_url=site.url, api_key="none") as other,
    ):
        direct = await model.generate(request)
        served = await client.generate(request)
        asked = {"return_token_ids": True}
        stream = await other.chat.completions.create(**body, stream=True, logprobs=True, extra_body=asked)
        chunks = [chunk.model_extra | chunk.choices[0].model_extra async for chunk in stream]
        plain = await other.chat.completions.create(**body)
    assert served.prompt_token_ids == direct.prompt_token_ids
    assert [c.token_ids for c in served.candidates] == [c.token_ids for c in direct.candidates]
    assert [c.token_logprobs for c in served.candidates] == [c.token_logprobs for c in direct.candidates]
    assert tuple(chunks[0]["prompt_token_ids"]) == direct.prompt_token_ids
    streamed = [token for chunk in chunks for token in chunk.get("token_ids", ())]
    assert tuple(streamed) == direct.candidates[0].token_ids
    assert "prompt_token_ids" not in plain.model_extra
    assert "token_ids" not in plain.choices[0].model_extra
