"""Cut patches: read what they are cut from, once for all that are cut from it, into their slots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtgen.draws import Draws
from mtgen.encoded import extension_mismatch
from mtgen.errors import named
from mtgen.inputs.bound_patches import ArrayPatches, BoundPatches, PicturePatches
from mtgen.picture_windows import decode_windows
from mtgen.room import Room
from mtgen.waits import Note, silent


def once(read: Callable[[], Any]) -> Any:
    """Read, and try nothing again."""
    return read()


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How patches are read.

    Args:
        retry: calls a read, and again after an error that may pass.
        room: where pictures take memory from at full size; None takes it without asking.
        note: told before each file.
        facts: counts of what was done to pictures, added to.
    """

    retry: Callable[[Callable[[], Any]], Any] = once
    room: Room | None = None
    note: Note = silent
    facts: Counter[str] = field(default_factory=Counter)


def cut(
    bound: BoundPatches,
    rows: np.ndarray,
    draws: Draws,
    outs: Sequence[np.ndarray],
    places: np.ndarray,
    reading: Reading,
) -> None:
    """Cut the patches of some rows of one group, see `BoundPatches.groups`.

    Any thread, many at once; the caller owns `outs` and `places`.

    Args:
        bound: the input.
        rows: int64 `(n,)` of the root table.
        draws: one position per row.
        outs: a slot for each, of `bound.spec`.
        places: int64 `(n, axes)`, filled with the first pixel of each.
        reading: retries, memory, counts.

    Raises:
        MtgenError: they cannot be cut; with path.
    """
    path = bound.path(int(rows[0]))
    try:
        if isinstance(bound, PicturePatches):
            _cut_picture(bound, rows, draws, outs, places, reading)
        else:
            assert isinstance(bound, ArrayPatches)  # noqa: S101  there are two kinds
            reading.note(f"cut {len(rows)} patches of {path}")
            reading.retry(lambda: bound.fetch(rows, draws, outs, places))
    except Exception as error:
        wrapped = named(error, path, bound.error_kind)
        if wrapped is error:
            raise
        raise wrapped from error


def _cut_picture(
    bound: PicturePatches,
    rows: np.ndarray,
    draws: Draws,
    outs: Sequence[np.ndarray],
    places: np.ndarray,
    reading: Reading,
) -> None:
    row = int(rows[0])
    path, data = bound.path(row), b""

    def choose(shape: tuple[int, int]) -> np.ndarray:
        starts = bound.starts(rows, draws, shape)
        places[...] = starts
        return starts

    with nullcontext() if reading.room is None else reading.room.file() as admit:
        try:
            reading.note(f"read {path}")
            data = reading.retry(lambda: bound.images.read_bytes(row, admit))
            reading.note(f"decode {path}")
            decode_windows(
                data,
                bound.recipe,
                choose,
                outs,
                fill=int(bound.patches.pad_value),
                facts=reading.facts,
                room=reading.room,
            )
            reading.facts["extension_mismatch"] += extension_mismatch(path, data)
        finally:
            del data  # before others may take its room


def places_of(bound: BoundPatches, rows: np.ndarray, draws: Draws) -> np.ndarray:
    """First pixel of the patch of each row, int64 `(n, axes)`: what `cut` would fill `places` with.

    Any thread. Of an array that is open already nothing is read; an array of the row's own is opened for its shape, and
    a picture decoded.

    Raises:
        MtgenError: see `cut`.
    """
    starts = np.empty((len(rows), bound.num_axes), np.int64)
    codes = bound.groups(rows)
    for code in np.unique(codes):
        slots = np.flatnonzero(codes == code)
        shape = _shape_of(bound, int(rows[slots[0]]))
        starts[slots] = bound.starts(rows[slots], draws.of(slots), shape)
    return starts


def _shape_of(bound: BoundPatches, row: int) -> tuple[int, ...]:
    if isinstance(bound, ArrayPatches):
        with bound.arrays.lend(row) as array:
            return array.shape[: bound.num_axes]
    assert isinstance(bound, PicturePatches)  # noqa: S101  there are two kinds
    shapes: list[tuple[int, int]] = []

    def choose(shape: tuple[int, int]) -> np.ndarray:
        shapes.append(shape)
        return np.empty((0, 2), np.int64)

    try:
        decode_windows(bound.images.read_bytes(row), bound.recipe, choose, [])
    except Exception as error:
        wrapped = named(error, bound.path(row), bound.error_kind)
        if wrapped is error:
            raise
        raise wrapped from error
    return shapes[0]
