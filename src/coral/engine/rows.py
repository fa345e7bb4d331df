"""Matrix products whose rows do not depend on how many rows there are, nor on their place among them.

A BLAS picks its kernel by the shape of the matrices, and kernels sum in different orders. So the same row
multiplied alone, or as one of 64, can differ in its last bits, and at temperature 1 one such bit can change
a word. What a machine's BLAS does is measured at start, on the model's own shapes. With AVX-512, OpenBLAS
treats all rows alike as long as their number is a multiple of 8 (fewer rows may take another kernel); the
engine pads its batches. With AVX2 its kernel treats the halves of every 12 rows differently; there the rows
are multiplied in tiles, each a product of its own with one fixed shape.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
COMMON_STEP = 192
"""A multiple of every step that is tried."""

_STEPS = (8, 12, 16, 24, 32, 48, 64)
_TILES = (8, 4)
_WIDEST = 4096
"""Probes of wider matrices are cut to about this width: far beyond it the choice of kernel is the same."""

_STAYS_IN_CACHE = 1 << 18
"""Numbers (1 MiB). A matrix this small is read again for each row at little cost."""


@dataclass(frozen=True)
class RowPlan:
    """How rows are multiplied.

    Attributes:
        step: the number of rows is a multiple of it.
        tiled: each `step` rows are a product of their own.
    """

    step: int
    tiled: bool = False

    def pad(self, count: int) -> int:
        """`count` rounded up to a number of rows that can be multiplied."""
        return -(-count // self.step) * self.step

    def multiply(self, rows: Array, weights: Array, out: Array) -> None:
        """`out[:] = rows @ weights`, with the number of rows a multiple of `step`."""
        if not self.tiled:
            np.matmul(rows, weights, out=out)
            return
        tiles = rows.reshape(-1, self.step, rows.shape[1])
        np.matmul(tiles, weights, out=out.reshape(-1, self.step, out.shape[1]))


def plan_rows(shapes: Iterable[tuple[int, int]], max_rows: int) -> RowPlan:
    """The cheapest plan that gives every row the same bits in any batch, for weights of all `shapes`.

    Args:
        shapes: (inputs, outputs) of the weights.
        max_rows: the largest batch that will be asked for.

    Returns:
        A plan for this machine; it depends on nothing that is timed. Where all else fails, and for small
        matrices rather than tiles, it is one product a row.
    """
    shapes = list(shapes)
    plans = [RowPlan(step) for step in _STEPS]
    if max(height * width for height, width in shapes) > _STAYS_IN_CACHE:
        plans += [RowPlan(tile, tiled=True) for tile in _TILES]
    return first_exact(plans, shapes, max_rows) or RowPlan(1, tiled=True)


def first_exact(plans: Iterable[RowPlan], shapes: Iterable[tuple[int, int]], max_rows: int) -> RowPlan | None:
    """The first of `plans` that gives every row the same bits in any batch with this machine's BLAS."""
    rng = np.random.default_rng(0)
    narrowed = sorted({(height, _narrow(width)) for height, width in shapes})
    probes = [(_normal(rng, max_rows + 1, height), _normal(rng, height, width)) for height, width in narrowed]
    return next((plan for plan in plans if all(_is_exact(plan, *probe) for probe in probes)), None)


def _narrow(width: int) -> int:
    return width if width <= _WIDEST else _WIDEST + width % 256


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _is_exact(plan: RowPlan, rows: Array, weights: Array) -> bool:
    """Whether batches of several sizes, begun at row 0 and at row 1, agree with the largest one."""
    step = plan.step
    largest = (len(rows) - 1) // step * step
    whole = _product(plan, rows[:largest], weights)
    shifted = _product(plan, rows[1 : largest + 1], weights)
    if not np.array_equal(shifted[:-1], whole[1:]):
        return False
    sizes = sorted({step, 2 * step, 3 * step, largest // 2 // step * step} - {0, largest})
    return all(np.array_equal(_product(plan, rows[:size], weights), whole[:size]) for size in sizes)


def _product(plan: RowPlan, rows: Array, weights: Array) -> Array:
    out = np.empty((len(rows), weights.shape[1]), np.float32)
    plan.multiply(rows, weights, out)
    return out
