"""The loader: batches of a dataset by step, in a fixed order, prepared ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np

from mtgen import seeds
from mtgen import state as states
from mtgen.batch import Batch
from mtgen.batches import Batches
from mtgen.config import Prefetch
from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.gather import chunked, scratch_bytes, window_jobs
from mtgen.inputs.rows import BoundRows
from mtgen.memory import Forecast, budget_bytes, forecast
from mtgen.metrics import Recorder, Stats
from mtgen.pending import Job, Pending
from mtgen.plan import Batching, Shard
from mtgen.prefetch import Stream
from mtgen.sampling.order import Blocks, Exact, Order, Sampler, Sequential
from mtgen.workers import WorkerPool, default_num_workers


class _StepPlan:
    """Which rows a step holds. Apart from the loader, so that streams do not keep the loader alive."""

    def __init__(self, dataset: Dataset, sampler: Sampler, seed: int, batching: Batching) -> None:
        self.dataset, self.sampler, self.seed, self.batching = dataset, sampler, seed, batching
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

    def make_window(self, recorder: Recorder, steps: Sequence[int]) -> tuple[list[Pending], list[Job]]:
        """Pending batches of the steps, and the jobs that fill them."""
        pendings = []
        for step in steps:
            epoch, step_in_epoch = self.place(step)
            num_slots = self.batching.num_slots(step_in_epoch)
            pendings.append(Pending(self.dataset.fields, self.rows(step), num_slots, int(step), epoch))
        return pendings, window_jobs(pendings, recorder)


class Loader:
    """Batches of a dataset, where `batch(step)` is a pure function of dataset, settings, seed and step.

    Steps count from 0 since training began and never end: step s lies in epoch `s // steps_per_epoch`. Any thread
    may ask for any step at any time; how many workers there are and how far they work ahead changes no byte.
    Picklable; a copy starts with threads and counters of its own.

    Args:
        dataset: what a sample is, and the rows to take.
        batch_size: samples per batch (and per shard), >= 1.
        sampler: any law over rows (`mtgen.sampling.order.Sampler`), instead of `shuffle`.
        seed: integer >= 0.
        shuffle: `"exact"`, a new permutation of all rows each epoch; `"blocks"`, neighbouring rows shuffled as
            blocks, for slow disks; False, the dataset's own order.
        drop_last: leave out the rest of each epoch that fills no batch.
        pad_last: fill the last batch with empty slots of weight 0; for loops of your own, `keras()` refuses it.
        num_workers: threads; None for one per usable core; 0 does all work in the caller's thread.
        memory: most bytes for batches and scratch, or "auto".
        on_error: "raise": a sample that cannot be read raises at its batch.
        shard: this process's part of every step.
        prefetch: how far to work ahead.

    Raises:
        PlanError: settings that contradict each other or the dataset, or do not fit the memory.

    Example:
        >>> table = pd.DataFrame({"age": [30, 41, 28], "ill": [0, 1, 0]})
        >>> data = mtgen.Dataset(table, inputs={"age": mtgen.Columns("age")}, targets="ill")
        >>> loader = Loader(data, batch_size=2, seed=0)
        >>> sorted(int(row) for batch in loader.epoch(0) for row in batch.rows)
        [0, 1, 2]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        sampler: Sampler | None = None,
        seed: int = 0,
        shuffle: Literal["exact", "blocks", False] = "exact",
        drop_last: bool = False,
        pad_last: bool = False,
        num_workers: int | None = None,
        memory: int | Literal["auto"] = "auto",
        on_error: Literal["raise"] = "raise",
        shard: Shard | None = None,
        prefetch: Prefetch | None = None,
    ) -> None:
        if not isinstance(dataset, Dataset):
            raise PlanError(f"Loader needs a mtgen.Dataset, received {type(dataset).__name__}")
        if on_error != "raise":
            raise PlanError(f'on_error must be "raise", received {on_error!r}')
        if isinstance(batch_size, np.integer):
            batch_size = int(batch_size)
        self.dataset = dataset
        seeds.key(seed, "order")  # a wrong seed is refused here, whatever the order
        self.seed = int(seed)
        if sampler is not None and shuffle != "exact":
            raise PlanError(f"sampler and shuffle={shuffle!r} both say the order: give one of them")
        self.sampler = sampler if sampler is not None else _sampler_of(shuffle, dataset)
        self.batching = Batching(
            size=self.sampler.size(len(dataset)),
            batch_size=batch_size,
            drop_last=drop_last,
            pad_last=pad_last,
            shard=shard or Shard(),
        )
        self._plan = _StepPlan(dataset, self.sampler, self.seed, self.batching)
        self.num_workers = default_num_workers(num_workers)
        self.prefetch = prefetch or Prefetch()
        self.forecast: Forecast = forecast(
            budget_bytes(memory),
            batch_bytes=(batch_size if pad_last else min(batch_size, self.batching.size))
            * sum(field.spec.row_bytes for field in dataset.fields),
            scratch_bytes=scratch_bytes(dataset.fields),
            num_workers=self.num_workers,
            chunked=any(map(chunked, dataset.fields)),
            asked=self.prefetch,
        )
        self.step = 0
        self.num_restores = 0
        self._checked_model: Any = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._recorder = Recorder()
        self._pool = WorkerPool(self.num_workers) if self.num_workers else None
        # At most one; taking from and adding to a deque needs no lock, which a fork could leave locked.
        self._idle_streams: deque[Stream] = deque(maxlen=1)

    def __getstate__(self) -> dict[str, Any]:
        running = {"_checked_model", "_recorder", "_pool", "_idle_streams"}
        return {name: value for name, value in self.__dict__.items() if name not in running}

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self.__dict__.update(settings)
        self._start_afresh()

    def __repr__(self) -> str:
        return (
            f"Loader({len(self.dataset)} rows, batch_size={self.batch_size}, {self.steps_per_epoch} steps per epoch, "
            f"{self.sampler!r}, seed={self.seed}, num_workers={self.num_workers})"
        )

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return self.batching.batch_size

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch; the same for every epoch and every shard."""
        return self.batching.steps_per_epoch

    def __len__(self) -> int:
        return self.steps_per_epoch

    def rows(self, step: int) -> np.ndarray:
        """Rows of one step, int64 `(n,)` places in the root table; nothing is read. Pure.

        Args:
            step: integer >= 0.

        Raises:
            PlanError: not an integer >= 0.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
            >>> Loader(data, 2, shuffle=False).rows(4).tolist()
            [2, 3]
        """
        return self._plan.rows(step)

    def stream(self) -> Stream:
        """A new stream of batches over the loader's workers: ask it for steps, in order where possible."""
        return self._stream(self.forecast)

    def _stream(self, held: Forecast) -> Stream:
        make_window = partial(self._plan.make_window, self._recorder)
        return Stream(make_window, self._pool, held, self.prefetch.stall_seconds)

    def batch(self, step: int) -> Batch:
        """The batch of one step, read now. Pure: asking again gives the same bytes in new arrays.

        Args:
            step: integer >= 0.

        Raises:
            DecodeError, StoreError, AlignmentError: a sample that cannot be read; the first in slot order.
        """
        self._plan.place(step)
        return self.take_from(self._stream(replace(self.forecast, window=1, depth=0)), step)

    def take_from(self, stream: Stream, step: int) -> Batch:
        """The batch of one step from a stream of this loader, counted in `stats`."""
        batch, waited = stream.get(step)
        self._recorder.add_handed(int((batch.rows >= 0).sum()), waited)
        return batch

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of one epoch in step order, prefetched, also into the next epoch.

        Args:
            epoch: integer >= 0.
        """
        first = epoch * self.steps_per_epoch
        return self.steps(first, first + self.steps_per_epoch)

    def steps(self, start: int | None = None, stop: int | None = None) -> Iterator[Batch]:
        """Batches from step `start` to before `stop`, prefetched.

        Args:
            start: first step; None for `self.step`, where `restore` left off.
            stop: None to go on for ever, epoch after epoch.

        Raises:
            PlanError: not integers >= 0.
        """
        step = self.step if start is None else start
        for one in (step,) if stop is None else (step, stop):
            self._plan.place(one)
        return Batches(self.take_from, self.stream, self._idle_streams, int(step), stop)

    def _close_idle(self) -> None:
        while self._idle_streams:
            with suppress(IndexError):  # another thread took it
                self._idle_streams.pop().close()

    def settings(self) -> dict[str, Any]:
        """What decides which rows a step holds, as small JSON."""
        return {
            "seed": self.seed,
            "batch_size": self.batch_size,
            "sampler": self.sampler.settings(),
            "drop_last": self.batching.drop_last,
            "pad_last": self.batching.pad_last,
            "shard": [self.batching.shard.index, self.batching.shard.count],
        }

    def state(self, step: int) -> dict[str, Any]:
        """Small JSON that resumes at `step`: the number of steps trained so far.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
            >>> state = Loader(data, 2).state(4)
            >>> other = Loader(data, 2); other.restore(state); other.step
            4
        """
        self._plan.place(step)
        return states.make_state(
            step=int(step),
            steps_per_epoch=self.steps_per_epoch,
            settings=self.settings(),
            digests=self.dataset.digests,
        )

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken: sets `self.step`, from which `steps()` and `keras()` start.

        Workers, memory and prefetch may differ from those of the run that took the state.

        Raises:
            StateError: the state is damaged, or belongs to other data, seed or settings; names what differs.
        """
        self.step = states.step_of(
            state,
            steps_per_epoch=self.steps_per_epoch,
            settings=self.settings(),
            digests=self.dataset.digests,
        )
        self.num_restores += 1

    def stats(self) -> Stats:
        """Where the time went so far."""
        return self._recorder.stats()

    def check(self, model: Any) -> None:
        """Say before training which names, shapes or dtypes of a Keras model do not fit.

        Raises:
            ModelError: lists every mismatch.
        """
        from mtgen.adapters import keras

        keras.check(self, model)
        self._checked_model = model

    def keras(self, model: Any = None, *, steps_per_epoch: int | None = None) -> Any:
        """What `model.fit`, `evaluate` and `predict` take as `x`; see `mtgen.adapters.keras.dataset`."""
        from mtgen.adapters import keras

        if model is None and self._checked_model is not None:
            keras.check_order(self, self._checked_model)
        return keras.dataset(self, model, steps_per_epoch=steps_per_epoch)

    def callback(self, x: Any) -> Any:
        """A Keras callback that counts trained steps and logs `data_wait`; see `mtgen.adapters.keras.Progress`."""
        from mtgen.adapters import keras

        return keras.Progress(x)

    def predict(self, model: Any, **options: Any) -> Any:
        """Predictions as a DataFrame, each with its row; see `mtgen.adapters.keras.predict`."""
        from mtgen.adapters import keras

        return keras.predict(self, model, **options)

    def close(self) -> None:
        """Stop the workers and forget what is under way; the loader can be used again afterwards."""
        self._close_idle()
        if self._pool is not None:
            self._pool.stop()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _sampler_of(shuffle: object, dataset: Dataset) -> Sampler:
    if shuffle == "exact":
        return Exact()
    if shuffle is False:
        return Sequential()
    if shuffle == "blocks":
        chunks = [field.bound.chunk_rows for field in dataset.fields if isinstance(field.bound, BoundRows)]
        return Blocks(max(chunks, default=1))
    raise PlanError(f'shuffle must be "exact", "blocks" or False, received {shuffle!r}')
