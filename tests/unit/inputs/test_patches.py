"""Patches of real files of each kind: which bytes are read, what is refused, and how it is said."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from PIL import Image

import mtgen
from mtgen.config import OnError
from mtgen.decode import decode
from mtgen.errors import AlignmentError, ChangedError, DecodeError, PlanError, StoreError, TableError
from mtgen.recipe import named_recipe
from mtgen.stores import Store, open_store
from tests.support.points import Always, Uniform, make_photo, telling, window

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 12
CUBE = telling(20, 30, 40)
MASK = OnError(policy="mask", max_errors=100)


def dataset(source: Any, sampler: Any, size: Any, table: pd.DataFrame | None = None, **settings: Any) -> mtgen.Dataset:
    frame = pd.DataFrame({"label": np.arange(NUM_ROWS)}) if table is None else table
    return mtgen.Dataset(frame, {"patch": mtgen.Patches(source, sampler, size, **settings)}, "label")


def at(*pixel: int) -> Always:
    return Always(pixel, "pixels")


def write(kind: str, folder: Path, array: np.ndarray = CUBE, name: str = "cube") -> str:
    """An array as a file of some kind; the path to open it by."""
    path = folder / f"{name}.{kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "fortran":
        np.save(path, np.asfortranarray(array))
        return f"{path}.npy"
    elif kind in ("zarr2", "zarr3"):
        made = zarr.create_array(
            path, shape=array.shape, dtype=array.dtype, chunks=(8,) * array.ndim, zarr_format=int(kind[-1])
        )
        made[...] = array
    elif kind == "group":
        zarr.open_group(path, mode="w").create_array("inner/cube", data=array, chunks=(8,) * array.ndim)
        return f"{path}::inner/cube"
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("t1", data=array, chunks=(5,) * array.ndim, compression="gzip")
            file.create_dataset("other", data=array[:1])
        return f"{path}::t1"
    elif kind == "b2nd":
        blosc2 = pytest.importorskip("blosc2")
        blosc2.asarray(np.ascontiguousarray(array), urlpath=str(path), chunks=(8,) * array.ndim)
    return str(path)


KINDS = ["npy", "fortran", "zarr2", "zarr3", "group", "h5", "b2nd"]


# --- one array for all rows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_cube_on_disk_is_cut_by_window(tmp_path: Path, kind: str) -> None:
    data = dataset(write(kind, tmp_path), Uniform(3), (4, 5, 6))
    assert data.input_specs["patch"].shape == (4, 5, 6)
    assert data.input_specs["patch"].dtype == np.int32
    with mtgen.Loader(data, 4, num_workers=3) as loader:
        for batch in loader.steps(0, 6):
            for slot, start in enumerate(batch.places["patch"]):
                np.testing.assert_array_equal(batch.inputs["patch"][slot], window(CUBE, start, (4, 5, 6)))


@pytest.mark.parametrize("kind", ["memory", "memmap", "h5py", "zarr", "rows only"])
def test_an_open_array_is_cut_by_window(tmp_path: Path, kind: str) -> None:
    np.save(tmp_path / "cube.npy", CUBE)
    with h5py.File(tmp_path / "cube.h5", "w") as file:
        source = {
            "memory": lambda: CUBE,
            "memmap": lambda: np.load(tmp_path / "cube.npy", mmap_mode="r"),
            "h5py": lambda: file.create_dataset("x", data=CUBE),
            "zarr": lambda: zarr.create_array({}, data=CUBE, chunks=(8, 8, 8)),
            "rows only": lambda: RowsOnly(CUBE),
        }[kind]()
        batch = dataset(source, Uniform(3), (4, 5, 6)).fetch(np.arange(NUM_ROWS))
        for slot, start in enumerate(batch.places["patch"]):
            np.testing.assert_array_equal(batch.inputs["patch"][slot], window(CUBE, start, (4, 5, 6)))


class RowsOnly:
    """A store of a user's own: nothing but what the protocol asks for."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.location = array, "rows only"
        self.num_rows, self.row_shape, self.dtype = len(array), array.shape[1:], array.dtype
        self.chunk_rows, self.keys, self.key_name = 1, None, None

    def read_rows(self, rows: np.ndarray, out: np.ndarray) -> None:
        out[...] = self.array[rows]

    def close(self) -> None:
        pass


