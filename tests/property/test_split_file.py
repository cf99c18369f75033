"""A file of splits gives the same datasets back, in the same order, whatever the labels; and tells any other table."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import StateError
from mtgen.split_file import SplitRows, decode, encode, labels_of

texts = st.text(st.characters(codec=None), max_size=8) | st.sampled_from(
    ['a,"b', "a\r\nb", "\r", "\n", "", " ", "1", "\0"]
)
dates = st.datetimes().map(pd.Timestamp)
plain = st.one_of(texts, st.integers(-3, 3), st.floats(), dates, st.none(), st.booleans(), st.just(pd.NaT))
indexes = st.one_of(
    st.lists(plain, min_size=2, max_size=20).map(lambda labels: pd.Index(labels, dtype=object)),
    st.lists(st.floats(), min_size=2, max_size=20).map(pd.Index),
    st.lists(dates, min_size=2, max_size=20).map(pd.DatetimeIndex),
    st.lists(st.tuples(texts, st.integers(0, 2), dates), min_size=2, max_size=20).map(pd.MultiIndex.from_tuples),
    st.integers(2, 20).map(pd.RangeIndex),
)


def dataset(index: pd.Index) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": np.arange(len(index))}, index=index), {"a": mtgen.Columns("a")})


def drawn(draw: Any, num_rows: int) -> dict[str, np.ndarray]:
    """Some of the rows, in any order, cut into parts of any names."""
    order = np.array(draw(st.permutations(range(num_rows))))
    names = draw(st.lists(texts.filter(bool), min_size=1, max_size=min(4, num_rows), unique=True))
    cuts = sorted(draw(st.lists(st.integers(1, num_rows), min_size=len(names), max_size=len(names), unique=True)))
    return {name: order[start:stop] for name, start, stop in zip(names, [0, *cuts], cuts, strict=False)}


@given(st.data(), indexes)
def test_the_same_datasets_come_back_in_the_same_order(data: st.DataObject, index: pd.Index) -> None:
    parts = drawn(data.draw, len(index))
    whole = dataset(index)
    splits = mtgen.Splits({name: whole.take(rows) for name, rows in parts.items()})
    sealed = data.draw(st.lists(st.sampled_from(list(parts)), unique=True))
    with tempfile.TemporaryDirectory() as folder:
        path = splits.save(Path(folder) / "new" / "splits.csv")
        content = path.read_bytes()
        again = mtgen.Splits.load(path, dataset(index), sealed=sealed)
        assert again.save(path) == path
        assert path.read_bytes() == content
    assert again.names == tuple(parts)
    assert [name for name in again.names if isinstance(again[name], mtgen.Sealed)] == [n for n in parts if n in sealed]
    assert [part.rows.tolist() for part in again.open()] == [rows.tolist() for rows in parts.values()]


@given(st.data(), indexes)
def test_the_file_is_plain_csv_of_every_row(data: st.DataObject, index: pd.Index) -> None:
    """Python's reader, told nothing of the labels, finds each row once, with its label and its split or none."""
    parts, labels = drawn(data.draw, len(index)), labels_of(index)
    text = encode(SplitRows(parts=parts, labels=labels)).decode("utf-8", "surrogatepass")
    header, *lines = csv.reader(io.StringIO(text, newline=""))
    owners = {row: name for name, rows in parts.items() for row in rows.tolist()}
    assert header == ["row", "label", "split"]
    assert sorted((int(row), label, name) for row, label, name in lines) == [
        (row, label, owners.get(row, "")) for row, label in enumerate(labels)
    ]


@given(st.data(), indexes, indexes)
def test_any_other_table_is_refused_and_shows_both(data: st.DataObject, index: pd.Index, other: pd.Index) -> None:
    before, after = labels_of(index), labels_of(other)
    whole = dataset(index)
    splits = mtgen.Splits({name: whole.take(rows) for name, rows in drawn(data.draw, len(index)).items()})
    with tempfile.TemporaryDirectory() as folder:
        path = splits.save(Path(folder) / "splits.csv")
        if before == after:
            assert mtgen.Splits.load(path, dataset(other)).names == splits.names
            return
        with pytest.raises(StateError) as caught:
            mtgen.Splits.load(path, dataset(other))
    row = caught.value.row
    assert row is not None
    assert before[:row] == after[:row]
    for labels in (before, after):
        assert (repr(labels[row]) if row < len(labels) else "there is no such row") in str(caught.value)


@given(st.binary(max_size=60) | st.binary(max_size=40).map(lambda rest: b"row,label,split\n" + rest))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    try:
        found = decode(content)
    except StateError:
        return
    rows = [row for part in found.parts.values() for row in part.tolist()]
    assert len(set(rows)) == len(rows) <= len(found.labels)
    assert all(0 <= row < len(found.labels) for row in rows)
