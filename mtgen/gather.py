"""Fill batches: read plans run into buffers, pictures decoded into their slots.

Two ways to the same bytes: `fetch` reads one sample after the other and is what the tests compare with; `window_jobs`
cuts a window of upcoming batches into jobs that threads run side by side. Buffers are made here and filled below;
every hop carries the slot, so nothing is sorted afterwards.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from mtgen import plan
from mtgen.batch import Batch
from mtgen.decode import decode
from mtgen.encoded import extension_mismatch
from mtgen.errors import DecodeError, MtgenError, StoreError
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.metrics import Recorder
from mtgen.pending import Field, Job, Note, Pending

PIECE_BYTES = 4 << 20
"""Decompressed bytes one job takes on: some milliseconds of work, so threads stay even and scratch stays small."""

GROUP_PICTURES = 8
"""Pictures one job decodes: enough to hide the cost of a hand-over, few enough to spread a batch over all workers."""


def chunked(one: Field) -> bool:
    """Whether the field's rows must be decompressed several at a time."""
    return isinstance(one.bound, BoundRows) and one.bound.chunk_rows > 1


def scratch_bytes(fields: Sequence[Field]) -> int:
    """Bytes one job needs beside the batches, at most: a piece of a window and the chunk it is cut from."""
    chunks = [one.bound.chunk_rows * one.spec.row_bytes for one in fields if chunked(one)]
    return max((max(PIECE_BYTES, chunk) + chunk for chunk in chunks), default=0)


def fetch(fields: Sequence[Field], rows: np.ndarray) -> Batch:
    """Read the samples of `rows` one after the other in the caller's thread.

    Raises:
        The first error in the order of rows, then of fields.
    """
    pending = Pending(fields, rows, len(rows), None, None)
    for slot, row in enumerate(rows):
        for one, buffer in zip(fields, pending.buffers, strict=True):
            try:
                if isinstance(one.bound, BoundImages):
                    decode(one.bound.read_bytes(int(row)), one.bound.recipe, buffer[slot], None)
                else:
                    one.bound.fetch(rows[slot : slot + 1], buffer[slot : slot + 1])
            except MtgenError as error:
                raise error.at(row=int(row), path=_path(one, int(row))) from error.__cause__
            except Exception as error:
                kind = DecodeError if isinstance(one.bound, BoundImages) else StoreError
                raise _named(error, _path(one, int(row)), kind).at(row=int(row)) from error
    return pending.batch()


def window_jobs(pendings: Sequence[Pending], recorder: Recorder) -> list[Job]:
    """The jobs that fill a window of batches, in the order in which they should start.

    Stores that are read in chunks come first, planned over the whole window so that each chunk is decompressed once;
    then, batch by batch, rows that can be read alone, columns, and pictures in small groups.
    """
    fields = pendings[0].fields
    jobs: list[Job] = []
    for number, one in enumerate(fields):
        if chunked(one):
            jobs += _piece_jobs(number, one.bound, pendings, recorder)
    for pending in pendings:
        jobs.append(_assemble_job(pending, recorder))
        for number, one in enumerate(fields):
            if isinstance(one.bound, BoundRows) and not chunked(one):
                jobs += _row_jobs(number, one, pending, recorder)
            elif isinstance(one.bound, BoundImages):
                jobs += _picture_jobs(number, one.bound, pending, recorder)
    for pending in pendings:
        pending.count_bad = recorder.add_bad
    for job in jobs:
        for pending in job.serves:
            pending.expect(1)
    return jobs


def _piece_jobs(number: int, bound: BoundRows, pendings: Sequence[Pending], recorder: Recorder) -> list[Job]:
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
            _gather_piece(number, bound, pendings, rows[piece], owners[piece], slots[piece])
            compared = len(piece) if bound.compares_keys else 0
            recorder.add_stage("gather", time.perf_counter() - started, keys_compared=compared)

        jobs.append(Job(run=run, serves=served))
    return jobs


