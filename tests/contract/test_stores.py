"""Every reader, and every kind of open object, against the one suite that all stores must pass."""

import itertools
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from mtgen.errors import StoreError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz, write_bcolz_table
from mtgen.testing import StoreContract
from mtgen.testing.stores import check_rows, sample_array
from tests.support.server import serving

ALL_DTYPES = ("float32", "float16", ">f8", "uint8", ">i4", "int64", "bool", "S5", "U4", ">U4", "datetime64[s]")


class TestNpy(StoreContract):
    dtypes = ALL_DTYPES

    def make(self, tmp_path, array):
        np.save(tmp_path / "x.npy", array)
        return str(tmp_path / "x.npy")


class TestNpyFortranOrder(TestNpy):
    def make(self, tmp_path, array):
        return super().make(tmp_path, np.asfortranarray(array))


class TestNumpyArray(StoreContract):
    dtypes = ALL_DTYPES

    def make(self, tmp_path, array):
        return array


class TestNumpyView(StoreContract):
    def make(self, tmp_path, array):
        return np.repeat(array, 2, axis=0)[::2]


class TestMemmap(StoreContract):
    def make(self, tmp_path, array):
        np.save(tmp_path / "x.npy", array)
        return np.load(tmp_path / "x.npy", mmap_mode="r")


class TestOwnBcolz(StoreContract):
    """Written by our writer: the one suite that runs where the bcolz package is missing."""

    dtypes = ALL_DTYPES

    def make(self, tmp_path, array):
        return write_bcolz(tmp_path / "x.bcolz", array, chunk_rows=5)


class TestOwnBcolzTable(StoreContract):
    def make(self, tmp_path, array):
        write_bcolz_table(tmp_path / "t.bcolz", {"x": array, "other": np.arange(len(array))}, chunk_rows=5)
        return f"{tmp_path / 't.bcolz'}::x"


class BcolzPackage(StoreContract):
    @pytest.fixture(autouse=True)
    def _bcolz(self):
        self.bcolz = pytest.importorskip("bcolz")

    def write(self, tmp_path, array):
        carray = self.bcolz.carray(array, rootdir=str(tmp_path / "x.bcolz"), chunklen=5)
        carray.flush()
        return tmp_path / "x.bcolz"


class TestBcolz(BcolzPackage):
    dtypes = (*ALL_DTYPES[:-1], "datetime64[ns]")  # of dates, bcolz writes only these

    def make(self, tmp_path, array):
        return self.write(tmp_path, array)


class TestBcolzTable(BcolzPackage):
    def make(self, tmp_path, array):
        columns = [np.arange(len(array)), array]
        table = self.bcolz.ctable(columns=columns, names=["a", "x"], rootdir=str(tmp_path / "t.bcolz"), chunklen=5)
        table.flush()
        return f"{tmp_path / 't.bcolz'}::x"


class TestBcolzObject(BcolzPackage):
    def make(self, tmp_path, array):
        return self.bcolz.open(str(self.write(tmp_path, array)), mode="r")


class TestBcolzObjectBeingWritten(BcolzPackage):
    """Its last rows may be in memory only, so the object is read, not the folder."""

    def make(self, tmp_path, array):
        carray = self.bcolz.carray(array, rootdir=str(tmp_path / "x.bcolz"), chunklen=5, mode="w")
        carray.flush()
        return carray


class TestBcolzObjectInMemory(BcolzPackage):
    def make(self, tmp_path, array):
        return self.bcolz.carray(array, chunklen=5)


class TestBcolzTableObject(BcolzPackage):
    row_shapes = ((3,), (2, 2))

    def make(self, tmp_path, array):
        return self.bcolz.ctable(columns=[np.arange(len(array)), array], names=["a", "x"], chunklen=5)


class ZarrPackage(StoreContract):
    options = MappingProxyType({})
    dtypes = ("float32", ">f8", "uint8", "int64", "bool")

    @pytest.fixture(autouse=True)
    def _zarr(self):
        self.zarr = pytest.importorskip("zarr")
        pytest.importorskip("tensorstore")

    def write(self, tmp_path, array, name="x.zarr"):
        chunks = (5, *array.shape[1:])
        written = self.zarr.create_array(
            str(tmp_path / name), shape=array.shape, dtype=array.dtype, chunks=chunks, **self.options
        )
        written[...] = array
        return written


class TestZarr3(ZarrPackage):
    options = MappingProxyType({"zarr_format": 3})

    def make(self, tmp_path, array):
        self.write(tmp_path, array)
        return tmp_path / "x.zarr"


class TestZarr2(TestZarr3):
    options = MappingProxyType({"zarr_format": 2})


