"""Compare each input with the pictures and targets of its own row and of the rows beside it: see `mtgen.card.shift`.

Rows stand beside each other in the table, or, where a store is read in another order, in the store: a store that was
written from its second line on is off by one in its own order, whatever the order of the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from mtgen.card.parts import RUN_ROWS, Parts
from mtgen.card.pictures import Pictures, images_of
from mtgen.card.rows import has_rows, read_rows
from mtgen.card.shift import BESIDE, LEAST_ROWS, ShiftFit, fit_shifts, one_hot, prepared
from mtgen.inputs.columns import BoundColumns
from mtgen.inputs.images import BoundImages
from mtgen.inputs.rows import BoundRows
from mtgen.pending import Field
from mtgen.seeds import key

MOST_ROWS = 1_500
"""Rows that are compared with their neighbours."""

MOST_COLUMNS = 512
"""Columns of a feature row that are compared, taken evenly."""

MOST_CLASSES = 1_000
"""A target of more distinct integers is compared as a number."""

_MARGIN = BESIDE[-1]

OrderName = Literal["table", "store"]


class Order(NamedTuple):
    """Rows beside each other.

    Args:
        name: where they stand.
        store_of: the input whose store it is; empty for the table.
        sequence: int64: rows of the root table, one after the other.
        centres: int64: places in the sequence of the rows that are compared; each has neighbours on both sides.
    """

    name: OrderName
    store_of: str
    sequence: np.ndarray
    centres: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """The rows that are compared."""
        return np.asarray(self.sequence[self.centres])


@dataclass(frozen=True, kw_only=True)
class Join:
    """How two parts of the samples fit at each shift.

    Args:
        first: an input, `first` of row i is held against `second` of row i + shift.
        second: another input, or a target.
        order: where rows stand beside each other.
        fit: the comparison.
    """

    first: str
    second: str
    order: OrderName
    fit: ShiftFit

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        scores = {str(shift): score for shift, score in self.fit.scores.items()}
        return {"first": self.first, "second": self.second, "order": self.order, **asdict(self.fit), "scores": scores}


def orders_of(parts: Parts) -> list[Order]:
    """The table, and each store that is read in another order."""
    num_rows = len(parts.dataset.table)
    table = np.arange(num_rows)
    inside = (parts.rows >= _MARGIN) & (parts.rows < num_rows - _MARGIN)
    orders = [Order("table", "", table, _thinned(parts.rows[inside]))]
    looked = np.zeros(num_rows, bool)
    looked[parts.rows] = True
    for one in parts.dataset.fields:
        if one.role != "input" or not isinstance(one.bound, BoundRows):
            continue
        store_rows = one.bound.store_rows(table)
        if (np.diff(store_rows) == 1).all():
            continue
        distinct, sequence = np.unique(store_rows, return_index=True)
        places = np.arange(_MARGIN, len(distinct) - _MARGIN)
        beside = distinct[places + _MARGIN] - distinct[places - _MARGIN] == 2 * _MARGIN
        orders.append(Order("store", one.name, sequence, _thinned(places[beside & looked[sequence[places]]])))
    return orders


def _thinned(places: np.ndarray) -> np.ndarray:
    """At most `MOST_ROWS` of the places, ascending, in runs that are spread evenly."""
    runs, numbers, lengths = np.unique(places // RUN_ROWS, return_inverse=True, return_counts=True)
    if len(places) <= MOST_ROWS:
        return places
    wanted = max(1, int(MOST_ROWS / lengths.mean()))
    kept = np.zeros(len(runs), bool)
    kept[np.linspace(0, len(runs) - 1, wanted).astype(np.int64)] = True
    return places[kept[numbers]][:MOST_ROWS]


def compare_joins(parts: Parts, orders: list[Order], pictures: dict[str, Pictures], seed: int) -> Iterator[Join]:
    """Every input with every target, and pictures with feature rows; in the order of the fields.

    Args:
        parts: whose fields.
        orders: from `orders_of`.
        pictures: name of an input -> its pictures, with statistics of the rows of all orders.
        seed: decides projections and permutations.

    Raises:
        MtgenError: rows that cannot be read.
    """
    inputs = [one for one in parts.dataset.fields if one.role == "input"]
    seen = [one for one in inputs if isinstance(one.bound, BoundImages) and one.name in pictures]
    read = [one for one in inputs if images_of(one) is None and has_rows(one)]
    targets = [one for one in parts.dataset.fields if one.role == "target" and isinstance(one.bound, BoundColumns)]
    for order in orders:
        rows = _Rows(order, parts, seed)
        for one in seen:
            for other in (*read, *targets):
                if order.name == "table" or order.store_of == other.name:
                    yield rows.compare_pictures(one, other, pictures[one.name])
        for one in read:
            for other in targets:
                if order.name == "table" or order.store_of == one.name:
                    yield rows.compare(one, other)


class _Rows:
    """The rows of one order, with their neighbours, and what was read of them."""

    def __init__(self, order: Order, parts: Parts, seed: int) -> None:
        self._order, self._seed = order, seed
        around = order.centres[:, None] + np.arange(-_MARGIN, _MARGIN + 1)
        self._places, numbers = np.unique(around, return_inverse=True)
        self._around = numbers.reshape(around.shape)
        self._runs = order.centres // RUN_ROWS
        self._place_of = {row: place for place, row in enumerate(parts.rows.tolist())}
        self._read: dict[tuple[str, str], np.ndarray] = {}

    def compare(self, one: Field, other: Field) -> Join:
        design = self._values(one)[self._around[:, _MARGIN]]
        return self._join(one, other, design, np.arange(len(design)))

    def compare_pictures(self, one: Field, other: Field, pictures: Pictures) -> Join:
        places = [self._place_of[row] for row in self._order.rows.tolist()]
        known = np.array([place in pictures.statistics for place in places], bool)
        found = [pictures.statistics[place] for place in places if place in pictures.statistics]
        stacked = np.stack(found) if found else np.empty((0, 1))
        return self._join(one, other, prepared(stacked, self._rng("pictures", one.name)), np.flatnonzero(known))

    def _join(self, one: Field, other: Field, design: np.ndarray, kept: np.ndarray) -> Join:
        values = self._values(other)
        responses = {shift: values[self._around[kept, _MARGIN + shift]] for shift in BESIDE}
        rng = self._rng("join", one.name, other.role, other.name)
        fit = fit_shifts(design, responses, self._runs[kept], rng)
        return Join(first=one.name, second=other.name, order=self._order.name, fit=fit)

    def _values(self, one: Field) -> np.ndarray:
        """The field in all rows of the order, as `prepared` or `one_hot` gives it."""
        known = self._read.get((one.role, one.name))
        if known is not None:
            return known
        rows, rng = self._order.sequence[self._places], self._rng(one.role, one.name)
        if len(self._order.centres) < LEAST_ROWS:
            return np.empty((len(rows), 0))  # too few to be compared, and so not read
        if one.role == "target" and one.spec.dtype.kind in "iub" and not one.spec.shape:
            classes, codes = np.unique(one.bound.take(rows), return_inverse=True)
            made = one_hot(codes, len(classes), rng) if len(classes) <= MOST_CLASSES else prepared(classes[codes], rng)
        else:
            made = prepared(_some_columns(one, rows), rng)
        self._read[one.role, one.name] = made
        return made

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng(key(self._seed, "/".join(("card", self._order.name, *names))))


def _some_columns(one: Field, rows: np.ndarray) -> np.ndarray:
    """Rows of a field as float64 `(n, at most MOST_COLUMNS)`, read a few at a time."""
    size = int(np.prod(one.spec.shape))
    columns = np.unique(np.linspace(0, size - 1, min(size, MOST_COLUMNS)).astype(np.int64))
    parts = np.array_split(rows, max(1, len(rows) * one.spec.row_bytes // (16 << 20)))
    return np.concatenate(
        [read_rows(one, part).reshape(len(part), -1)[:, columns].astype(np.float64) for part in parts]
    )
