"""Read an order log: its header, the dataset's rows, and the records that count. Writes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from mtgen.audit import Coverage, EpochDigest, step_digest
from mtgen.errors import StateError, StoreError
from mtgen.files import open_plain
from mtgen.order_records import VERSION, Line, Resume, Step, batching_of, checked, resume_of, walk
from mtgen.plan import Batching
from mtgen.table import digest_values

LOG_FILE = "order.jsonl"
"""Name of the log in a run's folder."""

ROWS_FILE = "rows.npy"
"""Name of the dataset's list of rows beside it, where that is not 0 to n-1."""


Read = TypeVar("Read")


class Log:
    """The records of a log. One thread; reads the file anew for each walk, and holds none of it in memory.

    Args:
        folder: of the run.

    Attributes:
        header: the first record.
        batching: as the header says.
        resumes: in order.
        num_bytes: length of the lines whose checksum fits; more than that is a torn last line.
        num_lines: how many they are.
        check: checksum of the last.

    Raises:
        StateError: there is no log, or it is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / LOG_FILE
        if not self.path.is_file():
            raise StateError(
                f"there is no order log: expected a file {LOG_FILE} in a run's folder, as loader.order_log(x, folder) "
                "writes it",
                path=str(self.folder),
            )
        self.num_bytes = self.num_lines = self.check = 0
        self.resumes: list[Resume] = []
        for line in self.lines():
            if not self.num_lines:
                self.header = self._header(line)
                self.batching = self._guarded(line, lambda: batching_of(self._settings, self.header["size"]))
            elif line.resumes:
                self.resumes.append(self._resume(line))
            self.num_bytes += len(line.content)
            self.num_lines, self.check = line.number, line.check
        if not self.num_lines:
            raise StateError("the order log is empty, expected a header in its first line", path=str(self.path))

    @property
    def _settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.header["settings"]
        return settings

    def _header(self, line: Line) -> dict[str, Any]:
        header: dict[str, Any] = self._guarded(line, line.record)
        if header.get("order_log") != VERSION:
            raise StateError(
                f"the first line is no header of an order log of version {VERSION}, received {header!r:.100}; read it "
                "with the mtgen that wrote it",
                path=str(self.path),
            )
        return header

    def _resume(self, line: Line) -> Resume:
        return self._guarded(line, lambda: resume_of(line, self._settings, self.header["size"]))

    def _guarded(self, line: Line, read: Callable[[], Read]) -> Read:
        try:
            return read()
        except StateError as error:
            raise error.at(path=str(self.path)) from error.__cause__
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise StateError(
                f"line {line.number} of the order log is no record of version {VERSION}: {error!r}", path=str(self.path)
            ) from error

    def lines(self) -> Iterator[Line]:
        """All lines, header first.

        Raises:
            StateError: a damaged line.
            StoreError: the file cannot be read.
        """
        try:
            with open_plain(self.path) as file:
                yield from checked(file)
        except StateError as error:
            raise error.at(path=str(self.path)) from None
        except OSError as error:
            raise StoreError(f"the order log cannot be read ({error}): check rights", path=str(self.path)) from error

    def steps(self) -> Iterator[Step]:
        """Step and epoch records, each with whether it was lost."""
        lines = self.lines()
        next(lines)
        yield from walk(lines, self.batching, self.resumes)

    @property
    def last_batching(self) -> Batching:
        """With the shard that wrote last."""
        return self.resumes[-1].batching if self.resumes else self.batching

    def rows(self) -> np.ndarray:
        """The dataset's list of rows, int64.

        Raises:
            StateError: the file of rows is missing or another one.
            StoreError: it cannot be read.
        """
        path = self.folder / ROWS_FILE
        num_rows, named = self.header["num_rows"], self.header["rows_file"]
        try:
            rows = _loaded(path) if named else np.arange(num_rows)
        except (FileNotFoundError, IsADirectoryError, ValueError, TypeError, EOFError) as error:
            raise StateError(f"the dataset's rows cannot be read: {error}", path=str(path)) from error
        except OSError as error:
            raise StoreError(f"the dataset's rows cannot be read ({error}): check rights", path=str(path)) from error
        digest = self.header["dataset"]["rows"]
        if rows.shape != (num_rows,) or rows.dtype != np.int64 or digest_values(pd.Index(rows)) != digest:
            raise StateError(
                f"expected the {num_rows} rows of the run (digest {digest}), received {rows.dtype} of shape "
                f"{rows.shape} with another digest; is it the file of another run?",
                path=str(path if named else self.path),
            )
        return rows


def _loaded(path: Path) -> np.ndarray:
    with open_plain(path) as file:
        rows: np.ndarray = np.load(file, allow_pickle=False)
    return rows


def delivered(record: Mapping[str, Any], planned: np.ndarray | None) -> np.ndarray:
    """The rows that a step record says were delivered, int64 `(slots,)`. Pure.

    Args:
        record: of a step.
        planned: its slots by the plan; None where nobody knows, then the record holds the rows itself.
    """
    if planned is None:
        return np.array(record["slots"], np.int64)
    rows = planned.copy()
    for slot, _, row in record.get("replaced", ()):
        rows[slot] = row
    return rows


class Tally:
    """What was delivered in one epoch, step by step; one thread."""

    def __init__(self, rows: np.ndarray) -> None:
        self.coverage, self.digest = Coverage(rows), EpochDigest()
        self.num_steps = self.num_rows = 0

    def add(self, rows: np.ndarray) -> None:
        """Add the slots of the next step."""
        self.coverage.add(rows)
        self.digest.add(step_digest(rows))
        self.num_steps += 1
        self.num_rows += int((rows >= 0).sum())

    def record(self, epoch: int) -> dict[str, Any]:
        """The record of an epoch."""
        return {
            "epoch": epoch,
            "steps": self.num_steps,
            "rows": self.num_rows,
            "digest": self.digest.hex(),
            "counts": [list(pair) for pair in self.coverage.counts().items()],
        }
