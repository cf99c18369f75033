"""The law of one point."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.values import EXACT
from mtgen.settings import check_unmasked, shown


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Sampler):
    """Always the same point; use `constant`."""

    point: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return len(self.point)

    @property
    def discrete(self) -> tuple[bool, ...]:
        """Counted: all probability is on one point."""
        return (True,) * self.dim

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        return np.repeat(self.point[None, :], len(positions), axis=0)

    @property
    def stack_key(self) -> Hashable | None:
        """See `Sampler.stack_key`: of what has a dtype of its own beside any other values."""
        kind = self.point.dtype.kind
        if kind == "O" or (kind in "iu" and max(map(abs, self.point.tolist())) > EXACT):
            return None
        return Constant, self.dim, self.point.dtype.str

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`."""
        return np.stack([law.point for law in laws if isinstance(law, Constant)])[bits.which]

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        return np.where((points == self.point).all(axis=1), 0.0, -np.inf)

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`."""
        if self.point.dtype.kind not in "biuf":
            return None
        return float(((self.point >= low) & (self.point <= high)).all()), self

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return (self.point,)

    def __repr__(self) -> str:
        return f"constant({self.point.tolist()})"


def constant(point: Any) -> Constant:
    """The law of one point: a number, text, or a list of them, one for each column.

    Raises:
        PlanError: something else, or nothing.

    Example:
        >>> constant([1, 2]).sample(2).tolist()
        [[1, 2], [1, 2]]
        >>> (constant("cube A") & constant(0.5)).sample(1).tolist()
        [['cube A', 0.5]]
    """
    check_unmasked("the point of a constant", point)
    values = list(point) if isinstance(point, list | tuple | np.ndarray) and np.ndim(point) else [point]
    kinds = {type(value) for value in values}
    array = np.array(values) if len(kinds) == 1 or not any(isinstance(one, str) for one in values) else None
    if array is None:  # text and numbers stay text and numbers
        array = np.empty(len(values), object)
        array[:] = values
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "biufUSO":
        raise PlanError(f"constant needs a number, text, or a list of them, received {shown(point)}")
    array = array.copy()
    array.flags.writeable = False
    return Constant(array)
