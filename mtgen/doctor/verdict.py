"""Is data the bottleneck, and what is best changed? From figures to words. Pure: measures nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mtgen.doctor.changes import Change
from mtgen.doctor.ratios import MARGIN, Comparison

LEAST_HEADROOM = 1.05
"""Training that would be less than a twentieth faster without any work on data is not bound by data."""

CLEAR_WAIT_SHARE = 0.2
"""Who waits so much waits for data, however noisy the machine is while steps are compared."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What the loader does alone, for a consumer that never keeps it waiting.

    Args:
        batch_size: samples per batch.
        num_workers: threads.
        rows_per_second: median over slices.
        low: slowest slice.
        high: fastest slice.
        stage_seconds: stage -> seconds of one worker for 1,000 samples.
        busy_share: share of the workers' time that the stages account for, 0 to 1.
    """

    batch_size: int
    num_workers: int
    rows_per_second: float
    low: float
    high: float
    stage_seconds: dict[str, float]
    busy_share: float

    @property
    def batch_seconds(self) -> float:
        """Between two batches."""
        return self.batch_size / self.rows_per_second

    def share(self, *stages: str) -> float:
        """Share of the workers' work that some stages are, 0 to 1."""
        total = sum(self.stage_seconds.values())
        return min(1.0, sum(self.stage_seconds.get(name, 0.0) for name in stages) / total) if total > 0 else 0.0

    @property
    def binding_stage(self) -> str | None:
        """The stage that costs most; None where nothing was counted."""
        stage = max(self.stage_seconds, key=lambda name: self.stage_seconds[name], default=None)
        return stage if stage is not None and self.stage_seconds[stage] > 0 else None


@dataclass(frozen=True, kw_only=True)
class Training:
    """What a model does with one batch over and over, and with the real loader.

    Args:
        replay_seconds: one step, no work on data at all.
        step_seconds: one step with the loader.
        wait_share: share of that step spent waiting for data, 0 to 1.
        headroom: replay compared with the real loader: how much faster training can get by data alone.
    """

    replay_seconds: float
    step_seconds: float
    wait_share: float
    headroom: Comparison


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one change would give.

    Args:
        change: what was tried.
        comparison: samples per second against the present settings; None where it could not be measured.
        part: inputs that were compared, such as "pictures alone"; empty for all of them together.
        gain: how much faster the whole loader gets (or training, with `trains`), reckoned from the comparison and the
            share of the work that it is about.
        problem: why not; empty where it was.
        trains: whether the model took part in it, so that the ratio is that of training.
        pixel_levels: mean absolute difference of pixels to the present recipe, in levels of 0 to 255.
        disk_bytes: what it would take on disk, an estimate.
        make_seconds: what it would take to make, an estimate.
        pays_epochs: epochs after which it has paid for itself, an estimate; None where never or not known.
        remarks: what else there is to know.
    """

    change: Change
    comparison: Comparison | None = None
    part: str = ""
    gain: float | None = None
    problem: str = ""
    trains: bool = False
    pixel_levels: float | None = None
    disk_bytes: int | None = None
    make_seconds: float | None = None
    pays_epochs: float | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer.

    Args:
        binds: `"data"`, the model waits for it; `"cores"`, the model does not wait, but the loader's threads take
            time from it; `"model"`, neither; `"unknown"`, there was no model.
        text: in plain words, with numbers.
        best: what is worth a change, the best first.
    """

    binds: Literal["data", "cores", "model", "unknown"]
    text: str
    best: tuple[Finding, ...]


def verdict(delivery: Delivery, training: Training | None, findings: Sequence[Finding]) -> Verdict:
    """Judge the figures.

    Args:
        delivery: the loader alone.
        training: with the model; None without one.
        findings: of all changes.
    """
    best = gains(findings, training)
    alone = f"the loader alone delivers a batch of {delivery.batch_size} every {milliseconds(delivery.batch_seconds)}"
    if training is None:
        text = (
            f"Without a model only this can be said: {alone}. A model that takes longer than that for a step does not "
            "wait for data; give a model to find out."
        )
        return Verdict(binds="unknown", text=f"{text} {_stage(delivery)}", best=best)
    step, replay = milliseconds(training.step_seconds), milliseconds(training.replay_seconds)
    headroom = training.headroom
    is_bound = headroom.is_faster or training.wait_share >= CLEAR_WAIT_SHARE
    if not is_bound or headroom.ratio < LEAST_HEADROOM:
        text = (
            f"Data is not your bottleneck: the model takes {replay} per step with one batch replayed and {step} with "
            f"the loader, and {alone}."
        )
        return Verdict(binds="model", text=text, best=tuple(one for one in best if one.trains))
    lost = 1 - training.replay_seconds / training.step_seconds if training.step_seconds > 0 else 0.0
    waits = f"waits for data for {training.wait_share:.0%} of each step"
    gain = f"{step} per step with the loader, {replay} with one batch replayed: at most {headroom.ratio:.2f}x to gain"
    if training.wait_share >= lost / 2:
        text = f"Data binds: training {waits} ({gain}). {_stage(delivery)}"
        return Verdict(binds="data", text=text, best=best)
    text = (
        f"The model {waits} only, and yet it is slower than without the loader ({gain}): the loader's threads take "
        "cores from it. What costs less work per sample helps, and perhaps fewer workers; more workers do not."
    )
    cheaper = tuple(
        one for one in best if one.trains or one.change.kind in ("recipe", "cache", "pack", "memory", "blocks")
    )
    return Verdict(binds="cores", text=text, best=cheaper)


