"""Training steps of a Keras model: with one batch over and over, and with the real loader. It is left as it was."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from mtgen.adapters.structure import Structure
from mtgen.batch import Batch
from mtgen.doctor.measure import WARM_SHARE, Place, Slice
from mtgen.errors import ModelError
from mtgen.loader import Loader
from mtgen.prefetch import Stream

MANY_STEPS = 1_000_000
"""A pass is ended by the clock, never by its length."""

LEAST_STEPS = 3
"""One to start the clock, two to look at."""


class Replay(Loader):
    """A loader that hands out the same batches over and over, without any work: what a model does when data is free.

    Set `batches` before use.
    """

    batches: tuple[Batch, ...] = ()

    def take_from(self, stream: Stream, step: int) -> Batch:
        """See `Loader.take_from`; reads nothing."""
        return self.batches[step % len(self.batches)]


def replay_of(loader: Loader) -> Replay:
    """A loader that replays the first batch of the given one."""
    made = Replay(loader.dataset, loader.batch_size, num_workers=0, drop_last=loader.batching.drop_last)
    made.on_error = loader.on_error
    made.batches = (loader.batch(0),)
    return made


@dataclass(frozen=True, kw_only=True)
class Start:
    """What the first steps took.

    Args:
        seconds: all of it, most of it to compile the model for these shapes.
        step_seconds: one step afterwards.
    """

    seconds: float
    step_seconds: float


class Steps:
    """A model to take steps with, inside a `with` block; its weights, optimizer and metrics are put back at the end.

    One thread. The model must be compiled. Nothing is saved, and no callback of the user's runs.

    Args:
        model: a compiled Keras model.
        loader: what it will be trained with.

    Raises:
        ModelError: the model is not compiled, or does not fit the loader, or the dataset has no targets.
    """

    def __init__(self, model: Any, loader: Loader) -> None:
        from mtgen.adapters import variables

        if not getattr(model, "compiled", False) or getattr(model, "optimizer", None) is None:
            raise ModelError(
                "the model is not compiled, so it has no training step to measure: call model.compile(optimizer, loss) "
                "first, and save it after that"
            )
        if not loader.dataset.target_specs:
            raise ModelError("the dataset has no targets, so no training step can be measured: name them, targets=...")
        loader.check(model)
        self.model = model
        weighted = loader.on_error.policy == "mask"
        structure = Structure.of(loader.dataset, model, weighted=weighted)
        # Else the optimizer would have moments of our making when the user's training begins.
        variables.build(model, structure.signature(variables.symbolic))
        self._saved = variables.read(variables.groups(model, metrics=True))
        self._attributes = {name: getattr(model, name, None) for name in ("history", "stop_training")}

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *error: object) -> None:
        from mtgen.adapters import variables

        variables.assign(variables.groups(self.model, metrics=True), self._saved)
        for name, value in self._attributes.items():
            setattr(self.model, name, value)

    def start(self, replay: Replay, loader: Loader) -> Start:
        """Take the first steps, with a batch of each size that an epoch has, so that all of it is compiled.

        Args:
            replay: what replays a full batch.
            loader: where the last batch of an epoch is from, if it is a smaller one.
        """
        began = time.perf_counter()
        full, batching = replay.batches, loader.batching
        last = batching.steps_per_epoch - 1
        if batching.num_slots(last) != batching.num_slots(0):
            replay.batches = (loader.batch(last), *full)
        try:
            ends = self._fit(replay, 0.0, LEAST_STEPS + 2)
        finally:
            replay.batches = full
        return Start(seconds=time.perf_counter() - began, step_seconds=max(ends[-1][0] - ends[-2][0], 1e-6))

    def replay(self, replay: Replay, seconds: float) -> Slice:
        """Steps with one batch over and over, for so long."""
        ends = self._fit(replay, seconds, LEAST_STEPS)
        span = max(ends[-1][0] - ends[0][0], 1e-9)
        num_rows = (len(ends) - 1) * len(replay.batches[0])
        return Slice(
            num_rows=num_rows, seconds=span, stage_seconds={}, stage_span=span, stage_rows=num_rows, wait_seconds=0.0
        )

    def train(self, loader: Loader, place: Place, seconds: float) -> Slice:
        """Steps with the real loader, for so long; it is closed at the end, so that it works on nothing any more.

        Args:
            loader: a twin; its `step` is changed.
            place: where in the order to begin.
            seconds: how long.
        """
        loader.step = place.step(loader)
        forecast = loader.forecast
        began = time.perf_counter()
        try:
            ends = self._fit(loader, seconds, LEAST_STEPS)
        finally:
            loader.close()
        place.num_rows += (len(ends) + forecast.window + forecast.depth) * loader.batch_size
        most = min(2 * forecast.window + forecast.depth, len(ends) - 2)
        warm = 0
        while warm < most and ends[warm][0] - began < WARM_SHARE * seconds:
            warm += 1
        (start, waited_before), (end, waited) = ends[warm], ends[-1]
        rows = sum(len(loader.rows(loader.step + number)) for number in range(warm + 1, len(ends)))
        span = max(end - start, 1e-9)
        return Slice(
            num_rows=rows,
            seconds=span,
            stage_seconds={},
            stage_span=span,
            stage_rows=rows,
            wait_seconds=waited - waited_before,
        )

    def _fit(self, loader: Loader, seconds: float, least: int) -> list[tuple[float, float]]:
        """Time, and seconds waited for data so far, at the end of each step."""
        import keras

        ends: list[tuple[float, float]] = []
        began = time.perf_counter()

        def note(step: int, logs: Any) -> None:
            # Keras has made numbers of the logs by now, so the step is over on the device too.
            ends.append((time.perf_counter(), loader.stats().wait_seconds))
            if len(ends) >= least and ends[-1][0] - began >= seconds:
                self.model.stop_training = True

        self.model.fit(
            loader.keras(self.model, steps_per_epoch=MANY_STEPS),
            epochs=1,
            verbose=0,
            shuffle=False,
            callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=note)],
        )
        return ends
