"""What is counted and not timed: chunks to decompress by the rule for keeping them, and how well blocks mix."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cache

import numpy as np

from mtgen.keep_plan import Keeper, Outlook
from mtgen.memory import Chunks
from mtgen.sampling.order import Blocks

NUM_ROWS = 16_384
"""Rows of the simulated store; the shares do not depend on it."""

NUM_EPOCHS = 3
"""Epochs: the first fills, the others are counted."""


def accesses(chunk_rows: int, window_rows: int) -> list[np.ndarray]:
    """Distinct chunks of each window of shuffled epochs, in order; pure."""
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.permutation(NUM_ROWS) for _ in range(NUM_EPOCHS)])
    return [np.unique(rows[start : start + window_rows] // chunk_rows) for start in range(0, len(rows), window_rows)]


def misses_of_belady(windows: Sequence[np.ndarray], capacity: int) -> list[int]:
    """Chunks to decompress per window where those stay that are wanted soonest: the loader's own rule."""
    keeper = Keeper(capacity)
    empty = np.empty(0, np.int64)
    outlook = Outlook(lambda place: windows[place] if place < len(windows) else empty, len(windows))
    found = []
    for place in range(len(windows)):
        before = keeper.kept
        chunks, uses = outlook.at(place, keeper)
        found.append(len(chunks) - int(np.isin(chunks, before).sum()))
        keeper.advance(chunks, uses)
    return found


def misses_of_lru(windows: Sequence[np.ndarray], capacity: int) -> list[int]:
    """Where those stay that were used last."""
    held: OrderedDict[int, None] = OrderedDict()
    found = []
    for window in windows:
        found.append(sum(chunk not in held for chunk in window.tolist()))
        for chunk in window.tolist():
            held[chunk] = None
            held.move_to_end(chunk)
            if len(held) > capacity:
                held.popitem(last=False)
    return found


def per_row(misses: Sequence[int], window_rows: int) -> float:
    """Chunks to decompress per row after the first epoch."""
    first = NUM_ROWS // window_rows
    return sum(misses[first:]) / (NUM_ROWS * (NUM_EPOCHS - 1))


@cache
def chunks_markdown() -> str:
    """A table of chunks per row, by rule, with the estimate that `memory=` is split by."""
    lines = [
        "| rows per chunk | rows per window | chunks that fit | LRU | Belady | estimate |",
        "|---|---|---|---|---|---|",
    ]
    for chunk_rows in (4, 16, 64):
        num_chunks = NUM_ROWS // chunk_rows
        for window_rows in (64, 2_048):
            windows = accesses(chunk_rows, window_rows)
            for share in (0.1, 0.25, 0.5):
                capacity = int(share * num_chunks)
                lru, belady = (
                    per_row(misses(windows, capacity), window_rows) for misses in (misses_of_lru, misses_of_belady)
                )
                estimate = Chunks(row_bytes=1, chunk_rows=chunk_rows, num_rows=NUM_ROWS).per_row(window_rows, capacity)
                lines.append(
                    f"| {chunk_rows} | {window_rows:,} | {share:.0%} | {lru:.3f} | {belady:.3f} | {estimate:.3f} |"
                )
    return "\n".join(lines)


def mixing_markdown() -> str:
    """A table of how well blocks mix, for a million rows."""
    lines = ["| rows per block | blocks mixed | pairs of one block | in an exact shuffle |", "|---|---|---|---|"]
    for block_rows, open_blocks in ((1, 1_024), (16, 64), (64, 16), (64, 256), (512, 16), (512, 128)):
        mixing = Blocks(block_rows, open_blocks).mixing(1_000_000)
        lines.append(f"| {block_rows} | {open_blocks:,} | {mixing.same_block:.3%} | {mixing.exact:.3%} |")
    return "\n".join(lines)
