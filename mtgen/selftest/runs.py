"""The shapes of run that the selftest goes through, and how each is run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from mtgen.batch import Batch
from mtgen.compat import BatchGenerator, generator_from_df
from mtgen.dataset import Dataset
from mtgen.inputs.images import Images
from mtgen.inputs.rows import Rows
from mtgen.loader import Loader
from mtgen.plan import Shard
from mtgen.selftest import samples as stores
from mtgen.selftest.proof import Due, Outcome, prove
from mtgen.selftest.samples import SIZE, Kind, Samples
from mtgen.threads import in_threads
from mtgen.waits import Note

BATCH = 32
NUM_SHARDS = 2
NUM_CONSUMERS = 2
SEED = 7

Timed = Iterator[tuple[float, Batch]]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One shape of run.

    Args:
        kind: how the features are stored; None for a run without features.
        pictures: whether there are pictures.
        num_workers: threads of the loader.
        shuffle: as for `Loader`.
        part: "all" rows; a "split" of the dataset; or "half" of the table, a frame of its own over the whole store.
        shape: "plain", "shards", "restore" or "compat".
        options: further settings of `Loader`.
    """

    kind: Kind | None
    pictures: bool = True
    num_workers: int = 2
    shuffle: Any = "exact"
    part: str = "all"
    shape: str = "plain"
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The run in words."""
        store = self.kind.title if self.kind else "no features"
        order = {"exact": "exact shuffle", "blocks": "shuffled blocks", False: "no shuffle"}[self.shuffle]
        part = {"all": [], "split": ["a split of 70 %"], "half": ["half of the table, labels kept"]}[self.part]
        shape = {
            "plain": [],
            "shards": [f"{NUM_SHARDS} shards"],
            "restore": ["stopped in mid-epoch and restored"],
            "compat": [f"generator_from_df with {NUM_CONSUMERS} consumer threads"],
        }[self.shape]
        workers = f"{self.num_workers} worker{'s' if self.num_workers != 1 else ''}"
        pictures = [] if self.pictures else ["no pictures"]
        return ", ".join([store, *pictures, workers, order, *part, *shape, *self.options])


def all_runs(num_rows: int, num_workers: int | None = None) -> list[Run]:
    """Every shape of run, those included whose packages are not installed.

    Args:
        num_rows: rows of the table; decides the longest chunks.
        num_workers: threads in every run; None goes through 0, 1, 2 and 8.
    """
    chunked = stores.bcolz(64)
    runs = [
        *(Run(kind=None, num_workers=number, shuffle=shuffle) for number, shuffle in ((0, "exact"), (2, "exact"))),
        Run(kind=None, num_workers=8, shuffle=False),
        *(Run(kind=chunked, num_workers=number) for number in (0, 1, 2, 8)),
        Run(kind=chunked, shuffle="blocks"),
        Run(kind=chunked, shuffle="blocks", num_workers=8),
        Run(kind=chunked, shuffle=False),
        Run(kind=chunked, pictures=False, num_workers=8),
        # One row a chunk; a tail of some rows; a single chunk longer than the table.
        *(Run(kind=stores.bcolz(length)) for length in (1, 7, num_rows + 5)),
        Run(kind=stores.npy(), num_workers=8),
        Run(kind=stores.npy(), shuffle=False, num_workers=0),
        *(Run(kind=stores.zarr(length)) for length in (1, 50)),
        Run(kind=stores.hdf5(50)),
        Run(kind=stores.parquet(100)),
        Run(kind=stores.blosc2(50)),
        Run(kind=chunked, part="split"),
        Run(kind=chunked, part="half"),
        Run(kind=chunked, options={"drop_last": True}),
        Run(kind=chunked, options={"pad_last": True}),
        Run(kind=chunked, shape="shards", options={"pad_last": True}),
        Run(kind=chunked, shape="restore"),
        Run(kind=chunked, shape="compat"),
        Run(kind=None, shape="compat", num_workers=0),
    ]
    if num_workers is None:
        return runs
    same = [replace(run, num_workers=num_workers) for run in runs]
    return list({run.title: run for run in same}.values())


def perform(run: Run, samples: Samples, num_epochs: int) -> Outcome:
    """Run it and compare everything. Never raises for what goes wrong inside the run.

    Args:
        run: the shape of run.
        samples: what to load.
        num_epochs: epochs, >= 1.
    """
    table = samples.table
    if run.part == "half":
        table = table.sample(frac=0.5, random_state=SEED)
    due = Due(
        identity=table["row"].to_numpy(),
        rows=np.arange(len(table)),
        num_epochs=num_epochs,
        rows_per_epoch=len(table),
    )
    try:
        if run.shape == "compat":
            return _perform_compat(run, samples, due)
        data = _dataset(run, samples, table)
        loaders = [_loader(run, data, shard) for shard in _shards(run)]
    except Exception as error:  # as for errors inside a run
        return Outcome(title=run.title, due=due, faults=[f"{type(error).__name__}: {error}"])
    steps = loaders[0].steps_per_epoch
    seen = steps * BATCH if run.options.get("drop_last") else len(data)
    due = replace(due, rows=data.rows, rows_per_epoch=min(seen, len(data)))
    try:
        return prove(run.title, due, _batches(run, data, loaders, num_epochs))
    finally:
        for loader in loaders:
            loader.close()


def _dataset(run: Run, samples: Samples, table: pd.DataFrame) -> Dataset:
    inputs: dict[str, Any] = {}
    if run.pictures:
        inputs["image"] = Images("imgpath", size=SIZE)
    if run.kind is not None:
        inputs["features"] = Rows(samples.store(run.kind), key="key")
    data = Dataset(table, inputs, targets="target")
    return data if run.part != "split" else data.split({"kept": 0.7, "other": 0.3}, seed=SEED)["kept"]


def _shards(run: Run) -> list[Shard]:
    return [Shard(index, NUM_SHARDS) for index in range(NUM_SHARDS)] if run.shape == "shards" else [Shard()]


def _loader(run: Run, data: Dataset, shard: Shard, **changed: Any) -> Loader:
    settings = {"seed": SEED, "shuffle": run.shuffle, "num_workers": run.num_workers, **run.options, **changed}
    return Loader(data, BATCH, shard=shard, **settings)


def _batches(run: Run, data: Dataset, loaders: list[Loader], num_epochs: int) -> Timed:
    last = num_epochs * loaders[0].steps_per_epoch
    if run.shape == "restore":
        return _restored(run, data, loaders, last)
    if run.shape == "plain":
        return _timed(batch for epoch in range(num_epochs) for batch in loaders[0].epoch(epoch))
    streams = [loader.steps(0, last) for loader in loaders]
    return _timed(batch for together in zip(*streams, strict=True) for batch in together)


def _restored(run: Run, data: Dataset, loaders: list[Loader], last: int) -> Timed:
    """The first part from one loader, the rest from another that got its state through JSON."""
    stop = last // 2 + 1 if last // 2 % loaders[0].steps_per_epoch == 0 else last // 2
    yield from _timed(loaders[0].steps(0, stop))
    other = _loader(run, data, Shard(), num_workers=1)
    loaders.append(other)
    other.restore(json.loads(json.dumps(loaders[0].state(stop))))
    yield from _timed(other.steps(None, last))


def _timed(batches: Iterable[Batch]) -> Timed:
    iterator = iter(batches)
    while True:
        started = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            return
        yield time.perf_counter() - started, batch


def _perform_compat(run: Run, samples: Samples, due: Due) -> Outcome:
    """Several threads draw from one `generator_from_df`; every batch must be a step of it, and each step come once."""
    features = None if run.kind is None else Rows(samples.store(run.kind), key="key")
    generator = generator_from_df(samples.table, BATCH, SIZE, features=features, seed=SEED, num_workers=run.num_workers)
    steps_per_epoch = generator.steps_per_epoch
    due = replace(due, rows_per_epoch=steps_per_epoch * BATCH)
    try:
        return prove(run.title, due, _drawn(generator, due.num_epochs * steps_per_epoch))
    finally:
        generator.close()


def _drawn(generator: BatchGenerator, num_steps: int) -> Timed:
    steps = {tuple(generator.loader.rows(step).tolist()): step for step in range(num_steps)}
    shares = [len(part) for part in np.array_split(np.arange(num_steps), NUM_CONSUMERS)]

    def draw(num_batches: int, note: Note) -> list[Any]:
        drawn = []
        for number in range(num_batches):
            note(f"draw batch {number} of {num_batches}")
            drawn.append(next(generator))
        return drawn

    started = time.perf_counter()
    results = in_threads(draw, shares, num_threads=NUM_CONSUMERS, group=1)
    drawn = [batch for batches in results for batch in batches]
    seconds = time.perf_counter() - started
    for x, y in drawn:
        yield seconds / len(drawn), _as_batch(x, y, steps, generator.steps_per_epoch)


def _as_batch(x: Any, y: np.ndarray, steps: dict[tuple[int, ...], int], steps_per_epoch: int) -> Batch:
    pixels, *features = x if isinstance(x, tuple) else (x,)
    inputs = {"image": np.rint((pixels / 2 + 0.5) * 255).astype(np.uint8)}
    if features:
        inputs["features"] = features[0]
    step = steps.get(tuple(y.tolist()))  # target and row are one number
    epoch = None if step is None else step // steps_per_epoch
    return Batch(inputs=inputs, targets={}, weight=None, rows=y.astype(np.int64), step=step, epoch=epoch)