def _gather_piece(
    number: int,
    bound: BoundRows,
    pendings: Sequence[Pending],
    rows: np.ndarray,
    owners: np.ndarray,
    slots: np.ndarray,
) -> None:
    values = bound.spec.empty(len(rows))
    try:
        bound.fetch(rows, values)
        readable = np.ones(len(rows), bool)
    except Exception:
        # Chunk by chunk, so that only the batches with a bad row fail.
        readable = np.zeros(len(rows), bool)
        for places in plan.pieces(bound.store_rows(rows), bound.chunk_rows, 1):
            for place, error in _fetch_chunk(bound, rows, places, values):
                if error is None:
                    readable[place] = True
                else:
                    pendings[owners[place]].fail(int(slots[place]), number, _named(error, bound.store.location))
    for owner in np.unique(owners[readable]):
        mine = readable & (owners == owner)
        pendings[owner].buffers[number][slots[mine]] = values[mine]


def _fetch_chunk(
    bound: BoundRows, rows: np.ndarray, places: np.ndarray, values: np.ndarray
) -> Iterator[tuple[int, Exception | None]]:
    """Read the rows at some places, all of one chunk, into those places; yields each place with its error, if any.

    A chunk that cannot be read is not asked for once more per row: over a network that could take as many time-outs.
    """
    found = bound.spec.empty(len(places))
    try:
        bound.fetch(rows[places], found)
    except StoreError as error:
        yield from ((int(place), error) for place in places)
        return
    except Exception:
        for place in places:
            try:
                bound.fetch(rows[place : place + 1], values[place : place + 1])
            except Exception as error:
                yield int(place), error
            else:
                yield int(place), None
        return
    values[places] = found
    yield from ((int(place), None) for place in places)


def _row_jobs(number: int, one: Field, pending: Pending, recorder: Recorder) -> list[Job]:
    bound: BoundRows = one.bound
    group = max(1, PIECE_BYTES // max(1, one.spec.row_bytes))
    jobs = []
    for start in range(0, len(pending.rows), group):
        slots = slice(start, min(start + group, len(pending.rows)))

        def run(note: Note, slots: slice = slots) -> None:
            note(f"gather {slots.stop - slots.start} rows of {bound.store.location}")
            started = time.perf_counter()
            try:
                bound.fetch(pending.rows[slots], pending.buffers[number][slots])
            except Exception:
                for slot in range(slots.start, slots.stop):
                    try:
                        bound.fetch(pending.rows[slot : slot + 1], pending.buffers[number][slot : slot + 1])
                    except Exception as error:
                        pending.fail(slot, number, _named(error, bound.store.location))
            compared = slots.stop - slots.start if bound.compares_keys else 0
            recorder.add_stage("gather", time.perf_counter() - started, keys_compared=compared)

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


def _picture_jobs(number: int, bound: BoundImages, pending: Pending, recorder: Recorder) -> list[Job]:
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
                    note(f"read {path}")
                    data = bound.read_bytes(row)
                    middle = time.perf_counter()
                    note(f"decode {path}")
                    decode(data, bound.recipe, pending.buffers[number][slot], facts)
                    facts["extension_mismatch"] += extension_mismatch(path, data)
                except Exception as error:
                    pending.fail(slot, number, _named(error, path, DecodeError))
                read_seconds += middle - started
                decode_seconds += time.perf_counter() - middle
            recorder.add_stage("read", read_seconds)
            recorder.add_stage("decode", decode_seconds)
            recorder.add_facts(+facts)

        jobs.append(Job(run=run, serves=(pending,)))
    return jobs


def _named(error: Exception, path: str | None, kind: type[MtgenError] = StoreError) -> MtgenError:
    """The error with its path; one that is not ours is wrapped, because backends may keep nothing but the text."""
    if isinstance(error, MtgenError):
        return error.at(path=path)
    wrapped = kind(f"{type(error).__name__}: {error}", path=path)
    wrapped.__cause__ = error
    return wrapped


def _path(one: Field, row: int) -> str | None:
    if isinstance(one.bound, BoundImages):
        return one.bound.path(row)
    return one.bound.store.location if isinstance(one.bound, BoundRows) else None
