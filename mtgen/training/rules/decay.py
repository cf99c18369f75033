"""The learning rate falls with the epochs; and what that and halving come to together."""

from __future__ import annotations

from dataclasses import dataclass

from mtgen.errors import PlanError
from mtgen.settings import check_kind, check_whole
from mtgen.training.rules.halving import HalvingRule
from mtgen.training.rules.saved import finite_number


@dataclass(frozen=True)
class InverseEpochDecay:
    """The learning rate eta0 / (1 + d * epoch): constant within an epoch.

    Immutable, with no state; any thread. The same as Keras's `InverseTimeDecay(eta0, steps_per_epoch, d,
    staircase=True)`, but counted by the loader's epochs.

    Args:
        d: how fast it falls, >= 0.

    Raises:
        PlanError: no finite number >= 0.

    Example:
        >>> decay = InverseEpochDecay(0.5)
        >>> [decay.rate(0.1, epoch) for epoch in (0, 2)]
        [0.1, 0.05]
    """

    d: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "d", finite_number("d", self.d, 0))

    def multiplier(self, epoch: int) -> float:
        """Share of the first learning rate in an epoch.

        Args:
            epoch: 0-based.

        Raises:
            PlanError: not an integer >= 0.
        """
        return 1 / (1 + self.d * check_whole("epoch", epoch))

    def rate(self, eta0: float, epoch: int) -> float:
        """The learning rate in an epoch, eta0 being that of epoch 0."""
        return eta0 / (1 + self.d * check_whole("epoch", epoch))


@dataclass(frozen=True, kw_only=True)
class CombinedRate:
    """Halving and decay together: the shares of both, multiplied.

    One thread at a time, as its `HalvingRule`.

    Args:
        halving: divides when nothing improves; None for never.
        decay: falls with the epochs; None for not.

    Raises:
        PlanError: neither a rule nor None.

    Example:
        >>> halving = HalvingRule(1)
        >>> both = CombinedRate(halving=halving, decay=InverseEpochDecay(1.0))
        >>> decisions = halving.update(0.5), halving.update(0.5)
        >>> both.multiplier(epoch=3)
        0.125
    """

    halving: HalvingRule | None = None
    decay: InverseEpochDecay | None = None

    def __post_init__(self) -> None:
        check_kind("halving", self.halving, HalvingRule | None, "a HalvingRule or None")
        check_kind("decay", self.decay, InverseEpochDecay | None, "an InverseEpochDecay or None")
        if self.halving is None and self.decay is None:
            raise PlanError("CombinedRate needs a halving, a decay or both, received neither")

    def multiplier(self, epoch: int) -> float:
        """Share of the first learning rate, or of what a schedule gives, in an epoch.

        Args:
            epoch: 0-based.
        """
        halved = 1.0 if self.halving is None else self.halving.multiplier
        return halved * (1.0 if self.decay is None else self.decay.multiplier(epoch))
