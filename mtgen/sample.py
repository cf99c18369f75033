"""Read one sample after the other: the plain reference path, and what stands in for a sample that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from mtgen.batch import Batch
from mtgen.decode import decode
from mtgen.errors import DecodeError, MtgenError, StoreError, named
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field, Pending
from mtgen.room import Room


def fetch(fields: Sequence[Field], rows: np.ndarray) -> Batch:
    """Read the samples of `rows` one after the other in the caller's thread.

    Raises:
        The first error in the order of rows, then of fields.
    """
    pending = Pending(fields, rows, len(rows), None, None)
    for slot, row in enumerate(rows):
        for one, buffer in zip(fields, pending.buffers, strict=True):
            try:
                read_sample(one, int(row), buffer[slot : slot + 1])
            except MtgenError as error:
                raise error.at(row=int(row)) from error.__cause__
    return pending.batch()


def read_sample(one: Field, row: int, out: np.ndarray, room: Room | None = None) -> None:
    """Fill `out[0]` with one field of one row.

    Any thread; the caller owns `out`, `(1, *spec.shape)`. `room` is where a picture takes memory from.

    Raises:
        MtgenError: it cannot be read; with its path. What is no error of mtgen is wrapped in one.
    """
    try:
        if isinstance(one.bound, BoundImages):
            with nullcontext() if room is None else room.file() as admit:
                decode(one.bound.read_bytes(row, admit), one.bound.recipe, out[0], None, room)
        else:
            one.bound.fetch(np.array([row]), out)
    except Exception as error:
        raise named(error, _path(one, row), DecodeError if isinstance(one.bound, BoundImages) else StoreError) from (
            error.__cause__ if isinstance(error, MtgenError) else error
        )


def _path(one: Field, row: int) -> str | None:
    if isinstance(one.bound, BoundImages):
        return one.bound.path(row)
    return one.bound.store.location if isinstance(one.bound, BoundRows) else None
