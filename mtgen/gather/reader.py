"""How jobs read a row or a file: with retries, counted, and with room for large pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from mtgen.cache.layout import Identity, identity_of
from mtgen.config import OnError
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.metrics import Recorder
from mtgen.picture import Admit, Decoder, read_and_decode
from mtgen.retry import Result, retrying
from mtgen.room import Room
from mtgen.waits import Note


class Reader:
    """How jobs read: with retries, counted, and with room for large pictures; or by a decoder that does all that."""

    def __init__(
        self, recorder: Recorder, on_error: OnError, room: Room | None, decoder: Decoder | None = None
    ) -> None:
        self.recorder, self._on_error, self.room, self.decoder = recorder, on_error, room, decoder

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
        """Read and decode a picture; when it was read."""

        def read(admit: Admit | None) -> bytes:
            if files is None:
                return self.read_bytes(bound, row, admit)
            return self.read_file(bound, row, admit, files)

        return read_and_decode(read, path, bound.recipe, out, facts, self.room, note)
