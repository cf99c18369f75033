"""The saved state of a `RuleCallback`: which one another callback can go on with. Decides only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtgen.errors import StateError
from mtgen.settings import short

KIND = "RuleCallback"
"""What a state says it is of."""


def check_same(state: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse the state of something else, or of a callback with other rules; the rules look at their own states.

    Args:
        state: as it was saved.
        own: that of the callback which is to go on.

    Raises:
        StateError: names what differs.
    """
    if state.get("kind") != KIND or {*state, "test"} != set(own):  # older ones have no test
        raise StateError(f"this is not the state of a RuleCallback: {short(dict(state))}")
    plain = [name for name in ("monitor", "restore_best", "decay") if state[name] != own[name]]
    optional = ("patience", "halving", "test")
    plain += [name for name in optional if (state.get(name) is None) != (own[name] is None)]
    if plain:
        raise StateError(
            "the run was saved with other rules. Differing: "
            + "; ".join(f"{name} was {short(state.get(name))} and is {short(own[name])}" for name in plain)
            + ". Make them as they were, or choose another folder for a new run"
        )
    if not all(isinstance(state[name], int) for name in ("origin", "iteration")):
        raise StateError(f"origin and iteration must be integers, received {short(dict(state))}")
    if not isinstance(state["base"], float | None):
        raise StateError(f"base must be a number or None, received {short(state['base'])}")
