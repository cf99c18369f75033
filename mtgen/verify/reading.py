"""Decode every picture and read every chunk of a dataset, and say which rows are lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mtgen.dataset import Dataset
from mtgen.decode import decode
from mtgen.errors import MtgenError, PlanError
from mtgen.inputs.bound_patches import ArrayPatches, PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.patch_arrays import DiskArrays, StoreRows
from mtgen.inputs.rows import BoundRows
from mtgen.stores import Store
from mtgen.verify.files import File, Pictures, by_row, each
from mtgen.verify.report import Problem, Report
from mtgen.waits import Note

BLOCK_BYTES = 4 << 20
"""Decompressed bytes of a store that are read at a time."""


def read_everything(dataset: Dataset, num_workers: int | None, progress: bool) -> Report:
    """What cannot be read; see `mtgen.verify.verify`."""
    problems: list[Problem] = []
    num_checked = 0
    for one in dataset.fields:
        if isinstance(one.bound, BoundImages | PicturePatches):
            images = one.bound if isinstance(one.bound, BoundImages) else one.bound.images
            pictures = Pictures(images)

            def decoded(file: File, note: Note, bound: BoundImages = images) -> Problem | None:
                note(f"decode {file.path}")
                return _decoded(file, bound)

            results = each(decoded, pictures, f"decode {one.name}", num_workers=num_workers, progress=progress)
            wrong = {pictures[place].name: found for place, found in enumerate(results) if found is not None}
            num_checked += len(pictures)
            problems += by_row(pictures, wrong)
        for row, path, first, bound in _stores(one.bound, problems):
            num_blocks, lost = _lost_rows(bound, f"read {one.name}", num_workers, progress)
            num_checked += num_blocks
            problems += (
                found if row is None else found._replace(row=row, path=path)
                for found in _rows_of_lost(bound, lost, first)
            )
    if not num_checked and not problems:
        raise PlanError("the dataset has neither pictures nor stores: there is nothing to read")
    return Report(num_checked=num_checked, problems=tuple(problems))


def _stores(bound: Any, problems: list[Problem]) -> Iterator[tuple[int | None, str, int, BoundRows]]:
    """What is to be read whole: the first row whose own array it is, its path, its first table row, the rows of it."""
    if isinstance(bound, BoundRows):
        yield from ((None, "", first, member) for first, member in bound.members)
        return
    arrays = bound.arrays if isinstance(bound, ArrayPatches) else None
    if isinstance(arrays, StoreRows):
        yield None, "", 0, arrays.rows
    elif isinstance(arrays, DiskArrays):
        for row in np.unique(arrays.volumes.codes, return_index=True)[1].tolist():
            path = arrays.location(row)
            try:
                with arrays.lend(row) as array:
                    yield row, path, 0, _all_of(array.store)
            except MtgenError as error:
                problems.append(Problem(row, path, error.message))
    elif arrays is not None:
        yield from ((None, "", 0, _all_of(store)) for store in arrays.stores)


def _all_of(store: Store) -> BoundRows:
    """The rows of a store, none of which belongs to a row of the table."""
    return BoundRows(store, np.empty(0, np.int64), None)


def _decoded(file: File, bound: BoundImages) -> Problem | None:
    try:
        decode(bound.read_bytes(int(file.row or 0)), bound.recipe, bound.spec.empty(1)[0])
    except Exception as error:
        return Problem(file.row, file.path, _text(error))
    return None


class _Lost(NamedTuple):
    start: int
    stop: int
    error: str


def _lost_rows(bound: BoundRows, what: str, num_workers: int | None, progress: bool) -> tuple[int, list[_Lost]]:
    """Number of blocks read, and the store rows that cannot be read, chunk by chunk."""
    store = bound.store
    chunk = store.chunk_rows
    block = chunk * max(1, BLOCK_BYTES // max(1, chunk * bound.spec.row_bytes))

    def read(start: int, note: Note, length: int = block) -> list[_Lost]:
        stop = min(start + length, store.num_rows)
        note(f"read rows {start} to {stop - 1} of {store.location}")
        try:
            store.read_rows(np.arange(start, stop), bound.spec.empty(stop - start))
        except Exception as error:
            if length > chunk:
                return [lost for first in range(start, stop, chunk) for lost in read(first, note, chunk)]
            return [_Lost(start, stop, _text(error))]
        return []

    starts = range(0, store.num_rows, block)
    found = each(read, starts, what, num_workers=num_workers, progress=progress, group=1)
    return len(starts), [lost for several in found for lost in several]


def _rows_of_lost(bound: BoundRows, lost: list[_Lost], first: int) -> Iterator[Problem]:
    """A line for each table row whose store row is lost; one without a row for what no table row needs.

    Rows are counted from `first`.
    """
    if not lost:
        return
    location = bound.store.location
    starts, stops = np.array([one.start for one in lost]), np.array([one.stop for one in lost])
    store_rows = bound.store_rows(np.arange(bound.num_rows))
    among = np.searchsorted(starts, store_rows, "right") - 1
    hit = (among >= 0) & (store_rows < stops[among])
    for row in np.flatnonzero(hit).tolist():
        one = lost[int(among[row])]
        yield Problem(first + row, location, f"store row {int(store_rows[row])} is lost: {one.error}")
    for number in np.setdiff1d(np.arange(len(lost)), among[hit]).tolist():
        one = lost[number]
        yield Problem(None, location, f"store rows {one.start} to {one.stop - 1} are lost: {one.error}")


def _text(error: Exception) -> str:
    return error.message if isinstance(error, MtgenError) else f"{type(error).__name__}: {error}"
