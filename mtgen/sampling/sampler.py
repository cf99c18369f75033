"""The base of all samplers: a law, a weight, a dimension; operators that build new ones, and the ways to draw.

A sampler is an immutable value. It holds no generator state: the point at a position is a function of (seed, epoch,
position) alone, whoever asks, in whatever pieces. The operators, with Python's own precedence:

    0.3 & a     the weight scaled            a | b    mixture, by weight
    a & b       product: columns of both     a @ b    dependent product: for each row of a, a point of b
    + - * / // % **  -a                      on points, with numbers, arrays and samplers (drawn independently)
    a[0] a[:, 1:]                            columns
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from mtgen.errors import NoDensityError, PlanError
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.describing.methods import DescribeMethods
from mtgen.sampling.places.methods import PlaceMethods
from mtgen.sampling.structure import digest_of
from mtgen.sampling.values import check_count
from mtgen.settings import check_whole_or_none, shown

if TYPE_CHECKING:
    from mtgen.sampling.dependent import Dependent

Frame = Literal["pixels"]
"""What a point's coordinates count: pixels of the picture or volume. A law without a frame does not say; where patches
are cut, its coordinates are shares of the array, in [0, 1)."""


@dataclass(frozen=True, eq=False, repr=False)
class Sampler(PlaceMethods, DescribeMethods, ABC):
    """An immutable law over points of `dim` numbers, with a weight.

    Any thread. Equal by structure, hashable; picklable if its functions are.

    Attributes:
        weight: share of it in a mixture, relative to the other components; finite, >= 0.
        label: what a mixture calls it, see `mix`; decides no point and no equality.
        dim: columns of a point.
        frame: what coordinates count, or None where that is not said.
        discrete: for each column, whether its values are counted (`log_prob` is of a probability) or measured (of a
            density).
    """

    weight: float = field(default=1.0, kw_only=True)
    label: str | None = field(default=None, kw_only=True)

    # NumPy arrays and numbers leave operators to the sampler.
    __array_ufunc__ = None

    @property
    @abstractmethod
    def dim(self) -> int:
        """Columns of a point."""

    @property
    def frame(self) -> Frame | None:
        """What coordinates count: pixels, or None where the law does not say."""
        return None

    @property
    def discrete(self) -> tuple[bool, ...]:
        """Which columns hold counted values."""
        return (False,) * self.dim

    @abstractmethod
    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """Points `(n, dim)` at int64 `(n,)` positions: each a function of its own position only."""

    @abstractmethod
    def structure(self) -> tuple[Any, ...]:
        """What decides the law, without the weight: plain values, arrays, functions, samplers."""

    @abstractmethod
    def __repr__(self) -> str: ...

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Natural logarithm of the density at `(n, dim)` points, float64 `(n,)`; see `log_prob`."""
        raise NoDensityError(f"the density of {self!r} is not known, so there is no log_prob")

    @property
    def stack_key(self) -> Hashable | None:
        """Samplers of equal keys can be drawn by one call of `draw_stacked`; None where that is not known."""
        return None

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """The points of several samplers of one key: at each position exactly that of `laws[which]`, drawn alone.

        Args:
            laws: the samplers.
            bits: their words; `bits.which` says whose each position is.
            positions: int64 `(n,)`.
        """
        raise TypeError(f"{cls.__name__} has no stack_key, so its points are drawn one sampler at a time")

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """The probability of `low <= x <= high`, and the law inside; None if only rejection can tell.

        The law may be anything where the probability is 0. A law implements this or `log_condition`.
        """
        if type(self).log_condition is Sampler.log_condition:
            return None
        found = self.log_condition(low, high)
        return None if found is None else (math.exp(found[0]), found[1])

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """`condition` with the natural logarithm of the probability, which may be below all of float64."""
        found = self.condition(low, high)
        return None if found is None else (math.log(found[0]) if found[0] > 0 else -math.inf, found[1])

    def listed_where(self, keeps: Callable[[np.ndarray], np.ndarray]) -> Sampler | None:
        """For a law that has its points in an order: those that a test of `(n, dim)` keeps, in that order; else None.

        Raises:
            EmptySupportError: none is kept.
        """
        return None

    # --- drawing --------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0, *, epoch: int = 0, start: int = 0, block: int | None = None) -> np.ndarray:
        """Points at `n` positions from `start` on.

        Pure, any thread; the array is new. `sample(10)` is `sample(4)` followed by `sample(6, start=4)`.

        Args:
            n: points, >= 0.
            seed: integer >= 0; equal seeds give equal points.
            epoch: integer >= 0; epochs are unrelated.
            start: first position, >= 0.
            block: keep the shares of a mixture in each block of so many positions, to within one point; None draws
                independently.

        Returns:
            `(n, dim)`; object dtype where columns have no common one, such as text and numbers.

        Raises:
            PlanError: arguments that are no whole numbers >= 0.
            EmptySupportError: no point can be found.

        Example:
            >>> from mtgen import sampling as S
            >>> (0.3 & S.constant(1) | 0.7 & S.constant(2)).sample(10, seed=0, block=10).ravel().tolist().count(1)
            3
        """
        num, start = check_count("n", n), check_count("start", start)
        check_count("start + n", start + num)
        if block is not None:
            check_whole_or_none("block", block, 1)
        bits = Bits(seed, epoch, block=block)
        bits.key()  # refuses a wrong seed or epoch
        return self.draw(bits, np.arange(start, start + num))

    def log_prob(self, points: Any) -> np.ndarray:
        """Natural logarithm of the density, or of the probability where values are counted.

        Pure, any thread.

        Args:
            points: `(n, dim)`, or `(dim,)` for one.

        Returns:
            float64 `(n,)`; -inf outside the support. The weight does not count.

        Raises:
            NoDensityError: it is not known, such as after `apply` or a rejection.
            PlanError: points of another dimension.

        Example:
            >>> from mtgen import sampling as S
            >>> S.uniform(0, 2).log_prob([[1.0], [3.0]]).round(3).tolist()
            [-0.693, -inf]
        """
        given = np.asarray(points)
        if given.dtype.kind in "US" and not isinstance(points, np.ndarray):
            given = np.array(points, object)  # numbers beside text stay numbers
        if given.ndim == 1 and (self.dim > 1 or len(given) == 1):
            given = given[None, :]
        if given.ndim != 2 or given.shape[1] != self.dim:
            raise PlanError(f"log_prob needs points of shape (n, {self.dim}), received {np.shape(points)}")
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.log_density(given), np.float64)

    # --- building -------------------------------------------------------------------------------------------------

    def truncate(
        self,
        high: Any = None,
        low: Any = None,
        expr: Callable[[np.ndarray], Any] | None = None,
        prob: float = 0.5,
        *,
        each: bool = False,
        tries: int = 1 << 20,
    ) -> Sampler:
        """The law under the condition `low <= x <= high`, in every column; see `mtgen.sampling.truncation`.

        Example:
            >>> from mtgen import sampling as S
            >>> bool((S.normal().truncate(high=9, low=8).sample(100) >= 8).all())
            True
        """
        from mtgen.sampling.truncation import truncate

        return truncate(self, high, low, expr, prob, each=each, tries=tries)

    def inside(self, low: Any = None, high: Any = None) -> Sampler:
        """`truncate` with its bounds in the order of a number line."""
        return self.truncate(high, low)

    def apply(self, function: Callable[[np.ndarray], np.ndarray]) -> Sampler:
        """The law of `function(points)`; it gets `(n, dim)` and returns `(n,)` or `(n, k)`, row by row alike.

        Example:
            >>> from mtgen import sampling as S
            >>> S.uniform(0, 9).apply(np.floor).sample(2, seed=0).shape
            (2, 1)
        """
        from mtgen.sampling.arithmetic import Applied

        return Applied(self, function, weight=self.weight)

    def reweighted(self, weight: float) -> Self:
        """The same law with another weight."""
        other = copy.copy(self)
        object.__setattr__(other, "weight", check_weight(weight))
        return other

    def mixture(self, others: list[Sampler]) -> Sampler:
        """This one and others, by weight; what `|` builds."""
        from mtgen.sampling.mixture import mixture_of

        return mixture_of([self, *others])

    # --- operators ------------------------------------------------------------------------------------------------

    def __or__(self, other: Any) -> Sampler:
        other = as_sampler(other)
        return NotImplemented if other is None else self.mixture([other])

    def __ror__(self, other: Any) -> Sampler:
        other = as_sampler(other)
        return NotImplemented if other is None else other.mixture([self])

    def __and__(self, other: Any) -> Sampler:
        if is_number(other):
            return self.reweighted(self.weight * check_weight(other))
        other = as_sampler(other)
        if other is None:
            return NotImplemented
        from mtgen.sampling.product import product_of

        return product_of([self, other])

    def __rand__(self, other: Any) -> Sampler:
        if is_number(other):
            return self & other
        other = as_sampler(other)
        return NotImplemented if other is None else other & self

    def __matmul__(self, other: Any) -> Dependent:
        from mtgen.sampling.dependent import dependent_of

        return dependent_of(self, other)

    def __rmatmul__(self, other: Any) -> Sampler:
        other = as_sampler(other)
        return NotImplemented if other is None else other @ self

    def __getitem__(self, key: Any) -> Sampler:
        from mtgen.sampling.product import columns_of

        return columns_of(self, key)

    def __iter__(self) -> Any:
        raise TypeError("a sampler is a law, not a list: sample(n) draws points, plan(...) gives the rows of an epoch")

    def _arithmetic(self, symbol: str, other: Any, *, reflected: bool = False) -> Sampler:
        from mtgen.sampling.arithmetic import arithmetic_of

        return arithmetic_of(symbol, *((other, self) if reflected else (self, other)))

    def __add__(self, other: Any) -> Sampler:
        return self._arithmetic("+", other)

    def __radd__(self, other: Any) -> Sampler:
        return self._arithmetic("+", other, reflected=True)

    def __sub__(self, other: Any) -> Sampler:
        return self._arithmetic("-", other)

    def __rsub__(self, other: Any) -> Sampler:
        return self._arithmetic("-", other, reflected=True)

    def __mul__(self, other: Any) -> Sampler:
        return self._arithmetic("*", other)

    def __rmul__(self, other: Any) -> Sampler:
        return self._arithmetic("*", other, reflected=True)

    def __truediv__(self, other: Any) -> Sampler:
        return self._arithmetic("/", other)

    def __rtruediv__(self, other: Any) -> Sampler:
        return self._arithmetic("/", other, reflected=True)

    def __floordiv__(self, other: Any) -> Sampler:
        return self._arithmetic("//", other)

    def __rfloordiv__(self, other: Any) -> Sampler:
        return self._arithmetic("//", other, reflected=True)

    def __mod__(self, other: Any) -> Sampler:
        return self._arithmetic("%", other)

    def __rmod__(self, other: Any) -> Sampler:
        return self._arithmetic("%", other, reflected=True)

    def __pow__(self, other: Any) -> Sampler:
        return self._arithmetic("**", other)

    def __rpow__(self, other: Any) -> Sampler:
        return self._arithmetic("**", other, reflected=True)

    def __neg__(self) -> Sampler:
        return self._arithmetic("*", -1)

    # --- identity -------------------------------------------------------------------------------------------------

    def digest(self) -> str:
        """32 hex digits that decide equality; equal in every process."""
        return digest_of((type(self).__name__, float(self.weight), self.structure()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampler) and (self is other or self.digest() == other.digest())

    def __hash__(self) -> int:
        return hash(self.digest())

    def __bool__(self) -> bool:
        raise TypeError("a sampler is neither true nor false; write a | b and a & b, not `or` and `and`")


def is_number(value: Any) -> bool:
    """Whether a value is one real number, Python's or NumPy's; True and False are none."""
    if isinstance(value, bool | np.bool_):
        return False
    return isinstance(value, int | float | np.integer | np.floating)


def check_weight(value: Any) -> float:
    """A weight, as a float.

    Raises:
        PlanError: no real number, negative, NaN or infinite.
    """
    if not is_number(value):
        raise PlanError(f"a weight must be a real number >= 0, received {shown(value)}")
    weight = float(value)
    if not 0 <= weight < np.inf:
        raise PlanError(f"a weight must be finite and >= 0, received {shown(value)}")
    return weight


def as_sampler(value: Any) -> Sampler | None:
    """The value if it is a sampler, the law over its rows if it is `data.rows`, else None.

    Raises:
        PlanError: a bool, which is no weight.
    """
    if isinstance(value, Sampler):
        return value
    if isinstance(value, bool | np.bool_):
        raise PlanError(f"a weight must be a real number >= 0, received {shown(value)}")
    uniform = getattr(value, "uniform", None)
    if isinstance(value, np.ndarray) and callable(uniform):
        law = uniform()
        return law if isinstance(law, Sampler) else None
    return None


def frame_of_any(samplers: Iterable[Sampler]) -> Frame | None:
    """Pixels if one of the samplers counts in them: columns side by side, or noise on points in pixels."""
    return "pixels" if any(one.frame == "pixels" for one in samplers) else None
