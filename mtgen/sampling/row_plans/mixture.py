"""Mixtures of laws over rows: shares kept in every block of positions, each component with a plan of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.mixture import Mixture, flattened
from mtgen.sampling.permutation import Permutation
from mtgen.sampling.row_plans.base import RowSampler, Spread
from mtgen.sampling.row_plans.moved import over_all
from mtgen.sampling.row_plans.orders import Bounds, RowOrder
from mtgen.sampling.row_plans.source import Source
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.shares import MOST_BLOCK, Shares, components

_COUNTED_AT_ONCE = 1 << 20
"""Positions whose components are counted at once."""

_WHOLE = 1e-9
"""A number so near a whole one is that whole one, but for the rounding of shares."""

_CHERNOFF = 40.0
"""Minus the logarithm of a probability that counts as none, 4e-18."""


def row_mixture_of(parts: Sequence[Sampler]) -> RowSampler:
    """The mixture of laws over rows of one table, such as of its splits, by weight.

    Raises:
        PlanError: laws over rows of different tables, or of none and of different number.
        EmptySupportError: all weights are 0.
    """
    flat = [part for part in flattened(parts) if isinstance(part, RowSampler)]
    known = over_all(flat)
    if known is None:
        first, other = flat[0], next(law for law in flat if not flat[0].source.same(law.source))
        raise PlanError(
            "the parts of a mixture of rows must be over rows of one table; received "
            f"{first.source.num_rows} and {other.source.num_rows} rows: {first!r} and {other!r}. Join the datasets "
            "first: mtgen.join({'name': dataset, ...})"
        )
    flat = [part for part in known if part.weight > 0]
    if not flat:
        raise EmptySupportError(f"all weights of the mixture are 0: {' | '.join(map(repr, parts))}")
    return flat[0] if len(flat) == 1 else RowMixture(tuple(flat), weight=sum(part.weight for part in flat))


@dataclass(frozen=True, eq=False, repr=False)
class RowMixture(RowSampler, Mixture):
    """A mixture of laws over the same rows."""

    @property
    def laws(self) -> tuple[RowSampler, ...]:
        """The components."""
        return tuple(part for part in self.parts if isinstance(part, RowSampler))

    @property
    def source(self) -> Source:
        """See `RowSampler.source`."""
        return self.laws[0].source

    @property
    def natural_size(self) -> int:
        """As many positions as there are rows that any component was asked about."""
        reach = self.reach()
        return self.source.num_rows if reach is None else int(reach.sum())

    def reach(self) -> np.ndarray | None:
        """See `RowSampler.reach`."""
        found = np.zeros(self.source.num_rows, bool)
        for law in self.laws:
            one = law.reach()
            if one is None:
                return None
            found |= one
        return found

    def can_come(self) -> np.ndarray:
        """See `RowSampler.can_come`."""
        found = np.zeros(self.source.num_rows, bool)
        for law in self.laws:
            found |= law.can_come()
        return found

    def probabilities(self, places: np.ndarray) -> np.ndarray:
        """See `RowSampler.probabilities`."""
        total = np.zeros(len(places))
        for share, law in zip(self.shares.tolist(), self.laws, strict=True):
            total += share * law.probabilities(places)
        return total

    def restricted(self, mask: np.ndarray, *, each: bool = False) -> tuple[float, RowSampler]:
        """See `RowSampler.restricted`."""
        kept: list[Sampler] = []
        total = 0.0
        for share, law in zip(self.shares.tolist(), self.laws, strict=True):
            try:
                mass, inside = law.restricted(mask, each=each)
            except EmptySupportError:
                if each:
                    raise
                continue
            total += share * mass
            kept.append(inside.reweighted(share if each else share * mass))
        if not kept:
            raise EmptySupportError(f"no row of {self!r} is left")
        found = row_mixture_of(kept)
        return total, found if self.size is None else found.sized(self.size)

    def checked_size(self, size: int, how: Spread) -> int:
        """See `RowSampler.checked_size`."""
        inner = replace(how, block=None)
        for share, law in zip(self.shares.tolist(), self.laws, strict=True):
            try:
                num = most_positions(share, size, how)
                if law.checked_size(num, inner) != num:
                    raise PlanError(f"there are fewer rows than {num}")
            except PlanError as error:
                raise PlanError(
                    f"{law!r} has a share of {share:.6g} in {size} positions, up to {num} of them in some epochs, and "
                    f"cannot give them: {error.message}"
                ) from error
        return size

    def order_of(self, size: int, how: Spread, bits: Bits) -> RowOrder:
        """See `RowSampler.order_of`."""
        return MixtureOrder(self, size, how, bits)

    def structure(self) -> tuple[object, ...]:
        """See `Sampler.structure`."""
        return *super().structure(), self.size

    def __repr__(self) -> str:
        sized = "" if self.size is None else f" ({self.size} positions)"
        return Mixture.__repr__(self) + sized


def most_positions(share: float, size: int, how: Spread) -> int:
    """How many positions of an epoch a component has at most, but for a chance below 1e-17.

    In each block it has floor or ceiling of its share, by a draw of the block's own, so the sum over the blocks varies.
    """
    if how.share == "iid":
        return _most_of(size, share)
    block = min(how.block or max(size, 1), max(size, 1))
    whole, rest = divmod(size, block)
    each = math.floor(share * block + _WHOLE)
    last = math.ceil(share * rest - _WHOLE)
    return whole * each + _most_of(whole, max(share * block - each, 0.0)) + last


def _most_of(num: int, chance: float) -> int:
    """How many of independent draws meet a chance at most, but for a probability of exp(-40): Chernoff's bound."""
    if chance <= _WHOLE:
        return 0
    low, high = min(math.ceil(num * chance), num), num
    while low < high:
        middle = (low + high) // 2
        share = middle / num
        apart = share * math.log(share / chance) + (1 - share) * math.log((1 - share) / (1 - chance))
        low, high = (low, middle) if num * apart > _CHERNOFF else (middle + 1, high)
    return high


