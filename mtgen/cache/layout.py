"""How decoded pictures lie in a cache: slots in segments, one record per slot. Arithmetic and NumPy, no files.

A segment is a file of `num_slots` slots, and at the same time a shard of a Zarr v3 array: the pictures one after the
other, uncompressed, then a table of where each begins. That table never changes, as slots have one size. Which slot
holds what, and whether it is right, is in records: record k belongs to slot k, for life.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash

from mtgen.errors import PlanError
from mtgen.spec import Spec

if TYPE_CHECKING:
    import os

VERSION = 1
"""Rises when the meaning of a byte changes; caches of another version are not read."""

SEGMENT_BYTES = 256 << 20
"""Pictures of one segment, at most: few files for many pictures, and still many segments within a limit."""

MOST_SLOTS = 1 << 14
"""Slots of one segment, at most; their table takes 16 bytes each."""

SHARES = 8
"""A limit is divided into so many segments at least: less than the last one stays unused."""

RECORD_BYTES = 64
HEADER_BYTES = 64
MAGIC = int.from_bytes(b"mtgenpic", "little")

RECIPE_BYTES = 4096
"""Set aside for each recipe's `zarr.json` and header."""

OVERHEAD_BYTES = RECIPE_BYTES + 4096
"""Set aside in a cache for what is no picture and no record, with one recipe."""

_NAME, _CONTENT, _SIZE, _MTIME, _CHECKSUM, _CHECK = slice(0, 2), slice(2, 4), 4, 5, 6, 7
_FACTORS = np.array(
    # Odd, so that each word alone decides the sum; from the fractional digits of pi, in hexadecimal.
    [
        0x243F6A8885A308D3,
        0x13198A2E03707345,
        0xA4093822299F31D1,
        0x082EFA98EC4E6C89,
        0x452821E638D01377,
        0xBE5466CF34E90C6D,
        0xC0AC29B7C97C50DD,
    ],
    np.uint64,
)
_SLOT_FACTOR = np.uint64(0x3F84D5B5B5470917)


class Identity(NamedTuple):
    """Which bytes a picture was decoded from.

    Args:
        size: of the file, in bytes.
        mtime_ns: its time of modification.
        content: xxh3_128 of its bytes, 16 bytes.
    """

    size: int
    mtime_ns: int
    content: bytes


def identity_of(stat: os.stat_result, content: bytes) -> Identity:
    """What a file was when it was read.

    Args:
        stat: of the descriptor that was read.
        content: all of it.
    """
    return Identity(stat.st_size, stat.st_mtime_ns, xxhash.xxh3_128_digest(content))


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """The shape of a cache of one recipe.

    Args:
        row_shape: shape of one picture.
        dtype: name of its dtype, in this machine's byte order.
        num_slots: slots of one segment.
    """

    row_shape: tuple[int, ...]
    dtype: str
    num_slots: int

    @property
    def row_bytes(self) -> int:
        """Bytes of one picture."""
        return math.prod(self.row_shape) * np.dtype(self.dtype).itemsize

    @property
    def segment_bytes(self) -> int:
        """Bytes of one segment's file."""
        return self.num_slots * (self.row_bytes + 16)

    @property
    def cost_bytes(self) -> int:
        """Bytes of one segment's file and of the records of its slots."""
        return self.segment_bytes + self.num_slots * RECORD_BYTES

    def segment_key(self, segment: int) -> str:
        """Name of a segment's file, as Zarr names shards.

        Example:
            >>> Geometry(row_shape=(2, 3), dtype="uint8", num_slots=4).segment_key(5)
            'c/5/0/0'
        """
        return "/".join(["c", str(segment), *("0" for _ in self.row_shape)])

    def shard_index(self) -> bytes:
        """What stands at the end of each segment: offset and length of each slot, little-endian."""
        table = np.empty((self.num_slots, 2), "<u8")
        table[:, 0] = np.arange(self.num_slots) * self.row_bytes
        table[:, 1] = self.row_bytes
        return table.tobytes()

    def metadata(self, num_segments: int, attributes: dict[str, Any]) -> dict[str, Any]:
        """What `zarr.json` says, in the words of the Zarr v3 specification."""
        pixels = {"name": "bytes", "configuration": {"endian": sys.byteorder}}
        sharding = {
            "chunk_shape": [1, *self.row_shape],
            "codecs": [pixels],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": [num_segments * self.num_slots, *self.row_shape],
            "data_type": self.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [self.num_slots, *self.row_shape]}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": attributes,
        }


