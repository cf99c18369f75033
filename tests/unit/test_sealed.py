"""A sealed split gives its length and digests, and nothing else before it is opened."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.card import make_card
from mtgen.errors import PlanError, SealedError

SHARES = {"train": 0.6, "valid": 0.2, "test": 0.2}


@pytest.fixture
def data() -> mtgen.Dataset:
    table = pd.DataFrame({"a": range(10), "kind": list("xy") * 5, "part": ["t"] * 6 + ["v"] * 4})
    return mtgen.Dataset(table, {"a": mtgen.Columns("a")}, targets="kind")


@pytest.fixture
def test(data: mtgen.Dataset) -> Any:
    return data.split(SHARES, sealed="test")["test"]


def test_opened_it_is_what_it_would_have_been(data: mtgen.Dataset) -> None:
    for options in ({}, {"stratify": "kind"}):
        plain, splits = data.split(SHARES, **options), data.split(SHARES, sealed=["valid", "test"], **options)
        train, valid, test = splits
        assert isinstance(train, mtgen.Dataset)
        assert isinstance(valid, mtgen.Sealed)
        assert splits["test"] is test is splits[2]
        for name, opened in zip(plain.names, splits.open(), strict=True):
            assert opened.rows.tolist() == plain[name].rows.tolist()
            assert opened.digests == plain[name].digests == splits[name].digests
        batch, other = test.open().fetch(test.open().rows), plain["test"].fetch(plain["test"].rows)
        assert batch.inputs["a"].tolist() == other.inputs["a"].tolist()
    assert isinstance(data.split(by="part", sealed="v")["v"], mtgen.Sealed)


def test_length_name_and_text_are_known(test: Any) -> None:
    assert (len(test), test.name) == (2, "test")
    assert repr(test) == "Sealed('test', 2 of 10 rows; .open() gives the dataset)"


def test_splits_say_what_is_sealed(data: mtgen.Dataset) -> None:
    assert repr(data.split(SHARES, sealed="test")) == "Splits(train: 6 rows, valid: 2 rows, test: 2 rows sealed)"
    assert repr(data.split(SHARES)) == "Splits(train: 6 rows, valid: 2 rows, test: 2 rows)"


PUBLIC = [name for name in dir(mtgen.Dataset) if not name.startswith("_") and name != "digests"]


@pytest.mark.parametrize("name", PUBLIC)
def test_nothing_that_a_dataset_offers_is_there(test: Any, name: str) -> None:
    with pytest.raises(SealedError, match=rf"split 'test' is sealed, so it has no '{name}': call \.open\(\)"):
        getattr(test, name)
    assert not hasattr(test, name)


def test_the_list_of_what_a_dataset_offers_is_not_empty() -> None:
    assert {"fetch", "rows", "table", "fields", "take", "split", "with_weight"} <= set(PUBLIC)


def test_whatever_takes_a_dataset_says_how_to_open_it(data: mtgen.Dataset, test: Any, tmp_path: Path) -> None:
    splits = data.split(SHARES, sealed="test")
    calls = [
        lambda: mtgen.Loader(test, 2),
        lambda: mtgen.join({"train": splits["train"], "test": test}),
        lambda: make_card(test),
        lambda: make_card(splits),
        lambda: mtgen.pack_images(test),
        lambda: mtgen.Splits.load(tmp_path / "splits.csv", test),
    ]
    for call in calls:
        with pytest.raises(PlanError, match=r"\.open\(\)"):
            call()
    assert make_card(splits.open()).as_dict()["rows"]["total"] == 10


def test_other_splits_cannot_reach_its_rows(data: mtgen.Dataset) -> None:
    train, valid, test = data.split(SHARES, sealed="test")
    rows = test.open().rows
    with pytest.raises(PlanError, match="does not have row"):
        train.take(rows)
    assert train.take(np.ones(10, bool)).rows.tolist() == train.rows.tolist()
    halves = train.split({"x": 0.5, "y": 0.5})
    others = [train, train.take(train.rows[:1]), train.with_weight(2.0), train.with_fields(train.fields), *halves]
    others += [mtgen.join({"t": train, "v": valid}), pickle.loads(pickle.dumps(train)), copy.deepcopy(train)]
    for one in others:
        with pytest.raises(SealedError, match=rf"in a sealed split, .* \.open\(\) .*row {rows[0]}"):
            one.fetch([0, *rows] if 0 not in rows else rows)
        own = one.rows[:2]
        assert one.fetch(own).rows.tolist() == own.tolist()
    assert train.fetch(valid.rows).rows.tolist() == valid.rows.tolist()
    assert data.fetch(rows).rows.tolist() == test.open().fetch(rows).rows.tolist()
    assert len(mtgen.join({"train": train, "test": test.open()}).fetch(rows).rows) == 2


def test_several_joined_tables_keep_their_seals(data: mtgen.Dataset) -> None:
    train, _, test = data.split(SHARES, sealed="test")
    row = int(test.open().rows[0])
    other = mtgen.Dataset(data.table.copy(), {"a": mtgen.Columns("a")}, targets="kind")
    joined = mtgen.join({"other": other, "train": train})
    assert joined.fetch([row]).rows.tolist() == [row]
    with pytest.raises(SealedError):
        joined.fetch([10 + row])


def test_a_split_of_a_split_keeps_both_seals(data: mtgen.Dataset) -> None:
    rest, test = data.split({"rest": 8, "test": 2}, sealed="test")
    train, valid = rest.split({"train": 6, "valid": 2}, sealed="valid")
    for sealed in (valid, test):
        with pytest.raises(SealedError):
            train.fetch(sealed.open().rows)
    with pytest.raises(SealedError):
        valid.open().fetch(test.open().rows)


def test_it_travels(test: Any) -> None:
    for again in (pickle.loads(pickle.dumps(test)), copy.copy(test), copy.deepcopy(test)):
        assert again.digests == test.digests
        assert len(again) == 2
        assert not hasattr(again, "rows")


def test_wrong_names_are_refused(data: mtgen.Dataset) -> None:
    for sealed in ("tests", ["train", "tests"]):
        with pytest.raises(PlanError, match=r"sealed names 'tests', and the splits are \['train', 'valid', 'test'\]"):
            data.split(SHARES, sealed=sealed)
    with pytest.raises(PlanError, match=r"the name of a split, or several names, received 3 \(int\)"):
        data.split(SHARES, sealed=3)  # type: ignore[arg-type]
