"""A checkpoint's weights in the form in which they are multiplied.

All are float32. What can be computed once is folded in: the norms' scales into the matrices behind them, the
attention's 1/sqrt(head dim) into the queries, the minus sign of the sigmoid into gate and up
(silu(g) * u = (-g) * (-u) / (1 + exp(-g))). The two halves that the rotary embedding pairs are interleaved,
so that a rotation is one complex product. A tied embedding is held once; the last norm's scale stays apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from coral.engine.checkpoint import Checkpoint, LlamaConfig
from coral.engine.files import USE_VLLM
from coral.engine.products import Arena, Matrix, Plan, plan_products
from coral.engine.tensors import Tensors
from coral.errors import ConfigError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """The matrices of a block; queries, keys and values stand side by side in one."""

    qkv: Matrix
    attention_out: Matrix
    gate: Matrix
    up: Matrix
    down: Matrix


@dataclass(frozen=True)
class Weights:
    """All weights, cut as `plan` says.

    Attributes:
        head: the embedding itself where the model ties them.
        head_norm: scale of the norm before the head.
        rotations: cos + i sin by position and frequency.
    """

    plan: Plan
    embedding: Matrix
    layers: tuple[Layer, ...]
    head: Matrix
    head_norm: Array
    rotations: Rotations


def build_weights(checkpoint: Checkpoint, plan: Plan | None = None) -> Weights:
    """Decode and rearrange the weights of `checkpoint`, by default as is best on this machine.

    Raises:
        ConfigError: a tensor is missing, has another shape, or would be ignored.
    """
    config = checkpoint.config
    width, vocab = config.hidden_size, config.vocab_size
    inner, heads = config.intermediate_size, config.num_heads * config.head_dim
    reader = _Reader(checkpoint.tensors, str(checkpoint.folder))
    reader.check(
        "model.layers.0.self_attn.o_proj.weight", width, heads
    )  # before memory is taken on their word
    reader.check("model.layers.0.mlp.down_proj.weight", width, inner)
    plan = plan or plan_products((width, heads, inner))
    cut = partial(Matrix, plan=plan, arena=Arena())
    embedding = cut(reader.take("model.embed_tokens.weight", vocab, width))
    tied = config.tied or "lm_head.weight" not in checkpoint.tensors
    head = embedding if tied else cut(reader.take("lm_head.weight", vocab, width))
    layers = tuple(_build_layer(reader, config, index, cut) for index in range(config.num_layers))
    norm = reader.take("model.norm.weight", width)
    reader.finish()
    return Weights(plan, embedding, layers, head, norm[:, None], Rotations(config))


class _Reader:
    """Takes tensors by name, checks their shapes, and knows what nobody took."""

    def __init__(self, tensors: Tensors, where: str) -> None:
        self._tensors = tensors
        self._where = where
        self._taken = {"lm_head.weight"}  # a tied model may store its copy

    def check(self, name: str, *shape: int) -> None:
        """Refuse a tensor that is missing or has another shape, without reading it."""
        if name not in self._tensors:
            raise ConfigError(
                f"{self._where} lacks the tensor '{name}'", remedy="save or download the model again"
            )
        if (found := self._tensors.shape_of(name)) != shape:
            message = f"{self._where}: '{name}' has shape {found}, config.json asks for {shape}"
            raise ConfigError(message, remedy="save or download the model again")

    def take(self, name: str, *shape: int) -> Array:
        self.check(name, *shape)
        self._taken.add(name)
        tensor = self._tensors[name]
        if not np.isfinite(np.vdot(tensor, tensor)):
            message = f"{self._where}: '{name}' holds values that are not numbers, or are far too large"
            raise ConfigError(message, remedy="the training that saved it failed: take an earlier checkpoint")
        return tensor

    def finish(self) -> None:
        """Refuse tensors that would change the result and were not taken."""
        left = sorted(name for name in self._tensors if name not in self._taken and "inv_freq" not in name)
        if left:
            message = f"{self._where}: the embedded engine knows no use for the tensor '{left[0]}'"
            raise ConfigError(message, remedy=USE_VLLM)


def _build_layer(reader: _Reader, config: LlamaConfig, index: int, cut: Callable[[Array], Matrix]) -> Layer:
    width, inner, size = config.hidden_size, config.intermediate_size, config.head_dim
    prefix = f"model.layers.{index}"
    before = reader.take(f"{prefix}.input_layernorm.weight", width)
    between = reader.take(f"{prefix}.post_attention_layernorm.weight", width)
    queries = reader.take(f"{prefix}.self_attn.q_proj.weight", config.num_heads * size, width)
    keys = reader.take(f"{prefix}.self_attn.k_proj.weight", config.num_kv_heads * size, width)
    values = reader.take(f"{prefix}.self_attn.v_proj.weight", config.num_kv_heads * size, width)
    out = reader.take(f"{prefix}.self_attn.o_proj.weight", width, config.num_heads * size)
    gate = reader.take(f"{prefix}.mlp.gate_proj.weight", inner, width)
    up = reader.take(f"{prefix}.mlp.up_proj.weight", inner, width)
    down = reader.take(f"{prefix}.mlp.down_proj.weight", width, inner)
    queries = _interleave(queries, config) / math.sqrt(size)
    return Layer(
        qkv=cut(np.concatenate([queries, _interleave(keys, config), values]) * before),
        attention_out=cut(out),
        gate=cut(-gate * between),
        up=cut(-up * between),
        down=cut(down),
    )


def _interleave(rows: Array, config: LlamaConfig) -> Array:
    """Reorder each head's rows 0..h-1, h..2h-1 to 0, h, 1, h+1, ..."""
    halves = rows.reshape(-1, 2, config.head_dim // 2, config.hidden_size)
    return np.asarray(halves.swapaxes(1, 2).reshape(-1, config.hidden_size))


class Rotations:
    """The rotations cos + i sin of position times frequency, as far as positions were asked for."""

    def __init__(self, config: LlamaConfig) -> None:
        self._frequencies = _frequencies(config)
        self._table = np.empty((0, len(self._frequencies)), np.complex64)

    def at(self, positions: npt.NDArray[np.intp]) -> npt.NDArray[np.complex64]:
        """By position and frequency."""
        if (most := int(positions.max(initial=0))) >= len(self._table):
            count = 1 << most.bit_length()
            angles = np.arange(count, dtype=np.float32)[:, None] * self._frequencies
            self._table = np.asarray(np.exp(1j * angles.astype(np.float64)), np.complex64)
        return np.asarray(self._table[positions])


def _frequencies(config: LlamaConfig) -> Array:
    """Computed in float32, as transformers does; for scaling "llama3" see `_stretch`."""
    size = config.head_dim
    exponents = np.arange(0, size, 2, dtype=np.float32) / np.float32(size)
    frequencies = (1.0 / np.float32(config.rope.rope_theta or 0.0) ** exponents).astype(np.float32)
    if config.rope.kind == "llama3":
        return _stretch(frequencies, config)
    return np.asarray(frequencies)


def _stretch(frequencies: Array, config: LlamaConfig) -> Array:
    """Llama 3.1's scaling: long waves are stretched by `factor`, short ones stay, between them it fades.

    A wave counts as long beyond `original / low_freq_factor` positions and as short within
    `original / high_freq_factor` ("The Llama 3 Herd of Models", 2024, and the released configuration).
    """
    rope = config.rope
    assert rope.original_max_position_embeddings is not None
    waves_in_context = rope.original_max_position_embeddings * frequencies / (2 * math.pi)
    span = rope.high_freq_factor - rope.low_freq_factor
    kept = np.clip((waves_in_context - rope.low_freq_factor) / span, 0.0, 1.0)
    return np.asarray(frequencies * (kept + (1.0 - kept) / rope.factor), np.float32)
