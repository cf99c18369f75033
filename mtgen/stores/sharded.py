"""Rows of a local, sharded Zarr v3 array, read by `os.pread` of the very blocks that are wanted.

`shard_metadata` says which arrays these are; all others, and URLs, are read through TensorStore (`zarr.py`). Files are
read, not mapped: a mapped file that is cut ends the process, and waiting for a page of it holds the GIL.

Each block's checksum is compared at each read. What a damaged or crafted file claims is bounded before it is decoded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.errors import StoreError
from mtgen.stores.base import OpenStore, open_regular
from mtgen.stores.block_codecs import DecodeFault, decoded
from mtgen.stores.shard_files import CRC_BYTES, RESIDUE, ShardFile, ShardFiles, read_all, read_into
from mtgen.stores.shard_index import ShardIndex
from mtgen.stores.shard_metadata import ShardedArray, sharded_array

METADATA_FILE = "zarr.json"
MAX_JSON_BYTES = 1 << 24

PIECE_BYTES = 512 << 10
"""Bytes of blocks that are in work at a time: they stay in the processor's cache on their way into the buffer."""

PIECE_BLOCKS = 512
FEW_BLOCKS = 64
"""Blocks in work at a time where there are more shards than files may be open, so that a call holds few files."""

GAP_BYTES = 16 << 10
"""Blocks this near to each other are read at once: copying as much costs less than another system call."""

DIRECT_BYTES = 16 << 10
"""Plain rows from this size on are read straight into the caller's buffer: 67 KiB cost 13 microseconds instead of 34,
with fewer copies. Smaller ones gain less than reading neighbours at once gives."""

DIRECT_BLOCKS = 32
"""So many of them by one call into the system."""

MERGED_BYTES = 1 << 20