def gains(findings: Sequence[Finding], training: Training | None) -> tuple[Finding, ...]:
    """The findings that are clearly faster, in order of what they give in the end.

    The loader's gain is no more use to training than up to the headroom; among equals the larger gain of the loader
    comes first.
    """
    faster = [one for one in findings if one.comparison is not None and one.comparison.is_faster]
    worth = [one for one in faster if expected_gain(one, None) > 1 + MARGIN]
    return tuple(sorted(worth, key=lambda one: (-expected_gain(one, training), -expected_gain(one, None))))


def expected_gain(finding: Finding, training: Training | None) -> float:
    """How much faster training would be, at most: the loader's gain, as far as there is headroom for it.

    Without a model, the loader's gain.
    """
    ratio = 0.0 if finding.comparison is None else finding.comparison.ratio
    gain = ratio if finding.gain is None else finding.gain
    return gain if training is None or finding.trains else min(gain, max(1.0, training.headroom.ratio))


def whole_gain(share: float, ratio: float) -> float:
    """How much faster the whole gets where a share of its work gets faster by that ratio (Amdahl's law).

    Args:
        share: of the work, 0 to 1.
        ratio: > 0.

    Example:
        >>> whole_gain(0.5, 2.0), whole_gain(0.0, 9.0)
        (1.3333333333333333, 1.0)
    """
    return 1 / (1 - share + share / ratio)


STAGES: dict[str, tuple[str, ...]] = {
    "recipe": ("read", "decode"),
    "cache": ("read", "decode"),
    "pack": ("gather",),
    "memory": ("gather",),
    "blocks": ("gather",),
}
"""Kind of change -> the stages that it is about; the others are about all of them."""

LARGE_GAIN = 1.5
"""What can give so much is measured before what cannot."""


def most_gain(change: Change, delivery: Delivery) -> float:
    """How much faster the loader would be if the stages that a change is about took no time at all."""
    stages = STAGES.get(change.kind)
    share = 1.0 if stages is None else delivery.share(*stages)
    return 1 / (1 - share) if share < 1 else math.inf


def worth_a_try(changes: Sequence[Change], delivery: Delivery) -> tuple[list[Change], list[tuple[Change, str]]]:
    """The changes that can give something, those that can give much first; and the others, with the reason."""
    most = {change.name: most_gain(change, delivery) for change in changes}
    tried = [change for change in changes if most[change.name] > 1 + MARGIN]
    tried.sort(key=lambda change: most[change.name] < LARGE_GAIN)
    left_out = []
    for change in changes:
        if most[change.name] <= 1 + MARGIN:
            stages = STAGES[change.kind]
            what = f"{' and '.join(stages)} {'take' if len(stages) > 1 else 'takes'} {delivery.share(*stages):.0%}"
            left_out.append((change, f"at most {most[change.name]:.2f}x to gain: {what} of the workers' time"))
    return tried, left_out


def pays_after(make_seconds: float, num_rows: int, present: float, changed: float, most: float | None) -> float | None:
    """Epochs after which what was made has paid for itself; None where it never does.

    Pure arithmetic: every epoch saves the difference of two epochs.

    Args:
        make_seconds: what making it takes, >= 0.
        num_rows: of an epoch.
        present: samples per second now.
        changed: samples per second then.
        most: samples per second that the model takes at most; None without a model.

    Example:
        >>> pays_after(100.0, 10_000, 100.0, 200.0, None)
        2.0
        >>> pays_after(100.0, 10_000, 100.0, 200.0, 100.0) is None
        True
    """
    if most is not None:
        present, changed = min(present, most), min(changed, most)
    saved = num_rows / present - num_rows / changed
    return make_seconds / saved if saved > 0 else None


def milliseconds(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> milliseconds(0.0112), milliseconds(2.5), milliseconds(0.25)
        ('11.2 ms', '2.5 s', '250 ms')
    """
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def _stage(delivery: Delivery) -> str:
    stage = delivery.binding_stage
    if stage is None:
        return "Its workers have nothing to do that takes time."
    text = f"Its workers spend {delivery.share(stage):.0%} of their work on: {stage}."
    if delivery.num_workers and delivery.busy_share < 0.5:
        text += (
            f" They are at work {delivery.busy_share:.0%} of the time only: what binds is planning and handing over in "
            "Python, or other programs on this machine."
        )
    return text
