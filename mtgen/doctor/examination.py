"""The examination itself: measure the loader, the model, then each what-if that fits into the time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from mtgen.doctor import measure
from mtgen.doctor.altered import twin
from mtgen.doctor.changes import Change, changes
from mtgen.doctor.copies import LEAST_SAMPLE_BATCHES
from mtgen.doctor.facts import facts_of
from mtgen.doctor.measure import Place, in_turn
from mtgen.doctor.report import Report
from mtgen.doctor.schedule import (
    LEAST_ROUNDS,
    Wish,
    burst,
    finer_batch,
    least_comparison,
    least_slice,
    schedule,
    slices,
)
from mtgen.doctor.steps import Start, Steps, replay_of
from mtgen.doctor.trials import Trials
from mtgen.doctor.verdict import Delivery, Finding, Training, verdict, worth_a_try
from mtgen.errors import DecodeError, MtgenError, PlanError, StoreError
from mtgen.loader import Loader
from mtgen.settings import check_kind

Say = Callable[[str], None]

LOADER_SHARE = 0.12
"""Of the time, for the loader alone."""

TRAINING_SHARE = 0.3
"""Of the time, for the model, which is compiled before."""

COMPILE_SHARE = 0.4
"""Of the time, what compiling the model may take on top: 40 s are under a minute then."""

SAMPLE_SECONDS = 0.7
"""Least time to make a copy of a sample, beside that of comparing it."""

BIND_SECONDS = 4e-6
"""To take the path of one row out of the table, for a recipe."""


def examine(loader: Loader, model: Any = None, *, seconds: float = 40.0, say: Say | None = None) -> Report:
    """Measure whether data is the bottleneck, and what each change would give.

    Call it from the main thread. The loader, its dataset and its files are not changed, nor its steps and counters: all
    work is done by twins of it. The model trains some steps and is put back as it was. Copies of samples go into a
    temporary folder that is removed at the end, also on an error or Ctrl-C.

    Args:
        loader: as it is used for training.
        model: a compiled Keras model, to measure its steps; None for figures of the loader alone.
        seconds: what the measurements may take together, > 0; a batch or a step in work is finished. Compiling the
            model comes on top, as far as it takes less than 40 percent of them, else it takes time from the others.
        say: told what is measured now, a line at a time.

    Raises:
        DecodeError, StoreError: samples that cannot be read with the present settings.
        ModelError: the model is not compiled, or does not fit the loader.
        PlanError: `seconds` is no number > 0.

    Example:
        >>> table = pd.DataFrame({"age": range(64), "ill": [0, 1] * 32})
        >>> data = mtgen.Dataset(table, inputs={"age": mtgen.Columns("age")}, targets="ill")
        >>> report = examine(mtgen.Loader(data, 8, num_workers=1), seconds=0.5)
        >>> report.verdict.binds, report.delivery.rows_per_second > 0
        ('unknown', True)
    """
    check_kind("loader", loader, Loader, "a mtgen.Loader")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if not number or not 0 < seconds < math.inf:
        raise PlanError(f"seconds must be a number > 0, received {seconds!r}")
    with ExitStack() as stack:
        return _Examination(loader, float(seconds), say or _silent, stack).report(model)


def _silent(text: str) -> None:
    """Tells nobody."""


class _Examination:
    def __init__(self, loader: Loader, seconds: float, say: Say, stack: ExitStack) -> None:
        self.loader, self.seconds, self.say, self.stack = loader, seconds, say, stack
        self.began = time.perf_counter()
        self.present = stack.enter_context(twin(loader, stall_seconds=seconds))
        self.place = Place()
        self.more_seconds = 0.0

    @property
    def left(self) -> float:
        return self.seconds + self.more_seconds - (time.perf_counter() - self.began)

    def report(self, model: Any) -> Report:
        self.say("reading the first batches")
        batch_seconds = self._first()
        training, steps, start = None, None, None
        if model is not None:
            steps = self.stack.enter_context(Steps(model, self.present))
            self.say("compiling the model and taking its first steps")
            start = steps.start(replay_of(self.present), self.present)
            self.more_seconds = min(start.seconds, COMPILE_SHARE * self.seconds)
            self.say("training with one batch over and over, and with the loader")
            training = self._training(steps, start, batch_seconds)
        self.say("the loader alone")
        share = min(LOADER_SHARE * self.seconds, max(self.left, 0.0))
        delivery = measure.delivery(self.present, self.place, slices(2 * share, batch_seconds))
        findings = self._findings(delivery, training, steps, start)
        return Report(
            dataset=self._described(),
            delivery=delivery,
            training=training,
            findings=tuple(findings),
            verdict=verdict(delivery, training, findings),
            seconds=time.perf_counter() - self.began,
        )

    def _described(self) -> str:
        loader = self.loader
        inputs = ", ".join(f"{name} {spec}" for name, spec in loader.dataset.input_specs.items())
        forecast = loader.forecast
        return (
            f"{len(loader.dataset):,} samples ({inputs}); batches of {loader.batch_size}, "
            f"{loader.num_workers} workers, window {forecast.window}, depth {forecast.depth}, memory "
            f"{forecast.total_bytes:,} bytes"
        )

    def _first(self) -> float:
        """Seconds that a batch takes, roughly.

        Raises:
            MtgenError: the samples cannot be read.
        """
        try:
            return 1 / measure.deliver(self.present, self.place, 0.04 * self.seconds).rate * self.present.batch_size
        except (DecodeError, StoreError) as error:
            raise type(error)(
                f"{error.message}. Samples that cannot be read leave nothing to measure: mtgen verify lists all of "
                'them; on_error="refill" or "mask" examines the others',
                row=error.row,
                path=error.path,
                step=error.step,
            ) from error

    def _training(self, steps: Steps, start: Start, batch_seconds: float) -> Training:
        step_seconds = max(start.step_seconds, batch_seconds)
        share = TRAINING_SHARE * max(self.left, self.seconds / 2)
        replay = replay_of(self.present)
        plan = slices(share, step_seconds)
        headroom, real, _ = in_turn(
            lambda seconds: steps.train(self.present, self.place, seconds),
            lambda seconds: steps.replay(replay, seconds),
            plan,
            time.perf_counter() + share,
        )
        size = self.present.batch_size
        waits = sum(one.wait_seconds for one in real) / sum(one.seconds for one in real)
        return Training(
            replay_seconds=size / headroom.changed,
            step_seconds=size / headroom.present,
            wait_share=min(1.0, max(0.0, waits)),
            headroom=headroom,
        )

    def _findings(
        self, delivery: Delivery, training: Training | None, steps: Steps | None, start: Start | None
    ) -> list[Finding]:
        possible, impossible = changes(facts_of(self.loader, trains=steps is not None))
        possible, left_out = worth_a_try(possible, delivery)
        trials = Trials(self.present, self.place, delivery, training, self.seconds)
        wishes = [self._wish(one, delivery, training, start) for one in possible]
        plan = schedule(wishes, self.left)
        findings: list[Finding] = []
        for change, wish in zip(possible, wishes, strict=True):
            problem = plan.skipped.get(change.name, "")
            if not problem and self.left < wish.least_seconds / LEAST_ROUNDS:
                problem = f"the time of {self.seconds:.0f} s was up: what came before took longer than planned"
            if problem:
                findings.append(Finding(change=change, problem=f"{problem}; --seconds gives more"))
                continue
            self.say(change.name)
            findings.append(self._tried(trials, change, min(plan.seconds[change.name], self.left), steps))
        findings += [Finding(change=change, problem=reason) for change, reason in (*left_out, *impossible)]
        return findings

    def _tried(self, trials: Trials, change: Change, seconds: float, steps: Steps | None) -> Finding:
        """A what-if that fails is reported; the others go on."""
        try:
            return trials.run(change, seconds, steps)
        except MtgenError as error:
            return Finding(change=change, problem=f"failed: {error}")
        except Exception as error:
            return Finding(change=change, problem=f"failed: {type(error).__name__}: {error}")

    def _wish(self, change: Change, delivery: Delivery, training: Training | None, start: Start | None) -> Wish:
        window, workers = self.present.forecast.window, self.present.num_workers
        if change.kind in ("pack", "memory", "blocks"):
            size, seconds = delivery.batch_size, delivery.share("gather") * delivery.batch_seconds
        else:
            size, window = finer_batch(delivery.batch_size, delivery.batch_seconds), 1
            seconds = delivery.batch_seconds * size / delivery.batch_size
        if change.kind == "workers":
            workers = max(workers, change.value)
        least, setup = least_comparison(seconds, burst(size, workers, window)), 0.0
        if change.kind == "batch" and training is not None and start is not None:
            least, setup = least_comparison(2 * training.replay_seconds), start.seconds
        if change.kind in ("cache", "pack"):
            setup = SAMPLE_SECONDS + 2 * LEAST_SAMPLE_BATCHES * delivery.batch_seconds
        elif change.kind == "recipe":
            setup = BIND_SECONDS * len(self.loader.dataset.table) + least_slice(seconds)
        least += setup
        return Wish(name=change.name, least_seconds=least, most_seconds=max(least, self.seconds / 8))
