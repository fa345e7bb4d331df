"""Scratch memory that is used again from step to step."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Buffers:
    """Memory by name, which grows to the largest size asked for."""

    def __init__(self) -> None:
        self._flat: dict[str, Array] = {}

    def take(self, name: str, shape: tuple[int, ...], fill: float | None = None) -> Array:
        """A contiguous array, holding whatever was last written under `name`, or `fill`."""
        size = math.prod(shape)
        flat = self._flat.get(name)
        if flat is None or len(flat) < size:
            flat = self._flat[name] = np.zeros(size, np.float32)
        view = flat[:size].reshape(shape)
        if fill is not None:
            view.fill(fill)
        return view
