"""Inputs of several root tables as the inputs of one: their rows one below the other.

`join_bound` takes the same field of each part, bound to that part's table, and gives it bound to the joined table. Each
part keeps its own folder, store, manifest, cache and checks; what is joined finds the part of a row and asks it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtgen.cache.bound import BoundCache
from mtgen.cache.joined import JoinedCache
from mtgen.errors import MtgenError, PlanError
from mtgen.inputs.classes import BoundOneHot
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.promises import Promise
from mtgen.stores.joined import JoinedStore


class _Places:
    """Which part a row of the joined table is of: rows of part k are `starts[k]` to `starts[k + 1] - 1`."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)

    def of(self, row: int) -> tuple[int, int]:
        """Number of the part, and the part's own row."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return number, row - int(self.starts[number])

    def by_part(self, rows: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Number of each part that some of the rows are of, and their places in `rows`."""
        owners = np.searchsorted(self.starts, rows, side="right") - 1
        return [(number, np.flatnonzero(owners == number)) for number in np.unique(owners).tolist()]


class JoinedImages(BoundImages):
    """Pictures of several tables, of one recipe; each part has its own root, links, manifest and cache.

    Immutable and picklable; any thread.

    Args:
        parts: pictures by one recipe, at least one.
    """

    def __init__(self, parts: Sequence[BoundImages]) -> None:
        self._parts = tuple(parts)
        self._places = _Places([len(part) for part in parts])
        self.images, self.recipe, self.files = parts[0].images, parts[0].recipe, parts[0].files
        self.promises = None  # of the parts, each its own: see `promise`
        self._begin_cache()

    def _begin_cache(self) -> None:
        caches: list[tuple[int, BoundCache | None]] = [(first, part.cache) for first, part in self.members]
        self.cache = JoinedCache(caches) if any(cache is not None for _, cache in caches) else None

    @property
    def members(self) -> tuple[tuple[int, BoundImages], ...]:
        """See `BoundImages.members`."""
        starts = self._places.starts.tolist()
        nested = zip(starts, self._parts, strict=False)
        return tuple((start + first, member) for start, part in nested for first, member in part.members)

    def member(self, row: int) -> BoundImages:
        """See `BoundImages.member`."""
        number, inside = self._places.of(row)
        return self._parts[number].member(inside)

    def like(self, make: Callable[[BoundImages], BoundImages]) -> BoundImages:
        """See `BoundImages.like`."""
        return JoinedImages([part.like(make) for part in self._parts])

    def __len__(self) -> int:
        return int(self._places.starts[-1])

    def path_text(self, row: int) -> bytes:
        """What tells the row's file from others: number of the part, and its path as its own table has it."""
        number, inside = self._places.of(int(row))
        return b"%d:%s" % (number, self._parts[number].path_text(inside))

    def name(self, row: int) -> bytes:
        """What tells the row's file from others; manifests are of the parts."""
        return self.path_text(row)

    def promise(self, row: int) -> Promise | None:
        """See `BoundImages.promise`."""
        number, inside = self._places.of(int(row))
        return self._parts[number].promise(inside)

    def path(self, row: int) -> str:
        """See `BoundImages.path`."""
        self._check_row(row)
        number, inside = self._places.of(int(row))
        return self._parts[number].path(inside)

    def read_file(self, row: int, admit: Callable[[int], None] | None = None) -> tuple[bytes, Any]:
        """See `BoundImages.read_file`."""
        path = self.path(row)
        return self.member(int(row)).files.read_file(path, int(row), self.promise(row), admit)

    def digest(self) -> str:
        """32 hex digits over the digests of the parts."""
        return _digest([part.digest() for part in self._parts])

    @property
    def files_digest(self) -> str | None:
        """32 hex digits over what the manifests say; None where a part has none."""
        return _joined_digest([part.files_digest for part in self._parts])

    def settings(self) -> dict[str, Any]:
        """See `BoundImages.settings`."""
        return {"kind": "images", "joined": [part.settings() for part in self._parts]}

    def __repr__(self) -> str:
        return f"JoinedImages({', '.join(map(repr, self._parts))})"


