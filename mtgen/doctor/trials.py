"""One what-if at a time: build the altered loader, measure it in turn with the present one, say what it would cost."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.dataset import Dataset
from mtgen.doctor import copies
from mtgen.doctor.altered import bound_like, only_inputs, part_of, recipe_named, twin
from mtgen.doctor.changes import Change
from mtgen.doctor.facts import machine_bytes
from mtgen.doctor.measure import Place, deliver, in_turn
from mtgen.doctor.ratios import Comparison
from mtgen.doctor.schedule import burst, finer_batch, slices
from mtgen.doctor.steps import Steps, replay_of
from mtgen.doctor.verdict import STAGES, Delivery, Finding, Training, pays_after, whole_gain
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.loader import Loader

PIXEL_ROWS = 8
"""Pictures that are compared between two recipes."""

COPY_SHARE = 0.3
"""Of the time of a what-if that needs a copy, for reading what is copied."""

FOLDER_PREFIX = "mtgen-doctor-"

PICTURES, FEATURES = "pictures alone", "features alone"


class Trials:
    """Runs what-ifs against one present loader.

    One thread. Nothing stays: altered loaders are closed and copies removed when a trial ends, however it ends.

    Args:
        present: a twin of the user's loader.
        place: where in the order the present loader goes on.
        delivery: what the loader does alone.
        training: with the model; None without one.
        seconds: of the whole examination; a batch that takes longer is given up.
    """

    def __init__(
        self, present: Loader, place: Place, delivery: Delivery, training: Training | None, seconds: float
    ) -> None:
        self._present, self._place, self._seconds = present, place, seconds
        self._delivery, self._training = delivery, training
        self._batch_size = finer_batch(present.batch_size, delivery.batch_seconds)

    def run(self, change: Change, seconds: float, steps: Steps | None) -> Finding:
        """Measure one change for so many seconds.

        Args:
            change: what to try.
            seconds: copies and comparison together.
            steps: the model; None without one.

        Raises:
            MtgenError: it cannot be built or measured.
        """
        deadline = time.perf_counter() + seconds
        if change.kind == "batch" and steps is not None:
            return self._larger_steps(change, steps, deadline)
        if change.kind == "recipe":
            return self._recipe(change, deadline)
        if change.kind in ("cache", "pack"):
            return self._copy(change, seconds, deadline)
        present = self._present
        other = twin(present, stall_seconds=self._seconds, **{_ARGUMENTS[change.kind]: change.value})
        pictures, chunked = self._inputs(BoundImages), self._inputs(BoundRows)
        chunked = {name: bound for name, bound in chunked.items() if bound.chunk_rows > 1}
        if change.kind in ("memory", "blocks"):
            dataset, part, share = (
                only_inputs(present.dataset, chunked),
                FEATURES,
                self._delivery.share(*STAGES[change.kind]),
            )
        elif pictures:
            # Most of the work, and in small steps; what is more or fewer workers' is alike for the rest.
            dataset, part, share = only_inputs(present.dataset, pictures), PICTURES, 1.0
        else:
            dataset, part, share = present.dataset, "", 1.0
        comparison = self._compared(present, dataset, other, dataset, self._place, deadline)
        return Finding(change=change, comparison=comparison, part=part, gain=whole_gain(share, comparison.ratio))

    def _inputs(self, kind: type) -> dict[str, Any]:
        fields = self._present.dataset.fields
        return {one.name: one.bound for one in fields if one.role == "input" and isinstance(one.bound, kind)}

    def _compared(
        self, present: Loader, before: Dataset, changed: Loader, after: Dataset, place: Place, deadline: float
    ) -> Comparison:
        """Two loaders, each over some inputs, in turn."""
        is_chunked = any(getattr(one.bound, "chunk_rows", 1) > 1 for one in before.fields)
        # Pictures come one by one, so small batches tell sooner; rows are planned by the window as it is.
        size = present.batch_size if is_chunked else self._batch_size
        with ExitStack() as stack:
            sides = [
                stack.enter_context(part_of(loader, dataset, size))
                for loader, dataset in ((present, before), (changed, after))
            ]
            deliver(sides[1], place, 0.0)  # threads and processes start, tables are made
            share = self._delivery.share("gather") if is_chunked else 1.0
            comparison, _, _ = in_turn(
                lambda seconds: deliver(sides[0], place, seconds),
                lambda seconds: deliver(sides[1], place, seconds),
                slices(
                    max(0.0, deadline - time.perf_counter()),
                    share * self._delivery.batch_seconds * size / self._delivery.batch_size,
                    max(burst(one.batch_size, one.num_workers, one.forecast.window) for one in sides),
                ),
                deadline,
            )
            return comparison

    def _share(self, kind: type, comparison: Comparison, *stages: str) -> float:
        """Share of the loader's work that one input is: of its stages, or less where other inputs have them too."""
        share = self._delivery.share(*stages)
        if len(self._inputs(kind)) > 1:
            share = min(share, self._delivery.rows_per_second / comparison.present)
        return share

    def _recipe(self, change: Change, deadline: float) -> Finding:
        bound: BoundImages = self._inputs(BoundImages)[change.field]
        data = self._present.dataset
        other = bound_like(bound, recipe_named(bound.images, str(change.value)))
        levels = pixel_levels(data, bound, other)
        sides = [only_inputs(data, {change.field: one}) for one in (bound, other)]
        comparison = self._compared(self._present, sides[0], self._present, sides[1], self._place, deadline)
        gain = whole_gain(self._share(BoundImages, comparison, *STAGES["recipe"]), comparison.ratio)
        return Finding(change=change, comparison=comparison, part=PICTURES, gain=gain, pixel_levels=levels)

    def _copy(self, change: Change, seconds: float, deadline: float) -> Finding:
        kind: Any = BoundRows if change.kind == "pack" else BoundImages
        bound, data = self._inputs(kind)[change.field], self._present.dataset
        make: Any = copies.packed_features if change.kind == "pack" else copies.cached_pictures
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
            least = (copies.LEAST_SAMPLE_BATCHES + 1) * self._delivery.batch_seconds
            copy = make(self._present, bound, Path(name), max(COPY_SHARE * seconds, least))
            try:
                sides = [only_inputs(data, {change.field: one}, copy.rows) for one in (bound, copy.bound)]
                comparison = self._compared(self._present, sides[0], self._present, sides[1], Place(), deadline)
            finally:
                copy.bound.store.close()
        gain = whole_gain(self._share(kind, comparison, *STAGES[change.kind]), comparison.ratio)
        rate = self._delivery.rows_per_second
        most = None if self._training is None else self._delivery.batch_size / self._training.replay_seconds
        remarks = []
        if copy.disk_bytes > machine_bytes() // 2:
            remarks.append("it will not stay in this machine's memory, as the sample did: expect what the disk gives")
        if change.kind == "cache" and bound.recipe.dtype == "float32":
            remarks.append("measured with uint8 pictures; making float32 of them comes on top")
        return Finding(
            change=change,
            comparison=comparison,
            part=FEATURES if change.kind == "pack" else PICTURES,
            gain=gain,
            disk_bytes=copy.disk_bytes,
            make_seconds=copy.make_seconds,
            pays_epochs=pays_after(copy.make_seconds, len(data), rate, rate * gain, most)
            if comparison.is_faster
            else None,
            remarks=tuple(remarks),
        )

    def _larger_steps(self, change: Change, steps: Steps, deadline: float) -> Finding:
        """Steps of the model alone, with one batch replayed: samples per second with the larger batch."""
        memory = 2 * self._present.forecast.total_bytes
        with twin(self._present, stall_seconds=self._seconds, batch_size=change.value, memory=memory) as larger:
            small, large = replay_of(self._present), replay_of(larger)
            steps.start(large, larger)
            left = max(0.0, deadline - time.perf_counter())
            step_seconds = self._delivery.batch_seconds if self._training is None else self._training.replay_seconds
            comparison, _, _ = in_turn(
                lambda seconds: steps.replay(small, seconds),
                lambda seconds: steps.replay(large, seconds),
                slices(left, 2 * step_seconds),
                deadline,
            )
        return Finding(change=change, comparison=comparison, trains=True)


_ARGUMENTS = {
    "workers": "num_workers",
    "processes": "num_processes",
    "memory": "memory",
    "blocks": "shuffle",
}
"""Kind of change -> argument of `Loader`."""


def pixel_levels(dataset: Dataset, present: BoundImages, other: BoundImages) -> float:
    """Mean absolute difference of some pictures by two recipes, in levels of 0 to 255.

    Args:
        dataset: whose rows are looked at, spread evenly.
        present: the pictures as they are.
        other: the same pictures by another recipe.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, PIXEL_ROWS).astype(np.int64))
    rows = dataset.rows[places]
    datasets = [only_inputs(dataset, {"image": bound}) for bound in (present, other)]
    pictures = [one.fetch(rows).inputs["image"].astype(np.float64) for one in datasets]
    recipe = present.recipe
    level = 257.0 if recipe.dtype == "uint16" else abs(recipe.scale[0]) if recipe.scale is not None else 1.0
    return float(np.abs(pictures[0] - pictures[1]).mean() / level)
