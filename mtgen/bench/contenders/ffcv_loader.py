"""FFCV: its own file of decoded pictures and features, read in random order.

It has no wheels, and builds only where pkg-config finds OpenCV and libjpeg-turbo. Where it does not install, the
benchmark says so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mtgen.bench.work import Delivered, Epochs, Work


class BenchSamples:
    """Samples for FFCV's writer: row, features, decoded picture."""

    def __init__(self, work: Work) -> None:
        self.wanted = work.wanted
        self.features = np.load(work.place("features.npy"), mmap_mode="r")
        self.pixels = np.load(work.place("pixels.npy"), mmap_mode="r")

    def __len__(self) -> int:
        return len(self.wanted)

    def __getitem__(self, place: int) -> tuple[int, np.ndarray, np.ndarray]:
        row = int(self.wanted[place])
        return row, np.array(self.features[row]), np.array(self.pixels[row])


@contextmanager
def beton(work: Work) -> Iterator[Epochs]:
    """`Loader(order=OrderOption.RANDOM, os_cache=True)` over arrays that are not encoded."""
    from ffcv.fields import IntField, NDArrayField
    from ffcv.fields.decoders import IntDecoder, NDArrayDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import ToTensor
    from ffcv.writer import DatasetWriter

    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "rows.beton")
        fields = {
            "rows": IntField(),
            "features": NDArrayField(shape=(work.num_columns,), dtype=np.dtype(np.float32)),
            "pictures": NDArrayField(shape=(work.size, work.size, 3), dtype=np.dtype(np.uint8)),
        }
        DatasetWriter(path, fields, num_workers=work.workers).from_indexed_dataset(BenchSamples(work))
        batches = Loader(
            path,
            batch_size=work.batch_size,
            num_workers=work.workers,
            order=OrderOption.RANDOM,
            os_cache=True,
            seed=work.seed,
            pipelines={
                "rows": [IntDecoder(), ToTensor()],
                "features": [NDArrayDecoder(), ToTensor()],
                "pictures": [NDArrayDecoder(), ToTensor()],
            },
        )

        def epochs(epoch: int) -> Iterator[Delivered]:
            for rows, features, pictures in batches:
                yield Delivered(rows.numpy().reshape(-1), features.numpy(), pictures.numpy())

        yield epochs
