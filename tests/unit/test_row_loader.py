"""Laws over rows in a loader: what torch's users ask for, weighted and distributed and resumable, in one."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import mtgen
from mtgen import sampling as S
from mtgen.audit import audit
from mtgen.errors import PlanError, StateError
from mtgen.order_check import audit_run
from mtgen.plan import Shard
from mtgen.sampling.dependent import Dependent
from mtgen.sampling.order import OrderLaw
from mtgen.sampling.permutation import order_bytes
from mtgen.sampling.row_plans.order_law import PlacedOrder, RowOrderLaw

NUM = 60
TABLE = pd.DataFrame({"a": np.arange(NUM), "label": np.repeat(["x", "y"], [50, 10]), "w": np.arange(NUM) % 4})


@lru_cache
def dataset() -> mtgen.Dataset:
    return mtgen.Dataset(TABLE, {"a": mtgen.Columns("a")}).take(np.random.default_rng(0).permutation(NUM)[:40])


@lru_cache
def cut() -> mtgen.Dataset:
    """The same rows, and patches that take the points that come with them."""
    patches = mtgen.Patches(np.arange(9.0), None, (3,))
    whole = mtgen.Dataset(TABLE, {"a": mtgen.Columns("a"), "patch": patches})
    return whole.take(dataset().rows)


@lru_cache
def laws() -> dict[str, Any]:
    rows = dataset().rows
    mixture = 0.25 & rows.where(TABLE["label"] == "y") | 0.75 & rows.where(TABLE["label"] == "x")
    return {
        "uniform": rows.uniform(),
        "weighted": rows.weighted("w", limit=70),
        "balanced": rows.balanced("label"),
        "race": rows.weighted("w", replace=False),
        "mixture": mixture.sized(48),
        "product": Dependent(rows.weighted("w"), S.constant(0.5)).times(2),
        "independent": S.RowOrderLaw(rows.weighted("w"), spread="iid"),
        "by chance": S.RowOrderLaw(mixture, share="iid"),
    }


def loader(name: str, **options: Any) -> mtgen.Loader:
    data = cut() if name == "product" else dataset()
    return mtgen.Loader(
        data, **{"batch_size": 8, "sampler": laws()[name], "num_workers": 0, "pad_last": True} | options
    )


NAMES = sorted(laws())


@pytest.mark.parametrize("name", NAMES)
def test_a_loader_follows_the_law(name: str) -> None:
    one = loader(name, pad_last=False)
    law = one.sampler
    assert isinstance(law, RowOrderLaw)
    assert isinstance(law, OrderLaw)
    assert one.steps_per_epoch == -(-law.size(40) // 8)
    due = law.law.plan(
        law.law.epoch_size, None, law.spread, law.share, block=law.block, seed=one.seed, epoch=1
    )[:].repeat(law.repeats)  # fmt: skip
    steps = range(one.steps_per_epoch, 2 * one.steps_per_epoch)
    rows = np.concatenate([one.rows(step) for step in steps])
    assert np.array_equal(rows, due)
    batches = list(one.epoch(1))
    assert np.array_equal(np.concatenate([batch.rows for batch in batches]), rows)
    assert all(np.array_equal(batch.inputs["a"][:, 0], batch.rows) for batch in batches)
    assert not np.array_equal(rows, np.concatenate([one.rows(step) for step in range(one.steps_per_epoch)]))
    assert np.isin(rows, dataset().rows).all()


@pytest.mark.parametrize("name", NAMES)
def test_state_resumes_and_other_laws_are_refused(name: str) -> None:
    one = loader(name)
    state = json.loads(json.dumps(one.state(11)))
    again = pickle.loads(pickle.dumps(loader(name)))
    again.restore(state)
    rest = [batch.rows.tolist() for batch in again.steps(None, 14)]
    assert rest == [batch.rows.tolist() for batch in one.steps(11, 14)]
    for other in NAMES:
        if other != name:
            with pytest.raises(StateError, match=r"the state belongs to another run.*setting 'sampler' was"):
                loader(other).restore(state)


def test_other_weights_of_the_same_law_are_refused() -> None:
    data = dataset()
    one, other = (mtgen.Loader(data, 8, sampler=data.rows.weighted(w)) for w in (TABLE["w"], TABLE["w"] + 1.0))
    with pytest.raises(StateError, match=r"setting 'sampler' was \{'law': 'rows', 'digest'"):
        other.restore(one.state(3))
    # The weight of a whole sampler is for mixtures and changes no order.
    mtgen.Loader(data, 8, sampler=0.3 & data.rows.weighted(TABLE["w"])).restore(one.state(3))


@settings(max_examples=50)
@given(st.sampled_from(NAMES), st.sampled_from([1, 2, 3, 4, 6]), st.sampled_from([1, 2, 3, 4, 6]), st.integers(0, 40))
def test_weighted_and_distributed_and_resumable(name: str, before: int, after: int, taken: int) -> None:
    # pytorch #23430, #77154: WeightedRandomSampler cannot be sharded; here any number of processes goes on from any.
    whole = loader(name, batch_size=4)
    size = whole.batching.size
    old = [loader(name, batch_size=4, shard=Shard(index, before)) for index in range(before)]
    new = [loader(name, batch_size=4, shard=Shard(index, after)) for index in range(after)]
    step = min(taken, old[0].steps_per_epoch) // after * after  # where the new ones can begin
    if step * before % after and step != old[0].steps_per_epoch:
        return
    rows = [one.rows(number) for one in old for number in range(step)]
    for one in new:
        one.restore(old[0].state(step))
    if step < old[0].steps_per_epoch:
        rows += [one.rows(number) for one in new for number in range(one.step, one.steps_per_epoch)]
    due = np.concatenate([whole.rows(number) for number in range(whole.steps_per_epoch)])
    assert sorted(np.concatenate(rows).tolist()) == sorted(due.tolist())
    assert len(due) == size


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_batch_of_every_shard_has_its_share_of_positives(count: int) -> None:
    data = dataset()
    rows = data.rows
    law = (0.25 & rows.where(TABLE["label"] == "y") | 0.75 & rows.where(TABLE["label"] == "x")).sized(8 * 6)
    for index in range(count):
        one = mtgen.Loader(data, 8, sampler=law, shard=Shard(index, count), num_workers=0)
        for step in range(3 * one.steps_per_epoch):
            assert (TABLE["label"].iloc[one.rows(step)] == "y").sum() == 2


def test_a_block_of_ones_own_is_kept_whatever_the_batch_size() -> None:
    data = dataset()
    rows = data.rows
    law = S.RowOrderLaw(0.25 & rows.where(TABLE["label"] == "y") | 0.75 & rows.where(TABLE["label"] == "x"), block=8)
    small, large = (mtgen.Loader(data, size, sampler=law, num_workers=0) for size in (4, 8))
    both = [np.concatenate([one.rows(step) for step in range(one.steps_per_epoch)]) for one in (small, large)]
    assert np.array_equal(both[0], both[1])


# --- audits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("options", [{}, {"pad_last": False, "drop_last": True}, {"shard": Shard(1, 3)}])
def test_an_audit_checks_what_the_law_promises(name: str, options: dict[str, Any]) -> None:
    found = loader(name, **options).audit(2)
    assert found.ok, str(found)
    promises = name not in ("independent",)
    assert all((epoch.num_outside == 0) == promises for epoch in found.epochs)
    assert str(found).count("each as often as the law promises") == 2 * promises


@dataclass(frozen=True)
class _Liar:
    """A law whose orders give one row more often than they say."""

    law: RowOrderLaw

    def size(self, num_rows: int) -> int:
        return self.law.size(num_rows)

    def order(self, num_rows: int, *, seed: int, epoch: int) -> Any:
        order = self.law.order(num_rows, seed=seed, epoch=epoch)

        class _Order:
            bounds = order.bounds

            def at(self, positions: np.ndarray) -> np.ndarray:
                return np.where(positions == 7, order.at(np.array([8])), order.at(positions))

        return _Order()

    def settings(self) -> dict[str, Any]:
        return {"law": "liar"}


def test_an_audit_finds_an_order_that_breaks_its_promise(tmp_path: Path) -> None:
    data = dataset()
    honest = mtgen.Loader(data, 8, sampler=data.rows.uniform()).sampler
    assert isinstance(honest, RowOrderLaw)
    one = mtgen.Loader(data, 8, sampler=_Liar(honest), num_workers=0)
    found = audit(one.plan())
    assert not found.ok
    assert found.epochs[0].num_outside == 2
    assert "WRONG, 2 rows come less or more often than the law promises (" in str(found)
    with mtgen.OrderLog(tmp_path, one) as log:
        for batch in one.epoch(0):
            log.add(batch)
    checked = audit_run(tmp_path, sampler=one.sampler)
    assert not checked.ok
    assert "2 rows come less or more often than the law promises" in str(checked)


@pytest.mark.parametrize("name", NAMES)
def test_an_order_log_is_checked_with_the_loaders_law(name: str, tmp_path: Path) -> None:
    one = loader(name)
    with mtgen.OrderLog(tmp_path, one) as log:
        for batch in one.steps(0, 2 * one.steps_per_epoch):
            log.add(batch)
    for found in (audit_run(tmp_path), audit_run(tmp_path, sampler=one.sampler)):
        assert found.ok, str(found)
    assert found.rebuilt
    assert [epoch.digest for epoch in found.epochs] == [e.digest for e in one.audit(2).epochs]


def test_bounds_are_those_of_the_datasets_own_places() -> None:
    data = dataset()
    parent = mtgen.Dataset(TABLE, {"a": mtgen.Columns("a")})
    mask = np.zeros(NUM, bool)
    mask[data.rows[:10]] = True
    one = mtgen.Loader(data, 8, sampler=parent.rows.where(mask).sized(25), num_workers=0)
    order = one.plan().order(0)
    assert isinstance(order, PlacedOrder)
    low, high = order.bounds() or (np.empty(0), np.empty(0))
    assert low.tolist() == [2] * 10 + [0] * 30
    assert high.tolist() == [3] * 10 + [0] * 30
    assert one.audit(3).ok


# --- refills and refusals ---------------------------------------------------------------------------------------------


def test_a_refill_is_of_the_same_law(tmp_path: Path) -> None:
    for number in range(20):
        if number % 5:
            Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    table = pd.DataFrame({"file": [f"{number}.png" for number in range(20)], "w": np.arange(20) % 2})
    data = mtgen.Dataset(table, {"image": mtgen.Images("file", root=str(tmp_path), size=(4, 4))})
    bad = mtgen.OnError(policy="refill", max_errors=5)
    one = mtgen.Loader(data, 5, sampler=data.rows.weighted("w"), on_error=bad, num_workers=0)
    rows = np.concatenate([batch.rows for batch in one.epoch(0)])
    assert len(rows) == 20
    assert (rows % 2 == 1).all()
    assert (rows % 5 > 0).all()
    assert set(one.quarantine()["row"]) == {5, 15}


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (lambda data: S.constant(1), r"sampler must be over rows, and constant\(\[1\]\) is over points of 1 columns"),
        (
            lambda data: S.constant(1) & S.constant(2),
            "over points of 2 columns. Say which rows with data.rows @ points",
        ),
        (lambda data: S.rows(7), r"rows\(uniform, 7 rows\) is over 7 places, the dataset has 40 rows"),
        (lambda data: data.rows + 1, "sampler must be a sampler over rows, such as data.rows.weighted"),
        (lambda data: "weighted", "sampler must be a sampler over rows"),
        (
            lambda data: mtgen.Dataset(TABLE, {"a": mtgen.Columns("a")}).rows.uniform(),
            "the sampler can give row .*, which this dataset does not have .20 such rows",
        ),
        (
            lambda data: data.rows.weighted("w", replace=False, limit=39),
            "without replacement there are 28 rows to draw, 39 positions were",
        ),
    ],
)
def test_what_is_no_law_over_these_rows_is_refused(sampler: Any, message: str) -> None:
    data = dataset()
    with pytest.raises(PlanError, match=message):
        mtgen.Loader(data, 8, sampler=sampler(data))
    with pytest.raises(PlanError, match="sampler and shuffle=False both say the order"):
        mtgen.Loader(data, 8, sampler=data.rows.uniform(), shuffle=False)


def test_places_without_a_table_are_those_of_the_dataset() -> None:
    data = dataset()
    one = mtgen.Loader(data, 8, sampler=S.rows(weights=[1] + [0] * 39), num_workers=0)
    assert set(one.rows(0).tolist()) == {int(data.rows[0])}


def test_data_rows_itself_is_a_law() -> None:
    data = dataset()
    one = mtgen.Loader(data, 8, sampler=data.rows, num_workers=0)
    assert one.audit().epochs[0].counts == {1: 40}


def test_the_forecast_counts_what_orders_hold() -> None:
    race = loader("race")
    assert race.forecast.order_bytes == order_bytes(28) + 2 * 8 * 28
