"""What gathering holds beside the batches: arithmetic, before the first read."""

from __future__ import annotations

from collections.abc import Sequence

from mtgen.gather.rows import PIECE_BYTES
from mtgen.inputs.bound_patches import ArrayPatches, PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.memory import Chunks
from mtgen.pending import Field

APART_BYTES = 16 << 10
"""Chunks up to this size are decompressed for each batch anew: planning them over a window would cost as much."""


def staged(one: Field) -> bool:
    """Whether the rows are worth planning a window for: they come out of chunks, or are read better together."""
    bound = one.bound
    if not isinstance(bound, BoundRows):
        return False
    if bound.chunk_rows > 1 and bound.chunk_rows * one.spec.row_bytes > APART_BYTES:
        return True
    return getattr(bound.store, "reads_together", False)


def most_chunk_rows(fields: Sequence[Field]) -> int:
    """Rows of the largest chunk of any store; 1 where there is none."""
    return max((one.bound.chunk_rows for one in fields if isinstance(one.bound, BoundRows)), default=1)


def chunk_sizes(fields: Sequence[Field]) -> list[Chunks]:
    """What is known of the chunks of each field that is staged."""
    return [
        Chunks(row_bytes=one.spec.row_bytes, chunk_rows=one.bound.chunk_rows, num_rows=one.bound.store.num_rows)
        for one in fields
        if staged(one)
    ]


def scratch_bytes(fields: Sequence[Field]) -> int:
    """Bytes one job needs beside the batches, at most: a piece of a window, the chunk it is cut from, and the same
    chunk compressed; for its keys likewise. For a patch of an array: the chunks that it touches, and the patch
    before it is converted.
    """
    rows = (_scratch_bytes(one) for one in fields if isinstance(one.bound, BoundRows))
    patches = (one.bound.scratch_bytes for one in fields if isinstance(one.bound, ArrayPatches))
    return max([*rows, *patches], default=0)


def _scratch_bytes(one: Field) -> int:
    own: int = getattr(one.bound.store, "scratch_bytes", 0)
    if one.bound.chunk_rows > 1:
        return own + _piece_bytes(one.bound, one.spec.row_bytes)
    return own + (PIECE_BYTES if staged(one) else 0)


def _piece_bytes(bound: BoundRows, row_bytes: int) -> int:
    chunk = bound.chunk_rows * row_bytes
    keys = bound.store.keys if bound.compares_keys else None
    return max(PIECE_BYTES, chunk) + 2 * chunk + (2 * keys.chunk_rows * keys.dtype.itemsize if keys is not None else 0)


def cache_bytes(fields: Sequence[Field]) -> int:
    """Bytes that the fields' stores keep for themselves, and places of pictures in caches."""
    stores = {id(one.bound.store): one.bound.store for one in fields if isinstance(one.bound, BoundRows)}
    keys = {id(store.keys): store.keys for store in stores.values() if store.keys is not None}
    opened = [one.bound.arrays for one in fields if isinstance(one.bound, ArrayPatches)]
    arrays = {id(store): store for one in opened for store in one.stores if id(store) not in stores}
    several = sum(one.cache_bytes for one in opened if not one.stores)
    caches = [one.bound.cache for one in fields if isinstance(one.bound, BoundImages) and one.bound.cache is not None]
    held = sum(getattr(store, "cache_bytes", 0) for store in (stores | keys | arrays).values())
    return held + several + sum(cache.index_bytes for cache in caches)


def decodes(fields: Sequence[Field]) -> bool:
    """Whether there are pictures to decode."""
    return any(isinstance(one.bound, BoundImages | PicturePatches) for one in fields)
