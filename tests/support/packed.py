"""Packed stores to read and to damage, written by packages that are not under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np

ENTRY = 16


def write_zarr(
    path: Path, array: np.ndarray, block_rows: int, shard_rows: int, codec: str = "none", **attributes: Any
) -> Path:
    """A sharded array with checksums, by zarr-python."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec, ShardingCodec, ZstdCodec

    between = {"none": [], "blosc": [BloscCodec(cname="lz4")], "zstd": [ZstdCodec(level=1)]}[codec]
    sharding = ShardingCodec(
        chunk_shape=(block_rows, *array.shape[1:]), codecs=[zarr.codecs.BytesCodec(), *between, Crc32cCodec()]
    )
    written = zarr.create_array(
        str(path),
        shape=array.shape,
        dtype=array.dtype,
        chunks=(shard_rows, *array.shape[1:]),
        serializer=sharding,
        compressors=None,
        filters=None,
        attributes=attributes,
    )
    written[...] = array
    return path


def index_of(shard: Path, num_blocks: int) -> np.ndarray:
    """Offsets and lengths, uint64 `(num_blocks, 2)`."""
    content = shard.read_bytes()
    return np.frombuffer(content[-num_blocks * ENTRY - 4 : -4], "<u8").reshape(-1, 2).copy()


def with_index(shard: Path, entries: np.ndarray) -> None:
    """Write another index, with the right checksum: a lie, not an accident."""
    content = shard.read_bytes()[: -entries.size * 8 - 4]
    index = np.ascontiguousarray(entries, "<u8").tobytes()
    shard.write_bytes(content + index + google_crc32c.value(index).to_bytes(4, "little"))


def with_block(shard: Path, num_blocks: int, block: int, content: bytes) -> None:
    """Write another block in place of one, with the right checksum, at the end of the blocks."""
    entries = index_of(shard, num_blocks)
    body = shard.read_bytes()[: -num_blocks * ENTRY - 4]
    whole = content + google_crc32c.value(content).to_bytes(4, "little")
    entries[block] = len(body), len(whole)
    index = entries.astype("<u8").tobytes()
    shard.write_bytes(body + whole + index + google_crc32c.value(index).to_bytes(4, "little"))
