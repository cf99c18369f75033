"""What `mtgen train --run` leaves, refuses and goes on with; test_kill.py kills it."""

from __future__ import annotations

import errno
import os
import signal
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from mtgen.errors import PlanError, StoreError
from mtgen.training.run import train
from mtgen.training.saving import save_model, saved_on_sigterm
from mtgen.training.settings import Fit, Run

FIT = Fit(epochs=1, batch_size=256, workers=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    folder = tmp_path_factory.mktemp("runs") / "one"
    return folder, train(fit=FIT, run=Run(run=folder), say=lambda line: None, bar=False)


def test_a_run_leaves_checkpoints_and_the_model(run: tuple[Path, Any]) -> None:
    folder, result = run
    names = [path.name for path in folder.iterdir()]
    assert {"checkpoints", "model.keras"} < set(names)
    assert not [name for name in names if name.startswith(".")]
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["checkpoint-0000000005"]
    model = keras.saving.load_model(folder / "model.keras")
    for found, expected in zip(model.weights, result.model.weights, strict=True):
        np.testing.assert_array_equal(found.numpy(), expected.numpy())


def test_another_run_in_the_folder_needs_resume(run: tuple[Path, Any]) -> None:
    before = (run[0] / "model.keras").stat().st_mtime_ns
    with pytest.raises(PlanError, match=r"saved after step 5. Continue it with --resume, or choose another folder"):
        train(fit=FIT, run=Run(run=run[0]))
    assert (run[0] / "model.keras").stat().st_mtime_ns == before


def test_a_finished_run_that_is_resumed_says_the_same_and_trains_nothing(run: tuple[Path, Any]) -> None:
    said: list[str] = []
    again = train(fit=FIT, run=Run(run=run[0], resume=True), say=said.append, bar=False)
    assert f"resumed after 5 steps (1 epochs) from {run[0]}/checkpoints/checkpoint-0000000005" in said
    assert (again.test, again.valid, again.num_rows) == (run[1].test, run[1].valid, 0)
    assert again.history["loss"] == run[1].history["loss"]


def test_settings_of_a_run_without_a_folder_are_refused() -> None:
    with pytest.raises(PlanError, match="--resume without --run"):
        train(run=Run(resume=True))
    with pytest.raises(PlanError, match="--checkpoint-steps without --run"):
        train(run=Run(checkpoint_steps=3))


@pytest.mark.parametrize("had_one", [False, True], ids=["where none was", "over an old one"])
@pytest.mark.parametrize("name", ["open", "fsync", "replace"])
def test_after_each_failing_call_the_old_model_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, had_one: bool
) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    path = tmp_path / "model.keras"
    if had_one:
        path.write_bytes(b"the old one")
    real, number = getattr(os, name), 0
    while True:
        number += 1
        calls = iter(range(1, 1000))

        def failing(*arguments: Any, number: int = number, calls: Any = calls, **options: Any) -> Any:
            # Only files of the run: Keras opens others.
            if (name == "fsync" or "model.keras" in str(arguments[0])) and next(calls) == number:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(os, name, failing)
            try:
                save_model(Run(run=tmp_path), model)
            except StoreError as error:
                assert "the model cannot be saved ([Errno 28] No space left on device)" in str(error)
                assert str(path) in str(error)
            else:
                break
        assert os.listdir(tmp_path) == (["model.keras"] if had_one else [])
        assert not had_one or path.read_bytes() == b"the old one"
    assert number > 1
    assert os.listdir(tmp_path) == ["model.keras"]
    keras.saving.load_model(path)


class Asked:
    def save_and_exit(self, number: int, frame: Any) -> None:
        self.number = number


def test_sigterm_is_asked_for_while_the_run_fits_and_in_the_main_thread_only() -> None:
    before, asked = signal.getsignal(signal.SIGTERM), Asked()
    with saved_on_sigterm(asked):
        signal.raise_signal(signal.SIGTERM)
    assert asked.number == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
    seen: list[Any] = []

    def other() -> None:
        with saved_on_sigterm(asked):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [before]
