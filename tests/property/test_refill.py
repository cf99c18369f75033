"""What stands in for bad rows, against a plain oracle: same law, same choice for ever, every other slot untouched."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.config import OnError, Prefetch
from mtgen.errors import StoreError
from mtgen.sampling.order import Blocks, Exact, OrderLaw, Sequential
from mtgen.sampling.refill import ATTEMPTS, replacements
from tests.support.stores import MemoryStore

SAMPLERS: list[OrderLaw] = [Exact(), Sequential(), Blocks(3, 2)]


@given(st.sampled_from(SAMPLERS), st.integers(1, 300), st.integers(0, 5), st.integers(0, 3), st.data())
def test_replacements_are_distinct_other_places_and_always_the_same(
    sampler: OrderLaw, size: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, size - 1))
    order = sampler.order(size, seed=seed, epoch=epoch)
    places = list(replacements(order, size, position, seed=seed, epoch=epoch))
    again = list(replacements(sampler.order(size, seed=seed, epoch=epoch), size, position, seed=seed, epoch=epoch))
    assert places == again
    own = int(order.at(np.array([position]))[0])
    assert own not in places
    assert len(set(places)) == len(places) <= ATTEMPTS
    assert all(0 <= place < size for place in places)
    assert places or size == 1


def test_replacements_are_drawn_evenly_over_the_epoch() -> None:
    """Chi-square over 20 places and 4,000 positions; the bound is the 99.99 % quantile for 19 degrees of freedom."""
    size, counts = 4_000, np.zeros(20)
    order = Sequential().order(size, seed=0, epoch=0)
    for position in range(size):
        counts[next(replacements(order, size, position, seed=0, epoch=0)) * 20 // size] += 1
    assert ((counts - size / 20) ** 2 / (size / 20)).sum() < 49.6


def make(num_rows: int, bad: set[int], **options: object) -> tuple[mtgen.Loader, MemoryStore]:
    store = MemoryStore(np.arange(1.0, num_rows + 1, dtype=np.float32)[:, None], 1)
    table = pd.DataFrame({"y": np.arange(num_rows), "w": np.ones(num_rows)})
    data = mtgen.Dataset(table, {"f": mtgen.Rows(store), "y": mtgen.Columns("y")}, "y")
    loader = mtgen.Loader(data, 4, **options)  # type: ignore[arg-type]
    store.bad_chunks = bad
    return loader, store


rows_and_bad = st.integers(1, 30).flatmap(
    lambda num_rows: st.tuples(st.just(num_rows), st.sets(st.integers(0, num_rows - 1), max_size=num_rows // 2))
)


@given(rows_and_bad, st.integers(0, 3), st.booleans(), st.sampled_from([0, 2]))
def test_refill_changes_bad_slots_only_and_follows_the_law(
    sizes: tuple[int, set[int]], seed: int, pad_last: bool, num_workers: int
) -> None:
    num_rows, bad = sizes
    on_error = OnError(policy="refill", max_errors=num_rows)
    loader, _ = make(num_rows, bad, seed=seed, pad_last=pad_last, num_workers=num_workers, on_error=on_error)
    clean, _ = make(num_rows, set(), seed=seed, pad_last=pad_last, num_workers=0)
    order = Exact()
    with loader:
        for step in range(2 * loader.steps_per_epoch):
            batch, whole = loader.batch(step), clean.batch(step)
            epoch, step_in_epoch = divmod(step, loader.steps_per_epoch)
            positions = loader.batching.positions(step_in_epoch)
            found = order.order(num_rows, seed=seed, epoch=epoch)
            expected = whole.rows.copy()
            for slot, row in enumerate(whole.rows.tolist()):
                if row in bad:
                    drawn = replacements(found, num_rows, int(positions[slot]), seed=seed, epoch=epoch)
                    expected[slot] = next(place for place in drawn if place not in bad)
            assert batch.rows.tolist() == expected.tolist()
            filled = batch.rows >= 0
            assert batch.inputs["f"][filled, 0].tolist() == (batch.rows[filled] + 1).tolist()
            assert batch.inputs["y"][filled, 0].tolist() == batch.targets["y"][filled].tolist()
            assert batch.targets["y"][filled].tolist() == batch.rows[filled].tolist()
            assert [one.row for one in batch.bad if whole.rows[one.slot] == one.row] == [
                row for row in whole.rows.tolist() if row in bad
            ]
            assert {one.row for one in batch.bad} <= bad
        # An epoch passes over every row, so every bad one is listed, once.
        assert set(loader.quarantine()["row"]) == bad
        assert len(loader.quarantine()) == len(bad)


@given(rows_and_bad, st.booleans(), st.sampled_from([0, 2]))
def test_mask_empties_bad_slots_only(sizes: tuple[int, set[int]], pad_last: bool, num_workers: int) -> None:
    num_rows, bad = sizes
    on_error = OnError(policy="mask", max_errors=num_rows)
    loader, _ = make(num_rows, bad, pad_last=pad_last, num_workers=num_workers, on_error=on_error)
    clean, _ = make(num_rows, set(), pad_last=pad_last, num_workers=0)
    with loader:
        for step in range(loader.steps_per_epoch):
            batch, whole = loader.batch(step), clean.batch(step)
            masked = np.isin(whole.rows, list(bad))
            assert batch.rows.tolist() == np.where(masked, -1, whole.rows).tolist()
            assert isinstance(batch.weight, np.ndarray)
            assert batch.weight.tolist() == (batch.rows >= 0).astype(float).tolist()
            for name in ("f", "y"):
                np.testing.assert_array_equal(batch.inputs[name], np.where(masked[:, None], 0, whole.inputs[name]))
            np.testing.assert_array_equal(batch.targets["y"], np.where(masked, 0, whole.targets["y"]))
    assert loader.stats().num_bad_rows == len(bad)


@given(rows_and_bad, st.sampled_from(["refill", "mask"]), st.integers(1, 3), st.integers(0, 3))
def test_workers_windows_and_depth_change_nothing_about_repaired_batches(
    sizes: tuple[int, set[int]], policy: str, window: int, depth: int
) -> None:
    num_rows, bad = sizes
    on_error = OnError(policy=policy, max_errors=num_rows)  # type: ignore[arg-type]
    one, _ = make(num_rows, bad, num_workers=0, on_error=on_error)
    other, _ = make(num_rows, bad, num_workers=2, on_error=on_error, prefetch=Prefetch(window=window, depth=depth))
    with one, other:
        for left, right in zip(one.steps(0, 4), other.steps(0, 4), strict=True):
            assert left.rows.tolist() == right.rows.tolist()
            assert left.inputs["f"].tobytes() == right.inputs["f"].tobytes()
            assert left.bad == right.bad
        assert one.quarantine().equals(other.quarantine())


def test_where_nothing_can_be_read_the_slot_raises() -> None:
    loader, _ = make(6, set(range(6)), num_workers=0, on_error=OnError(policy="refill", max_errors=6))
    try:
        loader.batch(0)
    except StoreError as error:
        text = str(error)
    assert "none of 5 rows drawn in place of a bad one could be read either" in text
    assert text.endswith(f"Is the disk there? [step 0, row {loader.rows(0)[0]}]")
