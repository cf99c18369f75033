"""Grain: a `MapDataset` with a global shuffle, read by threads, or in worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtgen.bench.contenders.pictures import Samples, loader
from mtgen.bench.work import Delivered, Epochs, Work


class BenchSource(Samples):
    """A random access source: one sample for each place."""

    def __getitem__(self, place: int) -> dict[str, Any]:
        row = self.wanted[place]
        sample = {"rows": row, "features": self.features[row]}
        if self.pixels is not None:
            sample["pictures"] = self.pixels[row]
        elif self.decode is not None:
            self.load = self.load or loader(self.decode, self.size)
            sample["pictures"] = self.load(self.paths[row])
        return sample


@contextmanager
def map_dataset(work: Work, decode: str | None = None, processes: bool = False) -> Iterator[Epochs]:
    """`MapDataset.source(...).seed(...).shuffle().repeat().batch(...)`, which shuffles anew in each epoch.

    Reads are done by as many threads as there are workers, or by worker processes with one thread each.
    """
    import grain

    threads = 1 if processes else work.workers
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    dataset = (
        grain.MapDataset.source(BenchSource(work, decode))
        .seed(work.seed)
        .shuffle()
        .repeat()
        .batch(work.batch_size)
        .to_iter_dataset(options)
    )
    if processes:
        from absl import flags

        flags.FLAGS.mark_as_parsed()  # Grain reads its flags, which programs without absl.app.run never parse
        dataset = dataset.mp_prefetch(grain.MultiprocessingOptions(num_workers=work.workers, per_worker_buffer_size=2))
    endless = iter(dataset)

    def epochs(epoch: int) -> Iterator[Delivered]:
        for _ in range(len(work.wanted) // work.batch_size):
            batch = next(endless)
            yield Delivered(batch["rows"], batch["features"], batch.get("pictures"))

    try:
        yield epochs
    finally:
        endless.close()
