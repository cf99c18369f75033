"""Room for pictures: never more taken than there is, everybody gets a turn, and what can never fit is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import mtgen
from mtgen.decode import decode
from mtgen.errors import PlanError, StallError
from mtgen.recipe import named_recipe
from mtgen.room import FILE_BYTES, Room
from tests.support.pictures import encode, noise
from tests.support.waiting import eventually


@given(st.lists(st.lists(st.integers(0, 10), max_size=5), max_size=4))
def test_threads_never_hold_more_than_there_is_and_give_all_back(wishes: list[list[int]]) -> None:
    room, held, most, lock = Room(10, stall_seconds=30), [0], [0], threading.Lock()

    def work(sizes: list[int]) -> None:
        for size in sizes:
            with room.take(size):
                with lock:
                    held[0] += size
                    most[0] = max(most[0], held[0])
                with lock:
                    held[0] -= size

    threads = [threading.Thread(target=work, args=(sizes,)) for sizes in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most[0] <= 10
    assert room.num_free == 10


def test_what_never_fits_is_refused_with_both_numbers() -> None:
    room = Room(1_000)
    with pytest.raises(PlanError, match=r"takes 1,001 bytes while it is decoded, and memory= leaves 1,000 for that"):
        room.take(1_001).__enter__()
    assert room.num_free == 1_000


def test_a_wait_without_end_is_a_stall() -> None:
    room = Room(10, stall_seconds=0.01)
    with room.take(8), pytest.raises(StallError, match=r"no room .* 3 bytes for 0.01 s: other threads hold 8 of 10"):
        room.take(3).__enter__()
    assert room.num_free == 10


def test_who_needs_much_starved_while_others_took_a_little_again_and_again() -> None:
    room, came = Room(100, stall_seconds=30), []

    def take(num_bytes: int) -> None:
        with room.take(num_bytes):
            came.append(num_bytes)

    with room.take(20):
        threads = []
        for number, num_bytes in enumerate((95, 20, 21), start=1):
            threads.append(threading.Thread(target=take, args=(num_bytes,)))
            threads[-1].start()
            assert eventually(lambda number=number: len(room._waiting) == number)
    for thread in threads:
        thread.join(60)
    assert came[0] == 95
    assert sorted(came) == [20, 21, 95]


class _Counted(Room):
    """Counts how often somebody looked whether there is room."""

    looks = 0

    @property
    def num_free(self) -> int:
        self.looks += 1
        return super().num_free


def test_a_wait_used_up_its_time_whenever_somebody_gave_back() -> None:
    room, came = _Counted(10, stall_seconds=30), threading.Event()

    def take() -> None:
        with room.take(9):
            came.set()

    thread = threading.Thread(target=take)
    with room.take(8):
        thread.start()
        for _ in range(70):  # more than there are half seconds in its wait
            looks = room.looks
            with room._lock:
                room._tell()
            assert eventually(lambda looks=looks: room.looks > looks)
    thread.join(60)
    assert came.is_set()


@given(st.lists(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=4), max_size=4))
def test_large_files_and_pictures_never_hold_more_than_there_is_nor_each_other(wishes: list[list[Any]]) -> None:
    unit = 2 * FILE_BYTES
    room, ended = Room(10 * unit, stall_seconds=30), []

    def work(sizes: list[tuple[int, int]]) -> None:
        for file_size, size in sizes:
            with room.file() as admit:
                admit(file_size * unit)
                with room.take(size * unit):
                    assert room.num_free >= 0
        ended.append(True)

    threads = [threading.Thread(target=work, args=(sizes,)) for sizes in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(ended) == len(wishes)
    assert room.num_free == room.num_bytes


def test_a_file_takes_room_beside_its_picture_and_again_where_it_is_read_again() -> None:
    room = Room(4 * FILE_BYTES)
    with room.file() as admit:
        admit(FILE_BYTES)
        assert room.num_free == room.num_bytes  # small ones are not counted
        admit(2 * FILE_BYTES)
        admit(3 * FILE_BYTES)
        assert room.num_free == FILE_BYTES
        with pytest.raises(PlanError, match=r"decoded, beside its file of 3,145,728, and memory= leaves 4,194,304"):
            room.take(FILE_BYTES + 1).__enter__()
        with room.take(FILE_BYTES):
            assert room.num_free == 0
    with (
        room.file() as admit,
        pytest.raises(PlanError, match="a file of 4,194,305 bytes, and memory= leaves 4,194,304"),
    ):
        admit(4 * FILE_BYTES + 1)
    assert room.num_free == room.num_bytes


@pytest.mark.parametrize("broken", [False, True])
def test_small_pictures_in_large_files_took_any_memory(tmp_path: Path, broken: bool) -> None:
    size, num_files = 20 * FILE_BYTES, 8
    for row in range(num_files):
        with (tmp_path / f"{row}.png").open("wb") as file:
            file.write(encode(noise(30, 30, 3))[: 100 if broken else None])
            file.truncate(size)
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(num_files)], "y": range(num_files)})
    data = mtgen.Dataset(table, {"image": mtgen.Images("path", root=tmp_path, size=(8, 8))}, "y")
    on_error = mtgen.OnError(policy="mask", max_errors=num_files)
    with mtgen.Loader(data, num_files, num_workers=4, memory=2 * size, on_error=on_error) as loader:
        loader.batch(0)  # imports what it needs
        tracemalloc.start()
        try:
            assert len(loader.batch(1).bad) == num_files * broken
            most = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert size <= most < 2 * size
    with mtgen.Loader(data, 1, memory=size) as loader, pytest.raises(PlanError, match=r"a file of .*png\]"):
        loader.batch(0)


def test_an_error_inside_gives_back() -> None:
    room = Room(10)
    with pytest.raises(ValueError, match="inside"), room.take(10):
        raise ValueError("inside")
    assert room.num_free == 10


FORKED = """
import os
from mtgen.room import Room
room = Room(10, stall_seconds=5)
with room.take(10):
    child = os.fork()
    if not child:
        with room.take(10):
            os._exit(7 if room.num_free == 0 else 8)
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_all_of_it() -> None:
    """In a process of its own: JAX, once imported, warns of every fork."""
    assert subprocess.run([sys.executable, "-c", FORKED], timeout=60, check=False).returncode == 7


