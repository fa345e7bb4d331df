"""Grouped-query attention over blocks of 64 positions, with sums in one fixed order.

Each block contributes a partial result: scores [queries, 64] = q @ keys and, after the softmax's numerator,
an output [queries, head dim] = p @ values. Partial results are added in the order "own block, block 0,
block 1, ...", "own block" being the one the query itself lies in. Masked or absent positions add exact zeros.
So the sum for a query does not depend on how long others are, nor on whether the query came in a prompt or
one token at a time, if the small products do not either: `plan_attention` measures that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.engine.buffers import Buffers
from coral.engine.cache import BLOCK, Blocks
from coral.engine.checkpoint import LlamaConfig

Array = npt.NDArray[Any]
_CAUSAL = np.triu(np.full((BLOCK, BLOCK), -np.inf, np.float32), 1)
"""Row i hides what lies behind offset i of its own block."""


@dataclass(frozen=True)
class AttentionPlan:
    """How the small products are shaped.

    Attributes:
        rows: query rows a product has per token: the heads of a group, or more where a lone row would be
            summed in another order than several.
        fused: whether the queries of a prompt may share one product; else each token has its own.
    """

    rows: int
    fused: bool


def plan_attention(config: LlamaConfig) -> AttentionPlan:
    """The cheapest plan under which a token gets the same bits alone and within a prompt, on this machine."""
    group = config.group
    for rows in (group, 2) if group == 1 else (group,):
        if _is_exact(config.head_dim, rows):
            return AttentionPlan(rows, fused=True)
    return AttentionPlan(group, fused=False)


def _is_exact(size: int, rows: int) -> bool:
    rng = np.random.default_rng(0)
    keys = rng.standard_normal((size, BLOCK), np.float32)
    values = rng.standard_normal((BLOCK, size), np.float32)
    queries = rng.standard_normal((BLOCK, rows, size), np.float32)
    shares = rng.random((BLOCK, rows, BLOCK), np.float32)
    alone = np.matmul(queries, keys), np.matmul(shares, values)
    for count in (1, 2, 3, 5, 7, 8, 12, 16, 23, 31, 32, 47, 48, 63, 64):
        together = (
            queries[-count:].reshape(-1, size) @ keys,
            shares[-count:].reshape(-1, BLOCK) @ values,
        )
        pairs = zip(together, alone, strict=True)
        if not all(np.array_equal(a, b[-count:].reshape(a.shape)) for a, b in pairs):
            return False
    return True


def _softmax_parts(scores: Array, parts: Array) -> Array:
    """Numerators of the softmax into `parts` [..., blocks, 64]; returns the denominators [...].

    `scores` lose their maximum in place. The last axis is summed over its fixed length of 64, then the blocks
    one by one: no order depends on how many blocks there are.
    """
    flat = scores.reshape(-1, scores.shape[-2] * BLOCK)
    flat -= flat.max(axis=1, keepdims=True)
    np.exp(scores, out=parts)
    sums = parts.sum(axis=-1)
    total = sums[..., 0].copy()
    for block in range(1, sums.shape[-1]):
        total += sums[..., block]
    return np.asarray(total)


def _add_blocks(partial: Sequence[Array]) -> Array:
    total = partial[0]
    for other in partial[1:]:
        total += other
    return total


class CurrentBlocks:
    """The unfinished last block of every running row, side by side: one product serves all rows."""

    def __init__(self, config: LlamaConfig, slots: int) -> None:
        """A slot lies in one piece, and slots that are not used yet take no memory."""
        heads = (slots, config.num_layers, config.num_kv_heads)
        self.keys = np.zeros((*heads, config.head_dim, BLOCK), np.float32).swapaxes(0, 1)
        self.values = np.zeros((*heads, BLOCK, config.head_dim), np.float32).swapaxes(0, 1)

    def read(self, slot: int) -> tuple[Array, Array]:
        """Keys and values of one row's block over all layers, not copied."""
        return self.keys[:, slot], self.values[:, slot]

    def write(self, slot: int, keys: Array, values: Array) -> None:
        """Copy a block's keys and values over all layers into `slot`."""
        self.keys[:, slot] = keys
        self.values[:, slot] = values


