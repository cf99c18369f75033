"""A picture of points in characters: darker where there are more. Pure."""

from __future__ import annotations

import numpy as np

from mtgen.sampling.describing.text import number

SHADES = " .:-=+*#%@"
"""From no point to the most in a cell; any point at all is a dot at least."""

ROWS, COLUMNS = 16, 48
"""Cells down and across; a character is about twice as high as wide, and pictures are mostly wider than high."""


def heat_lines(points: np.ndarray) -> tuple[str, ...]:
    """Points `(n, 2)` of numbers as lines of characters: column 0 downwards, column 1 to the right, as in pictures.

    Returns:
        A frame with the ranges under it; nothing where there are no finite points, or columns that are no numbers.

    Example:
        >>> print(heat_lines(np.array([[0, 0], [1, 1], [1, 1]]))[1][:4])
        |+
    """
    if points.dtype.kind not in "biuf" or not len(points):
        return ()
    finite = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if not len(finite):
        return ()
    low, high = finite.min(axis=0), finite.max(axis=0)
    with np.errstate(over="ignore"):
        width = np.where(high > low, high - low, 1.0)
    if not np.isfinite(width).all():
        return ()
    cells = np.minimum(((finite - low) / width * [ROWS, COLUMNS]).astype(np.int64), [ROWS - 1, COLUMNS - 1])
    counts = np.bincount(cells[:, 0] * COLUMNS + cells[:, 1], minlength=ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    shades = np.ceil(counts * (len(SHADES) - 1) / counts.max()).astype(np.int64)
    edge = "+" + "-" * COLUMNS + "+"
    lines = ["|" + "".join(SHADES[shade] for shade in row) + "|" for row in shades.tolist()]
    ranges = [f"{number(float(one))} to {number(float(other))}" for one, other in zip(low, high, strict=True)]
    return edge, *lines, edge, f"column 0 down: {ranges[0]}; column 1 across: {ranges[1]}"
