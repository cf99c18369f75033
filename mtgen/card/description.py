"""What is in a dataset, as plain values for JSON: fields, columns, pictures, classes, digests, how to load it. Pure."""

from __future__ import annotations

import dataclasses
import math
import os
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from mtgen.card.parts import Parts
from mtgen.card.pictures import Pictures, images_of
from mtgen.card.rows import Columns, column_names
from mtgen.inputs.classes import BoundOneHot, Labels
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field

MOST_CLASSES = 1_000
"""A target of more distinct integers is described as a number."""

MOST_SIZES = 50
"""Sizes of pictures that are listed, the most frequent first; all are counted."""


def of_field(one: Field) -> dict[str, Any]:
    """Name, role, kind, shape and dtype of a field; of pictures the recipe."""
    images = images_of(one)
    kinds = ((BoundImages, "pictures"), (BoundRows, "rows"), (BoundColumns, "columns"))
    kind = next((name for bound, name in kinds if isinstance(one.bound, bound)), "patches")
    found: dict[str, Any] = {
        "name": one.name,
        "role": one.role,
        "kind": kind,
        "shape": list(one.spec.shape),
        "dtype": str(one.spec.dtype),
    }
    if images is not None:
        recipe = images.recipe
        found["recipe"] = {**_plain(dataclasses.asdict(recipe)), "digest": recipe.digest()}
    return found


def of_columns(one: Field, columns: Columns) -> dict[str, Any]:
    """Statistics of each column: lists, all of one length."""
    return {
        "names": column_names(one),
        "count": columns.count.tolist(),
        "min": _numbers(columns.lowest),
        "max": _numbers(columns.highest),
        "mean": _numbers(columns.mean),
        "std": _numbers(columns.std),
        "nan": columns.num_nan.tolist(),
        "infinite": columns.num_infinite.tolist(),
        "zero": columns.num_zero.tolist(),
    }


def of_pictures(pictures: Pictures) -> dict[str, Any]:
    """Counts of what the files are; sizes are (width, height) as stored."""
    sizes = sorted(pictures.sizes.items(), key=lambda item: (-item[1], item[0]))
    widths, heights = ([size[axis] for size in pictures.sizes] for axis in (0, 1))
    return {
        "files": pictures.num_files,
        "bytes": pictures.num_bytes,
        "unreadable": len(pictures.errors),
        "sizes": [{"width": w, "height": h, "files": count} for (w, h), count in sizes[:MOST_SIZES]],
        "distinct_sizes": len(sizes),
        "width": [min(widths), max(widths)] if widths else None,
        "height": [min(heights), max(heights)] if heights else None,
        "modes": _counts(pictures.modes),
        "formats": _counts(pictures.formats),
        "orientations": _counts(pictures.orientations),
        "alpha": pictures.num_alpha,
    }


def of_target(one: Field, parts: Parts) -> dict[str, Any]:
    """Classes of a target with their rows, in all and in each split; or its range."""
    bound = one.bound
    values = bound.take(parts.all_rows)
    if isinstance(bound, BoundOneHot):
        marks = values != 0
        names = list(bound.classes or ())
        return {"classes": _classes(names, [marks[:, place] for place in range(len(names))], parts)}
    if one.spec.dtype.kind in "iub" and not one.spec.shape:
        classes, codes = np.unique(values, return_inverse=True)
        if bound.classes is not None:  # classes without rows are told too
            classes, codes = np.arange(len(bound.classes)), values
        if len(classes) <= MOST_CLASSES or bound.classes is not None:
            names = list(bound.classes) if bound.classes is not None else [str(one) for one in classes.tolist()]
            return {"classes": _of_codes(names, codes, parts)}
    flat = values.reshape(len(values), -1).astype(np.float64)
    return {
        "names": column_names(one),
        "min": _numbers(flat.min(axis=0)),
        "max": _numbers(flat.max(axis=0)),
        "mean": _numbers(flat.mean(axis=0)),
        "std": _numbers(flat.std(axis=0)),
    }


