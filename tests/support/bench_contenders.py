"""Contenders that do something wrong, for the benchmark to find out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from mtgen.bench.values import values
from mtgen.bench.work import Delivered, Epochs, Work


@contextmanager
def computed(work: Work, wrong: str = "") -> Iterator[Epochs]:
    """Right batches, computed; or wrong in the way that is asked for."""
    print("a library that prints to standard output")
    if wrong == "refuse":
        raise ValueError("it cannot be opened")
    if wrong == "die":
        print("its last words", file=sys.stderr, flush=True)
        os._exit(3)
    if wrong == "hang":
        threading.Event().wait(600)

    def epochs(epoch: int) -> Iterator[Delivered]:
        late = work.rows is None  # only once the proof is over
        for step, rows in enumerate(work.steps(epoch)):
            shifted = rows + 1 if wrong == "shift" or (wrong == "shift later" and late) else rows
            told = np.full_like(rows, rows[0]) if wrong == "repeat later" and late and step else rows
            yield Delivered(told, values(shifted, work.num_columns, sparsity=work.sparsity, seed=work.seed))

    yield epochs
