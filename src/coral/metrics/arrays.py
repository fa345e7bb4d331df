"""Numbers by conversation and by problem, as arrays: a run may have a million of each."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Indices = np.ndarray[Any, np.dtype[np.int64]]


def sum_by(groups: Indices, size: int, weights: Array | None = None) -> Array:
    """The sum of the weights (of ones, if there are none) of each group.

    Args:
        groups: the group of each weight, below `size`.
    """
    return np.bincount(groups, weights, minlength=size).astype(np.float64)
