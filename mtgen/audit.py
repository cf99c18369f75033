"""What an epoch holds, from the plan alone: steps, rows, a digest of the order, and how often each row comes.

Two digests, both BLAKE2b with 16 bytes and no key, so that anybody can compute them again:

    step    of the rows in slot order as little-endian int64, -1 for an empty slot
    epoch   of the step digests, 16 raw bytes each, in step order
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mtgen.errors import PlanError
from mtgen.plan import Batching, Plan, Shard
from mtgen.sampling.order import LAWS, Blocks, Mixing, Order, OrderLaw

DIGEST_BYTES = 16
"""128 bits: two orders that differ have equal digests once in 10**38."""

BLOCK_POSITIONS = 1 << 16
"""Positions computed at once: large enough for NumPy, half a megabyte."""

MOST_LISTED = 5
"""Rows named in a report."""


def step_digest(rows: np.ndarray) -> bytes:
    """Digest of one step's rows, 16 bytes; pure.

    Args:
        rows: integers `(slots,)` in slot order, -1 for an empty slot.

    Example:
        >>> step_digest(np.array([3, 1])).hex()
        '1c225159637044e2814615077ddae62c'
    """
    return hashlib.blake2b(np.ascontiguousarray(rows, "<i8").tobytes(), digest_size=DIGEST_BYTES).digest()


class EpochDigest:
    """The digest of an epoch, step by step; one thread.

    Example:
        >>> digest = EpochDigest(); digest.add(step_digest(np.array([3, 1]))); len(digest.hex())
        32
    """

    def __init__(self) -> None:
        self._state = hashlib.blake2b(digest_size=DIGEST_BYTES)

    def add(self, digest: bytes) -> None:
        """Add the digest of the next step."""
        self._state.update(digest)

    def hex(self) -> str:
        """The digest so far, 32 hex digits."""
        return self._state.hexdigest()


class Coverage:
    """How often each row of a dataset came; one thread.

    Four bytes per row, and sixteen more where rows are not in ascending order.

    Args:
        rows: int64 `(n,)` of distinct rows.

    Attributes:
        num_empty: slots without a row.
        num_foreign: slots with a row that the dataset does not have.

    Example:
        >>> coverage = Coverage(np.array([4, 7, 9])); coverage.add(np.array([7, 4, 7, -1]))
        >>> coverage.counts(), coverage.rows_that_came(0)
        ({0: 1, 1: 1, 2: 1}, (9,))
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._order = None if (np.diff(rows) > 0).all() else np.argsort(rows)
        self._rows = rows if self._order is None else rows[self._order]
        self._plain = bool(self._rows[0] == 0 and self._rows[-1] == len(rows) - 1)
        self._times = np.zeros(len(rows), np.uint32)
        self.num_empty = self.num_foreign = 0

    def add(self, rows: np.ndarray) -> None:
        """Count rows, -1 for an empty slot."""
        filled = rows[rows >= 0]
        # Searching millions of rows would cost more than all else.
        places = filled if self._plain else np.searchsorted(self._rows, filled)
        places = np.minimum(places, len(self._rows) - 1)
        own = self._rows[places] == filled
        np.add.at(self._times, places[own], 1)
        self.num_empty += len(rows) - len(filled)
        self.num_foreign += int(len(filled) - own.sum())

    def counts(self) -> dict[int, int]:
        """Times -> number of rows that came so often, ascending."""
        times, rows = np.unique(self._times, return_counts=True)
        return dict(zip(times.tolist(), rows.tolist(), strict=True))

    def rows_that_came(self, least: int, most: int | None = None) -> tuple[int, ...]:
        """The first few rows that came at least so often, and at most so often (None: exactly `least` times)."""
        found = (self._times >= least) & (self._times <= (least if most is None else most))
        return tuple(self._rows[np.flatnonzero(found)[:MOST_LISTED]].tolist())

    def outside(self, least: np.ndarray, most: np.ndarray) -> tuple[int, tuple[int, ...]]:
        """How many rows came less or more often than they may, int64 `(n,)` each in the order given; the first few."""
        if self._order is not None:
            least, most = least[self._order], most[self._order]
        found = np.flatnonzero((self._times < least) | (self._times > most))
        return len(found), tuple(self._rows[found[:MOST_LISTED]].tolist())

    def missing(self) -> tuple[int, ...]:
        """The first few rows that did not come."""
        return self.rows_that_came(0)

    def repeated(self) -> tuple[int, ...]:
        """The first few rows that came more than once."""
        return self.rows_that_came(2, 2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class ShardProof:
    """Whether all shards together take each position of an epoch exactly once; the same in every epoch.

    Args:
        count: shards.
        size: positions in an epoch.
        num_dropped: positions that `drop_last` leaves out.
        num_missing: other positions that no shard takes.
        num_repeated: positions that are taken more than once.
    """

    count: int
    size: int
    num_dropped: int
    num_missing: int
    num_repeated: int

    @property
    def ok(self) -> bool:
        """Exactly once, but for what `drop_last` leaves out."""
        return not (self.num_missing or self.num_repeated)

    def __str__(self) -> str:
        who = "one shard takes" if self.count == 1 else f"{self.count} shards together take"
        dropped = f", {self.num_dropped} dropped at the end" if self.num_dropped else ""
        if self.ok:
            return f"{who} each of {self.size - self.num_dropped:,} positions exactly once{dropped}"
        return f"{who} {self.num_repeated:,} positions more than once and {self.num_missing:,} never{dropped}: WRONG"


@dataclass(frozen=True, kw_only=True)
class EpochAudit:
    """One epoch of a plan.

    Args:
        epoch: its number.
        num_steps: steps of this shard.
        num_rows: rows of this shard; empty slots not counted.
        digest: of this shard's steps, 32 hex digits; see the module.
        counts: times -> number of rows that come so often, all shards together.
        missing: the first few rows that do not come.
        repeated: the first few rows that come more than once.
        promised: the counts that the law promises; None for a law that promises none.
        num_outside: rows that come less or more often than the law promises of each of them; None for a law that
            promises nothing of single rows.
        outside: the first few of them.
    """

    epoch: int
    num_steps: int
    num_rows: int
    digest: str
    counts: dict[int, int]
    missing: tuple[int, ...]
    repeated: tuple[int, ...]
    promised: dict[int, int] | None
    num_outside: int | None = None
    outside: tuple[int, ...] = ()

    @property
    def ok(self) -> bool:
        """Each row comes as often as the law promises."""
        return not self.num_outside and (self.promised is None or self.counts == self.promised)

    def __str__(self) -> str:
        text = f"epoch {self.epoch}: {self.num_steps:,} steps, {self.num_rows:,} rows, digest {self.digest}, "
        text += counts_text(self.counts, self.missing, self.repeated)
        if self.num_outside:
            return f"{text}: WRONG, {outside_text(self.num_outside, self.outside)}"
        if self.num_outside == 0:
            text += ", each as often as the law promises"
        return text if self.ok else f"{text}: WRONG, the law promises {counts_text(self.promised or {})}"


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `Loader.audit` found.

    Args:
        title: law, rows, seed and batches in words.
        shards: proof that all shards together take each position exactly once.
        epochs: one entry per epoch asked for.
        mixing: how well batches are mixed, for a law that keeps blocks together.
    """

    title: str
    shards: ShardProof
    epochs: tuple[EpochAudit, ...]
    mixing: Mixing | None = None

    @property
    def ok(self) -> bool:
        """All that was promised holds."""
        return self.shards.ok and all(epoch.ok for epoch in self.epochs)

    def __str__(self) -> str:
        mixing = [] if self.mixing is None else [f"  {self.mixing}"]
        return "\n".join([self.title, f"  {self.shards}", *mixing, *(f"  {epoch}" for epoch in self.epochs)])


def counts_text(counts: dict[int, int], missing: Sequence[int] = (), repeated: Sequence[int] = ()) -> str:
    """Counts in words; pure.

    Example:
        >>> counts_text({1: 22}), counts_text({0: 2, 1: 20}, missing=[3, 7])
        ('each row exactly once', '2 rows never (3, 7), 20 once')
    """
    if set(counts) == {1}:
        return "each row exactly once"
    parts: list[str] = []
    for times, rows in sorted(counts.items()):
        named = missing if times == 0 else ()
        listed = f" ({', '.join(map(str, named))}{', ...' if rows > len(named) else ''})" if named else ""
        word = {0: "never", 1: "once", 2: "twice"}.get(times, f"{times} times")
        noun = "" if parts else (" row" if rows == 1 else " rows")
        parts.append(f"{rows:,}{noun} {word}{listed}")
    if repeated:
        more = sum(rows for times, rows in counts.items() if times > 1) > len(repeated)
        parts.append(f"more than once: {', '.join(map(str, repeated))}{', ...' if more else ''}")
    return ", ".join(parts)


def outside_text(num: int, rows: Sequence[int]) -> str:
    """Rows that do not come as often as promised, in words; pure.

    Example:
        >>> outside_text(1, [7])
        '1 row comes less or more often than the law promises (7)'
    """
    listed = ", ".join(map(str, rows)) + (", ..." if num > len(rows) else "")
    return f"{num:,} row{' comes' if num == 1 else 's come'} less or more often than the law promises ({listed})"


def plan_title(law: object, num_rows: int, seed: int, batching: Batching) -> str:
    """Law, rows, seed and batches in words; pure.

    Example:
        >>> plan_title("exact", 10, 0, Batching(size=10, batch_size=4))
        "'exact' over 10 rows, seed 0, 3 steps of 4 per epoch"
    """
    shard = batching.shard
    part = "" if shard.count == 1 else f", shard {shard.index} of {shard.count}"
    steps = f"{batching.steps_per_epoch:,} steps of {batching.batch_size} per epoch{part}"
    return f"{law!r} over {num_rows:,} rows, seed {seed}, {steps}"


def promised_counts(sampler: OrderLaw, batching: Batching, num_rows: int) -> dict[int, int] | None:
    """How often each row comes in an epoch by the law's own promise; None for a law that promises nothing. Pure.

    Example:
        >>> from mtgen.sampling.order import Exact
        >>> promised_counts(Exact(), Batching(size=10, batch_size=4, drop_last=True), 10)
        {0: 2, 1: 8}
    """
    if type(sampler) not in LAWS.values():
        return None
    dropped = batching.rest if batching.drop_last else 0
    return {0: dropped, 1: num_rows - dropped} if dropped else {1: num_rows}


def rows_outside(order: Order, batching: Batching, coverage: Coverage) -> tuple[int | None, tuple[int, ...]]:
    """How many rows of a whole epoch came less or more often than its order promises of each, and the first few.

    None for an order that promises nothing of single rows. What `drop_last` leaves out may be missing. Pure.
    """
    bounds = order.bounds() if hasattr(order, "bounds") else None
    if bounds is None:
        return None, ()
    least, most = bounds
    return coverage.outside(np.maximum(least - (batching.rest if batching.drop_last else 0), 0), most)


def check_shards(batching: Batching) -> ShardProof:
    """Take the positions of every shard, and count how often each position comes. Pure."""
    times = np.zeros(batching.size, np.uint32)
    for index in range(batching.shard.count):
        one = replace(batching, shard=Shard(index, batching.shard.count))
        for step in range(one.steps_per_epoch):
            np.add.at(times, one.positions(step), 1)
    dropped = batching.rest if batching.drop_last else 0
    kept = batching.size - dropped
    return ShardProof(
        count=batching.shard.count,
        size=batching.size,
        num_dropped=dropped,
        num_missing=int((times[:kept] == 0).sum()),
        num_repeated=int((times[:kept] > 1).sum() + (times[kept:] > 0).sum()),
    )


def audit(plan: Plan, epochs: int | Iterable[int] = 1) -> Audit:
    """Say what the plan holds in some epochs. Pure; nothing is read.

    Args:
        plan: what decides.
        epochs: numbers of epochs, or how many from epoch 0 on.

    Raises:
        PlanError: epochs that are no integers >= 0, or none.

    Example:
        >>> from mtgen.sampling.order import Exact
        >>> found = audit(Plan(Exact(), 0, Batching(size=6, batch_size=4), np.arange(6)), range(2))
        >>> found.ok, [(epoch.num_steps, epoch.num_rows, epoch.counts) for epoch in found.epochs]
        (True, [(2, 6, {1: 6}), (2, 6, {1: 6})])
    """
    numbers = _numbers(epochs)
    return Audit(
        title=plan_title(plan.sampler, len(plan.rows), plan.seed, plan.batching),
        shards=check_shards(plan.batching),
        epochs=tuple(_audit_epoch(plan, epoch) for epoch in numbers),
        mixing=plan.sampler.mixing(len(plan.rows)) if isinstance(plan.sampler, Blocks) else None,
    )


def _numbers(epochs: int | Iterable[int]) -> list[int]:
    whole = int | np.integer
    given = list(range(epochs) if isinstance(epochs, whole) and not isinstance(epochs, bool) else _items(epochs))
    if not given or any(isinstance(one, bool) or not isinstance(one, whole) or one < 0 for one in given):
        raise PlanError(
            f"epochs must be a number of epochs >= 1, or numbers of epochs >= 0 such as range(3), received {epochs!r}"
        )
    return [int(one) for one in given]


def _items(epochs: object) -> Iterator[int]:
    return iter(epochs) if isinstance(epochs, Iterable) else iter(())


def _audit_epoch(plan: Plan, epoch: int) -> EpochAudit:
    batching, own = plan.batching, plan.batching.shard
    coverage, digest, num_rows = Coverage(plan.rows), EpochDigest(), 0
    at_once = max(1, BLOCK_POSITIONS // batching.batch_size)
    for first in range(0, batching.steps_per_epoch, at_once):
        steps = range(first, min(first + at_once, batching.steps_per_epoch))
        for index in range(own.count):
            parts = plan.slots(epoch, steps, Shard(index, own.count))
            coverage.add(np.concatenate(parts))
            if index == own.index:
                num_rows += sum(int((part >= 0).sum()) for part in parts)
                for part in parts:
                    digest.add(step_digest(part))
    num_outside, outside = rows_outside(plan.order(epoch), batching, coverage)
    return EpochAudit(
        epoch=epoch,
        num_steps=batching.steps_per_epoch,
        num_rows=num_rows,
        digest=digest.hex(),
        counts=coverage.counts(),
        missing=coverage.missing(),
        repeated=coverage.repeated(),
        promised=promised_counts(plan.sampler, batching, len(plan.rows)),
        num_outside=num_outside,
        outside=outside,
    )
