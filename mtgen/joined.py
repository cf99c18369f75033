"""Several datasets as one: real and synthetic pictures, this year's table and last year's, two hospitals.

`join` puts their tables one below the other. Every part keeps its own folders, stores, manifests, caches and checks; a
sample of the joined dataset is byte for byte the sample of its part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd

from mtgen.dataset import Dataset, Root
from mtgen.errors import PlanError
from mtgen.inputs.joined import join_bound
from mtgen.pending import Field
from mtgen.sampling.mixture import mix
from mtgen.sampling.row_plans.base import RowSampler
from mtgen.sampling.sampler import check_weight
from mtgen.sealed import check_opened
from mtgen.settings import check_kind, check_label
from mtgen.table import stack_tables

_NO_PART = -1


def join(parts: Mapping[str, Dataset], *, column: str | None = None) -> Joined:
    """One dataset of several: the rows of the first part, then those of the second, and so on.

    All parts have inputs, targets and weights of the same names, and each of these one shape, dtype, recipe and list
    of classes. They may come from different folders, stores and columns. Parts that are splits of one dataset
    share its table, and nothing is copied; else the tables are put one below the other under new labels 0 to n-1, all
    rows of them, also those that a part leaves out.

    Args:
        parts: name -> dataset. Splits and filters of a part are kept. No row may be in two parts.
        column: name of a new column of the table that says the part of each row, for `split(stratify=...)` and the
            like; it is missing where a row is in no part. None adds none.

    Returns:
        The joined dataset; its `parts` say which rows came from where.

    Raises:
        PlanError: parts that are no datasets, that differ, or that share a row; inputs of a kind that cannot be joined.

    Example:
        >>> real = mtgen.Dataset(pd.DataFrame({"age": [30, 41]}), inputs={"age": mtgen.Columns("age")})
        >>> made = mtgen.Dataset(pd.DataFrame({"age": [7, 8, 9]}), inputs={"age": mtgen.Columns("age")})
        >>> both = mtgen.join({"real": real, "made": made.take([0, 2])})
        >>> both.rows.tolist(), both.fetch([4]).inputs["age"].tolist()
        ([0, 1, 2, 4], [[9.0]])
    """
    named = _checked(parts)
    roots = list({id(part._root): part._root for part in named.values()}.values())
    starts = np.cumsum([0, *(len(root.table) for root in roots)])
    firsts = {
        name: int(starts[next(place for place, root in enumerate(roots) if root is part._root)])
        for name, part in named.items()
    }
    owners = np.full(int(starts[-1]), _NO_PART, np.int32)
    rows = {name: np.asarray(part.rows) + firsts[name] for name, part in named.items()}
    for number, (name, places) in enumerate(rows.items()):
        taken = places[owners[places] != _NO_PART]
        if len(taken):
            other = list(named)[int(owners[taken[0]])]
            raise PlanError(
                f"row {int(taken[0]) - firsts[name]} is in the parts {other!r} and {name!r} ({len(taken)} such rows), "
                "and a row of a joined dataset is of one part. Take the rows apart first, for example "
                f"{name}.take(np.setdiff1d({name}.rows, {other}.rows))"
            )
        owners[places] = number
    origin = Origin(names=tuple(named), owners=owners, firsts=tuple(firsts.values()))
    if len(roots) == 1:
        root = roots[0]
    else:
        root = Root(table=stack_tables([one.table for one in roots]), fields=_fields(roots, named))
    if column is not None:
        root = replace(root, table=_with_column(root.table, column, origin))
    made = object.__new__(Joined)
    made._root, made._origin = root, origin
    return cast("Joined", made._with_rows(np.concatenate(list(rows.values())))._without_sealed(_sealed(named, origin)))


class PartRows(NamedTuple):
    """Where rows of a joined dataset came from.

    Args:
        parts: name of each row's part, text `(n,)`.
        rows: place of each row in its part's own root table, int64 `(n,)`.
    """

    parts: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """Which part each row of a joined root table is of.

    Args:
        names: the parts.
        owners: number of the part of each row, -1 for none.
        firsts: row at which the table of each part begins.
    """

    names: tuple[str, ...]
    owners: np.ndarray
    firsts: tuple[int, ...]


class Joined(Dataset):
    """What `mtgen.join` makes: a dataset that knows which of its rows came from which part.

    Immutable and picklable; any thread. What is taken or split from it knows the same.
    """

    _origin: Origin

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Name -> rows of this dataset that came from the part, int64, in this dataset's order; none is left out.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(4)}), inputs={"a": mtgen.Columns("a")})
            >>> halves = data.split({"x": 0.5, "y": 0.5}, seed=0)
            >>> joined = mtgen.join({name: halves[name] for name in halves.names})
            >>> [joined.parts[name].tolist() == halves[name].rows.tolist() for name in joined.parts]
            [True, True]
        """
        owners = self._origin.owners[self.rows]
        return {name: self.rows[owners == number] for number, name in enumerate(self._origin.names)}

    def mix(self, shares: Mapping[str, float]) -> RowSampler:
        """Rows of the parts by share, those of a part all alike; in a loader the shares are kept in every batch.

        For other laws inside the parts mix those: `S.mix({"real": 0.7 & data.take(data.parts["real"]).rows.weighted(
        "age"), ...})`.

        Args:
            shares: part -> share, numbers >= 0, relative to each other; parts that are not named never come.

        Raises:
            PlanError: no such part, a share that is none, or one above 0 of a part without rows.
            EmptySupportError: all shares are 0.

        Example:
            >>> one, other = (
            ...     mtgen.Dataset(pd.DataFrame({"a": range(num)}), inputs={"a": mtgen.Columns("a")}) for num in (90, 10)
            ... )
            >>> data = mtgen.join({"real": one, "synthetic": other})
            >>> rows = data.mix({"real": 0.5, "synthetic": 0.5}).plan(8, seed=0)[:]
            >>> int((rows < 90).sum())
            4
        """
        check_kind("shares", shares, Mapping, 'a dict of part -> share, such as {"real": 0.7, "synthetic": 0.3}')
        parts = self.parts
        unknown = [name for name in shares if name not in parts]
        if unknown or not shares:
            raise PlanError(f"shares must name parts, {list(parts)}; received {unknown or 'none'}")
        empty = [name for name, share in shares.items() if not len(parts[name]) and check_weight(share) > 0]
        if empty:
            raise PlanError(f"part {empty[0]!r} has no rows here, so it cannot have a share")
        laws = [share & self.take(parts[name]).rows.uniform() for name, share in shares.items() if len(parts[name])]
        return cast("RowSampler", mix(*laws))

    def part_of(self, rows: Sequence[int] | np.ndarray) -> PartRows:
        """The part of each row, and its row there.

        Args:
            rows: places in the joined root table, int64 `(n,)`, such as the filled ones of `batch.rows`.

        Raises:
            PlanError: a row that is in no part.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 2]}), inputs={"a": mtgen.Columns("a")})
            >>> more = mtgen.Dataset(pd.DataFrame({"a": [3]}), inputs={"a": mtgen.Columns("a")})
            >>> found = mtgen.join({"old": data, "new": more}).part_of([2, 0])
            >>> found.parts.tolist(), found.rows.tolist()
            (['new', 'old'], [0, 0])
        """
        wanted = np.asarray(rows)
        origin = self._origin
        if wanted.ndim != 1 or (wanted.size and wanted.dtype.kind not in "iu"):
            raise PlanError(f"part_of needs a list of integer rows, received {wanted.dtype} of shape {wanted.shape}")
        wanted = wanted.astype(np.int64)
        inside = (wanted >= 0) & (wanted < len(origin.owners))
        owners = np.where(inside, origin.owners[np.where(inside, wanted, 0)], _NO_PART)
        if (owners == _NO_PART).any():
            row = int(wanted[owners == _NO_PART][0])
            why = "it marks an empty slot: ask for batch.rows[batch.rows >= 0]" if row == -1 else "no part has it"
            raise PlanError(f"row {row} is in none of the parts {list(origin.names)}; {why}")
        firsts = np.array(origin.firsts, np.int64)[owners]
        return PartRows(np.array(origin.names)[owners], wanted - firsts)

    def _with_rows(self, rows: np.ndarray) -> Dataset:
        other = super()._with_rows(rows)
        cast("Joined", other)._origin = self._origin
        return other

    @cached_property
    def digests(self) -> dict[str, str]:
        """See `Dataset.digests`; `parts` covers the names of the parts and which rows they have."""
        state = hashlib.blake2b("\n".join(map(repr, self._origin.names)).encode(), digest_size=16)
        state.update(self._origin.owners[self.rows].astype("<i4").tobytes())
        return {**super().digests, "parts": state.hexdigest()}


