"""Which component of a mixture each point is of, and how many draws a condition refused. Pure.

A draw is a function of (seed, epoch, position), so nothing is recorded while drawing: the expression is walked with
the words that it draws with, and the choices are made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtgen.sampling.arithmetic import Applied, Arithmetic
from mtgen.sampling.bits import Bits
from mtgen.sampling.dependent import Dependent
from mtgen.sampling.mixture import Mixture
from mtgen.sampling.places.crop import Crop
from mtgen.sampling.places.labels import Labels
from mtgen.sampling.places.pixels import Declared, Pixels
from mtgen.sampling.product import Columns, Product
from mtgen.sampling.sampler import Sampler
from mtgen.sampling.shares import components
from mtgen.sampling.truncation import Conditioned, Rejected


@dataclass(frozen=True, eq=False)
class Components:
    """The components of one mixture in an expression.

    Args:
        path: where the mixture stands; empty at the top.
        names: of the components.
        shares: float64 `(k,)`: by weight, which a condition on the mixture changes.
        conditioned: whether there is such a condition.
        chosen: int64 `(n,)`, component of each point.
    """

    path: str
    names: tuple[str, ...]
    shares: np.ndarray
    conditioned: bool
    chosen: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Points of each component, int64 `(k,)`."""
        return np.bincount(self.chosen, minlength=len(self.names))


@dataclass(frozen=True)
class Acceptance:
    """What a condition that is met by rejection let pass.

    Args:
        law: the condition, in one line.
        num_kept: points found.
        num_drawn: draws up to and with those that were kept.
    """

    law: str
    num_kept: int
    num_drawn: int

    @property
    def share(self) -> float:
        """Share of the draws that were kept: the most likely probability of the condition; NaN without draws."""
        return self.num_kept / self.num_drawn if self.num_drawn else float("nan")


def parts_of(law: Sampler, bits: Bits, positions: np.ndarray) -> list[Components | Acceptance]:
    """Mixtures and rejections in an expression, with what they chose at these positions; those outside first.

    Laws that are a function of the row, and laws that keep their parts to themselves, are not looked into.

    Args:
        law: any sampler.
        bits: as for `Sampler.draw`.
        positions: int64 `(n,)`.

    Example:
        >>> from mtgen import sampling as S
        >>> law = 0.2 & S.constant(1) | 0.8 & S.constant(2)
        >>> parts_of(law, Bits(0, block=10), np.arange(10))[0].counts.tolist()
        [2, 8]
    """
    return list(_walk(law, bits, positions, "", conditioned=False))


def _walk(
    law: Sampler, bits: Bits, positions: np.ndarray, path: str, *, conditioned: bool
) -> Iterator[Components | Acceptance]:
    if isinstance(law, Mixture):
        chosen = components(law.shares, bits.key("component"), positions, bits.block)
        names = component_names(law)
        yield Components(path, names, law.shares, conditioned, chosen)
        order = np.argsort(chosen, kind="stable")
        edges = np.searchsorted(chosen[order], np.arange(len(names) + 1))
        for number, (part, name) in enumerate(zip(law.parts, names, strict=True)):
            # A part's points are only those at the positions that chose it.
            here = positions[order[edges[number] : edges[number + 1]]]
            words = bits.independent().child(number)
            yield from _walk(part, words, here, _join(path, name), conditioned=False)
    elif isinstance(law, Rejected):
        _, attempts = law.found(bits, positions)
        yield Acceptance(repr(law), len(positions), int(attempts.sum()) + len(positions))
        counters = bits.words(positions, "attempts").view(np.int64) + attempts
        yield from _walk(law.inner, bits.child("inner").independent(), counters, path, conditioned=True)
    elif isinstance(law, Dependent):
        rows = positions // law.repeats
        yield from _walk(law.rows, bits.child("rows").independent(), rows, _join(path, "rows"), conditioned=conditioned)
        if isinstance(law.points, Sampler):
            yield from _walk(
                law.points, bits.child("points"), positions, _join(path, "points"), conditioned=conditioned
            )
    else:
        for one, words, name in _inside(law, bits):
            yield from _walk(one, words, positions, _join(path, name), conditioned=conditioned)


def _inside(law: Sampler, bits: Bits) -> Iterator[tuple[Sampler, Bits, str]]:
    """Laws that a law draws at the same positions, with their words, and what they are called."""
    if isinstance(law, Conditioned | Columns | Applied | Pixels | Declared):
        yield law.inner, bits, ""
    elif isinstance(law, Crop):
        yield law.centres, bits, ""
    elif isinstance(law, Arithmetic):
        sides: list[tuple[str, Any]] = [("left", law.left), ("right", law.right)]
        known = [(name, one) for name, one in sides if isinstance(one, Sampler)]
        for name, one in known:  # one beside a number draws as it would alone
            yield (one, bits.child(name), name) if len(known) > 1 else (one, bits, "")
    elif isinstance(law, Product):
        for number, part in enumerate(law.parts):
            first, last = law.edges[number], law.edges[number + 1] - 1
            yield part, bits.child(number), f"column {first}" if first == last else f"columns {first} to {last}"


def component_names(law: Mixture) -> tuple[str, ...]:
    """Names of a mixture's components: those given to `mix`, the classes of labels, else the laws themselves."""
    if isinstance(law, Labels):
        return tuple(f"class {one}" for one in law.classes)
    return tuple(part.label or repr(part) for part in law.parts)


def _join(path: str, name: str) -> str:
    return f"{path}, {name}" if path and name else path or name
