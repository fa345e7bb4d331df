"""The Llama forward pass over a batch: next tokens of running rows and pieces of prompts, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.engine.attention import CurrentBlocks, PromptAttention, RowAttention, plan_attention
from coral.engine.buffers import Buffers
from coral.engine.cache import Blocks
from coral.engine.checkpoint import LlamaConfig
from coral.engine.products import Matrix, Multiplier
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

    Activations stand as [features, tokens], so that products read the weights in their order; attention
    works on [tokens, features].

    Attributes:
        plan: how attention's products are shaped; see `attention`.
        current: the unfinished blocks of the running rows, by slot.
    """

    def __init__(self, config: LlamaConfig, weights: Weights, *, slots: int) -> None:
        self.config = config
        self.plan = plan_attention(config)
        self.current = CurrentBlocks(config, slots)
        self._weights = weights
        self._products = Multiplier(weights.plan)
        self._pad = weights.plan.pad
        self._take = Buffers().take
        self._row_attention = RowAttention(config, self.plan, self.current)
        self._prompt_attention = PromptAttention(config, self.plan)

    def forward(self, batch: Batch) -> Array:
        """Compute the batch and store its keys and values.

        Returns:
            Logits [running rows + pieces, vocabulary]: of each row's token, then of each piece's last token.
            The memory is used again by the next call.
        """
        rows = len(batch.tokens)
        ends = rows + np.cumsum([len(piece.tokens) for piece in batch.pieces], dtype=np.intp)
        chosen = np.concatenate([np.arange(rows), ends - 1])
        x = self._embed(batch)
        self._row_attention.prepare(np.asarray(batch.positions, np.intp), batch.parts)
        last = len(self._weights.layers) - 1
        with np.errstate(over="ignore"):  # exp of a very negative gate: its sigmoid is 0, as it should be
            for index, layer in enumerate(self._weights.layers):
                queries, keys, values = self._prepare(layer, x)
                self._store(index, batch, keys, values)
                if index == last:  # of a prompt, only its last token's output is of use
                    x = self._select(x, chosen)
                mixed = self._attend(index, batch, queries, last_only=index == last)
                self._feed_forward(layer, x, mixed)
        return self._project(x, len(chosen))

    def _embed(self, batch: Batch) -> Array:
        """The tokens' embeddings [width, padded tokens]; sets their rotations."""
        tokens, positions = list(batch.tokens), [np.asarray(batch.positions, np.intp)]
        for piece in batch.pieces:
            tokens.extend(piece.tokens)
            positions.append(np.arange(piece.start, piece.start + len(piece.tokens)))
        self._rotation = self._weights.rotations.at(np.concatenate(positions))[:, None]
        x = self._take("x", (self.config.hidden_size, self._pad(len(tokens))))
        x[:, : len(tokens)] = self._weights.embedding.take(np.asarray(tokens, np.intp))
        x[:, len(tokens) :] = 0.0
        return x

    def _select(self, x: Array, chosen: npt.NDArray[np.intp]) -> Array:
        some = self._take("chosen", (len(x), self._pad(len(chosen))))
        some[:, : len(chosen)] = x[:, chosen]
        some[:, len(chosen) :] = 0.0
        return some

    def _prepare(self, layer: Layer, x: Array) -> tuple[Array, Array, Array]:
        """Queries [tokens, kv heads, group, size], keys and values [tokens, kv heads, size], rotated."""
        config, count = self.config, len(self._rotation)
        size, kv_heads = config.head_dim, config.num_kv_heads
        heads, rotated = config.num_heads * size, (config.num_heads + kv_heads) * size
        flat = self._take("flat", (count, rotated + kv_heads * size))
        product = self._multiply("qkv", layer.qkv, self._norm(x))
        flat[:] = product[: flat.shape[1], :count].T
        pairs = flat.view(np.complex64)[:, : rotated // 2].reshape(count, -1, size // 2)
        np.multiply(pairs, self._rotation, out=pairs)
        return (
            flat[:, :heads].reshape(count, kv_heads, config.group, size),
            flat[:, heads:rotated].reshape(count, kv_heads, size),
            flat[:, rotated:].reshape(count, kv_heads, size),
        )

    def _store(self, index: int, batch: Batch, keys: Array, values: Array) -> None:
        """Write the new keys and values where the tokens belong."""
        begin = len(batch.tokens)
        self._row_attention.store(index, keys[:begin], values[:begin])
        for piece in batch.pieces:
            at = slice(begin, begin + len(piece.tokens))
            self._prompt_attention.store(index, piece.start, piece.blocks, keys[at], values[at])
            begin = at.stop

    def _attend(self, index: int, batch: Batch, queries: Array, *, last_only: bool) -> Array:
        """Attention's output [heads * size, padded tokens]: of all tokens, or of rows and last ones."""
        rows, config = len(batch.tokens), self.config
        count = rows + len(batch.pieces) if last_only else len(queries)
        out = self._take("mixed", (count, config.num_heads * config.head_dim))
        self._row_attention.attend(index, queries[:rows], out[:rows])
        begin = target = rows
        for piece in batch.pieces:
            end = begin + len(piece.tokens)
            first = end - 1 if last_only else begin
            at = slice(target, target + end - first)
            start = piece.start + first - begin
            self._prompt_attention.attend(index, start, piece.blocks, queries[first:end], out[at])
            begin, target = end, at.stop
        columns = self._take("mixed columns", (out.shape[1], self._pad(count)))
        columns[:, :count] = out.T
        columns[:, count:] = 0.0
        return columns

    def _feed_forward(self, layer: Layer, x: Array, mixed: Array) -> None:
        """Add the attention's projected output to `x`, and then what SwiGLU makes of the sum."""
        width, inner = self.config.hidden_size, self.config.intermediate_size
        x += self._multiply("change", layer.attention_out, mixed)[:width]
        normed = self._norm(x)
        gate = self._multiply("gate", layer.gate, normed)
        up = self._multiply("up", layer.up, normed)
        sigmoid = np.exp(gate, out=self._take("sigmoid", gate.shape))
        sigmoid += 1.0
        gate *= up
        gate /= sigmoid
        x += self._multiply("change", layer.down, gate[:inner])[:width]

    def _multiply(self, name: str, matrix: Matrix, x: Array) -> Array:
        out = self._take(name, (matrix.outputs, x.shape[1]))
        self._products.multiply(matrix, x, out)
        return out

    def _norm(self, x: Array) -> Array:
        """Root mean square normalisation; its scale is part of the weights behind it."""
        out = self._take("normed", x.shape)
        np.multiply(x, x, out=out)
        scale = out.sum(axis=0)
        scale /= self.config.hidden_size
        scale += self.config.rms_norm_eps
        np.sqrt(scale, out=scale)
        np.divide(x, scale, out=out)
        return out

    def _project(self, x: Array, count: int) -> Array:
        normed = self._norm(x)
        normed *= self._weights.head_norm
        logits = self._take("logits", (x.shape[1], self._weights.head.outputs))
        self._products.multiply_rows(self._weights.head, normed, logits)
        return logits[:count, : self.config.vocab_size]
