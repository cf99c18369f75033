"""Which measurements fit into the time there is, and how long each may take. Pure.

Wishes come in order of importance. Each gets at least what makes it worth doing, or is left out with the reason; what
is left over is shared out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mtgen.errors import PlanError

LEAST_ROUNDS = 5
"""Both sides of a comparison are measured so often, in turn: of two equal ones, one wins all five in 1 of 16 cases."""

MOST_ROUNDS = 12

LEAST_SLICE_SECONDS = 0.1
"""Shortest slice: some thirty switches of threads, so that one more or less is no matter."""

LEAST_SLICE_BATCHES = 5
"""Batches in the shortest slice, the first ones of which only fill the pipeline."""


LEAST_SLICE_BURSTS = 3

FINE_SECONDS = 0.02
"""A batch that takes longer is cut into smaller ones for comparisons that do not depend on its size."""

FINE_ROWS = 8
"""Smallest batch for comparisons: as many pictures as a worker decodes in one go."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """One measurement.

    Args:
        name: of the measurement, unique.
        least_seconds: shorter, and it says nothing; >= 0.
        most_seconds: longer brings nothing more; >= `least_seconds`.
    """

    name: str
    least_seconds: float
    most_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.least_seconds <= self.most_seconds < math.inf:
            raise PlanError(
                f"measurement {self.name!r} needs 0 <= least_seconds <= most_seconds, finite; received "
                f"{self.least_seconds} and {self.most_seconds}"
            )


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is measured, for how long, and what is not.

    Args:
        seconds: name -> seconds, in the order of the wishes.
        skipped: name -> why it is not measured.
    """

    seconds: dict[str, float]
    skipped: dict[str, str]


def schedule(wishes: Sequence[Wish], seconds: float) -> Schedule:
    """Share out the time: first what each wish needs, in their order, then the rest in proportion.

    Args:
        wishes: the most important first.
        seconds: there are, all together.

    Raises:
        PlanError: two wishes of one name.

    Example:
        >>> wishes = [Wish(name="a", least_seconds=1, most_seconds=2), Wish(name="b", least_seconds=2, most_seconds=9)]
        >>> schedule(wishes, 2.5).seconds
        {'a': 2.0}
        >>> schedule(wishes, 5.0).seconds
        {'a': 1.25, 'b': 3.75}
    """
    names = [wish.name for wish in wishes]
    if len(set(names)) < len(names):
        raise PlanError(f"measurements need names of their own, received {names}")
    left = max(0.0, seconds)
    taken: list[Wish] = []
    skipped: dict[str, str] = {}
    for wish in wishes:
        if wish.least_seconds <= left:
            taken.append(wish)
            left -= wish.least_seconds
        else:
            skipped[wish.name] = f"needs {wish.least_seconds:.1f} s, and {left:.1f} s were left"
    wants = {wish.name: wish.most_seconds - wish.least_seconds for wish in taken}
    all_wanted = math.fsum(wants.values())
    part = min(1.0, left / all_wanted) if all_wanted > 0 else 0.0
    return Schedule(
        seconds={wish.name: wish.least_seconds + part * wants[wish.name] for wish in taken}, skipped=skipped
    )


@dataclass(frozen=True, kw_only=True)
class Slices:
    """How one comparison uses its time.

    Args:
        num_rounds: how often both sides are measured.
        seconds: of one slice of one side.
    """

    num_rounds: int
    seconds: float

    @property
    def turns(self) -> Iterable[tuple[int, ...]]:
        """For each round the sides (0 and 1) in the order in which they are measured: 01 10 01, so that what drifts
        meets both alike.
        """
        return [(0, 1) if number % 2 == 0 else (1, 0) for number in range(self.num_rounds)]


def burst(batch_size: int, num_workers: int, window: int) -> int:
    """Batches that come at about the same time: those of a window, and those that the workers have in work.

    Args:
        batch_size: samples per batch.
        num_workers: threads; each has a group of pictures in work, and all began at the same time.
        window: steps planned together.

    Example:
        >>> burst(64, 2, 1), burst(8, 16, 1), burst(64, 2, 16)
        (1, 16, 16)
    """
    return max(window, -(-num_workers * FINE_ROWS // batch_size), 1)


def least_slice(batch_seconds: float, together: int = 1) -> float:
    """Seconds of the shortest slice that says something.

    Args:
        batch_seconds: what a batch takes.
        together: batches that come in one burst; several bursts are looked at.
    """
    batches = max(LEAST_SLICE_BATCHES, LEAST_SLICE_BURSTS * together if together > 1 else 0)
    return max(LEAST_SLICE_SECONDS, batches * batch_seconds)


def least_comparison(batch_seconds: float, together: int = 1) -> float:
    """Seconds of the shortest comparison of two sides; see `least_slice`.

    Example:
        >>> round(least_comparison(0.05), 3)
        2.5
    """
    return 2 * LEAST_ROUNDS * least_slice(batch_seconds, together)


def finer_batch(batch_size: int, batch_seconds: float) -> int:
    """Batch size for comparisons, so that a slice need not wait for long batches.

    Example:
        >>> finer_batch(64, 0.01), finer_batch(64, 0.04), finer_batch(64, 2.0), finer_batch(4, 2.0)
        (64, 32, 8, 4)
    """
    if batch_seconds <= FINE_SECONDS:
        return batch_size
    return min(batch_size, max(FINE_ROWS, int(batch_size * FINE_SECONDS / batch_seconds)))


def slices(seconds: float, batch_seconds: float, together: int = 1) -> Slices:
    """Cut the time of a comparison into slices: more rounds first, then longer ones.

    Example:
        >>> slices(2.0, 0.01)
        Slices(num_rounds=10, seconds=0.1)
    """
    rounds = int(seconds / (2 * least_slice(batch_seconds, together)))
    rounds = min(max(rounds, LEAST_ROUNDS), MOST_ROUNDS)
    return Slices(num_rounds=rounds, seconds=max(0.0, seconds) / (2 * rounds))
