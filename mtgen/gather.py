"""Fill batches: read plans run into buffers, pictures decoded into their slots.

`window_jobs` cuts a window of upcoming batches into jobs that threads run side by side; the plain way to the same
bytes, one sample after the other, is `mtgen.sample.fetch`. Buffers are made with the pending batches and filled below;
every hop carries the slot, so nothing is sorted afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import numpy as np

from mtgen import plan
from mtgen.config import OnError
from mtgen.decode import decode
from mtgen.encoded import extension_mismatch
from mtgen.errors import ChangedError, DecodeError, StoreError
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.metrics import Recorder
from mtgen.pending import Field, Job, Pending
from mtgen.retry import retrying
from mtgen.room import Room
from mtgen.sample import named
from mtgen.waits import Note

PIECE_BYTES = 4 << 20
"""Decompressed bytes one job takes on: some milliseconds of work, so threads stay even and scratch stays small."""

GROUP_PICTURES = 8
"""Pictures one job decodes: enough to hide the cost of a hand-over, few enough to spread a batch over all workers."""


def chunked(one: Field) -> bool:
    """Whether the field's rows must be decompressed several at a time."""
    return isinstance(one.bound, BoundRows) and one.bound.chunk_rows > 1


def scratch_bytes(fields: Sequence[Field]) -> int:
    """Bytes one job needs beside the batches, at most: a piece of a window, the chunk it is cut from, and the same
    chunk compressed; for its keys likewise.
    """
    return max((_piece_bytes(one.bound, one.spec.row_bytes) for one in fields if chunked(one)), default=0)


def _piece_bytes(bound: BoundRows, row_bytes: int) -> int:
    chunk = bound.chunk_rows * row_bytes
    keys = bound.store.keys if bound.compares_keys else None
    return max(PIECE_BYTES, chunk) + 2 * chunk + (2 * keys.chunk_rows * keys.dtype.itemsize if keys is not None else 0)


def cache_bytes(fields: Sequence[Field]) -> int:
    """Bytes that the fields' stores keep for themselves."""
    stores = {id(one.bound.store): one.bound.store for one in fields if isinstance(one.bound, BoundRows)}
    keys = {id(store.keys): store.keys for store in stores.values() if store.keys is not None}
    return sum(getattr(store, "cache_bytes", 0) for store in (stores | keys).values())


def decodes(fields: Sequence[Field]) -> bool:
    """Whether there are pictures to decode."""
    return any(isinstance(one.bound, BoundImages) for one in fields)


def window_jobs(
    pendings: Sequence[Pending], recorder: Recorder, on_error: OnError | None = None, room: Room | None = None
) -> list[Job]:
    """The jobs that fill a window of batches, in the order in which they should start.

    Stores that are read in chunks come first, planned over the whole window so that each chunk is decompressed once;
    then, batch by batch, rows that can be read alone, columns, and pictures in small groups.
    """
    fields = pendings[0].fields
    reader = _Reader(recorder, on_error or OnError(), room)
    jobs: list[Job] = []
    for number, one in enumerate(fields):
        if chunked(one):
            jobs += _piece_jobs(number, one.bound, pendings, reader)
    for pending in pendings:
        jobs.append(_assemble_job(pending, recorder))
        for number, one in enumerate(fields):
            if isinstance(one.bound, BoundRows) and not chunked(one):
                jobs += _row_jobs(number, one, pending, reader)
            elif isinstance(one.bound, BoundImages):
                jobs += _picture_jobs(number, one.bound, pending, reader)
    for job in jobs:
        for pending in job.serves:
            pending.expect(1)
    return jobs


class _Reader:
    """How jobs read: with retries, counted, and with room for large pictures."""

    def __init__(self, recorder: Recorder, on_error: OnError, room: Room | None) -> None:
        self.recorder, self._on_error, self.room = recorder, on_error, room

    def fetch(self, bound: BoundRows, rows: np.ndarray, out: np.ndarray) -> None:
        retrying(lambda: bound.fetch(rows, out), self._on_error, self.recorder.add_retry)

    def read_bytes(self, bound: BoundImages, row: int, admit: Callable[[int], None] | None) -> bytes:
        return retrying(lambda: bound.read_bytes(row, admit), self._on_error, self.recorder.add_retry)

    def picture(
        self, bound: BoundImages, row: int, path: str, out: np.ndarray, facts: Counter[str], note: Note
    ) -> float:
        """Read and decode a picture; when it was read. A function, so that nothing keeps the file's bytes."""
        data = b""
        with nullcontext() if self.room is None else self.room.file() as admit:
            try:
                note(f"read {path}")
                data = self.read_bytes(bound, row, admit)
                middle = time.perf_counter()
                note(f"decode {path}")
                decode(data, bound.recipe, out, facts, self.room)
                facts["extension_mismatch"] += extension_mismatch(path, data)
            finally:
                del data  # before others may take its room
        return middle


def _piece_jobs(number: int, bound: BoundRows, pendings: Sequence[Pending], reader: _Reader) -> list[Job]:
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
    reader: _Reader,
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


def _row_jobs(number: int, one: Field, pending: Pending, reader: _Reader) -> list[Job]:
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


def _assemble_job(pending: Pending, recorder: Recorder) -> Job:
    def run(note: Note) -> None:
        note("assemble columns")
        started = time.perf_counter()
        for one, buffer in zip(pending.fields, pending.buffers, strict=True):
            if isinstance(one.bound, BoundColumns):
                one.bound.fetch(pending.rows, buffer[: len(pending.rows)])
        recorder.add_stage("assemble", time.perf_counter() - started)

    return Job(run=run, serves=(pending,))


def _picture_jobs(number: int, bound: BoundImages, pending: Pending, reader: _Reader) -> list[Job]:
    jobs = []
    for start in range(0, len(pending.rows), GROUP_PICTURES):
        slots = range(start, min(start + GROUP_PICTURES, len(pending.rows)))

        def run(note: Note, slots: range = slots) -> None:
            read_seconds = decode_seconds = 0.0
            facts: Counter[str] = Counter()
            for slot in slots:
                row, path = int(pending.rows[slot]), None
                started = middle = time.perf_counter()
                try:
                    path = bound.path(row)
                    middle = reader.picture(bound, row, path, pending.buffers[number][slot], facts, note)
                except Exception as error:
                    pending.fail(slot, number, named(error, path, DecodeError))
                read_seconds += middle - started
                decode_seconds += time.perf_counter() - middle
            reader.recorder.add_stage("read", read_seconds)
            reader.recorder.add_stage("decode", decode_seconds)
            reader.recorder.add_facts(+facts)

        jobs.append(Job(run=run, serves=(pending,)))
    return jobs
