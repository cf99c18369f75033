"""Read an order log and prove what a run consumed: the plan is made again from the log's header, nothing else is read.

For each step the digest of its rows is computed again, from the law and the slots that the log says were replaced.
Steps that follow each other, each with the right digest, are the plan; counting their rows is the coverage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from mtgen.audit import (
    BLOCK_POSITIONS,
    MOST_LISTED,
    Coverage,
    counts_text,
    outside_text,
    plan_title,
    promised_counts,
    rows_outside,
    step_digest,
)
from mtgen.errors import StateError
from mtgen.order_reader import Log, Tally, delivered
from mtgen.order_records import VERSION, Place, Step
from mtgen.plan import Plan
from mtgen.sampling.order import OrderLaw, sampler_of


@dataclass(kw_only=True)
class LoggedEpoch:
    """What a log proves about one epoch.

    Args:
        epoch: its number.
        first_step: the first logged step of it, counted in the epoch.
        num_steps: steps logged, lost ones not counted.
        num_rows: rows in them.
        whole: whether all steps of the epoch are there.
        num_shards: of the run that trained it, the most where the number changed; one log holds one shard's rows.
        digest: of the logged steps.
        counts: times -> number of rows delivered so often.
        missing: the first few rows that were not delivered.
        repeated: the first few rows that were delivered more than once.
        num_replaced: slots that delivered another row than planned, or none.
        replaced: the first few: step, slot, row planned, row delivered (-1: none).
        first_difference: the first step whose rows are not those of the plan and the replaced slots; None: none.
        problems: what is wrong, in words.
    """

    epoch: int
    first_step: int = 0
    num_steps: int = 0
    num_rows: int = 0
    whole: bool = False
    num_shards: int = 1
    digest: str = ""
    counts: dict[int, int] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    repeated: tuple[int, ...] = ()
    num_replaced: int = 0
    replaced: list[tuple[int, int, int, int]] = field(default_factory=list)
    first_difference: int | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(kw_only=True)
class RunAudit:
    """What an order log proves.

    Args:
        title: law, rows, seed and batches in words.
        rebuilt: whether the plan could be made again; else only the rows that the log holds were counted.
        epochs: in order.
        resumes: steps at which training went on.
        num_lost: steps logged and then lost with their process, because training went on before them.
    """

    title: str
    rebuilt: bool
    epochs: list[LoggedEpoch] = field(default_factory=list)
    resumes: list[int] = field(default_factory=list)
    num_lost: int = 0

    @property
    def ok(self) -> bool:
        """No step is missing or differs from the plan, replaced slots apart, which the log lists."""
        return not any(epoch.problems for epoch in self.epochs)

    def __str__(self) -> str:
        lines = [self.title]
        if not self.rebuilt:
            lines.append("  the law is not one of mtgen's and cannot be made again: rows are those that the log holds")
        if self.resumes:
            lost = f"; {self.num_lost:,} steps logged before were lost with their process" if self.num_lost else ""
            lines.append(f"  resumed at step {', '.join(map(str, self.resumes))}{lost}")
        for epoch in self.epochs:
            lines += [f"  {line}" for line in _epoch_lines(epoch, self.rebuilt)]
        if not self.epochs:
            lines.append("  no step was trained")
        return "\n".join([*lines, "ok" if self.ok else "NOT ok"])


def _epoch_lines(one: LoggedEpoch, rebuilt: bool) -> list[str]:
    everything = one.whole and one.num_shards == 1
    part = "" if one.whole else f" from step {one.first_step} of the epoch on" if one.first_step else " so far"
    text = f"epoch {one.epoch}: {one.num_steps:,} steps, {one.num_rows:,} rows{part}, digest {one.digest}"
    if rebuilt and not one.problems:
        slots = f"{one.num_replaced:,} replaced slot{'s' if one.num_replaced > 1 else ''}"
        text += " as planned" + (f" but for {slots}" if one.num_replaced else "")
    counts = {times: rows for times, rows in one.counts.items() if times or everything}
    once = "each of these rows once" if set(counts) == {1} and not everything else None
    text += f", {once or counts_text(counts, one.missing, one.repeated)}"
    lines = [text]
    for step, slot, planned, row in one.replaced:
        gave = f"row {row}" if row >= 0 else "nothing"
        lines.append(f"  step {step}, slot {slot}: {gave} instead of row {planned}")
    if one.num_replaced > len(one.replaced):
        lines.append(f"  and {one.num_replaced - len(one.replaced):,} more replaced slots")
    return lines + [f"  WRONG: {problem}" for problem in one.problems]


def audit_run(folder: str | Path, sampler: OrderLaw | None = None) -> RunAudit:
    """Check the order log of a run against the plan. Reads the log and nothing else; any thread.

    Args:
        folder: of the run, with `order.jsonl`, and `rows.npy` where rows are not 0 to n-1.
        sampler: the law, where the run used one of its own, or a law over rows: then `loader.sampler`.

    Raises:
        StateError: there is no log, it is damaged other than by a torn last line, or `sampler` has other settings.
    """
    log = Log(folder)
    settings, header = log.header["settings"], log.header
    if sampler is not None and sampler.settings() != settings["sampler"]:
        raise StateError(f"the run's law was {settings['sampler']}, the sampler given is {sampler.settings()}")
    law = sampler or (sampler_of(settings["sampler"]) if header["rebuilds"] else None)
    rows = log.rows()
    plan = None if law is None else Plan(law, settings["seed"], log.batching, rows)
    found = RunAudit(
        title=plan_title(law or settings["sampler"], len(rows), settings["seed"], log.last_batching),
        rebuilt=plan is not None,
        resumes=[resume.step for resume in log.resumes],
    )
    checker = _Checker(plan, rows)

    def kept() -> Iterator[Step]:
        for step in log.steps():
            if not step.lost:
                yield step
            elif "step" in step.record:
                found.num_lost += 1

    try:
        for epoch, steps in groupby(kept(), lambda step: step.place.epoch):
            found.epochs.append(checker.epoch(epoch, steps))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise StateError(f"a record of the order log has other entries than version {VERSION}: {error!r}") from error
    return found


class _Checker:
    """Goes through the records that count, epoch by epoch."""

    def __init__(self, plan: Plan | None, rows: np.ndarray) -> None:
        self._plan, self._rows = plan, rows
        self._next: Place | None = None

    def epoch(self, epoch: int, steps: Iterator[Step]) -> LoggedEpoch:
        found, tally = LoggedEpoch(epoch=epoch), Tally(self._rows)
        last: Step | None = None
        closing: dict[str, Any] | None = None
        for group in _blocks(steps):
            if "epoch" in group[0].record:
                closing = group[0].record
                continue
            for step, planned in zip(group, self._planned(group), strict=True):
                if last is None:
                    found.first_step = step.record["step"] % step.batching.steps_per_epoch
                self._follow(step, found)
                self._compare(step, planned, found, tally)
                found.num_shards = max(found.num_shards, step.batching.shard.count)
                last = step
        found.num_steps, found.num_rows, found.digest = tally.num_steps, tally.num_rows, tally.digest.hex()
        coverage = tally.coverage
        found.counts, found.missing, found.repeated = coverage.counts(), coverage.missing(), coverage.repeated()
        if coverage.num_foreign:
            found.problems.append(f"{coverage.num_foreign} slots delivered rows that the dataset does not have")
        if closing is not None and not found.problems and closing != tally.record(epoch):
            found.problems.append(f"the log's own sum of the epoch is {closing}, its steps give {tally.record(epoch)}")
        if last is not None:
            self._finish(found, last, coverage)
        return found

    def _planned(self, group: list[Step]) -> list[np.ndarray | None]:
        if self._plan is None:
            return [None] * len(group)
        batching = group[0].batching
        steps = [step.record["step"] % batching.steps_per_epoch for step in group]
        return [*self._plan.slots(group[0].place.epoch, steps, batching.shard)]

    def _follow(self, step: Step, found: LoggedEpoch) -> None:
        """Compare a step's place with where the one before ended."""
        place, batching, expected = step.place, step.batching, self._next
        self._next = Place(place.epoch, place.position + batching.step_rows)
        if expected is None:
            return
        # With drop_last another number of shards may leave no step for the rest.
        least = batching.step_rows if batching.drop_last else 1
        if expected.position + least > batching.size:
            expected = Place(expected.epoch + 1, 0)
        if place > expected:
            found.problems.append(
                f"steps are missing before step {step.record['step']} (line {step.line}): the log goes on from "
                f"position {expected.position} of epoch {expected.epoch} to {place.position} of epoch {place.epoch}"
            )
        elif place < expected:
            found.problems.append(f"step {step.record['step']} comes again at line {step.line} without a resume")

    def _compare(self, step: Step, planned: np.ndarray | None, found: LoggedEpoch, tally: Tally) -> None:
        record = step.record
        rows = delivered(record, planned)
        tally.add(rows)
        for slot, row, given in record.get("replaced", ()):
            found.num_replaced += 1
            if len(found.replaced) < MOST_LISTED:
                found.replaced.append((record["step"], slot, row, given))
            if planned is not None and planned[slot] != row:
                found.problems.append(
                    f"step {record['step']}, slot {slot}: the plan has row {planned[slot]}, not {row}"
                )
        digest = step_digest(rows).hex()
        if found.first_difference is None and (digest, int((rows >= 0).sum())) != (record["digest"], record["rows"]):
            found.first_difference = record["step"]
            found.problems.append(
                f"step {record['step']} (line {step.line}) is the first to differ: {record['rows']} rows of digest "
                f"{record['digest']} in the log, {int((rows >= 0).sum())} of digest {digest} by the "
                f"{'rows beside it' if planned is None else 'plan'}"
            )

    def _finish(self, found: LoggedEpoch, last: Step, coverage: Coverage) -> None:
        step_in_epoch = last.record["step"] % last.batching.steps_per_epoch
        ended = step_in_epoch + 1 == last.batching.steps_per_epoch
        found.whole = ended and not found.first_step and not found.problems
        if found.whole and self._plan is not None and found.num_shards == 1 and not found.num_replaced:
            promised = promised_counts(self._plan.sampler, last.batching, len(self._rows))
            if promised is not None and promised != found.counts:
                found.problems.append(f"the law promises {counts_text(promised)}")
            num, outside = rows_outside(self._plan.order(found.epoch), last.batching, coverage)
            if num:
                found.problems.append(outside_text(num, outside))


def _blocks(steps: Iterator[Step]) -> Iterator[list[Step]]:
    """Steps of the same batching, many at a time so that their rows are computed at once; other records alone."""
    block: list[Step] = []
    for step in steps:
        is_step = "step" in step.record
        if block and (not is_step or step.batching != block[0].batching or _is_full(block)):
            yield block
            block = []
        if is_step:
            block.append(step)
        else:
            yield [step]
    if block:
        yield block


def _is_full(block: list[Step]) -> bool:
    return len(block) * block[0].batching.batch_size >= BLOCK_POSITIONS
