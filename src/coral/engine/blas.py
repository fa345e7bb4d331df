"""One BLAS thread: the engine's matrices are small, and threads that wait for each other cost far more.

Measured on a two-core machine that had other work to do: the same request took 0.95 s with one thread and
28 s with two, as OpenBLAS threads spin at every one of some ten thousand small products.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

_EXTENSIONS = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
"""numpy's compiled module, which is linked with its BLAS: as numpy 2 and numpy 1 call it."""

_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
    "MKL_Set_Num_Threads",
)

_CORE_NAMES = (
    "scipy_openblas_get_corename64_",
    "scipy_openblas_get_corename",
    "openblas_get_corename64_",
    "openblas_get_corename",
)
_CORES_WITH_SMALL_KERNELS = (b"SkylakeX", b"Cooperlake", b"SapphireRapids")


def use_one_thread() -> bool:
    """Make numpy's BLAS compute on the calling thread alone, in this whole process.

    Returns:
        Whether a BLAS was found that can be told so. macOS' Accelerate cannot and need not; elsewhere the
        environment variable OPENBLAS_NUM_THREADS=1, set before Python starts, does the same.
    """
    setter = _find(_SETTERS)
    if setter is None:
        return False
    setter(ctypes.c_int(1))
    return True


def has_small_kernels() -> bool:
    """Whether the BLAS is an OpenBLAS with kernels that multiply small matrices without copying them."""
    tell = _find(_CORE_NAMES)
    if tell is None:
        return False
    tell.restype = ctypes.c_char_p
    return tell() in _CORES_WITH_SMALL_KERNELS


def _find(names: Sequence[str]) -> Any:
    """The first of these functions that numpy's BLAS has."""
    assert np.__version__  # imported: its modules are there
    for extension in _EXTENSIONS:
        path = getattr(sys.modules.get(extension), "__file__", None)
        library = ctypes.CDLL(path) if path else None  # searches the libraries that it is linked with, too
        for name in names:
            if (function := getattr(library, name, None)) is not None:
                return function
    return None
