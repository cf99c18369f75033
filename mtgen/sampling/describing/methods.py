"""What every sampler can be asked for before it is used: what it draws, and a name to be called by."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Self, cast

if TYPE_CHECKING:
    from mtgen.sampling.describing.description import Description
    from mtgen.sampling.sampler import Sampler


class DescribeMethods:
    """Methods of `Sampler` that describe it. Any thread."""

    def describe(self, n: int | None = None, seed: int = 0, *, epoch: int = 0, block: int | None = None) -> Description:
        """What `sample(n, seed, epoch=epoch, block=block)` draws: shares, conditions, columns; prints as a table.

        Args:
            n: points, >= 0; None for 10,000.
            seed: integer >= 0.
            epoch: integer >= 0.
            block: positions in whose blocks a mixture keeps its shares.

        Returns:
            A `PointDescription`; laws over rows give a `RowDescription`, `rows @ points` both.

        Raises:
            PlanError: arguments that are no whole numbers >= 0.
            EmptySupportError: no point can be found.

        Example:
            >>> from mtgen import sampling as S
            >>> found = S.mix({"near": 0.8 & S.uniform(0, 1), "wide": 0.2 & S.uniform(0, 9)}).describe(1000, block=10)
            >>> found.counts[["component", "drawn"]].to_numpy().tolist()
            [['near', 800], ['wide', 200]]
        """
        from mtgen.sampling.bits import Bits
        from mtgen.sampling.describing.points import describe_points

        return describe_points(cast("Sampler", self), n, Bits(seed, epoch, block=block))

    def labelled(self, label: str | None) -> Self:
        """The same law under a name by which descriptions of a mixture call it.

        Example:
            >>> from mtgen import sampling as S
            >>> (S.constant(1).labelled("one") | S.constant(2)).describe(4, block=2).counts["component"].tolist()
            ['one', 'constant([2])']
        """
        other = copy.copy(self)
        object.__setattr__(other, "label", label)
        return other
