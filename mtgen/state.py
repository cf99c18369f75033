"""The state of a loader: small JSON that resumes at an exact step, and refuses to resume anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtgen.errors import StateError
from mtgen.settings import short, shown

VERSION = 1
"""Version of the state's layout; raised when a field changes its meaning."""

_FIELDS = {"version", "step", "epoch", "step_in_epoch", "settings", "dataset"}


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


def step_of(state: object, *, steps_per_epoch: int, settings: Mapping[str, Any], digests: Mapping[str, str]) -> int:
    """The step a state resumes at, if it belongs to this loader.

    Pure.

    Raises:
        StateError: not a state, of another version, or of a loader with other settings or data; names every
            difference.
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
    differing = [
        *_differences("setting", state["settings"], settings),
        *_differences("dataset part", state["dataset"], digests),
    ]
    if differing:
        raise StateError(
            "the state belongs to another run; resuming would not give the batches that come next. Differing: "
            + "; ".join(differing)
            + ". Make the loader as it was when the state was taken"
        )
    place = (state["epoch"], state["step_in_epoch"])
    if place != divmod(step, steps_per_epoch) or {*map(type, place)} != {int}:
        raise StateError(
            f"the state contradicts itself: step {step} is (epoch, step_in_epoch) {divmod(step, steps_per_epoch)} with "
            f"{steps_per_epoch} steps per epoch, the state says {short(place)}. To go on elsewhere take "
            "loader.state(step)"
        )
    return step


def _differences(kind: str, before: object, now: Mapping[str, Any]) -> list[str]:
    if not isinstance(before, Mapping):
        return [f"{kind}s are {shown(before)}, expected a mapping"]
    names = sorted({*map(str, before), *now})
    absent = "absent"
    return [
        f"{kind} {name!r} was {short(before.get(name, absent))} and is {short(now.get(name, absent))}"
        for name in names
        if before.get(name, absent) != now.get(name, absent)
    ]
