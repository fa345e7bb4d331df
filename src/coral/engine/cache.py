"""Keys and values in blocks of 64 positions, and the prefixes that need not be computed again.

A sequence's positions 0-63 are its block 0, 64-127 its block 1, and so on. In a block, keys lie as
[kv head, head dim, position] and values as [kv head, position, head dim], so that every product of attention
is a small matrix product of one fixed shape.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.engine.checkpoint import LlamaConfig

BLOCK = 64
Array = npt.NDArray[Any]


class Blocks:
    """The blocks of one sequence, or of a part of it.

    Attributes:
        count: blocks in use; there may be room for more.
        keys: of the blocks in use, per layer [kv head, block, head dim, 64].
        values: likewise [kv head, block, 64, head dim].
    """

    def __init__(self, config: LlamaConfig, room: int, count: int = 0) -> None:
        """A block lies in one piece, and room that is not used yet takes no memory."""
        self._shape = (config.num_layers, config.num_kv_heads, config.head_dim, BLOCK)
        self._memory = np.zeros((room, 2, math.prod(self._shape)), np.float32)
        self._show(count)

    def _show(self, count: int) -> None:
        layers, heads, size, _ = self._shape
        keys = self._memory[:count, 0].reshape(count, layers, heads, size, BLOCK)
        values = self._memory[:count, 1].reshape(count, layers, heads, BLOCK, size)
        self.count = count
        self.keys = list(keys.transpose(1, 2, 0, 3, 4))
        self.values = list(values.transpose(1, 2, 0, 3, 4))

    def read(self, index: int) -> tuple[Array, Array]:
        """Keys and values of one block over all layers, not copied."""
        layers, heads, size, _ = self._shape
        keys, values = self._memory[index]
        return keys.reshape(layers, heads, size, BLOCK), values.reshape(layers, heads, BLOCK, size)

    def write(self, index: int, keys: Array, values: Array) -> None:
        """Copy keys and values of one block over all layers into place."""
        for target, source in zip(self.read(index), (keys, values), strict=True):
            target[:] = source

    def append(self, keys: Array, values: Array) -> None:
        """Add a block; doubles the room when there is none left."""
        if self.count == len(self._memory):
            more = np.zeros((2 * self.count or 2, *self._memory.shape[1:]), np.float32)
            more[: self.count] = self._memory
            self._memory = more
        self.write(self.count, keys, values)
        self._show(self.count + 1)

    def keep(self, count: int) -> None:
        """Show the first `count` blocks alone."""
        self._show(count)


@dataclass(eq=False)
class _Node:
    """One block of a sequence seen before: up to 64 tokens behind those of its parent."""

    tokens: bytes
    parent: _Node | None
    keys: Array
    values: Array
    children: dict[bytes, _Node] = field(default_factory=dict)

    @property
    def num_bytes(self) -> int:
        return int(self.keys.nbytes + self.values.nbytes)


@dataclass(frozen=True)
class Match:
    """What is known of a prompt.

    Attributes:
        tokens: how many of its first tokens are known.
        blocks: their keys and values; of the last block perhaps only a part is valid.
    """

    tokens: int
    blocks: tuple[tuple[Array, Array], ...]


class PrefixCache:
    """Blocks of earlier sequences in a tree, found by the tokens from the very beginning.

    Full blocks are found by their tokens; in the last one any common beginning is used, so a conversation
    that sends its history again computes only what is new. Holds copies, at most `max_bytes` of them;
    what was not used for longest goes first. A node is always used later than its children, so the oldest
    node has none.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._root = _Node(b"", None, np.empty(0), np.empty(0))
        self._by_age: OrderedDict[int, _Node] = OrderedDict()

    def find(self, tokens: Sequence[int], limit: int) -> Match:
        """The longest known beginning of `tokens`, `limit` tokens at most."""
        raw = _encode(tokens[:limit])
        node, known = self._root, 0
        found: list[_Node] = []
        while known < limit:
            chunk = _chunk(raw, known)
            child, common = _closest(node, chunk)
            if child is None or not common:
                break
            found.append(child)
            known += common
            if common < BLOCK:
                break
            node = child
        self._touch(found)
        return Match(known, tuple((child.keys, child.values) for child in found))

    def insert(self, tokens: Sequence[int], blocks: Sequence[tuple[Array, Array]]) -> None:
        """Remember `tokens`, whose keys and values `blocks` holds (the last block perhaps in part)."""
        raw = _encode(tokens)
        node = self._root
        path: list[_Node] = []
        for index, (keys, values) in enumerate(blocks):
            chunk = _chunk(raw, index * BLOCK)
            child, common = _closest(node, chunk)
            if child is None or common * _TOKEN_BYTES < len(chunk):
                child = self._add(node, chunk, keys, values)
            path.append(child)
            if len(child.tokens) < BLOCK * _TOKEN_BYTES:
                break
            node = child
        self._touch(path)
        self._evict()

    def _add(self, parent: _Node, chunk: bytes, keys: Array, values: Array) -> _Node:
        """A new node, in place of a sibling that is merely its beginning."""
        if (shorter := _beginning(parent, chunk)) is not None:
            self._remove(shorter)
        node = _Node(chunk, parent, keys.copy(), values.copy())
        parent.children[chunk] = node
        self._by_age[id(node)] = node
        self.num_bytes += node.num_bytes
        return node

    def _remove(self, node: _Node) -> None:
        assert node.parent is not None
        del node.parent.children[node.tokens]
        del self._by_age[id(node)]
        self.num_bytes -= node.num_bytes

    def _touch(self, path: list[_Node]) -> None:
        for node in reversed(path):
            self._by_age.move_to_end(id(node))

    def _evict(self) -> None:
        while self.num_bytes > self.max_bytes:
            self._remove(next(iter(self._by_age.values())))


_TOKEN_BYTES = 4


def _encode(tokens: Sequence[int]) -> bytes:
    return np.asarray(tokens, np.uint32).tobytes()


def _chunk(raw: bytes, begin: int) -> bytes:
    return raw[begin * _TOKEN_BYTES : (begin + BLOCK) * _TOKEN_BYTES]


def _closest(node: _Node, chunk: bytes) -> tuple[_Node | None, int]:
    """The child with the longest common beginning with `chunk`, and its length in tokens."""
    if (exact := node.children.get(chunk)) is not None:
        return exact, len(chunk) // _TOKEN_BYTES
    best, longest = None, 0
    for child in node.children.values():
        common = _common(child.tokens, chunk, longest)
        if common > longest:
            best, longest = child, common
    return best, longest


def _common(a: bytes, b: bytes, floor: int) -> int:
    """Tokens that `a` and `b` share at their beginning; 0 if they are no more than `floor`."""
    size = (floor + 1) * _TOKEN_BYTES
    if len(a) < size or a[:size] != b[:size]:
        return 0
    shortest = min(len(a), len(b)) // _TOKEN_BYTES
    count = floor + 1
    while count < shortest and _token(a, count) == _token(b, count):
        count += 1
    return count


def _token(raw: bytes, index: int) -> bytes:
    return raw[index * _TOKEN_BYTES : (index + 1) * _TOKEN_BYTES]


def _beginning(parent: _Node, chunk: bytes) -> _Node | None:
    """A child whose tokens are the beginning of `chunk`; being incomplete, it has no children itself."""
    return next((child for child in parent.children.values() if chunk.startswith(child.tokens)), None)
