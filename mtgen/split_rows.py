"""Which rows belong to train, validation and test: arithmetic on row numbers.

A split is a list of rows of the root table, ascending. Which rows it gets depends on the seed and on the rows
themselves, not on the order in which they are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction

import numpy as np
import pandas as pd

from mtgen import seeds
from mtgen.errors import PlanError
from mtgen.settings import check_kind


def counts_of(shares: Mapping[str, float], num_rows: int) -> dict[str, int]:
    """Rows per split, summing to `num_rows` exactly.

    Pure. Shares are rounded by largest remainder, ties to the split named first.

    Args:
        shares: name -> share, positive and summing to 1; or name -> number of rows, all ints, summing to `num_rows`.
        num_rows: rows to divide.

    Raises:
        PlanError: shares that are negative, not numbers, or do not sum to the whole.

    Example:
        >>> counts_of({"train": .7, "valid": .15, "test": .15}, 1797)
        {'train': 1258, 'valid': 270, 'test': 269}
    """
    check_kind("shares", shares, Mapping, 'a dict of name -> share, such as {"train": 0.8, "test": 0.2}')
    for name in shares:
        check_kind("the name of a split", name, str, "text")
    if not shares:
        raise PlanError('split needs shares by name, such as {"train": 0.8, "test": 0.2}; received none')
    for name, share in shares.items():
        number = isinstance(share, int | float | np.integer | np.floating) and not isinstance(share, bool)
        if not number or not 0 <= share < 2**63:  # NaN is refused by this too
            raise PlanError(f"the share of split {name!r} must be a number >= 0, received {share!r}")
    if all(isinstance(share, int | np.integer) for share in shares.values()):
        if sum(shares.values()) != num_rows:
            raise PlanError(
                f"the splits hold {sum(shares.values())} rows together, the dataset has {num_rows}. "
                "Whole numbers are row counts; write 0.7 for a share"
            )
        return {name: int(share) for name, share in shares.items()}
    total = sum(shares.values())
    if abs(total - 1) > 1e-6:
        raise PlanError(f"shares must sum to 1, {dict(shares)} sum to {total:g}; name a split for the rest")
    # Decimal text, so that .15 means 15/100 and remainders do not hang on binary rounding.
    decimal = [Fraction(str(share)) for share in shares.values()]
    exact = [share * num_rows / sum(decimal) for share in decimal]
    counts = [int(share) for share in exact]
    by_remainder = sorted(range(len(counts)), key=lambda place: (counts[place] - exact[place], place))
    for place in by_remainder[: num_rows - sum(counts)]:
        counts[place] += 1
    return dict(zip(shares, counts, strict=True))


def split_rows(
    rows: np.ndarray,
    shares: Mapping[str, float],
    *,
    seed: int,
    strata: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Divide rows into named splits: each row in exactly one.

    Pure. Without `groups` the sizes are exact; with `strata` each stratum is divided as evenly as whole rows allow.
    With `groups` every group stays whole, so sizes come as near as the groups allow.

    Args:
        rows: int64 `(n,)`, distinct.
        shares: see `counts_of`.
        seed: integer >= 0.
        strata: `(n,)` class of each row, any dtype, to be found in every split in the same proportion.
        groups: `(n,)` group of each row, such as a patient, that must not be torn apart.

    Returns:
        name -> int64 rows, ascending, in the order of `shares`.

    Raises:
        PlanError: see `counts_of`; a split that would be empty, or would miss a stratum altogether.

    Example:
        >>> parts = split_rows(np.arange(10), {"train": .8, "test": .2}, seed=0)
        >>> len(parts["train"]), sorted([*parts["train"], *parts["test"]]) == list(range(10))
        (8, True)
    """
    counts = counts_of(shares, len(rows))
    if not len(rows):
        raise PlanError("the dataset has no rows, so there is nothing to split")
    words = seeds.words(seeds.key(seed, "split"), rows)
    strata_codes = np.zeros(len(rows), np.int64) if strata is None else _codes(strata)
    if groups is None:
        order = np.lexsort((rows, words, strata_codes))
        assigned = np.empty(len(rows), np.int64)
        assigned[order] = _interleaved(list(counts.values()))
    else:
        assigned = _assign_groups(_codes(groups), strata_codes, counts, seed)
    parts = {name: np.sort(rows[assigned == place]) for place, name in enumerate(counts)}
    _check_parts(parts, counts, assigned, strata, strata_codes)
    return parts


