"""`data.rows`: an array as before, and the laws over a dataset's rows; plans as sequences."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.errors import PlanError, TableError
from mtgen.plan import Shard
from mtgen.sampling.row_plans.dataset_rows import DatasetRows

TABLE = pd.DataFrame(
    {
        "a": np.arange(100),
        "label": np.repeat(["x", "y"], [80, 20]),
        "sex": np.tile(["f", "m"], 50),
        "w": np.r_[np.zeros(50), np.ones(50)],
        "gap": [None, *range(99)],
        "flag": np.arange(100) % 2 == 0,
    }
)


def dataset(table: pd.DataFrame = TABLE) -> mtgen.Dataset:
    return mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})


# --- an array ---------------------------------------------------------------------------------------------------------


def test_rows_are_an_array_as_before() -> None:
    data = dataset()
    rows = data.rows
    assert isinstance(rows, np.ndarray)
    assert isinstance(rows, DatasetRows)
    assert rows.dtype == np.int64
    assert rows.shape == (100,)
    assert not rows.flags.writeable
    assert rows.tolist() == list(range(100))
    assert len(rows) == 100
    assert 5 in rows
    assert rows[-1] == 99
    assert (TABLE.iloc[rows] == TABLE).loc[1:].all().all()
    assert repr(rows) == repr(np.arange(100))
    assert data.take(rows).rows.tolist() == rows.tolist()
    with pytest.raises(ValueError, match="read-only"):
        rows[0] = 1


@pytest.mark.parametrize(
    "of",
    [
        lambda rows: rows[3:],
        lambda rows: rows[rows > 5],
        lambda rows: rows + 1,
        lambda rows: rows == rows,
        lambda rows: np.add(rows, 1, out=np.zeros(100, np.int64)),
        lambda rows: np.concatenate([rows, rows]),
        lambda rows: np.sort(rows),
        lambda rows: np.where(rows > 3, rows, 0),
        lambda rows: rows.copy(),
        lambda rows: rows.astype(float),
        lambda rows: np.asarray(rows),
        lambda rows: np.array(rows),
        lambda rows: rows @ np.eye(100, dtype=int),
    ],
)
def test_what_is_computed_from_rows_is_a_plain_array(of: Any) -> None:
    assert type(of(dataset().rows)) is np.ndarray


@pytest.mark.parametrize("again", [lambda one: pickle.loads(pickle.dumps(one)), copy.copy])
def test_rows_survive_pickling_with_their_laws(again: Any) -> None:
    train = dataset().take([5, 3, 60])
    rows = again(train.rows)
    assert rows.tolist() == [5, 3, 60]
    assert sorted(again(train).rows.weighted("w").plan(2)[:].tolist()) == [60, 60]
    if isinstance(rows, DatasetRows) and rows._dataset is not None:
        assert rows.uniform() == train.rows.uniform()


def test_an_array_that_lost_its_dataset_says_so() -> None:
    with pytest.raises(PlanError, match="computed from a dataset's rows and is not its list of rows any more"):
        dataset().rows.reshape(-1).uniform()  # type: ignore[attr-defined]


# --- laws -------------------------------------------------------------------------------------------------------------


def test_laws_give_rows_of_the_root_table() -> None:
    train = dataset().take([70, 3, 60, 5])
    assert sorted(train.rows.uniform().plan()[:].tolist()) == [3, 5, 60, 70]
    assert sorted(train.rows.weighted("w").plan()[:].tolist()) == [60, 60, 70, 70]
    assert set(train.rows.weighted("w").sample(50)[:, 0].tolist()) == {60, 70}
    assert train.rows.weighted("w").probability([60, 3, 99]).tolist() == [0.5, 0, 0]
    assert train.rows.where(TABLE["a"] > 60).plan()[:].tolist() == [70]
    assert train.rows.uniform().truncate(high=5).plan()[:].tolist().count(5) == 1


def test_weights_per_row_of_the_table_or_of_the_dataset() -> None:
    train = dataset().take([70, 3, 60, 5])
    table_weights = np.zeros(100)
    table_weights[[60, 5]] = [1, 3]
    for weights in (
        table_weights,
        table_weights.tolist(),
        pd.Series(table_weights),
        [0, 0, 1, 3],
        np.array([0, 0, 1, 3]),
    ):
        law = train.rows.weighted(weights)
        assert law.probability([60, 5, 70]).tolist() == [0.25, 0.75, 0]
    with pytest.raises(
        PlanError, match=r"weights must have one entry for each of 4 rows \(or of the table's 100\), rece"
    ):
        train.rows.weighted([1, 2])
    with pytest.raises(PlanError, match="the index labels of weights are not the table's"):
        train.rows.weighted(pd.Series(table_weights, index=np.arange(100)[::-1]))
    with pytest.raises(PlanError, match="weights must be a Series over the whole table, 100 rows, received 4"):
        train.rows.weighted(pd.Series([1, 2, 3, 4]))


def test_limits_and_shares_of_rows() -> None:
    rows = dataset().rows
    assert len(rows.weighted("w", limit=190).plan()) == 190
    assert len(rows.weighted("w", percent=10).plan()) == 10
    assert len(rows.weighted("w", replace=False).plan()) == 50
    assert len(rows.weighted("w", replace=False, limit=7).plan()) == 7
    with pytest.warns(UserWarning, match="50 of 100 positions hold rows of weight 0"):
        assert sorted(rows.weighted("w", replace=False, fill=True).plan()[:].tolist()) == list(range(100))
    # 0.1 percent of 1,281,166 is 1,281.
    many = mtgen.Dataset(pd.DataFrame({"a": np.zeros(1_281_166)}), inputs={"a": mtgen.Columns("a")})
    assert len(many.rows.weighted(np.ones(1_281_166), percent=0.1).plan()) == 1281


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda rows: rows.weighted("w", limit=1, percent=1), PlanError, "both say the size"),
        (lambda rows: rows.weighted("w", limit=0), PlanError, "limit must be an integer >= 1, received 0"),
        (lambda rows: rows.weighted("w", percent=-1), PlanError, "percent must be a number > 0, received -1"),
        (lambda rows: rows.weighted("w", percent=0.1), PlanError, "percent=0.1 of 100 rows is less than a row"),
        (lambda rows: rows.weighted("label"), PlanError, "weights must be real numbers >= 0, received"),
        (lambda rows: rows.weighted("flag"), PlanError, "weights must be real numbers >= 0, received bool True"),
        (lambda rows: rows.weighted("gap"), TableError, "weights: column 'gap' has no value in"),
        (lambda rows: rows.weighted([1.0] * 100, weight_choice="max"), PlanError, "weight_choice is for an expression"),
        (lambda rows: rows.weighted("w", replace=1), PlanError, "replace must be True or False"),
        (lambda rows: rows.weighted("w", fill="no"), PlanError, "fill must be True or False"),
        (lambda rows: rows.balanced([]), PlanError, "balanced needs a label column"),
        (lambda rows: rows.balanced("lable"), TableError, "lable"),
        (lambda rows: rows.where(TABLE["flag"].where(TABLE["a"] > 3)), PlanError, "the condition has missing values"),
        (lambda rows: rows.where(TABLE["flag"].iloc[::-1]), PlanError, "the index labels of a condition are not"),
    ],
)
def test_what_cannot_be_followed_is_refused(build: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(dataset().rows)


def test_balanced_by_columns_and_by_labels() -> None:
    rows = dataset().rows
    plan = rows.balanced("label", over=1, under=1).plan()
    assert TABLE["label"].iloc[plan[:]].value_counts().to_dict() == {"x": 50, "y": 50}
    joint = rows.balanced(["label", "sex"], counts={("x", "f"): 1, ("x", "m"): 2, ("y", "f"): 3, ("y", "m"): 4}).plan()
    assert TABLE.iloc[joint[:]].value_counts(["label", "sex"]).to_dict() == {
        ("y", "m"): 4, ("y", "f"): 3, ("x", "m"): 2, ("x", "f"): 1
    }  # fmt: skip
    labels = np.arange(100) % 3
    assert np.bincount(labels[rows.balanced(labels, exact=True).plan()[:]]).tolist() == [33, 33, 33]
    train = dataset().take(np.arange(100)[::-1][:30])
    assert TABLE["label"].iloc[train.rows.balanced("label", exact=True).plan()[:]].value_counts().tolist() == [10, 10]
    assert rows.balanced("label", target={"x": 0, "y": 1}).multiplicities["x"] == 0


def test_mixtures_and_products_of_a_dataset() -> None:
    rows = dataset().rows
    law: Any = 0.25 & rows.where(TABLE["label"] == "y") | 0.75 & rows.where(TABLE["label"] == "x")
    batches = law.plan(96, batch_size=16)[:].reshape(-1, 16)
    assert ((batches >= 80).sum(1) == 4).all()
    mixed: Any = S.mix(rows, 0 & rows.uniform())
    assert mixed.plan(3)[:].dtype == np.int64
    product = rows @ S.constant(7)
    points = product.sample(5)
    assert points.shape == (5, 2)
    assert (points[:, 1] == 7).all()
    assert (rows.weighted("w") @ S.constant(7)).sample(9)[:, 0].min() >= 50


def test_equal_laws_are_equal_and_others_not() -> None:
    rows = dataset().rows
    assert rows.weighted("w") == dataset().rows.weighted("w") != rows.uniform()
    assert rows.weighted("w") != rows.weighted("w", replace=False) != rows.weighted("w", limit=3)
    assert rows.balanced("label") == rows.balanced("label") != rows.balanced("label", over=0.8)
    assert rows.uniform() != dataset().take(np.arange(99)).rows.uniform()
    made: list[Any] = [rows.weighted("w"), rows.balanced("label"), rows.where(TABLE["flag"]) | rows.weighted("w")]
    for law in made:
        again = pickle.loads(pickle.dumps(law))
        assert again == law
        assert np.array_equal(again.plan(seed=1)[:], law.plan(seed=1)[:])


# --- in words ---------------------------------------------------------------------------------------------------------


def test_conditions_weights_and_clauses_in_words() -> None:
    pytest.importorskip("mtgen.sampling.query")
    rows = dataset().rows
    assert sorted(rows.where("label == 'y' AND a < 83").plan()[:].tolist()) == [80, 81, 82]
    law = rows.weighted("max_weight(label == 'y': 20, True: 1)")
    assert law.probability([0, 99]).tolist() == [1 / 480, 20 / 480]
    assert len(rows.sampled("WHERE a >= 40 SAMPLE BY w REPLACE FALSE LIMIT 10 PERCENT").plan()) == 6
    with pytest.warns(UserWarning, match="10 of 60 positions hold rows of weight 0"):
        plan = rows.sampled("WHERE a >= 40 SAMPLE BY w REPLACE FALSE LIMIT 1000").plan()
    assert sorted(plan[:].tolist()) == list(range(40, 100))
    assert plan[:50].min() == 50
    assert len(rows.sampled("SAMPLE BY w LIMIT 1000").plan()) == 1000
    with pytest.raises(mtgen.errors.EmptySupportError, match="no row reaches the sampler of 'WHERE a > 100"):
        rows.sampled("WHERE a > 100 SAMPLE BY w")


# --- plans ------------------------------------------------------------------------------------------------------------


def test_a_plan_is_a_sequence() -> None:
    plan = dataset().rows.weighted("w").plan(40, seed=1)
    whole = plan[:]
    assert len(plan) == 40
    assert whole.dtype == np.int64
    assert list(plan) == whole.tolist()
    assert plan[5] == whole[5]
    assert plan[-1] == whole[-1]
    assert isinstance(plan[5], np.int64)
    assert plan[5:9].tolist() == whole[5:9].tolist()
    assert plan[::-3].tolist() == whole[::-3].tolist()
    assert plan[[1, -1]].tolist() == whole[[1, -1]].tolist()
    assert plan[np.array([], np.int64)].tolist() == [] == plan[40:].tolist()
    assert np.array_equal(pickle.loads(pickle.dumps(plan))[:], whole)
    assert repr(plan) == "RowPlan(40 positions)"
    for wrong in (40, -41, [0, 40]):
        with pytest.raises(IndexError, match="the plan has places 0 to 39, asked for"):
            plan[wrong]
    with pytest.raises(PlanError, match="a plan is asked with a place"):
        plan[0.5]  # type: ignore[call-overload]


@pytest.mark.parametrize("block", [None, 1, 7, 16, 200])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [1, 3, 96, 101])
def test_shards_are_disjoint_and_together_the_plan(block: int | None, count: int, size: int) -> None:
    law = dataset().rows.weighted("w")
    whole = law.plan(size, block=block, seed=2)
    positions = []
    for index in range(count):
        part = law.plan(size, block=block, seed=2, shard=(index, count) if index else Shard(index, count))
        own = part.positions(np.arange(len(part)))
        assert np.array_equal(part[:], whole[own])
        if block is not None:  # whole blocks: so that each has its shares
            assert set((own // block % count).tolist()) <= {index}
        positions += own.tolist()
    assert sorted(positions) == list(range(size))


def test_seeds_and_epochs_give_different_plans() -> None:
    law = dataset().rows.weighted("w")
    plans = {law.plan(seed=seed, epoch=epoch)[:].tobytes() for seed in range(4) for epoch in range(4)}
    assert len(plans) == 16


@pytest.mark.parametrize("shard", [3, "ab", (1, 1), (0, 0), (0.0, 1), (True, 2), [0], None])
def test_what_is_no_shard_is_refused(shard: Any) -> None:
    with pytest.raises(PlanError, match="shard"):
        S.rows(3).plan(shard=shard)
