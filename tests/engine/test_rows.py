"""Products whose rows do not depend on their company."""

import numpy as np
import pytest

from coral.engine.attention import plan_attention
from coral.engine.blas import use_one_thread
from coral.engine.checkpoint import open_checkpoint
from coral.engine.rows import RowPlan, plan_rows

SHAPES = [(64, 128), (64, 704), (172, 64), (832, 256), (64, 512)]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    use_one_thread()


def _rows(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((count, width), dtype=np.float32)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_plan_of_this_machine_gives_each_row_the_same_bits(shape):
    """A row alone, in the middle of others, and at any other place has the same product, bit by bit."""
    plan = plan_rows(SHAPES, 192)
    weights = _rows(*shape)
    rows = _rows(200, shape[0])
    expected = [_padded(plan, rows[index : index + 1], weights)[0] for index in range(60)]
    for count in (1, 2, 7, 8, 13, 31, 60):
        for begin in (0, 1, 5):
            together = _padded(plan, rows[begin : begin + count], weights)
            for offset in range(min(count, 60 - begin)):
                assert np.array_equal(together[offset], expected[begin + offset])


def _padded(plan: RowPlan, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    padded = np.zeros((plan.pad(len(rows)), rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    out = np.empty((len(padded), weights.shape[1]), np.float32)
    plan.multiply(padded, weights, out)
    return out[: len(rows)]


@pytest.mark.parametrize("plan", [RowPlan(8), RowPlan(8, tiled=True), RowPlan(1, tiled=True)], ids=str)
def test_every_plan_computes_the_product(plan):
    """Plans differ in the last bits alone: each is the matrix product."""
    rows, weights = _rows(24, 32), _rows(32, 16)
    np.testing.assert_allclose(_padded(plan, rows, weights), rows @ weights, rtol=1e-4, atol=1e-5)


def test_padding_is_no_larger_than_a_step():
    """A batch grows to the next multiple of the step, and not at all where it is one."""
    assert [RowPlan(8).pad(count) for count in (0, 1, 8, 9)] == [0, 8, 8, 16]


def test_attention_is_planned_for_lone_heads_too(llama_folder):
    """Without grouped queries a token has one query row; the plan then may add a second one."""
    single = plan_attention(open_checkpoint(llama_folder(num_key_value_heads=4)).config)
    grouped = plan_attention(open_checkpoint(llama_folder()).config)
    assert single.rows in {1, 2}
    assert grouped.rows == 2