class RowAttention:
    """Attention of the running rows, a new token each: a step is `prepare`, a layer `store` and `attend`."""

    def __init__(self, config: LlamaConfig, plan: AttentionPlan, current: CurrentBlocks) -> None:
        self._config = config
        self._rows = plan.rows
        self._current = current
        self._buffers = Buffers()

    def prepare(self, positions: npt.NDArray[np.intp], parts: Sequence[Sequence[Blocks]]) -> None:
        """Lay out the step: each row's position, and its finished blocks in order."""
        config, count = self._config, len(positions)
        self._slots = np.arange(count)
        self._offsets = positions % BLOCK
        self._mask = _CAUSAL[self._offsets][:, None, None, :]
        self._parts = parts
        most = max((sum(part.count for part in row) for row in parts), default=0)
        heads, take = config.num_kv_heads, self._buffers.take
        self._queries = take("queries", (count, heads, 1, self._rows, config.head_dim), fill=0.0)
        self._scores = take("scores", (count, heads, self._rows, 1 + most, BLOCK), fill=-np.inf)
        self._shares = take("shares", self._scores.shape)
        self._partial = take("partial", (count, heads, 1 + most, self._rows, config.head_dim), fill=0.0)
        self._plan_calls()

    def _plan_calls(self) -> None:
        """For each row and part: the views that its two products read and write."""
        scores, shares = self._scores.swapaxes(2, 3), self._shares.swapaxes(2, 3)
        self._calls = []
        for row, parts in enumerate(self._parts):
            begin = 1
            for part in parts:
                end = begin + part.count
                at = (row, slice(None), slice(begin, end))
                self._calls.append((part, self._queries[row], scores[at], shares[at], self._partial[at]))
                begin = end

    def store(self, layer: int, keys: Array, values: Array) -> None:
        """Write the rows' new keys and values [rows, kv heads, head dim] into their current blocks."""
        self._current.keys[layer][self._slots, :, :, self._offsets] = keys
        self._current.values[layer][self._slots, :, self._offsets] = values

    def attend(self, layer: int, queries: Array, out: Array) -> None:
        """Write the output [rows, heads * head dim] of queries [rows, kv heads, group, head dim]."""
        count, group = len(queries), queries.shape[2]
        if not count:
            return
        current_keys, current_values = self._current.keys[layer], self._current.values[layer]
        self._queries[:, :, 0, :group] = queries
        own = self._scores[:, :, :, 0]
        np.matmul(self._queries[:, :, 0], current_keys[:count], out=own)
        own += self._mask
        for part, query, scores, _, _ in self._calls:
            np.matmul(query, part.keys[layer], scores)
        total = _softmax_parts(self._scores, self._shares)
        np.matmul(self._shares[:, :, :, 0], current_values[:count], out=self._partial[:, :, 0])
        for part, _, _, shares, partial in self._calls:
            np.matmul(shares, part.values[layer], partial)
        mixed = _add_blocks([self._partial[:, :, block] for block in range(self._partial.shape[2])])
        mixed /= total[..., None]
        out.reshape(queries.shape)[:] = mixed[:, :, :group]


