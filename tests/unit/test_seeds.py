"""Keys and words: hashed, never added; equal inputs give equal outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtgen import seeds
from mtgen.errors import PlanError


def test_seed_and_epoch_are_hashed_not_added() -> None:
    keys = {
        seeds.key(seed, stream, epoch) for seed in range(20) for epoch in range(20) for stream in ("order", "split")
    }
    assert len(keys) == 800
    assert all(0 <= key < 2**64 for key in keys)


def test_digits_of_seed_and_epoch_do_not_run_together() -> None:
    assert seeds.key(1, "a", 11) != seeds.key(11, "a", 1)
    assert seeds.key(1, "a/1", 1) != seeds.key(1, "a", 1)


def test_seeds_of_any_size() -> None:
    assert len({seeds.key(2**bits, "order") for bits in range(0, 300, 10)}) == 30


def test_numpy_integers_are_integers() -> None:
    seed: Any = np.int64(5)
    epoch: Any = np.uint8(3)
    assert seeds.key(seed, "order", epoch) == seeds.key(5, "order", 3)


@pytest.mark.parametrize("wrong", [-1, 1.0, True, None, "1", np.float64(2)])
@pytest.mark.parametrize("name", ["seed", "epoch"])
def test_what_is_no_integer_is_refused(name: str, wrong: Any) -> None:
    arguments: dict[str, Any] = {"seed": 0, "epoch": 0, name: wrong}
    with pytest.raises(PlanError, match=rf"{name} must be an integer >= 0, received .* of type {type(wrong).__name__}"):
        seeds.key(arguments["seed"], "order", arguments["epoch"])


def test_words_have_random_access() -> None:
    counters = np.array([5, 0, 2**63 - 1, 5, 77], np.int64)
    together = seeds.words(9, counters)
    alone = [int(seeds.words(9, counters[place : place + 1])[0]) for place in range(len(counters))]
    assert together.tolist() == alone
    assert together.dtype == np.uint64
    assert together[0] == together[3]


def test_words_are_splitmix64() -> None:
    def plain(state: int) -> int:
        """One word of SplitMix64, in Python integers."""
        word = (state + 0x9E3779B97F4A7C15) % 2**64
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % 2**64
        return word ^ (word >> 31)

    key = 2**64 - 3
    expected = [plain((key + counter * 0x9E3779B97F4A7C15) % 2**64) for counter in range(50)]
    assert seeds.words(key, np.arange(50)).tolist() == expected


def test_bits_of_words_are_even() -> None:
    words = seeds.words(seeds.key(0, "test"), np.arange(20_000))
    ones = np.array([int(((words >> np.uint64(bit)) & np.uint64(1)).sum()) for bit in range(64)])
    # 20,000 fair coins: standard deviation 70.7; fixed key, so this cannot flake.
    assert np.abs(ones - 10_000).max() < 4.5 * 70.7