class MixtureOrder:
    """The order of a mixture: the component of each position, and which of its own positions it is.

    Holds, for each block, how many positions each component has before it: 8 bytes per component and block.

    Args:
        law: the mixture.
        size: positions, >= 0.
        how: blocks, and how components are spread; with `share="iid"` the numbers of the components are those that
            independent draws give, in random places, which is the same law.
        bits: where the random words come from.
    """

    def __init__(self, law: RowMixture, size: int, how: Spread, bits: Bits) -> None:
        self.size = size
        key, shares = bits.key("component"), law.shares
        most = max(size, 1)
        block = min(how.block or most, most) if how.share == "even" else most
        if block > MOST_BLOCK:
            raise PlanError(f"a mixture of {size} positions needs block=, at most {MOST_BLOCK}")
        whole = size // block
        self._last = whole * block
        self._blocks: Shares | None = None
        if how.share == "iid":
            counts = _drawn_counts(shares, key, size)
            self._edges = np.concatenate([[0], np.cumsum(counts)])
            self._shuffle = Permutation(size, bits.key("places"))
            before = np.zeros((1, len(shares)), np.int64)
        else:
            self._blocks = Shares(shares, key, block)
            counts = np.diff(self._blocks.edges(np.arange(whole)), axis=1)
            before = np.concatenate([np.zeros((1, len(shares)), np.int64), np.cumsum(counts, axis=0)])
            self._rest = Shares(shares, bits.key("rest"), max(size - self._last, 1), start=self._last)
            rest = np.diff(self._rest.edges(np.zeros(1, np.int64)), axis=1)[0] if size > self._last else 0
            counts = before[-1] + rest
        self._before = before
        self.counts = counts
        self._orders = []
        inner = replace(how, block=None)
        for number, (part, num) in enumerate(zip(law.laws, counts.tolist(), strict=True)):
            if part.checked_size(num, inner) != num:
                raise PlanError(f"{part!r} has fewer rows than the {num} positions that are its share of {size}")
            self._orders.append(part.order_of(num, inner, bits.child(number)))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """See `RowOrder.at`."""
        positions = np.asarray(positions, np.int64)
        found, ranks = self.ranks(positions)
        places = np.empty(len(positions), np.int64)
        for number, order in enumerate(self._orders):
            here = found == number
            if here.any():
                places[here] = order.at(ranks[here])
        return places

    def ranks(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Component of each position, and its number among all positions of that component; int64 `(n,)` each."""
        if self._blocks is None:
            shuffled = self._shuffle.at(positions)
            found = np.searchsorted(self._edges, shuffled, side="right") - 1
            return found, shuffled - self._edges[found]
        found, ranks = np.empty(len(positions), np.int64), np.empty(len(positions), np.int64)
        last = positions >= self._last
        for blocks, here in ((self._blocks, ~last), (self._rest, last)):
            if here.any():
                found[here], ranks[here] = blocks.places(positions[here])
        return found, ranks + self._before[np.minimum(positions, self._last) // self._blocks.block, found]

    def bounds(self) -> Bounds | None:
        """See `RowOrder.bounds`: the sums of those of the components."""
        each = [order.bounds() for order in self._orders]
        known = [one for one in each if one is not None]
        if len(known) < len(each):
            return None
        low, high = (np.sum([one[side] for one in known], axis=0) for side in (0, 1))
        return low, high


def _drawn_counts(shares: np.ndarray, key: int, size: int) -> np.ndarray:
    """How many of `size` independent draws fall on each component."""
    counts = np.zeros(len(shares), np.int64)
    for start in range(0, size, _COUNTED_AT_ONCE):
        positions = np.arange(start, min(start + _COUNTED_AT_ONCE, size))
        counts += np.bincount(components(shares, key, positions, None), minlength=len(shares))
    return counts
