"""What an attack got through in silence, or with somebody else's traceback; one test each."""

import os
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import AlignmentError, DecodeError, TableError


def test_a_column_named_zero_was_ignored_as_index():
    table = pd.DataFrame({0: [2, 1, 0], "y": [0, 1, 2]})
    data = mtgen.Dataset(table, inputs={"x": mtgen.Rows(np.arange(3.0)[:, None], index=0)})
    assert data.fetch([0, 1, 2]).inputs["x"].ravel().tolist() == [2, 1, 0]


def test_nan_in_an_arrow_column_passed_as_a_value():
    pyarrow = pytest.importorskip("pyarrow")
    values = pd.arrays.ArrowExtensionArray(pyarrow.array([1.0, float("nan")], from_pandas=False))
    table = pd.DataFrame({"a": pd.Series(values), "b": [0, 1]})
    for settings in ({"inputs": {"a": mtgen.Columns("a")}}, {"inputs": {"b": mtgen.Columns("b")}, "targets": "a"}):
        with pytest.raises(TableError, match=r"'a'.*1 row"):
            mtgen.Dataset(table, **settings)


def test_columns_of_several_levels_are_refused():
    table = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    with pytest.raises(TableError, match="several levels"):
        mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_in_place_of_a_picture_was_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    data = mtgen.Dataset(pd.DataFrame({"p": ["a.png"]}), inputs={"x": mtgen.Images("p", root=tmp_path, size=(4, 4))})
    with pytest.raises(DecodeError, match=r"no regular file.*row 0"):
        mtgen.Loader(data, 1, num_workers=0).batch(0)


def test_a_huge_file_in_place_of_a_picture_was_read_whole(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(2**31)
    data = mtgen.Dataset(pd.DataFrame({"p": ["a.png"]}), inputs={"x": mtgen.Images("p", root=tmp_path, size=(4, 4))})
    with pytest.raises(DecodeError, match="2,147,483,648 bytes, more than any picture"):
        mtgen.Loader(data, 1).batch(0)


def test_a_batch_larger_than_the_data_needs_no_memory_for_rows_that_are_not_there():
    data = mtgen.Dataset(pd.DataFrame({"a": range(6)}), inputs={"x": mtgen.Rows(np.zeros((6, 3000), "f4"))})
    assert len(mtgen.Loader(data, 10**6).batch(0)) == 6


def test_numpy_integers_are_batch_sizes():
    data = mtgen.Dataset(pd.DataFrame({"a": range(6)}), inputs={"x": mtgen.Columns("a")})
    assert len(mtgen.Loader(data, np.int64(4)).batch(0)) == 4


def test_a_state_for_a_column_does_not_fit_a_list_of_that_column():
    table = pd.DataFrame({"a": range(6), "y": range(6)})
    one = mtgen.Loader(mtgen.Dataset(table, inputs={"x": mtgen.Columns("a")}, targets={"y": "y"}), 2)
    other = mtgen.Loader(mtgen.Dataset(table, inputs={"x": mtgen.Columns("a")}, targets={"y": ["y"]}), 2)
    with pytest.raises(mtgen.errors.StateError, match="target y"):
        other.restore(one.state(1))


def test_the_first_text_among_numbers_is_shown():
    table = pd.DataFrame({"a": ["0", "1", "x", "3"]})
    with pytest.raises(TableError, match="first in row 2: 'x'"):
        mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})


def test_a_store_shorter_than_the_table_says_both_lengths():
    with pytest.raises(AlignmentError, match=r"\(5 table rows, 3 store rows\)"):
        mtgen.Dataset(pd.DataFrame({"a": range(5)}), inputs={"x": mtgen.Rows(np.zeros((3, 2)))})


def test_index_labels_that_are_decimals_were_taken_for_text_and_their_order_for_that_of_the_store():
    labels = [Decimal(2), Decimal(1), Decimal(0)]
    with pytest.raises(AlignmentError, match="cannot say which store row is meant"):
        mtgen.Dataset(pd.DataFrame({"a": range(3)}, index=labels), inputs={"x": mtgen.Rows(np.zeros((3, 1)))})
