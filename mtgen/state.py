"""The state of a loader: small JSON that resumes at an exact step, and refuses to resume anything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtgen.errors import StateError
from mtgen.promises import FILES_PART

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
        raise StateError(f"expected a state made by loader.state(step), received {state!r:.200}")
    if state["version"] != VERSION:
        raise StateError(
            f"the state has version {state['version']!r}, this mtgen reads version {VERSION}; resume with the "
            "mtgen that wrote it"
        )
    step = state["step"]
    if isinstance(step, bool) or not isinstance(step, int) or step < 0:
        raise StateError(f"the state's step must be an integer >= 0, received {step!r}")
    before = state["dataset"]
    differing = [
        *_differences("setting", state["settings"], settings),
        *_differences("dataset part", _without_lone_files(before, digests), _without_lone_files(digests, before)),
    ]
    if differing:
        raise StateError(
            "the state belongs to another run; resuming would not give the batches that come next. Differing: "
            + "; ".join(differing)
            + ". Make the loader as it was when the state was taken"
        )
    place = (state["epoch"], state["step_in_epoch"])
    if place != divmod(step, steps_per_epoch):
        raise StateError(
            f"the state contradicts itself: step {step} is (epoch, step_in_epoch) {divmod(step, steps_per_epoch)} with "
            f"{steps_per_epoch} steps per epoch, the state says {place}. To go on elsewhere take loader.state(step)"
        )
    return step


def _without_lone_files(digests: Any, other: Any) -> Any:
    """Digests without what only one side's manifest says: a manifest may come or go, but not contradict another."""
    if not isinstance(digests, Mapping) or not isinstance(other, Mapping):
        return digests
    return {part: digest for part, digest in digests.items() if part in other or not str(part).startswith(FILES_PART)}


def _differences(kind: str, before: object, now: Mapping[str, Any]) -> list[str]:
    if not isinstance(before, Mapping):
        return [f"{kind}s are {before!r:.100}, expected a mapping"]
    names = sorted({*map(str, before), *now})
    absent = "absent"
    return [
        f"{kind} {name!r} was {before.get(name, absent)!r} and is {now.get(name, absent)!r}"
        for name in names
        if before.get(name, absent) != now.get(name, absent)
    ]
