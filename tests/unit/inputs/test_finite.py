"""NaN and infinity: refused in columns and weights, told by row where `Rows(finite=True)` asks for it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StoreError, TableError
from tests.support.stores import MemoryStore


def values(bad: dict[tuple[int, int], float], dtype: str = "f4") -> np.ndarray:
    made = np.arange(24 * 3, dtype=dtype).reshape(24, 3)
    for place, value in bad.items():
        made[place] = value
    return made


def data(store: object, finite: bool) -> mtgen.Dataset:
    table = pd.DataFrame({"a": range(24)}, index=np.arange(24)[::-1])
    return mtgen.Dataset(table, inputs={"x": mtgen.Rows(store, finite=finite)})


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("chunk_rows", [1, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_fails_its_batch_only_and_names_row_and_place(num_workers, chunk_rows, value):
    store = MemoryStore(values({(9, 2): value}), chunk_rows)
    with mtgen.Loader(data(store, True), 4, num_workers=num_workers, prefetch=Prefetch(window=3, depth=3)) as loader:
        failed = []
        stream = loader.stream()
        for step in range(loader.steps_per_epoch):
            try:
                loader.take_from(stream, step)
            except StoreError as error:
                assert f"store's row 9 has {value} at place 2 of 3, and finite=True refuses such values" in str(error)
                assert (error.row, error.step) == (14, step)
                failed.append(step)
        stream.close()
        assert failed == [step for step in range(loader.steps_per_epoch) if 14 in loader.rows(step)]


def test_without_the_option_values_are_delivered_as_they_are():
    store = MemoryStore(values({(9, 2): np.nan}), 5)
    assert np.isnan(data(store, False).fetch([14]).inputs["x"][0, 2])


def test_whole_numbers_have_nothing_to_look_at():
    assert data(values({}, "i4"), True).fetch([0]).inputs["x"].tolist() == [[69, 70, 71]]
    assert data(np.zeros((24, 0), "f4"), True).fetch([0]).inputs["x"].shape == (1, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_refused(value):
    with pytest.raises(TableError):
        mtgen.Dataset(pd.DataFrame({"a": [1.0, value]}), inputs={"a": mtgen.Columns("a")}, targets="a", weight="a")


@pytest.mark.parametrize("role", ["inputs", "targets"])
def test_nan_in_a_column_is_refused_when_the_dataset_is_made(role):
    table = pd.DataFrame({"a": [1.0, 2.0, np.nan, np.nan], "b": range(4)})
    settings = {"inputs": {"b": mtgen.Columns("b")}, "targets": "b"}
    settings[role] = {"a": mtgen.Columns("a")} if role == "inputs" else "a"
    with pytest.raises(TableError, match=r"no value in 2 rows \(2, 3\)"):
        mtgen.Dataset(table, **settings)
