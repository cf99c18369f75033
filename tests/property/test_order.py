"""Orders: exact permutations with an inverse, for every size; blocks that stay in their group; fixed-key statistics."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import mtgen
from mtgen import seeds
from mtgen.sampling.order import BlockOrder, Blocks, Exact, Order, OrderLaw, Sequential
from mtgen.sampling.permutation import SMALL, Permutation


def whole(order: Order, num_rows: int) -> np.ndarray:
    return order.at(np.arange(num_rows))


def assert_permutation(values: np.ndarray, num_rows: int) -> None:
    assert values.dtype == np.int64
    np.testing.assert_array_equal(np.bincount(values, minlength=num_rows), np.ones(num_rows, int))


def test_every_size_up_to_300_is_exact_and_has_an_inverse() -> None:
    for num_rows in range(301):
        for key in (0, 2**64 - 1, seeds.key(0, "order", num_rows)):
            permutation = Permutation(num_rows, key)
            values = whole(permutation, num_rows)
            assert_permutation(values, num_rows)
            np.testing.assert_array_equal(permutation.position_of(values), np.arange(num_rows))


@pytest.mark.parametrize("num_rows", [SMALL - 1, SMALL, SMALL + 1, SMALL + 2, 131_071, 131_072, 131_073, 262_145])
def test_sizes_around_powers_of_two_are_exact(num_rows: int) -> None:
    permutation = Permutation(num_rows, seeds.key(3, "order", 1))
    values = whole(permutation, num_rows)
    assert_permutation(values, num_rows)
    np.testing.assert_array_equal(permutation.position_of(values), np.arange(num_rows))


@pytest.mark.parametrize("num_rows", [2**20, 2**20 + 1, 2**31 - 1, 2**31 + 1, 2**40 + 1, 10**9 + 7])
def test_huge_sizes_have_an_inverse(num_rows: int) -> None:
    permutation = Permutation(num_rows, seeds.key(0, "order"))
    words = seeds.words(11, np.arange(2_000))
    positions = np.unique((words % np.uint64(num_rows)).astype(np.int64))
    positions = np.unique(np.concatenate([positions, [0, 1, num_rows - 2, num_rows - 1]]))
    values = permutation.at(positions)
    assert values.min() >= 0
    assert values.max() < num_rows
    assert len(np.unique(values)) == len(values)
    np.testing.assert_array_equal(permutation.position_of(values), positions)
    np.testing.assert_array_equal(permutation.at(permutation.position_of(positions)), positions)


@given(st.integers(1, 200_000), st.integers(0, 2**64 - 1), st.data())
def test_any_position_alone_is_the_same_as_in_the_whole(num_rows: int, key: int, data: st.DataObject) -> None:
    positions = np.array(data.draw(st.lists(st.integers(0, num_rows - 1), min_size=1, max_size=20)))
    permutation = Permutation(num_rows, key)
    alone = [int(permutation.at(positions[place : place + 1])[0]) for place in range(len(positions))]
    assert permutation.at(positions).tolist() == alone
    assert permutation.position_of(np.array(alone)).tolist() == positions.tolist()


@given(st.integers(0, 600), st.integers(1, 70), st.integers(1, 9), st.integers(0, 3), st.integers(0, 3))
@example(num_rows=1, block_rows=70, open_blocks=1, seed=0, epoch=0)
@example(num_rows=600, block_rows=1, open_blocks=1, seed=0, epoch=0)
@example(num_rows=64, block_rows=8, open_blocks=8, seed=0, epoch=0)
def test_blocks_are_exact_and_stay_in_their_group(
    num_rows: int, block_rows: int, open_blocks: int, seed: int, epoch: int
) -> None:
    order = BlockOrder(num_rows, block_rows, open_blocks, seed=seed, epoch=epoch)
    values = whole(order, num_rows)
    assert_permutation(values, num_rows)
    # Plain oracle: cut the sequence where `open_blocks` whole blocks are complete; each cut holds whole blocks only.
    blocks = values // block_rows
    sizes = np.bincount(blocks)
    start = 0
    while start < num_rows:
        group: set[int] = set()
        stop = start
        while stop < num_rows and (len(group | {int(blocks[stop])}) <= open_blocks):
            group.add(int(blocks[stop]))
            stop += 1
        assert stop - start == sum(sizes[block] for block in group)
        start = stop


@given(st.integers(1, 600), st.integers(1, 70), st.integers(1, 9), st.data())
def test_blocks_have_random_access(num_rows: int, block_rows: int, open_blocks: int, data: st.DataObject) -> None:
    order = Blocks(block_rows, open_blocks).order(num_rows, seed=1, epoch=2)
    positions = np.array(data.draw(st.lists(st.integers(0, num_rows - 1), max_size=30)), np.int64)
    np.testing.assert_array_equal(order.at(positions), whole(order, num_rows)[positions])


def test_blocks_beyond_the_small_permutation_are_exact() -> None:
    num_rows = 2 * SMALL + 11
    assert_permutation(whole(Blocks(1, 5_000).order(num_rows, seed=0, epoch=0), num_rows), num_rows)


@pytest.mark.parametrize("sampler", [Exact(), Blocks(4), Blocks(4, 2)])
@pytest.mark.parametrize("num_rows", [20, 1_000, SMALL + 1])
def test_seeds_and_epochs_give_different_orders(sampler: OrderLaw, num_rows: int) -> None:
    orders = {
        whole(sampler.order(num_rows, seed=seed, epoch=epoch), min(num_rows, 1_000)).tobytes()
        for seed, epoch in itertools.product(range(4), repeat=2)
    }
    assert len(orders) == 16  # (seed 1, epoch 0) is not (seed 0, epoch 1) either


def test_sequential_is_the_same_in_every_epoch() -> None:
    assert whole(Sequential().order(5, seed=1, epoch=9), 5).tolist() == [0, 1, 2, 3, 4]


def test_small_and_large_permutations_have_about_one_fixed_point() -> None:
    for num_rows, num_keys in ((50, 4_000), (SMALL + 1, 40)):
        fixed = [
            int((whole(Permutation(num_rows, seeds.key(key, "fixed")), num_rows) == np.arange(num_rows)).sum())
            for key in range(num_keys)
        ]
        # Poisson(1): the mean of k counts has standard deviation 1/sqrt(k). Keys are fixed.
        assert abs(np.mean(fixed) - 1) < 4 / np.sqrt(num_keys)


@pytest.mark.parametrize("num_rows", [20_000, 100_003])
def test_neighbours_in_an_order_are_unrelated(num_rows: int) -> None:
    scores = []
    for key in range(12):
        values = whole(Permutation(num_rows, seeds.key(key, "serial")), num_rows).astype(float)
        centred = values - values.mean()
        correlation = (centred[:-1] * centred[1:]).sum() / (centred**2).sum()
        scores.append(correlation * np.sqrt(num_rows))
    # Under independence each score is about normal(0, 1); four Feistel rounds give -1.5 to -5 in every one of them.
    assert np.abs(scores).max() < 4
    assert abs(np.mean(scores)) < 4 / np.sqrt(12)


def test_orders_of_two_epochs_are_unrelated() -> None:
    num_rows = 100_003
    first, second = (whole(Exact().order(num_rows, seed=0, epoch=epoch), num_rows) for epoch in (0, 1))
    assert abs(np.corrcoef(first, second)[0, 1]) * np.sqrt(num_rows) < 4


def chi_square_of_24(counts: np.ndarray) -> float:
    expected = counts.sum() / 24
    return float(((counts - expected) ** 2 / expected).sum())


def test_all_24_permutations_of_four_are_equally_likely() -> None:
    names = {order: place for place, order in enumerate(itertools.permutations(range(4)))}
    counts = np.zeros(24)
    for key in range(12_000):
        counts[names[tuple(Permutation(4, seeds.key(key, "chi")).at(np.arange(4)).tolist())]] += 1
    # Chi-square with 23 degrees of freedom: the 0.1 and 99.9 percent points are 7.5 and 49.7. Keys are fixed.
    assert 7.5 < chi_square_of_24(counts) < 49.7


def test_the_feistel_network_alone_gives_all_24_permutations_of_four_equally() -> None:
    names = {order: place for place, order in enumerate(itertools.permutations(range(4)))}
    counts = np.zeros(24)
    for key in range(6_000):
        # The walk that sizes above SMALL take, on a size small enough to count all orders.
        values = Permutation(4, seeds.key(key, "chi"))._walk(np.arange(4), range(8))
        counts[names[tuple(values.tolist())]] += 1
    assert 7.5 < chi_square_of_24(counts) < 49.7


@given(st.integers(1, 300), st.integers(0, 2**64 - 1))
def test_the_feistel_network_alone_is_exact_for_every_size(num_rows: int, key: int) -> None:
    permutation = Permutation(num_rows, key)
    values = permutation._walk(np.arange(num_rows), range(8))
    assert_permutation(values, num_rows)
    np.testing.assert_array_equal(permutation._walk(values, range(7, -1, -1)), np.arange(num_rows))


@pytest.mark.parametrize(("block_rows", "open_blocks", "num_rows"), [(8, 4, 960), (16, 2, 640), (5, 64, 600)])
def test_mixing_is_what_batches_show(block_rows: int, open_blocks: int, num_rows: int) -> None:
    """Over many epochs, the share of pairs of one block among all pairs of a group."""
    law = Blocks(block_rows, open_blocks)
    group = min(block_rows * open_blocks, num_rows)
    found = []
    for epoch in range(40):
        blocks = law.order(num_rows, seed=0, epoch=epoch).at(np.arange(num_rows)) // block_rows
        for start in range(0, num_rows - group + 1, group):
            batch = blocks[start : start + 16]
            same = (batch[:, None] == batch).sum() - len(batch)
            found.append(same / (len(batch) * (len(batch) - 1)))
    mixing = law.mixing(num_rows)
    assert np.mean(found) == pytest.approx(mixing.same_block, rel=0.15)
    assert mixing.exact == pytest.approx((block_rows - 1) / (num_rows - 1))
    assert mixing.exact <= mixing.same_block


def test_an_audit_says_how_well_blocks_are_mixed() -> None:
    data = mtgen.Dataset(pd.DataFrame({"a": range(640)}), inputs={"a": mtgen.Columns("a")})
    loader = mtgen.Loader(data, 8, sampler=Blocks(16, 2))
    assert "  48.387% of the pairs of rows in a batch are of one block of 16, in an exact shuffle 2.347%\n" in str(
        loader.audit()
    )
