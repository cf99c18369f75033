"""The loader: batches of a dataset by step, in a fixed order, prepared ahead by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtgen import seeds
from mtgen import state as states
from mtgen.audit import Audit, audit
from mtgen.batch import Batch
from mtgen.batches import Batches
from mtgen.config import OnError, Placement, Prefetch, Where
from mtgen.dataset import Dataset
from mtgen.doors import Doors, find_device
from mtgen.errors import PlanError
from mtgen.gather.chunks import ChunkCache
from mtgen.gather.costs import cache_bytes, chunk_sizes, decodes, most_chunk_rows, scratch_bytes, staged
from mtgen.gather.pictures import GROUP_PICTURES
from mtgen.held import Blocks, Held, placed_fields, placed_inputs
from mtgen.inputs.images import BoundImages
from mtgen.memory import Forecast, budget_bytes, forecast
from mtgen.metrics import Recorder, Stats
from mtgen.placements import held_bytes
from mtgen.plan import Batching, Plan, Shard
from mtgen.prefetch import Ration, Stream
from mtgen.processes.pool import Processes, shared_bytes
from mtgen.processes.staff import check_num_processes
from mtgen.quarantine import Quarantine
from mtgen.room import Room
from mtgen.sampling.order import OrderLaw
from mtgen.sampling.permutation import order_bytes
from mtgen.sampling.row_plans.dataset_rows import DatasetRows
from mtgen.sampling.row_plans.order_law import held_bytes as law_bytes
from mtgen.sampling.row_plans.order_law import order_law_of, shuffle_law
from mtgen.sampling.sampler import Sampler
from mtgen.sealed import check_opened
from mtgen.settings import check_flag, check_kind, check_whole
from mtgen.step_plan import StepPlan
from mtgen.workers import WorkerPool, default_num_workers

_RUNNING = {"_caches", "_checked_model", "_held", "_idle_streams", "_pool", "_processes", "_quarantine"}
_RUNNING |= {"_ration", "_recorder", "_room"}
"""What a loader has while it runs; a copy of it starts with its own."""


class Loader(Doors):
    """Batches of a dataset, where `batch(step)` is a pure function of dataset, settings, seed and step.

    Steps count from 0 since training began and never end: step s lies in epoch `s // steps_per_epoch`. Any thread
    may ask for any step at any time; how many workers there are and how far they work ahead changes no byte.
    Picklable; a copy starts with threads and counters of its own.

    Args:
        dataset: what a sample is, and the rows to take.
        batch_size: samples per batch (and per shard), >= 1.
        sampler: instead of `shuffle`: a law over rows, such as `data.rows.weighted("age")`, alone or as
            `rows @ points`; or any `mtgen.sampling.order.OrderLaw`. Epochs are as long as it says.
        seed: integer >= 0.
        shuffle: `"exact"`, a new permutation of all rows each epoch; `"blocks"`, neighbouring rows shuffled as
            blocks, for slow disks; False, the dataset's own order.
        drop_last: leave out the rest of each epoch that fills no batch.
        pad_last: fill the last batch with empty slots of weight 0; for loops of your own, `keras()` refuses it.
        num_workers: threads; None for one per usable core; 0 does all work in the caller's thread.
        num_processes: decode pictures in so many processes, for machines with more than some eight cores; the threads
            ask them, and each process has its part of `num_workers` threads. 0 decodes in the threads.
        memory: most bytes that the loader holds, all iterators together, or "auto": 1 GiB, less on a small machine.
            `print(loader.forecast)` says what for.
        on_error: what to do about a sample that cannot be read: `"raise"`, `"refill"` with another row, `"mask"` it
            with weight 0; or `OnError(...)`, which also holds the budget of bad rows, their report and retries.
        shard: this process's part of every step.
        prefetch: how far to work ahead.
        placement: where values are while a model trains: `"stream"`, read for each batch; `"ram"`, read once and held
            in memory; `"device"`, uploaded once; for all inputs, or name -> word; or `Placement(...)`, which also
            holds the reserve. It changes no byte, no order and no state; `print(loader.placement_plan)` has the sum.

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
        sampler: Sampler | DatasetRows | OrderLaw | None = None,
        seed: int = 0,
        shuffle: Literal["exact", "blocks", False] = "exact",
        drop_last: bool = False,
        pad_last: bool = False,
        num_workers: int | None = None,
        num_processes: int = 0,
        memory: int | Literal["auto"] = "auto",
        on_error: Literal["raise", "refill", "mask"] | OnError = "raise",
        shard: Shard | None = None,
        prefetch: Prefetch | None = None,
        placement: Where | Mapping[str, Where] | Placement = "stream",
    ) -> None:
        check_opened(dataset)
        if not isinstance(dataset, Dataset):
            raise PlanError(f"Loader needs a mtgen.Dataset, received {type(dataset).__name__}")
        check_kind("on_error", on_error, str | OnError, '"raise", "refill", "mask" or a mtgen.OnError(...)')
        check_kind("shuffle", shuffle, str | bool | np.bool_, '"exact", "blocks" or False')
        self.on_error = on_error if isinstance(on_error, OnError) else OnError(policy=on_error)
        batch_size = check_whole("batch_size", batch_size, 1)
        if prefetch is not None:
            check_kind("prefetch", prefetch, Prefetch, "a mtgen.Prefetch(...) or None")
        self.dataset = dataset
        seeds.key(seed, "order")  # a wrong seed is refused here, whatever the order
        self.seed = int(seed)
        if sampler is not None and shuffle != "exact":
            raise PlanError(f"sampler and shuffle={shuffle!r} both say the order: give one of them")
        self.sampler: OrderLaw = (
            shuffle_law(shuffle, most_chunk_rows(dataset.fields))
            if sampler is None
            else order_law_of(sampler, dataset.rows, batch_size)
        )
        self.batching = Batching(
            size=self.sampler.size(len(dataset)),
            batch_size=batch_size,
            drop_last=check_flag("drop_last", drop_last),
            pad_last=check_flag("pad_last", pad_last),
            shard=Shard() if shard is None else shard,
        )
        self._plan = StepPlan(dataset, self.plan(), self.on_error)
        pictures = [field.bound for field in dataset.fields if isinstance(field.bound, BoundImages)]
        self.num_workers = default_num_workers(num_workers, num_processes)
        self.num_processes = check_num_processes(num_processes, len(pictures), self.num_workers)
        self.prefetch = prefetch or Prefetch()
        self.placement = placement if isinstance(placement, Placement) else Placement(inputs=placement)
        where = placed_fields(self.placement, dataset.fields)
        self._staged = [
            number for number, one in enumerate(dataset.fields) if staged(one) and where.get(number) != "ram"
        ]
        self.forecast: Forecast = forecast(
            budget_bytes(memory),
            batch_bytes=(batch_size if pad_last else min(batch_size, self.batching.size))
            * sum(field.spec.row_bytes for field in dataset.fields),
            batch_size=min(batch_size, self.batching.size),
            steps_per_epoch=self.steps_per_epoch,
            scratch_bytes=scratch_bytes(dataset.fields),
            num_workers=self.num_workers,
            chunks=chunk_sizes([dataset.fields[number] for number in self._staged]),
            asked=self.prefetch,
            order_bytes=order_bytes(self.batching.size) + law_bytes(self.sampler),
            cache_bytes=cache_bytes(dataset.fields),
            decodes=decodes(dataset.fields),
            slot_bytes=shared_bytes(pictures, self.num_processes, self.num_workers, GROUP_PICTURES),
            held_bytes=held_bytes(placed_inputs(self.placement, dataset)),
        )
        self.step = 0
        self.num_restores = 0
        self._checked_model: Any = None
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._recorder = Recorder()
        self._quarantine = Quarantine(self.on_error, len(self.dataset))
        pictures = self.forecast.picture_bytes
        self._room = Room(pictures, self.prefetch.stall_seconds) if pictures else None
        self._processes = self._new_processes() if self.num_processes else None
        self._pool = WorkerPool(self.num_workers) if self.num_workers else None
        self._ration = Ration(self.forecast)
        self._caches = [ChunkCache(num) for num in self.forecast.num_chunks]
        blocks = Blocks(self._recorder, self.on_error, self._room, self._processes, self._pool, self.prefetch)
        self._held = Held(self.dataset, self.placement, blocks, find_device)
        # At most one; taking from and adding to a deque needs no lock, which a fork could leave locked.
        self._idle_streams: deque[Stream] = deque(maxlen=1)

    def _new_processes(self) -> Processes:
        return Processes(
            [field.bound for field in self.dataset.fields if isinstance(field.bound, BoundImages)],
            self.num_processes,
            self.num_workers,
            num_slots=GROUP_PICTURES,
            on_error=self.on_error,
            recorder=self._recorder,
            room=self._room,
            stall_seconds=self.prefetch.stall_seconds,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in _RUNNING}

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self.__dict__.update(settings)
        self._start_afresh()

    def __repr__(self) -> str:
        return (
            f"Loader({len(self.dataset)} rows, batch_size={self.batch_size}, {self.steps_per_epoch} steps per epoch, "
            f"{self.sampler!r}, seed={self.seed}, num_workers={self.num_workers}"
            + (f", num_processes={self.num_processes})" if self.num_processes else ")")
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

    def plan(self) -> Plan:
        """Which row fills which slot of which step, as a value of its own that knows neither store nor thread."""
        return Plan(self.sampler, self.seed, self.batching, np.asarray(self.dataset.rows))

    def stream(self, *, by_place: bool = False) -> Stream:
        """A new stream of batches over the loader's workers: ask it for steps, in order where possible.

        Args:
            by_place: inputs whose values are on a device are places, int32 `(n,)`, for `take_on_device`.
        """
        self._close_idle()  # which holds what the new one may have
        return self._stream(self.forecast, by_place)

    def _stream(self, ahead: Forecast, by_place: bool = False) -> Stream:
        # The plan is shared by all streams: it keeps the rows of the steps to come, also for one `batch` after another.
        fields, plan = self._held.fields_by_place if by_place else self._held.fields, self._plan
        make_window = partial(plan.make_window, fields, self._recorder, self._quarantine, self._room, self._processes)
        caches = dict(zip(self._staged, self._caches, strict=True))
        make_stager = partial(plan.make_stager, fields, self._recorder, caches)
        return Stream(make_window, make_stager, self._pool, ahead, self._ration, self.prefetch.stall_seconds, fields)

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
        first = check_whole("epoch", epoch) * self.steps_per_epoch
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

        Raises:
            StateError: see `step_of`; nothing is changed then.
        """
        self.step = self.step_of(state)
        self.num_restores += 1

    def step_of(self, state: Mapping[str, Any]) -> int:
        """The step at which a state resumes, if it belongs to this loader; changes nothing.

        Workers, memory and prefetch may differ from those of the run that took the state, and with care the shard:
        see `mtgen.state.step_of`.

        Raises:
            StateError: the state is damaged, or belongs to other data, seed or settings; names what differs.
        """
        return states.step_of(
            state,
            steps_per_epoch=self.steps_per_epoch,
            settings=self.settings(),
            digests=self.dataset.digests,
            batching=self.batching,
        )

    def quarantine(self) -> pd.DataFrame:
        """The rows that could not be read so far, each once: columns row, path, error and step.

        Whatever `on_error` says; rows drawn in place of a bad one that could not be read either are listed too.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
            >>> loader = Loader(data, 2); batches = list(loader.epoch(0)); len(loader.quarantine())
            0
        """
        return self._quarantine.frame()

    def stats(self) -> Stats:
        """Where the time went so far."""
        return self._recorder.stats()

    def audit(self, epochs: int | Iterable[int] = 1) -> Audit:
        """Steps, rows, digest and coverage of epochs, nothing read; see `mtgen.audit.audit`."""
        return audit(self.plan(), epochs)

    def close(self) -> None:
        """Stop workers and processes, forget what is under way and what is held; the loader can be used again."""
        self._close_idle()
        self._held.close()
        for cache in self._caches:
            cache.clear()
        if self._pool is not None:
            self._pool.stop()
        if self._processes is not None:
            self._processes.stop()

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
