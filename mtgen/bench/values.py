"""The feature matrix: any rows of it, computed. Arithmetic only.

Column 0 is the row's number. The others are zero in the share asked for; the rest is uniform in [-1, 1) with 24
random bits, so that nothing compresses but the zeros. A value depends on seed, row and column alone, so that every
value that a contender delivers can be compared.
"""

from __future__ import annotations

import numpy as np

MOST_ROWS = 1 << 24
"""Whole numbers up to this are exact in float32."""


def values(rows: np.ndarray, num_columns: int, *, sparsity: float, seed: int = 0) -> np.ndarray:
    """Rows of the matrix, float32 `(len(rows), num_columns)`, new.

    Any thread.

    Args:
        rows: row numbers, 0 to `MOST_ROWS`.
        num_columns: >= 2.
        sparsity: share of zeros in columns 1 and on, 0 to 1.
        seed: another one gives another matrix.

    Example:
        >>> values(np.array([7, 3]), 4, sparsity=0.5)[:, 0].tolist()
        [7.0, 3.0]
    """
    places = np.asarray(rows, np.uint64)[:, None] * np.uint64(num_columns) + np.arange(num_columns, dtype=np.uint64)
    bits = _mixed(places + (np.uint64(seed) << np.uint64(40)))
    # The upper 32 bits say whether, the lower 24 what.
    some = (bits >> np.uint64(32)).astype(np.uint32) >= np.uint32(min(int(sparsity * 2**32), 2**32 - 1))
    numbers = (bits & np.uint64(2**24 - 1)).astype(np.uint32).astype(np.float32) * np.float32(2**-23) - np.float32(1)
    found: np.ndarray = np.where(some, numbers, np.float32(0))
    found[:, 0] = rows
    return found


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014."""
    with np.errstate(over="ignore"):
        numbers = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return mixed
