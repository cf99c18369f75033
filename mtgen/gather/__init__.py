"""Fill batches: read plans run into buffers, pictures decoded into their slots.

`window_jobs` cuts a window of upcoming batches into jobs that threads run side by side; the plain way to the same
bytes, one sample after the other, is `mtgen.sample.fetch`. Buffers are made with the pending batches and filled below;
every hop carries the slot, so nothing is sorted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence

from mtgen.config import OnError
from mtgen.gather.chunks import ChunkCache
from mtgen.gather.columns import assemble_job
from mtgen.gather.costs import staged
from mtgen.gather.patches import patch_jobs
from mtgen.gather.pictures import picture_jobs
from mtgen.gather.reader import Reader
from mtgen.gather.rows import row_jobs
from mtgen.gather.stage import Stage
from mtgen.gather.stager import Stager
from mtgen.inputs.bound_patches import BoundPatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.keep_plan import NOTHING
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
    stager: Stager | None = None,
) -> list[Job]:
    """The jobs that fill some batches, in the order in which they should start.

    Stores that are read in chunks come first, planned over a window so that each chunk is decompressed once: the
    window of the stager, or these batches. Then, batch by batch, rows that can be read alone, columns, and pictures in
    small groups.

    Args:
        pendings: new batches.
        recorder: counts.
        on_error: how often reads are tried again.
        room: for pictures at full size.
        decoder: who decodes pictures in the thread's place.
        stager: gathers ahead for one stream; the batches must be its next.
    """
    fields = pendings[0].fields
    reader = Reader(recorder, on_error or OnError(), room, decoder)
    jobs: list[Job] = []
    for pending in pendings:
        jobs.append(assemble_job(pending, recorder))
        for number, one in enumerate(fields):
            if isinstance(one.bound, BoundRows) and not staged(one):
                jobs += row_jobs(number, one, pending, reader)
            elif isinstance(one.bound, BoundImages):
                jobs += picture_jobs(number, one.bound, pending, reader)
            elif isinstance(one.bound, BoundPatches):
                jobs += patch_jobs(number, one.bound, pending, reader)
    for job in jobs:
        for served in job.serves:
            served.expect(1)
    if stager is not None:
        return [job for pending in pendings for job in stager.jobs(pending)] + jobs
    return _stage_jobs(pendings, reader) + jobs


def _stage_jobs(pendings: Sequence[Pending], reader: Reader) -> list[Job]:
    """Those of a window of these batches only."""
    fields = [(number, one) for number, one in enumerate(pendings[0].fields) if staged(one)]
    if not fields:
        return []
    stage = Stage([one.rows for one in pendings], fields, [(ChunkCache(0), NOTHING)] * len(fields), reader)
    jobs = stage.jobs()
    for index, pending in enumerate(pendings):
        jobs += stage.serve(pending, index)
    return jobs
