"""A picture of points in characters: darker where there are more. Pure."""

from __future__ import annotations

import numpy as np

from mtgen.sampling.describing.text import number

SHADES = " .:-=+*#%@"
"""From no point to the most in a cell; any point at all is a dot at least."""

SIDES = (16, 48)
"""Cells down and across, fewer where few whole numbers are counted; a character is twice as high as wide."""


def heat_lines(points: np.ndarray) -> tuple[str, ...]:
    """Points `(n, 2)` of numbers as lines of characters: column 0 downwards, column 1 to the right, as in pictures.

    Returns:
        A frame with the ranges under it; nothing where there are no finite points, or columns that are no numbers.

    Example:
        >>> heat_lines(np.array([[0, 0], [1, 1], [1, 1]]))[2][22:30]
        '   @@@@@'
    """
    if points.dtype.kind not in "biuf" or not len(points):
        return ()
    finite = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if not len(finite):
        return ()
    low, high = finite.min(axis=0), finite.max(axis=0)
    with np.errstate(over="ignore"):
        widths = high - low
    if not np.isfinite(widths).all():
        return ()
    whole = bool((finite == np.floor(finite)).all())
    down, across = (
        int(width) + 1 if whole and width < most else most for width, most in zip(widths.tolist(), SIDES, strict=True)
    )
    steps = np.where(widths > 0, widths + whole, 1.0)
    cells = np.minimum(((finite - low) / steps * [down, across]).astype(np.int64), [down - 1, across - 1])
    counts = np.bincount(cells[:, 0] * across + cells[:, 1], minlength=down * across).reshape(down, across)
    shades = np.ceil(counts * (len(SHADES) - 1) / counts.max()).astype(np.int64)
    shades = np.repeat(shades, SIDES[1] // across, axis=1)
    edge = "+" + "-" * shades.shape[1] + "+"
    lines = ["|" + "".join(SHADES[shade] for shade in row) + "|" for row in shades.tolist()]
    ranges = [f"{number(float(one))} to {number(float(other))}" for one, other in zip(low, high, strict=True)]
    return edge, *lines, edge, f"column 0 down: {ranges[0]}; column 1 across: {ranges[1]}"
