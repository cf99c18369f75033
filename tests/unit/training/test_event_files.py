"""Event files for TensorBoard: bytes as TensorFlow writes them, and what is read back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.training.event_files import VERSION, Event, decoded, encoded, num_damaged, until

EVENT = st.builds(
    Event,
    wall_time=st.floats(0, 1e12),
    step=st.integers(0, 2**62),
    scalars=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), st.floats(width=32)),
    version=st.none() | st.just(VERSION),
)


@given(st.lists(EVENT, max_size=4))
def test_what_was_written_is_read(events: list[Event]) -> None:
    content = b"".join(map(encoded, events))
    assert repr(list(decoded(content))) == repr(events)


@given(st.lists(EVENT, min_size=1, max_size=3), st.data())
def test_a_file_that_was_cut_off_or_damaged_is_read_up_to_there(events: list[Event], data: st.DataObject) -> None:
    records = [encoded(one) for one in events]
    content = bytearray(b"".join(records))
    place = data.draw(st.integers(0, len(content) - 1))
    whole = next(number for number in range(len(records)) if place < sum(map(len, records[: number + 1])))
    expected = repr(events[:whole])
    assert repr(list(decoded(bytes(content[:place])))) == expected
    assert num_damaged(bytes(content)) == 0
    assert num_damaged(bytes(content[:place])) == place - sum(map(len, records[:whole]))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    assert repr(list(decoded(bytes(content)))) == expected


@given(st.lists(EVENT, max_size=5), st.integers(0, 2**62))
def test_only_records_up_to_a_step_are_kept(events: list[Event], step: int) -> None:
    kept = until(b"".join(map(encoded, events)), step)
    assert repr(list(decoded(kept))) == repr([one for one in events if one.step <= step])


def test_the_bytes_are_those_that_tensorflow_writes() -> None:
    """TensorFlow 2.21: `tf.io.TFRecordWriter` of an `event_pb2.Event` with one `simple_value`."""
    written = "1800000000000000a37f4b2209000000000000f83f10ac022a0a0a080a0161150000803eb4fa9511"
    assert encoded(Event(wall_time=1.5, step=300, scalars={"a": 0.25})).hex() == written


@pytest.mark.parametrize(("number", "kept"), [(1e300, math.inf), (-1e300, -math.inf), (math.nan, math.nan), (1e-60, 0)])
def test_numbers_are_kept_as_float32(number: float, kept: float) -> None:
    (event,) = decoded(encoded(Event(wall_time=0.0, scalars={"x": number})))
    np.testing.assert_equal(event.scalars["x"], kept)
