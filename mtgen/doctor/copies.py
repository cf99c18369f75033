"""Copies of a sample of the rows, in a folder that goes away: what packing and caching would give, and cost."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.doctor.altered import bound_like, only_inputs, twin, with_recipe
from mtgen.errors import PlanError
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.loader import Loader
from mtgen.packing import Packed, pack
from mtgen.plan import Shard
from mtgen.recipe import Recipe
from mtgen.stores import Store, open_store

MOST_SAMPLE_BYTES = 128 << 20
MOST_SAMPLE_ROWS = 16_384
LEAST_SAMPLE_BATCHES = 4
"""A sample of fewer batches would be over before a slice is."""

TINY_ROWS = 8
"""Rows of the copy that tells what making any copy costs, however small."""

RUN_BYTES = 4 << 20
"""Decompressed bytes that are read in one go to see what reading in sequence costs."""


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A packed sample, and what the whole would take.

    Args:
        bound: reads the sample; rows outside of it give other rows.
        rows: the sample's rows of the table, int64.
        disk_bytes: of the whole copy, by the sample's size.
        make_seconds: of the whole copy, by the sample's time.
    """

    bound: BoundRows
    rows: np.ndarray
    disk_bytes: int
    make_seconds: float


def packed_features(loader: Loader, bound: BoundRows, folder: Path, seconds: float) -> Copy:
    """Pack rows of a store that the loader's order names first.

    Args:
        loader: says which rows.
        bound: the input.
        folder: for the copy.
        seconds: for reading the sample; then what was read is packed.

    Raises:
        PlanError: too little time or space for a sample.
        StoreError: see `mtgen.pack`.
    """
    store = bound.store
    row_bytes = bound.spec.row_bytes
    rows: list[np.ndarray] = []
    values: list[np.ndarray] = []
    began, num = time.perf_counter(), 0
    for group in _groups(loader, _most_rows(loader, row_bytes), loader.forecast.window):
        rows.append(group)
        values.append(_read(store, bound.store_rows(group)))
        num += len(group)
        if time.perf_counter() - began >= seconds:
            _check_size(num, loader, seconds)
            break
    _check_space(folder, num * row_bytes)
    sample = np.concatenate(rows)
    keys = _read(store.keys, bound.store_rows(sample)) if bound.compares_keys and store.keys is not None else None
    source = open_store(np.concatenate(values), keys=False if keys is None else keys)
    packed, per_row = _packed(source, folder / "features.zarr")
    per_row += _sequential_seconds(store)
    return _copy(bound, packed, sample, store.num_rows, per_row)


def cached_pictures(loader: Loader, bound: BoundImages, folder: Path, seconds: float) -> Copy:
    """Decode pictures that the loader's order names first, and pack them.

    Args:
        loader: says which rows, and decodes with as many workers.
        bound: the input.
        folder: for the copy.
        seconds: for decoding the sample.

    Raises:
        PlanError: too little time or space for a sample.
        MtgenError: a picture that cannot be read.
    """
    recipe = plain_recipe(bound.recipe)
    images = with_recipe(bound.images, recipe)
    dataset = only_inputs(loader.dataset, {"image": bound_like(bound, images)})
    groups = list(_groups(loader, _most_rows(loader, recipe.spec.row_bytes), 1))
    part = dataset.take(np.concatenate(groups))
    pictures: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    began, num = time.perf_counter(), 0
    decoder = twin(loader, part, shuffle=False, stall_seconds=seconds, drop_last=False, pad_last=False, shard=Shard())
    try:
        for batch in decoder.epoch(0):
            good = batch.rows >= 0
            pictures.append(batch.inputs["image"][good])
            rows.append(batch.rows[good])
            num += len(rows[-1])
            if time.perf_counter() - began >= seconds:
                _check_size(num, loader, seconds)
                break
    finally:
        decoder.close()
    decode_seconds = (time.perf_counter() - began) / max(num, 1)
    sample = np.concatenate(rows)
    # Where bad samples are refilled a row may come twice.
    sample, first = np.unique(sample, return_index=True)
    values = np.concatenate(pictures)[first]
    _check_space(folder, values.nbytes)
    packed, per_row = _packed(open_store(values), folder / "pictures.zarr", codec="none")
    store = open_store(packed.path)
    made = BoundRows(store, _mapping(len(loader.dataset.table), sample), None)
    num_rows = len(loader.dataset)
    return Copy(
        bound=made,
        rows=sample,
        disk_bytes=math.ceil(packed.num_bytes / len(sample) * num_rows),
        make_seconds=(decode_seconds + per_row) * num_rows,
    )


