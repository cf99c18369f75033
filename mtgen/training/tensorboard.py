"""A Keras callback that writes the numbers of a run for TensorBoard, by step; needs neither it nor TensorFlow.

Keras's own callback needs TensorFlow, whatever backend trains, and begins a new curve when a run is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.adapters.keras import Progress
from mtgen.adapters.variables import printable
from mtgen.errors import StoreError
from mtgen.files import read_plain
from mtgen.stores.new_folder import make_folder, replace_file
from mtgen.training.event_files import VERSION, Event, encoded, num_damaged, until
from mtgen.training.record import growing

FILE = "events.out.tfevents.mtgen"
"""TensorBoard looks for `tfevents` in a name."""


class TensorBoardLog(Progress):
    """Writes each number of the logs at the end of each epoch of Keras, that is at each validation.

    Keras calls it, in the thread of `fit`; after the checkpoint, so that a resumed run goes on behind its own numbers:
    those of later steps are dropped, and written again. Names are as Keras's callback has them: `epoch_loss` in the
    folder `train`, and for `val_loss` the same name in `validation`.

    Args:
        x: what `loader.keras()` returned, given to `fit` too.
        folder: where the files are; made when `fit` begins.
        say: where a line goes about what cannot be read in them.
    """

    def __init__(self, x: Any, folder: Path, say: Callable[[str], None] = print) -> None:
        super().__init__(x)
        self._folder, self._say = folder, say

    def on_train_begin(self, logs: Any = None) -> None:
        """Drop what was written for steps that are yet to be trained.

        Raises:
            StoreError: the files cannot be read or written.
        """
        super().on_train_begin(logs)
        for name in ("train", "validation"):
            path = self._folder / name / FILE
            make_folder(path.parent, "the folder for TensorBoard")
            try:
                before = read_plain(path) if path.exists() else b""
                kept = until(before, self.step) or encoded(Event(wall_time=time.time(), version=VERSION))
                damaged = num_damaged(before)
                if damaged:
                    self._say(f"{damaged:,} bytes of {path} are cut off or damaged, and were dropped")
                if kept != before:
                    replace_file(path, kept)
            except OSError as error:
                raise StoreError(
                    f"the file for TensorBoard cannot be written ({error}): check space and rights", path=str(path)
                ) from error

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the numbers of this epoch."""
        super().on_epoch_end(epoch, logs)
        numbers = {
            printable(name): float(value)
            for name, value in (logs or {}).items()
            if isinstance(value, int | float | np.number)
        }
        self._write("train", {name: value for name, value in numbers.items() if not name.startswith("val_")})
        self._write(
            "validation",
            {name.removeprefix("val_"): value for name, value in numbers.items() if name.startswith("val_")},
        )

    def _write(self, part: str, numbers: Mapping[str, float]) -> None:
        if numbers:
            scalars = {f"epoch_{name}": value for name, value in numbers.items()}
            event = Event(wall_time=time.time(), step=self.step, scalars=scalars)
            growing.append(self._folder / part / FILE, encoded(event))
