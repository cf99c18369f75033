"""How a trainer's passes map to a loader's steps: no framework here.

A trainer walks over its data in passes. It may start one and throw it away (to look at shapes), ask for the same batch
twice, or stop in the middle. The rule: a pass that was served whole moves the feed on by its length; any other pass
is served again from its own start. So a peek costs nothing, and every finished epoch has each row once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mtgen.batch import Batch
from mtgen.errors import PlanError
from mtgen.settings import check_whole_or_none
from mtgen.waits import ProcessTurns

if TYPE_CHECKING:
    from mtgen.loader import Loader


LogStep = Callable[[int, np.ndarray], None]
"""Takes a trained step and the rows of its slots."""

MOST_AHEAD = 64
"""Batches that may be served beyond a pass before one of them was counted as trained; backends take a few."""


class Pass:
    """One walk over `feed.num_batches` steps from `start` on."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.num_served = 0


class Feed:
    """A loader's steps, handed to one trainer pass by pass.

    Any thread may call; the trainer owns the batches. Any number of callbacks may count trained steps: each says
    up to where, not how many more, so a second one changes nothing. Inputs that are placed on the device come as
    places, see `Loader.take_on_device`.

    Args:
        loader: where batches come from; the first pass starts at `loader.step`.
        steps_per_epoch: steps in one pass, >= 1; None for one mtgen epoch.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
        >>> feed = Feed(mtgen.Loader(data, 2, shuffle=False))
        >>> peek = feed.begin(); feed.serve(peek, 0).rows.tolist()
        [0, 1]
        >>> whole = feed.begin(); [feed.serve(whole, place).step for place in range(3)]
        [0, 1, 2]
        >>> feed.next_step
        3
    """

    def __init__(self, loader: Loader, steps_per_epoch: int | None = None) -> None:
        self.loader = loader
        self.num_batches = check_whole_or_none("steps_per_epoch", steps_per_epoch, 1) or loader.steps_per_epoch
        self._stream = loader.stream(by_place=True)
        self._turns = ProcessTurns("find where a pass starts", loader.prefetch.stall_seconds)
        self._pass = Pass(loader.step)
        self._num_restores = loader.num_restores
        self.trained_step: int | None = None
        """The step after the last one trained, where somebody counts them (`Progress` does); None where not."""
        self._logs: dict[str, LogStep] = {}
        self._is_read = False
        self._served: dict[int, np.ndarray] = {}

    @property
    def next_step(self) -> int:
        """The step at which the next pass starts: where `loader.restore` said, if it was called since."""
        if self._num_restores != self.loader.num_restores:
            self._num_restores = self.loader.num_restores
            self._pass, self.trained_step = Pass(self.loader.step), None
        whole = self._pass.num_served >= self.num_batches
        return self._pass.start + (self.num_batches if whole else 0)

    @property
    def is_read(self) -> bool:
        """Whether a batch of the pass under way, or of one since training began, was served."""
        return self._is_read

    def begin(self) -> Pass:
        """Start a pass."""
        with self._turns.here:
            self._pass = Pass(self.next_step)
            self._stream.seek(self._pass.start)
            return self._pass

    def serve(self, one: Pass, place: int) -> Batch:
        """Batch number `place` (0-based) of a pass."""
        batch = self.loader.take_from(self._stream, one.start + place)
        one.num_served = max(one.num_served, place + 1)
        self._is_read = True
        if self._logs:
            self._keep(one.start + place, batch.rows)
        return batch

    def _keep(self, step: int, rows: np.ndarray) -> None:
        """Keep the rows of a batch until it was trained; bounded, should nobody ever count."""
        with self._turns.here:
            self._served[step] = rows
            while len(self._served) > self.num_batches + MOST_AHEAD:
                del self._served[next(iter(self._served))]

    def attach(self, name: str, log: LogStep) -> None:
        """Tell `log` each trained step from here on, with the rows that its batch delivered.

        Args:
            name: of the log; another one of that name, which a `fit` that was interrupted left, is told no more.
            log: called in the thread that trains.
        """
        self._logs[name] = log

    def detach(self, name: str) -> None:
        """Tell the log of that name no more."""
        self._logs.pop(name, None)

    def start_training(self, step: int) -> None:
        """Training goes on at `step`, whatever was served before."""
        self.go_to(step)
        self.trained_step = step
        self._is_read = False
        with self._turns.here:
            self._served.clear()

    def note_trained(self, stop: int) -> None:
        """All steps before `stop` were trained; those that nobody noted before are logged.

        Raises:
            PlanError: a trained batch is not known to have been served, so it cannot be logged.
            MtgenError: a log could not be written.
        """
        first = self.next_step if self.trained_step is None else self.trained_step
        self.trained_step = max(stop, first)
        for step in range(first, stop) if self._logs else ():
            with self._turns.here:
                rows = self._served.pop(step, None)
            if rows is None:
                raise PlanError(
                    "this step was trained, but its batch is not known any more: something else reads the same "
                    "dataset. Give validation, and every other loop, a loader.keras() of its own",
                    step=step,
                )
            for log in list(self._logs.values()):
                log(step, rows)

    def go_to(self, step: int) -> None:
        """Let the next pass start at `step`, whatever was served before."""
        with self._turns.here:
            self._pass = Pass(step)
