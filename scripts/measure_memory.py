#!/usr/bin/env python3
"""Measure resident memory of a loader over steps of exact shuffling from a feature matrix larger than its budget.

Every value of the matrix tells its row, and each batch is checked, so that what was measured was also right. The peak
is the kernel's own (VmHWM of this process, reset where the measurement begins); the base is what the process held when
the dataset had been made, before the loader. Exits with 1 where the growth passes the budget by more than a tenth.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

import mtgen
from mtgen.stores.bcolz_writer import write_bcolz

BLOCK_ROWS = 65_536
SLACK = 1.1


def blocks(num_rows: int, num_columns: int) -> Iterator[np.ndarray]:
    """The matrix: row number in column 0, four fifths zeros, the rest a function of row and column."""
    for start in range(0, num_rows, BLOCK_ROWS):
        rows = np.arange(start, min(start + BLOCK_ROWS, num_rows))
        yield values(rows, num_columns)


def values(rows: np.ndarray, num_columns: int) -> np.ndarray:
    """The rows of the matrix, computed."""
    columns = np.arange(num_columns)
    mixed = (rows[:, None] * np.int64(2_654_435_761) + columns * np.int64(40_503)) >> 7
    found = np.where(mixed % 5 == 0, mixed % 4093, 0).astype(np.float32)
    found[:, 0] = rows
    return found


def write_zarr(path: Path, num_rows: int, num_columns: int, chunk_rows: int) -> None:
    """The matrix as Zarr v3: shards of one block, inner chunks of `chunk_rows`, zstd and crc32c."""
    import tensorstore

    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "zstd", "configuration": {"level": 1}}]
    sharding = {
        "name": "sharding_indexed",
        "configuration": {"chunk_shape": [chunk_rows, num_columns], "codecs": [*codecs, {"name": "crc32c"}]},
    }
    array = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}, "metadata": {"codecs": [sharding]}},
        create=True,
        dtype="float32",
        shape=[num_rows, num_columns],
        chunk_layout=tensorstore.ChunkLayout(write_chunk_shape=[BLOCK_ROWS, num_columns]),
    ).result()
    start = 0
    for block in blocks(num_rows, num_columns):
        array[start : start + len(block)] = block
        start += len(block)


def memory(name: str) -> int:
    """A line of /proc/self/status in bytes."""
    text = Path("/proc/self/status").read_text()
    (found,) = re.findall(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    return int(found) * 1024


def measure(
    store: Path, num_rows: int, num_columns: int, budget: int, steps: int, batch_size: int
) -> dict[str, object]:
    """Run the loader and say what it held."""
    table = pd.DataFrame({"y": np.arange(num_rows, dtype=np.int32)})
    data = mtgen.Dataset(table, {"features": mtgen.Rows(str(store))}, "y")
    base = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts anew, see proc(5)
    started = time.perf_counter()
    with mtgen.Loader(data, batch_size, memory=budget) as loader:
        typer.echo(f"  forecast: {loader.forecast}")
        for batch in loader.steps(0, steps):
            features = batch.inputs["features"]
            if not (features[:, 0] == batch.rows).all() or batch.step % 50 == 0:
                np.testing.assert_array_equal(features, values(batch.rows, num_columns))
        seconds = time.perf_counter() - started
        window = loader.forecast.window
    peak = memory("VmHWM")
    return {
        "store": store.name,
        "steps": steps,
        "base_bytes": base,
        "peak_bytes": peak,
        "grown_bytes": peak - base,
        "budget_bytes": budget,
        "of_budget": round((peak - base) / budget, 3),
        "whole_process_of_budget": round(peak / budget, 3),
        "window": window,
        "rows_per_second": round(steps * batch_size / seconds),
    }


def main(
    rows: Annotated[int, typer.Option(help="rows of the matrix")] = 5_000_000,
    columns: Annotated[int, typer.Option(help="float32 columns")] = 256,
    budget: Annotated[int, typer.Option(help="memory= of the loader, in bytes")] = 1 << 30,
    steps: Annotated[int, typer.Option(help="batches")] = 2_000,
    batch_size: Annotated[int, typer.Option(help="rows per batch")] = 64,
    chunk_rows: Annotated[int, typer.Option(help="rows per chunk of the bcolz folder")] = 256,
    kind: Annotated[str, typer.Option(help="bcolz or zarr")] = "bcolz",
    folder: Annotated[
        Path | None, typer.Option(help="where to keep the matrix; a temporary folder if left out")
    ] = None,
) -> None:
    """Make the matrix where it is not there yet, and measure."""
    with tempfile.TemporaryDirectory() as temporary:
        store = (folder or Path(temporary)) / f"features-{rows}x{columns}.{kind}"
        if not store.exists():
            if kind == "bcolz":
                write_bcolz(store, blocks(rows, columns), chunk_rows=chunk_rows, expected_rows=rows)
            else:
                write_zarr(store, rows, columns, 16)
        typer.echo(f"{store.name}: {sum(file.stat().st_size for file in store.rglob('*') if file.is_file()):,} bytes")
        found = measure(store, rows, columns, budget, steps, batch_size)
        typer.echo(json.dumps(found, indent=1))
        if int(str(found["grown_bytes"])) > SLACK * budget:
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
