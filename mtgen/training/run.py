"""A training run: fit on the train split, watch the valid split, evaluate the test split once at the end."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import ModelError, MtgenError, PlanError, StateError
from mtgen.inputs.images import BoundImages
from mtgen.loader import Loader
from mtgen.metrics import Stats
from mtgen.pending import Field
from mtgen.repair import repairable
from mtgen.training.merged import Output, Scaling, Width, merged_model
from mtgen.training.samples import make_dataset, make_splits, num_classes, with_inputs
from mtgen.training.saving import bad_rows_report, check_run, checkpoint_callback, part_of, save_model, saved_on_sigterm
from mtgen.training.settings import Fit, Run, Samples

if TYPE_CHECKING:
    import keras

SCALING_ROWS = 4096
"""Training rows that features and number targets are scaled by: the mean is then known to 1.6 % of a deviation."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What one training run came to.

    Args:
        name: what was trained, such as `merged`.
        metric: `accuracy` or `mean absolute error`.
        test: the metric on the test split, evaluated once, after training.
        valid: the metric on the valid split after the last epoch.
        num_rows: rows trained on, over all epochs, but for those before the run was resumed.
        num_test_rows: rows of the test split.
        seconds: time in `fit`.
        stats: what the train loader did meanwhile, batches that Keras only looked at included.
        history: the logs of each epoch.
        model: the trained model.
    """

    name: str
    metric: str
    test: float
    valid: float
    num_rows: int
    num_test_rows: int
    seconds: float
    stats: Stats
    history: Mapping[str, list[float]]
    model: keras.Model

    @property
    def wait_share(self) -> float:
        """Share of the time in `fit` in which training waited for batches, 0 to 1."""
        return self.stats.wait_seconds / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        joint = "," if "," in self.name else ""
        shown = f"{self.test:.2f}" if self.metric == "accuracy" else f"{self.test:.4g}"
        return f"{self.name}{joint} test {self.metric}: {shown}"


def train(
    samples: Samples | None = None,
    fit: Fit | None = None,
    run: Run | None = None,
    *,
    say: Say = print,
    bar: bool | None = None,
) -> Result:
    """Train the model on the samples and evaluate it on the test split.

    Call it from the main thread. It sets no global seed: weights, order and split follow `fit.seed`. It writes files
    only where `run` names a folder; while it fits then, SIGTERM saves a checkpoint and ends the process.

    Args:
        samples: what to train on; None takes the digits.
        fit: how.
        run: where checkpoints and the model go; None for nowhere.
        say: where lines of progress go.
        bar: True for Keras's own progress bar, False for plain lines, None for a bar in a terminal.

    Raises:
        MtgenError: see `make_dataset` and `Loader`.
    """
    samples, fit, run = samples or Samples(), fit or Fit(), run or Run()
    check_run(run)
    parts = make_splits(make_dataset(samples), samples, seed=fit.seed)
    say(_described(parts["train"], parts["valid"], parts["test"]))
    names = tuple(parts["train"].input_specs)
    return train_model(_name(names), dict(zip(parts.names, parts, strict=True)), fit, run, say=say, bar=bar)


def ablate(
    samples: Samples | None = None,
    fit: Fit | None = None,
    run: Run | None = None,
    *,
    say: Say = print,
    bar: bool | None = None,
) -> list[Result]:
    """Train four times on the same split with the same seed: each input alone, both, and both with features shifted.

    Args:
        samples: what to train on, with pictures and features; None takes the digits.
        fit: how.
        run: where checkpoints and models go, each training in a folder of its own under it; None for nowhere.
        say: where lines of progress go.
        bar: see `train`.

    Returns:
        Results of picture alone, features alone, merged, and merged with every row given the next row's features.

    Raises:
        PlanError: the samples have one input only.
    """
    samples, fit, run = samples or Samples(), fit or Fit(), run or Run()
    whole = make_dataset(samples)
    if len(whole.input_specs) < 2:
        raise PlanError(
            f"an ablation compares two inputs, these samples have {list(whole.input_specs)} only: name "
            "--image-column and --features"
        )
    parts = make_splits(whole, samples, seed=fit.seed)
    say(_described(parts["train"], parts["valid"], parts["test"]))
    runs = [
        (("image",), False),
        (("features",), False),
        (("image", "features"), False),
        (("image", "features"), True),
    ]
    named = [
        (_name(names) + (", features shifted one row" if shifted else ""), names, shifted) for names, shifted in runs
    ]
    for name, _, _ in named:
        check_run(part_of(run, name))
    results = []
    for name, names, shifted in named:
        say(f"{name}:")
        other = {part: with_inputs(parts[part], names, samples, shifted=shifted) for part in parts.names}
        results.append(train_model(name, other, fit, part_of(run, name), say=say, bar=bar))
    return results


def train_model(
    name: str,
    parts: Mapping[str, Dataset],
    fit: Fit,
    run: Run | None = None,
    *,
    say: Say = print,
    bar: bool | None = None,
    width: Width | None = None,
) -> Result:
    """Build the model for the datasets `train`, `valid` and `test`, fit it and evaluate it.

    Args:
        name: of the result.
        parts: the three datasets.
        fit: how.
        run: where checkpoints and the model go; None for nowhere.
        say: where lines of progress go.
        bar: see `train`.
        width: size of the model.

    Raises:
        ModelError: the loss is no number after training.
    """
    first = parts["train"]
    scalings, output = _measured(first, fit)
    model = merged_model(first.input_specs, output, scalings=scalings, seed=fit.seed, width=width)
    report = bad_rows_report(run or Run())
    loaders = {part: make_loader(data, fit, shuffle=part == "train", report=report) for part, data in parts.items()}
    try:
        return _fitted(name, model, loaders, fit, run or Run(), say, sys.stdout.isatty() if bar is None else bar)
    finally:
        for loader in loaders.values():
            loader.close()


def _fitted(
    name: str, model: keras.Model, loaders: Mapping[str, Loader], fit: Fit, run: Run, say: Say, bar: bool
) -> Result:
    import keras

    steps = fit.epochs * loaders["train"].steps_per_epoch
    rate = keras.optimizers.schedules.CosineDecay(fit.learning_rate, steps)
    classifies = model.output_shape[-1] > 1
    loss, metric = ("sparse_categorical_crossentropy", "accuracy") if classifies else ("mse", "mae")
    # Of masked samples no metric may know either.
    kind = "weighted_metrics" if fit.on_error == "mask" else "metrics"
    model.compile(keras.optimizers.Adam(rate), loss, **{kind: [metric]})
    lines = _plain_lines(loaders["train"], fit.epochs, metric, say)
    x = loaders["train"].keras(model)
    checkpoint = checkpoint_callback(run, loaders["train"], x, say)
    saving = [] if checkpoint is None else [checkpoint, loaders["train"].order_log(x, run.run)]
    began = time.perf_counter()
    try:
        with saved_on_sigterm(checkpoint):
            history = model.fit(
                x,
                epochs=fit.epochs,
                validation_data=loaders["valid"].keras(model),
                verbose="auto" if bar else 0,
                shuffle=False,
                callbacks=[*saving, *([] if bar else [lines])],
            ).history
    except StateError as error:
        if "decay_steps" not in error.message:
            raise
        # The learning rate falls to 0 with the last epoch, so more epochs are another run.
        raise StateError(
            f"{error.message}. The learning rate of mtgen train falls over all epochs: give the --epochs, --batch-size "
            "and --learning-rate that the run began with",
            path=error.path,
        ) from error
    seconds = time.perf_counter() - began
    if not math.isfinite(history["loss"][-1]):
        raise ModelError(
            f"the loss became {history['loss'][-1]} while training {name!r}: look for missing or huge values in the "
            "inputs, or lower --learning-rate"
        )
    path = save_model(run, model)
    if path is not None:
        say(f"the model is in {path}")
    test = model.evaluate(loaders["test"].keras(model), verbose=0, return_dict=True)
    _say_bad_rows(loaders, fit, run, say)
    return Result(
        name=name,
        metric="accuracy" if classifies else "mean absolute error",
        test=float(test[metric]),
        valid=float(history[f"val_{metric}"][-1]),
        num_rows=_num_rows(loaders["train"], 0 if checkpoint is None else checkpoint.start_step, steps),
        num_test_rows=len(loaders["test"].dataset),
        seconds=seconds,
        stats=loaders["train"].stats(),
        history=history,
        model=model,
    )


def _num_rows(loader: Loader, start: int, stop: int) -> int:
    """Rows of the steps from `start` to before `stop`."""

    def before(step: int) -> int:
        epoch, step_in_epoch = divmod(step, loader.steps_per_epoch)
        return epoch * len(loader.dataset) + step_in_epoch * loader.batch_size

    return max(0, before(stop) - before(start))


def make_loader(dataset: Dataset, fit: Fit, *, shuffle: bool, report: Path | None = None) -> Loader:
    """The loader that a run uses: shuffled for training, in order for evaluation; bad rows go to `report`."""
    return Loader(
        dataset,
        fit.batch_size,
        seed=fit.seed,
        shuffle="exact" if shuffle else False,
        num_workers=fit.workers,
        memory="auto" if fit.memory is None else fit.memory,
        on_error=replace(fit.error_policy, report=report),
    )


def _say_bad_rows(loaders: Mapping[str, Loader], fit: Fit, run: Run, say: Say) -> None:
    """What was refilled or masked is said at the end too."""
    counts = {part: len(loader.quarantine()) for part, loader in loaders.items()}
    if any(counts.values()):
        what = "another row in their place" if fit.on_error == "refill" else "no weight"
        where = "" if run.run is None else f"; {bad_rows_report(run)} lists them"
        said = ", ".join(f"{number} of {part}" for part, number in counts.items() if number)
        say(f"rows that could not be read: {said}; they got {what}{where}")


def _measured(dataset: Dataset, fit: Fit) -> tuple[dict[str, Scaling], Output]:
    """Scalings of features and of a number target, from rows spread evenly over the train split.

    Rows that cannot be read are left out here where `fit.on_error` lets them pass; the loader counts and lists them.
    """
    places = np.unique(np.linspace(0, len(dataset) - 1, min(SCALING_ROWS, len(dataset))).astype(np.int64))
    rows = dataset.rows[places]
    values: dict[tuple[str, str], np.ndarray] = {}
    kept: dict[tuple[str, str], np.ndarray] = {}
    for one in dataset.fields:
        if not isinstance(one.bound, BoundImages):
            kept[one.role, one.name], values[one.role, one.name] = _readable(one, rows, fit)
    for (role, name), array in values.items():
        wrong = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
        if wrong.any():
            raise ModelError(
                f"{role} {name!r} has values that are missing or infinite in {int(wrong.sum())} of {len(wrong)} rows "
                "looked at, and no model learns from them; fill them in",
                row=int(kept[role, name][np.argmax(wrong)]),
            )
    scalings = {name: Scaling.of(array) for (role, name), array in values.items() if role == "input"}
    classes = num_classes(dataset)
    (target,) = [array for (role, _), array in values.items() if role == "target"]
    return scalings, Output(num_classes=classes, scaling=None if classes else Scaling.of(target))


def _readable(one: Field, rows: np.ndarray, fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """The rows that can be read, and their values."""
    found = one.spec.empty(len(rows))
    try:
        one.bound.fetch(rows, found)
    except MtgenError as error:
        if fit.on_error == "raise" or not repairable(error):
            raise
    else:
        return rows, found
    read = np.ones(len(rows), bool)
    for place in range(len(rows)):
        try:
            one.bound.fetch(rows[place : place + 1], found[place : place + 1])
        except MtgenError as error:
            if not repairable(error):
                raise
            read[place] = False
    if not read.any():
        raise ModelError(f"none of {len(rows)} rows of {one.role} {one.name!r} can be read: is the disk there?")
    return rows[read], found[read]


def _plain_lines(loader: Loader, epochs: int, metric: str, say: Say) -> Any:
    """A callback that says about ten lines per run."""
    import keras

    every = max(1, epochs // 10)
    word = "accuracy" if metric == "accuracy" else "mean absolute error"

    def told(epoch: int, logs: Mapping[str, float]) -> None:
        if (epoch + 1) % every == 0 or epoch + 1 == epochs:
            say(
                f"  epoch {epoch + 1:{len(str(epochs))}d} of {epochs}: loss {logs['loss']:.4f}, "
                f"valid {word} {logs[f'val_{metric}']:.4g}"
            )

    return keras.callbacks.LambdaCallback(on_epoch_end=told)


def _name(names: tuple[str, ...]) -> str:
    return "merged" if len(names) > 1 else "picture alone" if names == ("image",) else "features alone"


def _described(train: Dataset, valid: Dataset, test: Dataset) -> str:
    inputs = ", ".join(f"{name} {spec}" for name, spec in train.input_specs.items())
    classes = num_classes(train)
    (target,) = train.target_specs
    kind = f"one of {classes} classes" if classes else "a number (regression: mean absolute error is shown)"
    return (
        f"{len(train.table)} rows: {len(train)} train, {len(valid)} valid, {len(test)} test. Inputs: {inputs}. "
        f"Target {target!r}: {kind}."
    )


def conclusion(results: list[Result]) -> str:
    """One sentence on what an ablation proves, from its own numbers."""
    picture, features, merged, shifted = (result.test for result in results)
    if results[0].metric == "accuracy":
        # Two standard errors of a share counted on that many rows.
        margin = 2 * math.sqrt(max(merged * (1 - merged), 0.01) / results[0].num_test_rows)
        better, word = merged - max(picture, features, shifted) > margin, "higher"
    else:
        # No law is known for a mean of errors: a tenth is more than chance gives on a hundred rows or more.
        better, word = merged < 0.9 * min(picture, features, shifted), "lower"
    if better:
        return (
            f"The {results[0].metric} is {word} with both inputs than with either alone, and the gain is gone when the "
            "features come from the row beside: so each picture met its own features."
        )
    return (
        "Both inputs together are not clearly better than each alone and than the shifted ones, so these numbers prove "
        "nothing about alignment: either one input says it all, or the features belong to other rows."
    )


def waiting(results: list[Result]) -> str:
    """One sentence on where the time went."""
    seconds = sum(result.seconds for result in results)
    waited = sum(result.stats.wait_seconds for result in results)
    rows = sum(result.num_rows for result in results)
    share = waited / seconds if seconds else 0.0
    return (
        f"Training took {seconds:.1f} s for {rows:,} rows, and {waited:.1f} s of it ({share:.0%}) was waiting for data."
    )
