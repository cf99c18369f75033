"""The rows a loader could not read: listed once each, counted against a budget, written to a report."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable
from contextlib import suppress

import pandas as pd

from mtgen.batch import BadSample
from mtgen.config import OnError
from mtgen.errors import BudgetError, StoreError
from mtgen.waits import ProcessTurns

HEADER = ["row", "path", "error", "step"]
_SHOWN = 5
_turns = ProcessTurns("list rows that could not be read")
"""One for all loaders, because several may share a report."""


class Quarantine:
    """Bad rows in the order in which their batches were handed over.

    Any thread. Rows are counted when a batch reaches the consumer, not when a worker stumbles over them: so the same
    batch exceeds the budget whatever is read ahead.

    Args:
        on_error: budget and report file.
        num_rows: rows of the dataset, which a budget in shares refers to.

    Example:
        >>> found = Quarantine(OnError(policy="mask", max_errors=2), num_rows=100)
        >>> found.add([BadSample(row=7, path="a.png", error="cut off", step=0, slot=3)])
        >>> found.frame()
           row   path    error  step
        0    7  a.png  cut off     0
    """

    def __init__(self, on_error: OnError, num_rows: int) -> None:
        self._on_error, self._num_rows = on_error, num_rows
        self._bad: dict[int, BadSample] = {}
        self._unwritten: list[BadSample] = []

    def add(self, bad: Iterable[BadSample]) -> None:
        """List the bad rows of one batch, those that are new.

        Raises:
            BudgetError: more distinct bad rows than allowed; not with the policy `"raise"`, which stops anyway.
            StoreError: the report cannot be written.
        """
        with _turns.here:
            new = list({one.row: one for one in bad if one.row not in self._bad}.values())
            self._bad.update((one.row, one) for one in new)
            if self._on_error.report is not None:
                # Those that could not be written before come first, and stop the run again if they still cannot be.
                self._unwritten += new
                if self._unwritten:
                    _append(os.fspath(self._on_error.report), self._unwritten)
                self._unwritten = []
            listed = list(self._bad.values())
        if not new:
            return
        allowed = self._on_error.most_bad_rows(self._num_rows)
        if self._on_error.policy != "raise" and len(listed) > allowed:
            shown = "; ".join(f"row {one.row}: {one.error} ({one.path})" for one in listed[-_SHOWN:])
            raise BudgetError(
                f"{len(listed)} rows could not be read, max_errors={self._on_error.max_errors!r} allows {allowed} of "
                f"{self._num_rows}. The last ones: {shown}. loader.quarantine() lists them all; mend the files, or "
                "allow more: OnError(max_errors=...)",
                row=new[-1].row,
                path=new[-1].path,
                step=new[-1].step,
            )

    def frame(self) -> pd.DataFrame:
        """Columns row, path, error and step; one line per bad row."""
        listed = list(self._bad.values())
        return pd.DataFrame({name: [getattr(one, name) for one in listed] for name in HEADER}, columns=HEADER)


def _append(path: str, new: Iterable[BadSample]) -> None:
    """Add lines with one write; what a full disk left of them is taken back."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o666)
        try:
            if not (length := os.fstat(handle).st_size):
                writer.writerow(HEADER)
            writer.writerows([getattr(one, name) for name in HEADER] for one in new)
            content = text.getvalue().encode("utf-8", "surrogateescape")
            try:
                written = 0
                while written < len(content):
                    written += os.write(handle, content[written:])
            except OSError:
                with suppress(OSError):
                    os.ftruncate(handle, length)
                raise
        finally:
            os.close(handle)
    except OSError as cause:
        raise StoreError(
            f"the report of bad rows cannot be written ({cause}): check space and rights", path=path
        ) from cause
