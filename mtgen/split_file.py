"""Splits as a file: which row of which table is in which split, so that they are fixed before training.

CSV with the columns `row`, `label` and `split`: a line for each row of the table, those of the first split first, in
its own order; rows in no split come last and name none. The label is that of the table's index, as text: it tells a
table that was changed since. Nothing here knows datasets.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from mtgen.errors import StateError, StoreError
from mtgen.files import read_plain
from mtgen.settings import short

COLUMNS = ["row", "label", "split"]
MOST_LETTERS = 100_000
"""Of a label or name: Python's reader of CSV takes fields of 131,072."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitRows:
    """What a file of splits holds.

    Immutable; any thread.

    Args:
        parts: name -> rows in order, int64 `(n,)`; no row is in two of them.
        labels: label of each row of the table, as text.
    """

    parts: Mapping[str, np.ndarray]
    labels: list[str]

    @property
    def split_of(self) -> list[str | None]:
        """Name of each row's split; None for a row that is in none."""
        found: list[str | None] = [None] * len(self.labels)
        for name, rows in self.parts.items():
            for row in rows.tolist():
                found[row] = name
        return found

    def equals(self, other: SplitRows) -> bool:
        """Whether both hold the same rows in the same order, of tables with the same labels."""
        return (
            list(self.parts) == list(other.parts)
            and all(np.array_equal(rows, other.parts[name]) for name, rows in self.parts.items())
            and self.labels == other.labels
        )


def labels_of(index: pd.Index) -> list[str]:
    """The labels of a table as text; those of several levels as a JSON list of texts. Pure.

    Example:
        >>> labels_of(pd.Index([1.5, "a, b", None])), labels_of(pd.MultiIndex.from_tuples([("a", 1)]))
        (['1.5', 'a, b', 'None'], ['["a", "1"]'])
    """
    labels = index.tolist()
    if isinstance(index, pd.MultiIndex):
        return [json.dumps([str(part) for part in label]) for label in labels]
    return [str(label) for label in labels]


def encode(found: SplitRows) -> bytes:
    """The file, UTF-8. Pure; `decode` gives the same back.

    Raises:
        StateError: splits that the file cannot hold: without a name, without rows, or with a row in two of them.
    """
    owner: dict[int, str] = {}
    for name, rows in found.parts.items():
        if not name or not len(rows):
            raise StateError(f"a file of splits has a name and rows for each, received {len(rows)} rows named {name!r}")
        for row in rows.tolist():
            if row in owner:
                raise StateError(f"a row is in one split only, this one is in {owner[row]!r} and {name!r}", row=row)
            owner[row] = name
    longest = max(map(len, [*found.labels, *found.parts]), default=0)
    if longest > MOST_LETTERS:
        raise StateError(f"a label or name of {longest:,} letters: a file of splits takes {MOST_LETTERS:,} at most")
    lines = [",".join(COLUMNS)]
    lines += [f"{row},{_field(found.labels[row])},{_field(name)}" for row, name in owner.items()]
    lines += [f"{row},{_field(label)}," for row, label in enumerate(found.labels) if row not in owner]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _field(text: str) -> str:
    """A field of CSV. Python's own writer leaves a carriage return bare."""
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\r\n') else text


def decode(content: bytes) -> SplitRows:
    """What a file holds; also one that a spreadsheet wrote again, in any order of lines. Pure.

    Raises:
        StateError: it is no file of splits, or is damaged; says where.
    """
    try:
        text = content.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise StateError(f"this is no file of splits: {error}") from error
    if not lines or lines[0] != COLUMNS:
        raise StateError(f"a file of splits begins with {','.join(COLUMNS)}, this one with {short(lines[:1])}")
    labels: list[str | None] = [None] * (len(lines) - 1)
    parts: dict[str, list[int]] = {}
    for number, line in enumerate(lines[1:], start=1):
        row = int(line[0]) if len(line) == 3 and line[0].isascii() and line[0].isdecimal() else -1
        if not 0 <= row < len(labels):
            raise StateError(
                f"record {number} of the file of splits is {short(line)}, expected row,label,split with a row of 0 to "
                f"{len(labels) - 1}: each row of the table has one. Bring the file back from a copy"
            )
        if labels[row] is not None:
            raise StateError("the file of splits has this row twice: bring it back from a copy", row=row)
        labels[row] = line[1]
        if line[2]:
            parts.setdefault(line[2], []).append(row)
    return SplitRows(
        parts={name: np.array(rows, np.int64) for name, rows in parts.items()},
        labels=[label for label in labels if label is not None],
    )


