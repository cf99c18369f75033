"""A dataset: what a sample is. A table, the inputs, targets and weights bound to it, and a list of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mtgen.batch import Batch
from mtgen.draws import Draws
from mtgen.errors import PlanError, SealedError, TableError
from mtgen.inputs.bound_patches import BoundPatches
from mtgen.inputs.classes import ClassNumbers, OneHot
from mtgen.inputs.columns import BoundColumns, Target
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field, Role
from mtgen.promises import FILES_PART
from mtgen.sample import fetch
from mtgen.sampling.row_plans.dataset_rows import DatasetRows, dataset_rows
from mtgen.settings import check_kind, shown
from mtgen.spec import Spec
from mtgen.split_rows import split_by_value, split_rows
from mtgen.splits import Splits
from mtgen.table import check_table, complete_column, digest_values
from mtgen.weighting import Weighted, weight_fields


@dataclass(frozen=True, kw_only=True, eq=False)
class Root:
    """What all splits of one dataset share."""

    table: pd.DataFrame
    fields: tuple[Field, ...]

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digest of each field, by role and name."""
        texts = {
            f"{field.role} {field.name}": json.dumps(field.bound.settings(), sort_keys=True, default=repr)
            for field in self.fields
        }
        digests = {part: hashlib.blake2b(text.encode(), digest_size=16).hexdigest() for part, text in texts.items()}
        for field in self.fields:
            if files_digest := getattr(field.bound, "files_digest", None):
                digests[f"{FILES_PART}{field.role} {field.name}"] = files_digest
        return digests


