"""Which rows a step holds, and which chunks those rows come from: arithmetic on integers, no files, no threads.

The indices, from the table to the batch:

    row        place in the root table; the identity of a sample
    position   place in the order of one epoch
    step       batch number since training began; `epoch, step_in_epoch = divmod(step, steps_per_epoch)`
    slot       place inside one batch (or inside one buffer)
    chunk      number of the unit a store decompresses whole; a store row is `chunk * chunk_rows + offset`
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Read:
    """The part of a read plan that one chunk serves.

    Args:
        chunk: 0-based chunk number.
        offsets: int64 `(n,)`, places inside the chunk, ascending.
        slots: int64 `(n,)`, where each of them lands in the buffer.
    """

    chunk: int
    offsets: np.ndarray
    slots: np.ndarray


def reads(rows: np.ndarray, chunk_rows: int) -> Iterator[Read]:
    """Group store rows by chunk: each chunk appears once, in ascending order.

    Pure. Rows may repeat and come in any order.

    Args:
        rows: int64 `(n,)` of store rows >= 0; `rows[slot]` is wanted in `slot`.
        chunk_rows: rows per chunk, >= 1.

    Yields:
        `Read`s whose slots together are a permutation of `range(n)`.

    Example:
        >>> [(read.chunk, read.offsets.tolist(), read.slots.tolist()) for read in reads(np.array([5, 0, 4]), 4)]
        [(0, [0], [1]), (1, [0, 1], [2, 0])]
    """
    order = np.argsort(rows, kind="stable")
    chunks, offsets = np.divmod(rows[order], chunk_rows)
    edges = np.flatnonzero(np.diff(chunks)) + 1
    for start, stop in zip([0, *edges], [*edges, len(rows)], strict=True):
        if start < stop:
            yield Read(chunk=int(chunks[start]), offsets=offsets[start:stop], slots=order[start:stop])
