"""Stores on a server that stumbles: asked again after 5xx, an error when it stays down, never wrong rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import OnError
from mtgen.errors import StoreError
from mtgen.stores import zarr as zarr_store
from tests.support.server import Server, serving

zarr = pytest.importorskip("zarr")

NUM_ROWS = 24
VALUES = np.arange(NUM_ROWS * 3, dtype="float32").reshape(NUM_ROWS, 3) + 1


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    quick = {"max_retries": 3, "initial_delay": "1ms", "max_delay": "2ms"}
    monkeypatch.setitem(zarr_store.CONTEXT, "http_request_retries", quick)
    array = zarr.create_array(str(tmp_path / "x.zarr"), shape=VALUES.shape, chunks=(4, 3), dtype="float32")
    array[:] = VALUES
    with serving(tmp_path) as running:
        yield running


def make(server: Server, **options: object) -> mtgen.Loader:
    table = pd.DataFrame({"y": range(NUM_ROWS)})
    data = mtgen.Dataset(table, {"f": mtgen.Rows(f"{server.address}/x.zarr")}, "y")
    return mtgen.Loader(data, 8, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_stumbles_is_asked_again_and_every_row_is_right(server: Server, status: int) -> None:
    with make(server) as loader:
        server.requests.clear()
        server.status = lambda path, number: status if number <= 2 and "/c/" in path else None
        for batch in loader.epoch(0):
            np.testing.assert_array_equal(batch.inputs["f"], VALUES[batch.rows])
        assert all(number >= 3 for path, number in server.requests.items() if "/c/" in path)
        assert loader.stats().num_bad_rows == 0


def test_a_chunk_that_stays_away_is_an_error_of_its_own_rows(server: Server) -> None:
    with make(server, shuffle=False) as loader:
        server.status = lambda path, number: 503 if path.endswith("/c/2/0") else None
        np.testing.assert_array_equal(loader.batch(0).inputs["f"], VALUES[:8])
        with pytest.raises(StoreError, match=r"503.*\[step 1, row 8, path http"):
            loader.batch(1)
        np.testing.assert_array_equal(loader.batch(2).inputs["f"], VALUES[16:])


def test_refill_goes_on_over_a_chunk_that_stays_away(server: Server) -> None:
    with make(server, on_error=OnError(policy="refill", max_errors=4, retry_seconds=0)) as loader:
        server.status = lambda path, number: 503 if path.endswith("/c/2/0") else None
        for batch in loader.epoch(0):
            np.testing.assert_array_equal(batch.inputs["f"], VALUES[batch.rows])
        assert sorted(loader.quarantine()["row"]) == [8, 9, 10, 11]


def test_a_status_that_means_no_is_not_asked_for_again(server: Server) -> None:
    with make(server, shuffle=False) as loader:
        server.requests.clear()
        server.status = lambda path, number: 403 if path.endswith("/c/0/0") else None
        with pytest.raises(StoreError, match="403"):
            loader.batch(0)
        assert server.requests["/x.zarr/c/0/0"] <= 3  # the window, then the chunk alone; no retries
        assert loader.stats().num_retries == 0
