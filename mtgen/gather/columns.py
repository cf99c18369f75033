"""Jobs that take values out of the table."""

from __future__ import annotations

import time

from mtgen.inputs.columns import BoundColumns
from mtgen.metrics import Recorder
from mtgen.pending import Job, Pending
from mtgen.waits import Note


def assemble_job(pending: Pending, recorder: Recorder) -> Job:
    """The job that takes all columns of one batch out of the table."""

    def run(note: Note) -> None:
        note("assemble columns")
        started = time.perf_counter()
        for one, buffer in zip(pending.fields, pending.buffers, strict=True):
            if isinstance(one.bound, BoundColumns):
                one.bound.fetch(pending.rows, buffer[: len(pending.rows)])
        recorder.add_stage("assemble", time.perf_counter() - started)

    return Job(run=run, serves=(pending,))
