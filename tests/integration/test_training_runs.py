"""`mtgen train` with a folder for the run and with pictures that cannot be read."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import BudgetError, DecodeError, PlanError, StateError, StoreError
from mtgen.order_check import audit_run
from mtgen.stores.bcolz_writer import write_bcolz
from mtgen.training.run import Result, train
from mtgen.training.settings import Fit, Run, Samples

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS, DAMAGED = 300, [3, 50, 77, 200, 299]


@pytest.fixture
def damaged(digits: Path, tmp_path: Path) -> Samples:
    """Some of the digits, five of their pictures cut off, the split by row so that each part has one at least."""
    table = pd.read_csv(digits / "table.csv").head(NUM_ROWS)
    table["part"] = ["train"] * 190 + ["valid"] * 60 + ["test"] * 50
    for path in table["imgpath"]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(digits / path, tmp_path / path)
    for row in DAMAGED:
        with (tmp_path / table["imgpath"][row]).open("r+b") as file:
            file.truncate(40)
    table.to_csv(tmp_path / "table.csv")
    return Samples(
        table=tmp_path / "table.csv", image_column="imgpath", image_root=tmp_path, size=(4, 8), split_by="part"
    )


def read_all(store: Any) -> np.ndarray:
    out = np.empty((store.num_rows, *store.row_shape), store.dtype)
    store.read_rows(np.arange(store.num_rows), out)
    return out


def trained(samples: Samples, run: Run, said: list[str], **fit: object) -> Result:
    settings: dict[str, object] = {"epochs": 1, "batch_size": 50, **fit}
    return train(samples, Fit(**settings), run, say=said.append, bar=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_bad_pictures_are_put_up_with_said_and_listed(damaged: Samples, policy: str, tmp_path: Path) -> None:
    said: list[str] = []
    result = trained(damaged, Run(run=tmp_path / "run"), said, on_error=policy, max_errors=3)
    assert result.num_rows == 190
    (line,) = [one for one in said if one.startswith("rows that could not be read")]
    assert line.startswith("rows that could not be read: 3 of train, 1 of valid, 1 of test; they got ")
    assert line.endswith(f"; {tmp_path / 'run' / 'bad_rows.csv'} lists them")
    listed = pd.read_csv(tmp_path / "run" / "bad_rows.csv")
    assert sorted(listed["row"]) == DAMAGED
    report = audit_run(tmp_path / "run")
    assert report.ok, str(report)


def test_bad_pictures_stop_the_run_by_default_and_beyond_the_budget(damaged: Samples) -> None:
    with pytest.raises(DecodeError, match=r"\[step \d, row (3|50|77), path .*png\]"):
        trained(damaged, Run(), [])
    with pytest.raises(BudgetError, match=r"3 rows could not be read, max_errors=2 allows 2 of 190"):
        trained(damaged, Run(), [], on_error="mask", max_errors=2)


def test_a_memory_that_cannot_work_is_refused_before_training() -> None:
    with pytest.raises(PlanError, match=r"memory=10,000 bytes is too little: .* batches x"):
        trained(Samples(), Run(), [], memory=10_000)


def test_shares_and_numbers_of_bad_rows() -> None:
    assert Fit(max_errors=0.5).error_policy.max_errors == 0.5
    assert Fit(max_errors=2).error_policy.max_errors == 2
    with pytest.raises(PlanError, match=r"share of all rows from 0 to below 1, received 1\.5"):
        Fit(max_errors=1.5)


def test_the_log_of_a_run_and_of_its_continuation_is_one(tmp_path: Path) -> None:
    run = Run(run=tmp_path / "run", resume=True)
    samples = Samples()
    trained(samples, run, [], epochs=1)
    said: list[str] = []
    trained(samples, run, said, epochs=1)
    report = audit_run(tmp_path / "run")
    assert report.ok, str(report)
    assert [one.epoch for one in report.epochs] == [0]


def test_a_damaged_chunk_of_features_stopped_a_run_before_it_began(
    damaged: Samples, digits: Path, tmp_path: Path
) -> None:
    """Scalings are measured on rows that `on_error` knew nothing of."""
    shutil.copytree(digits / "features.bcolz", tmp_path / "features.bcolz")
    store = mtgen.open_store(tmp_path / "features.bcolz")
    write_bcolz(tmp_path / "some.bcolz", read_all(store)[:NUM_ROWS], chunk_rows=10)
    chunk = tmp_path / "some.bcolz" / "data" / "__5.blp"
    chunk.write_bytes(chunk.read_bytes()[:30])
    samples = replace(damaged, image_column=None, image_root=None, size=None, features=str(tmp_path / "some.bcolz"))
    said: list[str] = []
    trained(samples, Run(), said, on_error="mask", max_errors=10)
    assert "rows that could not be read: 10 of train; they got no weight" in said
    with pytest.raises(StoreError, match=r"__5\.blp"):
        trained(samples, Run(), [])


def test_more_epochs_than_the_run_began_with_are_refused_and_say_why(tmp_path: Path) -> None:
    run = Run(run=tmp_path / "run", resume=True)
    trained(Samples(), run, [], batch_size=400)
    with pytest.raises(StateError, match="falls over all epochs: give the --epochs, --batch-size and"):
        trained(Samples(), run, [], batch_size=400, epochs=2)