def make_geometry(spec: Spec, *, max_bytes: int | None, segment_bytes: int = SEGMENT_BYTES) -> Geometry:
    """The geometry for pictures of that shape under a limit.

    Pure.

    Args:
        spec: shape and dtype of one picture.
        max_bytes: limit of the whole cache; None for none.
        segment_bytes: pictures of one segment, at most.

    Raises:
        PlanError: not one picture fits the limit.

    Example:
        >>> make_geometry(Spec(shape=(150, 150, 3), dtype=np.dtype("uint8")), max_bytes=None).num_slots
        3976
    """
    row_bytes = spec.row_bytes
    num_slots = min(segment_bytes // row_bytes, MOST_SLOTS)
    if max_bytes is not None:
        num_slots = min(num_slots, (max_bytes - OVERHEAD_BYTES) // SHARES // (row_bytes + 16 + RECORD_BYTES))
    made = Geometry(row_shape=spec.shape, dtype=spec.dtype.name, num_slots=max(num_slots, 1))
    if max_bytes is not None and OVERHEAD_BYTES + made.cost_bytes > max_bytes:
        raise PlanError(
            f"a cache of max_bytes={max_bytes:,} holds not one picture of {spec}: it takes "
            f"{OVERHEAD_BYTES + made.cost_bytes:,} bytes with what belongs to it"
        )
    return made


def header(geometry: Geometry, digest: str) -> bytes:
    """The first bytes of a file of records.

    Args:
        geometry: of the segments.
        digest: of the recipe, 32 hex digits.
    """
    recipe = np.frombuffer(bytes.fromhex(digest), "<u8")
    order = 0 if sys.byteorder == "little" else 1
    words = np.array([[MAGIC, VERSION, *recipe, geometry.row_bytes, geometry.num_slots, order, 0]], "<u8")
    words[:, _CHECK] = _checks(words, 0)
    return words.tobytes()


def slots_in_header(content: bytes, spec: Spec, digest: str) -> int | None:
    """Slots per segment as a header says; None where it is damaged, or of other pictures.

    Example:
        >>> spec = Spec(shape=(2, 2, 3), dtype=np.dtype("uint8"))
        >>> one = header(make_geometry(spec, max_bytes=None), "00" * 16)
        >>> slots_in_header(one, spec, "00" * 16), slots_in_header(one, spec, "01" * 16)
        (16384, None)
    """
    if len(content) < HEADER_BYTES:
        return None
    num_slots = int(np.frombuffer(content[:HEADER_BYTES], "<u8")[5])
    if not 0 < num_slots <= MOST_SLOTS:
        return None
    geometry = Geometry(row_shape=spec.shape, dtype=spec.dtype.name, num_slots=num_slots)
    return num_slots if content[:HEADER_BYTES] == header(geometry, digest) else None


def make_records(
    first_slot: int, names: Sequence[bytes], files: Sequence[Identity], checksums: Sequence[int]
) -> np.ndarray:
    """Records of neighbouring slots, uint64 `(n, 8)`.

    Args:
        first_slot: slot of the first.
        names: key of each path, 16 bytes.
        files: what each was decoded from.
        checksums: xxh3_64 of each picture.
    """
    words = np.zeros((len(names), RECORD_BYTES // 8), "<u8")
    words[:, _NAME] = np.frombuffer(b"".join(names), "<u8").reshape(-1, 2)
    words[:, _CONTENT] = np.frombuffer(b"".join(one.content for one in files), "<u8").reshape(-1, 2)
    words[:, _SIZE] = [one.size for one in files]
    words[:, _MTIME] = np.array([one.mtime_ns for one in files], "<i8").view("<u8")
    words[:, _CHECKSUM] = checksums
    words[:, _CHECK] = _checks(words, first_slot)
    return words


def _checks(words: np.ndarray, first_slot: int) -> np.ndarray:
    """A checksum of each record and its slot, many at once; one word that differs always gives another."""
    slots = np.arange(first_slot + 1, first_slot + 1 + len(words), dtype=np.uint64)
    sums: np.ndarray = (words[:, :_CHECK] * _FACTORS).sum(axis=1, dtype=np.uint64) + slots * _SLOT_FACTOR
    sums ^= sums >> np.uint64(32)
    sums *= _FACTORS[0]
    sums ^= sums >> np.uint64(29)
    return sums


def sound(words: np.ndarray, first_slot: int) -> np.ndarray:
    """Which records are whole and belong to their slots, bool `(n,)`.

    Example:
        >>> words = make_records(7, [bytes(16)], [Identity(1, 2, bytes(16))], [3])
        >>> sound(words, 7).tolist(), sound(words, 8).tolist()
        ([True], [False])
    """
    right: np.ndarray = words[:, _CHECK] == _checks(words, first_slot)
    return right


def names_of(words: np.ndarray) -> np.ndarray:
    """Keys of the records' paths, uint64 `(n, 2)`."""
    return words[:, _NAME]


def contents_of(words: np.ndarray) -> np.ndarray:
    """Digests of the records' files, uint64 `(n, 2)`."""
    return words[:, _CONTENT]


def file_of(record: np.ndarray) -> tuple[bytes, Identity, int]:
    """Key of the path, file and checksum of the picture that one record names."""
    size, mtime_ns = int(record[_SIZE]), int(record[_MTIME : _MTIME + 1].view("<i8")[0])
    return (
        record[_NAME].tobytes(),
        Identity(size, mtime_ns, record[_CONTENT].tobytes()),
        int(record[_CHECKSUM]),
    )


def neighbours(slots: np.ndarray, num_slots: int, most: int) -> list[tuple[int, int]]:
    """Where sorted slots can be read at once: (start, stop) of runs that follow each other in one segment. Pure.

    Args:
        slots: int64 `(n,)`, ascending.
        num_slots: slots of one segment.
        most: longest run.

    Example:
        >>> neighbours(np.array([3, 4, 5, 9, 10]), num_slots=5, most=8)
        [(0, 2), (2, 3), (3, 4), (4, 5)]
    """
    joined = slots[1:] == slots[:-1] + 1
    if not joined.any():
        return [(start, start + 1) for start in range(len(slots))]
    breaks = np.flatnonzero(~joined | (slots[1:] % num_slots == 0)) + 1
    edges = [0, *breaks.tolist(), len(slots)]
    return [(start, min(start + most, stop)) for first, stop in pairwise(edges) for start in range(first, stop, most)]
