"""Order laws of a loader: by the word for its shuffle, or a law over rows, with its settings for the state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.dependent import Dependent
from mtgen.sampling.order import Blocks, Exact, OrderLaw, Sequential
from mtgen.sampling.row_plans.base import Evenness, RowSampler, Spread
from mtgen.sampling.row_plans.dataset_rows import DatasetRows
from mtgen.sampling.row_plans.mixture import RowMixture
from mtgen.sampling.row_plans.orders import Bounds, RowOrder
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.sampler import Sampler, as_sampler
from mtgen.settings import shown


@dataclass(frozen=True, eq=False, repr=False)
class RowOrderLaw:
    """What a loader asks for its order, of a law over rows. Immutable; any thread; picklable.

    `Loader(data, 64, sampler=law)` makes one with blocks of its batch size; make one yourself for another spread.

    Args:
        law: over rows.
        spread: see `RowSampler.plan`.
        share: see `RowSampler.plan`.
        block: positions of a block, in which a mixture keeps its shares; None for the loader's batch size.
        repeats: positions in a row that have the same row, such as windows of one picture.
        points: digest of what the rows are a part of, such as `rows @ points`; part of the settings.
        places: int64, the dataset's place of each of the law's; None where they are the same. The loader sets it.
        joint: `rows @ points` itself, for who wants the points.

    Raises:
        PlanError: an order of this kind that the law cannot have.

    Example:
        >>> from mtgen import sampling as S
        >>> law = RowOrderLaw(S.rows(weights=[1, 3]), spread="iid")
        >>> law.size(2), law.order(2, seed=0, epoch=0).at(np.arange(2)).shape
        (2, (2,))
    """

    law: RowSampler
    spread: Evenness = "even"
    share: Evenness = "even"
    block: int | None = None
    repeats: int = 1
    points: str | None = None
    places: np.ndarray | None = None
    joint: Dependent | None = None

    def __post_init__(self) -> None:
        _ = self._size

    @property
    def _how(self) -> Spread:
        return Spread(spread=self.spread, share=self.share, block=self.block)

    @cached_property
    def _size(self) -> int:
        return self.law.checked_size(self.law.epoch_size, self._how)

    def size(self, num_rows: int) -> int:
        """See `OrderLaw.size`."""
        return self._size * self.repeats

    def order(self, num_rows: int, *, seed: int, epoch: int) -> PlacedOrder:
        """See `OrderLaw.order`."""
        bits = Bits(seed, epoch, "/rows")
        return PlacedOrder(self.law.order_of(self._size, self._how, bits), self.places, self.repeats, num_rows)

    def settings(self) -> dict[str, Any]:
        """See `OrderLaw.settings`: a digest stands for the law and its weights."""
        return dict(self._settings)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "law": "rows",
            "digest": self.law.reweighted(1.0).digest(),
            "spread": self.spread,
            "size": self._size,
        }
        if isinstance(self.law, RowMixture):
            found |= {"share": self.share, "block": self.block}
        if self.points is not None:
            found |= {"points": self.points, "repeats": self.repeats}
        return found

    @property
    def points_of(self) -> Callable[[int, int], Sampler] | None:
        """(row, position) -> the sampler of the point there, of `rows @ points`; None for rows alone."""
        return None if self.joint is None else self._law_of_point

    def _law_of_point(self, row: int, position: int) -> Sampler:
        if self.joint is None:
            raise PlanError(f"{self!r} is over rows alone and knows no points")
        return self.joint.law_of(row)

    @property
    def held_bytes(self) -> int:
        """Bytes that orders hold, at most, of two epochs: of mixtures sums of blocks and the orders of small parts,
        and rows drawn in a race.
        """
        raced = sum(self._size for law in self._laws if not getattr(law, "replace", True))
        if len(self._laws) == 1:
            return 2 * 8 * raced
        blocks = -(-self._size // (self.block or self._size or 1))
        return 2 * 8 * (blocks * len(self._laws) + 2 * self._size + raced)

    @property
    def _laws(self) -> tuple[RowSampler, ...]:
        return self.law.laws if isinstance(self.law, RowMixture) else (self.law,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RowOrderLaw) and self.settings() == other.settings()

    def __hash__(self) -> int:
        return hash(self.law)

    def __repr__(self) -> str:
        spread = "" if self.spread == "even" else ", drawn independently"
        return f"{self.law!r}{spread}" + (f" x {self.repeats}" if self.repeats > 1 else "")


def held_bytes(law: OrderLaw) -> int:
    """Bytes that a law's orders hold beside permutations, for a loader's forecast; 0 where the law does not say."""
    return law.held_bytes if isinstance(law, RowOrderLaw) else 0


class PlacedOrder:
    """An epoch's order as places of a dataset."""

    def __init__(self, order: RowOrder, places: np.ndarray | None, repeats: int, num_rows: int) -> None:
        self._order, self._places, self._repeats, self._num_rows = order, places, repeats, num_rows

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `Order.at`."""
        positions = np.asarray(positions, np.int64)
        found = self._order.at(positions if self._repeats == 1 else positions // self._repeats)
        return found if self._places is None else self._places[found]

    def bounds(self) -> Bounds | None:
        """Least and most often that each place of the dataset comes; None where nothing is promised."""
        found = self._order.bounds()
        if found is None:
            return None
        sides = []
        for side in found:
            placed = side
            if self._places is not None:
                here = self._places >= 0
                placed = np.zeros(self._num_rows, np.int64)
                placed[self._places[here]] = side[here]
            sides.append(placed * self._repeats)
        return sides[0], sides[1]


def shuffle_law(shuffle: object, chunk_rows: int) -> Sequential | Exact | Blocks:
    """The order law of a loader without a sampler.

    Args:
        shuffle: `"exact"`, `"blocks"` or False.
        chunk_rows: rows of a block.

    Raises:
        PlanError: something else.

    Example:
        >>> shuffle_law("blocks", 64).block_rows
        64
    """
    if shuffle == "exact":
        return Exact()
    if shuffle is False:
        return Sequential()
    if shuffle == "blocks":
        return Blocks(chunk_rows)
    raise PlanError(f'shuffle must be "exact", "blocks" or False, received {shuffle!r}')


def order_law_of(sampler: Any, rows: np.ndarray, batch_size: int) -> OrderLaw:
    """The order law that a loader follows for what it was given.

    Args:
        sampler: an order law, a law over rows, or `rows @ points`, of which the rows decide.
        rows: int64 `(n,)`, the dataset's list of rows.
        batch_size: slots of a batch, in which a mixture keeps its shares.

    Raises:
        PlanError: a law over points, a law of other rows, or nothing of the kind.
    """
    given = as_sampler(sampler) if isinstance(sampler, np.ndarray) else sampler
    if isinstance(given, Sampler):
        sampler = _law_of_rows(given)
    if isinstance(sampler, RowOrderLaw):
        _check_table(sampler.law, rows)
        found = replace(sampler, places=_places(sampler.law, rows))
        if found.block is None and isinstance(found.law, RowMixture) and found.share == "even":
            found = replace(found, block=max(1, batch_size // found.repeats))
        return found
    if not isinstance(sampler, OrderLaw):
        raise PlanError(
            "sampler must be a sampler over rows, such as data.rows.weighted(...), or an order law (with size, order "
            f"and settings), or None; received {shown(sampler)}"
        )
    return sampler


def _law_of_rows(sampler: Sampler) -> RowOrderLaw:
    repeats, law = 1, sampler
    while isinstance(law, Dependent):
        repeats, law = repeats * law.repeats, law.rows
    if not isinstance(law, RowSampler):
        raise PlanError(
            f"sampler must be over rows, and {law!r} is over points of {law.dim} columns. Say which rows with "
            "data.rows @ points"
        )
    points = None if law is sampler else sampler.reweighted(1.0).digest()
    joint = sampler if isinstance(sampler, Dependent) else None
    if joint is not None and joint.rows is not law:
        raise PlanError(
            f"{sampler!r} has several products in a row, and a patch is cut at one point: the last one, which follows "
            "from those before. Give the loader rows @ points, with the laws of the points joined before: "
            "points = a & b, or a function row -> law"
        )
    return RowOrderLaw(law, repeats=repeats, points=points, joint=joint)


def _check_table(law: RowSampler, rows: np.ndarray) -> None:
    """Refuse a law of another dataset, whose rows have nothing to do with these.

    Raises:
        PlanError: the law was made from another table.
    """
    theirs = law.source.table
    ours = rows.source.table if isinstance(rows, DatasetRows) else None
    if theirs is not None and ours is not None and theirs is not ours and not theirs.equals(ours):
        raise PlanError(
            f"{law!r} was made from the rows of another dataset, with a table of {len(theirs)} rows; this one has a "
            f"table of {len(ours)}. Make it from this dataset's own rows"
        )


def _places(law: RowSampler, rows: np.ndarray) -> np.ndarray | None:
    """The dataset's place of each of the law's, -1 for a row that never comes; None where they are the same.

    Raises:
        PlanError: the law has rows that the dataset has not, or another number of them.
    """
    source, num = law.source, len(rows)
    if source.rows is None:
        if source.num_rows != num:
            raise PlanError(
                f"{law!r} is over {source.num_rows} places, the dataset has {num} rows. Use the dataset's own "
                "data.rows, or as many places as it has rows"
            )
        return None
    if source.num_rows == num and np.array_equal(source.rows, rows):
        return None
    places = Source(num, rows).places_of(source.rows)
    foreign = source.rows[(places < 0) & law.can_come()]
    if len(foreign):
        raise PlanError(
            f"the sampler can give row {foreign[0]}, which this dataset does not have ({len(foreign)} such rows). Make "
            "it from this dataset's own rows, or put a condition on it with where(...)",
            row=int(foreign[0]),
        )
    return places
