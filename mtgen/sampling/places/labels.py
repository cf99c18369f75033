"""Pixels by class: a share for each class, and any pixel of the class alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.mixture import Mixture
from mtgen.sampling.places.mask import Mask
from mtgen.sampling.places.runs import checked_array, equal_runs, joined_runs, slabs
from mtgen.sampling.sampler import check_weight
from mtgen.settings import shown


@dataclass(frozen=True, eq=False, repr=False)
class Labels(Mixture):
    """A mixture of classes of pixels, one `Mask` for each class that is there; use `labels`.

    Attributes:
        classes: the class of each part.
        missing: share of each class that was wanted and is not in the array, or at no valid centre of a crop.
    """

    classes: tuple[Any, ...] = ()
    missing: tuple[tuple[Any, float], ...] = ()

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape of the array."""
        return self.parts[0].array_shape

    def restricted(self, low: np.ndarray, high: np.ndarray) -> Labels:
        """The pixels inside a box, class by class, so that the classes keep their shares.

        A class without a pixel inside leaves its share to the others, in proportion.

        Raises:
            EmptySupportError: no class has a pixel inside.
        """
        found = [part.condition(low, high) for part in self.parts]
        kept = [number for number, one in enumerate(found) if one is not None and one[0] > 0]
        if not kept:
            raise EmptySupportError(
                f"no pixel of the classes {_listed(self.classes)} lies in {low.tolist()} to {high.tolist()} of the "
                f"array of shape {self.array_shape}"
            )
        parts = [one[1].reweighted(self.parts[number].weight) for number in kept if (one := found[number]) is not None]
        lost = tuple(
            (self.classes[number], part.weight) for number, part in enumerate(self.parts) if number not in kept
        )
        return replace(
            self,
            parts=tuple(parts),
            classes=tuple(self.classes[number] for number in kept),
            missing=self.missing + lost,
        )

    def __repr__(self) -> str:
        shares = {one: round(float(share), 6) for one, share in zip(self.classes, self.shares, strict=True)}
        return f"labels({self.array_shape}, {shares})"


def labels(array: Any, shares: Mapping[Any, float]) -> Labels:
    """Pixels of an array of classes: a class by its share, then any of its pixels alike.

    With `block`, and in a loader's batches, the shares are kept in every block to within one pixel. The array is read
    in parts; what is kept grows with the borders of the wanted classes, not with their pixels.

    Args:
        array: class of each pixel, of any number of axes: NumPy array, memory map, or anything with `shape`, `dtype`
            and slices of the first axis.
        shares: class -> share, numbers >= 0, relative to each other; classes of share 0 and those that are not named
            never come. The share of a class that the array does not hold goes to the others in proportion; `missing`
            has it.

    Raises:
        PlanError: shares that are no numbers >= 0, or an array of no numbers.
        EmptySupportError: no class of a share above 0 is in the array.

    Example:
        >>> seen = np.zeros((50, 50), int); seen[3, 4] = 1
        >>> points = labels(seen, {0: 0.75, 1: 0.25}).sample(8, block=8)
        >>> points.tolist().count([3, 4])
        2
        >>> labels(seen, {1: 1, 2: 3}).missing
        ((2, 0.75),)
    """
    if not isinstance(shares, Mapping) or not shares:
        raise PlanError(f"labels needs shares as a dict {{class: share}}, received {shown(shares)}")
    array = checked_array("labels", array)
    weights = {one: check_weight(share) for one, share in shares.items() if check_weight(share) > 0}
    if not weights:
        raise EmptySupportError(f"labels: all shares are 0: {dict(shares)}")
    for one in weights:
        if not isinstance(one, bool | int | float | np.bool_ | np.integer | np.floating):
            raise PlanError(f"labels: classes are numbers, as in the array; received {shown(one)}")
    parts: dict[Any, list[tuple[np.ndarray, np.ndarray, None]]] = {one: [] for one in weights}
    for first, rows in slabs(array):
        firsts, lengths, values = equal_runs(first, rows)
        for one, found in parts.items():
            here = values == one
            if here.any():
                found.append((firsts[here], lengths[here], None))
    present = [one for one, found in parts.items() if found]
    if not present:
        raise EmptySupportError(
            f"labels: the array of shape {tuple(array.shape)} holds none of the classes {_listed(weights)}; "
            f"it holds {_held(array)}"
        )
    whole = sum(weights.values())
    masks = [Mask(joined_runs(array.shape, parts[one]), weight=weights[one] / whole) for one in present]
    missing = tuple((one, share / whole) for one, share in weights.items() if one not in present)
    return Labels(tuple(masks), tuple(present), missing)


def _held(array: Any) -> str:
    """The classes in an array, for a message."""
    held: set[Any] = set()
    for first, rows in slabs(array):
        held.update(np.unique(equal_runs(first, rows)[2]).tolist())
        if len(held) > 1000:
            break
    return _listed(sorted(held))


def _listed(classes: Any) -> str:
    named = [str(one) for one in classes]
    return ", ".join(named[:20]) + (f" and {len(named) - 20} more" if len(named) > 20 else "")