def _checked(parts: Any) -> dict[str, Dataset]:
    check_kind("the parts to join", parts, Mapping, 'a dict of name -> dataset, such as {"real": a, "synthetic": b}')
    if not parts:
        raise PlanError('join needs at least one dataset, such as {"real": a, "synthetic": b}; received none')
    for name, part in parts.items():
        check_kind("the name of a part", name, str, "text")
        check_opened(part)
        check_kind(f"part {name!r}", part, Dataset, "a mtgen.Dataset")
    return dict(parts)


def _sealed(parts: Mapping[str, Dataset], origin: Origin) -> np.ndarray:
    """Rows of sealed splits beside the parts, but for those that a part has; bool over the joined root table."""
    mask = np.zeros(len(origin.owners), bool)
    for first, part in zip(origin.firsts, parts.values(), strict=True):
        if part._sealed is not None:
            mask[first : first + len(part._sealed)] |= part._sealed
    return mask & (origin.owners == _NO_PART)


def _fields(roots: Sequence[Root], parts: Mapping[str, Dataset]) -> tuple[Field, ...]:
    """The fields of several roots joined, in the order of the first."""
    names = [next(name for name, part in parts.items() if part._root is root) for root in roots]
    by_root = [{(field.role, field.name): field for field in root.fields} for root in roots]
    first = by_root[0]
    lacking: dict[str, None] = {}
    for name, fields in zip(names, by_root, strict=True):
        for key in first.keys() ^ fields.keys():
            has, lacks = (names[0], name) if key in first else (name, names[0])
            lacking[f"{_described(*key)} is in {has!r} and not in {lacks!r}"] = None
    if lacking:
        raise PlanError(
            f"the parts cannot be joined: {'; '.join(sorted(lacking))}. Give all of them the same inputs, targets and "
            "weights; a part without weights gets some by with_weight(1.0)"
        )
    return tuple(
        Field(
            role=field.role,
            name=field.name,
            bound=join_bound(
                _described(*key), [(name, fields[key].bound) for name, fields in zip(names, by_root, strict=True)]
            ),
        )
        for key, field in first.items()
    )


def _described(role: str, name: str) -> str:
    return f"{role} {name!r}" if name else f"the {role} of all targets"


def _with_column(table: pd.DataFrame, column: str, origin: Origin) -> pd.DataFrame:
    check_label("column", column)
    if column in table.columns:
        raise PlanError(f"column={column!r} names a column that a table has already; choose a new name for the parts'")
    names = np.array([*origin.names, None], dtype=object)
    return table.assign(**{column: names[origin.owners]})
