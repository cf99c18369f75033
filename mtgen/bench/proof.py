"""Is what a contender delivers right? Rows, values and pictures of batches against what they should be.

Before anything is timed a contender delivers two epochs of a small share of the rows, and every value is compared
(`Proof`). While it is timed a few numbers of each batch are kept (`Glances`) and compared when the clock has stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mtgen.bench.marks import grab_marks, read_marks
from mtgen.bench.values import values
from mtgen.bench.work import Delivered, Work
from mtgen.errors import AlignmentError

MOST_DIFFERENCE = 20.0
"""Largest mean difference of pixels, in levels of 256, to the antialiased picture. Filters differ by less than ten;
colours in another order, or another picture, by more than thirty."""


def middle_of(dtype: np.dtype) -> float:
    """Value between black and white: pictures are 0 to 255, or from -1 to 1 where they are float."""
    return 0.0 if dtype.kind == "f" else 127.5


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the proof found.

    Args:
        num_rows: rows compared, all epochs together.
        difference: mean difference to the antialiased picture in levels of 256; None without pictures.
        shuffled: whether the epochs came in different orders.
    """

    num_rows: int
    difference: float | None
    shuffled: bool


class Proof:
    """Compares epochs of a contender with what they should be. One thread.

    Args:
        work: what the contender was given.
        reference: gives the antialiased picture of a row, uint8 `(height, width, 3)`.
        ordered: the contender does not shuffle, and says so.
    """

    def __init__(self, work: Work, reference: Callable[[int], np.ndarray], *, ordered: bool = False) -> None:
        self._work, self._reference, self._ordered = work, reference, ordered
        self._orders: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self._differences: list[float] = []

    def add(self, batch: Delivered) -> None:
        """One batch of the epoch under way.

        Raises:
            AlignmentError: a value or a picture that is not of the row that it came with.
        """
        rows = np.asarray(batch.rows).reshape(-1).astype(np.int64)
        if not self._ordered and len(rows) != self._work.batch_size:
            raise AlignmentError(f"a batch of {len(rows)} rows, expected {self._work.batch_size}")
        if batch.features is not None:
            self._compare_features(rows, np.asarray(batch.features))
        if batch.pictures is not None:
            self._compare_pictures(rows, np.asarray(batch.pictures))
        self._rows.append(rows)

    def _compare_features(self, rows: np.ndarray, found: np.ndarray) -> None:
        work = self._work
        expected = values(rows, work.num_columns, sparsity=work.sparsity, seed=work.seed)
        if found.shape != expected.shape or found.dtype != expected.dtype:
            raise AlignmentError(f"features of {found.shape} {found.dtype}, expected {expected.shape} {expected.dtype}")
        wrong = (found != expected).any(axis=1)
        if wrong.any():
            slot = int(wrong.argmax())
            raise AlignmentError(
                f"{int(wrong.sum())} of {len(rows)} feature rows are wrong: beside row {rows[slot]} stands row "
                f"{found[slot, 0]:g}",
                row=int(rows[slot]),
            )

    def _compare_pictures(self, rows: np.ndarray, found: np.ndarray) -> None:
        shape = (len(rows), self._work.size, self._work.size, 3)
        if found.shape != shape:
            raise AlignmentError(f"pictures of {found.shape}, expected {shape}")
        check_marks(rows, grab_marks(found))
        for row, picture in zip(rows[:4], found[:4], strict=True):
            levels = picture.astype(np.float64)
            if picture.dtype.kind == "f":
                levels = (levels + 1) * 127.5
            self._differences.append(float(np.abs(levels - self._reference(int(row))).mean()))
            if self._differences[-1] > MOST_DIFFERENCE:
                raise AlignmentError(
                    f"the picture differs from its file by {self._differences[-1]:.1f} levels on average; filters "
                    f"differ by less than {MOST_DIFFERENCE:g}",
                    row=int(row),
                )

    def end_epoch(self) -> None:
        """The epoch is over.

        Raises:
            AlignmentError: rows that are missing, came twice, or were not asked for.
        """
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.int64)
        check_epoch(rows, self._work.wanted)
        self._orders.append(rows)
        self._rows = []

    def finish(self) -> Checked:
        """The verdict.

        Raises:
            AlignmentError: epochs in the same order, or in the order of the file.
        """
        orders = self._orders
        shuffled = all(not np.array_equal(one, np.sort(one)) for one in orders)
        shuffled = shuffled and all(not np.array_equal(one, orders[0]) for one in orders[1:])
        if not shuffled and not self._ordered:
            raise AlignmentError("the rows are not shuffled anew in each epoch")
        found = self._differences
        return Checked(
            num_rows=sum(map(len, orders)),
            difference=float(np.mean(found)) if found else None,
            shuffled=shuffled,
        )


class Glances:
    """A few numbers of every batch, quick to take, compared afterwards. One thread.

    Args:
        work: what the contender was given.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
        self._epochs: dict[int, list[np.ndarray]] = {}
        self._pending: list[tuple[np.ndarray, np.ndarray | None, np.ndarray | None]] = []

    def add(self, epoch: int, batch: Delivered) -> int:
        """Keep a few numbers; returns how many rows the batch has."""
        rows = np.array(batch.rows, np.int64)
        features = None if batch.features is None else np.array(batch.features[:, 0])
        marks = None if batch.pictures is None else grab_marks(batch.pictures)
        self._epochs.setdefault(epoch, []).append(rows)
        self._pending.append((rows, features, marks))
        return len(rows)

    def check(self) -> None:
        """Compare what was kept since the last time.

        Raises:
            AlignmentError: a batch whose parts belong to different rows, or an epoch with a row twice.
        """
        for rows, features, marks in self._pending:
            if features is not None and not np.array_equal(features, rows):
                raise AlignmentError("feature rows stand beside other rows while the clock runs")
            if marks is not None:
                check_marks(rows, marks)
        self._pending = []
        for epoch in list(self._epochs):
            rows = np.concatenate(self._epochs[epoch])
            if epoch < max(self._epochs):
                check_epoch(rows, self._work.wanted)
                del self._epochs[epoch]
            elif len(np.unique(rows)) != len(rows):
                raise AlignmentError(f"{len(rows) - len(np.unique(rows))} rows came twice in one epoch")


def check_marks(rows: np.ndarray, grabbed: np.ndarray) -> None:
    """Refuse pictures whose marks tell other rows.

    Raises:
        AlignmentError: names the first one.
    """
    told = read_marks(grabbed, middle=middle_of(grabbed.dtype))
    wrong = told != rows
    if wrong.any():
        slot = int(wrong.argmax())
        seen = f"the picture of row {told[slot]}" if told[slot] >= 0 else "a picture without a mark"
        raise AlignmentError(
            f"{int(wrong.sum())} of {len(rows)} pictures are wrong: beside row {rows[slot]} stands {seen}",
            row=int(rows[slot]),
        )


def check_epoch(rows: np.ndarray, wanted: np.ndarray) -> None:
    """Refuse an epoch that does not hold each wanted row exactly once.

    Raises:
        AlignmentError: says how many are missing, came twice, or were not wanted.
    """
    once, counts = np.unique(rows, return_counts=True)
    missing = len(np.setdiff1d(wanted, once))
    strange = len(np.setdiff1d(once, wanted))
    twice = int((counts > 1).sum())
    if missing or strange or twice:
        raise AlignmentError(
            f"an epoch of {len(rows)} rows, where {missing} of {len(wanted)} are missing, {twice} came more than once "
            f"and {strange} were not asked for"
        )