def test_a_store_of_the_users_own_is_one() -> None:
    assert isinstance(RowsOnly(CUBE), Store)


def test_only_chunks_that_the_window_touches_are_read(tmp_path: Path) -> None:
    """All other chunks are garbage, so that reading one would be an error."""
    path = write("zarr3", tmp_path)
    for chunk in (Path(path) / "c").rglob("*"):
        if chunk.is_file() and chunk.relative_to(Path(path) / "c").as_posix() not in {"1/2/3", "1/2/4"}:
            chunk.write_bytes(b"garbage")
    # Rows 8 to 15 and 16 to 23, columns 24 to 39: two chunks.
    batch = dataset(path, at(12, 20, 32), (8, 8, 16)).fetch([0])
    np.testing.assert_array_equal(batch.inputs["patch"][0], CUBE[8:16, 16:24, 24:40])
    with pytest.raises(StoreError, match=r"TensorStore cannot read a window.*the patch at \[7, 16, 24\]"):
        dataset(path, at(11, 20, 32), (8, 8, 16)).fetch([0])


def test_a_cube_larger_than_memory_is_cut_at_once(tmp_path: Path) -> None:
    """A sparse file of 256 GB: whoever read it whole would not come back."""
    path = tmp_path / "cube.npy"
    header = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(1, 1, 1))
    del header
    shape = (4000, 4000, 4000)
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        start = file.tell()
        file.truncate(start + 4 * 4000**3)
        file.seek(start + 4 * (3999 * 4000**2 + 3999 * 4000 + 3999))
        file.write(np.float32(7.5).tobytes())
    data = dataset(str(path), at(3998, 3998, 3998), (4, 4, 4))
    with mtgen.Loader(data, 4, num_workers=2, memory=1 << 20) as loader:
        assert loader.forecast.total_bytes < 1 << 16
        assert loader.batch(0).inputs["patch"][0, 3, 3, 3] == 7.5
        assert loader.step_of(loader.state(1)) == 1


def test_rows_of_a_store_are_matched_as_rows_are() -> None:
    scans = telling(30, 6, 7, 2)
    table = pd.DataFrame({"label": np.arange(5)}, index=[7, 3, 29, 11, 0])
    batch = dataset(mtgen.Rows(scans), Uniform(2), (3, 4), table).fetch(np.arange(5))
    for slot, (label, start) in enumerate(zip(table.index, batch.places["patch"], strict=True)):
        np.testing.assert_array_equal(batch.inputs["patch"][slot], window(scans[label], start, (3, 4)))
    fresh = pd.DataFrame({"label": np.arange(5)})
    with pytest.raises(AlignmentError, match="filtered and then re-numbered"):
        dataset(mtgen.Rows(scans), Uniform(2), (3, 4), fresh)


def test_rows_of_a_store_keep_their_checks() -> None:
    scans = telling(NUM_ROWS, 6, 7).astype(np.float32)
    scans[3, 2, 2] = np.nan
    rows = mtgen.Rows(open_store(scans, keys=np.arange(NUM_ROWS) * 2), key="label", finite=True)
    table = pd.DataFrame({"label": np.arange(NUM_ROWS) * 2})
    data = dataset(rows, at(2, 2), (3, 3), table)
    assert data.fetch([2]).inputs["patch"].shape == (1, 3, 3)
    with pytest.raises(StoreError, match=r"has nan at place 4 of 9, and finite=True refuses.*row 3"):
        data.fetch([3])
    with pytest.raises(AlignmentError, match="keys differ"):
        dataset(rows, at(2, 2), (3, 3), table.iloc[::-1].reset_index(drop=True))


# --- an array per row -------------------------------------------------------------------------------------------------


