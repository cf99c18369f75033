"""Loaders as what Keras trains on. The only way from a loader to Keras; `mtgen.training` builds models with it.

What Keras 3 does with a `PyDataset` decides the code here (docs/decisions/0003-keras-carrier.md): `fit` shuffles batch
numbers by default, looks at batches before training, and calls hooks in an order of its own per backend. So batches
are handed out in the order in which Keras asks, whatever number it asks for.
"""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pandas as pd

from mtgen.adapters.feed import Feed, Pass
from mtgen.adapters.structure import Structure
from mtgen.batch import Batch
from mtgen.doors import find_device
from mtgen.errors import ModelError, PlanError
from mtgen.waits import ProcessTurns

if TYPE_CHECKING:
    from mtgen.loader import Loader


_ONE_EACH = "Give each loop a dataset of its own: loader.keras() once for fit, once for evaluate or predict"


class KerasDataset(keras.utils.PyDataset):
    """A loader as a finite `PyDataset`: one epoch of it is one mtgen epoch, or `steps_per_epoch` steps.

    Batches come in mtgen's order, also with `fit(shuffle=True)`: what counts is how many batches of a pass Keras asked
    for before, not their numbers. Reading `num_batches` is how Keras starts a pass; use `len` to look.

    Args:
        feed: the loader's steps.
        structure: how batches are laid out for the model.
    """

    def __init__(self, feed: Feed, structure: Structure) -> None:
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=1)
        self.feed = feed
        self.structure = structure
        self._asking = ProcessTurns("find the next batch of a pass")
        self._pass: Pass | None = None
        self._asked: dict[int, int] = {}
        self._started = self._between = False
        self._adapter: Any = None
        self._loop: Any = None
        self._former_loops: list[Any] = []

    @property
    def num_batches(self) -> int:
        """Batches in one pass."""
        self._started = True
        return self.feed.num_batches

    def __len__(self) -> int:
        return self.feed.num_batches

    @property
    def workers(self) -> int:
        """Always 1: mtgen brings workers of its own."""
        return 1

    @workers.setter
    def workers(self, value: int) -> None:
        if value > 1:
            raise PlanError(
                f"workers={value} would let Keras ask out of order; mtgen has workers of its own: "
                f"Loader(..., num_workers={value})"
            )

    def on_epoch_begin(self) -> None:
        """Called by Keras around passes."""
        self._between = True

    def on_epoch_end(self) -> None:
        """Called by Keras around passes."""
        self._between = True
        # Keras's own object around this one, which it hands to nobody: it is who calls.
        self._adapter = sys._getframe(1).f_locals.get("self")

    @property
    def can_leave_epoch(self) -> bool:
        """Whether this version of Keras allows an epoch to be ended early and training to go on."""
        return callable(getattr(self._adapter, "on_epoch_end", None))

    def leave_epoch(self) -> None:
        """Tell Keras that an epoch which `stop_training` ended is over; it forgets to, and refuses the next one."""
        self._adapter.on_epoch_end()

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} was asked for, a pass has batches 0 to {len(self) - 1}")
        caller = sys._getframe(1)  # Keras walks over a pass in a generator, one for each pass
        with self._asking.here:
            if any(caller is one for one in self._former_loops):
                raise PlanError(
                    f"a loop goes on with batch {index} after another loop over the same dataset began in between, and "
                    f"would get other rows. {_ONE_EACH}"
                )
            whole = len(self._asked) >= len(self)
            if self._pass is None or (self._started and (self._between or whole)):
                self._refuse_class_weight(caller.f_locals.get("self"))
                self._pass, self._asked = self.feed.begin(), {}
                self._former_loops = [*self._former_loops[-3:], self._loop]
                self._loop = caller if caller.f_code.co_flags & inspect.CO_GENERATOR else None
                self._former_loops = [one for one in self._former_loops if one not in (None, self._loop)]
            self._started = self._between = False
            if index in self._asked and self._asked[index] != len(self._asked) - 1:
                raise PlanError(
                    f"batch {index} of a pass was asked for again: another loop reads the same dataset in between. "
                    f"{_ONE_EACH}"
                )
            place = self._asked.setdefault(index, len(self._asked))
            current = self._pass
        return self.structure.arrange(self.feed.serve(current, place))

    def _refuse_class_weight(self, adapter: Any) -> None:
        """Keras takes it for one output only, and does not look here: it would read several targets as one array."""
        if getattr(adapter, "class_weight", None) is not None and len(self.structure.targets) > 1:
            raise PlanError(
                "fit(class_weight=...) is for models of one output, and there are targets "
                f"{list(self.structure.targets)}. Give each its own weights: "
                "data.with_weight({target: mtgen.ClassWeights({class: weight}), ...})"
            )


