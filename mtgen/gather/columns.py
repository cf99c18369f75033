"""Jobs that take values out of memory: of the table, and of inputs that are held."""

from __future__ import annotations

import time

from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.held import BoundHeld
from mtgen.metrics import Recorder
from mtgen.pending import Job, Pending
from mtgen.waits import Note


def assemble_job(pending: Pending, recorder: Recorder) -> Job:
    """The job that takes all columns of one batch out of the table, and what is held out of memory."""

    def run(note: Note) -> None:
        note("assemble columns")
        started = time.perf_counter()
        for number, (one, buffer) in enumerate(zip(pending.fields, pending.buffers, strict=True)):
            if isinstance(one.bound, BoundColumns):
                one.bound.fetch(pending.rows, buffer[: len(pending.rows)])
            elif isinstance(one.bound, BoundHeld):
                for slot, error in one.bound.fill(pending.rows, buffer[: len(pending.rows)]).items():
                    pending.fail(slot, number, error)
        recorder.add_stage("assemble", time.perf_counter() - started)

    return Job(run=run, serves=(pending,))
