"""Columns of text for a terminal. Strings only."""

from __future__ import annotations

import math
from collections.abc import Sequence

MOST_NAME = 32
"""Characters of a class's or a component's name that a table shows."""


def aligned(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells under their heads: the first column to the left, numbers to the right.

    Example:
        >>> aligned(["class", "rows"], [["a", "12"], ["bcd", "3"]])
        ['class  rows', 'a        12', 'bcd       3']
    """
    cells = [list(heads), *map(list, lines)]
    widths = [max(len(one) for one in column) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    ]


def cut(text: str, most: int = MOST_NAME) -> str:
    """A text on one line, its middle left out where it is longer than `most`.

    Example:
        >>> cut("a_very_long_name.png", 11)
        'a_ver…e.png'
    """
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    tail = (most - 1) // 2
    return f"{flat[: most - 1 - tail]}…{flat[len(flat) - tail :]}"


def number(value: float) -> str:
    """A count or a measure; whole ones whole, others with as many digits as say something.

    Example:
        >>> number(12345), number(1234.56), number(0.012345), number(float("nan"))
        ('12,345', '1,234.6', '0.01235', '-')
    """
    if math.isnan(value):
        return "-"
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1e15:
        return f"{value:.4g}"
    return f"{value:,.1f}" if abs(value) >= 1_000 else f"{value:.4g}"


def percent(share: float) -> str:
    """A share in percent.

    Example:
        >>> percent(0.1234), percent(0.0), percent(0.000012)
        ('12.34%', '0%', '0.0012%')
    """
    if math.isnan(share):
        return "-"
    if not share:
        return "0%"
    return f"{100 * share:.2f}%" if share >= 1e-4 else f"{100 * share:.2g}%"