def dataset(loader: Loader, model: keras.Model | None = None, *, steps_per_epoch: int | None = None) -> Any:
    """What `fit`, `evaluate` and `predict` take as `x`.

    On the jax and torch backends a `keras.utils.PyDataset`; on tensorflow a `tf.data.Dataset`, because Keras reads a
    `PyDataset` ahead there and nobody could tell what was trained. Without `model`, several inputs come as a tuple in
    the dataset's order (one input as an array), several targets likewise.

    Args:
        loader: where batches come from; the first pass starts at `loader.step`.
        model: checked against the loader, and its inputs decide whether batches hold tuples or dicts.
        steps_per_epoch: steps in one Keras epoch, where it is not a whole mtgen epoch; the next one goes on from
            there. Use this instead of `fit(steps_per_epoch=...)`.

    Raises:
        ModelError: the model's inputs or targets do not fit.
    """
    if loader.batching.pad_last:
        raise PlanError(
            "pad_last fills batches with empty slots of weight 0, and Keras counts them all the same in plain metrics "
            "and in the mean of the loss. Leave pad_last out, Keras takes a short last batch; or use drop_last=True. "
            "loader.predict works with pad_last"
        )
    if model is not None:
        check(loader, model)
    if loader.on_device:
        find_device()  # which a backend may not have
    masks = loader.on_error.policy == "mask"
    return _carrier(Feed(loader, steps_per_epoch), Structure.of(loader.dataset, model, weighted=masks))


def _carrier(feed: Feed, structure: Structure) -> Any:
    """What the backend takes as `x`, with its limits on integers minded, and values taken where they are held."""
    loader = feed.loader
    takes = {name: partial(loader.take_on_device, name) for name in loader.on_device if name in structure.inputs}
    structure = replace(structure, narrow=narrows(), takes=takes)
    if keras.backend.backend() == "tensorflow":
        from mtgen.adapters import tensorflow

        return tensorflow.dataset(feed, structure)
    return KerasDataset(feed, structure)


def narrows() -> bool:
    """Whether the backend cuts integers to 32 bits, as jax does unless told otherwise."""
    wide = np.array([2**40], np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(wide)))[0] != wide[0])


def check(loader: Loader, model: keras.Model) -> None:
    """Compare a model's inputs and outputs with what the loader delivers.

    Raises:
        ModelError: lists every mismatch, with what the model takes and what the loader gives.
    """
    Structure.of(loader.dataset, model).check(loader.dataset, model)


def check_order(loader: Loader, model: keras.Model) -> None:
    """Refuse a model whose inputs are named as the dataset's, in another order, where batches go by position.

    Raises:
        ModelError: the two orders, and what to write instead.
    """
    Structure.of(loader.dataset).check_order(model)


def predict(loader: Loader, model: keras.Model, **options: Any) -> pd.DataFrame:
    """The model's predictions for the rows of epoch 0, each with its row.

    Args:
        loader: which rows; `drop_last` leaves some out.
        model: a Keras model whose outputs have one or two axes.
        **options: passed on to `model.predict`, such as `verbose=0`.

    Returns:
        One line per row, indexed by the table's index labels, so that `table.join` works: column `row`, then each
        output under its name, or under `name_0`, `name_1`, ... where it has several values. A row that could not be
        read, where `on_error` lets that pass, has NaN: nothing was predicted for it.

    Raises:
        ModelError: an output with more than two axes.
    """
    if loader.on_device:
        find_device()  # which a backend may not have
    feed = _NotingFeed(loader)
    feed.go_to(0)
    structure = Structure.of(loader.dataset, model)
    steps = range(loader.steps_per_epoch)
    rows = np.concatenate(loader.plan().slots(0, steps))
    outputs = model.predict(_carrier(feed, structure.inputs_only()), **options)
    real = rows >= 0
    delivered = np.concatenate([feed.delivered[step] for step in steps])
    columns: dict[str, np.ndarray] = {"row": rows[real]}
    for name, values in _named_outputs(model, outputs).items():
        if name == "row":
            raise ModelError("an output of the model is called 'row', as the column of rows is: name it otherwise")
        if values.ndim > 2:
            raise ModelError(
                f"output {name!r} has shape {values.shape}; a frame holds outputs of one or two axes. Use "
                "model.predict with Loader(..., shuffle=False), whose rows are loader.dataset.rows in order"
            )
        wide = _without(values.reshape(len(values), -1), delivered != rows)[real]
        names = [name] if wide.shape[1] == 1 else [f"{name}_{place}" for place in range(wide.shape[1])]
        columns.update({label: wide[:, place] for place, label in enumerate(names)})
    return pd.DataFrame(columns, index=loader.dataset.table.index[rows[real]])


