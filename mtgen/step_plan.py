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
from mtgen.picture import Decoder
from mtgen.plan import Plan
from mtgen.quarantine import Quarantine
from mtgen.repair import repair
from mtgen.room import Room
from mtgen.sampling.refill import replacements
from mtgen.settings import check_whole


class StepPlan:
    """Rows, replacements and jobs by step. Apart from the loader, so that streams do not keep the loader alive.

    Immutable; picklable; any thread.

    Args:
        dataset: what a sample is.
        plan: which row fills which slot.
        on_error: what to do about samples that cannot be read.
    """

    def __init__(self, dataset: Dataset, plan: Plan, on_error: OnError) -> None:
        self.dataset, self.plan, self.on_error = dataset, plan, on_error
        plan.order(0)  # so that a sampler that cannot follow its settings is refused here

    def place(self, step: int) -> tuple[int, int]:
        """Epoch, and step in that epoch.

        Raises:
            PlanError: the step is no integer >= 0.
        """
        return divmod(check_whole("step", step), self.plan.batching.steps_per_epoch)

    def rows(self, step: int) -> np.ndarray:
        """Rows of the step's filled slots, int64 `(n,)`.

        Raises:
            PlanError: see `place` and `Plan.at`.
        """
        epoch, step_in_epoch = self.place(step)
        try:
            return self.plan.at(epoch, self.plan.batching.positions(step_in_epoch))
        except PlanError as error:
            raise error.at(step=int(step)) from None

    def replacements(self, step: int, slot: int) -> Iterator[int]:
        """Rows to try in turn where the row of a slot cannot be read; pure."""
        plan, (epoch, step_in_epoch) = self.plan, self.place(step)
        position = int(plan.batching.positions(step_in_epoch)[slot])
        places = replacements(plan.order(epoch), plan.batching.size, position, seed=plan.seed, epoch=epoch)
        return (int(plan.rows[place]) for place in places)

    def make_window(
        self,
        recorder: Recorder,
        quarantine: Quarantine,
        room: Room | None,
        decoder: Decoder | None,
        steps: Sequence[int],
    ) -> tuple[list[Pending], list[Job]]:
        """Pending batches of the steps, and the jobs that fill them."""
        pendings = []
        for step in steps:
            epoch, step_in_epoch = self.place(step)
            num_slots = self.plan.batching.num_slots(step_in_epoch)
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
                    decoder=decoder,
                )
            pendings.append(pending)
        return pendings, window_jobs(pendings, recorder, self.on_error, room, decoder)


def _note_bad(recorder: Recorder, quarantine: Quarantine, bad: Sequence[BadSample]) -> None:
    if bad:
        recorder.add_bad(len({one.slot for one in bad}))
        quarantine.add(bad)
