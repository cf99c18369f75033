"""The cache of pictures: arithmetic against plain oracles, and the same bytes with and without it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtgen
from mtgen.cache.known import NOWHERE, Known
from mtgen.cache.layout import (
    HEADER_BYTES,
    OVERHEAD_BYTES,
    RECORD_BYTES,
    Identity,
    file_of,
    header,
    make_geometry,
    make_records,
    neighbours,
    slots_in_header,
    sound,
)
from mtgen.errors import PlanError
from mtgen.spec import Spec
from tests.support.cached import counts, files_bytes, loader, make_pictures, pictures_of

DIGEST = "0123456789abcdef" * 2
WORDS = st.integers(0, 2**64 - 1)
FILES = st.builds(
    Identity,
    st.integers(0, 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.binary(min_size=16, max_size=16),
)


@given(
    st.lists(st.tuples(st.binary(min_size=16, max_size=16), FILES, WORDS), min_size=1, max_size=5),
    st.integers(0, 2**31),
)
def test_records_say_what_was_put_into_them(entries: list[Any], first: int) -> None:
    words = make_records(first, *(list(part) for part in zip(*entries, strict=True)))
    assert words.tobytes().__len__() == RECORD_BYTES * len(entries)
    assert sound(words, first).all()
    assert [file_of(one) for one in words] == entries


@given(st.binary(min_size=16, max_size=16), FILES, WORDS, st.integers(0, 2**31), st.integers(0, 511))
def test_a_record_with_a_flipped_bit_or_in_another_slot_is_not_sound(
    name: bytes, file: Identity, checksum: int, slot: int, bit: int
) -> None:
    words = make_records(slot, [name], [file], [checksum])
    flipped = bytearray(words.tobytes())
    flipped[bit // 8] ^= 1 << bit % 8
    assert not sound(np.frombuffer(flipped, "<u8").reshape(1, 8), slot).any()
    assert not sound(words, slot + 1).any()


def test_a_slot_that_was_never_written_has_no_sound_record() -> None:
    assert not sound(np.zeros((70_000, 8), "<u8"), 0).any()


@given(st.integers(0, 8 * HEADER_BYTES - 1))
def test_a_header_with_a_flipped_bit_is_refused(bit: int) -> None:
    spec = Spec(shape=(4, 5, 3), dtype=np.dtype("uint8"))
    content = bytearray(header(make_geometry(spec, max_bytes=None), DIGEST))
    assert slots_in_header(bytes(content), spec, DIGEST) is not None
    content[bit // 8] ^= 1 << bit % 8
    assert slots_in_header(bytes(content), spec, DIGEST) is None
    assert slots_in_header(bytes(content[: bit // 8]), spec, DIGEST) is None


@given(st.lists(st.integers(0, 60), unique=True), st.integers(1, 20), st.integers(1, 7))
def test_neighbours_are_read_together_and_nothing_else(chosen: list[int], num_slots: int, most: int) -> None:
    slots = np.array(sorted(chosen), np.int64)
    runs = neighbours(slots, num_slots, most)
    assert [place for start, stop in runs for place in range(start, stop)] == list(range(len(slots)))
    for start, stop in runs:
        run = slots[start:stop].tolist()
        assert 1 <= len(run) <= most
        assert run == list(range(run[0], run[0] + len(run)))
        assert len({slot // num_slots for slot in run}) == 1


@given(
    st.integers(1, 100_000),
    st.integers(1, 1 << 30) | st.none(),
    st.integers(1, 1 << 28),
)
def test_a_segment_fits_what_it_is_made_for(row_bytes: int, max_bytes: int | None, segment_bytes: int) -> None:
    spec = Spec(shape=(row_bytes,), dtype=np.dtype("uint8"))
    try:
        made = make_geometry(spec, max_bytes=max_bytes, segment_bytes=segment_bytes)
    except PlanError as error:
        assert max_bytes is not None
        assert max_bytes < OVERHEAD_BYTES + row_bytes + 16 + RECORD_BYTES
        assert f"max_bytes={max_bytes:,}" in str(error)
        return
    assert made.num_slots * row_bytes <= max(segment_bytes, row_bytes)
    if max_bytes is not None:
        assert OVERHEAD_BYTES + made.cost_bytes <= max_bytes
    table = np.frombuffer(made.shard_index(), "<u8").reshape(-1, 2)
    assert table.tolist() == [[slot * row_bytes, row_bytes] for slot in range(made.num_slots)]
    assert made.segment_bytes == made.num_slots * row_bytes + table.nbytes


@given(st.data())
def test_known_places_are_those_of_the_last_record_of_a_row(data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=12))
    known = Known(np.array(keys, np.uint64))
    oracle = [NOWHERE] * len(keys)
    slot = 0
    for _ in range(data.draw(st.integers(0, 8))):
        if data.draw(st.booleans()):
            new = data.draw(st.lists(st.integers(0, 9), max_size=5))
            right = data.draw(st.lists(st.booleans(), min_size=len(new), max_size=len(new)))
            known.learn(np.array(new, np.uint64), slot, np.array(right, bool))
            for key, counts_, place in zip(new, right, range(slot, slot + len(new)), strict=True):
                oracle = [-2 - place if counts_ and key == one else had for one, had in zip(keys, oracle, strict=True)]
            slot += len(new)
        else:
            row = data.draw(st.integers(0, len(keys) - 1))
            if oracle[row] < NOWHERE and data.draw(st.booleans()):
                oracle[row] = Known.slot_to_look_at(oracle[row])
                known.settle(np.array([row]), np.array([oracle[row]]))
            else:
                oracle[row] = NOWHERE
                known.forget(np.array([row]))
        assert known.places(np.arange(len(keys))).tolist() == oracle
    assert known.emptied().places(np.arange(len(keys))).tolist() == [NOWHERE] * len(keys)


def test_learning_again_what_a_row_has_settled_on_changes_nothing() -> None:
    known = Known(np.array([5], np.uint64))
    known.learn(np.array([5], np.uint64), 3)
    known.settle(np.array([0]), np.array([3]))
    known.learn(np.array([5], np.uint64), 3)
    assert known.places(np.array([0])).tolist() == [3]


RECIPES = st.sampled_from(
    [
        {},
        {"color": "grayscale"},
        {"color": "grayscale", "dtype": "uint16"},
        {"color": "rgba", "recipe": "fast"},
        {"dtype": "float32", "scale": (2 / 255, -1)},
        {"recipe": "keras", "data_format": "channels_first"},
        {"fit": "pad", "recipe": "fastest"},
    ]
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    root = tmp_path_factory.mktemp("pictures")
    table = make_pictures(root, 11)
    return pd.concat([table, table.iloc[[3, 3, 7]]], ignore_index=True), root


@settings(max_examples=25, deadline=None)
@given(
    recipe=RECIPES,
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    batch_size=st.integers(1, 15),
    shuffle=st.sampled_from(["exact", False]),
    room=st.none() | st.integers(0, 14),
    segment_bytes=st.sampled_from([1, 500, 1 << 20]),
    first_rows=st.sets(st.integers(0, 13)),
    verify=st.sampled_from(["first", "read"]),
    num_workers=st.sampled_from([0, 2]),
)
def test_a_cache_changes_no_byte(
    pictures: tuple[pd.DataFrame, Path],
    recipe: dict[str, Any],
    size: tuple[int, int],
    batch_size: int,
    shuffle: Any,
    room: int | None,
    segment_bytes: int,
    first_rows: set[int],
    verify: Any,
    num_workers: int,
) -> None:
    """Any recipe, order and limit; filled in part before, or not at all."""
    table, root = pictures
    chosen: dict[str, Any] = {"size": size, **recipe}
    row_bytes = mtgen.Images("path", **chosen).pixel_recipe.spec.row_bytes
    max_bytes = None if room is None else OVERHEAD_BYTES + (room + 1) * (row_bytes + 16 + RECORD_BYTES)
    with tempfile.TemporaryDirectory() as folder:
        cache = mtgen.PictureCache(
            Path(folder) / "cache", max_bytes=max_bytes, segment_bytes=segment_bytes, verify=verify
        )
        rest: dict[str, Any] = {"batch_size": batch_size, "shuffle": shuffle, "num_workers": num_workers}
        plain, cached = (loader(table, root, one, **chosen, **rest) for one in (None, cache))
        if first_rows:
            mtgen.pack_images(cached.dataset.take(sorted(first_rows)))
        for step in range(3 * plain.steps_per_epoch):
            one, other = plain.batch(step), cached.batch(step)
            assert np.array_equal(one.rows, other.rows)
            assert one.inputs["image"].dtype == other.inputs["image"].dtype
            assert one.inputs["image"].tobytes() == other.inputs["image"].tobytes()
        hits, misses, stored, damaged = counts(cached)
        assert hits + misses == cached.stats().num_rows == 3 * len(table)
        assert damaged == 0
        if max_bytes is not None:
            assert files_bytes(Path(folder) / "cache") <= max_bytes
        elif not first_rows and not num_workers:
            assert stored == misses
        if max_bytes is None:
            assert pictures_of(cached, 9) == pictures_of(plain, 9)
            assert counts(cached)[1] == misses  # every row was there by now
