"""What the suite `sampling` measures: the tasks, their sizes, and the targets that mtgen set itself. Numbers only.

The sizes and targets are those of the specification's table of performance, for a machine of two slow cores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mtgen.bench.drawing.inputs import Sizes, low_of

LIKE = 1.25
"""Times as long as another task that still counts as the same time."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One thing that is measured.

    Args:
        text: what one call does; names in braces are sizes.
        check: of `mtgen.bench.drawing.checks.CHECKS`.
        sizes: rows, points and the like.
        proofs: small ones, checked thoroughly before.
        inputs: what of `Sizes` is made before anything is measured.
        seconds: target for a call, or for a row.
        per_row: times are those of a row.
        peak_bytes: target for the most memory that getting ready and a call take, besides the inputs.
        held_bytes: target for the memory that is held once all is ready.
        like: the target is the time of this other task.
    """

    text: str
    check: str
    sizes: Sizes
    proofs: tuple[Sizes, ...] = ()
    inputs: tuple[str, ...] = ()
    seconds: float | None = None
    per_row: bool = False
    peak_bytes: int | None = None
    held_bytes: int | None = None
    like: str | None = None

    def told(self, shrink: int) -> str:
        """What one call does, with its sizes."""
        sizes = self.sizes.shrunk(shrink)
        bins = " x ".join(f"{number:,}" for number in sizes.bins)
        return self.text.format(
            rows=f"{sizes.rows:,}",
            batch=f"{sizes.batch:,}",
            parts=sizes.parts,
            points=f"{sizes.points:,}",
            bins=bins,
        )


MILLION = 1_000_000
MB = 1_000_000
_WEIGHTED = (Sizes(rows=500, batch=256, calls=400), Sizes(rows=3_000, batch=100, calls=1_000))
_ORDERS = (
    *(Sizes(rows=number, batch=number, calls=2) for number in (2, 3, 100, 1_000)),
    Sizes(rows=5, batch=5, calls=125),
)
_STARTS = tuple(Sizes(rows=number, batch=min(number, 256), calls=4) for number in (100, 5_000))
_PARTS = (Sizes(parts=7, batch=5_000, calls=4),)
_BINS = (Sizes(points=40, bins=(4, 5, 6), batch=4_000, calls=5),)
_HALF = (Sizes(low=0.0, batch=5_000, calls=4), Sizes(low=1.0, batch=5_000, calls=4))

TASKS: Mapping[str, Task] = {
    "weighted batch": Task(
        text="{batch} of {rows} rows, drawn by weights that are there",
        check="weighted",
        sizes=Sizes(rows=10 * MILLION),
        proofs=_WEIGHTED,
        inputs=("weights",),
        seconds=1e-3,
    ),
    "weighted batch, many rows": Task(
        text="{batch} of {rows} rows, drawn by weights that are there",
        check="weighted",
        sizes=Sizes(rows=20 * MILLION),
        proofs=_WEIGHTED,
        inputs=("weights",),
        seconds=1e-3,
    ),
    "weights built": Task(
        text="{rows} weights checked and made ready to draw by",
        check="weighted",
        sizes=Sizes(rows=10 * MILLION, batch=10 * MILLION),
        proofs=(Sizes(rows=500, batch=500, calls=20),),
        inputs=("weights",),
        seconds=0.3,
        peak_bytes=160 * MB,
    ),
    "weighted epoch": Task(
        text="a whole epoch of {batch} of {rows} rows, drawn by weight",
        check="weighted",
        sizes=Sizes(rows=10 * MILLION, batch=10 * MILLION),
        proofs=(Sizes(rows=500, batch=500, calls=200),),
        inputs=("weights",),
        seconds=1.5,
    ),
    "without replacement": Task(
        text="{batch} different rows of {rows}, drawn by weight one after the other",
        check="distinct",
        sizes=Sizes(rows=10 * MILLION, batch=MILLION),
        proofs=(Sizes(rows=4, batch=2, calls=2_000), Sizes(rows=500, batch=100, calls=20)),
        inputs=("weights",),
        seconds=0.6,
    ),
    "shuffle, start": Task(
        text="a shuffle of {rows} rows begun, and its first row",
        check="permutation",
        sizes=Sizes(rows=10_000 * MILLION, batch=1),
        proofs=_STARTS,
        seconds=1e-3,
        peak_bytes=1 * MB,
    ),
    "shuffle": Task(
        text="{batch} rows more of a shuffle of {rows} rows",
        check="permutation",
        sizes=Sizes(rows=10_000 * MILLION),
        proofs=(*_ORDERS, *_STARTS),
        seconds=1e-3,
        peak_bytes=1 * MB,
    ),
    "shuffle, small": Task(
        text="a whole shuffle of {rows} rows, another one each time",
        check="permutation",
        sizes=Sizes(rows=10, batch=10, fixed=True),
        proofs=_ORDERS,
        seconds=20e-6,
        per_row=True,
    ),
    "shuffle, 65,537 rows": Task(
        text="a whole shuffle of {rows} rows, another one each time",
        check="permutation",
        sizes=Sizes(rows=65_537, batch=65_537, fixed=True),
        proofs=(Sizes(rows=1_000, batch=1_000, calls=2),),
    ),
    "mixture": Task(
        text="{batch} points of a mixture of {parts} normal laws",
        check="mixture",
        sizes=Sizes(parts=100),
        proofs=_PARTS,
        seconds=3e-3,
    ),
    "mixture, many points": Task(
        text="{batch} points of a mixture of {parts} normal laws",
        check="mixture",
        sizes=Sizes(parts=100, batch=100_000),
        proofs=_PARTS,
        seconds=60e-3,
    ),
    "histogram": Task(
        text="{batch} points of a histogram of {points} points in {bins} bins",
        check="histogram",
        sizes=Sizes(points=100_000, bins=(100, 100, 100)),
        proofs=_BINS,
        inputs=("cloud",),
        seconds=0.1e-3,
        held_bytes=4 * MB,
    ),
    "histogram, many bins": Task(
        text="{batch} points of a histogram of {points} points in {bins} bins",
        check="histogram",
        sizes=Sizes(points=MILLION, bins=(500, 1_000, 1_000)),
        proofs=_BINS,
        inputs=("cloud",),
        held_bytes=50 * MB,
    ),
    "truncated, half kept": Task(
        text="{batch} points of a normal law above its middle",
        check="truncated",
        sizes=Sizes(batch=100_000, low=low_of(0.5)),
        proofs=_HALF,
    ),
    "truncated, 1e-9 kept": Task(
        text="{batch} points of a normal law above a bound that one in 1e9 passes",
        check="truncated",
        sizes=Sizes(batch=100_000, low=low_of(1e-9)),
        proofs=_HALF,
        like="truncated, half kept",
    ),
    "impossible": Task(
        text="a condition that no point meets, until the error is there",
        check="error",
        sizes=Sizes(batch=1),
        seconds=1.0,
    ),
    "sample by": Task(
        text="weights of {rows} rows by six contains on a column of lists",
        check="query",
        sizes=Sizes(rows=MILLION, batch=MILLION),
        proofs=(Sizes(rows=2_000, batch=2_000),),
        inputs=("findings",),
        seconds=1.0,
    ),
    "sample by, drawn": Task(
        text="the same, and {batch} rows drawn by them",
        check="query rows",
        sizes=Sizes(rows=MILLION, batch=10_000),
        proofs=(Sizes(rows=2_000, batch=1_000, calls=10),),
        inputs=("findings",),
    ),
}
