"""What the suite `sampling` measures: the tasks, their sizes, and the targets that mtgen set itself. Numbers only.

The sizes and targets are those of the specification's table of performance, for a machine of two slow cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtgen.bench.draws.inputs import Draws, low_of

LIKE = 1.25
"""Times as long as another task that still counts as the same time."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing that is measured.

    Args:
        text: what one call does; names in braces are sizes.
        check: of `mtgen.bench.draws.checks.CHECKS`.
        draws: its sizes.
        proofs: small ones, checked thoroughly before.
        inputs: what of `Draws` is made before anything is measured.
        seconds: target for a call, or for a row.
        per_row: times are those of a row.
        peak_bytes: target for the most memory that getting ready and a call take, besides the inputs.
        held_bytes: target for the memory that is held once all is ready.
        like: the target is the time of this other task.
    """

    text: str
    check: str
    draws: Draws
    proofs: tuple[Draws, ...] = ()
    inputs: tuple[str, ...] = ()
    seconds: float | None = None
    per_row: bool = False
    peak_bytes: int | None = None
    held_bytes: int | None = None
    like: str | None = None

    def told(self, shrink: int) -> str:
        """What one call does, with its sizes."""
        draws = self.draws.shrunk(shrink)
        bins = " x ".join(f"{number:,}" for number in draws.bins)
        return self.text.format(
            rows=f"{draws.rows:,}",
            batch=f"{draws.batch:,}",
            parts=draws.parts,
            points=f"{draws.points:,}",
            bins=bins,
        )


MILLION = 1_000_000
MB = 1_000_000
_WEIGHTED = (Draws(rows=500, batch=256, calls=400), Draws(rows=3_000, batch=100, calls=1_000))
_ORDERS = (
    *(Draws(rows=number, batch=number, calls=2) for number in (2, 3, 100, 1_000)),
    Draws(rows=5, batch=5, calls=125),
)
_STARTS = tuple(Draws(rows=number, batch=min(number, 256), calls=4) for number in (100, 5_000))
_PARTS = (Draws(parts=7, batch=5_000, calls=4),)
_BINS = (Draws(points=40, bins=(4, 5, 6), batch=4_000, calls=5),)
_HALF = (Draws(low=0.0, batch=5_000, calls=4), Draws(low=1.0, batch=5_000, calls=4))

TASKS: Mapping[str, Task] = {
    "weighted batch": Task(
        text="{batch} of {rows} rows, drawn by weights that are there",
        check="weighted",
        draws=Draws(rows=10 * MILLION),
        proofs=_WEIGHTED,
        inputs=("weights",),
        seconds=1e-3,
    ),
    "weighted batch, many rows": Task(
        text="{batch} of {rows} rows, drawn by weights that are there",
        check="weighted",
        draws=Draws(rows=20 * MILLION),
        proofs=_WEIGHTED,
        inputs=("weights",),
        seconds=1e-3,
    ),
    "weights built": Task(
        text="{rows} weights checked and made ready to draw by",
        check="weighted",
        draws=Draws(rows=10 * MILLION, batch=10 * MILLION),
        proofs=(Draws(rows=500, batch=500, calls=20),),
        inputs=("weights",),
        seconds=0.3,
        peak_bytes=160 * MB,
    ),
    "weighted epoch": Task(
        text="a whole epoch of {batch} of {rows} rows, drawn by weight",
        check="weighted",
        draws=Draws(rows=10 * MILLION, batch=10 * MILLION),
        proofs=(Draws(rows=500, batch=500, calls=200),),
        inputs=("weights",),
        seconds=1.5,
    ),
    "without replacement": Task(
        text="{batch} different rows of {rows}, drawn by weight one after the other",
        check="distinct",
        draws=Draws(rows=10 * MILLION, batch=MILLION),
        proofs=(Draws(rows=4, batch=2, calls=2_000), Draws(rows=500, batch=100, calls=20)),
        inputs=("weights",),
        seconds=0.6,
    ),
    "shuffle, start": Task(
        text="a shuffle of {rows} rows begun, and its first row",
        check="permutation",
        draws=Draws(rows=10_000 * MILLION, batch=1),
        proofs=_STARTS,
        seconds=1e-3,
        peak_bytes=1 * MB,
    ),
    "shuffle": Task(
        text="{batch} rows more of a shuffle of {rows} rows",
        check="permutation",
        draws=Draws(rows=10_000 * MILLION),
        proofs=(*_ORDERS, *_STARTS),
        seconds=1e-3,
        peak_bytes=1 * MB,
    ),
    "shuffle, small": Task(
        text="a whole shuffle of {rows} rows, another one each time",
        check="permutation",
        draws=Draws(rows=10, batch=10, fixed=True),
        proofs=_ORDERS,
        seconds=20e-6,
        per_row=True,
    ),
    "shuffle, 2**16 + 1": Task(
        text="a whole shuffle of {rows} rows, another one each time",
        check="permutation",
        draws=Draws(rows=65_537, batch=65_537, fixed=True),
        proofs=_ORDERS,
    ),
    "mixture": Task(
        text="{batch} points of a mixture of {parts} normal laws",
        check="mixture",
        draws=Draws(parts=100),
        proofs=_PARTS,
        seconds=3e-3,
    ),
    "mixture, many points": Task(
        text="{batch} points of a mixture of {parts} normal laws",
        check="mixture",
        draws=Draws(parts=100, batch=100_000),
        proofs=_PARTS,
        seconds=60e-3,
    ),
    "histogram": Task(
        text="{batch} points of a histogram of {points} points in {bins} bins",
        check="histogram",
        draws=Draws(points=100_000, bins=(100, 100, 100)),
        proofs=_BINS,
        inputs=("cloud",),
        seconds=0.1e-3,
        held_bytes=4 * MB,
    ),
    "histogram, many bins": Task(
        text="{batch} points of a histogram of {points} points in {bins} bins",
        check="histogram",
        draws=Draws(points=MILLION, bins=(500, 1_000, 1_000)),
        proofs=_BINS,
        inputs=("cloud",),
        held_bytes=50 * MB,
    ),
    "truncated, half kept": Task(
        text="{batch} points of a normal law above its middle",
        check="truncated",
        draws=Draws(batch=100_000, low=low_of(0.5)),
        proofs=_HALF,
    ),
    "truncated, 1e-9 kept": Task(
        text="{batch} points of a normal law above a bound that one in 1e9 passes",
        check="truncated",
        draws=Draws(batch=100_000, low=low_of(1e-9)),
        proofs=_HALF,
        like="truncated, half kept",
    ),
    "impossible": Task(
        text="a condition that no point meets, until the error is there",
        check="error",
        draws=Draws(batch=1),
        seconds=1.0,
    ),
    "sample by": Task(
        text="weights of {rows} rows by six contains on a column of lists",
        check="query",
        draws=Draws(rows=MILLION, batch=MILLION),
        proofs=(Draws(rows=2_000, batch=2_000),),
        inputs=("findings",),
        seconds=1.0,
    ),
    "sample by, drawn": Task(
        text="the same, and {batch} rows drawn by them",
        check="query rows",
        draws=Draws(rows=MILLION, batch=10_000),
        proofs=(Draws(rows=2_000, batch=1_000, calls=10),),
        inputs=("findings",),
    ),
}
