"""Arithmetic on points, and functions of points.

Weights survive: `(0.3 & a) + 5` has weight 0.3. Two samplers are drawn independently, so `a - a` is not 0.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.sampler import Frame, Sampler, as_sampler, frame_of_any
from mtgen.settings import check_unmasked, shown

OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
"""The operations by their symbols."""


def arithmetic_of(symbol: str, left: Any, right: Any) -> Sampler:
    """`left symbol right`, where one is a sampler and the other a sampler, a number or one number per column.

    Raises:
        PlanError: dimensions that differ, or an operand of another kind.
    """
    known = [as_sampler(left), as_sampler(right)]
    dim = max(one.dim for one in known if one is not None)
    for one in known:
        if one is not None and one.dim not in (1, dim):
            both = " and ".join(f"{each!r} of {each.dim}" for each in known if each is not None)
            raise PlanError(f"{symbol} needs points of one dimension, received {both}")
    operands = [_constant(given, dim) if one is None else one for given, one in zip((left, right), known, strict=True)]
    weight = 1.0
    for one in known:
        weight *= 1.0 if one is None else one.weight
    return Arithmetic(symbol, operands[0], operands[1], weight=weight)


def _constant(value: Any, dim: int) -> np.ndarray:
    """One number per column."""
    check_unmasked("numbers in arithmetic", value)
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise PlanError(f"arithmetic needs a number or one number per column, received {shown(value)}") from error
    if array.dtype.kind not in "iuf":
        raise PlanError(f"arithmetic needs a number, an array of {dim} or a sampler; received {shown(value)}")
    if array.shape not in ((), (1,), (dim,)):
        raise PlanError(
            f"an array in arithmetic needs one number for each of {dim} columns, received shape {array.shape}; arrays "
            "with one number per point are refused, because points are drawn one by one"
        )
    try:
        constant = np.broadcast_to(_widened(array), (dim,)).copy()
    except OverflowError as error:
        raise PlanError(f"arithmetic with {shown(value)}: {error}") from error
    constant.flags.writeable = False
    return constant


def computed(symbol: str, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """`left symbol right` of points: whole numbers in 64 bits, others in float64 at least, so that 200 + 100 is 300.

    Raises:
        OverflowError: a whole number that 64 bits do not hold.
        ValueError: whole numbers divided by 0 without rest, which is no whole number.
    """
    left, right = _widened(left), _widened(right)
    result = np.asarray(OPERATIONS[symbol](left, right))
    if result.dtype.kind != "i":
        return result
    if symbol in ("//", "%") and not np.all(right):
        raise ValueError(f"whole numbers {symbol} 0 are no whole numbers; write {symbol} 0.0 for inf and NaN")
    if (np.abs(OPERATIONS[symbol](left.astype(np.float64), right)) >= 2.0**63).any():
        raise OverflowError("a whole number of the result is beyond 64 bits; make one side a float, such as 1.0 * a")
    return result


def _widened(side: np.ndarray) -> np.ndarray:
    """Whole numbers and truths as int64, others as float64 at least; what is no number as it is."""
    if side.dtype.kind == "f":
        return side.astype(np.result_type(side.dtype, np.float64), copy=False)
    if side.dtype.kind == "u" and (side > np.uint64(2**63 - 1)).any():
        raise OverflowError("a whole number is beyond 2**63; make it a float")
    return side.astype(np.int64, copy=False) if side.dtype.kind in "biu" else side


@dataclass(frozen=True, eq=False, repr=False)
class Arithmetic(Sampler):
    """An operation on points, element by element."""

    symbol: str
    left: Sampler | np.ndarray
    right: Sampler | np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return max(one.dim if isinstance(one, Sampler) else len(one) for one in (self.left, self.right))

    @property
    def frame(self) -> Frame | None:
        """Pixels if one side counts in them: noise on points in pixels is in pixels."""
        return frame_of_any(one for one in (self.left, self.right) if isinstance(one, Sampler))

    @property
    def discrete(self) -> tuple[bool, ...]:
        """A column is counted if it is on every side."""
        sides = [one for one in (self.left, self.right) if isinstance(one, Sampler)]
        return tuple(all(one.discrete[column if one.dim > 1 else 0] for one in sides) for column in range(self.dim))

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`.

        One sampler beside a number draws as it would alone, so that `2 * (a + 1)` and `2 * a + 2` are the same points.
        """
        both = isinstance(self.left, Sampler) and isinstance(self.right, Sampler)
        sides = [
            one.draw(bits.child(name) if both else bits, positions) if isinstance(one, Sampler) else one
            for name, one in (("left", self.left), ("right", self.right))
        ]
        return self._computed(*sides)

    def _computed(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        try:
            with np.errstate(all="ignore"):  # 1 / 0 is inf, as it is in NumPy; bounds refuse what is no number
                return computed(self.symbol, left, right)
        except (TypeError, ValueError, OverflowError) as error:
            raise PlanError(f"{self!r} cannot be computed: {error}") from error

    @property
    def stack_key(self) -> Hashable | None:
        """See `Sampler.stack_key`: of steps that round alike in arrays of any layout, on measured columns."""
        if self._step is None or any(self.discrete):
            return None
        inner, constant = self._step
        key, on_left = inner.stack_key, isinstance(self.left, Sampler)
        return None if key is None else (Arithmetic, self.symbol, on_left, constant.dtype.str, key)

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`."""
        known = [law for law in laws if isinstance(law, Arithmetic)]
        steps = [law._step for law in known if law._step is not None]
        points = type(steps[0][0]).draw_stacked([inner for inner, _ in steps], bits, positions)
        constants = np.stack([constant for _, constant in steps])[bits.which]
        sides = (points, constants) if isinstance(known[0].left, Sampler) else (constants, points)
        return known[0]._computed(*sides)

    @cached_property
    def _step(self) -> tuple[Sampler, np.ndarray] | None:
        """The sampler x and the numbers c where this is x + c, x - c, c - x, x * c or x / c and can be taken back."""
        if isinstance(self.left, Sampler) and isinstance(self.right, np.ndarray):
            inner, constant, known = self.left, self.right, "+-*/"
        elif isinstance(self.right, Sampler) and isinstance(self.left, np.ndarray):
            inner, constant, known = self.right, self.left, "+-*"
        else:
            return None
        usable = np.isfinite(constant).all() and (self.symbol in "+-" or (constant != 0).all())
        return (inner, constant) if self.symbol in known and usable else None

    @cached_property
    def _chain(self) -> list[Arithmetic]:
        """This and the steps inside it that can be taken back, the outermost first."""
        if self._step is None:
            return []
        inner = self._step[0]
        return [self, *(inner._chain if isinstance(inner, Arithmetic) else [])]

    @property
    def _base(self) -> Sampler:
        """What the innermost step of the chain is done to."""
        step = self._chain[-1]._step
        return self if step is None else step[0]

    def _ahead(self, x: np.ndarray) -> np.ndarray:
        """Points of the base's."""
        for one in reversed(self._chain):
            _, constant = one._step or (self, x)
            x = np.asarray(OPERATIONS[one.symbol](*((x, constant) if isinstance(one.left, Sampler) else (constant, x))))
        return x

    def _back(self, points: np.ndarray) -> np.ndarray:
        """The base's points of these, but for roundings."""
        inverse = {"+": operator.sub, "*": operator.truediv, "/": operator.mul}
        for one in self._chain:
            _, constant = one._step or (self, points)
            if one.symbol == "-":
                points = constant - points if isinstance(one.right, Sampler) else points + constant
            else:
                points = np.asarray(inverse[one.symbol](points, constant))
        return points

    def _log_slope(self) -> np.ndarray:
        """Logarithm of the absolute factor of each column."""
        total = np.zeros(self.dim)
        for one in self._chain:
            if one._step is not None and one.symbol in "*/":
                total = total + {"*": 1, "/": -1}[one.symbol] * np.log(np.abs(one._step[1]))
        return total

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`: known for factors and shifts."""
        if not self._chain:
            return super().log_density(points)
        counted = np.array(self._base.discrete)
        back = self._back(points)
        if counted.any() and back.dtype.kind == "f":
            whole = np.rint(back)  # 3 * 0.1 / 0.1 is not 3
            back = np.where(counted & (self._ahead(whole) == points), whole, back)
        return self._base.log_density(back) - self._log_slope()[~counted].sum()

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: the bounds taken back through factors and shifts."""
        if not self._chain:
            return None
        edges = np.sort([self._back(low), self._back(high)], axis=0).astype(np.float64)
        whole = np.rint(edges)
        with np.errstate(invalid="ignore"):
            near = np.array(self._base.discrete) & (np.abs(edges - whole) <= 1e-9 * np.maximum(np.abs(whole), 1))
            image = self._ahead(whole)
        # A whole number at a bound is inside if its image is, whatever the rounding of the bound says.
        inside = np.where((image >= low) & (image <= high), whole, np.nextafter(whole, [[np.inf], [-np.inf]]))
        lows, highs = np.where(near, inside, edges)
        if (lows > highs).any():
            return -np.inf, self
        found = self._base.log_condition(lows, highs)
        return None if found is None else (found[0], self._of(found[1]).reweighted(self.weight))

    def _of(self, law: Sampler) -> Sampler:
        """The same steps, done to another base."""
        for one in reversed(self._chain):
            left, right = (law if isinstance(side, Sampler) else side for side in (one.left, one.right))
            law = Arithmetic(one.symbol, left, right)
        return law

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.symbol, self.left, self.right

    def __repr__(self) -> str:
        sides = [f"({one!r})" if isinstance(one, Sampler) else str(one.tolist()) for one in (self.left, self.right)]
        return f" {self.symbol} ".join(sides)


@dataclass(frozen=True, eq=False, repr=False)
class Applied(Sampler):
    """A function of the points. It is tried on three points at once, so that a wrong one is refused here."""

    inner: Sampler
    function: Callable[[np.ndarray], np.ndarray]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise PlanError(f"apply needs a function of points (n, {self.inner.dim}), received {shown(self.function)}")
        _ = self._trial

    @cached_property
    def _trial(self) -> np.ndarray:
        """Three points, for their columns and their dtype."""
        return self.draw(Bits(0, stream="/trial"), np.arange(3))

    @property
    def dim(self) -> int:
        """Columns of what the function returns."""
        return int(self._trial.shape[1])

    @property
    def frame(self) -> Frame | None:
        """See `Sampler.frame`."""
        return self.inner.frame

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`; the function is never asked about no points, which few would stand."""
        if not len(positions):
            return self._trial[:0].copy()
        points = self.inner.draw(bits, positions)
        return as_columns(self.function(points), len(points), "apply", self.function)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.function

    def __repr__(self) -> str:
        return f"({self.inner!r}).apply({getattr(self.function, '__name__', self.function)})"


def as_columns(result: Any, num: int, what: str, function: Any) -> np.ndarray:
    """What a user's function returned, as `(num, k)`.

    Raises:
        PlanError: another number of points.
    """
    array = np.asarray(result)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) != num or array.shape[1] < 1:
        raise PlanError(
            f"{what}: {getattr(function, '__name__', function)} got {num} points and returned shape "
            f"{np.shape(result)}, expected ({num},) or ({num}, k)"
        )
    return array
