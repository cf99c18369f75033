"""What every store must do, as a pytest suite that a store's author subclasses.

    class TestMyStore(StoreContract):
        def make(self, tmp_path, array):
            write_somehow(tmp_path / "x.mine", array)      # not by the store under test
            return tmp_path / "x.mine"                     # whatever open_store takes

Run by pytest as it stands. The attributes below widen or narrow what is tried.
"""

from __future__ import annotations

import math
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import Store, open_store

POISON = 0xA5


def sample_array(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Values that differ from row to row, the same in every run.

    Args:
        shape: rows first.
        dtype: a NumPy dtype; any byte order.

    Example:
        >>> sample_array((2, 2), "int8").tolist()
        [[0, 37], [74, 111]]
    """
    numbers = np.arange(math.prod(shape), dtype=np.int64) * 37
    kind = np.dtype(dtype).kind
    if kind == "b":
        values = numbers % 3 == 0
    elif kind in "SU":
        values = np.array([f"k{number}" for number in numbers.tolist()], dtype)
    elif kind == "f":
        values = (numbers % 1009) / 8 - 50
    else:
        values = numbers % 128
    array: np.ndarray = values.astype(dtype).reshape(shape)
    return array


class StoreContract:
    """Suite of tests; subclass it as `Test...` and write `make`.

    Attributes:
        num_rows: rows of the arrays to make; several chunks and a short last one, if there are chunks.
        dtypes: dtypes that the format holds.
        row_shapes: row shapes that the format holds.
        pickles: False only where a store cannot travel to another process.
    """

    num_rows: int = 23
    dtypes: tuple[str, ...] = ("float32", "float64", "uint8", "int64", "bool")
    row_shapes: tuple[tuple[int, ...], ...] = ((), (3,), (2, 2))
    pickles: bool = True

    def make(self, tmp_path: Path, array: np.ndarray) -> Any:
        """Write `array` by other means than the store under test; returns what `open_store` takes.

        Args:
            tmp_path: an empty folder of this call's own.
            array: `(num_rows, *row_shape)`.
        """
        raise NotImplementedError("a subclass of StoreContract writes make(tmp_path, array)")

    def _open(self, folder: Path, num_rows: int | None = None) -> tuple[Store, np.ndarray]:
        """A store of the first dtype and a 1-D row shape, and the array it must equal."""
        row_shape = next((shape for shape in self.row_shapes if len(shape) == 1), self.row_shapes[0])
        return self._open_as(folder, self.dtypes[0], row_shape, num_rows)

    def _open_as(
        self, folder: Path, dtype: str, row_shape: tuple[int, ...], num_rows: int | None = None
    ) -> tuple[Store, np.ndarray]:
        array = sample_array((self.num_rows if num_rows is None else num_rows, *row_shape), dtype)
        folder.mkdir(parents=True, exist_ok=True)
        return open_store(self.make(folder, array)), array

    def test_attributes(self, tmp_path: Path) -> None:
        """The attributes say what the array is."""
        store, array = self._open(tmp_path)
        assert isinstance(store, Store)
        assert (store.num_rows, store.row_shape, store.dtype) == (len(array), array.shape[1:], array.dtype)
        assert store.dtype.isnative
        assert store.chunk_rows >= 1
        assert isinstance(store.location, str)
        assert store.location
        assert store.keys is None
        assert store.key_name is None
        store.close()

    def test_every_dtype_and_row_shape(self, tmp_path: Path) -> None:
        """All rows, in order and backwards, for each dtype and row shape; delivered in native byte order."""
        for place, dtype in enumerate(self.dtypes):
            for number, row_shape in enumerate(self.row_shapes):
                store, array = self._open_as(tmp_path / f"{place}-{number}", dtype, row_shape)
                assert store.dtype == np.dtype(dtype).newbyteorder("="), (dtype, row_shape)
                for rows in (np.arange(len(array)), np.arange(len(array))[::-1]):
                    check_rows(store, array, rows)
                store.close()

    def test_rows_in_any_order(self, tmp_path: Path) -> None:
        """Unsorted, repeated, few, many, first, last and no rows equal `array[rows]`."""
        store, array = self._open(tmp_path)
        last = len(array) - 1
        rng = np.random.Generator(np.random.PCG64(7))
        requests: list[Any] = [
            [],
            [0],
            [last],
            [last, 0],
            [0, 0, 0],
            [last, 3, 3, 0, last],
            range(5, 12),
            range(len(array)),
        ]
        requests += [rng.integers(0, len(array), size) for size in (1, 2, 10, 100)]
        requests += [rng.permutation(len(array)), [*range(last, -1, -1), *range(len(array))]]
        for rows in requests:
            check_rows(store, array, np.asarray(rows, np.int64))
        store.close()

    def test_fills_the_buffer_and_nothing_else(self, tmp_path: Path) -> None:
        """A poisoned buffer is overwritten in full, its neighbours in memory stay as they were."""
        store, array = self._open(tmp_path)
        for rows in (np.arange(len(array)), np.array([len(array) - 1, 0, 4, 4])):
            outer = np.empty((len(rows) + 4, *store.row_shape), store.dtype)
            outer.view(np.uint8)[...] = POISON
            fence = outer[:2].tobytes()
            store.read_rows(rows, outer[2:-2])
            assert outer[2:-2].tobytes() == array[rows].tobytes()
            assert outer[:2].tobytes() == fence == outer[-2:].tobytes()
        store.close()

    def test_rows_are_not_changed(self, tmp_path: Path) -> None:
        """The caller's rows may be read-only and stay as they are."""
        store, array = self._open(tmp_path)
        rows = np.array([5, 1, 5, 0])
        rows.flags.writeable = False
        check_rows(store, array, rows)
        assert rows.tolist() == [5, 1, 5, 0]
        store.close()

    def test_refuses_a_wrong_buffer(self, tmp_path: Path) -> None:
        """Wrong shape, dtype or layout is refused and the buffer stays untouched."""
        store, _ = self._open(tmp_path)
        rows = np.array([1, 0])
        other = np.dtype("int16") if store.dtype != np.dtype("int16") else np.dtype("int32")
        good = (2, *store.row_shape)
        wrong = [
            np.full((3, *store.row_shape), 1, store.dtype),
            np.full((*good, 1), 1, store.dtype),
            np.full(good, 1, other),
            np.full((4, *store.row_shape), 1, store.dtype)[::2],
        ]
        wrong.append(np.full(good, 1, store.dtype))
        wrong[-1].flags.writeable = False
        for out in wrong:
            before = out.tobytes()
            with pytest.raises(StoreError, match="buffer"):
                store.read_rows(rows, out)
            assert out.tobytes() == before
        store.close()

    def test_refuses_rows_out_of_bounds(self, tmp_path: Path) -> None:
        """The message names the row and the rows there are; the buffer stays untouched."""
        store, array = self._open(tmp_path)
        for wrong in (len(array), -1, 2**40):
            out = np.full((2, *store.row_shape), 1, store.dtype)
            before = out.tobytes()
            with pytest.raises(StoreError, match=rf"row {wrong} .*0 to {len(array) - 1}"):
                store.read_rows(np.array([0, wrong]), out)
            assert out.tobytes() == before
        store.close()

    def test_many_threads_at_once(self, tmp_path: Path) -> None:
        """Eight threads, started together, each get their own rows."""
        store, array = self._open(tmp_path)
        barrier = threading.Barrier(8)
        failures: list[BaseException] = []

        def work(seed: int) -> None:
            rng = np.random.Generator(np.random.PCG64(seed))
            try:
                barrier.wait(30)
                for _ in range(10):
                    check_rows(store, array, rng.integers(0, len(array), 12))
            except BaseException as error:  # handed to the main thread below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads), "reads by eight threads at once hang"
        assert not failures, failures
        store.close()

    def test_pickle(self, tmp_path: Path) -> None:
        """A store that was pickled reads the same, also after the first one was closed; else a clear refusal."""
        store, array = self._open(tmp_path)
        if not self.pickles:
            with pytest.raises(StoreError, match="pickle"):
                pickle.dumps(store)
            store.close()
            return
        frozen = pickle.dumps(store)
        store.close()
        twin = pickle.loads(frozen)
        assert (twin.num_rows, twin.row_shape, twin.dtype) == (len(array), array.shape[1:], array.dtype)
        check_rows(twin, array, np.array([3, 0, len(array) - 1]))
        twin.close()

    def test_close(self, tmp_path: Path) -> None:
        """Closing twice is allowed, reading afterwards is not."""
        store, _ = self._open(tmp_path)
        store.close()
        store.close()
        out = np.empty((1, *store.row_shape), store.dtype)
        with pytest.raises(StoreError, match="closed"):
            store.read_rows(np.array([0]), out)

    def test_keys_given(self, tmp_path: Path) -> None:
        """Explicit keys are attached; another number of keys is refused with both numbers."""
        row_shape = self.row_shapes[-1]
        array = sample_array((self.num_rows, *row_shape), self.dtypes[0])
        source = self.make(tmp_path, array)
        store = open_store(source, keys=np.arange(self.num_rows) + 100)
        assert store.keys is not None
        check_rows(store.keys, np.arange(self.num_rows) + 100, np.array([4, 0]))
        store.close()
        with pytest.raises(StoreError, match=rf"{self.num_rows + 1} keys .* {self.num_rows} rows"):
            open_store(source, keys=np.arange(self.num_rows + 1))


def check_rows(store: Store, array: np.ndarray, rows: np.ndarray) -> None:
    """Refuse, byte for byte, a store whose rows are not `array[rows]`.

    Args:
        store: the store under test.
        array: what it must hold, `(num_rows, *row_shape)`.
        rows: int64 `(n,)`.

    Raises:
        AssertionError: the rows differ.

    Example:
        >>> check_rows(open_store(np.arange(3)), np.arange(3), np.array([2, 0]))
    """
    out = np.empty((len(rows), *store.row_shape), store.dtype)
    if out.size:
        out.reshape(-1).view(np.uint8)[...] = POISON
    store.read_rows(rows, out)
    expected = array[rows].astype(store.dtype)
    if out.tobytes() != expected.tobytes():
        np.testing.assert_array_equal(out, expected, err_msg=f"{store.location}, rows {rows.tolist()}")
        raise AssertionError(f"{store.location}: equal values of other bytes, rows {rows.tolist()}")
