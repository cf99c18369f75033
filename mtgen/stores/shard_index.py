"""Where each block of a sharded array lies: the indexes of its shards, checked and held in little memory."""

from __future__ import annotations

import numpy as np

from mtgen.stores.shard_files import CRC_BYTES, ENTRY_BYTES, ShardFile, ShardFiles, read_entries, read_index
from mtgen.stores.shard_metadata import ShardedArray

HELD_BYTES = 64 << 20
"""Entries of compressed blocks that are held in memory, at most; what is beyond is looked up on disk, one more small
read per block."""

MISSING = 2**64 - 1
"""Offset and length of a block that was never written."""

_UNKNOWN, _HELD, _ON_DISK, _ABSENT = range(4)
_LEAST = {"none": 0, "blosc": 16, "zstd": 2}


class ShardIndex:
    """Offsets and lengths of blocks.

    Any thread: two that meet a new shard at the same time both read its index, and write down the same.

    Uncompressed blocks that lie one after another in their order, as almost all do, need no memory at all. Of
    compressed ones 12 bytes each are held, up to `HELD_BYTES`.

    Args:
        array: what the metadata says.
        files: its shards.
    """

    def __init__(self, array: ShardedArray, files: ShardFiles) -> None:
        self._array, self._files = array, files
        self._state = np.zeros(array.num_shards, np.uint8)
        self._step = array.block_bytes + CRC_BYTES
        # Blosc adds at most 16 bytes, zstd less than 1 in 128 and a few (ZSTD_COMPRESSBOUND).
        self._most = CRC_BYTES + array.block_bytes + (0 if array.codec == "none" else array.block_bytes // 128 + 1024)
        self._least = CRC_BYTES + (array.block_bytes if array.codec == "none" else _LEAST[array.codec])
        self._num_held = 1 if array.codec == "none" else max(1, min(array.num_blocks, HELD_BYTES // 12))
        self._offsets = np.zeros(self._num_held, np.uint64)
        self._lengths = np.zeros(self._num_held, np.uint32)
        self._all_held = False

    @property
    def held_bytes(self) -> int:
        """Memory it takes, at most."""
        return self._num_held * 12 + len(self._state)

    def find(self, blocks: np.ndarray, shards: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and lengths of blocks in their shards' files, int64 `(n,)` each; length 0 of what is missing.

        Args:
            blocks: int64 `(n,)`, numbers in the array.
            shards: int64 `(n,)`, the shard of each.

        Raises:
            StoreError: an index cannot be read or lies; a shard that mtgen wrote is missing.
        """
        state = _HELD if self._all_held else self._state[shards]
        if np.any(state == _UNKNOWN):
            for shard in np.unique(shards[state == _UNKNOWN]).tolist():
                self._learn(shard)
            self._all_held = bool((self._state == _HELD).all())
            state = self._state[shards]
        if self._array.codec == "none":
            offsets = (blocks - shards * self._array.blocks_per_shard) * self._step
            lengths = np.full(len(blocks), self._step)
        else:
            among = blocks if self._all_held else np.minimum(blocks, self._num_held - 1)
            offsets = self._offsets[among].astype(np.int64)
            lengths = self._lengths[among].astype(np.int64)
        if np.any(state != _HELD):
            lengths[state == _ABSENT] = 0
            for shard in np.unique(shards[state == _ON_DISK]).tolist():
                here = shards == shard
                offsets[here], lengths[here] = self._looked_up(shard, blocks[here])
        return offsets, lengths

    def _span(self, shard: int) -> tuple[int, int]:
        """First block of a shard, and how many of its blocks hold rows."""
        first = shard * self._array.blocks_per_shard
        return first, min(self._array.blocks_per_shard, self._array.num_blocks - first)

    def _learn(self, shard: int) -> None:
        """Read and check the index of a shard that nobody has read from."""
        try:
            file = self._files.get(shard)
        except FileNotFoundError:
            if self._array.packed:
                raise self._files.lost_shard(shard) from None
            self._state[shard] = _ABSENT
            return
        entries = read_index(file, self._array.blocks_per_shard)
        first, num = self._span(shard)
        offsets, lengths = self._checked(file, entries[:num])
        if self._array.codec == "none":
            in_order = bool((offsets == np.arange(num) * self._step).all() and lengths.all())
            self._state[shard] = _HELD if in_order else _ON_DISK
        elif first + num <= self._num_held:
            self._offsets[first : first + num] = offsets
            self._lengths[first : first + num] = lengths
            self._state[shard] = _HELD
        else:
            self._state[shard] = _ON_DISK

    def _looked_up(self, shard: int, blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        file = self._files.get(shard)
        num_entries = self._array.blocks_per_shard
        return self._checked(file, read_entries(file, num_entries, blocks - shard * num_entries), overlaps=False)

    def _checked(self, file: ShardFile, entries: np.ndarray, overlaps: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and lengths as int64, within the file, of a possible size, and, if asked, apart from each other."""
        offsets, lengths = entries[:, 0], entries[:, 1]
        missing = (offsets == MISSING) & (lengths == MISSING)
        if missing.any():
            if self._array.packed:
                raise file.broken(f"its index says that {int(missing.sum()):,} of its blocks were never written")
            offsets, lengths = np.where(missing, 0, offsets), np.where(missing, 0, lengths)
        stop = file.size - self._array.blocks_per_shard * ENTRY_BYTES - CRC_BYTES
        wrong = (lengths > stop) | (offsets > stop - np.minimum(lengths, stop))
        wrong |= ((lengths < self._least) | (lengths > self._most)) & ~missing
        if wrong.any():
            place = int(np.argmax(wrong))
            raise file.broken(
                f"its index says that a block has {int(lengths[place]):,} bytes at byte {int(offsets[place]):,}, the "
                f"blocks end at byte {stop:,} and have {self._least:,} to {self._most:,} bytes"
            )
        offsets, lengths = offsets.astype(np.int64), lengths.astype(np.int64)
        if overlaps:
            starts, ends = offsets[~missing], (offsets + lengths)[~missing]
            order = np.argsort(starts, kind="stable")
            if (ends[order][:-1] > starts[order][1:]).any():
                raise file.broken("its index says that blocks overlap")
        return offsets, lengths
