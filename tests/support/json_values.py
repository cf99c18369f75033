"""JSON values that Hypothesis draws, and putting one into a place of another."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.integers(),
    st.sampled_from([2**31, 2**63 - 1, 2**63, 2**64, -(2**63), 10**40]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["a", "y", "p", "exact", "blocks", "auto", "rgb", "float32", "clean", "raise", "False", "../a", "/"]
    ),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=6), st.sampled_from(["a", "y", "x", "step", "version"])), inner, max_size=4
        ),
    ),
    max_leaves=8,
)
"""Any JSON value, NaN and Infinity included, as Python's `json` reads them."""


def places(value: Any, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every place inside nested dicts, the root first."""
    inner = [places(one, (*prefix, name)) for name, one in value.items()] if isinstance(value, dict) else []
    return [prefix, *[place for group in inner for place in group]]


def replaced(value: Any, place: tuple[str, ...], by: Any) -> Any:
    """A copy with another value in one place."""
    if not place:
        return by
    made = copy.deepcopy(value)
    part = made
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = by
    return made
