"""Conditions on points: exact where the law can tell, by rejection where it cannot.

Rejection is a function of the position too: attempt a of position t is a draw of its own, and the first attempt that
fits is the point, whatever was asked for beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.arithmetic import as_columns
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.mixture import Mixture, mixture_of
from mtgen.sampling.sampler import Frame, Sampler, is_number
from mtgen.settings import check_flag, check_unmasked, check_whole, shown

ROUND = 1 << 16
"""Points drawn at once, at most: a few MB."""


def truncate(
    sampler: Sampler,
    high: Any,
    low: Any,
    expr: Callable[[np.ndarray], Any] | None,
    prob: float,
    *,
    each: bool,
    tries: int,
) -> Sampler:
    """The law of a sampler under a condition. The weight is kept.

    A grid stays in order, and is those of its windows whose starts meet the condition.

    With bounds only, and laws whose distribution is known, nothing is rejected: a condition of probability 1e-9 costs
    what one of 1/2 does.

    Args:
        sampler: any.
        high: largest value allowed, a number or one per column; None for no bound.
        low: smallest value allowed.
        expr: function of points `(n, dim)`; the bounds are for what it returns, `(n,)` or `(n, k)`. Without bounds
            it returns whether the point is kept.
        prob: about the share of points that are kept, in (0, 1]; a hint for speed.
        each: put the condition on every part of a mixture and keep their shares; else parts that fit better have more.
        tries: draws without any success before the condition is given up as impossible.

    Raises:
        PlanError: neither bounds nor expr, low above high, bounds of another dimension, prob outside (0, 1].
        EmptySupportError: nothing can fit.
    """
    if check_flag("each", each) and isinstance(sampler, Mixture):
        parts = [
            truncate(one, high, low, expr, prob, each=True, tries=tries).reweighted(one.weight).labelled(one.label)
            for one in sampler.parts
        ]
        return mixture_of(parts).reweighted(sampler.weight)
    tried = rejected(sampler, high, low, expr, prob, tries=tries)
    listed = sampler.listed_where(tried.keeps)
    if listed is not None:
        return listed
    if expr is None and tried.low is not None and tried.high is not None:
        if isinstance(sampler, Conditioned) and (sampler.low >= tried.low).all() and (sampler.high <= tried.high).all():
            return sampler  # it is so already; made again, it would differ by roundings
        found = sampler.log_condition(tried.low, tried.high)
        if found is not None:
            mass, law = found
            if not mass > -np.inf:
                raise EmptySupportError(
                    f"no point of {sampler!r} lies in {tried.low.tolist()} to {tried.high.tolist()}"
                )
            if isinstance(law, Conditioned) and (law.low >= tried.low).all() and (law.high <= tried.high).all():
                return law.reweighted(sampler.weight)  # two conditions are one
            return Conditioned(law, tried.low, tried.high, weight=sampler.weight)
    return tried


def rejected(
    sampler: Sampler, high: Any, low: Any, expr: Callable[[np.ndarray], Any] | None, prob: float, *, tries: int
) -> Rejected:
    """The condition of `truncate`, checked, as one that is met by trying.

    Raises:
        PlanError: see `truncate`.
    """
    if not is_number(prob) or not 0 < prob <= 1:
        raise PlanError(f"prob must be a number in (0, 1], received {shown(prob)}")
    tries = check_whole("tries", tries, 1)
    if expr is not None and not callable(expr):
        raise PlanError(f"expr must be a function of points (n, {sampler.dim}), received {shown(expr)}")
    if expr is None and high is None and low is None:
        raise PlanError("truncate needs a bound or expr: truncate(high=1, low=0)")
    dim = sampler.dim if expr is None else None
    lows, highs = _bound("low", low, -np.inf, dim), _bound("high", high, np.inf, dim)
    if (lows > highs).any():
        raise PlanError(f"low must not be above high; received low={shown(low)} and high={shown(high)}")
    bounded = low is not None or high is not None
    return Rejected(
        sampler, lows if bounded else None, highs if bounded else None, expr, float(prob), tries, weight=sampler.weight
    )


def _bound(name: str, value: Any, free: float, dim: int | None) -> np.ndarray:
    if value is None:
        return np.full(dim or 1, free)
    check_unmasked(name, value)
    try:
        array = np.asarray(value)
        kind, array = array.dtype.kind, array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise PlanError(f"{name} must be a number or one number per column, received {shown(value)}") from error
    if kind not in "iufO":  # text and bools have values in float64 too
        raise PlanError(f"{name} must be a number or one number per column, received {shown(value)}")
    if array.ndim > 1 or np.isnan(array).any() or (dim is not None and array.shape not in ((), (1,), (dim,))):
        raise PlanError(
            f"{name} needs one number, or one for each of {dim} columns, and no NaN; received {shown(value)}"
        )
    return np.broadcast_to(array, (dim,)).copy() if dim is not None else np.atleast_1d(array)


@dataclass(frozen=True, eq=False, repr=False)
class Conditioned(Sampler):
    """A law that is inside bounds already, and kept from leaving them by a rounding."""

    inner: Sampler
    low: np.ndarray
    high: np.ndarray

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @property
    def frame(self) -> Frame | None:
        """See `Sampler.frame`."""
        return self.inner.frame

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return self.inner.discrete

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`."""
        points = self.inner.draw(bits, positions)
        if points.dtype.kind == "f":
            np.clip(points, self.low, self.high, out=points)
        return points

    @property
    def stack_key(self) -> Hashable | None:
        """See `Sampler.stack_key`: of laws over measured columns."""
        key = self.inner.stack_key
        return None if key is None or any(self.discrete) else (Conditioned, key)

    @classmethod
    def draw_stacked(cls, laws: Sequence[Sampler], bits: StackedBits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw_stacked`."""
        known = [law for law in laws if isinstance(law, Conditioned)]
        points = type(known[0].inner).draw_stacked([law.inner for law in known], bits, positions)
        low, high = (
            np.stack(bounds)[bits.which] for bounds in zip(*((law.low, law.high) for law in known), strict=True)
        )
        return np.clip(points, low, high)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        inside = ((points >= self.low) & (points <= self.high)).all(axis=1)
        return np.where(inside, self.inner.log_density(points), -np.inf)

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: two conditions are their intersection."""
        low, high = np.maximum(low, self.low), np.minimum(high, self.high)
        if (low > high).any():
            return -np.inf, self
        found = self.inner.log_condition(low, high)
        return None if found is None else (found[0], Conditioned(found[1], low, high, weight=self.weight))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return self.inner, self.low, self.high

    def __repr__(self) -> str:
        return f"{self.inner!r} in {self.low.tolist()} to {self.high.tolist()}"


@dataclass(frozen=True, eq=False, repr=False)
class Rejected(Sampler):
    """Points of a sampler that meet a condition, found by trying."""

    inner: Sampler
    low: np.ndarray | None
    high: np.ndarray | None
    expr: Callable[[np.ndarray], Any] | None
    prob: float
    tries: int

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.inner.dim

    @property
    def frame(self) -> Frame | None:
        """See `Sampler.frame`."""
        return self.inner.frame

    @property
    def discrete(self) -> tuple[bool, ...]:
        """See `Sampler.discrete`."""
        return self.inner.discrete

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`.

        Raises:
            EmptySupportError: `tries` draws without success, for all positions or for one.
        """
        return self.found(bits, positions)[0]

    def found(self, bits: Bits, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The points, and which attempt each is, 0 the first, int64 `(n,)`; see `draw`."""
        which = np.zeros(len(positions), np.int64)
        attempts = bits.words(positions, "attempts").view(np.int64)
        inner = bits.child("inner").independent()
        out = self.inner.draw(inner, positions[:0])
        out = np.empty((len(positions), self.dim), out.dtype)
        open_slots = np.arange(len(positions))
        first, num_drawn, num_found = 0, 0, 0
        per_slot = int(min(np.ceil(2 / self.prob), 64))
        while len(open_slots):
            per_slot = max(1, min(per_slot, ROUND // min(len(open_slots), ROUND), self.tries - first))
            found = np.zeros(len(open_slots), bool)
            for start in range(0, len(open_slots), ROUND):
                part = open_slots[start : start + ROUND]
                with np.errstate(over="ignore"):
                    counters = attempts[part][:, None] + np.arange(first, first + per_slot)
                points = self.inner.draw(inner, counters.ravel())
                kept = self.keeps(points).reshape(counters.shape)
                here = kept.any(axis=1)
                if points.dtype != out.dtype:
                    out = out.astype(
                        np.result_type(out, points) if "O" not in (out.dtype.char, points.dtype.char) else object
                    )
                winners = kept[here].argmax(axis=1)
                out[part[here]] = points.reshape(*counters.shape, self.dim)[here, winners]
                which[part[here]] = first + winners
                found[start : start + ROUND] = here
                num_drawn, num_found = num_drawn + kept.size, num_found + int(here.sum())
            open_slots, first = open_slots[~found], first + per_slot
            if len(open_slots) and (first >= self.tries or (not num_found and num_drawn >= self.tries)):
                raise EmptySupportError(self._empty(num_found, num_drawn, points))
            per_slot *= 4
        return out, which

    def _empty(self, num_found: int, num_drawn: int, last: np.ndarray) -> str:
        """What to say after `num_drawn` draws, the `last` of them `(n, dim)`."""
        # With no success in n draws, the probability is below 3 / n at 95 percent: 0.95 = 1 - (1 - p)**n.
        if not num_found:
            values = self._values(last)
            what, hint = "points" if self.expr is None else "values of expr", ""
            if values.dtype.kind == "f" and np.isnan(values).any(axis=1).all():
                hint = f". All of the last {len(values)} {what} hold NaN, which is outside of every condition"
            return (
                f"0 of {num_drawn} draws of {self.inner!r} met the condition, so its probability is below "
                f"{3 / num_drawn:.1g} at 95 percent: check low, high and expr, or raise tries={self.tries}{hint}"
            )
        return f"a position found no point of {self!r} in {self.tries} draws; raise tries={self.tries}"

    def _values(self, points: np.ndarray) -> np.ndarray:
        """What the condition is on, `(n, k)`."""
        return points if self.expr is None else as_columns(self.expr(points), len(points), "expr", self.expr)

    def keeps(self, points: np.ndarray) -> np.ndarray:
        """Which points meet the condition, bool `(n,)`; what is no number does not."""
        values = self._values(points)
        if self.low is None or self.high is None:
            if values.dtype.kind not in "biuf":
                raise PlanError(f"expr must return whether points are kept, received {values.dtype}")
            return np.asarray(((values != 0) & ~np.isnan(values)).all(axis=1))
        if values.dtype.kind == "c":
            raise PlanError(f"{self!r}: expr returned {values.dtype}, and complex numbers have no order")
        try:
            kept = (values >= self.low) & (values <= self.high)
        except (TypeError, ValueError) as error:
            raise PlanError(
                f"{self!r}: values {values.dtype} {values.shape} cannot be compared with bounds {self.low.shape}"
            ) from error
        return np.asarray(kept.all(axis=1))

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`: the hints decide no point."""
        return self.inner, self.low, self.high, self.expr

    def __repr__(self) -> str:
        expr = "" if self.expr is None else f", expr={getattr(self.expr, '__name__', self.expr)}"
        bounds = "" if self.low is None or self.high is None else f"high={self.high.tolist()}, low={self.low.tolist()}"
        return f"({self.inner!r}).truncate({(bounds + expr).removeprefix(', ')})"
