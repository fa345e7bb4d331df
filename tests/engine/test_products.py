"""Products in which a token's numbers do not depend on its company."""

import numpy as np
import pytest

from coral.engine.attention import plan_attention
from coral.engine.blas import use_one_thread
from coral.engine.checkpoint import open_checkpoint
from coral.engine.products import Arena, Matrix, Multiplier, Plan, plan_products

SHAPES = [(128, 64), (704, 64), (64, 172), (256, 832), (512, 64), (333, 64), (48, 2600)]
"""Outputs and inputs; the last has more inputs than a small product takes."""
PLANS = [
    Plan(slab=12, depth=1280, sizes=(2, 8, 64)),
    Plan(slab=64, depth=4096, sizes=(8,)),
    Plan(slab=8, depth=50, sizes=(3, 5)),
    Plan(slab=64, depth=4096, sizes=(1,)),
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    use_one_thread()


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32)


def _product(plan: Plan, matrix: Matrix, tokens: np.ndarray) -> np.ndarray:
    """Outputs by tokens, padded as the plan asks."""
    padded = np.zeros((len(tokens), plan.pad(tokens.shape[1])), np.float32)
    padded[:, : tokens.shape[1]] = tokens
    out = np.empty((matrix.outputs, padded.shape[1]), np.float32)
    Multiplier(plan).multiply(matrix, padded, out)
    rows = np.empty((padded.shape[1], matrix.outputs), np.float32)
    Multiplier(plan).multiply_rows(matrix, padded, rows)
    assert np.array_equal(out.T, rows), "both ways of multiplying are one"
    return out[:, : tokens.shape[1]]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_plan_of_this_machine_gives_each_token_the_same_bits(shape):
    """A token alone, in the middle of others, and at any other place has the same product, bit by bit."""
    plan = plan_products({inputs for _, inputs in SHAPES})
    matrix = Matrix(_normal(*shape), plan, Arena())
    tokens = _normal(shape[1], 200)
    expected = [_product(plan, matrix, tokens[:, [index]])[:, 0] for index in range(60)]
    for count in (1, 2, 7, 8, 13, 31, 60, 150):
        for begin in (0, 1, 5):
            together = _product(plan, matrix, tokens[:, begin : begin + count])
            for offset in range(min(count, 60 - begin)):
                assert np.array_equal(together[:, offset], expected[begin + offset])


@pytest.mark.parametrize("shape", [(24, 32), (333, 64), (70, 130)], ids=str)
@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_plan_computes_the_product(plan, shape):
    """Plans differ in the last bits alone: each is the matrix product, and knows the rows it was made of."""
    weights, tokens = _normal(*shape), _normal(shape[1], 19)
    matrix = Matrix(weights, plan, Arena())
    product = _product(plan, matrix, tokens)
    np.testing.assert_allclose(product[: len(weights)], weights @ tokens, rtol=1e-4, atol=1e-4)
    assert not product[len(weights) :].any()
    assert np.array_equal(matrix.take(np.array([0, 5, len(weights) - 1])), weights[[0, 5, -1]].T)


def test_padding_is_no_larger_than_needed():
    """A batch grows to the next size that can be multiplied, and not at all where it is one."""
    plan = Plan(slab=8, depth=8, sizes=(2, 8))
    assert [plan.pad(count) for count in (1, 2, 3, 8, 9, 16, 19)] == [2, 2, 8, 8, 10, 16, 24]
    assert [Plan(slab=8, depth=8, sizes=(1,)).pad(count) for count in (1, 2, 3)] == [2, 2, 3]


def test_attention_is_planned_for_lone_heads_too(llama_folder):
    """Without grouped queries a token has one query row; the plan then may add a second one."""
    single = plan_attention(open_checkpoint(llama_folder(num_key_value_heads=4)).config)
    grouped = plan_attention(open_checkpoint(llama_folder()).config)
    assert single.rows in {1, 2}
    assert grouped.rows == 2
