"""Old code keeps working: the DataFrame generator of 2017, and `fit_generator` for models that lost that method.

New code needs neither: `mtgen.Loader(...).keras()` goes into `model.fit` as it is. See docs/migrating.md.
"""

from __future__ import annotations

import types
from collections.abc import Generator
from typing import Any

import numpy as np
import pandas as pd

from mtgen.adapters import pulled
from mtgen.batch import Batch
from mtgen.dataset import Dataset
from mtgen.errors import AlignmentError, PlanError, TableError
from mtgen.inputs.images import Images
from mtgen.inputs.rows import BoundRows, Rows
from mtgen.loader import Loader
from mtgen.table import check_complete, check_table, column
from mtgen.waits import ProcessTurns

USE = "generator_from_df"


class BatchGenerator(Generator[tuple[Any, np.ndarray], None, None]):
    """What `generator_from_df` returns: batches for ever, from any number of threads.

    It is a generator in all that it does, and for `isinstance`: the object says through `__class__` that it is a
    `types.GeneratorType`, which is all that Keras asks. A generator object of Python's own would refuse the second of
    two threads (docs/decisions/0004-compat-generator.md).

    Any thread may call any method. Each `next` gives the batch of the next step, whose arrays the caller owns; threads
    wait only for their own batch. A sample that cannot be read raises at its batch, and the next `next` gives the batch
    after it.

    Attributes:
        loader: where the batches come from; `loader.stats()` says where the time went.
    """

    def __init__(self, loader: Loader, target: np.ndarray, debug_merged: bool) -> None:
        self.loader = loader
        self._target = target
        self._debug_merged = debug_merged
        self._stream = loader.stream() if loader.num_workers else None
        self._turns = ProcessTurns("count steps")
        self._step = 0
        self._closed = False

    @property  # type: ignore[misc]  # read by isinstance where type() does not fit
    def __class__(self) -> type:
        """`types.GeneratorType`, for `isinstance`."""
        return types.GeneratorType

    @property
    def step(self) -> int:
        """The step that the next `next` gives, 0-based."""
        return self._step

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch; the rows that fill no whole batch are left out of it."""
        return self.loader.steps_per_epoch

    def __iter__(self) -> BatchGenerator:
        return self

    def __next__(self) -> tuple[Any, np.ndarray]:
        with self._turns.here:
            if self._closed:
                raise StopIteration
            step, self._step = self._step, self._step + 1
        # Without workers each consumer reads its own batch; a stream would let in one at a time.
        stream = self._stream
        return self._arranged(self.loader.batch(step) if stream is None else self.loader.take_from(stream, step))

    def send(self, value: None) -> tuple[Any, np.ndarray]:
        """The same as `next`; nothing can be sent.

        Raises:
            TypeError: a value other than None.
        """
        if value is not None:
            raise TypeError(f"nothing can be sent into this generator, received {value!r:.100}; use next()")
        return next(self)

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> tuple[Any, np.ndarray]:
        """Close, then raise what was given."""
        self.close()
        return super().throw(typ, val, tb)

    def close(self) -> None:
        """Stop the workers; every later `next` raises StopIteration."""
        with self._turns.here:
            self._closed = True
        if self._stream is not None:
            self._stream.close()
        self.loader.close()

    def __reduce__(self) -> Any:
        raise TypeError("a generator cannot be pickled or copied; make it again from the DataFrame where it is needed")

    def __repr__(self) -> str:
        return f"generator_from_df at step {self._step} of {self.loader!r}"

    def give_back(self, first: int, num_taken: int, num_used: int) -> None:
        """Let steps that were taken and not used come again, unless others took some in between.

        Args:
            first: the step before anything was taken.
            num_taken: steps taken from there on.
            num_used: how many of them, from the first on, were used.
        """
        with self._turns.here:
            if self._step == first + num_taken:
                self._step = first + num_used

    def _arranged(self, batch: Batch) -> tuple[Any, np.ndarray]:
        if self._debug_merged:
            check_encoded(self.loader.dataset, batch)
        pixels = _scaled(batch.inputs["image"])
        x = (pixels, batch.inputs["features"]) if "features" in batch.inputs else pixels
        return x, self._target[batch.rows]


def generator_from_df(
    df: pd.DataFrame,
    batch_size: int,
    target_size: tuple[int, int],
    features: Any = None,
    debug_merged: bool = False,
    *,
    seed: int = 0,
    num_workers: int | None = None,
) -> BatchGenerator:
    """The generator of 2017 (`akmtdfgen.py`): same arguments, same batches, and now parallel and aligned.

    Gives `(X, Y)`, or `((X, X2), Y)` with features, for ever. Each epoch has all rows in a new order, but for the
    `len(df) % batch_size` that fill no batch, as in 2017; they differ from epoch to epoch.

    The order is a function of `seed` and the epoch, and of nothing else: two generators with one seed give the same
    batches. The seed is 0 unless you name another, `generator_from_df(..., seed=1)`. The 2017 one was never seeded.

    Args:
        df: table with columns `imgpath` (paths) and `target` (numbers).
        batch_size: rows per batch, >= 1.
        target_size: (height, width) in pixels, as in `keras.utils.load_img`.
        features: None; or a bcolz folder or whatever `mtgen.open_store` takes. The store row of a table row is its
            integer index label, as in 2017, and what cannot be right is refused; `mtgen.Rows(...)` may say otherwise.
        debug_merged: prove in every batch that features belong to their rows. Where the store carries keys, they are
            the proof (and are compared with or without this). Otherwise the features must be made for the purpose, as
            in the demo of 2017: every value of store row k is k plus a fraction below 1. Without features there is
            nothing to check.
        seed: integer >= 0.
        num_workers: threads that read and decode; None for one per usable core, 0 for the thread that calls `next`.

    Returns:
        A generator for one thread or many. X is float32 `(batch, height, width, 3)` RGB, bit for bit
        `2 * (x / 255 - 0.5)` of `keras.utils.load_img(path, target_size=target_size)`, in [-1, 1]. X2 is
        `(batch, *row)` in the store's dtype. Y is `(batch,)` in the column's own dtype.

    Raises:
        TableError: a missing column or value, or targets that are not numbers.
        AlignmentError: features whose rows cannot be matched to the table's.
        StoreError: features that cannot be opened.
        PlanError: a size that makes no batch.
        DecodeError: by `next`: a picture that cannot be read. The 2017 one dropped its whole batch in silence.

    Example:
        >>> table = mtgen.read_table("data_samples/digits/table.csv").rename(columns={"imgpath": "path"})
        >>> table["imgpath"] = "data_samples/digits/" + table["path"]
        >>> generator = generator_from_df(table, 32, (8, 8), features="data_samples/digits/features.bcolz")
        >>> (X, X2), Y = next(generator)
        >>> X.shape, X.dtype.name, X2.shape, Y.shape
        ((32, 8, 8, 3), 'float32', (32, 32), (32,))
        >>> generator.close()
    """
    check_table(df)
    if not isinstance(target_size, tuple | list) or len(target_size) != 2:
        raise PlanError(f"target_size must be (height, width) in pixels, received {target_size!r}")
    height, width = target_size
    target = _target_values(df)
    inputs: dict[str, Any] = {"image": Images("imgpath", size=(height, width), recipe="keras")}
    if features is not None:
        inputs["features"] = features if isinstance(features, Rows) else Rows(features)
    loader = Loader(Dataset(df, inputs), batch_size, seed=seed, drop_last=True, num_workers=num_workers)
    return BatchGenerator(loader, target, debug_merged and features is not None)


def _target_values(df: pd.DataFrame) -> np.ndarray:
    series = column(df, "target", USE)
    check_complete(series, USE)
    values = series.to_numpy(copy=True)
    if values.dtype.kind not in "biuf":
        raise TableError(
            f"{USE}: column 'target' holds {series.dtype} (first value {series.iloc[0]!r}), expected numbers. Encode "
            "it first, for example df['target'] = pandas.Categorical(df['target']).codes"
        )
    return values


def _scaled(pixels: np.ndarray) -> np.ndarray:
    """`2 * (x / 255 - 0.5)` in float32, one rounding after the other as NumPy does it for `img_to_array(x)`.

    A recipe's `scale`, one multiplication and one addition, would round differently in 111 of the 256 values.
    """
    values = pixels.astype(np.float32)
    values /= np.float32(255)
    values -= np.float32(0.5)
    values *= np.float32(2)
    return values


def check_encoded(dataset: Dataset, batch: Batch) -> None:
    """Check a batch whose features were made to carry their store row; with keys in the store there is nothing to do.

    Args:
        dataset: has an input "features" of `Rows`.
        batch: a batch of it.

    Raises:
        AlignmentError: some value of store row k is not k plus a fraction below 1; shows row, store row and value.
    """
    bound = next(field.bound for field in dataset.fields if field.name == "features")
    if not isinstance(bound, BoundRows) or bound.compares_keys:
        return
    rows = batch.rows[batch.rows >= 0]
    expected = bound.store_rows(rows)
    values = batch.inputs["features"][: len(rows)].reshape(len(rows), -1)
    wrong = np.trunc(values.astype(np.float64)) != expected[:, None]
    if not wrong.any():
        return
    slot, place = (int(axis) for axis in np.argwhere(wrong)[0])
    raise AlignmentError(
        f"debug_merged: slot {slot} should hold store row {expected[slot]}, whose values are {expected[slot]} plus a "
        f"fraction below 1, but value {place} is {values[slot, place]} ({int(wrong.any(axis=1).sum())} of {len(rows)} "
        "rows of the batch differ). Either the features belong to other rows, or they were not made for this check: "
        "then write keys beside them (docs/stores.md), or leave debug_merged out",
        row=int(rows[slot]),
        path=bound.store.location,
        step=batch.step,
    )


def fit_generator(
    model: Any,
    generator: Any,
    steps_per_epoch: int | None = None,
    epochs: int = 1,
    verbose: Any = "auto",
    callbacks: Any = None,
    validation_data: Any = None,
    validation_steps: int | None = None,
    class_weight: dict[int, float] | None = None,
    max_queue_size: int = 10,
    workers: int = 1,
    use_multiprocessing: bool = False,
    shuffle: bool = True,
    initial_epoch: int = 0,
) -> Any:
    """`model.fit_generator(...)` of Keras 2, for models that lost the method; on jax, torch and tensorflow.

    Every batch that the generator gives is trained on once, in its order, from the first to the last; batches that
    Keras only looks at come again. After an early stop, `generator_from_df` goes on right after the last trained batch;
    of another generator the tensorflow backend may have taken one batch more. Call it from the thread that trains.

    Args:
        model: a compiled Keras model.
        generator: gives `(x, y)` or `(x, y, weight)`; a generator, any other iterator, or a `keras.utils.PyDataset`.
            Several inputs may come as a list or a tuple.
        steps_per_epoch: batches in one epoch. Needed, but for a `PyDataset` and what `generator_from_df` returns, which
            know how long their epoch is.
        epochs: number of the epoch to stop before.
        verbose: as in `model.fit`.
        callbacks: one callback or a list.
        validation_data: arrays `(x, y)` or `(x, y, weight)`, or anything that `generator` may be. A generator goes on
            in each validation where it stopped in the one before.
        validation_steps: batches in one validation; needed with a generator.
        class_weight: class number -> weight.
        max_queue_size: accepted, and without effect: how far `generator_from_df` works ahead follows from its memory
            budget; other generators are asked for one batch at a time.
        workers: accepted, and without effect: write `generator_from_df(..., num_workers=N)`. Other generators are asked
            by one thread, so they need no lock.
        use_multiprocessing: refused if True.
        shuffle: for a `PyDataset` only: shuffle its batches, as in Keras 2. Generators shuffle for themselves.
        initial_epoch: epoch to start at.

    Returns:
        The `History` of `model.fit`.

    Raises:
        PlanError: settings that would train on something else than asked for, or a generator that ended too early.
    """
    if use_multiprocessing:
        raise PlanError(
            "use_multiprocessing=True would copy the generator into every process, and each copy would give every "
            f"batch. mtgen decodes in threads: write generator_from_df(..., num_workers={max(int(workers), 2)}), or "
            "Loader(..., num_workers=...), and leave use_multiprocessing out"
        )
    steps_per_epoch = _known_steps(generator, steps_per_epoch)
    if isinstance(validation_data, list):
        validation_data = tuple(validation_data)
    # Both are judged before either is asked for a batch, so that a refusal costs none.
    _check_source(generator, steps_per_epoch, "generator", "steps_per_epoch")
    if validation_data is not None and not isinstance(validation_data, tuple):
        _check_source(validation_data, validation_steps, "validation_data", "validation_steps")
    first = getattr(generator, "step", 0)
    train, train_feed = pulled.carried(generator, steps_per_epoch, "generator")
    valid, valid_feed = pulled.carried(validation_data, validation_steps, "validation_data")
    try:
        return model.fit(
            train,
            epochs=epochs,
            verbose=verbose,
            callbacks=[pulled.marks(train_feed, valid_feed), *_flat(callbacks)],
            validation_data=valid,
            validation_steps=None if valid_feed else validation_steps,
            class_weight=class_weight,
            steps_per_epoch=None if train_feed else steps_per_epoch,
            shuffle=shuffle and _is_py_dataset(train) and train_feed is None,
            initial_epoch=initial_epoch,
        )
    except Exception as error:
        for feed in (train_feed, valid_feed):
            if feed is not None and feed.error is not None and feed.error is not error:
                raise feed.error from error  # tensorflow keeps only its text
        raise
    finally:
        for feed in (train_feed, valid_feed):
            if feed is not None:
                feed.close()
        if train_feed is not None and _is_ours(generator):
            generator.give_back(first, train_feed.num_pulled, train_feed.num_trained)


def _is_ours(generator: Any) -> bool:
    return issubclass(type(generator), BatchGenerator)


def _known_steps(generator: Any, steps_per_epoch: int | None) -> int | None:
    return int(generator.steps_per_epoch) if steps_per_epoch is None and _is_ours(generator) else steps_per_epoch


def _check_source(value: Any, num_batches: int | None, name: str, steps_name: str) -> None:
    if not hasattr(value, "__next__"):
        if _is_py_dataset(value) or hasattr(value, "feed"):
            return
        hint = "write model.fit(loader.keras(), ...)" if isinstance(value, Loader) else "for arrays write model.fit"
        raise PlanError(
            f"the {name} is a {type(value).__name__}, expected a generator, an iterator or a keras.utils.PyDataset; "
            f"{hint}"
        )
    if num_batches is None:
        known = getattr(value, "steps_per_epoch", None)
        raise PlanError(
            f"{steps_name} is needed: a generator goes on for ever and does not say where its epoch ends. Write "
            f"{steps_name}={known if known else 'number of rows // batch_size'}"
        )
    if isinstance(num_batches, bool) or not isinstance(num_batches, int | np.integer) or num_batches < 1:
        raise PlanError(f"{steps_name} must be an integer >= 1, received {num_batches!r}")


def _is_py_dataset(value: Any) -> bool:
    import keras

    return isinstance(value, keras.utils.PyDataset)


def _flat(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