@pytest.mark.parametrize(
    ("mode", "options", "bytes_per_pixel"),
    [
        ("RGB", {}, 4),
        ("L", {}, 1 + 4),
        ("RGBA", {}, 4 + 8),
        ("P", {}, 1 + 4),
    ],
)
def test_a_picture_takes_what_its_full_size_needs(mode: str, options: dict[str, object], bytes_per_pixel: int) -> None:
    image = Image.fromarray(noise(40, 50, 3)).convert(mode)
    data, recipe = encode(image, "PNG"), named_recipe("clean", size=(4, 4), **options)  # type: ignore[arg-type]
    out, needed = np.zeros((4, 4, 3), np.uint8), 40 * 50 * bytes_per_pixel
    decode(data, recipe, out, room=Room(needed))
    with pytest.raises(PlanError, match=f"takes {needed:,} bytes"):
        decode(data, recipe, out, room=Room(needed - 1))


def test_a_scaled_decode_takes_less() -> None:
    data = encode(noise(800, 800, 3), "JPEG")
    out = np.zeros((50, 50, 3), np.uint8)
    decode(data, named_recipe("fastest", size=(50, 50)), out, room=Room(100 * 100 * 4))
    with pytest.raises(PlanError, match="take the recipe 'fast'"):
        decode(data, named_recipe("clean", size=(50, 50)), out, room=Room(100 * 100 * 4))


@pytest.mark.parametrize("on_error", ["raise", "mask"])
def test_a_loader_decodes_large_pictures_one_after_the_other_and_refuses_what_does_not_fit(
    tmp_path: Path, on_error: str
) -> None:
    for row in range(6):
        (tmp_path / f"{row}.png").write_bytes(encode(noise(300, 300, 3, seed=row)))
    table = pd.DataFrame({"path": [f"{row}.png" for row in range(6)], "y": range(6)})
    data = mtgen.Dataset(table, {"image": mtgen.Images("path", root=tmp_path, size=(8, 8))}, "y")
    needed = 300 * 300 * 4
    with mtgen.Loader(data, 6, num_workers=3, memory=needed + 9_000, on_error=on_error) as loader:  # type: ignore[arg-type]
        assert needed <= loader.forecast.picture_bytes < 2 * needed
        assert sorted(loader.batch(0).rows.tolist()) == list(range(6))
    tight = mtgen.Loader(data, 6, num_workers=3, memory=needed, on_error=on_error)  # type: ignore[arg-type]
    with tight, pytest.raises(PlanError, match=r"takes 360,000 bytes .* \[step 0, row \d, path .*png\]"):
        tight.batch(0)
    assert tight.quarantine().empty
