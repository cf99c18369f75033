"""Damage done to bytes: what Hypothesis draws, and applying it."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import strategies as st

EXTREME = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**64 - 1)

HURTS: st.SearchStrategy[list[tuple[str, int, Any]]] = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 1 << 20), st.integers(0, 255)),
        st.tuples(st.just("head"), st.integers(0, 255), st.integers(0, 255)),
        st.tuples(
            st.sampled_from(["<I", ">I", "<H", ">H", "<Q", ">Q"]), st.integers(0, 1 << 20), st.sampled_from(EXTREME)
        ),
        st.tuples(st.just("cut"), st.integers(0, 1 << 20), st.none()),
        st.tuples(st.just("put"), st.integers(0, 1 << 20), st.binary(min_size=1, max_size=24)),
        st.tuples(st.just("drop"), st.integers(0, 1 << 20), st.integers(1, 40)),
        st.tuples(st.just("twice"), st.integers(0, 1 << 20), st.integers(1, 400)),
    ),
    min_size=1,
    max_size=6,
)
"""Some injuries, small ones first: (what, where, how)."""


def damaged(data: bytes, hurts: list[tuple[str, int, Any]]) -> bytes:
    """The bytes with all injuries, one after the other; places wrap around."""
    out = bytearray(data)
    for what, where, how in hurts:
        place = where % max(len(out), 1)
        if what in ("set", "head") and out:
            out[place] = how
        elif what == "cut":
            del out[place:]
        elif what == "put":
            out[place:place] = how
        elif what == "drop":
            del out[place : place + how]
        elif what == "twice":
            out[place:place] = out[place : place + how]
        elif what[0] in "<>":
            packed = struct.pack(what, how % (1 << 8 * struct.calcsize(what)))
            out[place : place + len(packed)] = packed
    return bytes(out)
