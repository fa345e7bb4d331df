"""Prefixes seen before."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coral.engine.cache import BLOCK, Blocks, PrefixCache
from coral.engine.checkpoint import open_checkpoint

BYTES_PER_BLOCK = 2 * BLOCK * 4


def _blocks(tokens: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stand-ins for keys and values: each position holds its token."""
    padded = tokens + [0] * (-len(tokens) % BLOCK)
    parts = np.array(padded, np.float32).reshape(-1, BLOCK)
    return [(part, part) for part in parts]


def _known(cache: PrefixCache, tokens: list[int]) -> int:
    """How much is known, after checking that it is what belongs there."""
    match = cache.find(tokens, len(tokens))
    held = [value for keys, _ in match.blocks for value in keys.tolist()]
    assert held[: match.tokens] == [float(token) for token in tokens[: match.tokens]]
    return match.tokens


def _common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=12), st.data())
@settings(max_examples=60, deadline=None)
def test_the_longest_known_beginning_is_found(stories, data):
    """Whatever was remembered, the longest common beginning is found, and holds the right positions."""
    cache = PrefixCache(10**9)
    sequences = [[token for token in story for _ in range(37)] for story in stories]
    for tokens in sequences:
        cache.insert(tokens, _blocks(tokens))
    asked = data.draw(st.sampled_from(sequences))[: data.draw(st.integers(1, 200))] + data.draw(
        st.lists(st.integers(0, 1), max_size=70)
    )
    assert _known(cache, asked) == max(_common(asked, tokens) for tokens in sequences)


def test_a_growing_conversation_keeps_one_copy():
    """Each turn sends the history again; what is held grows by the new blocks alone."""
    cache = PrefixCache(10**9)
    history: list[int] = []
    for turn in range(1, 30):
        history += [turn] * 21
        assert _known(cache, history) == len(history) - 21
        cache.insert(history, _blocks(history))
        assert cache.num_bytes == -(-len(history) // BLOCK) * BYTES_PER_BLOCK


def test_the_limit_on_what_is_used_holds():
    """`find` never claims more than asked for: the last token of a prompt must be computed for its logits."""
    cache = PrefixCache(10**9)
    tokens = list(range(130))
    cache.insert(tokens, _blocks(tokens))
    assert [cache.find(tokens, limit).tokens for limit in (129, 64, 63, 0)] == [129, 64, 63, 0]


def test_memory_is_bounded_and_the_oldest_goes_first():
    """Beyond the bound, what was not used for longest is dropped, from its end."""
    cache = PrefixCache(6 * BYTES_PER_BLOCK)
    stories = [[number] * (2 * BLOCK) for number in range(1, 4)]
    for tokens in stories:
        cache.insert(tokens, _blocks(tokens))
    _known(cache, stories[0])  # used again: now the second is the oldest
    new = [9] * BLOCK
    cache.insert(new, _blocks(new))
    assert cache.num_bytes == 6 * BYTES_PER_BLOCK
    assert [_known(cache, tokens) for tokens in [*stories, new]] == [128, 64, 128, 64]


def test_a_cache_without_room_forgets_everything():
    """Zero bytes turn the cache off."""
    cache = PrefixCache(0)
    cache.insert([1] * 200, _blocks([1] * 200))
    assert cache.num_bytes == 0
    assert _known(cache, [1] * 200) == 0


def test_what_is_remembered_is_a_copy():
    """The memory of a finished request is used again; what the cache holds must not change with it."""
    cache = PrefixCache(10**9)
    blocks = _blocks([1] * BLOCK)
    cache.insert([1] * BLOCK, blocks)
    blocks[0][0][:] = 5
    assert _known(cache, [1] * BLOCK) == BLOCK


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_blocks_grow_and_keep_what_they_hold(folder, count):
    """Appending beyond the room moves the blocks, not their contents."""
    config = open_checkpoint(folder).config
    blocks = Blocks(config, 1)
    shape = (config.num_layers, config.num_kv_heads, config.head_dim, BLOCK)
    for number in range(count):
        blocks.append(np.full(shape, number), np.full(shape, -number).swapaxes(2, 3))
    assert blocks.count == count
    assert blocks.keys[1].shape == (config.num_kv_heads, count, config.head_dim, BLOCK)
    assert [int(blocks.keys[0][0, at, 0, 0]) for at in range(count)] == list(range(count))
    assert [int(blocks.values[1][1, at, 3, 2]) for at in range(count)] == [-at for at in range(count)]
