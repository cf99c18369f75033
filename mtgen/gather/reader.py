"""How jobs read a row or a file: with retries, counted, and with room for large pictures."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from mtgen.cache.layout import Identity, identity_of
from mtgen.config import OnError
from mtgen.decode import decode
from mtgen.encoded import extension_mismatch
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.metrics import Recorder
from mtgen.retry import Result, retrying
from mtgen.room import Room
from mtgen.waits import Note


class Reader:
    """How jobs read: with retries, counted, and with room for large pictures."""

    def __init__(self, recorder: Recorder, on_error: OnError, room: Room | None) -> None:
        self.recorder, self._on_error, self.room = recorder, on_error, room

    def fetch(self, bound: BoundRows, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out` with the rows of a store; see `BoundRows.fetch`."""
        self.retry(lambda: bound.fetch(rows, out))

    def retry(self, read: Callable[[], Result]) -> Result:
        """Read, and try again after an error that may pass."""
        return retrying(read, self._on_error, self.recorder.add_retry)

    def read_bytes(self, bound: BoundImages, row: int, admit: Callable[[int], None] | None) -> bytes:
        """The whole file of a row; see `BoundImages.read_bytes`."""
        return retrying(lambda: bound.read_bytes(row, admit), self._on_error, self.recorder.add_retry)

    def read_file(
        self, bound: BoundImages, row: int, admit: Callable[[int], None] | None, files: dict[int, Identity]
    ) -> bytes:
        """The same, and which file it was, by its row."""
        data, stat = retrying(lambda: bound.read_file(row, admit), self._on_error, self.recorder.add_retry)
        files[row] = identity_of(stat, data)
        return data

    def picture(
        self,
        bound: BoundImages,
        row: int,
        path: str,
        out: np.ndarray,
        facts: Counter[str],
        note: Note,
        files: dict[int, Identity] | None = None,
    ) -> float:
        """Read and decode a picture; when it was read. A function, so that nothing keeps the file's bytes."""
        data = b""
        with nullcontext() if self.room is None else self.room.file() as admit:
            try:
                note(f"read {path}")
                data = self.read_bytes(bound, row, admit) if files is None else self.read_file(bound, row, admit, files)
                middle = time.perf_counter()
                note(f"decode {path}")
                decode(data, bound.recipe, out, facts, self.room)
                facts["extension_mismatch"] += extension_mismatch(path, data)
            finally:
                del data  # before others may take its room
        return middle
