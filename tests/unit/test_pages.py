"""Buffers in pages of their own: like any other array, and gone with the last reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtgen.gather import pages


def anonymous_bytes() -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(text.split("RssAnon:")[1].split()[0])


@pytest.mark.parametrize("shape", [(0,), (3, 5), (1_000, 512), (70_000, 3, 2)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "bool"])
def test_they_are_arrays(shape: tuple[int, ...], dtype: str) -> None:
    made = pages.empty(shape, np.dtype(dtype))
    assert (made.shape, made.dtype) == (shape, np.dtype(dtype))
    assert made.flags.c_contiguous
    assert made.flags.writeable
    made[...] = 1
    assert made.sum() == made.size


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_memory_goes_back_at_once() -> None:
    """A hundred chunks of 1 MiB that were let go stayed in the process, beside the next loader's."""
    before = anonymous_bytes()
    kept = [pages.empty((1 << 20,), np.dtype("uint8")) for _ in range(100)]
    for one in kept:
        one[...] = 1
    view = kept[50][5:]
    assert anonymous_bytes() - before > 95 << 20
    del kept, one
    assert anonymous_bytes() - before < 8 << 20
    assert view.sum() == len(view)
