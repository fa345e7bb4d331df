"""Matrix products in which a token's numbers do not depend on how many tokens there are, nor on its place.

Activations stand as [features, tokens]: a column is a token. A BLAS picks its kernel by the shape of the
matrices, and kernels sum in different orders. So the same column multiplied alone, or as one of 64, can
differ in its last bits, and at temperature 1 one such bit can change a word. What a machine's BLAS does is
measured at start, on the model's own shapes, and the cheapest exact way is taken.

With AVX-512, OpenBLAS has kernels for small matrices that read the weights as they lie, without copying them
first, and sum each number in one fixed order. They are fastest here, so weights are cut into small slabs.
With AVX2 its kernel treats the halves of 12 columns differently, unless a product has fewer than 12 rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coral.engine.blas import has_small_kernels
from coral.engine.buffers import Buffers

Array = npt.NDArray[Any]
_IN_CACHE = 1 << 17
"""Weights (512 KiB) that stay in a core's own cache while the tiles of a batch pass."""

_PIECE = 1 << 24
"""Numbers (64 MiB) that are taken from the system at a time."""

_PROBED = 320
"""Tokens of the largest batch that a plan is tried with: more than any tile has."""


@dataclass(frozen=True)
class Plan:
    """How weights are cut, and batches with them.

    Attributes:
        slab: rows of the weights, which are features of the output, per product.
        depth: most columns of the weights, features of the input, per product.
        sizes: numbers of tokens that a product may have, in ascending order. A larger batch is cut into the
            largest; the rest of it is padded to the next one.
    """

    slab: int
    depth: int
    sizes: tuple[int, ...]

    @property
    def tile(self) -> int:
        """Most tokens per product."""
        return self.sizes[-1]

    def pad(self, count: int) -> int:
        """`count` tokens rounded up to a number that can be multiplied, and to more than one.

        numpy would sum a lone column in another order than several.
        """
        whole, rest = divmod(max(count, 2), self.tile)
        return whole * self.tile + (next(size for size in self.sizes if size >= rest) if rest else 0)


_SMALL = Plan(slab=12, depth=1280, sizes=(2, 4, 8, 12, 16, 32, 64))
"""Within OpenBLAS' limit for small matrices: 12 * 1280 * 64 is just below a million. 64 tokens take less time
than 40 to 63 do, and 32 less than 20 to 31."""

_PLANS = (
    Plan(slab=64, depth=4096, sizes=tuple(range(8, 257, 8))),
    Plan(slab=8, depth=4096, sizes=tuple(range(8, 65, 8))),
    Plan(slab=64, depth=4096, sizes=(16,)),
    Plan(slab=64, depth=4096, sizes=(8,)),
)
_ALWAYS_EXACT = Plan(slab=64, depth=4096, sizes=(1,))
"""A product per token. The slowest plan."""


class Arena:
    """Memory for weights, taken from the system in large pieces.

    The kernel backs large pieces with large pages, which saves an eighth of the time of a step.
    """

    def __init__(self) -> None:
        self._piece = np.zeros(0, np.float32)

    def take(self, shape: tuple[int, ...]) -> Array:
        """An array of zeros."""
        size = math.prod(shape)
        if size > len(self._piece):
            self._piece = np.zeros(max(size, _PIECE), np.float32)
        taken, self._piece = self._piece[:size], self._piece[size:]
        return taken.reshape(shape)


