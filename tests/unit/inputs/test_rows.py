"""A bound store: gathers by table row, describes itself, travels."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import StoreError
from mtgen.inputs.rows import BoundRows
from tests.support.samples import features
from tests.support.stores import MemoryStore


def bound(array: np.ndarray, labels: list[int]) -> BoundRows:
    return mtgen.Rows(MemoryStore(array, 4)).bind(pd.DataFrame({"a": range(len(labels))}, index=labels))


def test_fetch_follows_labels_and_repeats() -> None:
    rows = bound(features(9), [8, 0, 3])
    out = np.empty((4, 3), np.float32)
    rows.fetch(np.array([2, 0, 2, 1]), out)
    np.testing.assert_array_equal(out, features(9)[[3, 8, 3, 0]])
    assert rows.store_rows(np.array([1, 0])).tolist() == [0, 8]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float16", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (2, 3), (0,)])
def test_any_number_dtype_and_row_shape(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(9 * int(np.prod(shape))).reshape(9, *shape).astype(dtype)
    rows = bound(array, [8, 0, 3])
    assert rows.spec.shape == shape
    out = rows.spec.empty(3)
    rows.fetch(np.arange(3), out)
    np.testing.assert_array_equal(out, array[[8, 0, 3]])
    assert rows.settings() == bound(array, [8, 0, 3]).settings()


@pytest.mark.parametrize("array", [np.array(["a", "b"]), np.array([b"a"]), np.array(["2020"], "M8[D]"), np.array([1j])])
def test_text_dates_and_complex_numbers_are_refused(array: np.ndarray) -> None:
    with pytest.raises(StoreError, match=r"the store holds .*, expected numbers or booleans"):
        mtgen.Rows(MemoryStore(array, 4)).bind(pd.DataFrame({"a": range(len(array))}))


def test_settings_tell_other_rows_and_other_values() -> None:
    def settings(array: np.ndarray, labels: list[int]) -> dict[str, Any]:
        return bound(array, labels).settings()

    base = settings(features(9), [8, 0, 3])
    assert base == settings(features(9), [8, 0, 3])
    assert base["store_rows"] != settings(features(9), [0, 8, 3])["store_rows"]
    assert base["sample"] != settings(features(9) + 1, [8, 0, 3])["sample"]
    assert base["num_rows"] != settings(features(10), [8, 0, 3])["num_rows"]


def test_a_pickled_binding_is_the_same() -> None:
    keys = np.arange(9) + 50
    store = MemoryStore(features(9), 4, keys=keys, key_name="id")
    table = pd.DataFrame({"id": [58, 50, 53]}, index=[8, 0, 3])
    rows = pickle.loads(pickle.dumps(mtgen.Rows(store).bind(table)))
    out = np.empty((3, 3), np.float32)
    rows.fetch(np.arange(3), out)
    np.testing.assert_array_equal(out, features(9)[[8, 0, 3]])
    assert rows.compares_keys
