"""Which rows `from_dataframe` takes, and what it leaves out on the way; nothing is left out that is not listed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import PlanError, TableError
from mtgen.inputs.classes import UNLISTED, Labels
from mtgen.inputs.images import Images
from mtgen.table import column

LISTED = 10
"""Rows that a message lists."""

_DROP_MISSING = " To train without these rows write on_missing='drop', and read loader.dropped"


class Choice:
    """Which rows are taken, decision after decision in the order of the Keras class, and what was left out on the way.

    One thread.

    Args:
        table: the root table; it is not changed.

    Attributes:
        rows: int64 `(n,)`, the rows that are left, ascending.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self.rows = np.arange(len(table))
        self._labels: Labels | None = None
        self._named: list[Any] | None = None
        self._dropped: list[tuple[int, str, str, Any]] = []

    @property
    def dropped(self) -> pd.DataFrame:
        """What was left out, by row."""
        lines = sorted(self._dropped, key=lambda line: line[0])
        frame = pd.DataFrame(lines, columns=["row", "dropped", "reason", "value"])
        return frame.astype({"row": "int64", "dropped": object, "reason": object, "value": object})

    def look_for_files(self, images: Images, on_missing: str) -> None:
        """Find rows without a file, and refuse or drop them.

        Raises:
            TableError: there are some, or no row has one.
        """
        missing = images.bind(self.table).check_exist(limit=len(self.table) if on_missing == "drop" else LISTED)
        if not missing:
            return
        if on_missing == "raise" or missing.count == len(self.table):
            first, path = missing.first[0]
            listed = ", ".join(f"row {row}: {path}" for row, path in missing.first[:LISTED])
            root = None if images.root is None else os.fspath(images.root)
            choice = "" if missing.count == len(self.table) else _DROP_MISSING
            raise TableError(
                f"x_col: {missing.count} of {len(self.table)} rows name a file that does not exist ({listed}"
                f"{', ...' if missing.count > LISTED else ''}). Is directory={root!r} right?{choice}",
                row=first,
                path=path,
            )
        self._drop([row for row, _ in missing.first], "missing file", [path for _, path in missing.first])

    def look_for_classes(self, name: str, classes: Any, class_mode: Any, on_unlisted: str) -> list[Any]:
        """The classes, in the order of their numbers; rows that belong to none of those given are refused or dropped.

        Raises:
            TableError: labels that are no text or not listed, or another number of classes than two for "binary".
        """
        labels = Labels.of(column(self.table, name, "y_col"))
        if labels.kind not in ("text", "none") or (labels.lists and class_mode != "categorical"):
            wanted = "text, or lists of text," if class_mode == "categorical" else "text"
            found = "lists" if labels.lists else labels.kind
            raise TableError(
                f"class_mode={class_mode!r} needs {wanted} in column {name!r}, which holds {found}. Classes are "
                f"numbered in the sorted order of the text: write dataframe[{name!r}].astype(str) if that is meant"
                + ("; a row with several labels needs class_mode='categorical'" if labels.lists else "")
            )
        if classes is None:
            listed = labels.distinct(self.rows)
        else:
            listed = self._named = labels.check_classes(classes)
            self._drop_unlisted(labels, listed, on_unlisted)
        if class_mode == "binary" and len(listed) != 2:
            raise TableError(
                f"class_mode='binary' needs two classes, found {len(listed)} in column {name!r}: {listed[:5]}"
                f"{' ...' if len(listed) > 5 else ''}; use 'sparse' or 'categorical', or name two with classes=[...] "
                "and on_unlisted='drop'"
            )
        if not listed:
            raise TableError(f"y_col: no row of column {name!r} has a label, so there are no classes")
        self._labels = labels
        return listed

    def _drop_unlisted(self, labels: Labels, listed: list[Any], on_unlisted: str) -> None:
        taken = np.zeros(len(self.table), bool)
        taken[self.rows] = True
        known = labels.numbers(listed) != UNLISTED
        unlisted = ~known & taken[labels.owners]
        if on_unlisted == "raise":
            if unlisted.any():
                raise TableError(
                    f"y_col: column {labels.name!r} holds labels that are not in classes={listed[:10]}: "
                    f"{labels.describe(unlisted)}. Add them to classes, or write on_unlisted='drop' to train without "
                    "them, and read loader.dropped",
                    row=int(labels.owners[unlisted][0]),
                )
            return
        num_known = np.bincount(labels.owners[known], minlength=len(self.table))
        lost = np.zeros(len(self.table), bool)
        lost[labels.owners[unlisted]] = True
        values = labels.flat
        for row in np.flatnonzero(lost & (num_known > 0)).tolist():
            places = range(labels.ends[row], labels.ends[row + 1])
            cut = [values[place] for place in places if unlisted[place]]
            self._dropped.append((row, "labels", "not in classes", cut))
        gone = np.flatnonzero(taken & (num_known == 0))
        self._drop(gone, "no label in classes", self.table[labels.name].iloc[gone].tolist())

    def take_subset(self, subset: str | None, share: float | None) -> None:
        """Keep the first rows, or the rest.

        Raises:
            PlanError: a share without a subset or the other way round, a subset without rows, or a training subset that
                lacks a class.
        """
        if subset is None and share:
            raise PlanError(
                f"validation_split={share} says how to cut, and nothing says which part is wanted: write "
                "subset='training', and subset='validation' for the other loader"
            )
        if subset is None:
            return
        if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 < share < 1:
            raise PlanError(f"subset={subset!r} needs validation_split between 0 and 1, received {share!r}")
        whole, border = self.rows, int(share * len(self.rows))
        self.rows = whole[:border] if subset == "validation" else whole[border:]
        if not len(self.rows):
            raise PlanError(f"subset={subset!r} has no row: validation_split={share} of {len(whole)} rows is {border}")
        if subset == "training" and self._labels is not None and self._named is None:
            lacking = sorted(set(self._labels.distinct(whole)) - set(self._labels.distinct(self.rows)))
            if lacking:
                raise PlanError(
                    f"the subset 'training' has no row of class {lacking[0]!r} ({len(lacking)} such classes): the "
                    f"first {border} of {len(whole)} rows are the validation, so a table sorted by class is cut by "
                    "class. Shuffle the table once, dataframe.sample(frac=1, random_state=0), which keeps the index "
                    "labels; or go without subset and use loader.dataset.split(..., stratify=...); or name "
                    "classes=[...] to say that these are meant"
                )

    def _drop(self, rows: Any, reason: str, values: Sequence[Any]) -> None:
        self._dropped += [(int(row), "row", reason, value) for row, value in zip(rows, values, strict=True)]
        self.rows = np.setdiff1d(self.rows, rows)
        if not len(self.rows):
            raise TableError(f"no row is left after dropping {len(self.table)} rows, the last for: {reason}")
