"""What a loader will hold, part by part, and how many batches fit its budget: arithmetic, before the first read."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from mtgen.config import Prefetch
from mtgen.errors import PlanError
from mtgen.settings import shown

AUTO_BYTES = 1 << 30
"""Budget of `memory="auto"`: 1 GiB, or an eighth of the machine's memory where that is less."""

NUM_STAGES = 2
"""Windows of rows alive together: one that is handed out, one that is gathered meanwhile."""

TOGETHER_ROWS = 16_384
"""Window of rows that are merely read better together: a sparse store gives 1.6 times as many rows per second at 4,096
as at 64, 2.7 times at 25,000 (200,000 rows of 512, a fifth not zero)."""

WINDOW_DECODES_BYTES = 16 << 30
"""Most that one window decompresses: some ten seconds of two cores. Of a store of a terabyte a window meets another
chunk with nearly every row, and a longer one would only make its first batch wait for the last."""

SHORT_STEPS = 64
"""Window where chunks are kept rather than rows: long enough that planning it costs next to nothing per step."""

LOOK_AHEAD_BYTES = 16 << 20
"""What looking ahead for the next use of chunks takes: a few arrays of `keep_plan.LOOK_AHEAD_ROWS` twice."""

DEPTH_STEPS = 4
"""Batches ahead: enough to hide a slow one behind three quick ones."""

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
        window: steps whose chunks are planned together.
        depth: steps ready or in work beyond the one handed out.
        batch_bytes: one batch, all inputs, targets and weights.
        scratch_bytes: buffers of one worker while it reads a store.
        num_workers: worker threads.
        order_bytes: orders of epochs that are kept.
        cache_bytes: what stores keep for themselves.
        staged_bytes: one step's rows out of chunks, which are gathered a window ahead.
        chunk_bytes: decompressed chunks that are kept, all fields together.
        num_chunks: how many that are, for each field that comes out of chunks.
        picture_bytes: pictures at full size, all workers together; a worker waits where there is too little left.
        slot_bytes: memory that the loader shares with its processes, all together.
        held_bytes: values that are read once and held in memory, places of rows, and blocks while they are read.
    """

    window: int
    depth: int
    batch_bytes: int
    scratch_bytes: int
    num_workers: int
    order_bytes: int = 0
    cache_bytes: int = 0
    picture_bytes: int = 0
    staged_bytes: int = 0
    chunk_bytes: int = 0
    num_chunks: tuple[int, ...] = ()
    slot_bytes: int = 0
    held_bytes: int = 0

    @property
    def num_batches(self) -> int:
        """Batches alive at the same time, at most."""
        return HELD_BATCHES + self.depth

    @property
    def parts(self) -> dict[str, int]:
        """Part -> bytes."""
        return {
            "batches": self.num_batches * self.batch_bytes,
            "scratch": max(self.num_workers, 1) * self.scratch_bytes,
            "rows ahead": self._num_staged * self.staged_bytes,
            "chunks kept": self.chunk_bytes,
            "orders": self.order_bytes,
            "caches of stores": self.cache_bytes,
            "pictures at full size": self.picture_bytes,
            "slots of processes": self.slot_bytes,
            "held in memory": self.held_bytes,
        }

    @property
    def _num_staged(self) -> int:
        """Steps whose rows are gathered apart from their batch; without a window each worker's batch has its own."""
        return NUM_STAGES * self.window if self.window > 1 else max(self.num_workers, 1)

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


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """What is known of the chunks of a field, before anything is read.

    Args:
        row_bytes: bytes of a row, > 0.
        chunk_rows: rows in a chunk; 1 for rows that are merely read better together.
        num_rows: rows in the store.
    """

    row_bytes: int
    chunk_rows: int
    num_rows: int

    @property
    def num_chunks(self) -> int:
        """Chunks of the store."""
        return -(-self.num_rows // self.chunk_rows)

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk, decompressed."""
        return self.row_bytes * self.chunk_rows

    @property
    def most_rows(self) -> int:
        """Rows of a window that decompresses `WINDOW_DECODES_BYTES`, about; see `per_row`."""
        most, num = WINDOW_DECODES_BYTES // self.chunk_bytes, self.num_chunks
        if self.chunk_rows == 1 or num <= most:
            return 1 << 62
        return max(1, int(math.log1p(-most / num) / math.log1p(-1 / num)))

    def per_row(self, window_rows: int, num_kept: int) -> float:
        """Chunks to decompress for a row of an exact shuffle, about.

        A window of w rows meets `K * (1 - (1 - 1 / K) ** w)` of K chunks. Where many windows go by between two uses of
        a chunk, Belady's rule with room for a share s of the chunks misses about `(1 - sqrt(s)) ** (4 / 3)` of them: a
        fit to simulations of 4 to 64 rows per chunk, within 0.03; scripts/bench.py has them.

        Args:
            window_rows: rows of a window, >= 1.
            num_kept: chunks that are kept.
        """
        met = (
            self.num_chunks * -math.expm1(window_rows * math.log1p(-1 / self.num_chunks)) if self.num_chunks > 1 else 1
        )
        share = min(num_kept / self.num_chunks, 1.0)
        covered = met / self.num_chunks
        # A window that meets all chunks finds just those that were kept.
        missed = covered * (1 - share) + (1 - covered) * (1 - share**0.5) ** (4 / 3)
        return met * missed / window_rows


class Ahead(NamedTuple):
    """A window, and how many chunks of each field to keep."""

    window: int
    num_chunks: tuple[int, ...]


def split_window(num_bytes: int, batch_size: int, steps_per_epoch: int, fields: Sequence[Chunks]) -> Ahead:
    """How to use memory for rows out of chunks: for a longer window, or to keep chunks.

    Pure. All chunks where they fit. Else that of two ways which decompresses less: the longest window, with what is
    left for chunks; or a short one, and the rest for chunks.

    Args:
        num_bytes: what there is.
        batch_size: rows of a step.
        steps_per_epoch: longest window.
        fields: those that come out of chunks, at least one.

    Example:
        >>> one = Chunks(row_bytes=2_048, chunk_rows=512, num_rows=200_000)
        >>> split_window(100 << 20, 64, 3_125, [one])
        Ahead(window=400, num_chunks=(0,))
    """
    step_bytes = batch_size * sum(one.row_bytes for one in fields)
    longest = min(num_bytes // (NUM_STAGES * step_bytes), steps_per_epoch)
    longest = min([longest, *(max(1, one.most_rows // batch_size) for one in fields)])
    if all(one.chunk_rows == 1 for one in fields):
        longest = min(longest, max(1, TOGETHER_ROWS // batch_size))
    if longest < 2:
        return Ahead(1, tuple(0 for _ in fields))
    ways = []
    for window in {longest, min(longest, SHORT_STEPS)}:
        left = num_bytes - NUM_STAGES * window * step_bytes
        kept = _share(left, fields)
        if window < longest and any(kept) and not _all(kept, fields):
            kept = _share(max(0, left - LOOK_AHEAD_BYTES), fields)
        cost = sum(
            one.per_row(window * batch_size, num) * one.chunk_bytes for one, num in zip(fields, kept, strict=True)
        )
        ways.append((cost, -window, kept))
    _, window, kept = min(ways)
    return Ahead(-window, kept)


def _share(num_bytes: int, fields: Sequence[Chunks]) -> tuple[int, ...]:
    """Chunks to keep of each field: the same part of all."""
    chunked = [one.num_chunks * one.chunk_bytes for one in fields if one.chunk_rows > 1]
    part = min(1.0, num_bytes / sum(chunked)) if chunked else 0.0
    return tuple(int(part * one.num_chunks) if one.chunk_rows > 1 else 0 for one in fields)


def _all(kept: Sequence[int], fields: Sequence[Chunks]) -> bool:
    return all(num == one.num_chunks for num, one in zip(kept, fields, strict=True) if one.chunk_rows > 1)


def forecast(
    budget: int,
    *,
    batch_bytes: int,
    batch_size: int = 1,
    steps_per_epoch: int = 1,
    scratch_bytes: int,
    num_workers: int,
    chunks: Sequence[Chunks] = (),
    asked: Prefetch,
    order_bytes: int = 0,
    cache_bytes: int = 0,
    decodes: bool = False,
    slot_bytes: int = 0,
    held_bytes: int = 0,
) -> Forecast:
    """Choose window and depth so that everything fits the budget.

    Pure.

    Args:
        budget: bytes.
        batch_bytes: bytes of one batch.
        batch_size: rows of one batch.
        steps_per_epoch: longest window.
        scratch_bytes: bytes one worker needs beside the batches.
        num_workers: >= 0; with 0 nothing is prepared ahead beyond the window.
        chunks: of each field whose rows come out of chunks that are worth a window.
        asked: what the user fixed.
        order_bytes: orders that are kept.
        cache_bytes: caches of stores.
        decodes: whether there are pictures; they get what is left, at least a share of `1 / PICTURE_SHARE`.
        slot_bytes: memory shared with processes.
        held_bytes: inputs that are held, by their placement.

    Raises:
        PlanError: not even the smallest choice fits, or what the user fixed does not; shows the sum.

    Example:
        >>> one = Chunks(row_bytes=100, chunk_rows=500, num_rows=10_000)
        >>> made = forecast(
        ...     50_000, batch_bytes=500, batch_size=5, steps_per_epoch=2_000, scratch_bytes=0, num_workers=2,
        ...     chunks=[one], asked=Prefetch())
        >>> made.depth, made.window
        (4, 47)
    """
    best = Forecast(
        window=asked.window or 1,
        depth=asked.depth if asked.depth is not None else min(num_workers, 1),
        batch_bytes=batch_bytes,
        scratch_bytes=scratch_bytes,
        num_workers=num_workers,
        order_bytes=order_bytes,
        cache_bytes=cache_bytes,
        picture_bytes=budget // PICTURE_SHARE if decodes else 0,
        staged_bytes=batch_size * sum(one.row_bytes for one in chunks),
        slot_bytes=slot_bytes,
        held_bytes=held_bytes,
        num_chunks=tuple(0 for _ in chunks),
    )
    if best.total_bytes > budget:
        raise PlanError(
            f"memory={budget:,} bytes is too little: {best}. Give more memory, a smaller batch_size, fewer workers"
            + ("" if asked == Prefetch(stall_seconds=asked.stall_seconds) else ", or a smaller Prefetch")
            + (", or hold less: placement={...} that streams an input more" if held_bytes else "")
        )
    if asked.depth is None and num_workers:
        more = (budget - best.total_bytes) // max(batch_bytes, 1)
        best = replace(best, depth=min(DEPTH_STEPS, best.depth + more))
    left = budget - best.total_bytes
    if chunks and num_workers and asked.window is None:
        ahead = split_window(left + best.parts["rows ahead"], batch_size, steps_per_epoch, chunks)
        best = replace(best, window=ahead.window, num_chunks=ahead.num_chunks)
    elif chunks and best.window > 1:
        best = replace(best, num_chunks=_share(left, chunks))
    kept = sum(num * one.chunk_bytes for num, one in zip(best.num_chunks, chunks, strict=True))
    best = replace(best, chunk_bytes=kept)
    return replace(best, picture_bytes=best.picture_bytes + budget - best.total_bytes) if decodes else best
