"""Laws over rows that balance classes: repeated and left out by class, exact counts, exact shares of a subset."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.row_plans import balance
from mtgen.sampling.row_plans.base import RowSampler, Spread
from mtgen.sampling.row_plans.classes import ClassOrder, Members
from mtgen.sampling.row_plans.orders import Bounds, RowOrder
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.sampler import is_number
from mtgen.settings import check_flag, shown

OVER, UNDER = 0.9, 0.5
"""How far rare classes are repeated, and frequent ones left out, where nobody says: short of the target on both
sides."""

MOST_EXPECTED = 1 << 53
"""Positions of an epoch are fewer: expected numbers are float64."""


def balanced(
    source: Source,
    labels: Sequence[Any],
    names: Sequence[str],
    *,
    target: Mapping[Any, float] | None = None,
    over: float | None = None,
    under: float | None = None,
    counts: Mapping[Any, int] | None = None,
    exact: bool = False,
) -> BalancedRows:
    """The law that balances classes; see `DatasetRows.balanced`.

    Args:
        source: the rows.
        labels: one list, array or Series per label column, with an entry for each row.
        names: what the columns are called, for messages.
        target: class -> share.
        over: see `mtgen.sampling.row_plans.balance.multiplicities`; None for `OVER`.
        under: the same; None for `UNDER`.
        counts: class -> positions.
        exact: the largest subset with the wanted shares.

    Raises:
        PlanError: settings that contradict each other, missing labels, classes that are not there.
    """
    _check_settings({"over": over, "under": under}, target=target, counts=counts, exact=exact)
    codes, classes = joint_classes(labels, names)
    members = Members(codes, len(classes))
    if counts is not None:
        expected = balance.counts_of(counts, classes, members.counts).astype(np.float64)
    else:
        targets = balance.targets_of(target, classes, members.counts)
        if check_flag("exact", exact):
            expected = balance.exact_subset(members.counts, targets).astype(np.float64)
        else:
            with np.errstate(over="ignore"):  # said below
                far = float(OVER if over is None else over), float(UNDER if under is None else under)
                expected = members.counts * balance.multiplicities(members.counts, targets, *far)
    if not expected.sum() < MOST_EXPECTED:
        raise PlanError(
            f"the classes would have {expected.sum():.3g} positions in an epoch, and only so many as {MOST_EXPECTED} "
            "can be counted; take a smaller over, smaller counts, or a target nearer to what there is"
        )
    if exact:
        _warn_of_absent(classes, targets, expected)
    if not balance.num_rounded(expected):
        raise EmptySupportError("the classes' shares leave no row at all; use a larger dataset or other shares")
    return BalancedRows(source, members, tuple(classes), expected, bool(exact))


def _check_settings(far: Mapping[str, Any], *, target: Any, counts: Any, exact: Any) -> None:
    given = {name: value for name, value in far.items() if value is not None}
    for name, value in given.items():
        if not is_number(value) or not 0 <= value < np.inf:
            raise PlanError(f"{name} must be a number >= 0, mostly from 0 to 1, received {shown(value)}")
    if counts is not None and (target is not None or check_flag("exact", exact)):
        raise PlanError("counts says how often each class comes; leave out target and exact")
    if given and (counts is not None or check_flag("exact", exact)):
        said = " and ".join(f"{name}={value!r}" for name, value in given.items())
        other = "counts says how often each class comes" if counts is not None else "exact=True takes the wanted shares"
        raise PlanError(
            f"{other}, and {said} how far rows are repeated or left out on the way to the shares: leave out one of the "
            "two"
        )


def _warn_of_absent(classes: Sequence[Any], targets: np.ndarray, expected: np.ndarray) -> None:
    absent = np.flatnonzero((targets > 0) & (expected == 0)).tolist()
    if absent and expected.any():
        named = ", ".join(f"{classes[number]!r} ({targets[number]:.3g})" for number in absent[:10])
        warnings.warn(
            f"exact=True: {len(absent)} classes have a share that is less than a row of the largest subset, so they "
            f"never come: {named}. Give them a larger share, or 0",
            stacklevel=4,
        )


def joint_classes(labels: Sequence[Any], names: Sequence[str]) -> tuple[np.ndarray, list[Any]]:
    """Classes of rows: the values of one column, or tuples with a value of each.

    Args:
        labels: `(n,)` values for each column.
        names: what the columns are called.

    Returns:
        int64 `(n,)` numbers of classes, and the classes; ascending where they can be compared.

    Raises:
        PlanError: a missing label, or one that is a list.

    Example:
        >>> codes, classes = joint_classes([["b", "a", "b"], [0, 0, 1]], ["kind", "year"])
        >>> codes.tolist(), classes
        ([1, 0, 2], [('a', 0), ('b', 0), ('b', 1)])
    """
    all_codes, all_values = [], []
    for name, values in zip(names, labels, strict=True):
        series = pd.Series(values)
        if series.isna().any():
            place = int(np.argmax(series.isna().to_numpy()))
            raise PlanError(
                f"column {name!r} has {int(series.isna().sum())} missing labels, the first at place {place}; leave "
                "those rows out, or give them a class of their own"
            )
        try:
            codes, distinct = pd.factorize(series, sort=False)
        except TypeError as error:
            raise PlanError(
                f"column {name!r} holds lists, so its rows are of several classes at once; use data.rows.weighted("
                f'"max_weight(contains({name}, ...): ..., True: 1)")'
            ) from error
        found = distinct.tolist()
        try:
            order = sorted(range(len(found)), key=found.__getitem__)
        except TypeError:  # of several types: as they come
            order = list(range(len(found)))
        ranks = np.empty(len(found), np.int64)
        ranks[order] = np.arange(len(found))
        all_codes.append(ranks[codes])
        all_values.append([found[number] for number in order])
    if len(all_codes) == 1:
        return all_codes[0], all_values[0]
    distinct_rows, joint = np.unique(np.stack(all_codes, axis=1), axis=0, return_inverse=True)
    classes = [tuple(one[code] for one, code in zip(all_values, row, strict=True)) for row in distinct_rows.tolist()]
    return joint.reshape(-1).astype(np.int64), classes


@dataclass(frozen=True, eq=False, repr=False)
class BalancedRows(RowSampler):
    """Rows by class, each class as often as expected, its rows equally often.

    Attributes:
        members: the rows of each class.
        classes: the classes.
        expected: positions of each class in an epoch of the natural size, float64 `(k,)`.
        exact: no row may come twice.
    """

    over: Source
    members: Members
    classes: tuple[Any, ...]
    expected: np.ndarray
    exact: bool = False

    @property
    def source(self) -> Source:
        """See `RowSampler.source`."""
        return self.over

    @property
    def natural_size(self) -> int:
        """What all classes together are expected to have."""
        return balance.num_rounded(self.expected)

    @property
    def multiplicities(self) -> dict[Any, float]:
        """How often a row of each class comes, on average, in an epoch of the natural size."""
        each = self._each.tolist()
        return {name: one for name, one, rows in zip(self.classes, each, self.members.counts, strict=True) if rows}

    @cached_property
    def _each(self) -> np.ndarray:
        counts = self.members.counts
        return np.asarray(np.divide(self.expected, counts, out=np.zeros(len(counts)), where=counts > 0))

    def reach(self) -> np.ndarray | None:
        """See `RowSampler.reach`."""
        return self.can_come()

    def can_come(self) -> np.ndarray:
        """See `RowSampler.can_come`."""
        return np.asarray(self.members.each(self._each) > 0)

    def probabilities(self, places: np.ndarray) -> np.ndarray:
        """See `RowSampler.probabilities`."""
        return np.asarray(self.members.each(self._each / self.expected.sum())[places])

    def restricted(self, mask: np.ndarray, *, each: bool = False) -> tuple[float, RowSampler]:
        """See `RowSampler.restricted`: a row that is left comes as often as before."""
        codes = np.where(mask, self.members.each(np.arange(1, len(self.classes) + 1)) - 1, -1)
        members = Members(codes, len(self.classes))
        expected = members.counts * self._each
        if not balance.num_rounded(expected):
            raise EmptySupportError(f"no row of {self!r} that comes is left")
        law = replace(self, members=members, expected=expected)
        return float(expected.sum() / self.expected.sum()), law

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`: independent draws by expected share."""
        sums = np.cumsum(self.expected)
        classes = np.searchsorted(sums / sums[-1], bits.uniforms(positions, "class"), side="right")
        counts = self.members.counts[classes]
        numbers = np.minimum((bits.uniforms(positions, "row") * counts).astype(np.int64), counts - 1)
        return self.over.rows_at(self.members.place(classes, numbers))[:, None]

    def checked_size(self, size: int, how: Spread) -> int:
        """See `RowSampler.checked_size`."""
        if size >= MOST_EXPECTED:
            raise PlanError(f"a balanced law has less than {MOST_EXPECTED} positions, received size={size}")
        if how.spread == "iid" and self.exact:
            raise PlanError(f'{self!r} repeats no row; spread="iid" contradicts it')
        if self.exact or how.replace is False:
            short = np.flatnonzero(np.ceil(self._scaled(size) - 1e-6) > self.members.counts)
            if len(short):
                name, has = self.classes[short[0]], self.members.counts[short[0]]
                raise PlanError(
                    f"class {name!r} has {has} rows, {self._scaled(size)[short[0]]:.6g} positions were asked for, and "
                    "no row may come twice. Use a smaller size, or repeat rows"
                )
        return size

    def _scaled(self, size: int) -> np.ndarray:
        natural = self.natural_size
        return self.expected if size == natural else self.expected * (size / self.expected.sum())

    def order_of(self, size: int, how: Spread, bits: Bits) -> RowOrder:
        """See `RowSampler.order_of`."""
        if how.spread == "iid":
            return _DrawnOrder(self, size, bits)
        turns = np.argsort(bits.words(np.arange(len(self.classes)), "turns"), kind="stable")
        offset = float(bits.uniforms(np.zeros(1, np.int64), "offset")[0])
        counts = balance.rounded_counts(self._scaled(size), offset, turns)
        return ClassOrder(self.members, counts, bits)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        members = self.members.each(np.arange(1, len(self.classes) + 1))
        return self.over.rows, members, self.expected, self.exact, self.size

    def __repr__(self) -> str:
        num = int((self.expected > 0).sum())
        return f"rows(balanced over {num} classes, {self.over.num_rows} rows, {self.epoch_size} positions)"


class _DrawnOrder:
    """Independent draws of a balanced law."""

    def __init__(self, law: BalancedRows, size: int, bits: Bits) -> None:
        self.size, self._bits = size, bits
        self._law = replace(law, over=Source(law.over.num_rows))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        return self._law.draw(self._bits, np.asarray(positions, np.int64))[:, 0]

    def bounds(self) -> Bounds | None:
        """See `RowOrder.bounds`."""
        return None