class TestZarr3Sharded(ZarrPackage):
    def write(self, tmp_path, array, name="x.zarr"):
        self.options = {"zarr_format": 3, "shards": (10, *array.shape[1:])}
        return super().write(tmp_path, array, name)

    def make(self, tmp_path, array):
        self.write(tmp_path, array)
        return tmp_path / "x.zarr"


class TestZarrGroup(ZarrPackage):
    def make(self, tmp_path, array):
        self.zarr.create_group(str(tmp_path / "g.zarr")).create_group("train")
        self.write(tmp_path, array, "g.zarr/train/x")
        return f"{tmp_path / 'g.zarr'}::train/x"


class TestZarrObject(ZarrPackage):
    def make(self, tmp_path, array):
        return self.write(tmp_path, array)


class TestZarrObjectOfText(ZarrPackage):
    """TensorStore knows no text: such arrays are read through the zarr package."""

    dtypes = ("U4",)
    row_shapes = ((3,), ())
    options = MappingProxyType({"zarr_format": 2})

    def make(self, tmp_path, array):
        return self.write(tmp_path, array)


class TensorStorePackage(StoreContract):
    @pytest.fixture(autouse=True)
    def _tensorstore(self):
        self.tensorstore = pytest.importorskip("tensorstore")

    def write(self, tmp_path, array, driver="n5", name="x.n5"):
        chunk = [5, *array.shape[1:]]
        metadata = {"n5": {"blockSize": chunk, "compression": {"type": "gzip"}}, "zarr": {"chunks": chunk}}[driver]
        opened = self.tensorstore.open(
            {"driver": driver, "kvstore": {"driver": "file", "path": f"{tmp_path / name}/"}, "metadata": metadata},
            create=True,
            dtype=array.dtype,
            shape=array.shape,
        ).result()
        opened.write(array).result()
        return opened


class TestN5(TensorStorePackage):
    dtypes = ("float32", "float64", "uint8", "int64")  # N5 has no bool

    def make(self, tmp_path, array):
        self.write(tmp_path, array)
        return tmp_path / "x.n5"


class TestTensorStoreObject(TensorStorePackage):
    def make(self, tmp_path, array):
        return self.write(tmp_path, array, "zarr")


class TestTensorStoreObjectFromAnotherOrigin(TensorStorePackage):
    def make(self, tmp_path, array):
        return self.write(tmp_path, array, "zarr")[self.tensorstore.d[0].translate_by[100]]


class OverHttp:
    """Mixin: what `make` writes is served by a local server."""

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path):
        with serving(tmp_path) as server:
            self.root, self.address = tmp_path, server.address
            yield

    def make(self, tmp_path, array):
        text = str(super().make(tmp_path, array))
        return f"{self.address}/{Path(text).relative_to(self.root).as_posix()}"


class TestZarr3OverHttp(OverHttp, TestZarr3):
    def test_keys_beside(self, tmp_path):
        array = sample_array((23, 3), "float32")
        address = self.make(tmp_path, array)
        self.write(tmp_path, np.arange(23), "x.keys.zarr").attrs["name"] = "id"
        store = open_store(address)
        check_rows(store.keys, np.arange(23), np.arange(23))
        assert store.key_name == "id"
        assert open_store(address, keys=False).keys is None

    def test_nothing_there(self):
        with pytest.raises(StoreError, match=r"no Zarr or N5 array: none of zarr\.json"):
            open_store(f"{self.address}/nix.zarr")


class TestZarr2OverHttp(OverHttp, TestZarr2):
    pass


class TestZarr3ShardedOverHttp(OverHttp, TestZarr3Sharded):
    pass


class TestZarrGroupOverHttp(OverHttp, TestZarrGroup):
    def test_keys_in_the_group(self, tmp_path):
        address = self.make(tmp_path, sample_array((23, 3), "float32"))
        self.write(tmp_path, np.arange(23), "g.zarr/train/key")
        store = open_store(address)
        check_rows(store.keys, np.arange(23), np.arange(23))
        assert store.key_name == "key"

    def test_group_without_a_name(self, tmp_path):
        address, _, _ = self.make(tmp_path, sample_array((23, 3), "float32")).partition("::")
        with pytest.raises(StoreError, match=r"this is a group, expected the name of an array in it"):
            open_store(address)


class TestN5OverHttp(OverHttp, TestN5):
    pass


class HDF5Package(StoreContract):
    dtypes = ("float32", ">f8", "uint8", "int64", "bool", "S5")
    chunked = True

    @pytest.fixture(autouse=True)
    def _h5py(self):
        self.h5py = pytest.importorskip("h5py")

    def write(self, tmp_path, array):
        chunks = (5, *array.shape[1:]) if self.chunked else None
        with self.h5py.File(tmp_path / "x.h5", "w") as file:
            file.create_dataset("train/x", data=array, chunks=chunks, compression="gzip" if chunks else None)
        return tmp_path / "x.h5"


