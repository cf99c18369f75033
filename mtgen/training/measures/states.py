"""A model at several points of its training: the arrays of each, put into one model in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST = 20
"""Snapshots that are looked at where nobody chose; the first and the last are among them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The model after some step.

    Args:
        step: steps trained so far; None for a trained model that does not say.
        name: what a figure calls it, such as `step 120`.
        put: gives the model its values of then.
    """

    step: int | None
    name: str
    put: Callable[[], None]


def spread(steps: Sequence[int], most: int = MOST, keep: Sequence[int] = ()) -> list[int]:
    """At most so many of some steps: the first, the last, those to keep, and others evenly between.

    Pure, any thread.

    Args:
        steps: ascending.
        most: >= 2.
        keep: steps that stay, where they are among them.

    Example:
        >>> spread(range(0, 100, 10), 3, keep=[40]), spread([5], 3)
        ([0, 40, 90], [5])
    """
    if len(steps) <= most:
        return list(steps)
    kept = {steps[0], steps[-1]}
    for step in keep:
        if step in steps and len(kept) < most:
            kept.add(step)
    for place in np.linspace(0, len(steps) - 1, most).round().astype(int).tolist():
        if len(kept) < most:
            kept.add(steps[place])
    return sorted(kept)


def measured(states: Sequence[State], measure: Callable[[State], Any]) -> list[Any]:
    """What `measure` says of each state, with the model's values of then; the model is left at the last one."""
    found = []
    for state in states:
        state.put()
        found.append(measure(state))
    return found


def setter(model: Any, arrays: Mapping[str, np.ndarray]) -> Callable[[], None]:
    """A function that gives a model's variables these values; see `mtgen.adapters.variables`."""
    from mtgen.adapters import variables

    return lambda: variables.assign({"model": list(model.variables)}, arrays)
