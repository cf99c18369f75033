"""What `mtgen doctor` found, as text and as JSON. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mtgen.doctor.verdict import Delivery, Finding, Training, Verdict, expected_gain, milliseconds

VERSION = 1
"""Of the JSON; rises when the meaning of a part changes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """The answer, and every figure it rests on.

    `print(report)` shows it; `report.as_json()` gives it to programs.

    Args:
        dataset: what was examined, in one line.
        delivery: the loader alone.
        training: with the model; None without one.
        findings: one for each change, measured or not, in the order in which they were to be measured.
        verdict: the answer.
        seconds: what the examination took.
    """

    dataset: str
    delivery: Delivery
    training: Training | None
    findings: tuple[Finding, ...]
    verdict: Verdict
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Everything in JSON values; times in seconds, sizes in bytes."""
        return {
            "version": VERSION,
            "dataset": self.dataset,
            "delivery": {**dataclasses.asdict(self.delivery), "batch_seconds": self.delivery.batch_seconds},
            "training": None if self.training is None else dataclasses.asdict(self.training),
            "findings": [self._finding(one) for one in self.findings],
            "verdict": {
                "binds": self.verdict.binds,
                "text": self.verdict.text,
                "best": [one.change.name for one in self.verdict.best],
            },
            "seconds": self.seconds,
        }

    def _finding(self, one: Finding) -> dict[str, Any]:
        values: dict[str, Any] = dataclasses.asdict(one)
        values["remarks"] = list(one.remarks)
        values["clear"] = one.comparison is not None and one.comparison.is_clear
        values["expected_gain"] = None if one.comparison is None else expected_gain(one, self.training)
        return values

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.dataset
        yield from delivery_lines(self.delivery)
        if self.training is not None:
            yield from training_lines(self.training)
        measured = [one for one in self.findings if one.comparison is not None]
        if measured:
            yield "What a change gives, samples per second against the present settings, measured in turn with them:"
            width = max(len(one.change.name) for one in measured)
            for one in measured:
                yield f"  {one.change.name:{width}}  {one.comparison}{measured_on(one)}"
                yield from (f"  {'':{width}}    {line}" for line in details(one))
        missing = [one for one in self.findings if one.comparison is None]
        if missing:
            yield "Not measured:"
            yield from (f"  {one.change.name}: {one.problem}" for one in missing)
        yield ""
        yield self.verdict.text
        yield from advice(self.verdict, self.training)
        yield f"(measured in {self.seconds:.0f} s)"


def delivery_lines(delivery: Delivery) -> Iterator[str]:
    """The loader alone, and its cost per stage."""
    yield (
        f"Loader alone: {delivery.rows_per_second:,.0f} samples/s ({delivery.low:,.0f} to {delivery.high:,.0f}), a "
        f"batch of {delivery.batch_size} every {milliseconds(delivery.batch_seconds)}"
    )
    stages = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in delivery.stage_seconds.items())
    busy = f"; {delivery.num_workers} workers, busy {delivery.busy_share:.0%} of the time"
    yield f"  per 1,000 samples one worker needs: {stages}{busy if delivery.num_workers else ''}"


def training_lines(training: Training) -> Iterator[str]:
    """The model, with and without work on data."""
    yield (
        f"Training: {milliseconds(training.replay_seconds)} per step with one batch replayed, "
        f"{milliseconds(training.step_seconds)} with the loader, {training.wait_share:.0%} of it waiting for data; "
        f"headroom {training.headroom}"
    )


def measured_on(finding: Finding) -> str:
    """What a comparison was about, and what it comes to for the whole loader."""
    if finding.trains:
        return ", steps of the model"
    if not finding.part:
        return ""
    whole = "" if finding.gain is None else f", {finding.gain:.2f}x of the whole loader"
    return f", {finding.part}{whole}"


def details(finding: Finding) -> Iterator[str]:
    """What else there is to say about a finding, a line each."""
    if finding.pixel_levels is not None:
        yield f"pixels differ by {finding.pixel_levels:.2f} of 255 levels on average"
    costs = []
    if finding.disk_bytes is not None:
        costs.append(f"about {size(finding.disk_bytes)} on disk")
    if finding.make_seconds is not None:
        costs.append(f"about {duration(finding.make_seconds)} to make")
    if finding.pays_epochs is not None:
        costs.append(f"pays after about {finding.pays_epochs:,.1f} epochs")
    if costs:
        yield ", ".join(costs) + " (estimates from a sample)"
    yield from finding.remarks


def advice(verdict: Verdict, training: Training | None) -> Iterator[str]:
    """What is best changed, the best first, with what to write."""
    if not verdict.best:
        if verdict.binds in ("data", "cores"):
            yield "No change that was measured is clearly faster."
        return
    yield "Best changes, in order of gain:"
    for number, one in enumerate(verdict.best, 1):
        change, gain = one.change, expected_gain(one, training)
        of = "of training at most" if training is not None and not one.trains else "of training"
        what = f"{gain:.2f}x {of if training is not None else 'of the loader'}"
        command = f"   or   {change.command}" if change.command else ""
        yield f"  {number}. {change.name}: {what}: {change.python}{command}"
        if change.remark:
            yield f"     ({change.remark})"


def size(num_bytes: int) -> str:
    """A size for people.

    Example:
        >>> size(999), size(1_234_567), size(12_345_678_901)
        ('999 bytes', '1.2 MB', '12.3 GB')
    """
    for unit, factor in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes} bytes"


def duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> duration(0.5), duration(90), duration(7_000), duration(200_000)
        ('0.5 s', '1.5 min', '1.9 h', '2.3 days')
    """
    for unit, factor in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= factor:
            return f"{seconds / factor:.1f} {unit}"
    return f"{seconds:.1f} s"
