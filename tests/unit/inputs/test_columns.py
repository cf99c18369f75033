"""Columns, targets and weights: the table's own values, or a refusal that shows the value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import TableError
from mtgen.inputs.columns import Columns, Target, Weight


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns)


def values(bound: Any) -> Any:
    return bound.take(np.arange(3)).tolist()


def test_columns_keep_their_order() -> None:
    bound = Columns(["b", "a"]).bind(frame(a=[1, 2, 3], b=[0.5, 1.5, 2.5]))
    assert values(bound) == [[0.5, 1], [1.5, 2], [2.5, 3]]
    assert str(bound.spec) == "(2) float32"


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "float64"])
@pytest.mark.parametrize("source", ["bool", "boolean", "int8", "Int64", "float64", "Float32"])
def test_what_fits_is_kept(dtype: str, source: str) -> None:
    bound = Columns("a", dtype=dtype).bind(frame(a=pd.Series([1, 0, 1], dtype=source)))
    assert bound.spec.dtype == dtype
    assert values(bound) == [[1], [0], [1]]


@pytest.mark.parametrize(
    ("number", "source", "dtype"),
    [
        (2**24 + 1, "int64", "float32"),
        (1_700_000_001, "int64", "float32"),
        (2**53 + 1, "int64", "float64"),
        (2**63 - 1, "int64", "float64"),
        (2**64 - 1, "uint64", "float64"),
        (2**64 - 1, "uint64", "int64"),
        (-1, "int64", "uint8"),
        (-1, "int64", "uint64"),
        (256, "int64", "uint8"),
        (2, "int64", "bool"),
        (0.5, "float64", "int32"),
        (0.5, "float64", "bool"),
        (1e300, "float64", "float32"),
        (1e19, "float64", "int64"),
        (2.0**63, "float64", "int64"),
        (float("inf"), "float64", "int32"),
        (70_000, "int64", "float16"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_value(number: Any, source: str, dtype: str) -> None:
    """Whole numbers were rounded to float32 and large floats became infinite, silently or with a bare warning."""
    table = frame(a=pd.Series([1, number, 0], dtype=source))
    with pytest.raises(TableError) as caught:
        Columns("a", dtype=dtype).bind(table)
    assert f"column 'a' has {table['a'].to_numpy()[1]}, which {dtype} cannot hold exactly" in str(caught.value)
    assert caught.value.row == 1


@given(
    st.sampled_from(["int8", "uint8", "int32", "int64", "uint64"]),
    st.sampled_from(["int8", "uint16", "int32", "int64", "uint64", "float16", "float32", "float64", "bool"]),
    st.data(),
)
def test_integers_are_exact_or_refused(source: str, dtype: str, data: st.DataObject) -> None:
    bounds = np.iinfo(source)
    number = data.draw(st.integers(int(bounds.min), int(bounds.max)))
    try:
        bound = Columns("a", dtype=dtype).bind(frame(a=np.array([number], source)))
    except TableError:
        with np.errstate(all="ignore"):
            back = np.array([number], source).astype(dtype)
        # Refused rightly: the value changes, or lies where floats cannot be told from their overflow.
        assert not np.isfinite(float(back[0])) or int(back[0]) != number or abs(number) >= 2**63
    else:
        assert int(bound.take(np.array([0]))[0, 0]) == number


def test_floats_may_be_rounded_and_infinite_ones_kept() -> None:
    bound = Columns("a").bind(frame(a=[0.1, float("inf"), -float("inf")]))
    assert values(bound) == [[float(np.float32(0.1))], [float("inf")], [-float("inf")]]


@pytest.mark.parametrize("dtype", ["float33", "object", "str", "datetime64[s]", "complex64"])
def test_a_dtype_that_holds_no_numbers_is_refused(dtype: str) -> None:
    with pytest.raises(TableError, match=f"Columns: dtype='{dtype}'".replace("[", r"\[").replace("]", r"\]")):
        Columns("a", dtype=dtype).bind(frame(a=[1]))


@pytest.mark.parametrize(
    "column", [["x", "y"], pd.to_datetime(["2020", "2021"]), [1j, 2j], pd.Series([1, 2], dtype=object)]
)
def test_what_is_no_number_is_refused_as_input(column: Any) -> None:
    with pytest.raises(TableError, match=r"column 'a' holds .*, expected numbers"):
        Columns("a").bind(frame(a=column))


@pytest.mark.parametrize("column", [[1, None], pd.Series([1, None], dtype="Int64"), [None, "x"]])
@pytest.mark.parametrize("kind", [Columns, Target, Weight])
def test_missing_values_are_refused_with_their_rows(kind: Any, column: Any) -> None:
    with pytest.raises(TableError, match=r"column 'a' has no value in 1 row \([01]\)"):
        kind("a").bind(frame(a=column))


def test_no_columns_are_refused() -> None:
    for kind in (Columns, Target):
        with pytest.raises(TableError, match="at least one column name"):
            kind([]).bind(frame(a=[1]))


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        ([0, 1, 2], "int32"),
        ([0, 1, 2**31], "int64"),
        ([True, False, True], "int32"),
        ([0.5, 1.0, 2.0], "float32"),
        (pd.Series([1, 2, 3], dtype="Int8"), "int32"),
    ],
)
def test_dtypes_of_number_targets(column: Any, dtype: str) -> None:
    bound = Target("a").bind(frame(a=column))
    assert bound.spec.dtype == dtype
    assert bound.spec.shape == ()
    assert bound.classes is None
    assert values(bound) == list(column)


def test_several_columns_are_one_target_with_an_axis() -> None:
    bound = Target(["a", "b"]).bind(frame(a=[1, 2, 3], b=[0.5, 1.5, 2.5]))
    assert str(bound.spec) == "(2) float32"
    assert values(bound) == [[1, 0.5], [2, 1.5], [3, 2.5]]


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_text_becomes_classes_in_sorted_order(dtype: Any) -> None:
    bound = Target("a").bind(frame(a=pd.Series(["dog", "ant", "cat"], dtype=dtype)))
    assert (values(bound), bound.classes) == ([2, 0, 1], ("ant", "cat", "dog"))
    assert bound.spec.dtype == np.int32


def test_classes_of_number_categories_are_in_the_order_of_numbers() -> None:
    """They were sorted as text: 0, 10, 2."""
    bound = Target("a").bind(frame(a=pd.Series([10, 2, 0], dtype="category")))
    assert (values(bound), bound.classes) == ([2, 1, 0], ("0", "2", "10"))


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pd.Series([0, 10, 2], dtype=object), "integer"),
        (pd.Series([0, "10", 2], dtype=object), "mixed-integer"),
        (pd.to_datetime(["2020", "2021", "2022"]), "datetime64"),
        ([1j, 2j, 3j], "complex"),
    ],
)
def test_classes_out_of_something_else_are_refused(column: Any, kind: str) -> None:
    """Integers kept as objects became classes in the order of their text: label 10 was trained as 1."""
    with pytest.raises(
        TableError, match=rf"column 'a' has dtype .* with {kind} values .*expected numbers, text or cat"
    ):
        Target("a").bind(frame(a=column))


@pytest.mark.parametrize(
    ("column", "dtype", "shape"),
    [
        ([[1, 2], [3, 4], [5, 6]], "int32", (2,)),
        ([(1, 2.5), [3, 4], np.array([5, 6])], "float32", (2,)),
        ([[[1], [2]], [[3], [4]], [[5], [6]]], "int32", (2, 1)),
        ([[2**40], [1], [2]], "int64", (1,)),
        ([[True], [False], [True]], "int32", (1,)),
        ([[1e30], [float("inf")], [0]], "float32", (1,)),
    ],
)
def test_lists_of_one_shape_are_one_target(column: Any, dtype: str, shape: tuple[int, ...]) -> None:
    bound = Target("a").bind(frame(a=pd.Series(column, dtype=object)))
    assert (bound.spec.dtype, bound.spec.shape) == (np.dtype(dtype), shape)
    np.testing.assert_array_equal(bound.take(np.arange(3)), np.array([np.asarray(one) for one in column], dtype))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([[1, 2], [3]], r"its first value has shape \(2,\), so every row must hold numbers of that shape"),
        ([[1, 2], 3], r"has 3; its first value has shape \(2,\)"),
        ([[1, 2], [[1], [2, 3]]], r"Wrong in 1 row \(1\)"),
        ([["x"], ["y"]], r"Wrong in 2 rows \(0, 1\). Labels go in OneHot"),
        ([[], []], r"at least one, and integers within int64. Wrong in 2 rows"),
        ([[0.5], [float("nan")]], r"has \[nan\], with NaN or numbers that float32 cannot hold. Wrong in 1 row \(1\)"),
        ([[0.5], [1e300]], r"has \[1e\+300\], with NaN or numbers that float32 cannot hold"),
        ([[1], [2**64 - 1]], r"integers within int64. Wrong in 1 row \(1\)"),
    ],
)
def test_lists_that_are_no_target(column: Any, message: str) -> None:
    with pytest.raises(TableError, match=message):
        Target("a").bind(frame(a=pd.Series(column, dtype=object)))


def test_lists_are_part_of_the_state() -> None:
    columns = ([[1, 2], [3, 4]], [[1, 2], [3, 5]], [[1], [2]])
    settings = [Target("a").bind(frame(a=pd.Series(one, dtype=object))).settings() for one in columns]
    assert settings[0] != settings[1] != settings[2]


# --- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [-1.0, float("inf")])
def test_a_weight_is_finite_and_not_negative(wrong: float) -> None:
    with pytest.raises(TableError, match=r"weights are finite and >= 0\. Wrong in 1 row \(1\) \[row 1\]"):
        Weight("a").bind(frame(a=[1.0, wrong, 2.0]))
