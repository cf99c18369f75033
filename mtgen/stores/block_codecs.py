"""Decode the blocks of a sharded array; each is known to have its checksum, and nothing is decoded beyond its size."""

from __future__ import annotations

from typing import Any

import numpy as np

from mtgen.stores.shard_files import CRC_BYTES

_MAX_RATIO = 65536
_STORED = 0x02
_ZSTD_MAGIC = 0xFD2FB528


class DecodeFault(Exception):
    """A block that cannot be decoded.

    Args:
        place: its place among those that were asked for.
        what: what is wrong with it.
    """

    def __init__(self, place: int, what: str) -> None:
        super().__init__(what)
        self.place, self.what = place, what


def decoded(codec: str, contents: list[bytes], block_bytes: int) -> tuple[Any, int]:
    """Blocks as one buffer, and the bytes from the beginning of one to that of the next.

    Any thread; the decoders release the GIL.

    Args:
        codec: "none", "blosc" or "zstd".
        contents: blocks as they are in the file, each with its checksum at the end.
        block_bytes: bytes of a decoded block.

    Raises:
        DecodeFault: a block is no such block.
    """
    if codec == "none":
        return (contents[0] if len(contents) == 1 else b"".join(contents)), block_bytes + CRC_BYTES
    return (_blosc if codec == "blosc" else _zstd)(contents, block_bytes), block_bytes


def _blosc(contents: list[bytes], block_bytes: int) -> bytes:
    """The header is checked first: 16 bytes, version, flags, typesize, then decoded, block and compressed size."""
    from numcodecs import blosc

    heads = np.frombuffer(b"".join([content[:16] for content in contents]), "<u4").reshape(-1, 4)
    sizes = np.fromiter(map(len, contents), np.int64, len(contents)) - CRC_BYTES
    num_parts = -(-block_bytes // np.maximum(heads[:, 2].astype(np.int64), 1))
    stored = (heads[:, 0] >> 16) & _STORED != 0
    least = np.where(stored, 16 + block_bytes, np.maximum(16 + 4 * num_parts, block_bytes // _MAX_RATIO))
    wrong = (heads[:, 1] != block_bytes) | (heads[:, 3] != sizes) | (heads[:, 2] == 0) | (sizes < least)
    if wrong.any():
        place = int(np.argmax(wrong))
        raise DecodeFault(
            place,
            f"its Blosc header says {int(heads[place, 3]):,} bytes that decode to {int(heads[place, 1]):,} in parts of "
            f"{int(heads[place, 2]):,}; it has {int(sizes[place]):,}, and a block is {block_bytes:,}",
        )
    try:
        found = list(map(blosc.decompress, contents))
    except (RuntimeError, ValueError):
        for place, content in enumerate(contents):
            try:
                blosc.decompress(content)
            except (RuntimeError, ValueError) as error:
                raise DecodeFault(place, f"Blosc cannot decode it ({error})") from error
        raise
    return found[0] if len(found) == 1 else b"".join(found)


def _zstd(contents: list[bytes], block_bytes: int) -> np.ndarray:
    from numcodecs import zstd

    out = np.empty((len(contents), block_bytes), np.uint8)
    for place, content in enumerate(contents):
        size = zstd_size(content)
        if size not in (None, block_bytes):
            raise DecodeFault(place, f"its zstd header says {size:,} bytes, a block is {block_bytes:,}")
        try:
            # A frame that does not say its size must fill the buffer, says numcodecs.
            zstd.decompress(content[:-CRC_BYTES], out[place])
        except (RuntimeError, ValueError) as error:
            raise DecodeFault(place, f"zstd cannot decode it ({error})") from error
    return out


def zstd_size(content: bytes) -> int | None:
    """The decoded size that the header of a zstd frame says (RFC 8878, 3.1.1.1); None where it says none.

    0 for what is no frame of data.

    Example:
        >>> zstd_size(bytes.fromhex("28b52ffd2005"))
        5
    """
    if len(content) < 6 or int.from_bytes(content[:4], "little") != _ZSTD_MAGIC:
        return 0
    flags = content[4]
    single, kind = flags >> 5 & 1, flags >> 6
    num_bytes = (single, 2, 4, 8)[kind]
    start = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    if not num_bytes:
        return None
    return int.from_bytes(content[start : start + num_bytes], "little") + (256 if num_bytes == 2 else 0)
