"""Shares per block: counts within one, exact on average, a function of the position alone, shuffled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import PlanError
from mtgen.sampling.shares import SORTED_BLOCK, Shares, components

weights = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1.0)), min_size=1, max_size=6).filter(lambda w: sum(w) > 0)


@given(weights, st.integers(0, 2**64 - 1), st.integers(1, 70))
def test_counts_of_every_block_are_within_one_of_the_share(weights: list[float], key: int, block: int) -> None:
    shares = np.array(weights) / sum(weights)
    found = components(shares, key, np.arange(block * 20), block).reshape(20, block)
    counts = np.stack([(found == component).sum(1) for component in range(len(shares))], 1)
    assert (abs(counts - block * shares) < 1 + 1e-6).all()
    assert not counts[:, shares == 0].any()
    edges = Shares(shares, key, block).edges(np.arange(20))
    assert np.array_equal(np.diff(edges, axis=1), counts)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32))
def test_whole_counts_are_exact_in_every_block(first: int, second: int, key: int) -> None:
    block = first + second
    found = components(np.array([first / block, second / block]), key, np.arange(block * 500), block)
    assert ((found.reshape(500, block) == 0).sum(1) == first).all()


@given(weights, st.integers(0, 2**32), st.one_of(st.none(), st.integers(1, 40)), st.data())
def test_a_component_depends_on_its_position_alone(
    weights: list[float], key: int, block: int | None, data: st.DataObject
) -> None:
    shares = np.array(weights) / sum(weights)
    whole = components(shares, key, np.arange(200), block)
    some = np.array(data.draw(st.lists(st.integers(0, 199), min_size=1, max_size=30)))
    assert np.array_equal(components(shares, key, some, block), whole[some])


@pytest.mark.parametrize("block", [1, 7, 64])
def test_counts_are_the_share_on_average_over_blocks(block: int) -> None:
    shares = np.array([0.013, 0.587, 0.4])
    blocks = 20_000
    counts = np.diff(Shares(shares, 5, block).edges(np.arange(blocks)), axis=1)
    # A count is one of two neighbouring numbers: its variance is at most a quarter.
    assert (abs(counts.mean(0) - block * shares) < 5 * 0.5 / np.sqrt(blocks)).all()


@pytest.mark.parametrize("block", [6, 64, SORTED_BLOCK + 1])
def test_components_are_shuffled_inside_the_block(block: int) -> None:
    num_blocks = 24_000 // block
    found = components(np.array([1 / 3, 2 / 3]), 3, np.arange(num_blocks * block), block).reshape(num_blocks, block)
    places = np.broadcast_to(np.arange(block), found.shape)[found == 0]
    sigma = np.sqrt((block**2 - 1) / 12 / len(places))
    assert abs(places.mean() - (block - 1) / 2) < 5 * sigma


@given(weights, st.integers(0, 2**32), st.integers(1, 40))
def test_ranks_number_the_positions_of_a_component_in_a_block(weights: list[float], key: int, block: int) -> None:
    shares = np.array(weights) / sum(weights)
    found, ranks = Shares(shares, key, block, start=5).places(np.arange(5, 5 + block))
    for component in range(len(shares)):
        mine = ranks[found == component]
        assert sorted(mine.tolist()) == list(range(len(mine)))


def test_independent_components_have_their_shares() -> None:
    shares = np.array([0.2, 0.0, 0.5, 0.3, 0.0])
    num = 200_000
    counts = np.bincount(components(shares, 9, np.arange(num), None), minlength=5)
    assert (abs(counts - num * shares) <= 5 * np.sqrt(num * shares * (1 - shares))).all()


def test_a_tiny_share_still_comes() -> None:
    shares = np.array([1e-12, 1 - 1e-12])
    edges = Shares(shares, 0, 64).edges(np.arange(1000))
    assert np.diff(edges, axis=1)[:, 0].max() <= 1
    assert Shares(np.array([1e-300, 1.0]), 0, 64)._ticks[0] == 1


@pytest.mark.parametrize("shares", [[], [-0.1, 1.1], [0.5, 0.4], [np.nan, 1], [[1.0]]])
def test_shares_that_are_none_are_refused(shares: list[float]) -> None:
    with pytest.raises(PlanError, match="shares must be a list of numbers >= 0 that sum to 1"):
        components(np.array(shares), 0, np.arange(3), 4)


@pytest.mark.parametrize("block", [0, -1, True, 2**31, 2.0])
def test_blocks_that_are_none_are_refused(block: int) -> None:
    with pytest.raises(PlanError, match="block must be an integer from 1"):
        components(np.array([1.0]), 0, np.arange(3), block)
