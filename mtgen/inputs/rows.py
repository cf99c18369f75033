"""Aligned rows of a store: which store row belongs to which table row, and the proof of it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from mtgen.errors import AlignmentError, StoreError
from mtgen.promises import Verify, mode_of
from mtgen.settings import check_flag
from mtgen.spec import Spec
from mtgen.stores import Store, open_store
from mtgen.stores.promised import promised
from mtgen.table import column, digest_values, first_rows, integer_values

_BLOCK_ROWS = 65_536
"""Rows whose keys are compared at a time when a dataset is made: a few MiB of text."""


@dataclass(frozen=True)
class Rows:
    """Rows of an array on disk, one per row of the table.

    Which store row belongs to a table row is, in this order: the integer in column `index`; the table's integer
    index label, so that a filtered or sorted frame keeps pointing at its own rows; the row's place, when labels are
    not integers. Where the store carries keys they are compared with a column of the table, for all rows when the
    dataset is made and again in every batch.

    Args:
        store: path, URL, opened array or `Store`; see `mtgen.open_store`.
        index: column with the store row of each table row; several table rows may share a store row.
        key: column to compare with the store's keys; None takes the column the keys are named after; False says
            that the keys are not to be compared.
        manifest: file made by `mtgen verify --make` that says what each file of the store must be; None compares
            nothing.
        verify: `"open"` compares size and time of all files of the store when the table is bound, and for bcolz of
            each chunk file when it is read; `"read"` the content of each read too, for bcolz and for formats that
            check themselves; `"off"` nothing. None is `"open"` with a manifest.
        finite: True refuses NaN and infinite values when they are read, naming row and place; False delivers them as
            they are. Values are looked at as they come, a whole store is not searched beforehand.

    Example:
        >>> table = pd.DataFrame({"target": [0, 1]}, index=[2, 0])
        >>> bound = Rows(np.array([[10.0], [11.0], [12.0]])).bind(table)
        >>> out = np.empty((2, 1)); bound.fetch(np.array([0, 1]), out); out.tolist()
        [[12.0], [10.0]]
    """

    store: Any
    index: str | None = None
    key: str | Literal[False] | None = None
    manifest: str | os.PathLike[str] | None = None
    verify: Verify | None = None
    finite: bool = False

    def bind(self, table: pd.DataFrame) -> BoundRows:
        """Open the store and find the store row of every row of the root table.

        Raises:
            StoreError: the store cannot be opened, or holds text.
            TableError: a missing column, or one with other than integers.
            AlignmentError: store rows that cannot be told, lie outside the store, or whose keys differ or cannot be
                compared exactly.
            PlanError: a manifest or `verify` that cannot be followed for this store.
            ManifestError: a manifest that is damaged, or names no file of the store.
            ChangedError: files of the store that are missing, new, or of another size or time than the manifest says.
        """
        check_flag("Rows(finite=...)", self.finite)
        mode = mode_of(self.verify, self.manifest, "Rows")
        store, files_digest = self.store if isinstance(self.store, Store) else open_store(self.store), None
        if mode != "off" and self.manifest is not None:
            store, files_digest = promised(store, self.manifest, mode)
        if store.dtype.kind not in "biuf":
            raise StoreError(
                f"the store holds {store.dtype}, expected numbers or booleans: models take no text or dates",
                path=store.location,
            )
        store_rows = _from_column(table, self.index, store) if self.index is not None else _from_labels(table, store)
        bound = BoundRows(
            store, store_rows, self._key_column(table, store), finite=self.finite, files_digest=files_digest
        )
        bound.check_keys()
        return bound

    def _key_column(self, table: pd.DataFrame, store: Store) -> pd.Series | None:
        if self.key is False:
            return None
        if store.keys is None:
            if self.key is None:
                return None
            raise AlignmentError(
                f"key={self.key!r} asks to compare keys, but the store carries none. Write them beside the store, or "
                "pass them: Rows(open_store(path, keys=...), key=...); see docs/stores.md",
                path=store.location,
            )
        if self.key is not None:
            return _exact_keys(column(table, self.key, "Rows key"), store)
        if store.key_name is not None and store.key_name in table.columns:
            return _exact_keys(table[store.key_name], store)
        named = f"named {store.key_name!r}, but the table has no such column" if store.key_name else "without a name"
        raise AlignmentError(
            f"the store carries keys {named}. Name the column that holds them, key='...', or write key=False to go "
            "without the check",
            path=store.location,
        )


class BoundRows:
    """A store bound to one root table: row r of the table is store row `store_rows(r)`.

    Any thread. Picklable when the store is.

    Attributes:
        files_digest: 32 hex digits over what a manifest says of the store's files; None where nothing is compared.
    """

    def __init__(
        self,
        store: Store,
        store_rows: np.ndarray,
        key_column: pd.Series | None,
        *,
        finite: bool = False,
        files_digest: str | None = None,
    ) -> None:
        self.store = store
        self.spec = Spec(shape=store.row_shape, dtype=store.dtype)
        self.chunk_rows = store.chunk_rows
        self.files_digest = files_digest
        self.compares_keys = key_column is not None
        self._finite = finite and store.dtype.kind == "f"
        self._store_rows = store_rows
        self._key_name = None if key_column is None else key_column.name
        self._keys = None if key_column is None else key_column.to_numpy()

    @property
    def num_rows(self) -> int:
        """Rows of the root table."""
        return len(self._store_rows)

    @property
    def members(self) -> tuple[tuple[int, BoundRows], ...]:
        """First row and rows of each part that these were joined from; these alone where they are whole."""
        return ((0, self),)

    @property
    def key_column(self) -> pd.Series | None:
        """What the keys are compared with, row by row of the root table; None where they are not."""
        return None if self._keys is None else pd.Series(self._keys, name=self._key_name)

    def store_rows(self, rows: np.ndarray) -> np.ndarray:
        """Store rows of table rows: int64 `(n,)` to int64 `(n,)`."""
        return self._store_rows[rows]

    def fetch(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Fill `out[slot]` with the store's row for table row `rows[slot]`; compares keys where it can.

        Args:
            rows: int64 `(n,)` of table rows, any order, repeats allowed.
            out: `(n, *spec.shape)` of `spec.dtype`, C-contiguous, owned by the caller.

        Raises:
            StoreError: the store cannot be read, or a value is not finite and that was to be refused.
            AlignmentError: a key differs.
        """
        self.store.read_rows(self._store_rows[rows], out)
        self.check(rows, out)

    def check(self, rows: np.ndarray, values: np.ndarray) -> None:
        """What `fetch` does after reading: refuse values that are not finite, compare keys; raises as it does."""
        if self._finite:
            self._refuse_not_finite(rows, values)
        self._compare(rows)

    def over(self, store: Store, store_rows: np.ndarray) -> BoundRows:
        """The same rows of the table out of another store, such as a packed copy, with the same checks.

        Args:
            store: rows of the same shape and dtype; keys are compared where it has some.
            store_rows: int64 `(num_rows,)`: its row of each table row.
        """
        keys = self.key_column if store.keys is not None else None
        return BoundRows(store, store_rows, keys, finite=self._finite)

    def check_keys(self) -> None:
        """Compare the keys of all rows of the table, if there are keys.

        Raises:
            AlignmentError: a key differs; shows both.
        """
        for start in range(0, len(self._store_rows) if self.compares_keys else 0, _BLOCK_ROWS):
            self._compare(np.arange(start, min(start + _BLOCK_ROWS, len(self._store_rows))))

    def _refuse_not_finite(self, rows: np.ndarray, values: np.ndarray) -> None:
        good = np.isfinite(values).reshape(len(values), -1)
        if good.all():
            return
        slot, place = (int(one) for one in np.argwhere(~good)[0])
        value = values.reshape(len(values), -1)[slot, place]
        raise StoreError(
            f"the store's row {int(self._store_rows[rows[slot]])} has {value} at place {place} of {good.shape[1]}, and "
            f"finite=True refuses such values ({int((~good).any(1).sum())} of {len(rows)} rows read have some). Mend "
            "the store, leave the row out of the table, or say finite=False",
            row=int(rows[slot]),
            path=self.store.location,
        )

    def settings(self) -> dict[str, Any]:
        """What was asked for, as small JSON, with digests of the mapping and of a sample of the store."""
        sample = np.unique(np.linspace(0, self.store.num_rows - 1, 16).astype(np.int64))
        values = self.spec.empty(len(sample))
        self.store.read_rows(sample, values)
        return {
            "kind": "rows",
            "num_rows": self.store.num_rows,
            "spec": str(self.spec),
            "store_rows": digest_values(pd.Index(self._store_rows)),
            "sample": digest_values(pd.Index(values.view(np.uint8).ravel())),
        }

    def _compare(self, rows: np.ndarray) -> None:
        keys = self.store.keys
        if self._keys is None or keys is None:
            return
        found = np.empty(len(rows), keys.dtype)
        keys.read_rows(self._store_rows[rows], found)
        expected = self._keys[rows]
        same = _as_text(found) == _as_text(expected) if keys.dtype.kind in "SU" else found == expected
        same = np.broadcast_to(np.asarray(same, bool), len(rows))
        if same.all():
            return
        slot = int(np.argmin(same))
        row, store_row = int(rows[slot]), int(self._store_rows[rows[slot]])
        raise AlignmentError(
            f"keys differ: the table's column {self._key_name!r} has {_plain(expected[slot])!r}, the store has "
            f"{_plain(found[slot])!r} at its row {store_row} ({int((~same).sum())} of {len(rows)} rows compared "
            "differ). The store was written in another order or for another table: name the store row of each table "
            "row with index='...', or write the store anew",
            row=row,
            path=self.store.location,
        )