class PromptAttention:
    """Attention of consecutive tokens of one prompt, a block of queries at a time."""

    def __init__(self, config: LlamaConfig, plan: AttentionPlan) -> None:
        self._config = config
        self._plan = plan
        self._buffers = Buffers()

    def store(self, layer: int, start: int, blocks: Blocks, keys: Array, values: Array) -> None:
        """Write keys and values [tokens, kv heads, head dim] of positions `start`, ... into `blocks`."""
        block_keys, block_values = blocks.keys[layer], blocks.values[layer]
        for index, offsets, tokens in _spans(start, len(keys)):
            block_keys[:, index, :, offsets] = keys[tokens].transpose(1, 2, 0)
            block_values[:, index, offsets] = values[tokens].swapaxes(0, 1)

    def attend(self, layer: int, start: int, blocks: Blocks, queries: Array, out: Array) -> None:
        """Write the attention's output of consecutive tokens.

        Args:
            layer: which layer's blocks are meant.
            start: the position of the first token.
            blocks: of the prompt; all positions up to the last token are stored.
            queries: [tokens, kv heads, group, head dim], scaled.
            out: [tokens, heads * head dim].
        """
        block_keys, block_values = blocks.keys[layer], blocks.values[layer]
        for index, offsets, tokens in _spans(start, len(queries)):
            order = [slice(index, index + 1), slice(0, index)]
            pairs = [(block_keys[:, part], block_values[:, part]) for part in order]
            mixed = self._attend_block(queries[tokens], pairs, _CAUSAL[offsets])
            out[tokens].reshape(queries[tokens].shape)[:] = mixed

    def _attend_block(self, queries: Array, pairs: list[tuple[Array, Array]], mask: Array) -> Array:
        """Attention of the queries of one block to it and to the blocks before it."""
        count, heads, group, size = queries.shape
        rows, take = self._plan.rows, self._buffers.take
        blocks = 1 + pairs[1][0].shape[1]
        padded = take("queries", (heads, count, rows, size), fill=0.0)
        padded[:, :, :group] = queries.swapaxes(0, 1)
        scores = take("scores", (heads, count, rows, blocks, BLOCK))
        shares = take("shares", scores.shape)
        partial = take("partial", (heads, blocks, count, rows, size))
        own_and_before = (slice(0, 1), slice(1, None)) if blocks > 1 else (slice(0, 1),)
        for (keys, _), at in zip(pairs, own_and_before, strict=False):
            self._score(padded, keys, scores[:, :, :, at])
        scores[:, :, :, 0] += mask[:, None]
        total = _softmax_parts(scores, shares)
        for (_, values), at in zip(pairs, own_and_before, strict=False):
            self._mix(shares[:, :, :, at], values, partial[:, at])
        mixed = _add_blocks([partial[:, block] for block in range(blocks)])
        mixed /= total[..., None]
        return np.asarray(mixed[:, :, :group].swapaxes(0, 1))

    def _score(self, queries: Array, keys: Array, scores: Array) -> None:
        """[heads, tokens, rows, size] by [heads, blocks, size, 64] into [heads, tokens, rows, blocks, 64]."""
        if self._plan.fused:
            np.matmul(_merge(queries, 1)[:, None], keys, out=_merge(scores, 1).swapaxes(1, 2))
        else:
            np.matmul(queries[:, :, None], keys[:, None], out=scores.swapaxes(2, 3))

    def _mix(self, shares: Array, values: Array, partial: Array) -> None:
        """[heads, tokens, rows, blocks, 64] by [heads, blocks, 64, size] into `partial`."""
        if self._plan.fused:
            np.matmul(_merge(shares, 1).swapaxes(1, 2), values, out=_merge(partial, 2))
        else:
            np.matmul(shares.swapaxes(2, 3), values[:, None], out=partial.swapaxes(1, 2))


def _spans(start: int, count: int) -> Iterator[tuple[int, slice, slice]]:
    """Cut `count` tokens from position `start` at the blocks' borders: block, offsets in it, tokens."""
    end = start + count
    for index in range(start // BLOCK, -(-end // BLOCK)):
        first, last = max(start, index * BLOCK), min(end, (index + 1) * BLOCK)
        yield index, slice(first - index * BLOCK, last - index * BLOCK), slice(first - start, last - start)


def _merge(array: Array, axis: int) -> Array:
    """`array` with `axis` and the next one merged: a view, as the two are laid out one within the other."""
    shape = array.shape
    merged = array.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    assert merged.base is not None
    return merged
