"""mtgen's own loader, as docs/quickstart.md has it: pictures, features, exact shuffle."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import mtgen
from mtgen.bench.photographs import file_name
from mtgen.bench.work import Delivered, Epochs, Work


@contextmanager
def loader(
    work: Work,
    features: str | None = None,
    recipe: str | None = None,
    pixels: str | None = None,
    cache: str | None = None,
    **more: Any,
) -> Iterator[Epochs]:
    """`mtgen.Loader(dataset, batch_size, memory=..., num_workers=...)`.

    Args:
        work: what to deliver.
        features: name of the feature matrix among the work's places; None for none.
        recipe: decode pictures by this recipe.
        pixels: name of an array of decoded pictures among the work's places, instead of `recipe`.
        cache: name of a cache of decoded pictures among the work's places, for `recipe`.
        more: other arguments of the loader.
    """
    table = pd.DataFrame({"row": np.arange(work.num_rows), "path": [file_name(row) for row in range(work.num_rows)]})
    inputs: dict[str, Any] = {}
    if features is not None:
        inputs["features"] = mtgen.Rows(work.place(features))
    if recipe is not None:
        inputs["pictures"] = _images(work, recipe, None if cache is None else work.place(cache))
    if pixels is not None:
        inputs["pictures"] = mtgen.Rows(work.place(pixels))
    data = mtgen.Dataset(table.iloc[work.wanted], inputs=inputs, targets="row")
    settings = {"seed": work.seed, "memory": work.memory, "num_workers": work.workers, **more}
    with mtgen.Loader(data, work.batch_size, **settings) as batches:

        def epochs(epoch: int) -> Iterator[Delivered]:
            for batch in batches.epoch(epoch):
                found = batch.inputs
                yield Delivered(batch.targets["row"], found.get("features"), found.get("pictures"))

        yield epochs


def _images(work: Work, recipe: str, cache: str | None) -> mtgen.Images:
    folder, size = Path(work.place("pictures")), (work.size, work.size)
    if recipe == "keras":  # with the preprocessing of the 2017 generator, as all of its class
        return mtgen.Images("path", root=folder, size=size, recipe=recipe, dtype="float32", scale=(2 / 255, -1.0))
    return mtgen.Images("path", root=folder, size=size, recipe=recipe, cache=cache)
