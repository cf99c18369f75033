"""Our reader of shards against zarr-python and TensorStore, over shapes, dtypes, blocks, shards and codecs."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtgen.packing import layout as layouts
from mtgen.packing import pack
from mtgen.stores import open_store, sharded
from mtgen.stores.sharded import ShardedStore
from mtgen.stores.sparse import SparseStore
from mtgen.stores.zarr import ZarrStore
from tests.support.packed import write_zarr

DTYPES = ("float32", "float64", "float16", "uint8", "int16", "int64", "bool")
ROW_SHAPES = st.lists(st.integers(1, 5), max_size=2).map(tuple)


@pytest.fixture(scope="module", autouse=True, params=[16 << 10, 0], ids=["", "straight into the buffer"])
def both_ways(request: pytest.FixtureRequest) -> Iterator[None]:
    """Small plain rows take the way of large ones, too."""
    before, sharded.DIRECT_BYTES = sharded.DIRECT_BYTES, request.param
    yield
    sharded.DIRECT_BYTES = before


def bits(num_rows: int, row_shape: tuple[int, ...], dtype: str, seed: int, zeros: float = 0.5) -> np.ndarray:
    """Values of any bits, NaN and -0.0 among them, and zeros."""
    rng = np.random.default_rng(seed)
    num = num_rows * math.prod(row_shape)
    size = np.dtype(dtype).itemsize
    raw = rng.integers(0, 256, (num, size), np.uint8)
    if dtype == "bool":
        raw &= 1
    raw[rng.random(num) < zeros] = 0
    if dtype.startswith("float") and num:
        raw[rng.integers(0, num)] = np.frombuffer(np.array(-0.0, dtype).tobytes(), np.uint8)
    return raw.reshape(-1).view(dtype).reshape(num_rows, *row_shape)


def got(store: object, rows: np.ndarray) -> bytes:
    out = np.empty((len(rows), *store.row_shape), store.dtype)  # type: ignore[attr-defined]
    out.reshape(-1).view(np.uint8)[...] = 0xA5
    store.read_rows(rows, out)  # type: ignore[attr-defined]
    return out.tobytes()


@settings(max_examples=40, deadline=None)
@given(
    num_rows=st.integers(1, 60),
    row_shape=ROW_SHAPES,
    dtype=st.sampled_from(DTYPES),
    block_rows=st.integers(1, 7),
    blocks_per_shard=st.integers(1, 5),
    codec=st.sampled_from(["none", "blosc", "zstd"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_it_reads_what_zarr_wrote(
    num_rows: int,
    row_shape: tuple[int, ...],
    dtype: str,
    block_rows: int,
    blocks_per_shard: int,
    codec: str,
    seed: int,
) -> None:
    """Blocks of zeros are not written by zarr, nor are shards of them: they read as the fill value."""
    pytest.importorskip("zarr")
    array = bits(num_rows, row_shape, dtype, seed)
    array[num_rows // 3 : num_rows // 3 + 2 * block_rows] = 0
    rows = np.random.default_rng(seed).integers(0, num_rows, 40)
    with tempfile.TemporaryDirectory() as folder:
        path = write_zarr(Path(folder) / "x.zarr", array, block_rows, block_rows * blocks_per_shard, codec)
        with ShardedStore(path) as own, ZarrStore(str(path)) as oracle:
            assert own.chunk_rows == block_rows
            for wanted in (rows, np.arange(num_rows)):
                assert got(own, wanted) == array[wanted].tobytes() == got(oracle, wanted)


@settings(max_examples=40, deadline=None)
@given(
    num_rows=st.integers(1, 60),
    row_shape=ROW_SHAPES,
    dtype=st.sampled_from(DTYPES),
    codec=st.sampled_from(["none", "lz4", "zstd", "sparse"]),
    shard_bytes=st.integers(1, 2000),
    zeros=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_what_is_packed_is_read_bit_for_bit(
    num_rows: int,
    row_shape: tuple[int, ...],
    dtype: str,
    codec: str,
    shard_bytes: int,
    zeros: float,
    seed: int,
) -> None:
    array = bits(num_rows, row_shape, dtype, seed, zeros)
    rows = np.random.default_rng(seed).integers(0, num_rows, 40)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "SHARD_BYTES", shard_bytes)
        path = Path(folder) / "x.zarr"
        pack(array, path, codec=codec, verify=True)  # type: ignore[arg-type]
        with open_store(path) as store:  # type: ignore[attr-defined]
            assert type(store) is (SparseStore if codec == "sparse" else ShardedStore)
            for wanted in (rows, np.arange(num_rows)):
                assert got(store, wanted) == array[wanted].tobytes()


@settings(max_examples=25, deadline=None)
@given(
    num_rows=st.integers(1, 40),
    num_columns=st.integers(2, 50),
    dtype=st.sampled_from(["float32", "float64", "int32"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_scipy_reads_the_sparse_form_from_its_zarr_arrays(
    num_rows: int, num_columns: int, dtype: str, seed: int
) -> None:
    zarr = pytest.importorskip("zarr")
    sparse = pytest.importorskip("scipy.sparse")
    array = np.random.default_rng(seed).integers(-1, 2, (num_rows, num_columns)).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        pack(array, Path(folder) / "x.zarr", codec="sparse")
        group = zarr.open_group(str(Path(folder) / "x.zarr"), mode="r")
        assert dict(group.attrs)["encoding-type"] == "csr_matrix"
        parts = tuple(group[name][:] for name in ("data", "indices", "indptr"))
        matrix = sparse.csr_matrix(parts, shape=group.attrs["shape"])
    assert matrix.has_canonical_format
    assert (matrix.toarray() == array).all()
