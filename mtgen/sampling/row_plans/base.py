"""The base of all laws over rows: what they promise, how they are narrowed, and the plans they give."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.importance import importance
from mtgen.sampling.row_plans.orders import RowOrder
from mtgen.sampling.row_plans.plan import RowPlan
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.shares import MOST_BLOCK
from mtgen.sampling.truncation import rejected
from mtgen.sampling.values import check_count
from mtgen.settings import check_whole_or_none, shown

if TYPE_CHECKING:
    from mtgen.sampling.describing.rows import RowDescription

Evenness = Literal["even", "iid"]
"""`"even"`: as near to the expected numbers as whole numbers allow; `"iid"`: independent draws."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a law becomes an order.

    Args:
        spread: `"even"`, each row floor or ceil of its share of the epoch; `"iid"`, independent draws.
        share: `"even"`, each component of a mixture within one of its share of each block; `"iid"`, by chance.
        block: positions of a block; None for one block, the epoch.
        replace: whether a row may come more than once; None as the law says.

    Raises:
        PlanError: anything else.
    """

    spread: Evenness = "even"
    share: Evenness = "even"
    block: int | None = None
    replace: bool | None = None

    def __post_init__(self) -> None:
        for name, value in (("spread", self.spread), ("share", self.share)):
            if value not in ("even", "iid"):
                raise PlanError(f'{name} must be "even" or "iid", received {shown(value)}')
        check_whole_or_none("block", self.block, 1)
        if self.block is not None and self.block > MOST_BLOCK:
            raise PlanError(f"block must be at most {MOST_BLOCK}, received {self.block}")
        if not isinstance(self.replace, bool | np.bool_ | None):
            raise PlanError(f"replace must be True, False or None, received {shown(self.replace)}")
        if self.replace is False and self.spread == "iid":
            raise PlanError('spread="iid" draws rows independently, so rows may repeat; replace=False contradicts it')


@dataclass(frozen=True, eq=False, repr=False)
class RowSampler(Sampler):
    """A law over rows: one column, int64, so that any row number survives.

    Laws of a dataset give rows of its root table, others places 0 to n-1. Mixtures of them are laws over rows too.

    Attributes:
        size: positions of an epoch, where that was chosen with `sized`.
    """

    size: int | None = field(default=None, kw_only=True)

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return 1

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return (True,)

    # --- what each law says ---------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def source(self) -> Source:
        """The rows it is over."""

    @property
    @abstractmethod
    def natural_size(self) -> int:
        """Positions of an epoch, unless it was `sized`."""

    @abstractmethod
    def reach(self) -> np.ndarray | None:
        """Which places it can take or was asked about, bool `(num_rows,)`; None for all."""

    @abstractmethod
    def can_come(self) -> np.ndarray:
        """Which places an order can hold, bool `(num_rows,)`."""

    @abstractmethod
    def probabilities(self, places: np.ndarray) -> np.ndarray:
        """Expected share of positions that hold each place, float64 `(n,)`."""

    @abstractmethod
    def restricted(self, mask: np.ndarray, *, each: bool) -> tuple[float, RowSampler]:
        """The probability of the places of a mask, and the law among them.

        Raises:
            EmptySupportError: it takes none of them.
        """

    def checked_size(self, size: int, how: Spread) -> int:
        """Positions that an epoch of `size` has, fewer where the law says so.

        Raises:
            PlanError: it cannot have so many, or not in this way.
        """
        return size

    @abstractmethod
    def order_of(self, size: int, how: Spread, bits: Bits) -> RowOrder:
        """The order of an epoch, of a size that was checked."""

    # --- building -------------------------------------------------------------------------------------------------

    def sized(self, size: int) -> Self:
        """The same law with epochs of `size` positions.

        Example:
            >>> from mtgen import sampling as S
            >>> len(S.rows(10).sized(25).plan())
            25
        """
        return replace(self, size=check_count("size", size, 1))

    def where(self, condition: Any, *, each: bool = False) -> RowSampler:
        """The law among the rows that meet a condition.

        Args:
            condition: text such as `"split == 'train'"` for laws of a dataset, or one bool per row.
            each: put the condition on each component of a mixture and keep their shares; else components that meet it
                more often have more.

        Raises:
            EmptySupportError: no row that can come meets it.
            PlanError: a condition of another length or kind.

        Example:
            >>> from mtgen import sampling as S
            >>> sorted(S.rows(4).where([True, False, False, True]).plan()[:].tolist())
            [0, 3]
        """
        mask = self.source.mask(condition)
        try:
            _, law = self.restricted(mask, each=each)
        except EmptySupportError as error:
            met = f"{int(mask.sum())} of {len(mask)} rows meet it"
            raise EmptySupportError(f"no row that can come meets the condition {shown(condition)}: {met}") from error
        return law.reweighted(self.weight)

    def truncate(
        self,
        high: Any = None,
        low: Any = None,
        expr: Callable[[np.ndarray], Any] | None = None,
        prob: float = 0.5,
        *,
        each: bool = False,
        tries: int = 1 << 20,
    ) -> RowSampler:
        """The law among rows with `low <= row <= high`, or as `expr` says of rows `(n, 1)`; exact, nothing is rejected.

        Example:
            >>> from mtgen import sampling as S
            >>> sorted(S.rows(9).truncate(high=6, low=5).plan()[:].tolist())
            [5, 6]
        """
        condition = rejected(self, high, low, expr, prob, tries=tries)
        mask = condition.keeps(self.source.rows_at(np.arange(self.source.num_rows))[:, None])
        try:
            _, law = self.restricted(mask, each=each)
        except EmptySupportError as error:
            raise EmptySupportError(f"no row of {self!r} meets the condition of truncate") from error
        return law.reweighted(self.weight)

    def mixture(self, others: list[Sampler]) -> Sampler:
        """See `Sampler.mixture`: with other laws over rows, a law over rows."""
        from mtgen.sampling.row_plans.mixture import row_mixture_of

        if all(isinstance(other, RowSampler) for other in others):
            return row_mixture_of([self, *others])
        return super().mixture(others)

    @overload
    def __or__(self, other: RowSampler) -> RowSampler: ...
    @overload
    def __or__(self, other: Any) -> Sampler: ...
    def __or__(self, other: Any) -> Sampler:
        return super().__or__(other)

    @overload
    def __and__(self, other: float) -> Self: ...
    @overload
    def __and__(self, other: Any) -> Sampler: ...
    def __and__(self, other: Any) -> Sampler:
        return super().__and__(other)

    @overload
    def __rand__(self, other: float) -> Self: ...
    @overload
    def __rand__(self, other: Any) -> Sampler: ...
    def __rand__(self, other: Any) -> Sampler:
        return super().__rand__(other)

    # --- asking ---------------------------------------------------------------------------------------------------

    @property
    def epoch_size(self) -> int:
        """Positions of an epoch."""
        return self.natural_size if self.size is None else self.size

    @property
    def prob(self) -> np.ndarray:
        """Expected share of the positions that each row has, float64 `(num_rows,)`, summing to 1."""
        return self.probabilities(np.arange(self.source.num_rows))

    def probability(self, rows: Any) -> np.ndarray:
        """Expected share of the positions that rows have.

        Args:
            rows: integers `(n,)`.

        Returns:
            float64 `(n,)`; 0 for rows that it is not over.

        Raises:
            NoDensityError: a law without replacement: what came cannot come again, so shares change with the position.

        Example:
            >>> from mtgen import sampling as S
            >>> S.rows(weights=[1, 3]).probability([1, 0, 7]).tolist()
            [0.75, 0.25, 0.0]
        """
        places = self._places_of("probability", rows)
        found = np.zeros(len(places))
        found[places >= 0] = self.probabilities(places[places >= 0])
        return found

    def _places_of(self, what: str, rows: Any) -> np.ndarray:
        given = np.asarray(rows)
        if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
            raise PlanError(f"{what} needs a list of integer rows, received {given.dtype} of shape {given.shape}")
        return self.source.places_of(given.astype(np.int64))

    def importance(self, rows: Any = None) -> np.ndarray:
        """Weights that undo the law: `1 / (n p)` for a row with share p of the positions, of n rows that can come.

        The mean of a loss over the plan, times these, is its mean over the rows that can come, each once.

        Args:
            rows: integers `(n,)`; None for all rows of the law, in order.

        Returns:
            float32 `(n,)`, for `data.with_weight`; 0 for rows that never come. See `mtgen.sampling.importance`.

        Raises:
            NoDensityError: see `probability`.
            PlanError: a row that comes so seldom that its weight is no float32.

        Example:
            >>> from mtgen import sampling as S
            >>> S.rows(weights=[1, 0, 3]).importance().tolist()
            [2.0, 0.0, 0.6666666865348816]
        """
        weights = importance(self.prob)
        if rows is None:
            return weights
        places = self._places_of("importance", rows)
        return np.where(places >= 0, weights[places], np.float32(0))

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        rows = points[:, 0]
        whole = rows if rows.dtype.kind in "iu" else np.where(rows == np.floor(rows), rows, -1)
        return np.asarray(np.log(self.probability(whole.astype(np.int64))))

    def condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.condition`."""
        rows = self.source.rows_at(np.arange(self.source.num_rows))
        try:
            return self.restricted((rows >= low[0]) & (rows <= high[0]), each=False)
        except EmptySupportError:
            return 0.0, self

    def describe(
        self,
        n: int | None = None,
        seed: int = 0,
        *,
        epoch: int = 0,
        block: int | None = None,
        by: Any = None,
        replace: bool | None = None,
        spread: Evenness = "even",
    ) -> RowDescription:
        """What `plan(n, replace, spread, ...)` gives in an epoch: rows and classes, before, expected and drawn.

        Args:
            n: positions of the epoch; None as the law says.
            seed: integer >= 0.
            epoch: integer >= 0.
            block: batch size; counts each class in each batch, and keeps the shares of a mixture in it.
            by: name of a column, or of several, for laws of a dataset; or one label, or list of labels, per row.
            replace: see `plan`.
            spread: see `plan`.

        Raises:
            PlanError: what no plan can follow, or labels of another number of rows.
            TableError: no such column.

        Example:
            >>> from mtgen import sampling as S
            >>> S.rows(weights=[3, 1, 0]).describe(8, by=["a", "b", "b"]).counts["drawn_rows"].tolist()
            [6, 2]
        """
        from mtgen.sampling.describing.epoch import describe_epoch

        return describe_epoch(self, n, seed, epoch=epoch, block=block, by=by, replace=replace, spread=spread)

    # --- drawing --------------------------------------------------------------------------------------------------

    def plan(
        self,
        size: int | None = None,
        replace: bool | None = None,
        spread: Evenness = "even",
        share: Evenness = "even",
        *,
        seed: int = 0,
        epoch: int = 0,
        shard: Any = (0, 1),
        block: int | None = None,
        batch_size: int | None = None,
    ) -> RowPlan:
        """The rows of one epoch: a sequence with `len`, `plan[t]`, `plan[i:j]`, `plan[array]`, no list held.

        Pure, any thread. Equal arguments give equal plans; epochs and seeds are unrelated.

        Args:
            size: positions of all shards together; None as the law says, mostly its number of rows.
            replace: False: no row twice, heavy rows early; None: as the law says.
            spread: `"even"`: each row floor or ceil of its share of the epoch; `"iid"`: independent draws.
            share: `"even"`: each component of a mixture within one of its share of each block; `"iid"`: by chance.
            seed: integer >= 0.
            epoch: integer >= 0.
            shard: (index, count), or a `Shard`: takes positions index, index + count, ..., or whole blocks, if there
                are any.
            block: positions of a block, part of what decides the plan; None for `batch_size`.
            batch_size: for loops that take so many positions at a time.

        Raises:
            PlanError: settings that contradict each other, or ask for more rows than there are.

        Example:
            >>> from mtgen import sampling as S
            >>> plan = S.rows(weights=[1, 0, 3]).plan(8, seed=1)
            >>> len(plan), sorted(plan[:].tolist()), plan[2] == plan[2:3][0]
            (8, [0, 0, 2, 2, 2, 2, 2, 2], np.True_)
        """
        check_whole_or_none("batch_size", batch_size, 1)
        how = Spread(spread=spread, share=share, block=batch_size if block is None else block, replace=replace)
        num = self.epoch_size if size is None else check_count("size", size)
        bits = Bits(seed, epoch, "/rows")
        bits.key()  # refuses a wrong seed or epoch
        return RowPlan(self.order_of(self.checked_size(num, how), how, bits), self.source, shard, how.block)
