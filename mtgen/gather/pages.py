"""Large buffers in pages of their own, which go back to the system with the last reference.

What `malloc` is given back it may keep: after a large block was freed once, glibc puts blocks up to that size into
heaps, and trims a heap only where 64 MiB lie free at its end. A budget of memory is kept with such buffers only.
"""

from __future__ import annotations

import math
import mmap

import numpy as np

LEAST_BYTES = 256 << 10
"""Smaller buffers are left to `malloc`; a process may have some 65,000 maps."""


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new writable buffer, not initialised; any thread, the caller owns it.

    Args:
        shape: of the array.
        dtype: of its values.

    Example:
        >>> empty((3, 2), np.dtype("f4")).shape
        (3, 2)
    """
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes < LEAST_BYTES or not hasattr(mmap, "MAP_PRIVATE"):
        return np.empty(shape, dtype)
    pages = mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype).reshape(shape)
