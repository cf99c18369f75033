"""What is written under and above the pictures of a contact sheet."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np

from mtgen.batch import Batch
from mtgen.dataset import Dataset
from mtgen.inputs.bound_patches import ArrayPatches, PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.inputs.patch_arrays import DiskArrays
from mtgen.inputs.rows import BoundRows
from mtgen.loader import Loader


def title(loader: Loader, batch: Batch, split: str | None) -> str:
    """Which step this is, and what rebuilds it.

    Example:
        >>> import mtgen, pandas
        >>> data = mtgen.Dataset(pandas.DataFrame({"a": range(5)}), inputs={"a": mtgen.Columns("a")})
        >>> loader = mtgen.Loader(data, 2)
        >>> title(loader, loader.batch(4), "train")
        'step 4 (step 1 of epoch 1, 3 steps per epoch)   seed 0   train split'
    """
    step = batch.step or 0
    parts = [
        f"step {step} (step {step % loader.steps_per_epoch} of epoch {batch.epoch}, "
        f"{loader.steps_per_epoch} steps per epoch)",
        f"seed {loader.seed}",
    ]
    return "   ".join([*parts, f"{split} split"] if split else parts)


def target_texts(dataset: Dataset, batch: Batch, slot: int) -> list[str]:
    """Each target and weight of one slot; classes by their name."""
    texts = []
    for name, values in batch.targets.items():
        value = values[slot]
        names = dataset.classes.get(name)
        if names is not None and np.ndim(value) == 0:
            shown = names[int(value)] if value >= 0 else "no class"
        elif names is not None:
            shown = ", ".join(names[int(place)] for place in np.flatnonzero(value)[:4]) or "no class"
        elif np.ndim(value) == 0:
            shown = f"{value:.4g}" if values.dtype.kind == "f" else str(int(value))
        else:
            shown = ", ".join(f"{one:.4g}" for one in np.ravel(value)[:4])
        texts.append(f"{name} {shown}")
    if batch.weight is not None:
        weights = batch.weight if isinstance(batch.weight, dict) else {"": batch.weight}
        texts += [f"weight {name} {one[slot]:.4g}".replace("  ", " ") for name, one in weights.items()]
    return texts


def identities(dataset: Dataset, rows: np.ndarray) -> list[str]:
    """A text per row that names the sample: the key its feature row carries, else its own file, else nothing."""
    for one in dataset.fields:
        if isinstance(one.bound, BoundRows) and one.bound.store.keys is not None:
            keys = one.bound.store.keys
            found = np.empty(len(rows), keys.dtype)
            keys.read_rows(one.bound.store_rows(rows), found)
            name = one.bound.store.key_name or "key"
            return [f"{name} {_text(value)}" for value in found.tolist()]
    for one in dataset.fields:
        own = isinstance(one.bound, ArrayPatches) and isinstance(one.bound.arrays, DiskArrays)
        if own or isinstance(one.bound, BoundImages | PicturePatches):
            return [PurePath(one.bound.path(int(row))).name for row in rows]
    return [""] * len(rows)


def shortened(text: str, most: int) -> str:
    """The text, with an ellipsis in the middle where it has more than `most` characters.

    Example:
        >>> shortened("a_very_long_name.png", 11)
        'a_ver…e.png'
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