class JoinedRows(BoundRows):
    """Rows of the stores of several tables; each part compares its own keys and refuses what it refuses.

    Any thread. Picklable where the stores are.

    Args:
        parts: rows of one shape and dtype, at least one.
    """

    def __init__(self, parts: Sequence[BoundRows]) -> None:
        self._parts = tuple(parts)
        self._places = _Places([part.num_rows for part in parts])
        stores = list({id(part.store): part.store for part in parts}.values())
        store = JoinedStore(stores)
        numbers = [next(number for number, one in enumerate(stores) if one is part.store) for part in parts]
        rows = [
            store.rows_of(number, part.store_rows(np.arange(part.num_rows)))
            for number, part in zip(numbers, parts, strict=True)
        ]
        keys = [part.key_column for part in parts]
        known = [one for one in keys if one is not None]
        all_keys = store.keys is not None and len(known) == len(keys)
        super().__init__(
            store,
            np.concatenate(rows),
            pd.concat(known, ignore_index=True) if all_keys else None,
            files_digest=_joined_digest([part.files_digest for part in parts]),
        )

    @property
    def members(self) -> tuple[tuple[int, BoundRows], ...]:
        """See `BoundRows.members`."""
        nested = zip(self._places.starts.tolist(), self._parts, strict=False)
        return tuple((start + first, member) for start, part in nested for first, member in part.members)

    def check(self, rows: np.ndarray, values: np.ndarray) -> None:
        """See `BoundRows.check`: each part checks its own."""
        for number, places in self._places.by_part(rows):
            start = int(self._places.starts[number])
            try:
                self._parts[number].check(rows[places] - start, values[places])
            except MtgenError as error:
                error.row = None if error.row is None else error.row + start
                raise

    def check_keys(self) -> None:
        """See `BoundRows.check_keys`."""
        for part in self._parts:
            part.check_keys()

    def settings(self) -> dict[str, Any]:
        """See `BoundRows.settings`."""
        return {"kind": "rows", "joined": [part.settings() for part in self._parts]}


_KINDS: dict[type, str] = {
    BoundImages: "pictures (Images)",
    JoinedImages: "pictures (Images)",
    BoundRows: "rows of a store (Rows)",
    JoinedRows: "rows of a store (Rows)",
    BoundOneHot: "places of classes (OneHot)",
    BoundColumns: "columns of the table",
}


def join_bound(what: str, parts: Sequence[tuple[str, Any]]) -> Any:
    """The same field of several parts, bound to their tables one below the other.

    Args:
        what: the field, for messages, such as "input 'image'".
        parts: name of each part, and what is bound to its table.

    Raises:
        PlanError: what is bound is not of one kind, shape, dtype, recipe or list of classes; or of a kind that
            cannot be joined.
    """
    first_name, first = parts[0]
    for name, bound in parts:
        if type(bound) not in _KINDS:
            raise PlanError(
                f"{what} of {name!r} is {type(bound).__name__}, which cannot be joined; Images, Rows, Columns and "
                "targets of the table can. Make one table of the parts, and one dataset of that table"
            )
    for name, bound in parts[1:]:
        kinds = _KINDS[type(first)], _KINDS[type(bound)]
        if kinds[0] != kinds[1]:
            raise PlanError(
                f"{what} is {kinds[0]} in {first_name!r} and {kinds[1]} in {name!r}. Name both in the same way; "
                "columns become rows by Rows(table[[...]].to_numpy())"
            )
        if first.spec != bound.spec:
            raise PlanError(
                f"{what} is {first.spec} in {first_name!r} and {bound.spec} in {name!r}; joined parts have one shape "
                "and dtype, for they share batches" + _spec_advice(first)
            )
        if isinstance(first, BoundImages):
            _check_recipes(what, (first_name, first), (name, bound))
        elif isinstance(first, BoundColumns) and first.classes != bound.classes:
            raise PlanError(
                f"{what} has the classes {_some(first.classes)} in {first_name!r} and {_some(bound.classes)} in "
                f"{name!r}, so the same number would mean different classes. Name the classes of all parts in each, "
                "for example ClassNumbers(column, classes=[...])"
            )
    bounds = [bound for _, bound in parts]
    if isinstance(first, BoundImages):
        return JoinedImages(bounds)
    return JoinedRows(bounds) if isinstance(first, BoundRows) else type(first).stacked(bounds)


def _check_recipes(what: str, one: tuple[str, BoundImages], other: tuple[str, BoundImages]) -> None:
    recipes = one[1].recipe, other[1].recipe
    differing = [
        f"{field.name} {getattr(recipes[0], field.name)!r} and {getattr(recipes[1], field.name)!r}"
        for field in dataclasses.fields(recipes[0])
        if getattr(recipes[0], field.name) != getattr(recipes[1], field.name)
    ]
    if differing:
        raise PlanError(
            f"{what} is decoded by different recipes in {one[0]!r} and {other[0]!r} ({', '.join(differing)}), so a "
            "model could tell the parts by how they were decoded. Give both the same recipe"
        )


def _spec_advice(bound: Any) -> str:
    if isinstance(bound, BoundImages):
        return ". Give both Images the same size, color and dtype"
    if isinstance(bound, BoundRows):
        return ". Write one of the stores anew, for example by mtgen.pack(array.astype(...), path)"
    if isinstance(bound, BoundOneHot):
        return ". Name the classes of all parts in each: OneHot(column, classes=[...])"
    return ". Convert the columns of one table, for example table.astype({column: 'float32'})"


def _some(classes: tuple[str, ...] | None) -> str:
    if classes is None:
        return "of numbers"
    return f"[{', '.join(map(repr, classes[:10]))}{', ...' if len(classes) > 10 else ''}]"


def _joined_digest(digests: Sequence[str | None]) -> str | None:
    """None where one is None: what is not promised of a part is not promised of the whole."""
    known = [one for one in digests if one is not None]
    return _digest(known) if len(known) == len(digests) else None


def _digest(digests: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(digests).encode(), digest_size=16).hexdigest()