def _as_text(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "S":
        return values
    return np.array([str(_plain(value)).encode() for value in values.tolist()], dtype=np.bytes_)


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _from_column(table: pd.DataFrame, name: str, store: Store) -> np.ndarray:
    store_rows = integer_values(column(table, name, "Rows index"), "Rows index")
    _check_bounds(store_rows, store, f"column {name!r}")
    return store_rows


def _from_labels(table: pd.DataFrame, store: Store) -> np.ndarray:
    labels = table.index
    plain = pd.api.types.is_integer_dtype(labels.dtype) and not labels.hasnans
    if not plain and _kind(labels) in _NUMBER_KINDS:
        raise AlignmentError(
            f"the table's index labels are {labels.dtype} ({_some(labels)}), which cannot say which store row is "
            "meant. Use plain integer labels, or name the column with the store rows: Rows(..., index='...')",
            path=store.location,
        )
    if plain:
        if not labels.is_unique:
            twice = labels[labels.duplicated()].unique()
            raise AlignmentError(
                f"index labels appear more than once ({_some(twice)}), as after a plain pandas.concat; the store row "
                "of a table row is its label. Name the column with the store rows: Rows(..., index='...')",
                path=store.location,
            )
        _check_fresh(labels, store)
        store_rows = labels.to_numpy(dtype=np.int64)
        _check_bounds(store_rows, store, "an index label of the table")
        return store_rows
    if len(table) != store.num_rows:
        raise AlignmentError(
            f"the table has {len(table)} rows and the store {store.num_rows}, and the index labels ({labels.dtype}: "
            f"{_some(labels)}) are not store rows. Name the column with the store rows: Rows(..., index='...')",
            path=store.location,
        )
    return np.arange(len(table))


def _exact_keys(keys: pd.Series, store: Store) -> pd.Series:
    """The column, unless comparing it would round: large integers that went through floats match their neighbours."""
    if store.keys is not None and store.keys.dtype.kind in "iu" and pd.api.types.is_float_dtype(keys.dtype):
        raise AlignmentError(
            f"the store's keys are {store.keys.dtype}, the table's column {keys.name!r} holds {keys.dtype} (first "
            f"value {_plain(keys.iloc[0])!r}), and large keys are rounded when they are read as floats. Read the "
            f"column as integers: read_table(..., dtype={{{keys.name!r}: 'int64'}})",
            path=store.location,
        )
    return keys


_NUMBER_KINDS = {"boolean", "decimal", "floating", "integer", "integer-na", "mixed-integer", "mixed-integer-float"}
"""What `pandas.api.types.infer_dtype` calls labels that hold numbers, whatever their dtype."""


def _kind(labels: pd.Index) -> str:
    values = labels.categories if isinstance(labels, pd.CategoricalIndex) else labels
    return pd.api.types.infer_dtype(values, skipna=False)


def _check_fresh(labels: pd.Index, store: Store) -> None:
    # Distinct labels that all lie below their number are 0 to n-1, in whatever order.
    fresh = len(labels) < store.num_rows and bool(labels.min() == 0 and labels.max() == len(labels) - 1)
    if fresh:
        raise AlignmentError(
            f"the table has {len(labels)} rows labelled 0 to {len(labels) - 1}, the store has {store.num_rows} rows: "
            "a frame that was filtered and then re-numbered (and perhaps shuffled) looks just like this, and its "
            "features would be wrong. Keep the original index labels (no reset_index), or name the column with the "
            "store rows: Rows(..., index='...')",
            path=store.location,
        )


def _check_bounds(store_rows: np.ndarray, store: Store, source: str) -> None:
    outside = (store_rows < 0) | (store_rows >= store.num_rows)
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise AlignmentError(
            f"{source} asks for store row {int(store_rows[row])}, the store has rows 0 to {store.num_rows - 1} "
            f"({len(store_rows)} table rows, {store.num_rows} store rows). Outside: {first_rows(outside)}. Is this "
            "the store that was written for the table?",
            row=row,
            path=store.location,
        )


def _some(labels: pd.Index) -> str:
    shown = ", ".join(repr(_plain(label)) for label in labels[:5].tolist())
    return f"{shown}{', ...' if len(labels) > 5 else ''}"