def volumes(folder: Path, kinds: list[str] | None = None) -> tuple[pd.DataFrame, list[np.ndarray]]:
    """Scans of different shapes, in files of some kinds."""
    kinds, paths, arrays = kinds or KINDS[:-1], [], []
    for number in range(NUM_ROWS):
        arrays.append(telling(5 + number, 16 - number, 9) + 10_000 * number)
        paths.append(os.path.relpath(write(kinds[number % len(kinds)], folder, arrays[-1], f"scan{number}"), folder))
    return pd.DataFrame({"label": np.arange(NUM_ROWS), "scan": paths}), arrays


def test_each_row_has_an_array_of_its_own(tmp_path: Path) -> None:
    table, arrays = volumes(tmp_path)
    data = dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)
    with mtgen.Loader(data, 5, num_workers=4) as loader:
        for batch in loader.steps(0, 9):
            np.testing.assert_array_equal(loader.places(batch.step or 0)["patch"], batch.places["patch"])
            for row, start, patch in zip(batch.rows, batch.places["patch"], batch.inputs["patch"], strict=True):
                np.testing.assert_array_equal(patch, window(arrays[row], start, (4, 3, 8)))
    bound = data.fields[0].bound
    assert bound.arrays.volumes.open_arrays.num_open <= 8 < NUM_ROWS
    copy = pickle.loads(pickle.dumps(data))
    assert copy.fetch([4, 1]).inputs["patch"].tobytes() == data.fetch([4, 1]).inputs["patch"].tobytes()
    assert copy.digests == data.digests


def test_what_is_wrong_with_an_array_names_it(tmp_path: Path) -> None:
    table, _ = volumes(tmp_path, ["npy"])
    (tmp_path / "scan1.npy").unlink()
    (tmp_path / "scan2.npy").write_bytes((tmp_path / "scan2.npy").read_bytes()[:-20])
    np.save(tmp_path / "scan3.npy", telling(9, 9))
    np.save(tmp_path / "scan4.npy", telling(9, 9, 9, 3))
    np.save(tmp_path / "scan5.npy", telling(9, 9, 9, dtype="int16"))
    np.save(tmp_path / "scan6.npy", np.array([["a", {}]], object), allow_pickle=True)
    np.save(tmp_path / "scan7.npy", telling(3, 9, 9))
    np.save(tmp_path / "scan8.npy", np.empty((0, 9, 9), np.int32))
    (tmp_path / "scan9.npy").write_text("no array")
    data = dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)
    texts = {
        1: "there is no such path",
        2: "no whole .npy file",
        3: r"has axes \(9, 9\), expected 3 axes to cut along",
        4: r"has axes \(9, 9, 9, 3\), expected 3 axes to cut along and then \(\), as in row 0",
        5: "holds int16, expected int32 as in row 0",
        6: "pickled Python objects",
        7: r"no patch can be cut from the array: it is \(3, 9, 9\), and patches are \(4, 3, 8\): .* larger than",
        8: r"it is \(0, 9, 9\), which holds nothing",
        9: "expected a .npy, HDF5",
    }
    assert data.missing().tolist() == [row == 1 for row in range(NUM_ROWS)]
    for row, text in texts.items():
        with pytest.raises(StoreError, match=text) as caught:
            data.fetch([row])
        assert (caught.value.row, caught.value.path) == (row, str(tmp_path / f"scan{row}.npy"))
    with mtgen.Loader(data, NUM_ROWS, num_workers=2, shuffle=False, on_error=MASK) as loader:
        batch = loader.batch(0)
        assert batch.rows.tolist() == [0, *[-1] * 9, 10, 11]
        assert not batch.places["patch"][1:10].any()
        assert {one.row: one.path for one in batch.bad} == {row: str(tmp_path / f"scan{row}.npy") for row in texts}
        assert all("step 0" not in one.error for one in batch.bad)
    with (
        mtgen.Loader(data, 4, num_workers=2, shuffle=False) as loader,
        pytest.raises(StoreError, match=r"step 0, row 1, path .*scan1.npy"),
    ):
        loader.batch(0)


