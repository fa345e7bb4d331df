"""Llama folders with random weights, written without torch, so that the core test run covers the engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from coral.models.protocol import Request, Sampling
from coral.types import Message, Role

SPECIAL = ["<s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = (
    "Anna puts the ball into the red box. Ben leaves the room. Anna moves the ball to the blue basket. "
    "Where does Ben think the ball is? I think it is in the red box, because Ben did not see the move. "
    "I agree. I am not sure yet. Let us look at the story again: naïve café, 日本語, 🌍 and so on."
)
SHAPE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 172,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=333, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator([CORPUS] * 2, trainer)
    return tokenizer


def _shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    width, inner, vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    size = config.get("head_dim") or width // config["num_attention_heads"]
    queries, keys = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocab, width),
        "model.norm.weight": (width,),
    }
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (vocab, width)
    for index in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{index}"
        shapes |= {
            f"{prefix}.input_layernorm.weight": (width,),
            f"{prefix}.post_attention_layernorm.weight": (width,),
            f"{prefix}.self_attn.q_proj.weight": (queries, width),
            f"{prefix}.self_attn.k_proj.weight": (keys, width),
            f"{prefix}.self_attn.v_proj.weight": (keys, width),
            f"{prefix}.self_attn.o_proj.weight": (width, queries),
            f"{prefix}.mlp.gate_proj.weight": (inner, width),
            f"{prefix}.mlp.up_proj.weight": (inner, width),
            f"{prefix}.mlp.down_proj.weight": (width, inner),
        }
    return shapes


def _encode(values: np.ndarray, dtype: str) -> bytes:
    if dtype == "BF16":
        return (np.ascontiguousarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
    return values.astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()


def write_safetensors(path: Path, tensors: dict[str, np.ndarray], dtype: str = "F32") -> None:
    """Write the format by hand: the engine's reader is tested against the description, not against itself."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    chunks, begin = [], 0
    for name, values in tensors.items():
        chunks.append(_encode(values, dtype))
        end = begin + len(chunks[-1])
        header[name] = {"dtype": dtype, "shape": values.shape, "data_offsets": [begin, end]}
        begin = end
    raw = json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + b"".join(chunks))


def write_folder(folder: Path, *, dtype: str = "F32", shards: int = 1, **changes: Any) -> Path:
    """A whole model folder; `changes` go into config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {**SHAPE, "vocab_size": tokenizer.get_vocab_size(), **changes}
    (folder / "config.json").write_text(json.dumps(config))
    names = {"bos_token": "<s>", "eos_token": "<|end|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    rng = np.random.default_rng(1)
    tensors = {
        name: rng.standard_normal(shape) * (0.1 if len(shape) > 1 else 0.2) + (len(shape) == 1)
        for name, shape in _shapes(config).items()
    }
    _write_shards(folder, tensors, dtype, shards)
    return folder


def _write_shards(folder: Path, tensors: dict[str, np.ndarray], dtype: str, shards: int) -> None:
    if shards == 1:
        write_safetensors(folder / "model.safetensors", tensors, dtype)
        return
    names = list(tensors)
    step = math.ceil(len(names) / shards)
    weight_map = {}
    for shard in range(shards):
        part = names[shard * step : (shard + 1) * step]
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        write_safetensors(folder / file, {name: tensors[name] for name in part}, dtype)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture(scope="session")
def llama_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes (once for each set of options) a random Llama folder."""
    made: dict[str, Path] = {}

    def build(**options: Any) -> Path:
        key = json.dumps(options, sort_keys=True)
        if key not in made:
            made[key] = write_folder(tmp_path_factory.mktemp("llama"), **options)
        return made[key]

    return build


@pytest.fixture(scope="session")
def folder(llama_folder: Callable[..., Path]) -> Path:
    """The default folder: grouped-query attention, untied, float32."""
    return llama_folder()


@pytest.fixture(scope="session")
def safetensors_writer() -> Callable[..., None]:
    return write_safetensors


@pytest.fixture(scope="session")
def ask() -> Callable[..., Request]:
    """Makes a request: `ask("text", seed=1, n=2, temperature=0.5, ...)`."""

    def make(text: str, *, seed: int | None = 0, n: int = 1, system: str = "", **sampling: Any) -> Request:
        messages = [Message(Role.SYSTEM, system)] if system else []
        messages.append(Message(Role.USER, text))
        return Request(messages=tuple(messages), sampling=Sampling(**sampling), n=n, seed=seed)

    return make
