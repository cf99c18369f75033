"""Run loaders for slices of time and compare them in turn. Every slice ends at a batch boundary."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from mtgen.doctor.ratios import Comparison, compare
from mtgen.doctor.schedule import Slices
from mtgen.doctor.verdict import Delivery
from mtgen.loader import Loader

WARM_SHARE = 1 / 2
"""Part of a slice that the first batches may take at most; those that count have the rest of it, at least."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """What one slice measured.

    Args:
        num_rows: rows of the batches that count.
        seconds: they took.
        stage_seconds: stage -> seconds that all workers together spent in `stage_span` seconds.
        stage_span: seconds for which stages were counted: those of the batches that count, and a bit.
        stage_rows: rows handed out in that time.
        wait_seconds: the consumer waited in that time.
    """

    num_rows: int
    seconds: float
    stage_seconds: dict[str, float]
    stage_span: float
    stage_rows: int
    wait_seconds: float

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.num_rows / self.seconds


class Place:
    """Where in the order the next slice begins, in rows: no two slices read the same rows before an epoch is over.

    So all sides meet files that were as rarely read before, and none lives off what another one brought into memory.
    """

    def __init__(self) -> None:
        self.num_rows = 0

    def step(self, loader: Loader) -> int:
        """The first step of a loader whose rows were not used yet."""
        return -(-self.num_rows // loader.batch_size)


class Side(Protocol):
    """One side of a comparison."""

    def __call__(self, seconds: float) -> Slice:
        """Measure for so long."""
        ...


def deliver(loader: Loader, place: Place, seconds: float) -> Slice:
    """Take batches as fast as they come, for that long, and for at least one batch after the first.

    The stream is new, and closed at the end, so that nothing is prepared while another side is measured. The first
    batches fill the pipeline and do not count.
    """
    forecast = loader.forecast
    warm = 2 * forecast.window + forecast.depth
    began = time.perf_counter()
    batches = loader.steps(place.step(loader))
    used = rows = number = 0
    start, first = began, loader.stats()
    ends: list[tuple[float, int]] = []
    try:
        for batch in batches:
            now = time.perf_counter()
            used += len(batch)
            number += 1
            if not ends and (number == 1 or (number < warm and now - began < WARM_SHARE * seconds)):
                start, first = now, loader.stats()
                continue
            rows += len(batch)
            ends.append((now, rows))
            if now - start >= (1 - WARM_SHARE) * seconds:
                break
        last = loader.stats()
    finally:
        close = getattr(batches, "close", None)
        if close is not None:
            close()
    place.num_rows += used + (forecast.window + forecast.depth) * loader.batch_size
    end, counted = whole_windows(ends, forecast.window)
    return Slice(
        num_rows=counted,
        seconds=max(end - start, 1e-9),
        stage_seconds={name: total - first.stage_seconds.get(name, 0.0) for name, total in last.stage_seconds.items()},
        stage_span=max(ends[-1][0] - start, 1e-9),
        stage_rows=rows,
        wait_seconds=last.wait_seconds - first.wait_seconds,
    )


def whole_windows(ends: Sequence[tuple[float, int]], window: int) -> tuple[float, int]:
    """Time and rows at the end of the last whole window: batches of one come in a burst. Pure.

    Args:
        ends: time and rows so far, at the end of each batch; at least one.
        window: steps planned together.

    Example:
        >>> whole_windows([(1.0, 8), (1.1, 16), (2.0, 24)], 2)
        (1.1, 16)
        >>> whole_windows([(1.0, 8)], 2)
        (1.0, 8)
    """
    whole = len(ends) - len(ends) % window
    return ends[(whole or len(ends)) - 1]


def in_turn(
    present: Callable[[float], Slice], changed: Callable[[float], Slice], plan: Slices, deadline: float
) -> tuple[Comparison, list[Slice], list[Slice]]:
    """Measure two sides in turn and compare them.

    Args:
        present: measures the present side for so many seconds.
        changed: likewise.
        plan: rounds and seconds.
        deadline: by `time.perf_counter`; no round begins after it, but for the first.

    Returns:
        The comparison, and the slices of each side.
    """
    sides = (present, changed)
    found: tuple[list[Slice], list[Slice]] = ([], [])
    for number, turns in enumerate(plan.turns):
        left = deadline - time.perf_counter()
        if number and left <= 0:
            break
        seconds = min(plan.seconds, max(left, 0.0) / (2 * (plan.num_rounds - number)))
        for side in turns:
            found[side].append(sides[side](seconds))
    return compare([one.rate for one in found[0]], [one.rate for one in found[1]]), *found


def delivery(loader: Loader, place: Place, plan: Slices) -> Delivery:
    """What a loader does alone."""
    found = [deliver(loader, place, plan.seconds) for _ in range(plan.num_rounds)]
    rates = [one.rate for one in found]
    # Work on later batches stands for that on the first ones, which was done before the clock ran.
    span, rows = sum(one.stage_span for one in found), sum(one.stage_rows for one in found)
    total = {name: sum(one.stage_seconds.get(name, 0.0) for one in found) for name in found[0].stage_seconds}
    return Delivery(
        batch_size=loader.batch_size,
        num_workers=loader.num_workers,
        rows_per_second=median(rates),
        low=min(rates),
        high=max(rates),
        stage_seconds={name: seconds / rows * 1000 for name, seconds in total.items()},
        busy_share=min(1.0, sum(total.values()) / (span * max(loader.num_workers, 1))),
    )
