"""Which rows a step holds, what stands in for those that cannot be read, and the jobs that fill its batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from mtgen.batch import BadSample
from mtgen.config import OnError
from mtgen.cut import places_of
from mtgen.dataset import Dataset
from mtgen.draws import Draws
from mtgen.errors import PlanError
from mtgen.gather import window_jobs
from mtgen.gather.chunks import ChunkCache
from mtgen.gather.costs import staged
from mtgen.gather.reader import Reader
from mtgen.gather.stager import Stager
from mtgen.inputs.bound_patches import BoundPatches
from mtgen.metrics import Recorder
from mtgen.pending import Field, Job, Pending, named_places
from mtgen.picture import Decoder
from mtgen.plan import Plan
from mtgen.quarantine import Quarantine
from mtgen.repair import repair
from mtgen.room import Room
from mtgen.sampling.order import OrderLaw
from mtgen.sampling.refill import replacements
from mtgen.settings import check_whole

FieldsOf = Callable[[], Sequence[Field]]
"""Gives the dataset's fields, with what is held in place of what is read."""

RUN_ROWS = 8_192
"""Rows that are looked up together while steps are asked for in turn: 64 of a large permutation cost 7 microseconds
each, so many 0.15 (NumPy's calls; the arithmetic is the rest)."""


