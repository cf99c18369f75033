"""`torch.utils.data.DataLoader` with worker processes that stay from epoch to epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.contenders.pictures import Samples, loader
from mtgen.bench.work import Delivered, Epochs, Work


class BenchRows(Samples):
    """A map-style dataset with `__getitems__`, which the loader calls once for the rows of a batch."""

    def __getitems__(self, places: list[int]) -> dict[str, Any]:
        import torch

        rows = self.wanted[places]
        batch = {"rows": torch.from_numpy(rows), "features": torch.from_numpy(self.features[rows])}
        if self.pixels is not None:
            batch["pictures"] = torch.from_numpy(self.pixels[rows])
        elif self.decode is not None:
            self.load = self.load or loader(self.decode, self.size)
            batch["pictures"] = torch.from_numpy(np.stack([self.load(self.paths[row]) for row in rows]))
        return batch


def _as_it_is(batch: Any) -> Any:
    return batch


@contextmanager
def dataloader(work: Work, decode: str | None = None) -> Iterator[Epochs]:
    """`DataLoader(shuffle=True, num_workers=..., persistent_workers=True)`."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(work.seed)
    batches = torch.utils.data.DataLoader(
        BenchRows(work, decode),  # type: ignore[arg-type, unused-ignore]
        batch_size=work.batch_size,
        shuffle=True,
        num_workers=work.workers,
        persistent_workers=True,
        collate_fn=_as_it_is,
        generator=generator,
    )

    def epochs(epoch: int) -> Iterator[Delivered]:
        for batch in batches:
            pictures = batch["pictures"].numpy() if "pictures" in batch else None
            yield Delivered(batch["rows"].numpy(), batch["features"].numpy(), pictures)

    yield epochs
