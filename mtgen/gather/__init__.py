"""Fill batches: read plans run into buffers, pictures decoded into their slots.

`window_jobs` cuts a window of upcoming batches into jobs that threads run side by side; the plain way to the same
bytes, one sample after the other, is `mtgen.sample.fetch`. Buffers are made with the pending batches and filled below;
every hop carries the slot, so nothing is sorted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtgen.config import OnError
from mtgen.gather.columns import assemble_job
from mtgen.gather.costs import chunked
from mtgen.gather.pictures import picture_jobs
from mtgen.gather.reader import Reader
from mtgen.gather.rows import piece_jobs, row_jobs
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.metrics import Recorder
from mtgen.pending import Job, Pending
from mtgen.picture import Decoder
from mtgen.room import Room

__all__ = ["window_jobs"]


def window_jobs(
    pendings: Sequence[Pending],
    recorder: Recorder,
    on_error: OnError | None = None,
    room: Room | None = None,
    decoder: Decoder | None = None,
) -> list[Job]:
    """The jobs that fill a window of batches, in the order in which they should start.

    Stores that are read in chunks come first, planned over the whole window so that each chunk is decompressed once;
    then, batch by batch, rows that can be read alone, columns, and pictures in small groups.
    """
    fields = pendings[0].fields
    reader = Reader(recorder, on_error or OnError(), room, decoder)
    jobs: list[Job] = []
    for number, one in enumerate(fields):
        if chunked(one):
            jobs += piece_jobs(number, one.bound, pendings, reader)
    for pending in pendings:
        jobs.append(assemble_job(pending, recorder))
        for number, one in enumerate(fields):
            if isinstance(one.bound, BoundRows) and not chunked(one):
                jobs += row_jobs(number, one, pending, reader)
            elif isinstance(one.bound, BoundImages):
                jobs += picture_jobs(number, one.bound, pending, reader)
    for job in jobs:
        for pending in job.serves:
            pending.expect(1)
    return jobs
