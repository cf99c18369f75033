"""The state of a loader: small JSON that resumes at an exact step, and refuses to resume anything else.

The number of shards may change between runs. A state says how many positions of its epoch the shards had taken
together, and a step of the new run must begin exactly there: then the steps that follow take each remaining position
once, by the same arithmetic that proves it for a whole epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mtgen.errors import PlanError, StateError
from mtgen.plan import Batching, Shard
from mtgen.promises import FILES_PART
from mtgen.settings import short, shown

VERSION = 1
"""Version of the state's layout; raised when a field changes its meaning."""

_FIELDS = {"version", "step", "epoch", "step_in_epoch", "settings", "dataset"}


_MOST_COUNTS = 1024
"""Counts of shards that a message tries out."""


def make_state(
    *, step: int, steps_per_epoch: int, settings: Mapping[str, Any], digests: Mapping[str, str]
) -> dict[str, Any]:
    """The state that resumes at `step`; plain JSON values only.

    Pure.

    Args:
        step: the next step to train, 0-based since training began.
        steps_per_epoch: steps in one epoch.
        settings: what decides the order and the batches, seed included.
        digests: part of the dataset -> hex digest.
    """
    epoch, step_in_epoch = divmod(step, steps_per_epoch)
    return {
        "version": VERSION,
        "step": step,
        "epoch": epoch,
        "step_in_epoch": step_in_epoch,
        "settings": dict(settings),
        "dataset": dict(digests),
    }


def step_of(
    state: object,
    *,
    steps_per_epoch: int,
    settings: Mapping[str, Any],
    digests: Mapping[str, str],
    batching: Batching | None = None,
) -> int:
    """The step a state resumes at, if it belongs to this loader.

    Pure. With `batching` the shard may differ. Another index of the same count is always allowed, because all shards
    stand at the same step. Another count is allowed where the positions that the old shards took together,
    `step_in_epoch * batch_size * count`, are a whole number of steps of the new ones; so always at an epoch's border.
    Then positions before that point were taken once by the old shards, and those after it are taken once by the new.
    With `drop_last` the rest that is dropped is the new count's: `size % (batch_size * count)` positions, as if the
    whole epoch had been trained with it. Where that leaves no step, the next epoch comes next.

    Args:
        state: what `make_state` made.
        steps_per_epoch: of this loader.
        settings: of this loader.
        digests: of this loader's dataset.
        batching: of this loader; None allows no other shard.

    Raises:
        StateError: not a state, of another version, or of a loader with other settings or data; names every
            difference. Or another number of shards, where it cannot go on; says where it could.
    """
    if not isinstance(state, Mapping) or not set(state) >= _FIELDS:
        raise StateError(f"expected a state made by loader.state(step), received {shown(state)}")
    if type(state["version"]) is not int or state["version"] != VERSION:
        raise StateError(
            f"the state has version {short(state['version'])}, this mtgen reads version {VERSION}; resume with the "
            "mtgen that wrote it"
        )
    step = state["step"]
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**63:
        raise StateError(f"the state's step must be an integer >= 0, received {shown(step)}")
    before = None if batching is None else _batching_of(state["settings"], batching)
    differing = [
        *differences("setting", state["settings"], settings, but=() if before is None else ("shard",)),
        *differences(
            "dataset part",
            without_lone_files(state["dataset"], digests),
            without_lone_files(digests, state["dataset"]),
        ),
    ]
    if differing:
        raise StateError(
            "the state belongs to another run; resuming would not give the batches that come next. Differing: "
            + "; ".join(differing)
            + ". Make the loader as it was when the state was taken"
        )
    steps_before = steps_per_epoch if before is None else before.steps_per_epoch
    place = (state["epoch"], state["step_in_epoch"])
    if place != divmod(step, steps_before) or {*map(type, place)} != {int}:
        raise StateError(
            f"the state contradicts itself: step {step} is (epoch, step_in_epoch) {divmod(step, steps_before)} with "
            f"{steps_before} steps per epoch, the state says {short(place)}. To go on elsewhere take loader.state(step)"
        )
    if before is None or batching is None or before.shard.count == batching.shard.count:
        return step
    return _resharded(step, before, batching)


def _batching_of(settings: object, batching: Batching) -> Batching | None:
    """The batching with the shard that a state's settings name; None where they name none, which is a difference."""
    shard = settings.get("shard") if isinstance(settings, Mapping) else None
    if not isinstance(shard, list | tuple) or len(shard) != 2:
        return None
    try:
        return replace(batching, shard=Shard(*shard))
    except PlanError:
        return None


def _resharded(step: int, before: Batching, batching: Batching) -> int:
    """The step of `batching` that begins where step `step` of `before` does."""
    epoch, step_in_epoch = divmod(step, before.steps_per_epoch)
    new, odd = divmod(step_in_epoch * before.step_rows, batching.step_rows)
    if not odd:
        return epoch * batching.steps_per_epoch + new
    old_count, count = before.shard.count, batching.shard.count
    every = count // math.gcd(old_count, count)
    nearest = [step - step_in_epoch % every, step - step_in_epoch % every + every]
    # The first step of the next epoch is a border, whatever comes before it.
    nearest[1] = min(nearest[1], (epoch + 1) * before.steps_per_epoch)
    # Bounded, because a state may name any count.
    tried = sorted({*range(1, _MOST_COUNTS), old_count})
    counts = [other for other in tried if _continues(step_in_epoch, before, other)]
    raise StateError(
        f"the state was taken with {old_count} shards at step {step_in_epoch} of epoch {epoch}, after "
        f"{step_in_epoch * before.step_rows} positions. No step of {count} shards begins there (they take "
        f"{batching.step_rows} positions a step), so some rows would come twice or never. It works with a state of "
        f"step {nearest[0]} or {nearest[1]} (every {every} steps and at each epoch's start), or from this state with "
        f"{_listed(counts)} shards",
        step=step,
    )


def _continues(step_in_epoch: int, before: Batching, count: int) -> bool:
    try:
        other = replace(before, shard=Shard(0, count))
    except PlanError:
        return False
    return step_in_epoch * before.step_rows % other.step_rows == 0


def _listed(numbers: list[int]) -> str:
    shown = [str(number) for number in numbers[:12]] + (["..."] if len(numbers) > 12 else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} or {shown[-1]}"


def differences(kind: str, before: object, now: Mapping[str, Any], *, but: tuple[str, ...] = ()) -> list[str]:
    """What differs between two mappings, in words, but for some names. Pure.

    Example:
        >>> differences("setting", {"seed": 1, "a": 0}, {"seed": 2, "a": 0})
        ["setting 'seed' was 1 and is 2"]
    """
    if not isinstance(before, Mapping):
        return [f"{kind}s are {shown(before)}, expected a mapping"]
    names = sorted({*map(str, before), *now} - {*but})
    absent = "absent"
    return [
        f"{kind} {name!r} was {short(before.get(name, absent))} and is {short(now.get(name, absent))}"
        for name in names
        if before.get(name, absent) != now.get(name, absent)
    ]


def without_lone_files(digests: Any, other: Any) -> Any:
    """Digests without what only one side's manifest says: a manifest may come or go, but not contradict another."""
    if not isinstance(digests, Mapping) or not isinstance(other, Mapping):
        return digests
    return {part: digest for part, digest in digests.items() if part in other or not str(part).startswith(FILES_PART)}
