"""Read one sample after the other: the plain reference path, and what stands in for a sample that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np

from mtgen.batch import Batch
from mtgen.cut import Reading, cut
from mtgen.decode import decode
from mtgen.draws import Draws
from mtgen.errors import DecodeError, MtgenError, StoreError, named
from mtgen.inputs.bound_patches import BoundPatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field, Pending
from mtgen.room import Room


def fetch(fields: Sequence[Field], rows: np.ndarray, draws: Draws | None = None) -> Batch:
    """Read the samples of `rows` one after the other in the caller's thread.

    Args:
        fields: inputs, targets and weights.
        rows: int64 `(n,)` of the root table.
        draws: where in a run the rows stand, which decides where patches are cut; None for outside any.

    Raises:
        The first error in the order of rows, then of fields.
    """
    pending = Pending(fields, rows, len(rows), None, None, draws)
    for slot, row in enumerate(rows):
        for number in range(len(fields)):
            try:
                fill_slot(pending, number, slot, int(row))
            except MtgenError as error:
                raise error.at(row=int(row)) from error.__cause__
    return pending.batch()


def fill_slot(pending: Pending, number: int, slot: int, row: int, room: Room | None = None) -> None:
    """Fill one slot of one field of a batch with a row, its own or another one in its place; see `read_sample`."""
    one, here = pending.fields[number], slice(slot, slot + 1)
    if not isinstance(one.bound, BoundPatches):
        read_sample(one, row, pending.buffers[number][here], room)
        return
    outs, places = [pending.buffers[number][slot]], pending.places[number][here]
    cut(one.bound, np.array([row]), pending.draws.of(here), outs, places, Reading(room=room))


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