class Dataset(Weighted):
    """What a sample is; nothing running, nothing read but what the checks need.

    Immutable and picklable; any thread. The table is not copied: do not change it afterwards.

    Args:
        table: the root table; row k is sample k for life.
        inputs: name -> `Images`, `Rows`, `Columns` or `Patches`.
        targets: a column, or name -> column, or name -> list of columns, or name -> `OneHot`, `ClassNumbers`, `Rows`,
            `Images` or `Patches`; None for prediction.
        weight: what each sample counts in the loss: a column, `ClassWeights`, a number, an array or Series with a
            value per row, or a list of these, to multiply; or target name -> such a weight; None for equal weights.

    Raises:
        TableError: a column that is missing or cannot be used.
        AlignmentError: a store whose rows cannot be matched to the table's.
        StoreError: a store that cannot be opened.

    Example:
        >>> table = pd.DataFrame({"age": [30, 41, 28], "ill": [0, 1, 0]})
        >>> data = Dataset(table, inputs={"age": mtgen.Columns("age")}, targets="ill")
        >>> data.fetch([2]).inputs["age"].tolist()
        [[28.0]]
    """

    def __init__(
        self,
        table: pd.DataFrame,
        inputs: Mapping[str, Any],
        targets: str | OneHot | ClassNumbers | Mapping[str, Any] | None = None,
        weight: Any = None,
    ) -> None:
        check_table(table)
        fields = [*_input_fields(inputs, table), *_target_fields(targets, table)]
        fields += weight_fields(weight, table, fields)
        self._root = Root(table=table, fields=tuple(fields))
        self._rows = np.arange(len(table))
        self._rows.flags.writeable = False

    _sealed: np.ndarray | None = None
    """bool `(len(table),)`: rows of sealed splits beside this one; None where there are none."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def rows(self) -> DatasetRows:
        """Places in the root table, int64 `(n,)`, read-only; the list of rows, and the laws over them."""
        return dataset_rows(self._rows, self)

    def __repr__(self) -> str:
        parts = ", ".join(f"{field.role} {field.name}: {field.spec}" for field in self.fields)
        return f"Dataset({len(self)} of {len(self.table)} rows; {parts})"

    @property
    def table(self) -> pd.DataFrame:
        """The root table, all rows."""
        return self._root.table

    @property
    def fields(self) -> tuple[Field, ...]:
        """Inputs, targets and weights, bound to the root table, in the order given."""
        return self._root.fields

    @property
    def input_specs(self) -> dict[str, Spec]:
        """Shape and dtype of one sample of each input."""
        return self._specs("input")

    @property
    def target_specs(self) -> dict[str, Spec]:
        """Shape and dtype of one sample of each target."""
        return self._specs("target")

    @property
    def classes(self) -> dict[str, tuple[str, ...]]:
        """Class names of targets that were text: name of target -> names, class k is the k-th."""
        bound = {field.name: field.bound for field in self.fields if field.role == "target"}
        return {name: one.classes for name, one in bound.items() if isinstance(one, BoundColumns) and one.classes}

    def _specs(self, role: str) -> dict[str, Spec]:
        return {field.name: field.spec for field in self.fields if field.role == role}

    def fetch(self, rows: Sequence[int] | np.ndarray, draws: Draws | None = None) -> Batch:
        """The samples of the given rows, one after the other in the caller's thread: the plain reference path.

        Args:
            rows: places in the root table, any order, repeats allowed; they need not belong to this split.
            draws: where in a run the rows stand, which decides where patches are cut; None for outside any run: seed
                0, epoch 0, and each row is its own position.

        Raises:
            PlanError: rows that are no list of integers, or a row outside the table; draws of another number of rows.
            SealedError: a row of a sealed split beside this one.
            DecodeError, StoreError, AlignmentError: a sample that cannot be read.
        """
        given = _array_of(rows, "fetch")
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise PlanError(
                f"fetch needs a list of integer rows, received {given.dtype} of shape {given.shape}: {rows!r:.100}. "
                "For a boolean mask use take(mask).rows"
            )
        wanted = given.astype(np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self.table)):
            raise PlanError(f"rows must lie in 0 to {len(self.table) - 1}, received {wanted.min()} to {wanted.max()}")
        if draws is not None:
            check_kind("draws", draws, Draws, "a mtgen.draws.Draws or None")
            if len(draws.positions) != len(wanted):
                raise PlanError(f"fetch received {len(wanted)} rows and draws of {len(draws.positions)} positions")
        if self._sealed is not None and self._sealed[wanted].any():
            raise SealedError(
                "this row is in a sealed split, and this dataset is another split of the same table: .open() the "
                "sealed one, where its rows are meant to be looked at",
                row=int(wanted[self._sealed[wanted]][0]),
            )
        return fetch(self.fields, wanted, draws)

    def missing(self) -> np.ndarray:
        """Which rows lack a picture, or an array of their own to cut patches from. Opens nothing.

        A file that is not there, or for pictures a folder in its place.

        Returns:
            bool `(len(table),)` over the root table; False for rows that are not in this dataset.

        Example:
            >>> table = pd.DataFrame({"file": ["images/011/07/100000.png", "gone.png"]})
            >>> pictures = mtgen.Images("file", root="data_samples/digits", size=(8, 8))
            >>> data = mtgen.Dataset(table, inputs={"image": pictures})
            >>> data.missing().tolist(), data.take(~data.missing()).rows.tolist()
            ([False, True], [0])
        """
        mask = np.zeros(len(self.table), bool)
        for field in self.fields:
            if isinstance(field.bound, BoundImages | BoundPatches):
                mask[field.bound.missing_rows(self._rows.tolist())] = True
        return mask

    def take(self, rows: Iterable[int] | np.ndarray | pd.Series) -> Dataset:
        """The same dataset with fewer rows; rows keep their identity.

        Args:
            rows: distinct places in the root table, or a boolean mask `(len(table),)` over the root table. A mask
                that is a Series must carry the table's own index labels in the table's own order.

        Raises:
            PlanError: a row that this dataset does not have, or that is named twice; a mask of another table.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 2, 3]}), inputs={"a": mtgen.Columns("a")})
            >>> data.take(data.table["a"] > 1).rows.tolist()
            [1, 2]
        """
        if not isinstance(rows, np.ndarray | pd.Series):
            check_kind("rows", rows, Iterable, "a list of integer rows or a boolean mask")
        chosen = _array_of(rows if isinstance(rows, np.ndarray | pd.Series) else list(rows), "take")
        if isinstance(rows, pd.Series) and pd.api.types.is_bool_dtype(rows.dtype):
            if not rows.index.equals(self.table.index):
                raise PlanError(
                    "the mask's index labels are not the table's, in the table's order; was it made from a sorted, "
                    "filtered or re-numbered frame? Make it from data.table, or pass mask.to_numpy() if its places are "
                    "meant"
                )
            if rows.isna().any():
                raise PlanError("the mask has missing values; say which they mean: mask.fillna(False)")
            chosen = rows.to_numpy(dtype=bool)
        if chosen.dtype == bool:
            if chosen.shape != (len(self.table),):
                raise PlanError(f"a mask needs one entry per table row, {len(self.table)}; received {chosen.shape}")
            chosen = np.flatnonzero(chosen & self._has)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise PlanError(f"take needs integer rows or a boolean mask, received {chosen.dtype} of {chosen.shape}")
        chosen = chosen.astype(np.int64)
        has, inside = self._has, (chosen >= 0) & (chosen < len(self.table))
        foreign = chosen[~(inside & has[np.where(inside, chosen, 0)])]
        if len(foreign):
            raise PlanError(f"this dataset does not have row {foreign.min()} ({len(set(foreign.tolist()))} such rows)")
        # Marks on the table take a hundredth of the time of NumPy's set functions.
        has[:] = False
        has[chosen] = True
        if has.sum() != len(chosen):
            raise PlanError("take needs distinct rows; to draw rows more than once use a sampler")
        return self._with_rows(chosen)

    @property
    def _has(self) -> np.ndarray:
        """A new array: for each row of the root table, whether this dataset has it."""
        has = np.zeros(len(self.table), bool)
        has[self._rows] = True
        return has

    def split(
        self,
        shares: Mapping[str, float] | None = None,
        *,
        by: str | None = None,
        stratify: str | None = None,
        group: str | None = None,
        seed: int = 0,
        sealed: str | Iterable[str] = (),
    ) -> Splits:
        """Divide the rows into named datasets, each row in exactly one.

        Args:
            shares: name -> share (summing to 1) or number of rows (summing to all).
            by: column whose values name the splits, instead of `shares`.
            stratify: column whose values appear in every split in the same proportion.
            group: column whose equal values stay together, such as a patient.
            seed: integer >= 0; equal seeds give equal splits.
            sealed: name or names of splits that come as `mtgen.Sealed`: nothing reads them before `.open()`.

        Returns:
            The datasets, to unpack in the order of `shares` or to index by name.

        Raises:
            PlanError: shares or columns that cannot be followed; `sealed` names no split.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(10)}), inputs={"a": mtgen.Columns("a")})
            >>> train, test = data.split({"train": 0.8, "test": 0.2}, seed=0)
            >>> len(train), len(test)
            (8, 2)
        """
        if (shares is None) == (by is None):
            raise PlanError("split needs either shares by name or by='column', exactly one of them")
        if by is not None:
            if stratify is not None or group is not None:
                raise PlanError("by='column' already says which row goes where; leave out stratify and group")
            return Splits.of(self, dict(split_by_value(self._rows, self._column(by, "by"))), sealed)
        parts = split_rows(
            self._rows,
            {} if shares is None else shares,
            seed=seed,
            strata=None if stratify is None else self._column(stratify, "stratify").to_numpy(),
            groups=None if group is None else self._column(group, "group").to_numpy(),
        )
        return Splits.of(self, parts, sealed)

    def _column(self, name: str, use: str) -> pd.Series:
        return complete_column(self.table, name, use, self._rows)

    def _with_rows(self, rows: np.ndarray) -> Dataset:
        other = object.__new__(type(self))
        other._root, other._sealed = self._root, self._sealed
        other._rows = np.array(rows)
        other._rows.flags.writeable = False
        return other

    def _without_sealed(self, mask: np.ndarray) -> Dataset:
        """The same dataset, which fetches no row of sealed splits beside it.

        Args:
            mask: bool `(len(table),)`, true for those rows.
        """
        if not mask.any():
            return self
        other = self._with_rows(self._rows)
        other._sealed = mask if self._sealed is None else mask | self._sealed
        return other

    def with_fields(self, fields: Iterable[Field]) -> Dataset:
        """The same rows of the same table, with other inputs, targets and weights bound to it."""
        other = self._with_rows(self._rows)
        other._root = Root(table=self.table, fields=tuple(fields))
        return other

    @cached_property
    def digests(self) -> dict[str, str]:
        """Hex digests of the parts that decide the samples: `rows`, then each field by role and name.

        Column values, row mappings, paths and recipes are covered whole, stores by size and a sample of rows; the
        bytes of pictures are not read. An input with a manifest adds a part of its own, `files of` and its role and
        name: what the manifest says of its files.
        """
        return {"rows": digest_values(pd.Index(self._rows)), **self._root.digests}


def _array_of(rows: Any, use: str) -> np.ndarray:
    try:
        return np.asarray(rows)
    except Exception as error:  # ragged lists, and whatever an object of the user's raises when it is read
        raise PlanError(f"{use} needs a list of integer rows, received {shown(rows)}: {error}") from error


def _input_fields(inputs: Mapping[str, Any], table: pd.DataFrame) -> list[Field]:
    if not isinstance(inputs, Mapping) or not inputs:
        raise TableError(
            "inputs must be a dict of name -> Images, Rows, Columns or Patches with at least one entry, "
            f"received {inputs!r:.200}"
        )
    return [_field("input", name, value, table) for name, value in inputs.items()]


def _target_fields(targets: Any, table: pd.DataFrame) -> list[Field]:
    if targets is None:
        return []
    if isinstance(targets, OneHot | ClassNumbers):
        targets = {targets.name: targets}
    named = targets if isinstance(targets, Mapping) else {_single_name(targets): targets}
    made = {name: value if hasattr(value, "bind") else Target(value) for name, value in named.items()}
    return [_field("target", name, value, table) for name, value in made.items()]


def _single_name(targets: object) -> str:
    if not isinstance(targets, str):
        raise TableError(
            f"targets must be a column name or a dict of name -> column or columns, received {targets!r:.200}. "
            'For several columns as one target write {"name": ["a", "b"]}'
        )
    return targets


def _field(role: Role, name: object, value: Any, table: pd.DataFrame) -> Field:
    if not isinstance(name, str):
        raise TableError(f"names of inputs and targets are text, received {name!r} of type {type(name).__name__}")
    if not hasattr(value, "bind"):
        raise TableError(
            f"{role} {name!r} must be Images, Rows, Columns or Patches, received {type(value).__name__}. "
            "For an array write Rows(array), for columns of the table Columns([...])"
        )
    bound = value.bind(table)
    if not isinstance(bound, BoundImages | BoundRows | BoundColumns | BoundPatches):
        raise TableError(
            f"{role} {name!r} binds to {type(bound).__name__}, which no loader knows how to read; use Images, Rows, "
            "Columns or Patches. An array of your own fits in Rows: anything with shape, dtype and []"
        )
    return Field(role=role, name=name, bound=bound)
