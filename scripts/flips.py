#!/usr/bin/env python3
"""Which damage would go unnoticed without a manifest, and what noticing costs; makes the tables of docs/verify.md.

Four bytes are changed at seeded places in a file, anywhere in it. Then the file is read as a run would read it, without
a manifest: an error, other values in silence, or the same values. Pictures are cut from the two photographs that ship
with scikit-learn, features are random numbers of one decimal.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from PIL import Image
from sklearn.datasets import load_sample_images

import mtgen
from mtgen.decode import decode
from mtgen.errors import MtgenError
from mtgen.stores import open_store
from mtgen.stores.bcolz_writer import write_bcolz
from mtgen.verify import make_manifest

HEIGHT, WIDTH = 375, 500
SIZE = (150, 150)
PICTURES: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 90},
    "JPEG progressive": {"quality": 90, "progressive": True},
    "PNG": {},
    "WebP": {"quality": 85},
    "WebP lossless": {"lossless": True, "method": 0},
    "AVIF": {"quality": 80, "speed": 10},
    "GIF": {},
    "TIFF": {},
}
FEATURES = np.random.default_rng(0).normal(size=(512, 64)).astype("float32").round(1)


def crop(number: int) -> Image.Image:
    """A cut of a photograph, another one for each number."""
    photographs = load_sample_images().images
    rng = np.random.default_rng(number)
    photograph = photographs[number % len(photographs)]
    top, left = (
        int(rng.integers(0, have - want + 1)) for have, want in zip(photograph.shape[:2], (HEIGHT, WIDTH), strict=True)
    )
    return Image.fromarray(photograph[top : top + HEIGHT, left : left + WIDTH])


@cache
def encoded(name: str, number: int) -> bytes:
    """The cut in one format."""
    file = io.BytesIO()
    crop(number).save(file, name.split()[0], **PICTURES[name])
    return file.getvalue()


def read_picture(path: Path) -> np.ndarray:
    """The pixels that a run would be given."""
    images = mtgen.Images("file", size=SIZE).bind(pd.DataFrame({"file": [str(path)]}))
    slot = images.spec.empty(1)[0]
    decode(images.read_bytes(0), images.recipe, slot)
    return slot


def read_store(source: str | Path) -> np.ndarray:
    """All rows of a store, opened anew."""
    store = open_store(source)
    try:
        out = np.empty((store.num_rows, *store.row_shape), store.dtype)
        store.read_rows(np.arange(store.num_rows), out)
        return out
    finally:
        store.close()


def stores(folder: Path) -> dict[str, tuple[str | Path, Path]]:
    """Name -> what to open, and its file to damage."""
    import blosc2
    import h5py
    import pyarrow
    import pyarrow.parquet
    import zarr

    found: dict[str, tuple[str | Path, Path]] = {}
    for codec in ("lz4", "zstd"):
        path = write_bcolz(folder / f"{codec}.bcolz", FEATURES, chunk_rows=512, codec=codec)
        found[f"bcolz, {codec}"] = path, path / "data" / "__0.blp"
    np.save(folder / "x.npy", FEATURES)
    found["`.npy`"] = folder / "x.npy", folder / "x.npy"
    blosc2.asarray(FEATURES, urlpath=str(folder / "x.b2nd"))
    found["Blosc2"] = folder / "x.b2nd", folder / "x.b2nd"
    inner: dict[str, Any] = {
        "Zarr v3, sharded, Blosc": [zarr.codecs.BloscCodec()],
        "Zarr v3, sharded, zstd": [zarr.codecs.ZstdCodec()],
        "Zarr v3, sharded, gzip": [zarr.codecs.GzipCodec()],
        "Zarr v3, sharded, Blosc, crc32c": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()],
    }
    for number, (name, codecs) in enumerate(inner.items()):
        path = folder / f"{number}.zarr"
        settings = {"shape": FEATURES.shape, "chunks": (64, 64), "shards": FEATURES.shape, "dtype": "float32"}
        zarr.create_array(str(path), compressors=codecs, **settings)[:] = FEATURES
        found[name] = path, path / "c" / "0" / "0"
    for name, flag in (("HDF5", False), ("HDF5 with fletcher32", True)):
        path = folder / f"{flag}.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("x", data=FEATURES, chunks=(64, 64), fletcher32=flag)
        found[name] = path, path
    columns = {f"c{place:02d}": FEATURES[:, place] for place in range(64)}
    for name, flag in (("Parquet", False), ("Parquet with page checksums", True)):
        path = folder / f"{flag}.parquet"
        pyarrow.parquet.write_table(pyarrow.table(columns), path, write_page_checksum=flag)
        found[name] = f"{path}::*", path
    return found


def outcome(path: Path, read: Callable[[], np.ndarray], whole: bytes, expected: np.ndarray, seed: int) -> str:
    """What four changed bytes do."""
    rng = np.random.default_rng(seed)
    damaged = bytearray(whole)
    for place, mask in zip(rng.choice(len(whole), 4, replace=False), rng.integers(1, 256, 4), strict=True):
        damaged[place] ^= int(mask)
    path.write_bytes(damaged)
    try:
        found = read()
    except MtgenError:
        return "error"
    finally:
        path.write_bytes(whole)
    same = found.shape == expected.shape and found.dtype == expected.dtype and found.tobytes() == expected.tobytes()
    return "same" if same else "other"


def apart(count: int, path: Path, read: Callable[[], np.ndarray], whole: bytes, expected: np.ndarray) -> Counter[str]:
    """Outcomes of many seeds, in a process of their own where damage ends the process."""
    found: Counter[str] = Counter()
    for seed in range(count):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, outcome(path, read, whole, expected, seed).encode())
            os._exit(0)
        os.close(writer)
        text = os.read(reader, 100).decode()
        os.close(reader)
        os.waitpid(child, 0)
        if not text:
            path.write_bytes(whole)
        found[text or "process ended"] += 1
    return found


def table(count: int, folder: Path) -> None:
    """Print the outcomes format by format."""
    print(f"| four changed bytes, {count} times | error | other values, in silence | same values |\n|---|---|---|---|")
    for name in PICTURES:
        path = folder / "picture"
        found: Counter[str] = Counter()
        for seed in range(count):
            whole = encoded(name, seed % 4)
            path.write_bytes(whole)
            found[outcome(path, partial(read_picture, path), whole, read_picture(path), seed)] += 1
        print(f"| {name} | {found['error']} | {found['other']} | {found['same']} |", flush=True)
    for name, (source, path) in stores(folder).items():
        read = partial(read_store, source)
        whole, expected = path.read_bytes(), read()
        if name.startswith(("HDF5", "Parquet", "Blosc2")):
            found = apart(count, path, read, whole, expected)
        else:
            found = Counter(outcome(path, read, whole, expected, seed) for seed in range(count))
        ended = f" ({found['process ended']} ended the process)" if found["process ended"] else ""
        errors = found["error"] + found["process ended"]
        print(f"| {name} | {errors}{ended} | {found['other']} | {found['same']} |", flush=True)


def costs(rounds: int, folder: Path) -> None:
    """Print how much longer reading takes with each mode, as ratios to "off"."""
    pictures = folder / "pictures"
    pictures.mkdir()
    names = [f"{number}.jpg" for number in range(64)]
    for number, name in enumerate(names):
        (pictures / name).write_bytes(encoded("JPEG", number))
    frame = pd.DataFrame({"file": names, "y": 0})
    store = write_bcolz(folder / "cost.bcolz", np.tile(FEATURES, (64, 4)), chunk_rows=256)
    parts: dict[str, Callable[..., dict[str, Any]]] = {
        "decode JPEG photographs, 500 x 375": lambda **s: {"x": mtgen.Images("file", root=pictures, size=SIZE, **s)},
        "the same, recipe fastest": lambda **s: {
            "x": mtgen.Images("file", root=pictures, size=SIZE, recipe="fastest", **s)
        },
        "random rows of a bcolz store": lambda **s: {"x": mtgen.Rows(store, **s)},
    }
    rows = np.random.default_rng(0).permutation(len(frame))
    for what, inputs in parts.items():
        big = frame if "bcolz" not in what else pd.DataFrame({"y": np.zeros(len(FEATURES) * 64)})
        manifest = folder / "manifest.csv"
        make_manifest(mtgen.Dataset(big, inputs()), manifest)
        data = {mode: mtgen.Dataset(big, inputs(manifest=manifest, verify=mode)) for mode in ("off", "open", "read")}
        seconds: dict[str, list[float]] = {mode: [] for mode in data}
        for number in range(rounds):
            for mode in np.random.default_rng(number).permutation(list(data)).tolist():
                started = time.perf_counter()
                data[mode].fetch(rows)
                seconds[mode].append(time.perf_counter() - started)
        ratios = {
            mode: statistics.median(a / b for a, b in zip(seconds[mode], seconds["off"], strict=True))
            for mode in ("open", "read")
        }
        print(f"{what}: open {ratios['open']:.3f}, read {ratios['read']:.3f} of off")


def main(
    count: Annotated[int, typer.Option(min=1, help="Seeds per format.")] = 400,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of each mode.")] = 40,
) -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        costs(rounds, Path(folder))
        table(count, Path(folder))


if __name__ == "__main__":
    typer.run(main)
