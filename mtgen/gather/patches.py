"""Jobs that cut patches: what several slots are cut from is read once for all of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

import numpy as np

from mtgen.cut import Reading, cut
from mtgen.errors import named
from mtgen.gather.pictures import GROUP_PICTURES
from mtgen.gather.reader import Reader
from mtgen.gather.rows import PIECE_BYTES
from mtgen.inputs.bound_patches import BoundPatches, PicturePatches
from mtgen.pending import Job, Pending
from mtgen.waits import Note


def patch_jobs(number: int, bound: BoundPatches, pending: Pending, reader: Reader) -> list[Job]:
    """Jobs that fill one field of one batch with patches, of `GROUP_PICTURES` pictures each, or `PIECE_BYTES`."""
    jobs = []
    for groups in _work(bound, pending.rows):

        def run(note: Note, groups: list[np.ndarray] = groups) -> None:
            _fill(number, bound, pending, groups, reader, note)

        jobs.append(Job(run=run, serves=(pending,)))
    return jobs


def _work(bound: BoundPatches, rows: np.ndarray) -> list[list[np.ndarray]]:
    """For each job, the slots of each group of patches that are cut together."""
    if not len(rows):
        return []
    codes = bound.groups(rows)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    if isinstance(bound, PicturePatches):
        return [groups[start : start + GROUP_PICTURES] for start in range(0, len(groups), GROUP_PICTURES)]
    most = max(1, PIECE_BYTES // max(1, bound.spec.row_bytes))
    jobs: list[list[np.ndarray]] = [[]]
    for group in groups:
        for start in range(0, len(group), most):
            part = group[start : start + most]
            if jobs[-1] and sum(map(len, jobs[-1])) + len(part) > most:
                jobs.append([])
            jobs[-1].append(part)
    return jobs


def _fill(
    number: int, bound: BoundPatches, pending: Pending, groups: Sequence[np.ndarray], reader: Reader, note: Note
) -> None:
    reading = Reading(retry=reader.retry, room=reader.room, note=note, facts=Counter())
    started = time.perf_counter()
    for slots in groups:
        try:
            _cut(number, bound, pending, slots, reading)
        except Exception as error:
            if len(slots) == 1:
                pending.fail(int(slots[0]), number, named(error, bound.path(int(pending.rows[slots[0]]))))
                continue
            for slot in slots.tolist():
                try:
                    _cut(number, bound, pending, np.array([slot]), reading)
                except Exception as own:
                    pending.fail(slot, number, named(own, bound.path(int(pending.rows[slot]))))
    stage = "decode" if isinstance(bound, PicturePatches) else "gather"
    reader.recorder.add_stage(stage, time.perf_counter() - started)
    reader.recorder.add_facts(+reading.facts)


def _cut(number: int, bound: BoundPatches, pending: Pending, slots: np.ndarray, reading: Reading) -> None:
    outs = [pending.buffers[number][slot] for slot in slots.tolist()]
    starts = np.empty((len(slots), bound.num_axes), np.int64)
    cut(bound, pending.rows[slots], pending.draws.of(slots), outs, starts, reading)
    pending.places[number][slots] = starts
