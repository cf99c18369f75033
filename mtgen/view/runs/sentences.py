"""One sentence or two for each picture of a run, from its own numbers. Text only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mtgen.sampling.describing.text import number
from mtgen.training.measures.confusion import Confusion, Scatter
from mtgen.training.measures.curves import Curves
from mtgen.training.measures.kernels import Tiles, feature_norms
from mtgen.training.measures.waits import Waits

if TYPE_CHECKING:
    from mtgen.training.measures.scores import Permuted

SURE = 2.0
"""Standard deviations of the repeats by which a loss must grow to say that an input is used."""


def share_text(share: float) -> str:
    """A share in percent, as few digits as say something.

    Example:
        >>> share_text(0.0312), share_text(0.9966), share_text(0.0), share_text(0.00004)
        ('3.1 %', '99.7 %', '0 %', 'less than 0.1 %')
    """
    if math.isnan(share):
        return "an unknown share"
    if 0 < share < 0.001:
        return "less than 0.1 %"
    return f"{100 * share:.1f}".removesuffix(".0") + " %"


def times(count: int) -> str:
    """How often, in words.

    Example:
        >>> times(1), times(3)
        ('once', '3 times')
    """
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")


def of_curves(curves: Curves) -> str:
    """Where the best value is, what the rules changed, and how training ended."""
    told = []
    last = int(curves.steps[-1])
    if curves.best is not None:
        values = _watched(curves)
        step = int(curves.steps[curves.best])
        epoch = "" if not curves.steps_per_epoch else f", epoch {step / curves.steps_per_epoch:.3g} of the data"
        told.append(f"The best {curves.monitor} is {values[curves.best]:.4g}, after step {step:,}{epoch}.")
        if len(values) > 1 and np.ptp(values[np.isfinite(values)]) == 0:
            told.append("It never changed.")
        elif len(values) > 1 and curves.best < len(values) - 1 and math.isfinite(values[-1]):
            told.append(f"The last one, after step {last:,}, is {values[-1]:.4g}.")
        elif len(values) > 1 and curves.best == len(values) - 1:
            told.append("It was still falling at the end.")
    if len(curves.steps) == 1:
        told.append("There is one validation only, so no curve yet.")
    lost = curves.not_finite
    if len(lost):
        told.append(
            f"A measure is not a finite number at {len(lost):,} of {len(curves.steps):,} validations, first after step "
            f"{int(curves.steps[lost[0]]):,}."
        )
    if curves.patience is not None:
        grown = curves.extensions
        if len(grown):
            last_patience = number(float(curves.patience[grown[-1]]))
            told.append(f"Patience was extended {times(len(grown))}, last to {last_patience} mini-batches.")
        else:
            told.append("Patience was not extended between validations.")
    if curves.halved:
        told.append(f"The learning rate was divided {times(len(curves.halved))}.")
    if curves.learning_rate is not None and len(curves.rate_changes):
        known = curves.learning_rate[np.isfinite(curves.learning_rate)]
        told.append(f"The learning rate went from {known[0]:.3g} to {known[-1]:.3g}.")
    if curves.resumed:
        told.append(f"The run was resumed {times(len(curves.resumed))}.")
    if curves.stopped is not None:
        told.append(f"A rule stopped it after step {curves.stopped:,}" + (f": {curves.why}." if curves.why else "."))
    return " ".join(told) or "No measure was logged."


def _watched(curves: Curves) -> np.ndarray:
    name = (curves.monitor or "").removeprefix("1 - ")
    part, plain = ("valid", name.removeprefix("val_")) if name.startswith("val_") else ("train", name)
    values = curves.measures[plain][part]
    return values if name == curves.monitor else 1 - values


def of_filters(names: Sequence[str], states: Sequence[Tiles], layer: str) -> str:
    """How far the filters moved, and how many have next to no weight."""
    last = states[-1].norms
    faint = int((last < 0.1 * last.mean()).sum()) if last.mean() else len(last)
    told = f"The {len(last)} filters of {layer}."
    if len(states) > 1:
        before = states[0].values
        size = float(np.sqrt(np.square(before).sum()))
        moved = float(np.sqrt(np.square(states[-1].values - before).sum()))
        share = share_text(moved / size) if size else "all"
        told = f"From {names[0]} to {names[-1]} the {len(last)} filters of {layer} moved by {share} of their length."
    if faint:
        return f"{told} {faint} of them {'has' if faint == 1 else 'have'} less than a tenth of the mean norm."
    return f"{told} None has less than a tenth of the mean norm."


def of_weights(kernel: np.ndarray, names: Sequence[str], layer: str) -> str:
    """Which features have the largest weights, and how many next to none."""
    norms = np.nan_to_num(feature_norms(kernel))
    order = np.argsort(-norms, kind="stable")[:3]
    largest = [names[place] if place < len(names) else f"feature {place}" for place in order.tolist()]
    faint = int((norms < 0.1 * norms.max(initial=0.0)).sum())
    listed = " and ".join([", ".join(largest[:-1]), largest[-1]] if len(largest) > 1 else largest)
    return (
        f"In {layer} {listed} {'have' if len(largest) > 1 else 'has'} the largest weights; {faint} of {len(norms)} "
        "features have less than a tenth of the largest norm. Large weights say much only of features on one scale."
    )


def of_maps(maps: np.ndarray, layer: str, num_shown: int) -> str:
    """How many maps answer to the chosen samples at all.

    Args:
        maps: `(rows, *axes, channels)` of the last state.
        layer: its name.
        num_shown: maps drawn.
    """
    flat = maps.reshape(-1, maps.shape[-1])
    still = int((np.ptp(flat, axis=0) == 0).sum()) if np.isfinite(flat).all() else 0
    what = "units" if maps.ndim == 2 else "maps"
    chosen = f"{num_shown} of {maps.shape[-1]} {what} of {layer} are drawn, those that vary most"
    if num_shown >= maps.shape[-1]:
        chosen = f"All {maps.shape[-1]} {what} of {layer} are drawn"
    if not np.isfinite(flat).all():
        return f"{chosen}. Some of their values are not finite."
    count = f"{still or 'none'} of the {maps.shape[-1]}"
    return f"{chosen}; in the last state {count} {'is' if still < 2 else 'are'} constant over these samples."


def of_confusion(confusion: Confusion, where: str) -> str:
    """How many rows are right, and what is confused most."""
    total, right = int(confusion.counts.sum()), int(np.trace(confusion.counts))
    pairs = confusion.confused(1)
    told = f"{share_text(right / total)} of {where} are right ({right:,})."
    if not pairs:
        return f"{told} No class is taken for another."
    wanted, predicted, count = pairs[0]
    names = confusion.names
    rows = "row" if count == 1 else "rows"
    return f"{told} Most often {names[wanted]} is taken for {names[predicted]}: {count:,} {rows}."


def of_scatter(scatter: Scatter, where: str) -> str:
    """How far off, beside the best constant."""
    if math.isnan(scatter.error):
        return f"None of {where} has a finite prediction."
    told = f"On {where} the mean absolute error is {scatter.error:.4g}; "
    told += f"always saying the median has {scatter.baseline:.4g}."
    return told + (f" {scatter.num_lost:,} predictions are not finite." if scatter.num_lost else "")


def of_permuted(permuted: Permuted) -> str:
    """Which inputs the loss depends on."""
    means, spreads = permuted.means("loss"), permuted.spreads("loss")
    plain = float(means[0])
    kinds = [(place, kind[0]) for place, kind in enumerate(permuted.kinds) if len(kind) == 1]
    if not math.isfinite(plain):
        return "The loss is not a finite number, so nothing can be said of inputs."
    if len(kinds) == 1:
        place, name = kinds[0]
        return f"The loss goes from {plain:.4g} to {means[place]:.4g} with {name} of other rows; it is the only input."
    grown = {name: float(means[place]) - plain for place, name in kinds}
    used = [name for place, name in kinds if grown[name] > SURE * float(spreads[place]) and grown[name] > 0]
    parts = [f"{means[place]:.4g} with {name} of other rows" for place, name in kinds]
    told = f"The loss is {plain:.4g} as is, " + ", ".join(parts) + "."
    if not used:
        return f"{told} No input alone makes it clearly worse."
    used.sort(key=lambda name: -grown[name])
    left = [name for _, name in kinds if name not in used]
    uses = f"The model uses {used[0]} most" if len(used) > 1 or not left else f"The model uses {used[0]}"
    if len(used) > 1:
        uses += f", then {', '.join(used[1:])}"
    return f"{told} {uses}" + (f"; {', '.join(left)} it hardly uses." if left else ".")


def of_waits(waits: Waits) -> str:
    """The share of time spent waiting."""
    total, wait = float(waits.seconds.sum()), float(waits.wait_seconds.sum())
    if math.isnan(waits.share):
        return "No time was measured."
    told = (
        f"Training waited {share_text(waits.share)} of the time for data: {wait:.3g} s of {total:.3g} s in "
        f"{waits.num_steps:,} steps."
    )
    shares = waits.shares
    if np.isfinite(shares).any() and len(shares) > 1:
        worst = int(np.nanargmax(shares))
        first, last = int(waits.steps[worst]) + 1, int(waits.steps[worst + 1])
        where = f"step {last:,}" if first == last else f"steps {first:,} to {last:,}"
        told += f" The largest share is {share_text(float(shares[worst]))}, in {where}."
    return told


def of_snapshots(steps: Sequence[int], losses: np.ndarray, where: str) -> str:
    """Which snapshot has the smallest loss."""
    if not np.isfinite(losses).any():
        return "No snapshot has a finite loss."
    best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.nan)))
    told = f"Of {len(steps)} snapshots, step {steps[best]:,} has the smallest loss on {where}, {losses[best]:.4g}"
    last = float(losses[-1])
    return told + ("." if best == len(steps) - 1 else f"; the last one, step {steps[-1]:,}, has {last:.4g}.")
