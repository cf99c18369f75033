"""Which Zarr v3 arrays are read without TensorStore: sharded ones whose blocks hold whole rows and a checksum.

Format: the Zarr v3 specification, `sharding_indexed` codec (zarr-specs.readthedocs.io). A shard is a file with the
blocks (the specification's inner chunks) of neighbouring rows, and at its end an index, 16 bytes a block. Arithmetic
on what `zarr.json` says, no files.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

PACKED_ATTRIBUTE = "mtgen_packed"
"""Attribute of the arrays that `mtgen pack` wrote: every row was written, so what is missing was lost."""

ENCODING = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}
"""Attributes of a group that holds rows in sparse form, as anndata names it."""

ROW_SHAPE_ATTRIBUTE = "mtgen_row_shape"

MAX_BLOCK_BYTES = 2**31 - 2**20
"""A block is decoded whole, and Blosc cannot hold more."""

MAX_LENGTH = 2**62
MAX_SHARDS = 2**22

_WHOLE = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
DTYPES = {"bool", "float16", "float32", "float64"} | _WHOLE

_KNOWN = {
    *("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"),
    *("attributes", "dimension_names", "storage_transformers"),
}
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = {"name": "crc32c"}


@dataclass(frozen=True, kw_only=True)
class ShardedArray:
    """What the metadata of such an array says.

    Args:
        shape: rows first.
        dtype: of the values, as on disk and in memory.
        block_rows: rows that are decoded together.
        shard_rows: rows in one file, a multiple of `block_rows`.
        codec: "none", "blosc" or "zstd".
        separator: between the parts of a shard's name.
        fill_value: what a block that was never written reads as.
        packed: whether `mtgen pack` wrote it.
        attributes: attributes of the user.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    block_rows: int
    shard_rows: int
    codec: str
    separator: str
    fill_value: Any
    packed: bool
    attributes: dict[str, Any]

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def block_bytes(self) -> int:
        """Bytes of a decoded block; the last one of an array is filled up."""
        return self.block_rows * self.row_bytes

    @property
    def blocks_per_shard(self) -> int:
        """Blocks in one file."""
        return self.shard_rows // self.block_rows

    @property
    def num_blocks(self) -> int:
        """Blocks that hold rows."""
        return -(-self.shape[0] // self.block_rows)

    @property
    def num_shards(self) -> int:
        """Files that hold rows."""
        return -(-self.shape[0] // self.shard_rows)

    def shard_key(self, shard: int) -> str:
        """Name of a shard's file inside the array's folder, made of numbers alone."""
        return self.separator.join(["c", str(int(shard)), *("0" for _ in self.shape[1:])])


def sharded_array(metadata: Mapping[str, Any]) -> ShardedArray | None:
    """What the metadata says, or None where it is another layout, or makes no sense: TensorStore then has its say.

    Pure.

    Args:
        metadata: the content of `zarr.json`.

    Example:
        >>> from mtgen.packing.layout import make_layout
        >>> found = sharded_array(make_layout(10, (2, 3), "float32", codec="none").metadata())
        >>> found.shape, found.block_rows, found.codec, found.shard_key(0)
        ((10, 2, 3), 10, 'none', 'c/0/0/0')
    """
    try:
        return _understood(metadata)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def is_packed_sparse(attributes: Mapping[str, Any]) -> bool:
    """Whether a group of these attributes is a store in sparse form that `mtgen pack` wrote."""
    return attributes.get("encoding-type") == ENCODING["encoding-type"] and bool(attributes.get(PACKED_ATTRIBUTE))


def _understood(metadata: Mapping[str, Any]) -> ShardedArray | None:
    shape, name = metadata["shape"], metadata["data_type"]
    plain = metadata["zarr_format"] == 3 and metadata["node_type"] == "array" and not metadata.keys() - _KNOWN
    if not plain or metadata.get("storage_transformers") or sys.byteorder != "little":
        return None
    if name not in DTYPES or not _are_lengths(shape, 0):
        return None
    grid, keys = metadata["chunk_grid"], metadata["chunk_key_encoding"]
    separator = (keys.get("configuration") or {}).get("separator", "/")
    if grid["name"] != "regular" or keys["name"] != "default" or separator not in ("/", "."):
        return None
    (codec,) = metadata["codecs"]
    inner = codec["configuration"]
    shard, block = grid["configuration"]["chunk_shape"], inner["chunk_shape"]
    if codec["name"] != "sharding_indexed" or not (_are_lengths(shard, 1) and _are_lengths(block, 1)):
        return None
    if inner.get("index_location", "end") != "end" or not _is_chain(inner["index_codecs"], []):
        return None
    compressed = _compression(inner["codecs"])
    if compressed is None or shard[1:] != shape[1:] or block[1:] != shape[1:] or shard[0] % block[0]:
        return None
    attributes = metadata.get("attributes") or {}
    dtype = np.dtype(name)
    found = ShardedArray(
        shape=tuple(shape),
        dtype=dtype,
        block_rows=block[0],
        shard_rows=shard[0],
        codec=compressed,
        separator=separator,
        fill_value=_fill_value(metadata["fill_value"], dtype),
        packed=bool(attributes.get(PACKED_ATTRIBUTE)),
        attributes=dict(attributes),
    )
    too_large = found.block_bytes > MAX_BLOCK_BYTES or found.num_shards > MAX_SHARDS
    return None if too_large or not found.row_bytes else found


def _are_lengths(value: Any, least: int) -> bool:
    return (
        isinstance(value, list)
        and 1 <= len(value) <= 32
        and all(type(length) is int and least <= length < MAX_LENGTH for length in value)
    )


def _is_chain(codecs: list[Any], between: list[str]) -> bool:
    """Whether codecs are bytes, those named, and a checksum."""
    if len(codecs) != 2 + len(between) or codecs[-1].get("name") != "crc32c":
        return False
    first = codecs[0]
    little = (first.get("configuration") or {}).get("endian", "little") == "little"
    return first.get("name") == "bytes" and little and [one.get("name") for one in codecs[1:-1]] == between


def _compression(codecs: list[Any]) -> str | None:
    if _is_chain(codecs, []):
        return "none"
    return next((name for name in ("blosc", "zstd") if _is_chain(codecs, [name])), None)


def _fill_value(value: Any, dtype: np.dtype) -> Any:
    """The fill value as a NumPy scalar; ValueError for forms that are left to TensorStore (bits in hexadecimal)."""
    if dtype.kind == "f" and value in ("NaN", "Infinity", "-Infinity"):
        return dtype.type(float(value.replace("Infinity", "inf")))
    if isinstance(value, bool) != (dtype.kind == "b") or not isinstance(value, int | float):
        raise ValueError(f"fill value {value!r:.100}")
    if dtype.kind in "iu" and not isinstance(value, int):
        raise ValueError(f"fill value {value!r:.100}")
    return dtype.type(value)