def read(path: Path) -> SplitRows:
    """What the file at `path` holds.

    Raises:
        StoreError: it cannot be read.
        StateError: see `decode`.
    """
    try:
        content = read_plain(path)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the file of splits cannot be read ({error}): check path and rights", path=str(path)
        ) from error
    try:
        return decode(content)
    except StateError as error:
        raise error.at(path=str(path)) from error.__cause__


def check_labels(saved: list[str], now: list[str]) -> None:
    """Refuse the labels of another table. Pure.

    Args:
        saved: label of each row in the file.
        now: label of each row of the table.

    Raises:
        StateError: shows both, at the first row that differs.
    """
    if saved == now:
        return
    num_common = min(len(saved), len(now))
    wrong = [row for row in range(num_common) if saved[row] != now[row]]
    first = wrong[0] if wrong else num_common
    told = [short(labels[first]) if first < len(labels) else "none: there is no such row" for labels in (saved, now)]
    if len(saved) != len(now):
        why = f"the splits were fixed for a table of {len(saved):,} rows, this one has {len(now):,}"
    elif Counter(saved) == Counter(now):
        why = f"the table has the same labels in another order ({len(wrong):,} rows moved): was it sorted since"
    else:
        why = f"{len(wrong):,} rows of the table have another label than when the splits were fixed"
    raise StateError(
        f"{why}. The first one that differs had the label {told[0]} and has {told[1]}. Give the table as it was, or "
        "fix new splits in another file",
        row=first,
    )


def difference(saved: SplitRows, now: SplitRows) -> str:
    """What differs between splits in a file and others of the same table, in words. Pure."""
    before, after = saved.split_of, now.split_of
    wrong = [row for row in range(len(before)) if before[row] != after[row]]
    if not wrong:
        return "the same rows are in another order"
    names = ["no split" if one[wrong[0]] is None else f"split {one[wrong[0]]!r}" for one in (before, after)]
    return f"{len(wrong):,} rows are elsewhere, such as row {wrong[0]}: in {names[0]} there, in {names[1]} here"


def write_once(path: str | os.PathLike[str], found: SplitRows) -> Path:
    """Write the file, whole or not at all; one that is there already and says the same stays.

    Raises:
        StateError: the file is there and says otherwise, see also `encode`; it is left as it is.
        StoreError: it cannot be written; nothing is left.
    """
    from mtgen.stores.new_folder import make_folder, publish_file

    path, content = Path(path), encode(found)
    if not os.path.lexists(path):
        make_folder(path.parent, "the folder of the splits")
        try:
            publish_file(path, content)
            return path
        except OSError as error:
            if not os.path.lexists(path):  # else another process of the run was faster
                raise StoreError(
                    f"the file of splits cannot be written ({error}): check space and rights", path=str(path)
                ) from error
        finally:
            _remove_partial(path)
    before = read(path)
    try:
        check_labels(before.labels, found.labels)
        if not before.equals(found):
            raise StateError(
                f"the file holds other splits, and nothing is overwritten: {difference(before, found)}. Go on with "
                "mtgen.Splits.load(path, data), or choose another file"
            )
    except StateError as error:
        raise error.at(path=str(path)) from None
    _remove_partial(path)
    return path


def _remove_partial(path: Path) -> None:
    """Remove what killed writers left beside the file, once it is there: nobody needs it any more."""
    from mtgen.stores.new_folder import PARTIAL

    with suppress(OSError):
        for one in path.parent.iterdir() if os.path.lexists(path) else ():
            if one.name.startswith(f".{path.name}.") and one.name.endswith(PARTIAL):
                one.unlink(missing_ok=True)
