"""Settings that change how fast batches come, never what is in them."""

from __future__ import annotations

from dataclasses import dataclass

from mtgen.errors import PlanError

MOST_STALL_SECONDS = 1_000_000
"""Some eleven days; the waits of threads overflow beyond about 292 years, and infinity is no deadline."""


@dataclass(frozen=True, kw_only=True)
class Prefetch:
    """How far a loader works ahead.

    Args:
        window: upcoming steps whose reads are planned together, >= 1, so that a chunk they share is decompressed
            once; None chooses by the stores and the memory budget.
        depth: steps kept ready or in work beyond the one handed out, >= 0; None chooses likewise.
        stall_seconds: longest wait for one batch, > 0; then a `StallError` says what each worker is doing.

    Example:
        >>> Prefetch(window=8).window
        8
    """

    window: int | None = None
    depth: int | None = None
    stall_seconds: float = 300.0

    def __post_init__(self) -> None:
        for name, value, least in (("window", self.window, 1), ("depth", self.depth, 0)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise PlanError(f"Prefetch({name}=...) must be an integer >= {least} or None, received {value!r}")
        number = isinstance(self.stall_seconds, int | float) and not isinstance(self.stall_seconds, bool)
        if not number or not 0 < self.stall_seconds <= MOST_STALL_SECONDS:
            raise PlanError(
                f"Prefetch(stall_seconds=...) must be a number > 0 and at most {MOST_STALL_SECONDS:,} (no wait is "
                f"unbounded), received {self.stall_seconds!r}"
            )