class Matrix:
    """Weights [outputs, inputs] cut as a plan says.

    Attributes:
        parts: of the inputs; each [slabs, slab, depth], a view of memory in which the slab's rows lie
            interleaved, [slabs, depth, slab]. Rows of zeros fill the last slab.
        outputs: rows, those of zeros included.
    """

    def __init__(self, weights: Array, plan: Plan, arena: Arena) -> None:
        outputs, inputs = weights.shape
        slab, slabs = plan.slab, -(-outputs // plan.slab)
        self.outputs = slabs * slab
        self._depth = -(-inputs // -(-inputs // plan.depth))
        self.parts = []
        for begin in range(0, inputs, self._depth):
            part = weights[:, begin : begin + self._depth]
            stored = arena.take((slabs, part.shape[1], slab)).swapaxes(1, 2)
            whole = outputs // slab
            stored[:whole] = part[: whole * slab].reshape(whole, slab, part.shape[1])
            if whole < slabs:
                stored[whole, : outputs - whole * slab] = part[whole * slab :]
            self.parts.append(stored)

    def take(self, rows: npt.NDArray[np.intp]) -> Array:
        """Some of the rows, [inputs, rows]."""
        slab = self.parts[0].shape[1]
        return np.asarray(np.concatenate([part[rows // slab, rows % slab] for part in self.parts], axis=1).T)

    def pair(self, x: Array) -> Iterator[tuple[Array, Array]]:
        """Each part with the rows of `x` that it is multiplied with."""
        for index, part in enumerate(self.parts):
            yield part, x[index * self._depth : (index + 1) * self._depth]


class Multiplier:
    """Multiplies as a plan says. Holds scratch memory, so it is for one thread."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._take = Buffers().take

    def multiply(self, matrix: Matrix, x: Array, out: Array) -> None:
        """`out[:] = matrix @ x`: [outputs, tokens] of [inputs, tokens], their number padded."""
        products = out.reshape(-1, self.plan.slab, x.shape[1])
        if x.shape[1] <= self.plan.tile:
            self._product(matrix, slice(None), x, products)
            return
        tiles = list(self._tiles(x))
        for slabs in self._chunks(matrix):
            for at, tile in tiles:
                self._product(matrix, slabs, tile, products[slabs, :, at])

    def multiply_rows(self, matrix: Matrix, x: Array, out: Array) -> None:
        """`out[:] = (matrix @ x).T`, [tokens, outputs], for a matrix of very many outputs."""
        for at, tile in self._tiles(x):
            for slabs in self._chunks(matrix):
                shape = (*matrix.parts[0][slabs].shape[:2], tile.shape[1])
                product = self._take("product", shape)
                self._product(matrix, slabs, tile, product)
                rows = slice(slabs.start * self.plan.slab, (slabs.start + shape[0]) * self.plan.slab)
                out[at, rows] = product.reshape(-1, shape[2]).T

    def _tiles(self, x: Array) -> Iterator[tuple[slice, Array]]:
        """Batches that one product can take, each in memory of its own."""
        for begin in range(0, x.shape[1], self.plan.tile):
            at = slice(begin, begin + self.plan.tile)
            yield at, np.ascontiguousarray(x[:, at])

    def _chunks(self, matrix: Matrix) -> Iterator[slice]:
        """Slabs that stay in the cache together."""
        count, slab, _ = matrix.parts[0].shape
        inputs = sum(part.shape[2] for part in matrix.parts)
        step = max(1, _IN_CACHE // (slab * inputs))
        for begin in range(0, count, step):
            yield slice(begin, begin + step)

    def _product(self, matrix: Matrix, slabs: slice, x: Array, out: Array) -> None:
        """One tile by some slabs; parts of the inputs are added in their order."""
        for index, (part, inputs) in enumerate(matrix.pair(x)):
            if index == 0:
                np.matmul(part[slabs], inputs, out=out)
            else:
                more = self._take("more", out.shape)
                np.matmul(part[slabs], inputs, out=more)
                out += more


def plan_products(inputs: Iterable[int]) -> Plan:
    """The cheapest plan that gives every token the same bits in any batch, for weights of so many inputs.

    It depends on this machine's BLAS, and on nothing that is timed.
    """
    plans = (_SMALL, *_PLANS) if has_small_kernels() else _PLANS
    return first_exact(plans, sorted(set(inputs))) or _ALWAYS_EXACT


def first_exact(plans: Iterable[Plan], inputs: Iterable[int]) -> Plan | None:
    """The first of `plans` that gives every token the same bits in any batch with this machine's BLAS."""
    rng = np.random.default_rng(0)
    probes = [(_normal(rng, 192, size), _normal(rng, size, _PROBED)) for size in inputs]
    return next((plan for plan in plans if all(_is_exact(plan, *probe) for probe in probes)), None)


def _normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def _is_exact(plan: Plan, weights: Array, x: Array) -> bool:
    """Whether batches of all sizes, begun at several tokens, agree where they hold the same tokens."""
    matrix, multiplier = Matrix(weights, plan, Arena()), Multiplier(plan)
    whole: Array | None = None
    for count in (_PROBED // plan.tile * plan.tile, *plan.sizes):
        for begin in (0, 1, 6):
            end = min(begin + count, x.shape[1])
            tokens = np.zeros((len(x), count), np.float32)
            tokens[:, : end - begin] = x[:, begin:end]
            out = np.empty((matrix.outputs, count), np.float32)
            multiplier.multiply(matrix, tokens, out)
            whole = out if whole is None else whole
            end = min(end, whole.shape[1])
            if not np.array_equal(out[:, : end - begin], whole[:, begin:end]):
                return False
    return True
