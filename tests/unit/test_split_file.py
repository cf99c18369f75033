"""Splits are fixed before training: a file of others is never overwritten, and one of another table never used."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import PlanError, StateError, StoreError

SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


def dataset(labels: object = "abcdefghij") -> mtgen.Dataset:
    table = pd.DataFrame({"a": np.arange(len(list(labels)))}, index=list(labels))  # type: ignore[call-overload]
    return mtgen.Dataset(table, {"a": mtgen.Columns("a")})


def test_the_file_is_for_people_too(tmp_path: Path) -> None:
    data = dataset()
    splits = mtgen.Splits({"train": data.take([4, 1]), "test": data.take([0])})
    lines = splits.save(tmp_path / "splits.csv").read_text().splitlines()
    assert lines[:5] == ["row,label,split", "4,e,train", "1,b,train", "0,a,test", "2,c,"]
    frame = pd.read_csv(tmp_path / "splits.csv")
    assert frame["split"].value_counts().to_dict() == {"train": 2, "test": 1}


def test_other_splits_are_never_written_over(tmp_path: Path) -> None:
    path = dataset().split(SHARES, seed=0).save(tmp_path / "splits.csv")
    content = path.read_bytes()
    with pytest.raises(
        StateError, match=r"holds other splits, and nothing is overwritten: \d rows are elsewhere, such"
    ) as one:
        dataset().split(SHARES, seed=1).save(path)
    assert "mtgen.Splits.load(path, data)" in str(one.value)
    assert str(path) in str(one.value)
    splits = dataset().split(SHARES)
    turned = mtgen.Splits({name: splits[name].take(splits[name].rows[::-1]) for name in splits.names})
    with pytest.raises(StateError, match="the same rows are in another order"):
        turned.save(path)
    with pytest.raises(
        StateError, match=r"for a table of 10 rows, this one has 11.*none: there is no such row and has 'k'"
    ):
        dataset("abcdefghijk").split(SHARES, seed=0).save(path)
    path.with_name("other.csv").write_text("something else")
    with pytest.raises(StateError, match="begins with row,label,split, this one with"):
        dataset().split(SHARES, seed=0).save(path.with_name("other.csv"))
    assert path.read_bytes() == content
    assert path.with_name("other.csv").read_text() == "something else"


def test_the_same_splits_may_be_saved_again_also_after_a_spreadsheet(tmp_path: Path) -> None:
    splits = dataset().split(SHARES, seed=0)
    path = splits.save(tmp_path / "splits.csv")
    content = b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n")
    path.write_bytes(content)
    assert splits.save(path) == path
    assert path.read_bytes() == content
    again = mtgen.Splits.load(path, dataset())
    assert [part.rows.tolist() for part in again] == [part.rows.tolist() for part in splits]


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ("abcdefghi", r"table of 10 rows, this one has 9. .* had the label 'j' and has none: there is no such row"),
        ("abcdefghijk", r"table of 10 rows, this one has 11. .* had the label none.* and has 'k'"),
        ("bacdefghij", r"same labels in another order \(2 rows moved\): was it sorted .* label 'a' and has 'b'.*row 0"),
        ("abcdefghiX", r"1 rows of the table have another label .* label 'j' and has 'X'.*row 9"),
    ],
)
def test_a_table_that_changed_is_refused_and_shows_both(tmp_path: Path, labels: str, text: str) -> None:
    path = dataset().split(SHARES, seed=0).save(tmp_path / "splits.csv")
    with pytest.raises(StateError, match=text):
        mtgen.Splits.load(path, dataset(labels))


def test_rows_in_no_split_stay_in_none_and_a_filtered_dataset_is_split(tmp_path: Path) -> None:
    data = dataset().take([1, 3, 5, 7])
    path = data.split({"train": 2, "test": 2}, seed=0).save(tmp_path / "splits.csv")
    train, test = mtgen.Splits.load(path, dataset())
    assert sorted([*train.rows, *test.rows]) == [1, 3, 5, 7]
    with pytest.raises(StateError, match=r"split '\w+' has \d rows that the dataset does not have"):
        mtgen.Splits.load(path, dataset().take([1, 3]))


def test_a_joined_dataset_keeps_its_parts(tmp_path: Path) -> None:
    joined = mtgen.join({"x": dataset("ab"), "y": dataset("cd")})
    path = joined.split({"train": 2, "test": 2}).save(tmp_path / "splits.csv")
    train, _ = mtgen.Splits.load(path, joined)
    assert sum(map(len, train.parts.values())) == 2


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("row,label,split\n0,a,train\n0,b,test\n", "has this row twice.*row 0"),
        (
            "row,label,split\n0,a,train\n2,b,test\n",
            r"record 2 of the file of splits is \['2', 'b', 'test'\], .* 0 to 1",
        ),
        ("row,label,split\n0,a\n", r"record 1 .* is \['0', 'a'\]"),
        ("row,label,split\n-1,a,train\n", r"record 1 .* is \['-1', 'a', 'train'\]"),
        ('row,label,split\n0,"a,train\n', "this is no file of splits"),
        ("row,split\n0,train\n", r"begins with row,label,split, this one with \[\['row', 'split'\]\]"),
        ("", r"this one with \[\]"),
    ],
)
def test_a_damaged_file_is_refused_with_the_place(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "splits.csv"
    path.write_text(content)
    with pytest.raises(StateError, match=text) as caught:
        mtgen.Splits.load(path, dataset())
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be read .*splits\.csv"):
        mtgen.Splits.load(tmp_path / "splits.csv", dataset())


def test_what_the_file_cannot_hold_is_refused(tmp_path: Path) -> None:
    data, path = dataset(), tmp_path / "splits.csv"
    cases = [
        (mtgen.Splits({"": data}), StateError, "a name and rows for each, received 10 rows named ''"),
        (mtgen.Splits({"a": data.take([])}), StateError, "a name and rows for each, received 0 rows named 'a'"),
        (mtgen.Splits({"a": data, "b": data.take([3])}), StateError, "this one is in 'a' and 'b'.*row 3"),
        (dataset(["x" * 200_000, "y"]).split({"a": 1, "b": 1}), StateError, "200,000 letters.* takes 100,000 at most"),
        (mtgen.Splits({"a": data, "b": dataset()}), PlanError, "a file of splits is of one table"),
        (mtgen.Splits({}), PlanError, "a file of splits is of one table"),
    ]
    for splits, kind, text in cases:
        with pytest.raises(kind, match=text):
            splits.save(path)
    assert not path.exists()


def test_load_needs_a_dataset(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"data must be the mtgen.Dataset that was split, received 3 \(int\)"):
        mtgen.Splits.load(tmp_path / "splits.csv", 3)  # type: ignore[arg-type]


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".splits.csv.0123.partial").write_text("row,la")
    (tmp_path / ".other.csv.0123.partial").write_text("row,la")
    for _ in range(2):
        dataset().split(SHARES).save(tmp_path / "splits.csv")
        assert sorted(one.name for one in tmp_path.iterdir()) == [".other.csv.0123.partial", "splits.csv"]
        (tmp_path / ".splits.csv.4567.partial").write_text("row,la")


def test_after_each_failing_call_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("open", "write", "fsync", "link"):
        with monkeypatch.context() as patch:

            def fail(*arguments: object, **options: object) -> None:
                raise OSError(errno.EIO, os.strerror(errno.EIO))

            patch.setattr(os, name, fail)
            with pytest.raises(StoreError, match=r"cannot be written .*Input/output error"):
                dataset().split(SHARES).save(tmp_path / "splits.csv")
        assert list(tmp_path.iterdir()) == []
