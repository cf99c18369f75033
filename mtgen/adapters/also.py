"""Other callbacks whose state a checkpoint carries: what they offer, and how their arrays are told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mtgen.errors import StateError


class Stateful(Protocol):
    """A callback with a state of its own that is saved and restored with a run.

    Called in the thread of `fit`, between two steps. `check_saved` comes before anything is changed.
    """

    def saved_state(self) -> dict[str, Any]:
        """The state as JSON."""

    def saved_arrays(self) -> Mapping[str, np.ndarray]:
        """Arrays that belong to it, by name; empty for none."""

    def check_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse, with a StateError, what `restore_saved` could not take; change nothing."""

    def restore_saved(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""


def arrays_of(also: Sequence[Stateful]) -> dict[str, np.ndarray]:
    """The arrays of all callbacks, under names of their own: `also/0/...`."""
    return {
        f"also/{place}/{name}": array for place, one in enumerate(also) for name, array in one.saved_arrays().items()
    }


def check_number(also: Sequence[Stateful], states: Sequence[Mapping[str, Any]]) -> None:
    """Refuse another number of callbacks than was saved.

    Raises:
        StateError: says both numbers.
    """
    if len(also) != len(states):
        raise StateError(
            f"the run was saved with the states of {len(states)} other callbacks, and loader.checkpoint(also=...) "
            f"names {len(also)}: name those of the run, in the same order"
        )


def check_also(also: Sequence[Stateful], states: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]) -> None:
    """Refuse saved states that do not fit the callbacks; check their number first. Nothing is changed.

    Raises:
        StateError: one does not fit.
    """
    for place, (one, state) in enumerate(zip(also, states, strict=True)):
        one.check_saved(state, _of(place, arrays))


def restore_also(
    also: Sequence[Stateful], states: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]
) -> None:
    """Give each callback its saved state; check them first."""
    for place, (one, state) in enumerate(zip(also, states, strict=True)):
        one.restore_saved(state, _of(place, arrays))


def _of(place: int, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    start = f"also/{place}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
