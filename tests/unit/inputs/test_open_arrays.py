"""Arrays on disk that are kept open, a few at a time, by many threads."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from mtgen.errors import ChangedError, StoreError
from mtgen.inputs.open_arrays import OpenArrays
from mtgen.inputs.signatures import Watch
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
        with arrays.lend(path) as (store, _):
            seen[path] = store
    assert arrays.num_open == 3
    assert [seen[path].closed for path in paths[:4]] == [False, True, False, False]
    with arrays.lend(paths[0]) as (store, _):
        assert store is seen[paths[0]]
    arrays.close()
    assert arrays.num_open == 0
    assert all(store.closed for store in seen.values())


def test_one_in_use_is_never_closed(paths: list[str]) -> None:
    arrays = OpenArrays(most=1)
    with arrays.lend(paths[0]) as (first, _):
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
        with arrays.lend(paths[number % 20]) as (store, _):
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
with arrays.lend({paths[0]!r}) as (ours, _):
    child = os.fork()
    if not child:
        with arrays.lend({paths[0]!r}) as (store, _):
            os._exit(0 if store is not ours and arrays.num_open == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
assert not ours.closed
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


# --- files that are replaced while they are open ----------------------------------------------------------------------


def replace_file(path: str, array: np.ndarray) -> None:
    """By another file of the same name, as a careful writer does; whoever has the old one open keeps it."""
    np.save(f"{path}.new.npy", array)
    os.replace(f"{path}.new.npy", path)


@pytest.mark.parametrize("how", ["larger", "later", "same size and time"])
def test_a_file_that_is_replaced_while_it_is_open_is_noticed(paths: list[str], how: str) -> None:
    """The bug: it was served old as long as it was among the open ones."""
    arrays = OpenArrays()
    with arrays.lend(paths[0]):
        before = os.stat(paths[0])
    replace_file(paths[0], telling(5 if how == "larger" else 4, 4))
    if how != "larger":
        moved = 0 if how == "same size and time" else 2_500_000_000
        os.utime(paths[0], ns=(before.st_atime_ns, before.st_mtime_ns + moved))
    text = {
        "larger": "now it has 208",
        "later": "2.500 s later",
        "same size and time": "another file of the same size and",
    }
    with pytest.raises(ChangedError, match=text[how]) as caught, arrays.lend(paths[0]):
        pass
    assert caught.value.path == paths[0]


def test_a_file_that_is_replaced_in_the_midst_of_a_read_is_noticed(paths: list[str]) -> None:
    arrays = OpenArrays()
    with pytest.raises(ChangedError, match="replaced or written to"), arrays.lend(paths[0]):
        replace_file(paths[0], telling(5, 4))


def test_what_cannot_be_decoded_because_it_was_replaced_has_changed(paths: list[str]) -> None:
    arrays = OpenArrays()

    def read(path: str, *, replaced: bool) -> None:
        with arrays.lend(path):
            if replaced:
                replace_file(path, telling(5, 4))
            raise StoreError("a chunk cannot be decoded")

    with pytest.raises(ChangedError) as caught:
        read(paths[0], replaced=True)
    assert isinstance(caught.value.__context__, StoreError)
    with pytest.raises(StoreError, match="a chunk cannot be"):
        read(paths[1], replaced=False)


def test_a_mapped_file_that_was_cut_is_refused_before_it_is_read(paths: list[str]) -> None:
    """Reading beyond its end would end the process by a signal."""
    arrays = OpenArrays()
    with arrays.lend(paths[0]):
        pass
    os.truncate(paths[0], 0)
    with pytest.raises(ChangedError, match="now it has 0"), arrays.lend(paths[0]) as (store, _):
        store.read_window((0, 0), (4, 4), np.empty((4, 4), np.int32))


def test_a_file_that_is_gone_is_an_array_that_cannot_be_read(paths: list[str]) -> None:
    arrays = OpenArrays()
    with arrays.lend(paths[0]):
        pass
    os.remove(paths[0])
    with pytest.raises(StoreError, match="cannot be found any more") as caught, arrays.lend(paths[0]):
        pass
    assert caught.value.path == paths[0]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_chunked_array_whose_metadata_are_written_anew_is_noticed(tmp_path: Path, zarr_format: int) -> None:
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=zarr_format)
    group.create_array("a/b", data=telling(8, 8), chunks=(4, 4))
    path = f"{tmp_path}/g.zarr::a/b"
    arrays = OpenArrays()
    for _ in range(2):
        with arrays.lend(path) as (store, signature):
            assert store.num_rows == 8
            assert signature is not None
            assert signature.num_bytes > 0
    group.create_array("a/c", data=telling(8, 8))  # its neighbours are no concern of it
    with arrays.lend(path):
        pass
    group.create_array("a/b", data=telling(9, 8), chunks=(4, 4), overwrite=True)
    with pytest.raises(ChangedError, match="replaced or written to"), arrays.lend(path):
        pass


def test_a_url_is_not_looked_at() -> None:
    assert Watch("https://host/x.zarr").signature() is None
    assert Watch("file:///a%20b/x.npy").files == ["/a b/x.npy"]
