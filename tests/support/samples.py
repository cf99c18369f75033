"""Small datasets whose picture, features, columns, targets and weight all tell the row they belong to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import mtgen
from tests.support.stores import MemoryStore

PICTURE = (4, 4)
NUM_CLASSES = 3


def picture(row: int) -> np.ndarray:
    """Pixels (4, 4, 3) that tell the row."""
    pixels = np.empty((*PICTURE, 3), np.uint8)
    pixels[:] = (row % 256, row // 256, row * 7 % 256)
    return pixels


def features(num_rows: int) -> np.ndarray:
    """Feature rows (n, 3) that tell their store row."""
    rows = np.arange(num_rows)
    return np.stack([rows, rows * 2 + 0.5, -rows], axis=1).astype(np.float32)


def make_pictures(folder: Path, num_rows: int) -> Path:
    """One PNG per row, named after it."""
    folder.mkdir(parents=True, exist_ok=True)
    for row in range(num_rows):
        Image.fromarray(picture(row)).save(folder / f"{row}.png")
    return folder


def make_table(num_rows: int, *, seed: int = 0) -> pd.DataFrame:
    """A table whose index labels, in no order, are store rows of a store twice as long."""
    labels = np.random.default_rng(seed).permutation(2 * num_rows)[:num_rows]
    rows = np.arange(num_rows)
    return pd.DataFrame(
        {
            "path": [f"{row}.png" for row in rows],
            "number": rows,
            "half": rows / 2,
            "label": rows % NUM_CLASSES,
            "w": 1.0 + rows,
            "shared": rows // 3,
            "patient": rows // 4,
        },
        index=labels,
    )


def make_dataset(
    num_rows: int, *, pictures: Path | None = None, chunk_rows: int = 7, store: Any = None, weight: Any = "w"
) -> mtgen.Dataset:
    """Every kind of input (pictures only where there are some), two targets, weights."""
    table = make_table(num_rows)
    inputs: dict[str, Any] = {
        "features": mtgen.Rows(store if store is not None else MemoryStore(features(2 * num_rows), chunk_rows)),
        "shared": mtgen.Rows(MemoryStore(features(num_rows), 5), index="shared"),
        "plain": mtgen.Rows(features(2 * num_rows)),
        "columns": mtgen.Columns(["number", "half"]),
    }
    if pictures is not None:
        inputs["image"] = mtgen.Images("path", root=pictures, size=PICTURE)
    return mtgen.Dataset(table, inputs, targets={"label": "label", "both": ["number", "half"]}, weight=weight)


def check_aligned(batch: mtgen.Batch, data: mtgen.Dataset) -> None:
    """Every field of every slot belongs to the slot's row; computed from the table alone. Empty slots are zero."""
    filled = batch.rows >= 0
    rows = batch.rows[filled]
    table = data.table.iloc[rows]
    expected = {
        "features": features(2 * len(data.table))[table.index],
        "shared": features(len(data.table))[table["shared"]],
        "plain": features(2 * len(data.table))[table.index],
        "columns": table[["number", "half"]].to_numpy(np.float32),
        "image": np.array([picture(row) for row in rows]).reshape(-1, *PICTURE, 3),
    }
    for name, values in batch.inputs.items():
        np.testing.assert_array_equal(values[filled], expected[name], err_msg=name)
        assert not values[~filled].any()
    np.testing.assert_array_equal(batch.targets["label"][filled], table["label"])
    np.testing.assert_array_equal(batch.targets["both"][filled], expected["columns"])
    if isinstance(batch.weight, np.ndarray):
        np.testing.assert_array_equal(batch.weight[filled], table["w"].to_numpy(np.float32))
        assert not batch.weight[~filled].any()


def content(batch: mtgen.Batch) -> tuple[Any, ...]:
    """Everything a batch says, as bytes, to compare two batches by."""
    weight = batch.weight if isinstance(batch.weight, dict) else {"": batch.weight}
    parts = {("input", k): v for k, v in batch.inputs.items()} | {("target", k): v for k, v in batch.targets.items()}
    parts |= {("weight", name): np.zeros(0) if value is None else value for name, value in weight.items()}
    arrays = tuple((name, value.dtype.str, value.shape, value.tobytes()) for name, value in parts.items())
    return batch.step, batch.epoch, batch.rows.tobytes(), arrays


def arrays_of(batch: mtgen.Batch) -> list[np.ndarray]:
    """All arrays of a batch."""
    weight = batch.weight if isinstance(batch.weight, dict) else {"": batch.weight}
    weights = [value for value in weight.values() if value is not None]
    return [*batch.inputs.values(), *batch.targets.values(), *weights, batch.rows]


def tight_loader(data: mtgen.Dataset, batch_size: int, *, spare_bytes: int = 0, **settings: Any) -> mtgen.Loader:
    """A loader with memory for a window and no chunk, so that each window reads its chunks anew.

    Args:
        data: without pictures.
        batch_size: see `mtgen.Loader`.
        spare_bytes: more memory, which chunks get.
        settings: with `prefetch=Prefetch(window=..., depth=...)`.
    """
    with mtgen.Loader(data, batch_size, **settings) as roomy:
        parts = roomy.forecast.parts
    return mtgen.Loader(data, batch_size, memory=sum(parts.values()) - parts["chunks kept"] + spare_bytes, **settings)
