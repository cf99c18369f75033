"""`keras.utils.PyDataset` with workers, consumed the way `fit` consumes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from mtgen.bench.contenders.pictures import loader
from mtgen.bench.work import Delivered, Epochs, Work


class BenchDataset(keras.utils.PyDataset):
    """The dataset of the Keras documentation: `__getitem__` gives a batch, `on_epoch_end` shuffles the rows.

    Args:
        work: what to deliver.
        decode: name of a way to load a picture; `"pixels"` for decoded ones from a memory map; None for none.
        processes: workers are processes instead of threads.
    """

    def __init__(self, work: Work, decode: str | None, processes: bool) -> None:
        super().__init__(workers=work.workers, use_multiprocessing=processes)
        self.work = work
        self.order = work.order(0)
        self.features = np.load(work.place("features.npy"), mmap_mode="r")
        self.pixels = np.load(work.place("pixels.npy"), mmap_mode="r") if decode == "pixels" else None
        self.load = loader(decode, work.size) if decode not in (None, "pixels") else None
        self.paths = work.paths() if self.load else []

    def __len__(self) -> int:
        return len(self.order) // self.work.batch_size

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * self.work.batch_size : (index + 1) * self.work.batch_size]
        features = self.features[rows]
        if self.load is not None:
            return (np.stack([self.load(self.paths[row]) for row in rows]), features), rows
        return (features, rows) if self.pixels is None else ((self.pixels[rows], features), rows)


@contextmanager
def pydataset(work: Work, decode: str | None = None, processes: bool = False) -> Iterator[Epochs]:
    """Batches through the adapter that `fit` makes of a PyDataset, which starts its workers anew for each epoch."""
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    dataset = BenchDataset(work, decode, processes)
    adapter = PyDatasetAdapter(dataset, shuffle=False)

    def epochs(epoch: int) -> Iterator[Delivered]:
        dataset.order = work.order(epoch)
        adapter.on_epoch_begin()
        for inputs, rows in adapter.get_numpy_iterator():
            if isinstance(inputs, tuple):
                yield Delivered(rows, inputs[1], inputs[0])
            else:
                yield Delivered(rows, inputs)
        adapter.on_epoch_end()

    try:
        yield epochs
    finally:
        if adapter.enqueuer is not None:
            adapter.enqueuer.stop()
