"""What a Hugging Face model folder says about a Llama: its shape, its end marks, its vocabulary.

A folder may come from anywhere: nothing in it is believed before it is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from coral.engine.files import USE_VLLM, load_json, load_optional
from coral.engine.tensors import Tensors
from coral.engine.tokens import TokenizerConfig, load_tokenizer, token_text
from coral.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ARCHITECTURES = ("LlamaForCausalLM", "MistralForCausalLM")
MAX_CONTEXT = 1 << 24
"""Positions. More than any published Llama has; a table of rotations would not fit into memory."""


class Rope(msgspec.Struct, frozen=True, kw_only=True):
    """Rotary position embedding: the base and, for Llama 3.1 and later, how low frequencies are stretched."""

    rope_theta: float | None = None
    rope_type: str | None = None
    type: str | None = None
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int | None = None
    partial_rotary_factor: float = 1.0

    @property
    def kind(self) -> str:
        return self.rope_type or self.type or "default"


class _RawConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`config.json`, the fields that decide what is computed."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    architectures: tuple[str, ...] | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_act: str = "silu"
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 2048
    rope_theta: float | None = None
    rope_scaling: Rope | None = None
    rope_parameters: Rope | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    quantization_config: dict[str, Any] | None = None
    eos_token_id: int | tuple[int, ...] | None = None


class _RawGenerationConfig(msgspec.Struct, frozen=True):
    eos_token_id: int | tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The shape of a Llama.

    Attributes:
        max_context: the most positions a sequence may have, in tokens.
        rope: base and scaling of the rotary embedding, `rope_theta` set.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    rms_norm_eps: float
    max_context: int
    rope: Rope
    tied: bool

    @property
    def group(self) -> int:
        """Query heads that share one key-value head."""
        return self.num_heads // self.num_kv_heads


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """An opened model folder.

    Attributes:
        end_tokens: a reply ends with any of these.
    """

    folder: Path
    config: LlamaConfig
    tensors: Tensors
    tokenizer: Tokenizer
    end_tokens: frozenset[int]


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read everything but weights and chat template of `folder`, and refuse what cannot be computed.

    Raises:
        ConfigError: the folder is incomplete or damaged, or the model is no plain Llama.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"no model folder {folder}", remedy="name a folder with config.json and safetensors"
        )
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise ConfigError(
            f"{folder} holds an adapter, not a model",
            remedy="merge it into its base model (`merge_and_unload`, then `save_pretrained`)",
        )
    raw = load_json(folder / "config.json", _RawConfig)
    config = _check(folder, raw)
    tokenizer = load_tokenizer(folder)
    _check_vocabulary(folder, tokenizer, config)
    names = load_optional(folder / "tokenizer_config.json", TokenizerConfig)
    generation = load_optional(folder / "generation_config.json", _RawGenerationConfig)
    ends = {*_as_ids(raw.eos_token_id), *_as_ids(generation.eos_token_id)}
    eos = tokenizer.token_to_id(token_text(names.eos_token))
    return Checkpoint(
        folder=folder,
        config=config,
        tensors=Tensors(folder),
        tokenizer=tokenizer,
        end_tokens=frozenset(ends if eos is None else {*ends, eos}),
    )


def _check(folder: Path, raw: _RawConfig) -> LlamaConfig:
    kv_heads = raw.num_attention_heads if raw.num_key_value_heads is None else raw.num_key_value_heads
    _check_numbers(folder, raw, kv_heads)
    rope = _rope(folder, raw)
    problems = [
        (not set(raw.architectures or ()) <= set(ARCHITECTURES), f"its architecture is {raw.architectures}"),
        (raw.hidden_act != "silu", f"its activation is {raw.hidden_act}"),
        (raw.attention_bias or raw.mlp_bias, "its linear layers have biases"),
        (raw.sliding_window is not None, "its attention has a sliding window"),
        (raw.quantization_config is not None, "its weights are quantized"),
        (rope.kind not in {"default", "llama3"}, f"its position embedding is scaled by '{rope.kind}'"),
        (rope.partial_rotary_factor != 1.0, "it rotates a part of each head only"),
        (raw.num_attention_heads % kv_heads != 0, "its heads do not divide into its key-value heads"),
    ]
    for refused, why in problems:
        if refused:
            message = f"{folder}: the embedded engine runs plain Llama models, and {why}"
            raise ConfigError(message, remedy=USE_VLLM)
    return LlamaConfig(
        vocab_size=raw.vocab_size,
        hidden_size=raw.hidden_size,
        intermediate_size=raw.intermediate_size,
        num_layers=raw.num_hidden_layers,
        num_heads=raw.num_attention_heads,
        num_kv_heads=kv_heads,
        head_dim=_head_dim(raw),
        rms_norm_eps=raw.rms_norm_eps,
        max_context=raw.max_position_embeddings,
        rope=rope,
        tied=raw.tie_word_embeddings,
    )


def _check_numbers(folder: Path, raw: _RawConfig, kv_heads: int) -> None:
    """Refuse sizes that no Llama has, before anything is computed or allocated with them."""
    sizes = {name: getattr(raw, name) for name in _SIZES} | {"num_key_value_heads": kv_heads}
    for name, size in sizes.items():
        if size < 1:
            raise _lying(folder, f"{name} is {size}")
    if raw.max_position_embeddings > MAX_CONTEXT:
        raise _lying(folder, f"max_position_embeddings is {raw.max_position_embeddings:,}")
    if _head_dim(raw) < 2 or _head_dim(raw) % 2:
        raise _lying(folder, f"the size of its heads is {_head_dim(raw)}, and not even")
    if not 0 < raw.rms_norm_eps < 1:
        raise _lying(folder, f"rms_norm_eps is {raw.rms_norm_eps}")


_SIZES = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
    "max_position_embeddings",
)  # fmt: skip


def _head_dim(raw: _RawConfig) -> int:
    return raw.hidden_size // raw.num_attention_heads if raw.head_dim is None else raw.head_dim


def _rope(folder: Path, raw: _RawConfig) -> Rope:
    """Old folders keep base and scaling apart, new ones keep both in `rope_parameters`."""
    found = raw.rope_parameters or raw.rope_scaling or Rope()
    theta = next((theta for theta in (found.rope_theta, raw.rope_theta) if theta is not None), 10000.0)
    original = found.original_max_position_embeddings
    original = raw.max_position_embeddings if original is None else original
    scales = (found.factor, found.low_freq_factor, found.high_freq_factor, original)
    if not 1 <= theta <= _MAX_THETA:
        raise _lying(folder, f"rope_theta is {theta}")
    if min(scales) <= 0 or max(scales) > _MAX_THETA or found.low_freq_factor >= found.high_freq_factor:
        raise _lying(folder, f"its rope scaling has the factors {scales}")
    return msgspec.structs.replace(found, rope_theta=theta, original_max_position_embeddings=original)


_MAX_THETA = 1e12


def _lying(folder: Path, why: str) -> ConfigError:
    return ConfigError(
        f"{folder / 'config.json'} describes no model: {why}", remedy="save or download the model again"
    )


def _check_vocabulary(folder: Path, tokenizer: Tokenizer, config: LlamaConfig) -> None:
    """Tokens that a trainer added and no request uses may lie beyond the embedding; the others may not."""
    largest = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=0)
    if largest >= config.vocab_size:
        raise ConfigError(
            f"{folder}: tokenizer.json has a token {largest}, the vocabulary only {config.vocab_size} tokens",
            remedy="save model and tokenizer together: these are of two models",
        )


def _as_ids(value: int | tuple[int, ...] | None) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else () if value is None else (value,)
