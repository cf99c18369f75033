"""Mixtures: each point is of one component, chosen by weight."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits, StackedBits
from mtgen.sampling.places.windows import check_windows
from mtgen.sampling.sampler import Frame, Sampler, as_sampler
from mtgen.sampling.shares import components
from mtgen.sampling.values import joined
from mtgen.settings import shown


def mixture_of(parts: Sequence[Sampler]) -> Sampler:
    """The mixture of samplers by weight; mixtures among them are taken apart, parts of weight 0 are left out.

    Raises:
        PlanError: parts of different dimension or frame.
        EmptySupportError: all weights are 0.
    """
    dims = sorted({part.dim for part in parts})
    if len(dims) > 1:
        raise PlanError(
            f"the parts of a mixture must have points of one dimension, received {' and '.join(map(str, dims))}: "
            f"{' | '.join(map(repr, parts))}"
        )
    counted = [part for part in parts if part.weight > 0]
    common_frame(counted)
    check_windows(parts)
    flat = [part for part in flattened(parts) if part.weight > 0]
    if not flat:
        raise EmptySupportError(f"all weights of the mixture are 0: {' | '.join(map(repr, parts))}")
    return flat[0] if len(flat) == 1 else Mixture(tuple(flat), weight=sum(part.weight for part in flat))


def flattened(parts: Sequence[Sampler]) -> list[Sampler]:
    """The parts, and in place of mixtures their own parts, by their shares and under their names."""
    flat: list[Sampler] = []
    for part in parts:
        if not isinstance(part, Mixture):
            flat.append(part)
            continue
        scale = part.weight / sum(one.weight for one in part.parts)
        if scale == 1 and part.label is None:  # they stay what they are: a thousand laws may be folded by |
            flat += part.parts
            continue
        for number, one in enumerate(part.parts):
            name = one.label if part.label is None else f"{part.label} {one.label or number}"
            flat.append(one.reweighted(one.weight * scale).labelled(name))
    return flat


def common_frame(samplers: Sequence[Sampler]) -> Frame | None:
    """The frame that the parts of a mixture share.

    Raises:
        PlanError: one counts pixels, and another does not say what it counts: shares of an array, mostly.
    """
    silent = [one for one in samplers if one.frame is None]
    if silent and len(silent) < len(samplers):
        raise PlanError(
            f"a part of the mixture counts pixels, and {silent[0]!r} does not say what it counts. If shares of the "
            "array, bring it to pixels: points.to_pixels(shape); if pixels, say so: points.in_pixels()"
        )
    return samplers[0].frame if samplers else None


def mix(*parts: Sampler | np.ndarray | Mapping[str, Any]) -> Sampler:
    """The mixture of all parts by their weights: `mix(a, b, c)` is `a | b | c`.

    Args:
        *parts: samplers over points, or over rows, or `data.rows`; or dicts of name -> sampler, with the names that a
            description shows.

    Raises:
        PlanError: no parts, something else than samplers, or parts of different dimension.
        EmptySupportError: all weights are 0.

    Example:
        >>> from mtgen import sampling as S
        >>> S.mix(S.normal(), 0.5 & S.uniform()) == (S.normal() | 0.5 & S.uniform())
        True
    """
    given: list[Any] = []
    names: list[str | None] = []
    for part in parts:
        given += part.values() if isinstance(part, Mapping) else [part]
        names += [str(name) for name in part] if isinstance(part, Mapping) else [None]
    made = [as_sampler(part) for part in given]
    known = [part for part in made if part is not None]
    if not given or len(known) < len(given):
        wrong = next((value for value, one in zip(given, made, strict=True) if one is None), ())
        raise PlanError(f"mix needs samplers, mix(a, b) or mix({{'name': a, ...}}); received {shown(wrong)}")
    known = [part if name is None else part.labelled(name) for part, name in zip(known, names, strict=True)]
    return known[0].mixture(known[1:]) if len(known) > 1 else known[0]


@dataclass(frozen=True, eq=False, repr=False)
class Mixture(Sampler):
    """A mixture of two or more samplers of positive weight, none of them a mixture itself.

    Shares are kept in blocks of positions where that is asked for; those of a mixture deeper inside are not.
    """

    parts: tuple[Sampler, ...]

    @property
    def dim(self) -> int:
        """See `Sampler.dim`."""
        return self.parts[0].dim

    @property
    def frame(self) -> Frame | None:
        """That of every part; `mixture_of` takes no others."""
        return self.parts[0].frame

    @property
    def discrete(self) -> tuple[bool, ...]:
        """A column is counted if it is in every part."""
        return tuple(all(column) for column in zip(*(part.discrete for part in self.parts), strict=True))

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of each part, float64 `(k,)`, summing to 1."""
        weights = np.array([part.weight for part in self.parts])
        weights /= weights.max()  # so that sums neither overflow nor vanish
        return weights / weights.sum()

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Numbers of the parts that one call draws together."""
        groups: dict[Hashable, list[int]] = {}
        for number, part in enumerate(self.parts):
            key = part.stack_key
            groups.setdefault(number if key is None else (part.dim, key), []).append(number)
        return list(groups.values())

    @cached_property
    def _ranks(self) -> tuple[np.ndarray, np.ndarray]:
        """The group of each part, and its place there; int64 `(k,)`."""
        found = np.empty((2, len(self.parts)), np.int64)
        for group, numbers in enumerate(self._groups):
            found[:, numbers] = np.full(len(numbers), group), np.arange(len(numbers))
        return found[0], found[1]

    def draw(self, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """See `Sampler.draw`; parts of one kind are drawn together, which changes no point."""
        chosen = components(self.shares, bits.key("component"), positions, bits.block)
        group_of, place_of = self._ranks
        groups = group_of[chosen]
        order = np.argsort(groups, kind="stable")
        edges = np.searchsorted(groups[order], np.arange(len(self._groups) + 1))
        inner = bits.independent()
        drawn, places = [], []
        for group, numbers in enumerate(self._groups):
            here = order[edges[group] : edges[group + 1]]
            if len(here):
                drawn.append(self._drawn(numbers, place_of[chosen[here]], inner, positions[here]))
                places.append(here)
        nowhere = np.empty(0, np.int64)
        return joined([*drawn, *self._pointless], [*places, *[nowhere] * len(self._pointless)], len(positions))

    @cached_property
    def _pointless(self) -> list[np.ndarray]:
        """No point of the parts, for their dtypes: that of a mixture must not depend on which parts were drawn."""
        each = [part.draw(Bits(0, stream="/trial"), np.empty(0, np.int64)) for part in self.parts]
        return list({one.dtype: one for one in each}.values())

    def _drawn(self, numbers: list[int], which: np.ndarray, bits: Bits, positions: np.ndarray) -> np.ndarray:
        """Points of one group at positions, `which` of its parts at each."""
        present, which = np.unique(which, return_inverse=True)
        numbers = [numbers[place] for place in present.tolist()]
        laws, nodes = [self.parts[number] for number in numbers], [bits.child(number) for number in numbers]
        if len(laws) == 1:
            return laws[0].draw(nodes[0], positions)
        stacked = StackedBits(bits.seed, bits.epoch, nodes=tuple(nodes), which=which)
        return type(laws[0]).draw_stacked(laws, stacked, positions)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """See `Sampler.log_density`."""
        kinds = {part.discrete for part in self.parts}
        if len(kinds) > 1:
            return super().log_density(points)
        terms = np.stack([part.log_density(points) for part in self.parts]) + np.log(self.shares)[:, None]
        most = terms.max(axis=0)
        finite = np.where(np.isfinite(most), most, 0)
        return np.asarray(finite + np.log(np.exp(terms - finite).sum(axis=0)))

    def log_condition(self, low: np.ndarray, high: np.ndarray) -> tuple[float, Sampler] | None:
        """See `Sampler.log_condition`: each part under the condition, by its share times its probability."""
        found = [part.log_condition(low, high) for part in self.parts]
        inside = [one for one in found if one is not None]
        if len(inside) < len(found):
            return None
        with np.errstate(divide="ignore"):
            masses = np.log(self.shares) + [mass for mass, _ in inside]
        most = float(masses.max())
        if most == -np.inf:
            return most, self
        shares = np.exp(masses - most)
        kept = [
            law.reweighted(share).labelled(part.label)
            for share, part, (_, law) in zip(shares.tolist(), self.parts, inside, strict=True)
            if share > 0
        ]
        return most + float(np.log(shares.sum())), mixture_of(kept).reweighted(self.weight)

    def structure(self) -> tuple[Any, ...]:
        """See `Sampler.structure`."""
        return tuple(
            (float(share), part.structure(), type(part).__name__)
            for share, part in zip(self.shares, self.parts, strict=True)
        )

    def __repr__(self) -> str:
        return " | ".join(f"{part.weight:g} & ({part!r})" for part in self.parts)
