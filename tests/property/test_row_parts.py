"""Laws over rows of several splits, or of joined datasets, mixed by share."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError

TABLE = pd.DataFrame({"a": np.arange(40), "label": np.arange(40) % 3})


def dataset(table: pd.DataFrame = TABLE) -> mtgen.Dataset:
    return mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="label")


@given(st.data())
def test_a_mixture_of_splits_is_that_of_their_laws(draw: Any) -> None:
    data = dataset()
    chosen = [draw.draw(st.sets(st.integers(0, 39), min_size=1)) for _ in range(draw.draw(st.integers(1, 3)))]
    shares = [draw.draw(st.sampled_from([0.25, 0.5, 1.0, 2.0])) for _ in chosen]
    laws = [data.take(sorted(rows)).rows.weighted([1.0 + row for row in range(len(rows))]) for rows in chosen]
    law = S.mix(*(share & one for share, one in zip(shares, laws, strict=True)))
    due = sum(share / sum(shares) * one.probability(np.arange(40)) for share, one in zip(shares, laws, strict=True))
    assert np.allclose(law.probability(np.arange(40)), due)
    size = draw.draw(st.integers(1, 90))
    plan = law.plan(size, seed=draw.draw(st.integers(0, 9)))[:]
    # Each part is within one of its share of the epoch, where no row says which part it came from but its own rows.
    for rows, share in zip(chosen, shares, strict=True):
        others = set().union(*(other for other in chosen if other is not rows))
        if not rows & others:
            assert abs(np.isin(plan, sorted(rows)).sum() - size * share / sum(shares)) < 1
    assert set(plan.tolist()) <= set().union(*chosen)
    again = pickle.loads(pickle.dumps(law))
    assert np.array_equal(again.plan(size)[:], law.plan(size)[:])


def test_a_loader_over_the_whole_takes_a_mixture_of_its_splits() -> None:
    data = dataset()
    train, valid = data.split({"train": 0.75, "valid": 0.25}, seed=0)
    law = 0.5 & train.rows.uniform() | 0.5 & valid.rows.balanced("label")
    loader = mtgen.Loader(data, 8, sampler=law.sized(64), seed=3)
    for step in range(8):
        assert np.isin(loader.rows(step), valid.rows).sum() == 4
    assert loader.audit().ok
    state = loader.state(11)
    other = mtgen.Loader(data, 8, sampler=law.sized(64), seed=3)
    other.restore(state)
    assert np.array_equal(next(iter(other.steps())).rows, loader.rows(11))
    where = law.where(data.table["a"] < 20)
    assert where.plan(100)[:].max() < 20


def test_laws_of_two_tables_are_to_be_joined_first() -> None:
    with pytest.raises(PlanError, match=r"over rows of one table; received 40 and 40 rows: .*mtgen\.join\("):
        dataset().rows.uniform() | dataset(TABLE.copy()).rows.uniform()
    with pytest.raises(PlanError, match="over rows of one table; received 3 and 4 rows"):
        S.rows(3) | S.rows(4)


def test_parts_by_share() -> None:
    real, drawn = dataset(), dataset(pd.DataFrame({"a": [7, 8], "label": [0, 1]}))
    data = mtgen.join({"real": real, "drawn": drawn})
    law = data.mix({"real": 3, "drawn": 1})
    batches = law.plan(400, block=8)[:].reshape(-1, 8)
    assert ((batches >= 40).sum(axis=1) == 2).all()
    assert data.mix({"drawn": 1}).plan(6)[:].min() >= 40
    assert (data.mix({"real": 0.3, "drawn": 0}).plan(90)[:] < 40).all()
    for shares, text in (
        ({"rael": 1}, r"shares must name parts, \['real', 'drawn'\]; received \['rael'\]"),
        ({}, "received none"),
        ({"real": -1}, "a weight must be finite and >= 0, received -1"),
        (["real"], "shares must be a dict of part -> share"),
    ):
        with pytest.raises(PlanError, match=text):
            data.mix(shares)  # type: ignore[arg-type]
    with pytest.raises(EmptySupportError, match="all weights of the mixture are 0"):
        data.mix({"real": 0, "drawn": 0})
    only = data.take(data.parts["real"])
    with pytest.raises(PlanError, match="part 'drawn' has no rows here"):
        only.mix({"real": 1, "drawn": 1})  # type: ignore[attr-defined]
