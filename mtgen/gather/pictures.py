"""Jobs that read and decode pictures, a few at a time, or copy them out of a cache, many at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np

from mtgen.cache.bound import BoundCache
from mtgen.cache.layout import Identity
from mtgen.errors import DecodeError, named
from mtgen.gather.reader import Reader
from mtgen.inputs.images import BoundImages
from mtgen.pending import Job, Pending
from mtgen.waits import Note

GROUP_PICTURES = 8
"""Pictures one job decodes: enough to hide the cost of a hand-over, few enough to spread a batch over all workers."""

CACHED_BYTES = 8 << 20
"""Bytes of pictures that one job copies out of a cache: about a millisecond of work."""


def picture_jobs(number: int, bound: BoundImages, pending: Pending, reader: Reader) -> list[Job]:
    """Jobs that fill one field of one batch with pictures, `GROUP_PICTURES` each, or `CACHED_BYTES` out of a cache."""
    jobs = []
    for slots in _groups(bound, pending.rows):

        def run(note: Note, slots: np.ndarray = slots) -> None:
            def fail(slot: int, path: str | None, error: Exception) -> None:
                pending.fail(slot, number, named(error, path, DecodeError))

            fill_slots(bound, pending.rows, slots, pending.buffers[number], reader, note, fail)

        jobs.append(Job(run=run, serves=(pending,)))
    return jobs


def _groups(bound: BoundImages, rows: np.ndarray) -> list[np.ndarray]:
    """The slots of a batch by job."""
    has = np.zeros(len(rows), bool) if bound.cache is None else bound.cache.has(rows)
    sizes = {False: GROUP_PICTURES, True: max(1, CACHED_BYTES // bound.spec.row_bytes)}
    groups = []
    for cached, size in sizes.items():
        slots = np.flatnonzero(has == cached)
        groups += [slots[start : start + size] for start in range(0, len(slots), size)]
    return groups


def fill_slots(
    bound: BoundImages,
    rows: np.ndarray,
    slots: np.ndarray,
    buffer: np.ndarray,
    reader: Reader,
    note: Note,
    fail: Callable[[int, str | None, Exception], None],
) -> None:
    """Fill slots of a buffer with their rows' pictures: out of the cache what it has, the rest decoded and stored.

    Args:
        bound: the input.
        rows: int64, row of each slot of the buffer.
        slots: int64, those to fill.
        buffer: `(num_slots, *spec.shape)`, contiguous; the caller owns it.
        reader: reads and counts.
        note: told what is done.
        fail: called with slot, path and error of a picture that cannot be read.
    """
    cache = bound.cache
    files: dict[int, Identity] | None = None
    if cache is not None:
        files = {}
        slots = _from_cache(cache, rows, slots, buffer, reader, note)
    read_seconds = decode_seconds = 0.0
    facts: Counter[str] = Counter()
    decoded: list[int] = []
    if reader.decoder is not None and len(slots):
        numbers, slots = slots.tolist(), slots[:0]  # times and facts are counted there
        errors = reader.decoder.fill(bound, rows[numbers], [buffer[slot] for slot in numbers], note, files)
        for slot, error in zip(numbers, errors, strict=True):
            if error is None:
                decoded.append(slot)
            else:
                fail(slot, error.path, error)
    for slot in slots.tolist():
        row, path = int(rows[slot]), None
        started = middle = time.perf_counter()
        try:
            path = bound.path(row)
            middle = reader.picture(bound, row, path, buffer[slot], facts, note, files)
            decoded.append(slot)
        except Exception as error:
            fail(slot, path, error)
        read_seconds += middle - started
        decode_seconds += time.perf_counter() - middle
    if len(slots):
        reader.recorder.add_stage("read", read_seconds)
        reader.recorder.add_stage("decode", decode_seconds)
        reader.recorder.add_facts(+facts)
    if cache is not None and files is not None and decoded:
        _into_cache(cache, rows, decoded, buffer, files, reader, note)


def _from_cache(
    cache: BoundCache, rows: np.ndarray, slots: np.ndarray, buffer: np.ndarray, reader: Reader, note: Note
) -> np.ndarray:
    """Take what the cache has; the slots that are left."""
    started = time.perf_counter()
    missed, num_damaged = cache.fill(rows[slots], slots, buffer, note)
    reader.recorder.add_cached(hits=len(slots) - len(missed), misses=len(missed), damaged=num_damaged)
    if len(missed) < len(slots):
        reader.recorder.add_stage("cache", time.perf_counter() - started)
    return missed


def _into_cache(
    cache: BoundCache,
    rows: np.ndarray,
    slots: list[int],
    buffer: np.ndarray,
    files: dict[int, Identity],
    reader: Reader,
    note: Note,
) -> None:
    started = time.perf_counter()
    note(f"store {len(slots)} pictures in {cache.settings.folder}")
    which = [int(rows[slot]) for slot in slots]
    reader.recorder.add_cached(stored=cache.store(which, slots, buffer, [files[row] for row in which]))
    reader.recorder.add_stage("store", time.perf_counter() - started)
