"""`data.rows`: a dataset's list of rows, an array like any other, that also gives the laws over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.dependent import dependent_of
from mtgen.sampling.row_plans.balanced import BalancedRows, balanced
from mtgen.sampling.row_plans.base import RowSampler
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.row_plans.weighted import WeightedRows
from mtgen.sampling.row_plans.weights import EvenWeights, weights_of
from mtgen.sampling.sampler import Sampler, as_sampler, is_number
from mtgen.settings import check_flag, check_label, check_whole, shown
from mtgen.table import complete_column


class _Dataset(Protocol):
    """What is asked of a dataset."""

    @property
    def rows(self) -> np.ndarray: ...
    @property
    def table(self) -> pd.DataFrame: ...
    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]: ...


class DatasetRows(np.ndarray):
    """The rows of a dataset, int64 `(n,)` places in its root table, and the laws over them.

    An array: slices, arithmetic and functions of it give plain arrays. Read-only; any thread; picklable.

    Example:
        >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 2, 3]}), inputs={"a": mtgen.Columns("a")})
        >>> data.rows.tolist(), type(data.rows[1:]).__name__
        ([0, 1, 2], 'ndarray')
        >>> sorted(data.rows.where(data.table["a"] > 1).plan()[:].tolist())
        [1, 2]
    """

    _dataset: _Dataset | None

    def __array_finalize__(self, other: Any) -> None:
        self._dataset = None

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(one, Sampler) for one in inputs):
            return NotImplemented
        if "out" in options:
            options["out"] = tuple(_plain(one) for one in options["out"])
        return getattr(ufunc, method)(*(_plain(one) for one in inputs), **options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return function(*_plain(args), **_plain(options))

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def copy(self, order: Any = "C") -> Any:
        """A plain array."""
        return np.array(self, order=order)

    def astype(self, dtype: Any, *args: Any, **options: Any) -> Any:
        """A plain array."""
        return np.asarray(self).astype(dtype, *args, **options)

    def __reduce__(self) -> Any:
        if self._dataset is None:
            return np.asarray(self).__reduce__()
        return _rows_of, (self._dataset,)

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    # --- laws -----------------------------------------------------------------------------------------------------

    @property
    def _of(self) -> _Dataset:
        if self._dataset is None:
            raise PlanError(
                "this array was computed from a dataset's rows and is not its list of rows any more; take data.rows"
            )
        return self._dataset

    @property
    def source(self) -> Source:
        """What the laws are over."""
        dataset = self._of
        return Source(len(self), np.asarray(self), dataset.table, dataset.classes)

    def uniform(self) -> WeightedRows:
        """Every row alike: an epoch is a shuffle.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 2, 3]}), inputs={"a": mtgen.Columns("a")})
            >>> sorted(data.rows.uniform().plan(6)[:].tolist())
            [0, 0, 1, 1, 2, 2]
        """
        return WeightedRows(self.source, EvenWeights(len(self)))

    def where(self, condition: Any) -> RowSampler:
        """The rows that meet a condition, all alike; see `RowSampler.where`."""
        return self.uniform().where(condition)

    def weighted(
        self,
        weights: Any,
        *,
        replace: bool = True,
        limit: int | None = None,
        percent: float | None = None,
        weight_choice: Literal["max", "sum"] | None = None,
        fill: bool = False,
    ) -> WeightedRows:
        """Rows by weight.

        Args:
            weights: a column; an expression such as `"max_weight(label == 'ill': 5, True: 1)"`; or one number >= 0
                per row of the table or of this dataset: a list, an array, a Series.
            replace: False: no row twice in an epoch, heavy rows early.
            limit: positions of an epoch; None for as many as rows (without replacement: as can come).
            percent: the same as a share of the rows, whole rows of it; instead of `limit`.
            weight_choice: `"max"` or `"sum"` of the weights of the conditions that are true, for an expression that is
                only a list of `condition: weight`.
            fill: without replacement, go on with rows of weight 0 when there are no others left, with a warning.

        Raises:
            PlanError: weights that cannot be weights; an expression that cannot be read; more rows than there are.
            EmptySupportError: all weights are 0.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 0, 3]}), inputs={"a": mtgen.Columns("a")})
            >>> data.rows.weighted("a").prob.tolist(), len(data.rows.weighted([1, 1, 2], percent=200).plan())
            ([0.25, 0.0, 0.75], 6)
        """
        source = self.source
        found = weights_of(self._values(source, weights, weight_choice), len(self))
        law = WeightedRows(source, found, replace=check_flag("replace", replace), fill=check_flag("fill", fill))
        return law if limit is None and percent is None else law.sized(_limited(len(self), limit, percent))

    def _values(self, source: Source, weights: Any, choice: Literal["max", "sum"] | None) -> Any:
        if not isinstance(weights, str):
            if choice is not None:
                raise PlanError("weight_choice is for an expression in words, weights were given as numbers")
            return source.aligned(weights, "weights")
        table, rows = source.need_table("weights in words")
        if choice is None and weights in table.columns:
            return complete_column(table, weights, "weights", rows)
        from mtgen.sampling.query import parse_weights

        return parse_weights(weights).values(table, rows, source.classes, choice)

    def sampled(self, clause: str) -> WeightedRows:
        """Rows as a `SAMPLE BY` clause says: `[WHERE ...] SAMPLE BY weights [REPLACE TRUE|FALSE] [LIMIT n [PERCENT]]`.

        As in Deep Lake's query language: without replacement a limit above the number of rows gives what there is,
        and rows of weight 0 come after all others, which a warning counts. All weights 0 is an error.

        Example:
            >>> data = mtgen.Dataset(pd.DataFrame({"a": [1, 0, 3]}), inputs={"a": mtgen.Columns("a")})
            >>> sorted(data.rows.sampled("WHERE a > 0 SAMPLE BY a REPLACE FALSE LIMIT 2").plan()[:].tolist())
            [0, 2]
        """
        from mtgen.sampling.query import parse_clause

        source = self.source
        table, rows = source.need_table("a clause")
        found = parse_clause(clause)
        chosen = np.asarray(found.chosen(table, rows, source.classes), np.int64)
        if not len(chosen):
            raise EmptySupportError(
                f"no row reaches the sampler of {clause!r}: none meets WHERE, or the limits leave none"
            )
        places = source.places_of(chosen)
        among = np.zeros(len(self), bool)
        among[places] = True
        values = np.zeros(len(self))
        if found.weights is None:
            values[places] = 1
        else:
            values[places] = found.weights.values(table, chosen, source.classes, None)
        law = WeightedRows(
            source, weights_of(values), among, replace=bool(found.replace), fill=not found.replace, clamp=True
        )
        return law.sized(found.size(len(chosen)))

    def balanced(
        self,
        by: Any,
        target: Mapping[Any, float] | None = None,
        *,
        over: float | None = None,
        under: float | None = None,
        counts: Mapping[Any, int] | None = None,
        exact: bool = False,
    ) -> BalancedRows:
        """Rows of rare classes more often, of frequent ones less often, as a plan with floor or ceil copies of each.

        A row of a class with share p of the rows and target share t comes `max(r**over, 1) * min(r**under, 1)` times,
        r = t / p. Its copies are spread over the epoch: all rows of a class come before one of them comes again.

        Args:
            by: a label column; several, for classes that are tuples with a value of each; or labels, one per row.
            target: class -> share, for every class, summing to 1; None for equal shares.
            over: 1 repeats rare classes all the way, 0 repeats nothing; None for 0.9.
            under: 1 leaves out rows of frequent classes all the way, 0 leaves out nothing; None for 0.5.
            counts: class -> positions per epoch, exactly, for every class; instead of all that.
            exact: the largest subset that has the target's shares, to within a row of each class, no row twice;
                instead of `over` and `under`.

        Raises:
            PlanError: settings that contradict each other; missing labels; a class that is not there, or not named.

        Example:
            >>> table = pd.DataFrame({"a": range(12), "label": [0] * 9 + [1] * 3})
            >>> data = mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")})
            >>> plan = data.rows.balanced("label", over=1, under=1).plan()
            >>> table["label"].iloc[plan[:]].value_counts().tolist()
            [6, 6]
        """
        source = self.source
        names = list(by) if isinstance(by, list | tuple) and all(isinstance(one, str) for one in by) else [by]
        if isinstance(by, np.ndarray | pd.Series) or (
            names == [by] and isinstance(by, Sequence) and not isinstance(by, str)
        ):
            labels, names = [source.aligned(by, "labels")], ["labels"]
        else:
            if not names:
                raise PlanError("balanced needs a label column, received an empty list")
            for name in names:
                check_label("by", name)
            table, rows = source.need_table("balanced")
            labels = [complete_column(table, name, "balanced", rows) for name in names]
        return balanced(source, labels, names, target=target, over=over, under=under, counts=counts, exact=exact)

    def __matmul__(self, other: Any) -> Any:
        if as_sampler(other) is not None or (callable(other) and not isinstance(other, np.ndarray)):
            return dependent_of(self.uniform(), other)
        return np.asarray(self) @ other


def dataset_rows(rows: np.ndarray, dataset: Any) -> DatasetRows:
    """A dataset's rows as `DatasetRows`; no copy."""
    found = rows.view(DatasetRows)
    found._dataset = dataset
    return found


def _rows_of(dataset: _Dataset) -> np.ndarray:
    return dataset.rows


def _plain(value: Any) -> Any:
    if isinstance(value, DatasetRows):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if not hasattr(value, "_fields") else value
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value


def _limited(num: int, limit: int | None, percent: float | None) -> int:
    if limit is not None and percent is not None:
        raise PlanError(f"limit={limit!r} and percent={percent!r} both say the size: give one of them")
    if limit is not None:
        return check_whole("limit", limit, 1)
    if percent is None or not is_number(percent) or not 0 < percent < np.inf:
        raise PlanError(f"percent must be a number > 0, received {shown(percent)}")
    # The number as it is written: 0.1 is no float.
    size = int(Fraction(str(percent)) * num / 100)
    if not size:
        raise PlanError(f"percent={percent!r} of {num} rows is less than a row")
    return size
