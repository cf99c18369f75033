"""Laws of another dataset, windows whose border is said twice, grids that are drawn: what a new user met."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.errors import PlanError
from mtgen.inputs.windows import Cutting


def dataset(num_rows: int) -> mtgen.Dataset:
    table = pd.DataFrame({"a": np.arange(num_rows), "label": np.arange(num_rows) % 2})
    return mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="label")


def test_a_law_of_another_dataset_is_refused_also_where_its_rows_would_do() -> None:
    """It trained on rows 0 to 59 of a thousand without a word."""
    whole, small = dataset(1000), dataset(60)
    for law in (small.rows.uniform(), small.rows.where("label = 1"), small.rows.balanced("label")):
        with pytest.raises(
            PlanError, match=r"the rows of another dataset, with a table of 60 rows; this one has .* 1000"
        ):
            mtgen.Loader(whole, 16, sampler=law)
    other = mtgen.Dataset(whole.table.assign(a=0), inputs={"a": mtgen.Columns("a")}, targets="label")
    with pytest.raises(PlanError, match="the rows of another dataset"):
        mtgen.Loader(other, 16, sampler=whole.rows.weighted("a"))


def test_a_law_of_an_equal_table_is_taken() -> None:
    """A law that came by a file, or from a dataset made again from the same CSV."""
    data, again = dataset(100), dataset(100)
    law = pickle.loads(pickle.dumps(data.rows.weighted("a")))
    for one in (data, again, data.with_weight(2.0)):
        assert (
            mtgen.Loader(one, 10, sampler=law).rows(0).tolist() == mtgen.Loader(data, 10, sampler=law).rows(0).tolist()
        )


def test_a_mixture_of_windows_has_the_border_of_its_parts() -> None:
    """border="inside" beside half touching and half not was refused as another border."""
    mask = np.zeros((20, 20), bool)
    mask[4:9, 3:9] = True
    half = 0.5 & S.touching(mask, 6) | 0.5 & S.touching(mask, 6, at_most=0)
    assert Cutting(size=(6, 6), border="inside").windows(half) is half
    with pytest.raises(PlanError, match=r"border='pad', but .* says 'inside': say it in one place"):
        Cutting(size=(6, 6), border="pad").windows(half)


def test_a_function_that_returns_no_sampler_is_told_what_it_returned() -> None:
    with pytest.raises(PlanError, match=r"returned no sampler for row [0-2]: 'garbage'"):
        S.rows(3) @ (lambda row: "garbage")
    with pytest.raises(PlanError, match=r"returned no sampler for row [0-2]: 5 \(int\)"):
        S.rows(3) @ (lambda row: 5)


def test_a_grid_is_drawn_once() -> None:
    """45 windows were drawn as a thousand, each 22 times."""
    pytest.importorskip("matplotlib")
    from mtgen import view

    grid = S.grid((100, 200), (24, 24))
    starts, size = view.starts_of(grid, (100, 200), 1000)
    assert len(starts) == len(grid)
    assert tuple(size) == (24, 24)
    assert len(view.starts_of(grid, (100, 200), 7)[0]) == 7


def test_a_law_in_place_of_its_description_is_refused_in_words() -> None:
    pytest.importorskip("matplotlib")
    from mtgen import view

    with pytest.raises(PlanError, match=r"description must be what law.describe\(by=...\) of a law over rows gives"):
        view.draw_epoch(S.rows(3))  # type: ignore[arg-type]


def test_an_order_law_has_a_name_to_build_on() -> None:
    class Backwards:
        """Every row once, from the last to the first."""

        def size(self, num_rows: int) -> int:
            return num_rows

        def order(self, num_rows: int, *, seed: int, epoch: int) -> Backwards.Order:
            return self.Order(num_rows)

        def settings(self) -> dict[str, object]:
            return {"law": "backwards"}

        class Order:
            def __init__(self, num_rows: int) -> None:
                self.num_rows = num_rows

            def at(self, positions: np.ndarray) -> np.ndarray:
                return self.num_rows - 1 - positions

    assert isinstance(Backwards(), S.OrderLaw)
    assert mtgen.Loader(dataset(5), 5, sampler=Backwards()).rows(0).tolist() == [4, 3, 2, 1, 0]