def _of_codes(names: list[str], codes: np.ndarray, parts: Parts) -> list[dict[str, Any]]:
    splits = [
        np.bincount(codes[parts.all_split_of == number], minlength=len(names)) for number in range(len(parts.lengths))
    ]
    return [
        {
            "class": name,
            "rows": int(sum(counts[place] for counts in splits)),
            "splits": [int(counts[place]) for counts in splits] if parts.names else [],
        }
        for place, name in enumerate(names)
    ]


def _classes(names: list[str], marks: list[np.ndarray], parts: Parts) -> list[dict[str, Any]]:
    return [
        {
            "class": name,
            "rows": int(mark.sum()),
            "splits": [int(mark[parts.all_split_of == number].sum()) for number in range(len(parts.names))],
        }
        for name, mark in zip(names, marks, strict=True)
    ]


def snippet(parts: Parts, table: str | None) -> str:
    """Python that makes the dataset again; what cannot be written down is a comment."""
    lines = ["import mtgen", "", f"table = mtgen.read_table({table or 'table.csv'!r})"]
    lines += ["data = mtgen.Dataset(", "    table,", "    inputs={"]
    fields = parts.dataset.fields
    lines += [f"        {one.name!r}: {_made(one, parts.dataset.table)}," for one in fields if one.role == "input"]
    lines.append("    },")
    targets = [f"{one.name!r}: {_made(one, parts.dataset.table)}" for one in fields if one.role == "target"]
    if targets:
        lines.append(f"    targets={{{', '.join(targets)}}},")
    if any(one.role == "weight" for one in fields):
        lines.append("    weight=...,  # as when the card was made")
    lines.append(")")
    if parts.names:
        lines.append(f"# divided by data.split into {', '.join(map(repr, parts.names))}")
    lines.append("batch = data.fetch([0, 1, 2])")
    if any("..." in line.partition(": ")[2] for line in lines):
        lines.insert(2, "# where ... stands, say yourself what the card could not write down")
    return "\n".join(lines)


def _of_classes(settings: dict[str, Any], table: pd.DataFrame) -> str:
    """`OneHot` or `ClassNumbers` as it was asked for, with classes of the column's own type."""
    (name,) = settings["columns"]
    kind = Labels.of(table[name]).kind
    classes: list[Any] = list(settings["classes"])
    if kind in ("integers", "booleans"):
        classes = [int(label) if kind == "integers" else label == "True" for label in classes]
    more = f", dtype={settings['dtype']!r}, unlisted={settings['unlisted']!r}"
    return f"mtgen.{settings['as']}({name!r}, classes={classes!r}{more})"


def _made(one: Field, table: pd.DataFrame) -> str:
    bound: Any = one.bound
    if isinstance(bound, BoundImages) and len(bound.members) == 1:
        given = bound.images
        settings = {
            field.name: getattr(given, field.name)
            for field in dataclasses.fields(given)
            if field.name not in ("column", "_", "cache") and getattr(given, field.name) != field.default
        }
        recipe = settings.get("recipe")
        if recipe is not None and not isinstance(recipe, str):
            settings["recipe"] = recipe.name
        more = "".join(f", {name}={_shown(value)}" for name, value in settings.items())
        return f"mtgen.Images({given.column!r}{more})"
    if isinstance(bound, BoundRows) and len(bound.members) == 1:
        key = "" if bound.key_column is None else f", key={bound.key_column.name!r}"
        return f"mtgen.Rows({bound.store.location!r}{key})"  # which column says the store row is not known here
    if isinstance(bound, BoundColumns):
        columns = bound.settings().get("columns", [])
        if one.role == "input":
            return f"mtgen.Columns({columns!r}, dtype={str(one.spec.dtype)!r})"
        if "as" in bound.settings():
            return _of_classes(bound.settings(), table)
        return repr(columns if bound.settings().get("several") else columns[0]) if columns else "..."
    return "..."


def _shown(value: Any) -> str:
    return repr(os.fspath(value)) if isinstance(value, os.PathLike) else repr(value)


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers as JSON knows them: None where a value is not finite."""
    return [float(f"{value:.9g}") if math.isfinite(value) else None for value in values.tolist()]


def _counts(counter: Counter[Any]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counter.items(), key=lambda item: (-item[1], str(item[0])))}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