class ShardedStore(OpenStore):
    """Rows of one local Zarr v3 array in shards.

    Any thread may read, many at once. System calls and decoders wait without the GIL; few files are open.

    Args:
        folder: the array's folder.
        location: name for messages; the folder itself by default.
        inside: name of the array in its group.
        what: what its rows are, for messages.

    Raises:
        StoreError: no such array, or its first or last shard is damaged.
    """

    checks_itself = True

    def __init__(
        self,
        folder: str | Path,
        location: str | None = None,
        inside: str | None = None,
        what: str = "store rows",
    ) -> None:
        self.folder = Path(folder)
        self.location = location or str(folder)
        self.inside, self._what = inside, what
        array = sharded_array(read_metadata(self.folder, self.location))
        if array is None:
            raise StoreError(
                f"{self.folder / METADATA_FILE} is no sharded Zarr v3 array whose blocks hold whole rows and a crc32c "
                "checksum: open it by mtgen.open_store",
                path=self.location,
            )
        self.array: ShardedArray = array
        self.set_shape(array.shape, array.dtype)
        self.chunk_rows = array.block_rows
        self.attributes = array.attributes
        self._row_bytes, self._block_bytes = array.row_bytes, array.block_bytes
        self._files = ShardFiles(self.folder, array.shard_key, self._lost_with, self.location)
        self._index = ShardIndex(array, self._files)
        self.cache_bytes = self._index.held_bytes
        self.scratch_bytes = max(4 * PIECE_BYTES, 3 * self._block_bytes)
        most = PIECE_BLOCKS if array.num_shards <= FEW_BLOCKS else FEW_BLOCKS
        self._piece_blocks = min(max(1, PIECE_BYTES // self._block_bytes), most)
        if self.num_rows and array.packed:
            ends = np.array([0, array.num_blocks - 1])  # a lying shape shows here already
            self._index.find(ends, ends // array.blocks_per_shard)

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        """See `OpenStore.reopening`."""
        return ShardedStore, (str(self.folder.absolute()), self.location, self.inside, self._what)

    def close(self) -> None:
        """See `Store.close`; a file that is being read from is closed after that."""
        super().close()
        self._files.close()

    def fill(self, rows: np.ndarray, out: np.ndarray) -> None:
        """See `OpenStore.fill`."""
        order = np.argsort(rows, kind="stable")
        ordered = rows[order]
        if self.chunk_rows == 1 and self.array.codec == "none" and self._row_bytes >= DIRECT_BYTES:
            self._fill_directly(ordered, order, out)
            return
        blocks = ordered // self.chunk_rows
        begins = np.empty(len(blocks), bool)  # where another block begins
        begins[0] = True
        np.not_equal(blocks[1:], blocks[:-1], out=begins[1:])
        target = out.reshape(len(rows), -1).view(np.uint8)
        if begins.all():
            places = None
            distinct = blocks
        else:
            places = np.cumsum(begins) - 1
            distinct = blocks[begins]
        offsets = ordered - blocks * self.chunk_rows
        for first, values in self.pieces(distinct):
            last = first + len(values)
            if places is None:
                here = slice(first, last)
                among = np.arange(last - first)
            else:
                here = slice(*np.searchsorted(places, [first, last]).tolist())
                among = places[here] - first
            if self.chunk_rows == 1 and places is None:
                target[order[here]] = values[:, 0]
            else:
                target[order[here]] = values[among, offsets[here]]

    def _fill_directly(self, blocks: np.ndarray, slots: np.ndarray, out: np.ndarray) -> None:
        """Plain blocks of one row: read into their slots, and what the file says of their checksum compared."""
        import google_crc32c

        target = out.reshape(len(out), -1).view(np.uint8)
        step = max(self._piece_blocks, DIRECT_BLOCKS)
        sums = np.empty((min(step, len(blocks)), CRC_BYTES), np.uint8)
        for first in range(0, len(blocks), step):
            wanted = blocks[first : first + step]
            shards = wanted // self.array.blocks_per_shard
            offsets, lengths = self._index.find(wanted, shards)
            here = slots[first : first + len(wanted)]
            there = lengths > 0
            if not there.all():
                out[here[~there]] = self.array.fill_value
                wanted, shards, offsets, here = wanted[there], shards[there], offsets[there], here[there]
            rows = [target[slot] for slot in here.tolist()]
            read_into(self._open_files(shards), offsets.tolist(), rows, sums[: len(rows)])
            found = np.fromiter(map(google_crc32c.value, rows), np.uint32, len(rows))
            wrong = found != sums[: len(rows)].view("<u4").ravel()
            if wrong.any():
                raise self._broken(int(wanted[np.argmax(wrong)]), "its checksum is wrong")

    def pieces(self, blocks: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Read and decode blocks, some at a time.

        Any thread. The arrays are the caller's; they lie in memory with gaps between the blocks.

        Args:
            blocks: int64 `(n,)`, numbers of blocks, ascending, none twice.

        Yields:
            How many blocks came before, and uint8 `(blocks, block_rows, row_bytes)`.

        Raises:
            StoreError: a block cannot be read; the text names the shard's file and the rows.
        """
        for first in range(0, len(blocks), self._piece_blocks):
            wanted = blocks[first : first + self._piece_blocks]
            shards = wanted // self.array.blocks_per_shard
            offsets, lengths = self._index.find(wanted, shards)
            if lengths.all():
                yield first, self._read(wanted, shards, offsets, lengths)
            else:
                yield first, self._read_with_gaps(wanted, shards, offsets, lengths)

    def _read_with_gaps(
        self, blocks: np.ndarray, shards: np.ndarray, offsets: np.ndarray, lengths: np.ndarray
    ) -> np.ndarray:
        """Blocks of which some were never written: those hold the fill value, as the format says."""
        fill = np.full(self._row_bytes // self.dtype.itemsize, self.array.fill_value, self.dtype).view(np.uint8)
        out = np.empty((len(blocks), self.chunk_rows, self._row_bytes), np.uint8)
        out[...] = fill
        there = lengths > 0
        if there.any():
            out[there] = self._read(blocks[there], shards[there], offsets[there], lengths[there])
        return out

    def _read(self, blocks: np.ndarray, shards: np.ndarray, offsets: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        import google_crc32c

        contents = self._contents(blocks, shards, offsets, lengths)
        if set(map(google_crc32c.value, contents)) != {RESIDUE}:
            wrong = next(place for place, one in enumerate(contents) if google_crc32c.value(one) != RESIDUE)
            raise self._broken(int(blocks[wrong]), "its checksum is wrong")
        try:
            buffer, step = decoded(self.array.codec, contents, self._block_bytes)
        except DecodeFault as fault:
            raise self._broken(int(blocks[fault.place]), fault.what) from fault.__cause__
        return np.ndarray(
            (len(blocks), self.chunk_rows, self._row_bytes), np.uint8, buffer, 0, (step, self._row_bytes, 1)
        )

    def _contents(
        self, blocks: np.ndarray, shards: np.ndarray, offsets: np.ndarray, lengths: np.ndarray
    ) -> list[bytes]:
        """The bytes of each block as they are in the file; those that lie near to each other are read at once."""
        files = self._open_files(shards)
        ends = offsets + lengths
        gaps = offsets[1:] - ends[:-1]
        near = (gaps >= 0) & (gaps <= GAP_BYTES) & (shards[1:] == shards[:-1])
        if not near.any():
            return read_all(files, offsets.tolist(), lengths.tolist())
        begins = np.ones(len(blocks), bool)
        np.logical_not(near, out=begins[1:])
        starts = begins.nonzero()[0]
        lasts = ends[np.concatenate((starts[1:], [len(blocks)])) - 1]
        if (lasts - offsets[starts]).max() > MERGED_BYTES:
            starts = _split(begins, offsets)
            lasts = ends[np.concatenate((starts[1:], [len(blocks)])) - 1]
        firsts = offsets[starts]
        merged = read_all([files[place] for place in starts.tolist()], firsts.tolist(), (lasts - firsts).tolist())
        group = np.cumsum(begins) - 1
        inner = offsets - firsts[group]
        cuts = zip(group.tolist(), inner.tolist(), (inner + lengths).tolist(), strict=True)
        return [merged[number][start:stop] for number, start, stop in cuts]

    def _open_files(self, shards: np.ndarray) -> list[ShardFile]:
        wanted = shards.tolist()
        try:
            return self._files.get_all(wanted)
        except FileNotFoundError as error:  # its index was read before, so it was there
            shard = next(shard for shard in wanted if not os.path.exists(self._files.path(shard)))
            raise self._files.lost_shard(shard) from error

    def _lost_with(self, shard: int) -> str:
        start = shard * self.array.shard_rows
        return f"{self._what} {start} to {min(start + self.array.shard_rows, self.num_rows) - 1}"

    def _broken(self, block: int, what: str) -> StoreError:
        shard, place = divmod(block, self.array.blocks_per_shard)
        start = block * self.chunk_rows
        rows = f"{self._what} {start} to {min(start + self.chunk_rows, self.num_rows) - 1}"
        return StoreError(
            f"block {place} of shard file {self._files.path(shard)} is broken: {what}; it holds {rows}: copy the store "
            "again, or pack it anew",
            path=self.location,
        )


def _split(begins: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Cut merged reads that are too long; returns where reads begin, int64, and marks it in `begins`."""
    run = begins.nonzero()[0][np.cumsum(begins) - 1]
    part = (offsets - offsets[run]) // MERGED_BYTES
    begins[1:] |= part[1:] != part[:-1]
    starts: np.ndarray = begins.nonzero()[0]
    return starts


def read_metadata(folder: Path, location: str, name: str = METADATA_FILE) -> dict[str, Any]:
    """The content of `zarr.json`, or of another small JSON file.

    Raises:
        StoreError: it is missing, cannot be read, or is no JSON object.
    """
    path = folder / name
    try:
        with open_regular(path) as file:
            text = file.read(MAX_JSON_BYTES)
        content = json.loads(text)
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(f"{path} cannot be read ({error}): check path and rights", path=location) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{path} is no JSON ({error}): write the array again", path=location) from error
    if not isinstance(content, dict):
        raise StoreError(f"{path} is no JSON object: write the array again", path=location)
    return content
