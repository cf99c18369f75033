"""Damage as a disk does it: bytes change, size and time of modification stay."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np


def flip(path: Path, seed: int, *, count: int = 4, first: int = 0, last: int | None = None) -> bytes:
    """Change `count` bytes at seeded places in [first, last) of a file; returns what it held before."""
    before = path.read_bytes()
    rng = np.random.default_rng(seed)
    stop = len(before) if last is None else last
    places = first + rng.choice(stop - first, min(count, stop - first), replace=False)
    after = bytearray(before)
    for place, mask in zip(places.tolist(), rng.integers(1, 256, len(places)).tolist(), strict=True):
        after[place] ^= mask
    rewrite(path, bytes(after))
    return before


def rewrite(path: Path, content: bytes) -> None:
    """New content in the same file, with the old time of modification."""
    times = path.stat()
    with path.open("r+b") as file:
        file.write(content)
        file.truncate()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