@pytest.mark.parametrize("on_error", ["raise", "refill", "mask"])
@pytest.mark.parametrize("num_closed", [0, 20])
def test_a_volume_that_is_replaced_under_a_run_stops_it(tmp_path: Path, on_error: Any, num_closed: int) -> None:
    """The bug: it was served old while it was among the open ones, and new when it was opened again."""
    for number in range(2 + num_closed):
        np.save(tmp_path / f"{number}.npy", CUBE + number)
    table = pd.DataFrame({"scan": [f"{number}.npy" for number in range(2 + num_closed)]})
    table["label"] = 0
    data = dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)
    with mtgen.Loader(data, 1, shuffle=False, num_workers=2, on_error=on_error) as loader:
        for step in range(2 + num_closed):
            loader.batch(step)
        np.save(tmp_path / "new.npy", CUBE + 7)
        os.replace(tmp_path / "new.npy", tmp_path / "1.npy")
        loader.batch(0)
        with pytest.raises(ChangedError, match="replaced or written to") as caught:
            loader.batch(1)
        assert (caught.value.step, caught.value.row, caught.value.path) == (1, 1, f"{tmp_path}/1.npy")
    anew = dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)
    batch = anew.fetch([1])
    expected = window(CUBE + 7, batch.places["patch"][0], (4, 3, 8))
    np.testing.assert_array_equal(batch.inputs["patch"][0], expected)


def test_a_refilled_slot_keeps_its_position(tmp_path: Path) -> None:
    table, arrays = volumes(tmp_path, ["npy"])
    for row in (2, 7):
        (tmp_path / f"scan{row}.npy").unlink()
    data = dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)
    on_error = OnError(policy="refill", max_errors=100)
    found = []
    for num_workers in (0, 3):
        with mtgen.Loader(data, 5, num_workers=num_workers, seed=2, on_error=on_error) as loader:
            batches = [loader.batch(step) for step in range(6)]
            assert {bad.row for batch in batches for bad in batch.bad} == {2, 7}
            for batch in batches:
                assert not {2, 7} & set(batch.rows.tolist())
                plain = data.fetch(batch.rows, loader._plan.draws(batch.step or 0))
                assert plain.inputs["patch"].tobytes() == batch.inputs["patch"].tobytes()
                np.testing.assert_array_equal(plain.places["patch"], batch.places["patch"])
                for row, start, patch in zip(batch.rows, batch.places["patch"], batch.inputs["patch"], strict=True):
                    np.testing.assert_array_equal(patch, window(arrays[row], start, (4, 3, 8)))
            found.append([batch.inputs["patch"].tobytes() for batch in batches])
    assert found[0] == found[1]


def test_the_first_arrays_may_be_bad(tmp_path: Path) -> None:
    table, _ = volumes(tmp_path, ["npy"])
    (tmp_path / "scan0.npy").unlink()
    assert dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table).input_specs["patch"].shape
    for file in tmp_path.glob("*.npy"):
        file.unlink()
    with pytest.raises(StoreError, match=r"there is no such path.*row 0"):
        dataset(mtgen.Volumes("scan", root=tmp_path), Uniform(3), (4, 3, 8), table)


def test_links_and_paths_out_of_the_root_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    np.save(outside / "x.npy", telling(9, 9))
    (inside / "x.npy").symlink_to(outside / "x.npy")
    table = pd.DataFrame({"label": [0], "scan": ["x.npy"]})
    with pytest.raises(StoreError, match="is a link, or in a linked folder, that leads out of root"):
        dataset(mtgen.Volumes("scan", root=inside), Uniform(2), (4, 3), table)
    followed = mtgen.Volumes("scan", root=inside, follow_links=True)
    assert dataset(followed, Uniform(2), (4, 3), table).fetch([0]).inputs["patch"].shape == (1, 4, 3)
    with pytest.raises(TableError, match="must hold paths under root"):
        dataset(mtgen.Volumes("scan", root=inside), Uniform(2), (4, 3), table.assign(scan="../out/x.npy"))


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("settings", [{}, {"color": "grayscale"}, {"dtype": "float32", "scale": (2 / 255, -1)}])
@pytest.mark.parametrize("border", ["inside", "pad"])
def test_patches_of_a_picture_are_slices_of_the_whole(
    tmp_path: Path, orientation: int, settings: dict[str, Any], border: Any
) -> None:
    make_photo(tmp_path / "a.png", 21, 33, orientation=orientation)
    shape = (33, 21) if orientation > 4 else (21, 33)
    whole = np.empty((*shape, 1 if settings.get("color") else 3), settings.get("dtype", "uint8"))
    decode((tmp_path / "a.png").read_bytes(), named_recipe("clean", size=shape, **settings), whole)
    outside = 7 if "scale" not in settings else 7 * np.float32(2 / 255) - 1
    table = pd.DataFrame({"label": np.arange(NUM_ROWS), "file": "a.png"})
    images = mtgen.Images("file", root=tmp_path, **settings)
    data = dataset(images, Uniform(2), (8, 10), table, border=border, pad_value=7)
    batch = data.fetch(np.arange(NUM_ROWS))
    for start, patch in zip(batch.places["patch"], batch.inputs["patch"], strict=True):
        np.testing.assert_array_equal(patch, window(whole, start, (8, 10), outside))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16", "CMYK"])
