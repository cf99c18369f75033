"""A Keras callback that logs which rows were trained, step by step."""

from __future__ import annotations

import os
from typing import Any

from mtgen.adapters.keras import Progress
from mtgen.order_log import OrderLog


class OrderLogger(Progress):
    """Writes an `OrderLog` of the steps that were really trained, and counts them as `Progress` does.

    Works beside `Progress` and its like on the same `x`: whichever of them is called first after a step counts it, and
    the line is written then. So a checkpoint of a step is never older or newer than the log.

    Args:
        x: what `loader.keras()` returned.
        folder: of the run; see `mtgen.order_log.OrderLog`.

    Attributes:
        log: the log.
    """

    def __init__(self, x: Any, folder: str | os.PathLike[str]) -> None:
        super().__init__(x)
        self.log = OrderLog(folder, self._feed.loader)
        self._name = os.path.realpath(self.log.path)

    def on_train_begin(self, logs: Any = None) -> None:
        """Log from here on; see `Progress.on_train_begin`."""
        super().on_train_begin(logs)
        self._feed.attach(self._name, self.log.note)

    def on_train_end(self, logs: Any = None) -> None:
        """Log no more."""
        self._feed.detach(self._name)
