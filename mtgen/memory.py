"""What a loader will hold, part by part, and how many batches fit its budget: arithmetic, before the first read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mtgen.config import Prefetch
from mtgen.errors import PlanError
from mtgen.settings import shown

AUTO_BYTES = 1 << 30
"""Budget of `memory="auto"`: 1 GiB, or an eighth of the machine's memory where that is less."""

WINDOW_STEPS = 16
"""Window for stores read in chunks, where memory allows: 1,024 rows at 64 a batch."""

DEPTH_STEPS = 4
"""Depth where all rows can be read alone: enough to hide a slow batch behind three quick ones."""

HELD_BATCHES = 2
"""Batches with the consumer: the one it works on and the one it just asked for."""


PICTURE_SHARE = 4
"""One part in so many of the budget is kept for pictures at full size; they get what batches leave over besides."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a loader will hold at most, part by part, and the window and depth that keep it so.

    `print(loader.forecast)` shows the sum. The table, its paths and the rows' places are the dataset's and were there
    before; batches that the consumer keeps are the consumer's.

    Args:
        window: steps planned together.
        depth: steps ready or in work beyond the one handed out.
        batch_bytes: one batch, all inputs, targets and weights.
        scratch_bytes: buffers of one worker while it reads a store.
        num_workers: worker threads.
        order_bytes: orders of epochs that are kept.
        cache_bytes: what stores keep for themselves.
        picture_bytes: pictures at full size, all workers together; a worker waits where there is too little left.
        slot_bytes: memory that the loader shares with its processes, all together.
    """

    window: int
    depth: int
    batch_bytes: int
    scratch_bytes: int
    num_workers: int
    order_bytes: int = 0
    cache_bytes: int = 0
    picture_bytes: int = 0
    slot_bytes: int = 0

    @property
    def num_batches(self) -> int:
        """Batches alive at the same time, at most."""
        return HELD_BATCHES + self.depth + self.window - 1

    @property
    def parts(self) -> dict[str, int]:
        """Part -> bytes."""
        return {
            "batches": self.num_batches * self.batch_bytes,
            "scratch": max(self.num_workers, 1) * self.scratch_bytes,
            "orders": self.order_bytes,
            "caches of stores": self.cache_bytes,
            "pictures at full size": self.picture_bytes,
            "slots of processes": self.slot_bytes,
        }

    @property
    def total_bytes(self) -> int:
        """Everything together."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        rest = [f" + {name} {size:,} bytes" for name, size in list(self.parts.items())[2:] if size]
        return (
            f"{self.num_batches} batches x {self.batch_bytes:,} bytes + {max(self.num_workers, 1)} workers x "
            f"{self.scratch_bytes:,} bytes{''.join(rest)} = {self.total_bytes:,} bytes"
        )


def budget_bytes(memory: int | Literal["auto"]) -> int:
    """The budget in bytes.

    Raises:
        PlanError: neither "auto" nor a positive integer.
    """
    if memory == "auto":
        known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
        return min(AUTO_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8) if known else AUTO_BYTES
    if isinstance(memory, bool) or not isinstance(memory, int | np.integer) or memory <= 0:
        raise PlanError(f'memory must be a number of bytes > 0 or "auto", received {shown(memory)}')
    return int(memory)


def forecast(
    budget: int,
    *,
    batch_bytes: int,
    scratch_bytes: int,
    num_workers: int,
    chunked: bool,
    asked: Prefetch,
    order_bytes: int = 0,
    cache_bytes: int = 0,
    decodes: bool = False,
    slot_bytes: int = 0,
) -> Forecast:
    """Choose window and depth so that everything fits the budget.

    Pure.

    Args:
        budget: bytes.
        batch_bytes: bytes of one batch.
        scratch_bytes: bytes one worker needs beside the batches.
        num_workers: >= 0; with 0 nothing is prepared ahead beyond the window.
        chunked: whether any store must decompress several rows to give one.
        asked: what the user fixed.
        order_bytes: orders that are kept.
        cache_bytes: caches of stores.
        decodes: whether there are pictures; they get what is left, at least a share of `1 / PICTURE_SHARE`.
        slot_bytes: memory shared with processes.

    Raises:
        PlanError: not even the smallest choice fits, or what the user fixed does not; shows the sum.

    Example:
        >>> forecast(10_000, batch_bytes=1_000, scratch_bytes=0, num_workers=2, chunked=True, asked=Prefetch()).window
        4
    """
    picture_bytes = budget // PICTURE_SHARE if decodes else 0

    def made(window: int, depth: int) -> Forecast:
        return Forecast(
            window=window,
            depth=depth,
            batch_bytes=batch_bytes,
            scratch_bytes=scratch_bytes,
            num_workers=num_workers,
            order_bytes=order_bytes,
            cache_bytes=cache_bytes,
            picture_bytes=picture_bytes,
            slot_bytes=slot_bytes,
        )

    best = made(asked.window or 1, asked.depth if asked.depth is not None else min(num_workers, 1))
    fixed = best.total_bytes - best.parts["batches"]
    spare = (budget - fixed) // max(batch_bytes, 1) - HELD_BATCHES
    most_window = asked.window or (WINDOW_STEPS if chunked and num_workers else 1)
    for window in range(best.window, most_window + 1):
        wanted_depth = max(window, DEPTH_STEPS) if num_workers else 0
        depth = asked.depth if asked.depth is not None else max(best.depth, min(wanted_depth, spare - window + 1))
        if depth + window - 1 <= spare and depth >= min(window, wanted_depth):
            best = made(window, depth)
    if best.total_bytes > budget:
        raise PlanError(
            f"memory={budget:,} bytes is too little: {best}. Give more memory, a smaller batch_size, fewer workers"
            + ("" if asked == Prefetch(stall_seconds=asked.stall_seconds) else ", or a smaller Prefetch")
        )
    return replace(best, picture_bytes=picture_bytes + budget - best.total_bytes) if decodes else best
