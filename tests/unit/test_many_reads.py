"""Many reads by one call: what comes is what `os.pread` gives, whatever fails or is cut short."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen import many_reads
from mtgen.many_reads import LEAST_READS, MOST_READS, read_places

CONTENT = (np.arange(50_000) * 7919 % 251).astype(np.uint8)


def is_possible() -> bool:
    with open(__file__, "rb") as file:
        out = np.empty((LEAST_READS, 1), np.uint8)
        return read_places(file.fileno(), np.zeros(LEAST_READS, int), addresses(out), 1) is not None


def addresses(out: np.ndarray) -> np.ndarray:
    return np.uint64(out.ctypes.data) + np.uint64(out.strides[0]) * np.arange(len(out), dtype=np.uint64)


needs_it = pytest.mark.skipif(not is_possible(), reason="this system has no io_submit, or forbids it")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("many") / "content"
    found.write_bytes(CONTENT.tobytes())
    return found


@needs_it
@given(
    offsets=st.lists(st.integers(0, 60_000), min_size=LEAST_READS, max_size=2 * MOST_READS + 5),
    size=st.integers(1, 900),
)
def test_it_gives_what_pread_gives(path: Path, offsets: list[int], size: int) -> None:
    out = np.full((len(offsets), size), 255, np.uint8)
    with path.open("rb") as file:
        found = read_places(file.fileno(), np.array(offsets), addresses(out), size)
        assert found is not None
        for number, offset in enumerate(offsets):
            expected = os.pread(file.fileno(), size, offset)
            assert found[number] == len(expected)
            assert out[number, : len(expected)].tobytes() == expected
            assert (out[number, len(expected) :] == 255).all(), "nothing was written behind what there is"


@needs_it
def test_one_read_may_go_to_two_places(path: Path) -> None:
    rows, tails = np.zeros((20, 100), np.uint8), np.zeros((20, 4), np.uint8)
    vectors = np.empty((20, 2, 2), np.uint64)
    vectors[:, 0, 0], vectors[:, 1, 0] = addresses(rows), addresses(tails)
    vectors[:, :, 1] = 100, 4
    with path.open("rb") as file:
        found = read_places(file.fileno(), np.arange(20) * 300, addresses(vectors), 2, iovecs=True)
    assert found is not None
    assert found.tolist() == [104] * 20
    for number in range(20):
        np.testing.assert_array_equal(rows[number], CONTENT[300 * number :][:100])
        np.testing.assert_array_equal(tails[number], CONTENT[300 * number + 100 :][:4])


@needs_it
def test_a_file_that_fails_shows_in_its_own_results_only(path: Path) -> None:
    out = np.zeros((30, 10), np.uint8)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with path.open("rb") as file:
            handles = np.full(30, file.fileno())
            handles[7] = folder
            found = read_places(handles, np.arange(30), addresses(out), 10)
    finally:
        os.close(folder)
    assert found is not None
    assert found[7] < 0
    # What follows a place that cannot even be begun is left to the caller, and never said to be read.
    for number in np.flatnonzero(found == 10).tolist():
        np.testing.assert_array_equal(out[number], CONTENT[number : number + 10])
    assert (found[:7] == 10).all()


@needs_it
def test_a_closed_file_spoils_nothing_for_later(path: Path) -> None:
    out = np.zeros((20, 10), np.uint8)
    file = path.open("rb")
    number = file.fileno()
    file.close()
    found = read_places(number, np.arange(20), addresses(out), 10)
    assert found is None or (found < 0).all()
    assert is_possible()


def test_few_reads_are_left_to_the_caller(path: Path) -> None:
    out = np.zeros((LEAST_READS - 1, 10), np.uint8)
    with path.open("rb") as file:
        assert read_places(file.fileno(), np.arange(len(out)), addresses(out), 10) is None


@needs_it
def test_a_system_that_forbids_it_is_asked_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def forbid(self: object) -> None:
        asked.append(1)
        raise many_reads._Refused(os.strerror(errno.EPERM))

    monkeypatch.setattr(many_reads._Context, "__init__", forbid)
    monkeypatch.setattr(many_reads, "_idle", deque())
    monkeypatch.setattr(many_reads, "_possible", True)
    out = np.zeros((20, 10), np.uint8)
    with path.open("rb") as file:
        assert [read_places(file.fileno(), np.arange(20), addresses(out), 10) for _ in range(3)] == [None] * 3
    assert len(asked) == 1


@needs_it
def test_threads_do_not_mix_their_reads(path: Path) -> None:
    wrong: list[object] = []

    def run(seed: int) -> None:
        rng = np.random.default_rng(seed)
        out = np.zeros((64, 500), np.uint8)
        with path.open("rb") as file:
            for _ in range(100):
                offsets = rng.integers(0, 49_000, 64)
                found = read_places(file.fileno(), offsets, addresses(out), 500)
                right = found is not None and (found == 500).all()
                if not right or not (out == CONTENT[offsets[:, None] + np.arange(500)]).all():
                    wrong.append(found)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


@needs_it
def test_an_interrupt_leaves_nothing_under_way(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = np.zeros((20, 10), np.uint8)
    with path.open("rb") as file:
        assert read_places(file.fileno(), np.arange(20), addresses(out), 10) is not None
        closed: list[object] = []
        with monkeypatch.context() as broken:

            def interrupted(self: many_reads._Context, results: object, num: int) -> None:
                raise KeyboardInterrupt

            def close(self: many_reads._Context) -> None:
                closed.append(self)
                real(self)

            real = many_reads._Context.close
            broken.setattr(many_reads._Context, "_collect", interrupted)
            broken.setattr(many_reads._Context, "close", close)
            with pytest.raises(KeyboardInterrupt):
                read_places(file.fileno(), np.arange(20), addresses(out), 10)
        assert len(closed) == 1
        assert closed[0] not in many_reads._idle
        found = read_places(file.fileno(), np.arange(20), addresses(out), 10)
        assert found is not None
        assert found.tolist() == [10] * 20


@needs_it
def test_a_system_without_room_is_asked_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One refusal for want of room switched the way off for the rest of the process."""
    out = np.zeros((20, 10), np.uint8)
    with path.open("rb") as file:
        with monkeypatch.context() as full:

            def busy(self: object) -> None:
                raise many_reads._Busy(os.strerror(errno.EAGAIN))

            full.setattr(many_reads._Context, "__init__", busy)
            full.setattr(many_reads, "_idle", deque())
            assert read_places(file.fileno(), np.arange(20), addresses(out), 10) is None
        assert read_places(file.fileno(), np.arange(20), addresses(out), 10) is not None


@needs_it
def test_threads_that_come_and_go_take_few_contexts(path: Path) -> None:
    out = np.zeros((20, 10), np.uint8)
    before = len(many_reads._idle)
    with path.open("rb") as file:
        for _ in range(30):
            thread = threading.Thread(target=read_places, args=(file.fileno(), np.arange(20), addresses(out), 10))
            thread.start()
            thread.join(20)
    assert len(many_reads._idle) <= max(before, 1)