class StepPlan:
    """Rows, replacements and jobs by step. Apart from the loader, so that streams do not keep the loader alive.

    Picklable; any thread. It keeps the rows of some steps, which are the same whoever asks.

    Args:
        dataset: what a sample is.
        plan: which row fills which slot.
        on_error: what to do about samples that cannot be read.
    """

    def __init__(self, dataset: Dataset, plan: Plan, on_error: OnError) -> None:
        self.dataset, self.plan, self.on_error = dataset, plan, on_error
        self._run: tuple[int, list[np.ndarray]] = (0, [])
        self._last = -1
        check_points(plan.sampler, dataset)
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
        step = int(step)
        last, self._last = self._last, step
        try:
            start, run = self._run
            if not start <= step < start + len(run) and step == last + 1:
                start, run = self._run = step, self._rows_ahead(step)
            if start <= step < start + len(run):
                return run[step - start].copy()
            return self.plan.at(epoch, self.plan.batching.positions(step_in_epoch))
        except PlanError as error:
            raise error.at(step=int(step)) from None

    def _rows_ahead(self, step: int) -> list[np.ndarray]:
        try:
            # Not beyond the epoch: the order of another may cost a pass over all rows.
            most = step - step % self.plan.batching.steps_per_epoch + self.plan.batching.steps_per_epoch
            return self.rows_of(range(step, min(step + max(1, RUN_ROWS // self.plan.batching.batch_size), most)))
        except Exception:
            return []  # said when the step that it is about is asked for

    def draws(self, step: int) -> Draws:
        """What decides, besides the rows, where the patches of a step are cut; one position per filled slot. Pure."""
        epoch, step_in_epoch = self.place(step)
        batching = self.plan.batching
        return Draws(
            seed=self.plan.seed,
            epoch=epoch,
            positions=batching.positions(step_in_epoch),
            block=batching.batch_size,
            points=getattr(self.plan.sampler, "points_of", None),
        )

    def places(self, step: int) -> dict[str, np.ndarray]:
        """Where the patches of a step are cut; see `Loader.places`."""
        rows, draws, fields = self.rows(step), self.draws(step), self.dataset.fields
        found = {
            number: places_of(one.bound, rows, draws)
            for number, one in enumerate(fields)
            if isinstance(one.bound, BoundPatches)
        }
        return named_places(fields, found)

    def rows_of(self, steps: range) -> list[np.ndarray]:
        """Rows of the filled slots of some steps, int64, one array per step.

        Raises:
            PlanError: see `Plan.at`.
        """
        num, found, start = self.plan.batching.steps_per_epoch, [], steps.start
        while start < steps.stop:
            epoch, first = divmod(start, num)
            last = min(first + steps.stop - start, num)
            positions = [self.plan.batching.positions(step) for step in range(first, last)]
            rows = self.plan.at(epoch, np.concatenate(positions))
            found += np.split(rows, np.cumsum([len(one) for one in positions])[:-1])
            start += last - first
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": (0, []), "_last": -1}

    def replacements(self, step: int, slot: int) -> Iterator[int]:
        """Rows to try in turn where the row of a slot cannot be read; pure."""
        plan, (epoch, step_in_epoch) = self.plan, self.place(step)
        position = int(plan.batching.positions(step_in_epoch)[slot])
        places = replacements(plan.order(epoch), plan.batching.size, position, seed=plan.seed, epoch=epoch)
        return (int(plan.rows[place]) for place in places)

    def make_window(
        self,
        fields_of: FieldsOf,
        recorder: Recorder,
        quarantine: Quarantine,
        room: Room | None,
        decoder: Decoder | None,
        steps: Sequence[int],
        stager: Stager | None = None,
    ) -> tuple[list[Pending], list[Job]]:
        """Pending batches of the steps, and the jobs that fill them; `fields_of` is asked for what they are made of."""
        pendings, fields = [], fields_of()
        for step in steps:
            epoch, step_in_epoch = self.place(step)
            num_slots = self.plan.batching.num_slots(step_in_epoch)
            rows, draws = self.rows(step), self.draws(step)
            pending = Pending(fields, rows, num_slots, int(step), epoch, draws)
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
        return pendings, window_jobs(pendings, recorder, self.on_error, room, decoder, stager)

    def make_stager(
        self,
        fields_of: FieldsOf,
        recorder: Recorder,
        caches: Mapping[int, ChunkCache],
        start: int,
        window: Callable[[], int],
    ) -> Stager | None:
        """What gathers rows out of chunks ahead of the batches, for a stream that goes on at step `start`, if any.

        Args:
            fields_of: gives the fields that batches are made of.
            recorder: counts.
            caches: of each field that may come out of chunks, by its number.
            start: first step.
            window: most steps in a window.
        """
        fields = fields_of()
        numbers = [number for number, one in enumerate(fields) if staged(one)]
        if not numbers:
            return None
        reader = Reader(recorder, self.on_error, None)
        return Stager(start, window, self.rows_of, fields, [caches[number] for number in numbers], reader)


def check_points(law: OrderLaw, dataset: Dataset) -> None:
    """Refuse points of `rows @ points` that no patch is cut at, and patches that are cut elsewhere without a word.

    Args:
        law: of the rows.
        dataset: what they are read from.

    Raises:
        PlanError: a law with points and no `Patches` to take them; one beside `Patches` with a sampler of its own,
            unless it has a `stream` of its own too; `Patches` without a sampler, and a law without points.
    """
    patches = [one for one in dataset.fields if isinstance(one.bound, BoundPatches)]
    takers = [one for one in patches if one.bound.patches.sampler is None]
    if getattr(law, "points_of", None) is None:
        if takers:
            raise PlanError(
                f"{_named(takers)} no sampler of their own, and the rows come without points: give "
                "Patches(..., sampler=...), or a Loader(sampler=rows @ points)"
            )
        return
    own = [one for one in patches if one.bound.patches.sampler is not None and one.bound.patches.stream is None]
    if own:
        raise PlanError(
            f"the rows come with points, sampler=rows @ points, and {_named(own)} a sampler of their own, which would "
            "be cut elsewhere: leave out that sampler, Patches(source, None, size), to cut at the points; or give the "
            "loader rows alone; or, where other places are meant, a stream of its own: Patches(..., stream='name')"
        )
    if not takers:
        raise PlanError(
            "the rows come with points, sampler=rows @ points, and no input or target takes them: "
            + (f"{_named(patches)} a sampler of their own. " if patches else "there are no Patches. ")
            + "Give the loader rows alone, or have Patches(source, None, size) cut at the points"
        )


def _named(fields: Sequence[Field]) -> str:
    return f"the Patches {', '.join(repr(one.name) for one in fields)} have"


def _note_bad(recorder: Recorder, quarantine: Quarantine, bad: Sequence[BadSample]) -> None:
    if bad:
        recorder.add_bad(len({one.slot for one in bad}))
        quarantine.add(bad)
