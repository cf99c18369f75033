"""Arrays on disk that are kept open, a few at a time, by many threads."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.inputs.open_arrays import OpenArrays
from mtgen.threads import in_threads
from tests.support.points import telling


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    for number in range(20):
        np.save(tmp_path / f"{number}.npy", telling(4, 4) + 100 * number)
    return [str(tmp_path / f"{number}.npy") for number in range(20)]


def test_the_last_ones_used_stay_open(paths: list[str]) -> None:
    arrays = OpenArrays(most=3)
    seen = {}
    for path in [*paths[:3], paths[0], paths[3]]:
        with arrays.lend(path) as store:
            seen[path] = store
    assert arrays.num_open == 3
    assert [seen[path].closed for path in paths[:4]] == [False, True, False, False]
    with arrays.lend(paths[0]) as store:
        assert store is seen[paths[0]]
    arrays.close()
    assert arrays.num_open == 0
    assert all(store.closed for store in seen.values())


def test_one_in_use_is_never_closed(paths: list[str]) -> None:
    arrays = OpenArrays(most=1)
    with arrays.lend(paths[0]) as first:
        for path in paths[1:]:
            with arrays.lend(path):
                pass
        arrays.close()
        assert not first.closed
        out = np.empty((4, 4), np.int32)
        first.read_window((0, 0), (4, 4), out)
        np.testing.assert_array_equal(out, telling(4, 4))
    with arrays.lend(paths[1]):
        pass
    assert arrays.num_open == 1
    assert first.closed


def test_many_threads_get_what_they_asked_for(paths: list[str]) -> None:
    arrays = OpenArrays(most=2)

    def read(number: int, note: object) -> int:
        out = np.empty((1, 1), np.int32)
        with arrays.lend(paths[number % 20]) as store:
            store.read_window((0, 1), (1, 2), out)
        return int(out[0, 0])

    found = list(in_threads(read, range(600), num_threads=8, group=3))
    assert found == [100 * (number % 20) + 1 for number in range(600)]
    assert arrays.num_open <= 2


def test_what_cannot_be_opened_is_forgotten(paths: list[str]) -> None:
    arrays = OpenArrays()
    with pytest.raises(StoreError, match="no such path") as caught, arrays.lend(f"{paths[0]}x"):
        pass
    assert caught.value.path == f"{paths[0]}x"
    assert arrays.num_open == 0


def test_a_copy_opens_its_own(paths: list[str]) -> None:
    arrays = OpenArrays(most=5)
    with arrays.lend(paths[0]):
        copy = pickle.loads(pickle.dumps(arrays))
    assert (copy.most, copy.num_open) == (5, 0)


def test_a_forked_child_opens_its_own(paths: list[str]) -> None:
    """In a process of its own, because others fork badly after a backend was loaded."""
    code = f"""
import os
from mtgen.inputs.open_arrays import OpenArrays
arrays = OpenArrays()
with arrays.lend({paths[0]!r}) as ours:
    child = os.fork()
    if not child:
        with arrays.lend({paths[0]!r}) as store:
            os._exit(0 if store is not ours and arrays.num_open == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
assert not ours.closed
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
