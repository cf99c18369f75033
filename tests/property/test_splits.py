"""Splits: exact sizes by largest remainder, exact partitions, even strata, whole groups, whatever the listing order."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from mtgen.errors import PlanError
from mtgen.split_rows import counts_of, split_rows

percents = st.lists(st.integers(1, 100), min_size=1, max_size=5).map(
    lambda parts: {f"split {place}": part / sum(parts) for place, part in enumerate(parts)}
)


@given(percents, st.integers(0, 10**12))
def test_counts_are_whole_near_the_share_and_sum_up(shares: dict[str, float], num_rows: int) -> None:
    counts = counts_of(shares, num_rows)
    assert list(counts) == list(shares)
    assert sum(counts.values()) == num_rows
    total = sum(Fraction(str(share)) for share in shares.values())
    for name, share in shares.items():
        exact = Fraction(str(share)) * num_rows / total
        assert abs(counts[name] - exact) < 1


@given(st.integers(1, 400), st.integers(1, 3))
def test_largest_remainder_of_hundredths(num_rows: int, place: int) -> None:
    whole = [Fraction(70, 100), Fraction(15, 100), Fraction(15, 100)]
    counts = list(counts_of({"train": 0.7, "valid": 0.15, "test": 0.15}, num_rows).values())
    # Plain: give each its floor, then one row at a time to whoever lacks most, first named first.
    expected = [int(share * num_rows) for share in whole]
    while sum(expected) < num_rows:
        lacking = [share * num_rows - count for share, count in zip(whole, expected, strict=True)]
        expected[lacking.index(max(lacking))] += 1
    assert counts == expected


def split_or_skip(*arguments: object, **options: object) -> dict[str, np.ndarray]:
    try:
        return split_rows(*arguments, **options)  # type: ignore[arg-type]
    except PlanError:
        assume(False)
        raise


@given(st.integers(1, 120), percents, st.integers(0, 5), st.integers(0, 1_000), st.integers(0, 5))
def test_rows_are_divided_exactly_and_independent_of_their_listing(
    num_rows: int, shares: dict[str, float], seed: int, first: int, shuffle: int
) -> None:
    rows = first + 3 * np.arange(num_rows)
    parts = split_or_skip(rows, shares, seed=seed)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == rows.tolist()
    assert {name: len(part) for name, part in parts.items()} == counts_of(shares, num_rows)
    assert all((np.diff(part) > 0).all() for part in parts.values())
    mixed = np.random.default_rng(shuffle).permutation(rows)
    again = split_rows(mixed, shares, seed=seed)
    assert all((again[name] == parts[name]).all() for name in parts)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=120), percents, st.integers(0, 5), st.integers(0, 5))
def test_strata_are_even_within_a_row(classes: list[int], shares: dict[str, float], seed: int, shuffle: int) -> None:
    strata = np.array([f"class {one}" for one in classes])
    rows = np.arange(len(strata))
    parts = split_or_skip(rows, shares, seed=seed, strata=strata)
    counts = counts_of(shares, len(rows))
    assert {name: len(part) for name, part in parts.items()} == counts
    for name, part in parts.items():
        for value in np.unique(strata):
            share = counts[name] / len(rows)
            assert abs((strata[part] == value).sum() - share * (strata == value).sum()) <= 1 + 1e-9
    mixed = np.random.default_rng(shuffle).permutation(len(rows))
    again = split_rows(rows[mixed], shares, seed=seed, strata=strata[mixed])
    assert all((again[name] == parts[name]).all() for name in parts)


@given(st.lists(st.integers(0, 15), min_size=1, max_size=100), percents, st.integers(0, 5), st.integers(0, 5))
def test_groups_stay_whole(members: list[int], shares: dict[str, float], seed: int, shuffle: int) -> None:
    groups = np.array(members)
    rows = np.arange(len(groups))
    parts = split_or_skip(rows, shares, seed=seed, groups=groups)
    assert sorted(np.concatenate(list(parts.values())).tolist()) == rows.tolist()
    owners = [{int(group) for group in groups[part]} for part in parts.values()]
    assert sum(map(len, owners)) == len(np.unique(groups))
    mixed = np.random.default_rng(shuffle).permutation(len(rows))
    again = split_rows(rows[mixed], shares, seed=seed, groups=groups[mixed])
    assert all((again[name] == parts[name]).all() for name in parts)


def test_groups_of_equal_size_are_shared_as_asked() -> None:
    parts = split_rows(np.arange(400), {"a": 0.5, "b": 0.3, "c": 0.2}, seed=0, groups=np.arange(400) // 4)
    assert {name: len(part) for name, part in parts.items()} == {"a": 200, "b": 120, "c": 80}


def test_seeds_give_different_splits() -> None:
    parts = {split_rows(np.arange(50), {"a": 0.5, "b": 0.5}, seed=seed)["a"].tobytes() for seed in range(10)}
    assert len(parts) == 10
