"""Where the time went: counters that workers and consumer add to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mtgen.waits import ProcessTurns


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What a loader did so far.

    Args:
        num_batches: batches handed to the consumer.
        num_rows: rows in them, empty slots not counted.
        num_bad_rows: slots of batches asked for whose picture or chunk could not be read.
        num_retries: reads tried again after an error that may pass.
        wait_seconds: time the consumer waited for batches.
        stage_seconds: time workers spent per stage, summed over threads: `read` (bytes of pictures), `decode`
            (pixels), `gather` (rows of stores), `assemble` (columns of the table), `cache` and `store` (pictures out
            of a cache and into it).
        num_chunks: chunks that windows wanted rows of, and
        num_chunks_kept: those of them that were still there, decompressed.
        num_keys_compared: rows whose key in the store was compared with the table's.
        picture_facts: pictures that were decoded, by what was done to them, such as `oriented` or `alpha`.
        num_cache_hits: pictures that came out of a cache.
        num_cache_misses: pictures of inputs with a cache that had to be decoded.
        num_cache_stored: pictures put into a cache.
        num_cache_damaged: misses because what the cache held was damaged or could not be read.
    """

    num_batches: int = 0
    num_rows: int = 0
    num_bad_rows: int = 0
    num_retries: int = 0
    wait_seconds: float = 0.0
    stage_seconds: dict[str, float] = field(default_factory=dict)
    num_chunks: int = 0
    num_chunks_kept: int = 0
    num_keys_compared: int = 0
    picture_facts: dict[str, int] = field(default_factory=dict)
    num_cache_hits: int = 0
    num_cache_misses: int = 0
    num_cache_stored: int = 0
    num_cache_damaged: int = 0

    @property
    def cache_hit_rate(self) -> float:
        """Share of pictures that came out of a cache, of those that could have; 0 before the first.

        Example:
            >>> Stats(num_cache_hits=3, num_cache_misses=1).cache_hit_rate
            0.75
        """
        return self.num_cache_hits / max(self.num_cache_hits + self.num_cache_misses, 1)

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in self.stage_seconds.items())
        retried = f", {self.num_retries} reads retried" if self.num_retries else ""
        return (
            f"{self.num_batches} batches, {self.num_rows} rows, {self.num_bad_rows} bad{retried}; consumer waited "
            f"{self.wait_seconds:.2f} s; workers: {stages or 'nothing yet'}{self._cached}"
        )

    @property
    def _cached(self) -> str:
        asked = self.num_cache_hits + self.num_cache_misses
        if not asked:
            return ""
        damaged = f", {self.num_cache_damaged} damaged" if self.num_cache_damaged else ""
        return f"; cache: {self.cache_hit_rate:.1%} of {asked} pictures hit, {self.num_cache_stored} stored{damaged}"


class Recorder:
    """The counters behind `Stats`. Any thread may add; one lock, held for a few additions."""

    def __init__(self) -> None:
        self._turns = ProcessTurns("count")
        self._counts: Counter[str] = Counter()
        self._wait_seconds = 0.0
        self._stages = dict.fromkeys(("read", "decode", "gather", "assemble"), 0.0)
        self._facts: Counter[str] = Counter()

    def add_stage(
        self, stage: str, seconds: float, *, keys_compared: int = 0, chunks: int = 0, chunks_kept: int = 0
    ) -> None:
        """Add a worker's time in one stage."""
        with self._turns.here:
            self._stages[stage] = self._stages.get(stage, 0.0) + seconds
            self._counts["keys_compared"] += keys_compared
            self._counts["chunks"] += chunks
            self._counts["chunks_kept"] += chunks_kept

    def add_cached(self, *, hits: int = 0, misses: int = 0, stored: int = 0, damaged: int = 0) -> None:
        """Add what a cache of pictures did."""
        counts = {"cache_hits": hits, "cache_misses": misses, "cache_stored": stored, "cache_damaged": damaged}
        with self._turns.here:
            self._counts.update(counts)

    def add_facts(self, facts: Mapping[str, int]) -> None:
        """Add what was done to pictures."""
        with self._turns.here:
            self._facts.update(facts)

    def add_bad(self, num_rows: int) -> None:
        """Add rows that could not be read."""
        with self._turns.here:
            self._counts["bad_rows"] += num_rows

    def add_retry(self) -> None:
        """Add one read that is tried again."""
        with self._turns.here:
            self._counts["retries"] += 1

    def add_handed(self, num_rows: int, wait_seconds: float) -> None:
        """Add one batch handed to the consumer, and how long it waited for it."""
        with self._turns.here:
            self._counts["batches"] += 1
            self._counts["rows"] += num_rows
            self._wait_seconds += wait_seconds

    def stats(self) -> Stats:
        """The counters now."""
        with self._turns.here:
            return Stats(
                num_batches=self._counts["batches"],
                num_rows=self._counts["rows"],
                num_bad_rows=self._counts["bad_rows"],
                num_retries=self._counts["retries"],
                num_chunks=self._counts["chunks"],
                num_chunks_kept=self._counts["chunks_kept"],
                num_keys_compared=self._counts["keys_compared"],
                wait_seconds=self._wait_seconds,
                stage_seconds=dict(self._stages),
                picture_facts=dict(self._facts),
                num_cache_hits=self._counts["cache_hits"],
                num_cache_misses=self._counts["cache_misses"],
                num_cache_stored=self._counts["cache_stored"],
                num_cache_damaged=self._counts["cache_damaged"],
            )
