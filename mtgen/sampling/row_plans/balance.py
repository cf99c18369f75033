"""How often the rows of each class come in an epoch: over- and undersampling, exact counts, largest exact subsets.

The multiplicities are those of resampling a stream by class (tf.data's over- and undersampling): with p the share of
a class, t the wanted one and r = t / p, a row of the class comes `max(r**over, 1) * min(r**under, 1)` times on
average. Here they are a plan, not draws.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.sampler import is_number
from mtgen.sampling.values import check_count
from mtgen.settings import shown

Class = Hashable
"""The value of a class: of one label column, or a tuple with one of each."""

_ROUNDING = 1e-9
"""Relative: a number so near above or below a whole one is that whole one, but for the rounding of floats."""


def multiplicities(counts: np.ndarray, targets: np.ndarray, over: float = 0.9, under: float = 0.5) -> np.ndarray:
    """How often a row of each class comes, on average.

    Pure.

    Args:
        counts: rows of each class, `(k,)` >= 0.
        targets: wanted share of each class, float64 `(k,)` >= 0, summing to 1.
        over: 1 repeats rare classes all the way to their target, 0 repeats nothing.
        under: 1 leaves out rows of frequent classes all the way to their target, 0 leaves out nothing.

    Returns:
        float64 `(k,)`. With `over` and `under` 1 the classes have the wanted shares of as many rows as there are.
        A class of target 0 never comes, if `under` > 0; with `under` 0 its rows come once each.

    Example:
        >>> multiplicities(np.array([9_000, 900, 100]), np.full(3, 1 / 3)).round(4).tolist()
        [0.6086, 3.2492, 23.4742]
    """
    present = counts > 0
    ratios = np.divide(targets * counts.sum(), counts, out=np.ones(len(counts)), where=present)
    # 0**0 is 1, as it must be here: a coefficient of 0 changes nothing.
    return np.asarray(np.maximum(ratios**over, 1) * np.minimum(ratios**under, 1))


def targets_of(target: Mapping[Any, float] | None, classes: Sequence[Class], counts: np.ndarray) -> np.ndarray:
    """Wanted share of each class, float64 `(k,)`.

    Args:
        target: class -> share, summing to 1; None for equal shares of the classes that have rows.
        classes: all classes, in order.
        counts: rows of each.

    Raises:
        PlanError: a class without rows that should have a share, classes left out, shares that do not sum to 1.
    """
    if target is None:
        return np.where(counts > 0, 1 / np.count_nonzero(counts), 0.0)
    given = _by_class("target", target, classes, counts)
    for name, share in zip(classes, given, strict=True):
        if not is_number(share) or not 0 <= share <= 1:
            raise PlanError(
                f"target: the share of class {name!r} must be a number from 0 to 1, received {shown(share)}"
            )
    total = float(sum(given))
    if abs(total - 1) > 1e-6:
        raise PlanError(f"target: the shares must sum to 1, received {total:.6g} from {shown(dict(target))}")
    return np.array(given, np.float64) / total


def counts_of(wanted: Mapping[Any, int], classes: Sequence[Class], counts: np.ndarray) -> np.ndarray:
    """Wanted positions of each class, int64 `(k,)`.

    Raises:
        PlanError: a class without rows that should come, classes left out, no whole numbers, or nothing at all.
    """
    given = _by_class("counts", wanted, classes, counts)
    found = [
        check_count(f"counts: the number of class {name!r}", one) for name, one in zip(classes, given, strict=True)
    ]
    if not any(found):
        raise PlanError(f"counts must ask for one row at least, received {shown(dict(wanted))}")
    return np.array(found, np.int64)


def _by_class(what: str, given: Mapping[Any, Any], classes: Sequence[Class], counts: np.ndarray) -> list[Any]:
    if not isinstance(given, Mapping):
        raise PlanError(f"{what} must be a dict of class -> number, received {shown(given)}")
    known = dict(zip(classes, counts.tolist(), strict=True))
    absent = [name for name, number in given.items() if not known.get(name) and number]
    if absent:
        raise PlanError(
            f"{what}: there are no rows of class {absent[0]!r}, so it cannot have {given[absent[0]]!r}; the classes "
            f"are {shown({name: rows for name, rows in known.items() if rows})}"
        )
    left_out = [name for name, rows in known.items() if rows and name not in given]
    if left_out:
        raise PlanError(
            f"{what} must say something of every class; class {left_out[0]!r} with {known[left_out[0]]} rows is not "
            f"named ({len(left_out)} such classes). Write 0 for a class that shall not come"
        )
    return [given.get(name, 0) for name in classes]


def exact_subset(counts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The most positions of each class, no row twice, that have the wanted shares; int64 `(k,)`.

    Each class has the whole part of its share of the largest such subset: within one row of it.

    Example:
        >>> exact_subset(np.array([1500, 300]), np.array([0.5, 0.5])).tolist()
        [300, 300]
    """
    wanted = targets > 0
    size = (counts[wanted] / targets[wanted]).min()
    return np.minimum(whole_part(size * targets), counts)


def whole_part(values: np.ndarray) -> np.ndarray:
    """Whole parts, int64; a number that rounding alone keeps below a whole one counts as it."""
    nearest = np.rint(values)
    near = abs(values - nearest) <= np.minimum(_ROUNDING * np.maximum(nearest, 1), 0.01)
    return np.where(near, nearest, np.floor(values)).astype(np.int64)


def rounded_counts(expected: np.ndarray, offset: float, turns: np.ndarray) -> np.ndarray:
    """Whole numbers near the expected ones: floor or ceiling of each, with one sum whatever the offset.

    The parts beyond whole numbers are laid end to end, in the order of `turns`, and a class gets one more where
    `floor(sum + u)` steps up. The sum is the nearest whole number; u is drawn from the part of [0, 1) that gives it,
    so the counts are off by less than a row on average.

    Args:
        expected: float64 `(k,)` >= 0.
        offset: in [0, 1).
        turns: a permutation of `range(k)`.

    Returns:
        int64 `(k,)`, summing to `num_rounded(expected)`.
    """
    whole = whole_part(expected)
    parts = _ticks_beyond(expected, whole)
    sums = np.cumsum(parts[turns])
    tick, total = 1 << 32, int(sums[-1])
    beyond = total % tick
    # All u below 1 - beyond give the floor of the total, all others its ceiling.
    least, most = (tick - beyond, tick) if 2 * beyond >= tick else (0, tick - beyond)
    u = least + int(offset * (most - least))
    more = np.diff((sums + u) >> 32, prepend=u >> 32)
    found = whole.copy()
    found[turns] += more
    return found


def num_rounded(expected: np.ndarray) -> int:
    """The sum that `rounded_counts` has."""
    whole = whole_part(expected)
    ticks = int(_ticks_beyond(expected, whole).sum())
    return int(whole.sum()) + ((ticks + (1 << 31)) >> 32)


def _ticks_beyond(expected: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.rint(np.maximum(expected - whole, 0) * 2.0**32).astype(np.int64)
