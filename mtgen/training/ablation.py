"""Datasets with some of their inputs, or with features of the wrong row: what an ablation compares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mtgen.dataset import Dataset
from mtgen.errors import PlanError
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field
from mtgen.sealed import Sealed

PICTURE, FEATURES, MERGED = "picture", "features", "merged"


def name_of(names: Sequence[str]) -> str:
    """What training with these inputs is called.

    Example:
        >>> name_of(["image"]), name_of(["age"]), name_of(["image", "features"])
        ('picture alone', 'age alone', 'merged')
    """
    return MERGED if len(names) > 1 else f"{PICTURE if names[0] == 'image' else names[0]} alone"


def runs_of(dataset: Dataset) -> list[tuple[str, tuple[str, ...], bool]]:
    """What an ablation trains: name, inputs, and whether features are shifted by a row.

    Each input alone, all together, and all with the features, which are all inputs but pictures, of the next row.

    Raises:
        PlanError: there is one input only, or nothing that could be shifted.
    """
    names = tuple(dataset.input_specs)
    if len(names) < 2:
        raise PlanError(
            f"an ablation compares two inputs, these samples have {list(names)} only: name "
            "--image-column and --features, or two inputs in the configuration"
        )
    if not any(_can_shift(one) for one in dataset.fields):
        raise PlanError(
            "an ablation gives each row the features of the next one, and no input here has features: rows of a store "
            "or columns of the table"
        )
    alone = [(name_of([name]), (name,), False) for name in names]
    return [*alone, (MERGED, names, False), (f"{MERGED}, {FEATURES} shifted one row", names, True)]


def with_inputs(dataset: Dataset, names: Iterable[str], *, shifted: bool = False) -> Dataset:
    """The same rows of the same table with some of the inputs.

    Args:
        dataset: whose fields are taken.
        names: inputs to keep, all targets and weights stay.
        shifted: every row gets the features of the row after it, the last one those of the first; the keys, which
            would refuse that, are not compared.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 2, 3]}), {"a": mtgen.Columns("a")})
        >>> with_inputs(data, ["a"], shifted=True).fetch([0, 2]).inputs["a"].tolist()
        [[2.0], [1.0]]
    """
    kept = set(names)
    fields = [one for one in dataset.fields if one.role != "input" or one.name in kept]
    return dataset.with_fields([_shifted(one) if shifted and _can_shift(one) else one for one in fields])


def _can_shift(one: Field) -> bool:
    return one.role == "input" and isinstance(one.bound, BoundRows | BoundColumns)


def _shifted(one: Field) -> Field:
    bound, rows = one.bound, np.roll(np.arange(one.bound.num_rows), -1)
    if isinstance(bound, BoundRows):
        made: BoundRows | BoundColumns = BoundRows(bound.store, bound.store_rows(rows), None, finite=bound._finite)
    else:
        settings = {"shifted": bound.settings()}
        made = BoundColumns(bound.take(rows), settings=settings, digests=[], classes=bound.classes)
    return Field(role="input", name=one.name, bound=made)


def part_with_inputs(part: Dataset | Sealed, names: Iterable[str], *, shifted: bool = False) -> Dataset | Sealed:
    """`with_inputs` of a split, which stays behind its seal where it is behind one."""
    if isinstance(part, Sealed):
        return Sealed(part.name, with_inputs(part.open(), names, shifted=shifted))
    return with_inputs(part, names, shifted=shifted)