def plain_recipe(recipe: Recipe) -> Recipe:
    """The recipe with pictures as they are kept on disk: whole numbers; scaling comes after. Pure."""
    if recipe.dtype != "float32":
        return recipe
    return dataclasses.replace(recipe, dtype="uint8", scale=None)


def _copy(bound: BoundRows, packed: Packed, sample: np.ndarray, num_rows: int, per_row: float) -> Copy:
    store = open_store(packed.path)
    return Copy(
        bound=bound.over(store, _mapping(bound.num_rows, sample)),
        rows=np.sort(sample),
        disk_bytes=math.ceil(packed.num_bytes / len(sample) * num_rows),
        make_seconds=per_row * num_rows,
    )


def _mapping(num_rows: int, sample: np.ndarray) -> np.ndarray:
    """Row of the copy for each row of the table; 0 for those outside the sample, which nobody asks for."""
    places = np.zeros(num_rows, np.int64)
    places[sample] = np.arange(len(sample))
    return places


def _most_rows(loader: Loader, row_bytes: int) -> int:
    most = min(len(loader.dataset), MOST_SAMPLE_ROWS, MOST_SAMPLE_BYTES // max(1, row_bytes))
    least = min(LEAST_SAMPLE_BATCHES * loader.batch_size, len(loader.dataset))
    if most < least:
        raise PlanError(
            f"a sample needs {least:,} rows of {row_bytes:,} bytes, and may have {MOST_SAMPLE_ROWS:,} rows and "
            f"{MOST_SAMPLE_BYTES:,} bytes"
        )
    return most


def _groups(loader: Loader, most: int, window: int) -> Iterator[np.ndarray]:
    """Rows in the loader's own order, each once, as many at a time as it plans together; `most` in all."""
    seen = np.zeros(len(loader.dataset.table), bool)
    num = 0
    for start in range(0, loader.steps_per_epoch, window):
        rows = np.concatenate([loader.rows(step) for step in range(start, min(start + window, loader.steps_per_epoch))])
        rows = np.unique(rows[rows >= 0])
        rows = rows[~seen[rows]][: most - num]
        seen[rows] = True
        num += len(rows)
        if len(rows):
            yield rows
        if num >= most:
            return


def _read(store: Store, rows: np.ndarray) -> np.ndarray:
    out = np.empty((len(rows), *store.row_shape), store.dtype)
    store.read_rows(rows, out)
    return out


def _packed(source: Store, target: Path, codec: Any = "auto") -> tuple[Packed, float]:
    """A packed copy, and the seconds that each row more would take."""
    tiny = _read(source, np.arange(min(TINY_ROWS, source.num_rows)))
    fixed = _seconds_to_pack(open_store(tiny, keys=False), target.with_name(f"tiny-{target.name}"), codec)[1]
    packed, seconds = _seconds_to_pack(source, target, codec)
    return packed, max(0.0, seconds - fixed) / source.num_rows


def _seconds_to_pack(source: Store, target: Path, codec: Any) -> tuple[Packed, float]:
    began = time.perf_counter()
    packed = pack(source, target, codec=codec)
    return packed, time.perf_counter() - began


def _sequential_seconds(store: Store) -> float:
    """Seconds per row to read a run of neighbours, as packing does."""
    row_bytes = max(1, math.prod(store.row_shape) * store.dtype.itemsize)
    num = min(store.num_rows, max(store.chunk_rows, RUN_BYTES // row_bytes))
    start = (store.num_rows - num) // 2
    began = time.perf_counter()
    _read(store, np.arange(start, start + num))
    return (time.perf_counter() - began) / max(num, 1)


def _check_size(num: int, loader: Loader, seconds: float) -> None:
    """Where the time was up before the sample was whole."""
    least = LEAST_SAMPLE_BATCHES * loader.batch_size
    if num < min(least, len(loader.dataset)):
        raise PlanError(
            f"a sample of {num:,} rows was all that could be read in {seconds:.1f} s, and {least:,} are needed: give "
            "more time"
        )


def _check_space(folder: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < 3 * num_bytes:
        raise PlanError(
            f"the temporary folder has {free:,} bytes free, a sample of {num_bytes:,} bytes needs three "
            "times its size. Name another one in the environment variable TMPDIR",
            path=os.fspath(folder),
        )
