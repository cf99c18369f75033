"""Which rows a step holds, what stands in for those that cannot be read, and the jobs that fill its batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from mtgen.batch import BadSample
from mtgen.config import OnError
from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.gather import window_jobs
from mtgen.metrics import Recorder
from mtgen.pending import Job, Pending
from mtgen.plan import Batching
from mtgen.quarantine import Quarantine
from mtgen.repair import repair
from mtgen.room import Room
from mtgen.sampling.order import Order, Sampler
from mtgen.sampling.refill import replacements


class StepPlan:
    """Orders, rows and replacements by step. Apart from the loader, so that streams do not keep the loader alive.

    Immutable but for the order it keeps; picklable; any thread.
    """

    def __init__(self, dataset: Dataset, sampler: Sampler, seed: int, batching: Batching, on_error: OnError) -> None:
        self.dataset, self.sampler, self.seed, self.batching = dataset, sampler, seed, batching
        self.on_error = on_error
        # Made here, so that a sampler that cannot follow its settings is refused here.
        self._kept_order = (0, self._make_order(0))

    def _make_order(self, epoch: int) -> Order:
        return self.sampler.order(len(self.dataset), seed=self.seed, epoch=epoch)

    def order(self, epoch: int) -> Order:
        """The order of an epoch; the last one is kept, because making it may cost more than asking it."""
        kept_epoch, order = self._kept_order
        if epoch != kept_epoch:
            order = self._make_order(epoch)
            self._kept_order = epoch, order
        return order

    def place(self, step: int) -> tuple[int, int]:
        """Epoch, and step in that epoch."""
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or step < 0:
            raise PlanError(f"a step is an integer >= 0, received {step!r}")
        return divmod(int(step), self.batching.steps_per_epoch)

    def rows(self, step: int) -> np.ndarray:
        """Rows of the step's filled slots."""
        epoch, step_in_epoch = self.place(step)
        places = self.order(epoch).at(self.batching.positions(step_in_epoch))
        if len(places) and not 0 <= places.min() <= places.max() < len(self.dataset):
            raise PlanError(
                f"the sampler {self.sampler!r} gave places {places.min()} to {places.max()}, the dataset has places "
                f"0 to {len(self.dataset) - 1}",
                step=step,
            )
        return self.dataset.rows[places]

    def replacements(self, step: int, slot: int) -> Iterator[int]:
        """Rows to try in turn where the row of a slot cannot be read; pure."""
        epoch, step_in_epoch = self.place(step)
        position = int(self.batching.positions(step_in_epoch)[slot])
        places = replacements(self.order(epoch), self.batching.size, position, seed=self.seed, epoch=epoch)
        return (int(self.dataset.rows[place]) for place in places)

    def make_window(
        self, recorder: Recorder, quarantine: Quarantine, room: Room | None, steps: Sequence[int]
    ) -> tuple[list[Pending], list[Job]]:
        """Pending batches of the steps, and the jobs that fill them."""
        pendings = []
        for step in steps:
            epoch, step_in_epoch = self.place(step)
            num_slots = self.batching.num_slots(step_in_epoch)
            pending = Pending(self.dataset.fields, self.rows(step), num_slots, int(step), epoch)
            pending.on_bad = partial(_note_bad, recorder, quarantine)
            if self.on_error.policy != "raise":
                pending.always_weighted = self.on_error.policy == "mask"
                pending.repair = partial(
                    repair,
                    on_error=self.on_error,
                    replacements=partial(self.replacements, int(step)),
                    count_retry=recorder.add_retry,
                    room=room,
                )
            pendings.append(pending)
        return pendings, window_jobs(pendings, recorder, self.on_error, room)


def _note_bad(recorder: Recorder, quarantine: Quarantine, bad: Sequence[BadSample]) -> None:
    if bad:
        recorder.add_bad(len({one.slot for one in bad}))
        quarantine.add(bad)
