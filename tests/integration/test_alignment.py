"""Table rows and store rows: right ones through filters and splits, and a refusal that shows the values otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import AlignmentError, MtgenError, TableError
from tests.support.samples import features
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")

BIG = pd.DataFrame({"id": np.arange(100) + 1_000, "text": [f"k{row}" for row in range(100)], "y": np.arange(100) % 2})


def dataset(table: pd.DataFrame, store: Any = None, **options: Any) -> mtgen.Dataset:
    store = MemoryStore(features(100), 8) if store is None else store
    return mtgen.Dataset(table, {"f": mtgen.Rows(store, **options)})


def check_rows(data: mtgen.Dataset, store_rows: np.ndarray) -> None:
    """`store_rows[row]` is what every row of the root table must get."""
    for num_workers in (0, 2):
        with mtgen.Loader(data, 8, num_workers=num_workers) as loader:
            seen = 0
            for batch in loader.epoch(0):
                np.testing.assert_array_equal(batch.inputs["f"], features(100)[store_rows[batch.rows]])
                seen += len(batch)
            assert seen == len(data)


@pytest.mark.parametrize("frame", ["filtered", "sorted", "sampled", "reversed", "whole", "one"])
def test_a_filtered_or_sorted_frame_keeps_pointing_at_its_own_rows(frame: str) -> None:
    table = {
        "filtered": BIG[BIG["y"] == 1],
        "sorted": BIG.sort_values("text"),
        "sampled": BIG.sample(40, random_state=1),
        "reversed": BIG[::-1],
        "whole": BIG,
        "one": BIG.iloc[[57]],
    }[frame]
    check_rows(dataset(table), table.index.to_numpy())


def test_a_train_split_of_a_filtered_frame_over_the_whole_store() -> None:
    table = BIG[BIG["id"] % 3 > 0].sample(frac=1, random_state=2)
    train, valid = dataset(table).split({"train": 0.8, "valid": 0.2}, seed=4)
    check_rows(train, table.index.to_numpy())
    check_rows(valid.take(valid.rows[::-1]), table.index.to_numpy())


def test_a_column_names_the_store_row_and_rows_may_share_one() -> None:
    places = np.array([5, 5, 99, 0, 5])
    table = pd.DataFrame({"place": places}, index=[4, 4, 4, 2, 1.5])
    check_rows(dataset(table, index="place"), places)


def test_text_labels_of_equal_length_mean_places() -> None:
    check_rows(dataset(BIG.set_index("text")), np.arange(100))


def refused(text: str, table: pd.DataFrame, kind: type[MtgenError] = AlignmentError, **options: Any) -> MtgenError:
    with pytest.raises(kind, match=text) as caught:
        dataset(table, **options)
    return caught.value


def test_text_labels_of_another_length_are_refused() -> None:
    refused(
        r"the table has 30 rows and the store 100, and the index labels \(.*: 'k0', 'k1', 'k2', 'k3', 'k4', \.\.\.\) "
        "are not store rows",
        BIG.set_index("text").iloc[:30],
    )


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_renumbered_frame_over_a_longer_store_is_refused(shuffled: bool) -> None:
    """Shuffled after the re-numbering it was accepted, with the features of other rows."""
    table = BIG[BIG["y"] == 1].reset_index(drop=True)
    if shuffled:
        table = table.sample(frac=1, random_state=0)
    refused(
        r"the table has 50 rows labelled 0 to 49, the store has 100 rows: a frame that was filtered and then "
        r"re-numbered .*no reset_index.*index='\.\.\.'",
        table,
    )


def test_a_shorter_store_is_refused_with_the_first_row_outside() -> None:
    """A fresh index over a shorter store was answered with advice about filtered frames."""
    error = refused(
        r"an index label of the table asks for store row 90, the store has rows 0 to 89 \(\d+ table rows, 90 store "
        r"rows\)\. "
        r"Outside: 10 rows \(90, 91, 92, 93, 94, \.\.\.\)",
        BIG,
        store=MemoryStore(features(90), 8),
    )
    assert (error.row, error.path) == (90, "memory")


def test_negative_labels_are_refused() -> None:
    refused(r"asks for store row -3, .* \(0\)", BIG.iloc[:2].set_index(pd.Index([-3, 1])))


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (pd.Index([0.0, 2.0]), r"float64 \(0\.0, 2\.0\)"),
        (pd.Index([True, False]), r"bool \(True, False\)"),
        (pd.Index([7, 3], dtype=object), r"object \(7, 3\)"),
        (pd.Index([7, "a"], dtype=object), r"object \(7, 'a'\)"),
        (pd.Index([7.5, 3], dtype=object), r"object \(7\.5, 3\)"),
        (pd.CategoricalIndex([7, 3]), r"category \(7, 3\)"),
        (pd.Index([7, None], dtype="Int64"), r"Int64 \(7, <NA>\)"),
    ],
)
def test_labels_that_only_look_like_store_rows_are_refused(labels: pd.Index, shown: str) -> None:
    """Integers kept as objects or categories were ignored, and places taken instead."""
    refused(
        rf"index labels are {shown}, which cannot say which store row",
        BIG.iloc[:2].set_index(labels),
        store=MemoryStore(features(2), 1),
    )


def test_duplicate_labels_are_refused_with_the_labels() -> None:
    refused(r"appear more than once \(3, 4\), as after a plain pandas\.concat", pd.concat([BIG[:5], BIG[3:9]]))


@pytest.mark.parametrize(
    ("column", "kind", "text"),
    [
        ([1.0, np.nan], TableError, r"column 'place' has no value in 1 row \(1\)"),
        ([1.0, 2.0], TableError, r"column 'place' must hold integers, received dtype float64 .*1\.0"),
        ([True, False], TableError, r"must hold integers, received dtype bool"),
        (["1", "2"], TableError, r"must hold integers, received dtype (str|object) \(first value '1'\)"),
        ([1, -1], AlignmentError, r"column 'place' asks for store row -1, the store has rows 0 to 99"),
        ([100, 1], AlignmentError, r"column 'place' asks for store row 100, .* Outside: 1 row \(0\)"),
    ],
)
def test_a_wrong_index_column_is_refused(column: list[Any], kind: type[MtgenError], text: str) -> None:
    refused(text, pd.DataFrame({"place": column}), kind, index="place")


def test_an_index_column_that_is_not_there_is_refused() -> None:
    refused(r"Rows index: the table has no column 'idd'\. Did you mean 'id'", BIG, TableError, index="idd")


# --- keys -------------------------------------------------------------------------------------------------------------


def keyed(keys: Any, name: str | None = "id") -> MemoryStore:
    return MemoryStore(features(100), 8, keys=np.asarray(keys), key_name=name)


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        ("id", BIG["id"].to_numpy()),
        ("id", BIG["id"].to_numpy(np.uint16)),
        ("text", np.array(BIG["text"], "S3")),
        ("text", np.array(BIG["text"], "S9")),
        ("text", np.array(BIG["text"], "U4")),
        ("id", np.array(BIG["id"].astype(str), "S4")),
    ],
)
def test_keys_that_agree_are_compared_and_pass(column: str, keys: np.ndarray) -> None:
    table = BIG[BIG["y"] == 1]
    data = dataset(table, keyed(keys, column))
    assert data.fields[0].bound.compares_keys
    check_rows(data, table.index.to_numpy())


def test_a_key_mismatch_at_open_shows_both_keys() -> None:
    keys = BIG["id"].to_numpy().copy()
    keys[[40, 41]] = keys[[41, 40]]
    error = refused(
        r"keys differ: the table's column 'id' has 1040, the store has 1041 at its row 40 \(2 of 100 rows compared",
        BIG,
        store=keyed(keys),
    )
    assert (error.row, error.path) == (40, "memory")


def test_a_store_of_equal_length_but_shifted_is_refused() -> None:
    refused(
        r"has 'k0', the store has 'k99' at its row 0 \(100 of 100",
        BIG,
        store=keyed(np.roll(BIG["text"], 1).astype("S3"), "text"),
    )


def test_truncated_text_keys_are_refused() -> None:
    refused(r"has 'k10', the store has 'k1'", BIG, store=keyed(np.array(BIG["text"], "S2"), "text"))


def test_a_key_column_read_as_floats_is_refused() -> None:
    """2**53 + 1 in the store matched 2**53 in the table, because both were compared as floats."""
    table = pd.DataFrame({"id": [float(2**53), 1.0]})
    store = MemoryStore(features(2), 8, keys=np.array([2**53 + 1, 1]), key_name="id")
    refused(
        r"store's keys are int64, the table's column 'id' holds float64 \(first value 9007199254740992\.0\)",
        table,
        store=store,
    )


def test_keys_of_another_kind_do_not_agree() -> None:
    refused(r"has '1000', the store has 1000", BIG.assign(id=BIG["id"].astype(str)), store=keyed(BIG["id"]))


@pytest.mark.parametrize(
    ("name", "text"), [("code", "named 'code', but the table has no such column"), (None, "without a name")]
)
def test_keys_that_cannot_be_matched_to_a_column_are_refused(name: str | None, text: str) -> None:
    """Keys without a name were called "keys named None"."""
    refused(rf"the store carries keys {text}\. Name the column that holds them", BIG, store=keyed(BIG["id"], name))


def test_keys_may_be_declined_or_named() -> None:
    assert not dataset(BIG, keyed(BIG["id"] + 5), key=False).fields[0].bound.compares_keys
    assert dataset(BIG, keyed(BIG["id"], None), key="id").fields[0].bound.compares_keys


def test_asking_for_keys_that_are_not_there_is_refused() -> None:
    refused(r"key='id' asks to compare keys, but the store carries none", BIG, key="id")


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("chunk_rows", [1, 8])
def test_a_store_that_changed_after_opening_fails_on_the_batch(num_workers: int, chunk_rows: int) -> None:
    keys = BIG["id"].to_numpy().copy()
    store = MemoryStore(features(100), chunk_rows, keys=keys, key_name="id")
    data = dataset(BIG, store)
    keys[[20, 60]] = keys[[60, 20]]  # rewritten behind our back
    wrong, right = 0, 0
    with mtgen.Loader(data, 5, num_workers=num_workers) as loader:
        for step in range(loader.steps_per_epoch):
            bad = [int(row) for row in loader.rows(step) if row in (20, 60)]
            if not bad:
                right += 1
                batch = loader.batch(step)
                np.testing.assert_array_equal(batch.inputs["f"], features(100)[batch.rows])
                continue
            wrong += 1
            text = f"has {1000 + bad[0]}, the store has {1000 + 80 - bad[0]} at its row {bad[0]}"
            with pytest.raises(AlignmentError, match=text) as caught:
                loader.batch(step)
            assert (caught.value.step, caught.value.row, caught.value.path) == (step, bad[0], "memory")
    assert (wrong + right, wrong > 0) == (20, True)