def split_by_value(rows: np.ndarray, values: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Divide rows by the value a column gives them, in order of first appearance.

    Args:
        rows: int64 `(n,)`.
        values: `(n,)` one value per row, none missing.

    Yields:
        (value as text, int64 rows ascending).

    Raises:
        PlanError: two values with the same text, such as 1 and "1".
    """
    codes, names = pd.factorize(values, sort=False)
    texts = [str(name) for name in names]
    twice = [name for name, text in zip(names.tolist(), texts, strict=True) if texts.count(text) > 1]
    if twice:
        raise PlanError(
            f"by: column {values.name!r} has different values that read the same, {twice[:6]!r}, so they cannot name "
            f"splits. Convert the column to text first: table[{values.name!r}].astype(str)"
        )
    for place, text in enumerate(texts):
        yield text, np.sort(rows[codes == place])


def _codes(values: np.ndarray) -> np.ndarray:
    """Integers that stand for values, numbered in sorted order, so that row order does not matter."""
    return pd.factorize(pd.Series(values), sort=True)[0].astype(np.int64)


def _interleaved(counts: list[int]) -> np.ndarray:
    """A sequence of split numbers in which any stretch holds each split in proportion.

    Split s gets its i-th place at (i + 1/2) / count; sorting these gives totals that are exact and stretches that
    are even, which is what makes one pass over class-sorted rows a stratified split.
    """
    ideal = np.concatenate([(np.arange(count) + 0.5) / count for count in counts if count] or [np.empty(0)])
    owners = np.repeat(np.arange(len(counts)), counts)
    return owners[np.argsort(ideal, kind="stable")]


def _assign_groups(groups: np.ndarray, strata: np.ndarray, counts: dict[str, int], seed: int) -> np.ndarray:
    """Split number of each row; large groups first, each to the split that lacks its strata most."""
    num_groups, num_strata = int(groups.max()) + 1, int(strata.max()) + 1
    members = np.zeros((num_groups, num_strata))
    np.add.at(members, (groups, strata), 1)
    goal = np.array(list(counts.values()), float)
    lacking = np.outer(goal / goal.sum(), members.sum(axis=0))
    weight = 1 / np.maximum(members.sum(axis=0), 1)
    words = seeds.words(seeds.key(seed, "split/groups"), np.arange(num_groups))
    owner = np.empty(num_groups, np.int64)
    for group in np.lexsort((words, -members.sum(axis=1))):
        need = lacking @ (members[group] * weight)
        owner[group] = int(np.argmax(np.where(goal > 0, need, -np.inf)))
        lacking[owner[group]] -= members[group]
    return owner[groups]


def _check_parts(
    parts: dict[str, np.ndarray],
    counts: dict[str, int],
    assigned: np.ndarray,
    strata: np.ndarray | None,
    codes: np.ndarray,
) -> None:
    for name, part in parts.items():
        if not len(part):
            raise PlanError(
                f"split {name!r} would be empty; the splits get {counts}. Give it a larger share, or leave it out"
            )
    if strata is None:
        return
    present = np.zeros((len(parts), int(codes.max()) + 1), bool)
    present[assigned, codes] = True
    if not present.all():
        split, code = (int(number) for number in np.argwhere(~present)[0])
        value = pd.Series(strata)[codes == code].tolist()[0]
        raise PlanError(
            f"stratify: {value!r} has {int((codes == code).sum())} rows, too few for split {list(parts)[split]!r} to "
            "get one. Join rare classes, give that split a larger share, or split without stratify"
        )