class TestHDF5(HDF5Package):
    def make(self, tmp_path, array):
        return f"{self.write(tmp_path, array)}::train/x"


class TestHDF5Contiguous(TestHDF5):
    chunked = False


class TestHDF5Object(HDF5Package):
    def make(self, tmp_path, array):
        return self.h5py.File(self.write(tmp_path, array), "r")["train/x"]


class TestHDF5ObjectInMemory(HDF5Package):
    pickles = False
    names = itertools.count()

    def make(self, tmp_path, array):
        file = self.h5py.File(f"memory-{next(self.names)}", "w", driver="core", backing_store=False)
        return file.create_dataset("x", data=array)


class Blosc2Package(StoreContract):
    @pytest.fixture(autouse=True)
    def _blosc2(self):
        self.blosc2 = pytest.importorskip("blosc2")

    def write(self, array, **where):
        return self.blosc2.asarray(np.ascontiguousarray(array), chunks=(10, *array.shape[1:]), **where)


class TestBlosc2(Blosc2Package):
    dtypes = ("float32", "uint8", "int64", "bool", "S5", "U4")

    def make(self, tmp_path, array):
        self.write(array, urlpath=str(tmp_path / "x.b2nd"), mode="w")
        return tmp_path / "x.b2nd"


class TestBlosc2Folder(Blosc2Package):
    def make(self, tmp_path, array):
        self.write(array, urlpath=str(tmp_path / "x.b2nd"), mode="w", contiguous=False)
        return tmp_path / "x.b2nd"


class TestBlosc2Object(Blosc2Package):
    def make(self, tmp_path, array):
        self.write(array, urlpath=str(tmp_path / "x.b2nd"), mode="w")
        return self.blosc2.open(str(tmp_path / "x.b2nd"), mode="r")


class TestBlosc2ObjectInMemory(Blosc2Package):
    def make(self, tmp_path, array):
        return self.write(array)


class TestParquet(StoreContract):
    """One column, and fixed-size lists for rows of several values."""

    dtypes = ("float32", "float64", "uint8", "int64", "bool", "datetime64[ms]")

    def make(self, tmp_path, array):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        column = pyarrow.array(array.reshape(-1))
        for length in array.shape[:0:-1]:
            column = pyarrow.FixedSizeListArray.from_arrays(column, length)
        parquet.write_table(pyarrow.table({"x": column}), tmp_path / "x.parquet", row_group_size=5)
        return tmp_path / "x.parquet"


class TestParquetLists(StoreContract):
    row_shapes = ((3,),)

    def make(self, tmp_path, array):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        column = pyarrow.array(array.tolist(), pyarrow.list_(pyarrow.from_numpy_dtype(array.dtype)))
        parquet.write_table(pyarrow.table({"x": column}), tmp_path / "x.parquet", row_group_size=5)
        return tmp_path / "x.parquet"


class TestParquetColumnsSideBySide(StoreContract):
    dtypes = ("float32", "float64", "int64")
    row_shapes = ((3,),)

    def make(self, tmp_path, array):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        table = pyarrow.table({name: array[:, place] for place, name in enumerate("abc")})
        parquet.write_table(table, tmp_path / "x.parquet", row_group_size=5)
        return f"{tmp_path / 'x.parquet'}::a,b,c"


class TestParquetText(StoreContract):
    dtypes = ("U4",)  # the store is as wide as the longest text: "k814"
    row_shapes = ((),)

    def make(self, tmp_path, array):
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"x": array.tolist()}), tmp_path / "x.parquet", row_group_size=5)
        return tmp_path / "x.parquet"


class IndexOnly:
    """An array-like that knows sorted index arrays and nothing of chunks."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, selection):
        return self._array[selection]


class SlicesOnly(IndexOnly):
    """An array-like that knows slices only, and says how long its chunks are."""

    chunks = (5,)

    def __getitem__(self, selection):
        if not isinstance(selection, slice):
            raise TypeError("slices only")
        return self._array[selection]


class WrongIndex(IndexOnly):
    """An array-like that takes index arrays for something else: asking must not trust them."""

    def __getitem__(self, selection):
        return self._array[selection] if isinstance(selection, slice) else self._array[::-1][selection]


class TestArrayLikeByIndex(StoreContract):
    dtypes = ALL_DTYPES

    def make(self, tmp_path, array):
        return IndexOnly(array)


class TestArrayLikeBySlices(StoreContract):
    dtypes = ALL_DTYPES

    def make(self, tmp_path, array):
        return SlicesOnly(array)


class TestArrayLikeThatMisreadsIndices(StoreContract):
    def make(self, tmp_path, array):
        return WrongIndex(array)
