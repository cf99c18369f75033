"""Named datasets that share no row: made by `data.split`, kept in a file, some of them behind a seal."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.errors import PlanError, StateError
from mtgen.sealed import Sealed
from mtgen.settings import check_kind, shown
from mtgen.split_file import SplitRows, check_labels, labels_of, read, write_once

if TYPE_CHECKING:
    from mtgen.dataset import Dataset


class Splits(Sequence[Any]):
    """Named datasets that share no row; those that are sealed are `mtgen.Sealed`.

    Immutable and picklable; any thread.

    Args:
        parts: name -> `Dataset` or `Sealed`.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": range(4)}), inputs={"a": mtgen.Columns("a")})
        >>> halves = data.split({"first": .5, "second": .5})
        >>> halves.names, halves["second"] is halves[1]
        (('first', 'second'), True)
    """

    def __init__(self, parts: Mapping[str, Dataset | Sealed]) -> None:
        self._parts = dict(parts)

    @classmethod
    def of(cls, data: Dataset, parts: Mapping[str, np.ndarray], sealed: str | Iterable[str] = ()) -> Splits:
        """Splits of a dataset by their rows.

        No other split then fetches a row of a sealed one.

        Args:
            data: the dataset.
            parts: name -> its rows, int64 `(n,)`, each in one of them only.
            sealed: name or names of the splits to seal.

        Raises:
            PlanError: `sealed` names no split.
        """
        names = _names(sealed, parts)
        mask = np.zeros(len(data.table), bool)
        for name in names:
            mask[parts[name]] = True
        return cls({name: _part(data, name, rows, name in names, mask) for name, rows in parts.items()})

    @classmethod
    def load(cls, path: str | os.PathLike[str], data: Dataset, *, sealed: str | Iterable[str] = ()) -> Splits:
        """The splits that `save` wrote: the same datasets in the same order.

        Args:
            path: the file.
            data: the dataset that was split, of the same table; its inputs may be others.
            sealed: name or names of the splits to seal.

        Raises:
            StateError: the file is damaged, or of another table: longer, sorted or with other labels; or it names
                rows that `data` does not have. Shows both.
            StoreError: it cannot be read.
            PlanError: `sealed` names no split.

        Example:
            >>> import tempfile
            >>> data = mtgen.Dataset(pd.DataFrame({"a": range(4)}), inputs={"a": mtgen.Columns("a")})
            >>> halves = data.split({"train": .5, "test": .5})
            >>> path = halves.save(Path(tempfile.mkdtemp()) / "splits.csv")
            >>> train, test = mtgen.Splits.load(path, data, sealed="test")
            >>> train.rows.tolist() == halves["train"].rows.tolist(), len(test)
            (True, 2)
        """
        _check_dataset(data)
        found = read(Path(path))
        has = np.zeros(len(data.table), bool)
        has[data.rows] = True
        try:
            check_labels(found.labels, labels_of(data.table.index))
            for name, rows in found.parts.items():
                if not has[rows].all():
                    raise StateError(
                        f"split {name!r} has {int((~has[rows]).sum())} rows that the dataset does not have: load the "
                        "splits for the dataset that was split",
                        row=int(rows[~has[rows]][0]),
                    )
        except StateError as error:
            raise error.at(path=str(path)) from None
        return cls.of(data, found.parts, sealed)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Fix the splits in a file, before training; `load` gives them back.

        CSV with the columns row, label (of the table's index, as text) and split; rows in no split are there too. A
        reader sees the whole file or none. A file that says the same already stays as it is.

        Args:
            path: of the file; its folder is made where it is missing.

        Returns:
            The path.

        Raises:
            StateError: the file is there and holds other splits, or is of another table; it is never overwritten. Or
                a split without a name or rows, or a row in two of them, which the file cannot hold.
            StoreError: it cannot be written; nothing is left.
            PlanError: the splits are of several datasets.
        """
        opened = [part.open() if isinstance(part, Sealed) else part for part in self._parts.values()]
        if not opened or any(part.table is not opened[0].table for part in opened):
            raise PlanError("a file of splits is of one table; make them by data.split(...)")
        parts = {name: np.asarray(part.rows) for name, part in zip(self._parts, opened, strict=True)}
        return write_once(path, SplitRows(parts=parts, labels=labels_of(opened[0].table.index)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self._parts)

    def open(self) -> Splits:
        """The same splits with nothing sealed, for what looks at all of them, such as a card."""
        return Splits({name: part.open() if isinstance(part, Sealed) else part for name, part in self._parts.items()})

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            if key not in self._parts:
                raise PlanError(f"there is no split {key!r}; the splits are {list(self._parts)}")
            return self._parts[key]
        check_kind("a split", key, int | np.integer | slice, "a name, or its number")
        return list(self._parts.values())[key]

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parts.values())

    def __repr__(self) -> str:
        parts = [
            f"{name}: {len(part)} rows" + (" sealed" if isinstance(part, Sealed) else "")
            for name, part in self._parts.items()
        ]
        return f"Splits({', '.join(parts)})"


def _names(sealed: object, parts: Mapping[str, object]) -> set[str]:
    names = {sealed} if isinstance(sealed, str) else sealed
    if not isinstance(names, Iterable) or isinstance(names, Mapping):
        raise PlanError(f"sealed must be the name of a split, or several names, received {shown(sealed)}")
    wanted = list(names)
    unknown = [name for name in wanted if not isinstance(name, str) or name not in parts]
    if unknown:
        raise PlanError(f"sealed names {unknown[0]!r}, and the splits are {list(parts)}")
    return set(wanted)


def _part(data: Dataset, name: str, rows: np.ndarray, is_sealed: bool, mask: np.ndarray) -> Dataset | Sealed:
    part = data._with_rows(rows)
    return Sealed(name, part) if is_sealed else part._without_sealed(mask)


def _check_dataset(data: object) -> None:
    from mtgen.dataset import Dataset

    check_kind("data", data, Dataset, "the mtgen.Dataset that was split")
