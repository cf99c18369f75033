"""One what-if at a time: build the altered loader, measure it in turn with the present one, say what it would cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.dataset import Dataset
from mtgen.doctor import copies
from mtgen.doctor.altered import bound_like, finer, only_input, recipe_named, twin, with_inputs
from mtgen.doctor.changes import Change
from mtgen.doctor.facts import machine_bytes
from mtgen.doctor.measure import Place, deliver, in_turn
from mtgen.doctor.ratios import Comparison
from mtgen.doctor.schedule import finer_batch, slices
from mtgen.doctor.steps import Steps, replay_of
from mtgen.doctor.verdict import Delivery, Finding, Training, pays_after
from mtgen.inputs.images import BoundImages
from mtgen.loader import Loader
from mtgen.plan import Shard

PIXEL_ROWS = 8
"""Pictures that are compared between two recipes."""

COPY_SHARE = 0.3
"""Of the time of a what-if that needs a copy, for reading what is copied."""

FOLDER_PREFIX = "mtgen-doctor-"


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
        changed = {_ARGUMENTS[change.kind]: change.value}
        return Finding(change=change, comparison=self._compared(changed, None, deadline))

    def _bound(self, change: Change) -> Any:
        return next(
            one.bound for one in self._present.dataset.fields if (one.role, one.name) == ("input", change.field)
        )

    def _compared(
        self, changed: Mapping[str, Any], dataset: Dataset | None, deadline: float, rows: np.ndarray | None = None
    ) -> Comparison:
        """The present loader against one with other arguments or another dataset, over some rows or all."""
        place = self._place
        with ExitStack() as stack:
            present = self._present
            if rows is not None:
                present = twin(present, present.dataset.take(rows), stall_seconds=self._seconds, shard=Shard())
                changed, place = {**changed, "shard": Shard()}, Place()
            other = twin(self._present, dataset, stall_seconds=self._seconds, **changed)
            sides = [stack.enter_context(finer(one, self._batch_size)) for one in (present, other)]
            deliver(sides[1], place, 0.0)  # threads and processes start, tables are made
            batch_seconds = self._delivery.batch_seconds * self._batch_size / self._delivery.batch_size
            comparison, _, _ = in_turn(
                lambda seconds: deliver(sides[0], place, seconds),
                lambda seconds: deliver(sides[1], place, seconds),
                slices(max(0.0, deadline - time.perf_counter()), batch_seconds),
                deadline,
            )
            return comparison

    def _recipe(self, change: Change, deadline: float) -> Finding:
        bound: BoundImages = self._bound(change)
        data = self._present.dataset
        other = bound_like(bound, recipe_named(bound.images, str(change.value)), data)
        levels = pixel_levels(data, bound, other)
        comparison = self._compared({}, with_inputs(data, {change.field: other}), deadline)
        return Finding(change=change, comparison=comparison, pixel_levels=levels)

    def _copy(self, change: Change, seconds: float, deadline: float) -> Finding:
        bound, data = self._bound(change), self._present.dataset
        with tempfile.TemporaryDirectory(prefix=FOLDER_PREFIX) as name:
            make: Any = copies.packed_features if change.kind == "pack" else copies.cached_pictures
            least = (copies.LEAST_SAMPLE_BATCHES + 1) * self._delivery.batch_seconds
            copy = make(self._present, bound, Path(name), max(COPY_SHARE * seconds, least))
            try:
                dataset = with_inputs(data, {change.field: copy.bound}, copy.rows)
                # Room for a store that keeps something for itself, so that the window stays what it is.
                more = {"memory": 2 * self._present.forecast.total_bytes}
                comparison = self._compared(more, dataset, deadline, copy.rows)
            finally:
                copy.bound.store.close()
        most = None if self._training is None else self._delivery.batch_size / self._training.replay_seconds
        pays = pays_after(copy.make_seconds, len(data), comparison.present, comparison.changed, most)
        remarks = []
        if copy.disk_bytes > machine_bytes() // 2:
            remarks.append("it will not stay in this machine's memory, as the sample did: expect what the disk gives")
        if change.kind == "cache" and bound.recipe.dtype == "float32":
            remarks.append("measured with uint8 pictures; making float32 of them comes on top")
        return Finding(
            change=change,
            comparison=comparison,
            disk_bytes=copy.disk_bytes,
            make_seconds=copy.make_seconds,
            pays_epochs=pays if comparison.is_faster else None,
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
    pictures = [
        only_input(dataset, "image", bound).fetch(rows).inputs["image"].astype(np.float64) for bound in (present, other)
    ]
    recipe = present.recipe
    level = 257.0 if recipe.dtype == "uint16" else abs(recipe.scale[0]) if recipe.scale is not None else 1.0
    return float(np.abs(pictures[0] - pictures[1]).mean() / level)
