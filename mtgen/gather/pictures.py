"""Jobs that read and decode pictures, a few at a time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from mtgen.errors import DecodeError, named
from mtgen.gather.reader import Reader
from mtgen.inputs.images import BoundImages
from mtgen.pending import Job, Pending
from mtgen.picture import Decoder
from mtgen.waits import Note

GROUP_PICTURES = 8
"""Pictures one job decodes: enough to hide the cost of a hand-over, few enough to spread a batch over all workers."""


def picture_jobs(number: int, bound: BoundImages, pending: Pending, reader: Reader) -> list[Job]:
    """Jobs that fill one field of one batch with pictures, `GROUP_PICTURES` each."""
    jobs = []
    for start in range(0, len(pending.rows), GROUP_PICTURES):
        slots = range(start, min(start + GROUP_PICTURES, len(pending.rows)))

        def run(note: Note, slots: range = slots) -> None:
            if reader.decoder is not None:
                _fill(reader.decoder, number, bound, pending, slots, note)
                return
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


def _fill(
    decoder: Decoder, number: int, bound: BoundImages, pending: Pending, slots: Sequence[int], note: Note
) -> None:
    """Have some slots filled by somebody else."""
    outs = [pending.buffers[number][slot] for slot in slots]
    for slot, error in zip(slots, decoder.fill(bound, pending.rows[slots], outs, note), strict=True):
        if error is not None:
            pending.fail(slot, number, error)