@pytest.mark.parametrize("color", ["rgb", "grayscale", "rgba"])
def test_patches_of_pictures_of_all_modes(tmp_path: Path, mode: str, color: str) -> None:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        picture = Image.fromarray(rng.integers(0, 65536, (20, 22), dtype=np.uint16))
    else:
        picture = Image.fromarray(rng.integers(0, 256, (20, 22, 4), dtype=np.uint8), "RGBA").convert(
            mode if mode != "CMYK" else "RGB"
        )
        picture = picture.convert("CMYK") if mode == "CMYK" else picture
    name = "a.tif" if mode == "CMYK" else "a.png"
    picture.save(tmp_path / name)
    recipe = named_recipe("clean", size=(20, 22), color=color)
    whole = recipe.spec.empty(1)[0]
    decode((tmp_path / name).read_bytes(), recipe, whole)
    table = pd.DataFrame({"label": [0, 1, 2], "file": name})
    images = mtgen.Images("file", root=tmp_path, color=color)
    batch = dataset(images, Uniform(2), (6, 5), table).fetch([0, 1, 2])
    for start, patch in zip(batch.places["patch"], batch.inputs["patch"], strict=True):
        np.testing.assert_array_equal(patch, window(whole, start, (6, 5)))


def test_channels_first_and_transparent_padding(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png", 6, 6)
    table = pd.DataFrame({"label": [0], "file": "a.png"})
    images = mtgen.Images("file", root=tmp_path, color="rgba", data_format="channels_first")
    patch = dataset(images, at(0, 0), (4, 4), table, border="pad", pad_value=9).fetch([0]).inputs["patch"][0]
    assert patch.shape == (4, 4, 4)
    assert (patch[:3, :2] == 9).all()
    assert (patch[3, :2] == 0).all()
    assert (patch[3, 2:, 2:] == 255).all()


def test_a_picture_of_several_slots_is_decoded_once(tmp_path: Path) -> None:
    """Each decode of a turned picture counts it."""
    for name in "ab":
        make_photo(tmp_path / f"{name}.png", 20, 20, orientation=6)
    table = pd.DataFrame({"label": np.arange(NUM_ROWS), "file": ["a.png", "b.png"] * (NUM_ROWS // 2)})
    data = dataset(mtgen.Images("file", root=tmp_path), Uniform(2), (4, 4), table)
    with mtgen.Loader(data, NUM_ROWS, num_workers=2) as loader:
        batch = loader.batch(0)
        assert loader.stats().picture_facts["oriented"] == 2
    assert len(np.unique(batch.places["patch"], axis=0)) > NUM_ROWS // 2


def test_a_bad_point_spoils_no_other_patch_of_its_picture(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png", 20, 20)

    def wrong_in_row_3(row: int) -> Any:
        if row == 3:
            raise OSError("the mask of row 3 cannot be read")
        return Uniform(2)

    table = pd.DataFrame({"label": np.arange(5), "file": "a.png"})
    data = dataset(mtgen.Images("file", root=tmp_path), wrong_in_row_3, (4, 4), table)
    with mtgen.Loader(data, 5, shuffle=False, num_workers=0, on_error=MASK) as loader:
        batch = loader.batch(0)
    assert batch.rows.tolist() == [0, 1, 2, -1, 4]
    assert "OSError: the mask of row 3 cannot be read" in batch.bad[0].error


def test_what_is_wrong_with_a_picture_names_it(tmp_path: Path) -> None:
    make_photo(tmp_path / "0.png", 20, 20)
    make_photo(tmp_path / "1.png", 20, 7)
    (tmp_path / "2.png").write_bytes((tmp_path / "0.png").read_bytes()[:-40])
    table = pd.DataFrame({"label": range(4), "file": [f"{row}.png" for row in range(4)]})
    data = dataset(mtgen.Images("file", root=tmp_path), Uniform(2), (8, 8), table)
    texts = {
        1: r"no patch can be cut from the picture: it is \(20, 7\), and patches are \(8, 8\): .*border='pad'",
        2: "cannot be decoded",
        3: "No such file",
    }
    for row, text in texts.items():
        with pytest.raises(DecodeError, match=text) as caught:
            data.fetch([row])
        assert (caught.value.row, caught.value.path) == (row, str(tmp_path / f"{row}.png"))
    assert data.missing().tolist() == [False, False, False, True]
    for num_processes in (0, 1):
        inputs = {
            "patch": mtgen.Patches(mtgen.Images("file", root=tmp_path), Uniform(2), (8, 8)),
            "thumb": mtgen.Images("file", root=tmp_path, size=(4, 4)),
        }
        both = mtgen.Dataset(table, inputs, "label")
        settings: dict[str, Any] = {"num_workers": 1, "num_processes": num_processes, "on_error": MASK}
        with mtgen.Loader(both, 4, shuffle=False, **settings) as loader:
            assert loader.batch(0).rows.tolist() == [0, -1, -1, -1]


def test_pictures_take_their_room(tmp_path: Path) -> None:
    make_photo(tmp_path / "a.png", 400, 400)
    table = pd.DataFrame({"label": range(4), "file": "a.png"})
    data = dataset(mtgen.Images("file", root=tmp_path), Uniform(2), (8, 8), table)
    with mtgen.Loader(data, 2, num_workers=1, memory=1 << 22) as loader:
        assert loader.forecast.picture_bytes > 1 << 20
        assert loader.batch(0).rows.shape == (2,)
    with (
        mtgen.Loader(data, 2, num_workers=1, memory=1 << 18) as loader,
        pytest.raises(PlanError, match="takes 640,000 bytes while it is decoded"),
    ):
        loader.batch(0)


def test_a_manifest_is_compared(tmp_path: Path) -> None:
    from mtgen.verify import make_manifest, verify

    make_photo(tmp_path / "a.png", 20, 20)
    table = pd.DataFrame({"label": range(2), "file": "a.png"})
    images = mtgen.Images("file", root=tmp_path)
    make_manifest(dataset(images, Uniform(2), (8, 8), table), tmp_path / "manifest")
    promised = mtgen.Images("file", root=tmp_path, manifest=tmp_path / "manifest", verify="read")
    data = dataset(promised, Uniform(2), (8, 8), table)
    assert data.fetch([0]).rows.tolist() == [0]
    assert any(part.startswith("files of") for part in data.digests)
    make_photo(tmp_path / "a.png", 21, 20)
    assert verify(dataset(images, Uniform(2), (8, 8), table), tmp_path / "manifest").problems
    with pytest.raises(mtgen.errors.ChangedError):
        data.fetch([0])


# --- values -----------------------------------------------------------------------------------------------------------


def test_values_are_converted_where_asked() -> None:
    data = dataset(CUBE, at(0, 0, 0), (2, 2, 2), border="pad", pad_value=-4, dtype="float32", scale=(0.5, 1))
    patch = data.fetch([0]).inputs["patch"][0]
    assert patch.dtype == np.float32
    assert patch[0, 0, 0] == -1
    assert patch[1, 1, 1] == 1
    nan = dataset(CUBE.astype("f8"), at(0, 0, 0), (2, 2, 2), border="pad", pad_value=np.nan)
    assert np.isnan(nan.fetch([0]).inputs["patch"][0]).sum() == 7
    huge = dataset(np.full((4, 4), 1e300), at(2, 2), (2, 2), dtype="float32")
    with pytest.raises(StoreError, match=r"too large for float32.*row 0"):
        huge.fetch([0])


@pytest.mark.parametrize(
    ("sampler", "border", "text"),
    [
        (Always((np.nan, 0.5)), "shift", r"gives the point \[nan, 0.5\], which is no pixel"),
        (
            Always((3.0, 0.5)),
            "pad",
            r"centre of a patch at \[27, 4\], outside of the array \(9, 9\). Its points count shares of the array",
        ),
        (Always((3, 9), "pixels"), "shift", r"centre of a patch at \[3, 9\], outside .* points count pixels"),
        (Always(("a", "b")), "shift", "only numbers can be pixels"),
    ],
)
def test_points_that_are_none_are_refused(sampler: Always, border: Any, text: str) -> None:
    data = dataset(telling(9, 9), sampler, (3, 3), border=border)
    with (
        mtgen.Loader(data, 4, shuffle=False, num_workers=1, on_error="mask") as loader,
        pytest.raises(PlanError, match=rf"(?s){text}.*step 0, row 0"),
    ):
        loader.batch(0)


@pytest.mark.parametrize(
    ("arguments", "settings", "text"),
    [
        ((CUBE, Uniform(2), (3, 3, 3)), {}, "need points of dimension 3, uniform.2. has 2"),
        ((CUBE, "uniform", (3, 3, 3)), {}, "sampler must be a sampler of points"),
        ((CUBE, Uniform(3), None), {}, "size must be one length per axis"),
        ((CUBE, Uniform(3), (3, 0, 3)), {}, "size must be an integer >= 1"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"border": "wrap"}, "border must be one of 'inside', 'shift', 'pad'"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"fixed": 1}, "fixed must be True or False"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"stream": ""}, "stream must be a name or None"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"pad_value": "0"}, "pad_value must be a number"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"pad_value": 0.5}, "pad_value=0.5 is no int32"),
        ((CUBE.astype("f4"), Uniform(3), (3, 3, 3)), {"pad_value": 1e300}, r"pad_value=1e\+300 is no float32"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"dtype": "float16"}, "dtype must be one of"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"scale": (1, 0)}, "say dtype='float32' too"),
        ((CUBE, Uniform(3), (3, 3, 3)), {"scale": 1, "dtype": "float32"}, "scale must be None or"),
        ((mtgen.Images("label"), Uniform(3), (3, 3, 3)), {}, r"so size must be \(height, width\)"),
        ((mtgen.Images("label", size=(9, 9)), Uniform(2), (3, 3)), {}, "not resized, but Images has size"),
        ((mtgen.Images("label", cache="x"), Uniform(2), (3, 3)), {}, "leave out cache"),
        ((mtgen.Images("label", recipe="fast"), Uniform(2), (3, 3)), {}, "recipe 'fast' resizes while it decodes"),
        ((mtgen.Images("label", fit="crop"), Uniform(2), (3, 3)), {}, "fit='crop' has no meaning"),
        ((mtgen.Images("label"), Uniform(2), (3, 3)), {"pad_value": 256}, "an integer of 0 to 255"),
        ((mtgen.Images("label"), Uniform(2), (3, 3)), {"dtype": "float32"}, "say dtype and scale in Images"),
    ],
)
def test_wrong_settings_are_refused(arguments: Any, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(PlanError, match=text):
        dataset(*arguments, **settings)


def test_settings_are_plain_whatever_kind_of_number_was_given() -> None:
    """The text of a NumPy number differs between releases of NumPy, and a state must not."""
    given = {"border": "pad", "dtype": "float32"}
    ours = dataset(CUBE, at(0, 0, 0), (2, 2, 2), pad_value=3, scale=(0.5, 1), **given)
    theirs = dataset(CUBE, at(0, 0, 0), (2, 2, 2), pad_value=np.int16(3), scale=(np.float32(0.5), np.int8(1)), **given)
    assert ours.digests == theirs.digests
    assert json.loads(json.dumps(theirs.fields[0].bound.settings())) == ours.fields[0].bound.settings()


def test_wrong_arrays_are_refused_when_bound(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has axes \(20, 30, 40\), too few for patches of 4 axes"):
        dataset(CUBE, Uniform(4), (2, 2, 2, 2))
    with pytest.raises(StoreError, match=r"has axes \(30,\), too few for patches of 2 axes beside the axis of rows"):
        dataset(mtgen.Rows(telling(NUM_ROWS, 30)), Uniform(2), (2, 2))
    with pytest.raises(StoreError, match="holds <U1, expected numbers"):
        dataset(np.array([["a"] * 9] * 9), Uniform(2), (2, 2))
    with pytest.raises(StoreError, match="pickled Python objects"):
        dataset(np.full((9, 9), None), Uniform(2), (2, 2))
    with pytest.raises(StoreError, match=r"'label' is a column of the table: for pictures write Patches\(Images"):
        dataset("label", Uniform(2), (2, 2))
    with pytest.raises(PlanError, match=r"cut windows out of them, Patches\(Volumes\('scan'\)"):
        mtgen.Dataset(pd.DataFrame({"scan": ["a"]}), {"x": mtgen.Volumes("scan")})
    with pytest.raises(PlanError, match="column must be the name of a table column"):
        mtgen.Volumes(3)  # type: ignore[arg-type]
    data = dataset(CUBE, Uniform(3), (25, 2, 2))
    with pytest.raises(StoreError, match=r"it is \(20, 30, 40\), and patches are \(25, 2, 2\)"):
        data.fetch([0])


def test_draws_of_another_length_are_refused() -> None:
    from mtgen.draws import draws_of_rows

    data = dataset(CUBE, Uniform(3), (2, 2, 2))
    with pytest.raises(PlanError, match="2 rows and draws of 1 positions"):
        data.fetch([0, 1], draws_of_rows(np.array([0])))


# --- what a state remembers -------------------------------------------------------------------------------------------


def test_a_state_knows_what_was_cut_and_where(tmp_path: Path) -> None:
    path = write("npy", tmp_path)
    same = dataset(path, Uniform(3), (4, 4, 4)).digests
    assert dataset(path, Uniform(3), (4, 4, 4)).digests == same
    changed = CUBE.copy()
    changed[0, 0, 0] += 1
    np.save(tmp_path / "changed.npy", changed)
    others = [
        dataset(path, Uniform(3), (4, 4, 5)),
        dataset(path, Uniform(3, (20, 30, 40)), (4, 4, 4)),
        dataset(path, Uniform(3), (4, 4, 4), border="shift"),
        dataset(path, Uniform(3), (4, 4, 4), stream="x"),
        dataset(path, Uniform(3), (4, 4, 4), fixed=True),
        dataset(path, lambda row: Uniform(3), (4, 4, 4)),
        dataset(str(tmp_path / "changed.npy"), Uniform(3), (4, 4, 4)),
        dataset(CUBE[1:], Uniform(3), (4, 4, 4)),
    ]
    found = [one.digests["input patch"] for one in others]
    assert len({same["input patch"], *found}) == len(found) + 1


def test_everything_can_be_read_and_verified(tmp_path: Path) -> None:
    from mtgen.verify import make_manifest, verify

    table, _ = volumes(tmp_path / "scans" if (tmp_path / "scans").mkdir() is None else tmp_path, ["npy", "zarr3"])
    scans = mtgen.Volumes("scan", root=tmp_path / "scans")
    cube = mtgen.Patches(write("npy", tmp_path), Uniform(3), (2, 2, 2))
    data = mtgen.Dataset(table, {"scan": mtgen.Patches(scans, Uniform(3), (4, 3, 8)), "cube": cube}, "label")
    assert not verify(data).problems
    make_manifest(data, tmp_path / "manifest")
    assert not verify(data, tmp_path / "manifest").problems
    (tmp_path / "scans" / "scan4.npy").write_bytes(b"x")
    report = verify(data)
    assert [(one.row, Path(one.path).name) for one in report.problems] == [(4, "scan4.npy")]
    report = verify(data, tmp_path / "manifest")
    assert [(one.row, Path(one.path).name) for one in report.problems] == [(4, "scan4.npy")]
