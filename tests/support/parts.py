"""Datasets to join: pictures, rows of stores of every kind, columns and targets that tell part and row."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

import mtgen
from tests.support.stores import MemoryStore

NUM_PARTS, NUM_ROWS = 3, 9
KINDS = ["memory", "array", "npy", "bcolz", "packed"]
CLASSES = ["cat", "dog", "owl"]


def features(part: int) -> np.ndarray:
    """Rows (2 * NUM_ROWS, 2) that tell their part and their store row."""
    rows = np.arange(2 * NUM_ROWS, dtype=np.float32)
    return np.stack([rows + 100 * part, np.full(len(rows), part)], axis=1).astype(np.float32)


@functools.cache
def folder() -> Path:
    """Pictures and stores of all parts; file names of the parts are the same, contents are not."""
    holder = tempfile.TemporaryDirectory(prefix="mtgen-parts-")
    _HOLDERS.append(holder)
    root = Path(holder.name)
    for part in range(NUM_PARTS):
        own = root / str(part)
        own.mkdir()
        for row in range(NUM_ROWS):
            Image.fromarray(np.full((4, 4, 3), (part * 50, row * 9, 200), np.uint8)).save(own / f"{row}.png")
        np.save(own / "x.npy", features(part))
        mtgen.pack(features(part), own / "x.zarr")
        import bcolz

        bcolz.carray(features(part), rootdir=str(own / "x.bcolz"), mode="w", chunklen=4 + part).flush()
    return root


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def store(part: int, kind: str, chunk_rows: int) -> Any:
    """The part's features in a store of a kind."""
    match kind:
        case "memory":
            return MemoryStore(features(part), chunk_rows)
        case "array":
            return features(part)
        case "npy":
            return str(folder() / str(part) / "x.npy")
        case "bcolz":
            return str(folder() / str(part) / "x.bcolz")
    return str(folder() / str(part) / "x.zarr")


def make_part(
    part: int, num_rows: int = NUM_ROWS, *, kind: str = "memory", chunk_rows: int = 4, cache: Any = None, **changed: Any
) -> mtgen.Dataset:
    """A dataset whose every field tells part and row; labels are store rows, in no order.

    Args:
        part: number of the part.
        num_rows: of its table, at most `NUM_ROWS`.
        kind: of its store.
        chunk_rows: of a store in memory.
        cache: folder for decoded pictures.
        changed: other arguments of `Dataset`.
    """
    rows = np.arange(num_rows)
    labels = np.random.default_rng(part).permutation(2 * NUM_ROWS)[:num_rows]
    table = pd.DataFrame(
        {
            "path": [f"{row}.png" for row in rows],
            "number": rows + 10 * part,
            "label": [CLASSES[row % 3] for row in rows],
            "w": 1.0 + rows + part / 4,
        },
        index=labels,
    )
    arguments: dict[str, Any] = {
        "inputs": {
            "image": mtgen.Images("path", root=folder() / str(part), size=(4, 4), recipe="keras", cache=cache),
            "features": mtgen.Rows(store(part, kind, chunk_rows)),
            "columns": mtgen.Columns(["number"]),
        },
        "targets": {
            "number": "number",
            "kind": mtgen.ClassNumbers("label", CLASSES),
            "marks": mtgen.OneHot("label", CLASSES),
        },
        "weight": {"kind": "w"},
    }
    return mtgen.Dataset(table, **(arguments | changed))


def assert_same(found: mtgen.Batch, slots: np.ndarray, expected: mtgen.Batch) -> None:
    """Slots of a batch hold what another batch holds, byte for byte."""
    for ours, theirs in ((found.inputs, expected.inputs), (found.targets, expected.targets)):
        assert list(ours) == list(theirs)
        for name, values in theirs.items():
            assert ours[name].dtype == values.dtype
            np.testing.assert_array_equal(ours[name][slots], values, err_msg=name)
    weights = [one.weight if isinstance(one.weight, dict) else {"": one.weight} for one in (found, expected)]
    for name, values in weights[1].items():
        np.testing.assert_array_equal(weights[0][name][slots], values, err_msg=name)
