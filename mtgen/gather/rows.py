"""Jobs that gather rows that can be read alone, batch by batch; and how bad rows are told from good ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from mtgen import plan
from mtgen.errors import ChangedError, StoreError, named
from mtgen.gather.reader import Reader
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field, Job, Pending
from mtgen.waits import Note

PIECE_BYTES = 4 << 20
"""Decompressed bytes one job takes on: some milliseconds of work, so threads stay even and scratch stays small."""


def fetch_apart(bound: BoundRows, rows: np.ndarray, values: np.ndarray) -> dict[int, BaseException]:
    """Read rows chunk by chunk, so that one that cannot be read spoils no other: place -> what is wrong with it."""
    bad: dict[int, BaseException] = {}
    for places in plan.pieces(bound.store_rows(rows), bound.chunk_rows, 1):
        for place, error in _fetch_chunk(bound, rows, places, values):
            if error is not None:
                bad[place] = named(error, bound.store.location)
    return bad


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
    num_groups = -(-len(pending.rows) * one.spec.row_bytes // PIECE_BYTES) or 1
    group = max(1, -(-len(pending.rows) // num_groups))
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
