"""How rows are laid out in a packed store: rows per block, rows per shard, codec. Arithmetic and NumPy, no files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from mtgen.errors import PlanError, StoreError
from mtgen.stores.shard_metadata import DTYPES, PACKED_ATTRIBUTE

Codec = Literal["none", "lz4", "zstd", "sparse"]

BLOCK_BYTES = {"none": 1024, "lz4": 2048, "zstd": 2048}
"""Bytes of a block of rows smaller than that; larger rows have a block each, so that one can be read alone. Below, the
20 bytes that each block costs (index and checksum) grow above 2 percent, and compressed blocks grow larger; above, rows
are read, checked and decoded in vain (docs/decisions/0010-packed-stores.md)."""

MOST_BLOCK_ROWS = 256
SHARD_BYTES = 32 << 20
"""Decoded size of a shard, the unit that is written at once: an index of 16 bytes per block is a small part of it.
In large stores it grows up to `GROWTH` times, so that there are few enough files to keep them open."""

GROWTH, MOST_SHARDS = 4, 64

_CODECS: dict[str, list[dict[str, Any]]] = {
    "none": [],
    "lz4": [{"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}}],
    "zstd": [{"name": "zstd", "configuration": {"level": 1}}],
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The shape of a packed store.

    Args:
        num_rows: rows.
        row_shape: shape of one row; all of it lies in one block.
        dtype: name of the dtype, in little-endian byte order on disk.
        block_rows: rows that are decoded together.
        shard_rows: rows in one file, a multiple of `block_rows`.
        codec: how blocks are compressed; each has a crc32c checksum besides. Of "sparse", which has arrays of its own
            layouts (`sparse.py`), `shard_rows` are the rows that are read from the source at once.
    """

    num_rows: int
    row_shape: tuple[int, ...]
    dtype: str
    block_rows: int
    shard_rows: int
    codec: Codec

    @property
    def num_shards(self) -> int:
        """Files of rows."""
        return -(-self.num_rows // self.shard_rows)

    def span(self, shard: int) -> tuple[int, int]:
        """First row of a shard and the row after its last."""
        return shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.num_rows)

    def shard_key(self, shard: int) -> str:
        """Name of the shard's file inside the store.

        Example:
            >>> make_layout(10, (2, 3), "float32", codec="none").shard_key(0)
            'c/0/0/0'
        """
        return "/".join(["c", str(shard), *("0" for _ in self.row_shape)])

    def settings(self) -> dict[str, Any]:
        """All of it as small JSON."""
        return {**asdict(self), "row_shape": list(self.row_shape)}

    def metadata(self) -> dict[str, Any]:
        """What `zarr.json` says, in the words of the Zarr v3 specification."""
        size = np.dtype(self.dtype).itemsize
        codecs: list[dict[str, Any]] = []
        for one in _CODECS[self.codec]:
            shuffles = one["name"] == "blosc"
            codecs.append(
                {**one, "configuration": {**one["configuration"], **({"typesize": size} if shuffles else {})}}
            )
        plain = {"name": "bytes", "configuration": {"endian": "little"}}
        sharding = {
            "chunk_shape": [self.block_rows, *self.row_shape],
            "codecs": [plain, *codecs, {"name": "crc32c"}],
            "index_codecs": [plain, {"name": "crc32c"}],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [self.num_rows, *self.row_shape],
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [self.shard_rows, *self.row_shape]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": False if self.dtype == "bool" else 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {PACKED_ATTRIBUTE: True},
        }


def make_layout(
    num_rows: int, row_shape: tuple[int, ...], dtype: Any, *, codec: Codec, block_rows: int | None = None
) -> Layout:
    """The layout for rows of that shape.

    Pure.

    Args:
        num_rows: >= 1.
        row_shape: shape of one row.
        dtype: a dtype of numbers.
        codec: "none", "lz4", "zstd" or "sparse".
        block_rows: rows per block; None for one, or as many small ones as `BLOCK_BYTES` hold.

    Raises:
        StoreError: rows that Zarr cannot hold, or none at all.
        PlanError: settings out of range.

    Example:
        >>> layout = make_layout(200_000, (512,), "float32", codec="none")
        >>> layout.block_rows, layout.shard_rows, layout.num_shards
        (1, 16384, 13)
    """
    name = np.dtype(dtype).name
    if name not in DTYPES:
        raise StoreError(f"the values are {name}, a packed store holds one of {', '.join(sorted(DTYPES))}")
    row_bytes = math.prod(row_shape) * np.dtype(dtype).itemsize
    if not num_rows or not row_bytes:
        raise StoreError(f"there are {num_rows} rows of {tuple(row_shape)}, which hold nothing to pack")
    if codec not in (*_CODECS, "sparse"):
        raise PlanError(f"codec must be one of {', '.join(map(repr, _CODECS))}, 'sparse' or 'auto', received {codec!r}")
    if codec == "sparse" and block_rows not in (None, 1):
        raise PlanError(f"block_rows={block_rows!r} has no meaning for codec 'sparse', whose rows are read one by one")
    if block_rows is None:
        block_rows = min(max(BLOCK_BYTES.get(codec, 0) // row_bytes, 1), MOST_BLOCK_ROWS)
    elif isinstance(block_rows, bool) or not isinstance(block_rows, int) or block_rows < 1:
        raise PlanError(f"block_rows must be an integer >= 1 or None, received {block_rows!r}")
    block_rows = 1 if codec == "sparse" else min(block_rows, num_rows)
    shard_bytes = min(max(SHARD_BYTES, num_rows * row_bytes // MOST_SHARDS), SHARD_BYTES * GROWTH)
    shard_rows = max(shard_bytes // (block_rows * row_bytes), 1) * block_rows
    most = -(-num_rows // block_rows) * block_rows
    return Layout(
        num_rows=int(num_rows),
        row_shape=tuple(map(int, row_shape)),
        dtype=name,
        block_rows=block_rows,
        shard_rows=min(shard_rows, most),
        codec=codec,
    )


def layout_from(settings: Mapping[str, Any]) -> Layout:
    """The layout that `Layout.settings` described; pure.

    Raises:
        StoreError, PlanError, KeyError, TypeError, ValueError: it describes none.

    Example:
        >>> layout = make_layout(10, (2, 3), "float32", codec="none")
        >>> layout_from(layout.settings()) == layout
        True
    """
    made = make_layout(
        settings["num_rows"],
        tuple(settings["row_shape"]),
        settings["dtype"],
        codec=settings["codec"],
        block_rows=settings["block_rows"],
    )
    # Another release may make shards of another size.
    shard_rows = int(settings["shard_rows"])
    if shard_rows < 1 or shard_rows % made.block_rows:
        raise ValueError(f"shards of {shard_rows} rows in blocks of {made.block_rows}")
    return replace(made, shard_rows=shard_rows)