class _NotingFeed(Feed):
    """A feed that notes which rows it delivered at each step."""

    def __init__(self, loader: Loader) -> None:
        super().__init__(loader)
        self.delivered: dict[int, np.ndarray] = {}

    def serve(self, one: Pass, place: int) -> Batch:
        batch = super().serve(one, place)
        self.delivered[one.start + place] = batch.rows
        return batch


def _without(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The values, with NaN in missing lines."""
    if not missing.any():
        return values
    values = values.astype(np.result_type(values, np.float32))
    values[missing] = np.nan
    return values


def _named_outputs(model: keras.Model, outputs: Any) -> dict[str, np.ndarray]:
    if isinstance(outputs, Mapping):
        return {str(name): np.asarray(values) for name, values in outputs.items()}
    flat = outputs if isinstance(outputs, list | tuple) else [outputs]
    names = list(getattr(model, "output_names", None) or [])
    if len(names) != len(flat):
        names = ["output"] if len(flat) == 1 else [f"output_{place}" for place in range(len(flat))]
    return {name: np.asarray(values) for name, values in zip(names, flat, strict=True)}


class Progress(keras.callbacks.Callback):
    """Counts the steps that were really trained, and adds `data_wait` (seconds) to the logs of each epoch.

    With it a second `fit` on the same `x` goes on right after the last trained batch, also where the first one stopped
    in the middle of an epoch; without it such an epoch is started again.

    Args:
        x: what `loader.keras()` returned.
    """

    def __init__(self, x: Any) -> None:
        super().__init__()
        feed = getattr(x, "feed", None)
        if not isinstance(feed, Feed):
            raise ModelError(f"Progress needs what loader.keras() returned, received {type(x).__name__}")
        self._feed = feed
        self._structure: Structure | None = getattr(x, "structure", None)
        # Noted before Keras looks at batches: where a pass is a single batch, a look cannot be told from a pass.
        feed.trained_step = self.step
        self._first_step = self._epoch_start = self.step
        self._waited = 0.0

    @property
    def step(self) -> int:
        """The step after the last trained one."""
        next_step, trained = self._feed.next_step, self._feed.trained_step
        return next_step if trained is None else trained

    def state(self) -> dict[str, Any]:
        """The loader's state after the last trained step."""
        return self._feed.loader.state(self.step)

    def on_train_begin(self, logs: Any = None) -> None:
        """Start the next pass right after the last trained step.

        Raises:
            PlanError: `fit(steps_per_epoch=...)` does not divide the pass, so that Keras would cut epochs short.
        """
        num_batches, asked = self._feed.num_batches, self.params.get("steps")
        if asked and num_batches % asked:
            raise PlanError(
                f"fit(steps_per_epoch={asked}) does not divide the {num_batches} steps of one pass, and Keras would "
                f"cut epochs short. Write loader.keras(steps_per_epoch={asked}) and leave steps_per_epoch out of fit: "
                "then each epoch has that many steps, and the next one goes on from there"
            )
        if self._structure is not None:
            self._structure.check_order(self.model)
        self._first_step = self.step
        self._feed.start_training(self._first_step)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note where waiting stands.

        Raises:
            PlanError: somebody else read from `x` meanwhile.
        """
        step = self.step
        if not (step - self._first_step) % self._feed.num_batches and self._feed.next_step != step:
            raise PlanError(
                f"{step} steps were trained, but step {self._feed.next_step} would come next: something else reads "
                "the same "
                "dataset. Give validation, and every other loop, a loader.keras() of its own"
            )
        self._epoch_start = step
        self._waited = self._feed.loader.stats().wait_seconds

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Count trained steps; `batch` jumps with `steps_per_execution`."""
        if not self._feed.is_read:
            raise PlanError(
                "a step was trained, and nothing was read from the dataset that this callback was made for. Make x "
                "once, x = loader.keras(model), and give the same x to fit and to its callbacks"
            )
        # With steps_per_execution the number runs past the end of an epoch that has a rest.
        batch = min(batch, (self.params.get("steps") or self._feed.num_batches) - 1)
        # From the epoch's start, so that two callbacks on one dataset count each step once.
        self._feed.note_trained(self._epoch_start + batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add `data_wait`: seconds of this epoch in which training waited for batches."""
        if logs is not None:
            # The first callback counts: a checkpoint knows what was waited before the epoch was resumed.
            logs.setdefault("data_wait", self._feed.loader.stats().wait_seconds - self._waited)
