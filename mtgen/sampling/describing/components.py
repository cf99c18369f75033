"""The components of a mixture: positions expected and drawn, of rows in an epoch or of points. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from mtgen.sampling.describing.text import aligned, cut, number, percent

MOST_SHOWN = 20
"""Components that the table for the terminal shows: the largest."""


def components_frame(names: tuple[str, ...], shares: np.ndarray, chosen: np.ndarray, block: int | None) -> pd.DataFrame:
    """Positions of each component.

    Args:
        names: of the components.
        shares: float64 `(k,)` by weight, summing to 1.
        chosen: int64 `(n,)`, component of each position, in sequence.
        block: positions in a batch; a last one that is shorter does not count, unless it is the only one.

    Example:
        >>> frame = components_frame(("a", "b"), np.array([0.5, 0.5]), np.array([0, 1, 1, 1]), 2)
        >>> frame[["drawn", "batch_least", "batch_most"]].to_numpy().tolist()
        [[1, 0, 1], [3, 1, 2]]
    """
    drawn = np.bincount(chosen, minlength=len(names))
    columns: dict[str, Any] = {
        "component": pd.Series(names, dtype=object),
        "share": shares,
        "expected": shares * len(chosen),
        "drawn": drawn,
        "drawn_share": drawn / max(1, len(chosen)),
    }
    if block is not None:
        num_batches = max(1, len(chosen) // block)
        whole = chosen[: num_batches * block]
        cells = np.arange(len(whole)) // block * len(names) + whole
        each = np.bincount(cells, minlength=num_batches * len(names)).reshape(num_batches, len(names))
        columns |= {"batch_least": each.min(axis=0), "batch_most": each.max(axis=0)}
    return pd.DataFrame(columns)


def component_lines(components: pd.DataFrame, head: str = "component") -> Iterator[str]:
    """The table for the terminal, and what stands over the names."""
    batches = "batch_least" in components
    heads = [head, "by weight", "expected", "drawn", "share", *(["batch min", "max"] if batches else [])]
    shares = components["share"].to_numpy()
    order = np.argsort(-shares, kind="stable") if len(shares) > MOST_SHOWN else np.arange(len(shares))
    lines = []
    for line in components.iloc[order[:MOST_SHOWN]].to_dict("records"):
        cells = [cut(str(line["component"]), 48), percent(line["share"]), number(round(line["expected"], 1))]
        cells += [number(line["drawn"]), percent(line["drawn_share"])]
        lines.append(cells + ([number(line["batch_least"]), number(line["batch_most"])] if batches else []))
    yield from aligned(heads, lines)
    if len(shares) > MOST_SHOWN:
        yield f"... {len(shares) - MOST_SHOWN:,} smaller components are not shown"
