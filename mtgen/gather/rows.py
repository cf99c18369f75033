"""Jobs that gather rows of stores: in pieces over a window where chunks are decompressed, else batch by batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from mtgen import plan
from mtgen.errors import ChangedError, StoreError, named
from mtgen.gather.reader import Reader
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field, Job, Pending
from mtgen.waits import Note

PIECE_BYTES = 4 << 20
"""Decompressed bytes one job takes on: some milliseconds of work, so threads stay even and scratch stays small."""


def piece_jobs(number: int, bound: BoundRows, pendings: Sequence[Pending], reader: Reader) -> list[Job]:
    """Jobs that fill one field of a whole window, each chunk decompressed once."""
    rows = np.concatenate([pending.rows for pending in pendings])
    owners = np.repeat(np.arange(len(pendings)), [len(pending.rows) for pending in pendings])
    slots = np.concatenate([np.arange(len(pending.rows)) for pending in pendings])
    per_piece = max(1, PIECE_BYTES // max(1, bound.chunk_rows * bound.spec.row_bytes))
    jobs = []
    for piece in plan.pieces(bound.store_rows(rows), bound.chunk_rows, per_piece):
        served = [pendings[owner] for owner in np.unique(owners[piece])]

        def run(note: Note, piece: np.ndarray = piece) -> None:
            note(f"gather {len(piece)} rows of {bound.store.location}")
            started = time.perf_counter()
            _gather_piece(number, bound, pendings, rows[piece], owners[piece], slots[piece], reader)
            compared = len(piece) if bound.compares_keys else 0
            reader.recorder.add_stage("gather", time.perf_counter() - started, keys_compared=compared)

        jobs.append(Job(run=run, serves=served))
    return jobs


def _gather_piece(
    number: int,
    bound: BoundRows,
    pendings: Sequence[Pending],
    rows: np.ndarray,
    owners: np.ndarray,
    slots: np.ndarray,
    reader: Reader,
) -> None:
    values = bound.spec.empty(len(rows))
    try:
        reader.fetch(bound, rows, values)
        readable = np.ones(len(rows), bool)
    except Exception:
        # Chunk by chunk, so that only the batches with a bad row fail.
        readable = np.zeros(len(rows), bool)
        for places in plan.pieces(bound.store_rows(rows), bound.chunk_rows, 1):
            for place, error in _fetch_chunk(bound, rows, places, values):
                if error is None:
                    readable[place] = True
                else:
                    pendings[owners[place]].fail(int(slots[place]), number, named(error, bound.store.location))
    for owner in np.unique(owners[readable]):
        mine = readable & (owners == owner)
        pendings[owner].buffers[number][slots[mine]] = values[mine]


def _fetch_chunk(
    bound: BoundRows, rows: np.ndarray, places: np.ndarray, values: np.ndarray
) -> Iterator[tuple[int, Exception | None]]:
    """Read the rows at some places, all of one chunk, into those places; yields each place with its error, if any.

    A chunk that cannot be read is not asked for once more per row, unless the error names one: over a network that
    could take as many time-outs.
    """
    found = bound.spec.empty(len(places))
    try:
        bound.fetch(rows[places], found)
    except Exception as error:
        if isinstance(error, StoreError | ChangedError) and error.row is None:
            yield from ((int(place), error) for place in places)
            return
        for place in places:
            try:
                bound.fetch(rows[place : place + 1], values[place : place + 1])
            except Exception as one:
                yield int(place), one
            else:
                yield int(place), None
        return
    values[places] = found
    yield from ((int(place), None) for place in places)


def row_jobs(number: int, one: Field, pending: Pending, reader: Reader) -> list[Job]:
    """Jobs that fill one field of one batch with rows that can be read alone."""
    bound: BoundRows = one.bound
    group = max(1, PIECE_BYTES // max(1, one.spec.row_bytes))
    jobs = []
    for start in range(0, len(pending.rows), group):
        slots = slice(start, min(start + group, len(pending.rows)))

        def run(note: Note, slots: slice = slots) -> None:
            note(f"gather {slots.stop - slots.start} rows of {bound.store.location}")
            started = time.perf_counter()
            try:
                reader.fetch(bound, pending.rows[slots], pending.buffers[number][slots])
            except Exception:
                for slot in range(slots.start, slots.stop):
                    try:
                        bound.fetch(pending.rows[slot : slot + 1], pending.buffers[number][slot : slot + 1])
                    except Exception as error:
                        pending.fail(slot, number, named(error, bound.store.location))
            compared = slots.stop - slots.start if bound.compares_keys else 0
            reader.recorder.add_stage("gather", time.perf_counter() - started, keys_compared=compared)

        jobs.append(Job(run=run, serves=(pending,)))
    return jobs
