"""The Llama forward pass over a batch: next tokens of running rows and pieces of prompts, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.engine.attention import CurrentBlocks, PromptAttention, RowAttention, plan_attention
from coral.engine.cache import Blocks
from coral.engine.checkpoint import LlamaConfig
from coral.engine.rows import COMMON_STEP, plan_rows
from coral.engine.weights import Layer, Weights

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Piece:
    """Consecutive tokens of one prompt.

    Attributes:
        tokens: to compute now; `start` is the position of the first.
        blocks: the prompt's; earlier positions are filled.
    """

    tokens: Sequence[int]
    start: int
    blocks: Blocks


@dataclass(frozen=True)
class Batch:
    """What one forward pass computes.

    Attributes:
        tokens: the newest token of each running row, in the order of their slots; `positions` are theirs.
        parts: the finished blocks of each running row.
        pieces: of prompts.
    """

    tokens: Sequence[int]
    positions: Sequence[int]
    parts: Sequence[Sequence[Blocks]]
    pieces: Sequence[Piece] = ()


class Llama:
    """Weights and scratch memory. Not thread-safe: one forward pass at a time.

    Attributes:
        row_plan: how rows are padded and multiplied; see `rows`.
        plan: how attention's products are shaped; see `attention`.
        current: the unfinished blocks of the running rows, by slot.
        max_tokens: the most tokens in one batch.
    """

    def __init__(self, config: LlamaConfig, weights: Weights, *, slots: int, max_tokens: int) -> None:
        self.config = config
        self.max_tokens = max_tokens
        room = -(-max_tokens // COMMON_STEP) * COMMON_STEP
        self.row_plan = plan_rows(weights.shapes, room)
        self.plan = plan_attention(config)
        self.current = CurrentBlocks(config, slots)
        self._weights = weights
        self._row_attention = RowAttention(config, self.plan, self.current)
        self._prompt_attention = PromptAttention(config, self.plan)
        width, heads = config.hidden_size, config.num_heads * config.head_dim
        self._x = np.zeros((room, width), np.float32)
        self._normed = np.zeros((room, width), np.float32)
        self._qkv = np.zeros((room, heads + 2 * config.num_kv_heads * config.head_dim), np.float32)
        self._mixed = np.zeros((room, heads), np.float32)
        inner = (room, config.intermediate_size)
        self._gate, self._up, self._sigmoid = (np.zeros(inner, np.float32) for _ in range(3))
        self._sum = np.zeros((room, width), np.float32)
        self._logits = np.zeros((min(room, slots + COMMON_STEP), weights.head.shape[1]), np.float32)

    def forward(self, batch: Batch) -> Array:
        """Compute the batch and store its keys and values.

        Returns:
            Logits [running rows + pieces, vocabulary]: of each row's token, then of each piece's last token.
            The memory is used again by the next call.
        """
        rows = len(batch.tokens)
        ends = rows + np.cumsum([len(piece.tokens) for piece in batch.pieces], dtype=np.intp)
        chosen = np.concatenate([np.arange(rows), ends - 1])
        count = int(ends[-1]) if len(ends) else rows
        self._embed(batch, count)
        self._row_attention.prepare(np.asarray(batch.positions, np.intp), batch.parts)
        last = len(self._weights.layers) - 1
        with np.errstate(over="ignore"):  # exp of a very negative gate: its sigmoid is 0, as it should be
            for index, layer in enumerate(self._weights.layers):
                queries, keys, values = self._prepare(layer, count)
                self._store(index, batch, keys, values)
                if index == last:  # of a prompt, only its last token's output is of use
                    count = len(chosen)
                    self._x[:count] = self._x[chosen]
                self._attend(index, batch, queries, last_only=index == last)
                self._feed_forward(layer, count)
        return self._project(count)

    def _embed(self, batch: Batch, count: int) -> None:
        tokens, positions = list(batch.tokens), [np.asarray(batch.positions, np.intp)]
        for piece in batch.pieces:
            tokens.extend(piece.tokens)
            positions.append(np.arange(piece.start, piece.start + len(piece.tokens)))
        np.take(self._weights.embedding, tokens, axis=0, out=self._x[:count])
        self._rotation = self._weights.rotations.at(np.concatenate(positions))[:, None]

    def _prepare(self, layer: Layer, count: int) -> tuple[Array, Array, Array]:
        padded = self.row_plan.pad(count)
        self._norm(self._x[:padded], self._normed[:padded])
        self.row_plan.multiply(self._normed[:padded], layer.qkv, self._qkv[:padded])
        return self._split(count)

    def _store(self, index: int, batch: Batch, keys: Array, values: Array) -> None:
        """Write the new keys and values where the tokens belong."""
        begin = len(batch.tokens)
        self._row_attention.store(index, keys[:begin], values[:begin])
        for piece in batch.pieces:
            at = slice(begin, begin + len(piece.tokens))
            self._prompt_attention.store(index, piece.start, piece.blocks, keys[at], values[at])
            begin = at.stop

    def _attend(self, index: int, batch: Batch, queries: Array, *, last_only: bool) -> None:
        """Attention's output of all tokens, or of rows and the last token of each piece, side by side."""
        rows, out = len(batch.tokens), self._mixed
        self._row_attention.attend(index, queries[:rows], out[:rows])
        begin = target = rows
        for piece in batch.pieces:
            end = begin + len(piece.tokens)
            first = end - 1 if last_only else begin
            at = slice(target, target + end - first)
            start = piece.start + first - begin
            self._prompt_attention.attend(index, start, piece.blocks, queries[first:end], out[at])
            begin, target = end, at.stop

    def _split(self, count: int) -> tuple[Array, Array, Array]:
        """Queries [tokens, kv heads, group, size], keys and values [tokens, kv heads, size], rotated."""
        config, flat = self.config, self._qkv[:count]
        size, kv_heads = config.head_dim, config.num_kv_heads
        heads, rotated = config.num_heads * size, (config.num_heads + kv_heads) * size
        pairs = flat.view(np.complex64)[:, : rotated // 2].reshape(count, -1, size // 2)
        np.multiply(pairs, self._rotation, out=pairs)
        return (
            flat[:, :heads].reshape(count, kv_heads, config.group, size),
            flat[:, heads:rotated].reshape(count, kv_heads, size),
            flat[:, rotated:].reshape(count, kv_heads, size),
        )

    def _feed_forward(self, layer: Layer, count: int) -> None:
        """Add the attention's projected output, and then what SwiGLU makes of the sum."""
        padded, multiply = self.row_plan.pad(count), self.row_plan.multiply
        x, normed, change = self._x[:padded], self._normed[:padded], self._sum[:padded]
        gate, up, sigmoid = self._gate[:padded], self._up[:padded], self._sigmoid[:padded]
        multiply(self._mixed[:padded], layer.attention_out, change)
        x += change
        self._norm(x, normed)
        multiply(normed, layer.gate, gate)
        multiply(normed, layer.up, up)
        np.exp(gate, out=sigmoid)
        sigmoid += 1.0
        gate *= up
        gate /= sigmoid
        multiply(gate, layer.down, change)
        x += change

    def _norm(self, x: Array, out: Array) -> None:
        """Root mean square normalisation; its scale is part of the weights behind it."""
        np.multiply(x, x, out=out)
        scale = out.sum(axis=1, keepdims=True)
        scale /= self.config.hidden_size
        scale += self.config.rms_norm_eps
        np.sqrt(scale, out=scale)
        np.divide(x, scale, out=out)

    def _project(self, count: int) -> Array:
        padded = self.row_plan.pad(count)
        self._norm(self._x[:padded], self._normed[:padded])
        self.row_plan.multiply(self._normed[:padded], self._weights.head, self._logits[:padded])
        return self._logits[:count, : self.config.vocab_size]
