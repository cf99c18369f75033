"""What one sample of an input or a target looks like: shape and dtype, without the batch axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Shape and dtype of one sample of one field.

    Args:
        shape: axes of one sample, without the batch axis; `()` for a number per sample.
        dtype: NumPy dtype of the delivered values.

    Example:
        >>> Spec(shape=(32, 32, 1), dtype=np.dtype("uint8")).row_bytes
        1024
    """

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape) * self.dtype.itemsize

    def empty(self, num_rows: int) -> np.ndarray:
        """A new uninitialised buffer `(num_rows, *shape)`; the caller owns it."""
        return np.empty((num_rows, *self.shape), self.dtype)

    def __str__(self) -> str:
        return f"({', '.join(map(str, self.shape))}) {self.dtype}"
