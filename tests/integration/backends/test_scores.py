"""Scores of a test split: counted, kept in a file that survives kills, and cut where training goes back."""

from __future__ import annotations

import errno
import math
import os
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import ModelError, PlanError, StateError, StoreError
from mtgen.training import TestScores
from mtgen.training.score_file import ScoreFile, decode, encode


def dataset(num_rows: int = 11) -> mtgen.Dataset:
    a = np.arange(num_rows, dtype="float32")
    return mtgen.Dataset(pd.DataFrame({"a": a, "y": 2 * a}), {"a": mtgen.Columns("a")}, targets="y")


def model(*metrics: str, weight: float = 1.0) -> Any:
    a = keras.Input((1,), name="a")
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer=keras.initializers.Constant(weight))
    made = keras.Model(a, dense(a))
    made.compile("sgd", "mse", metrics=list(metrics))
    return made


def test_the_whole_split_is_scored_and_counted(tmp_path: Path) -> None:
    _, test = dataset().split({"train": 4, "test": 7}, sealed="test")
    path = tmp_path / "run" / "test_scores.csv"
    scores = TestScores(test, batch_size=3, path=path)
    assert not path.exists()
    a = test.open().table["a"].iloc[test.open().rows].to_numpy()
    found = scores.score(model("mae"), step=40, why="after training")
    assert found == {"loss": pytest.approx(np.mean(a**2)), "mae": pytest.approx(np.mean(a))}
    scores.score(model("mae", weight=2.0), step=41, why="once, more")
    assert (scores.num_scores, scores.path) == (2, path)
    lines = path.read_text().splitlines()
    loss, mae = (scores.scores[0].values[name] for name in ("loss", "mae"))
    assert lines == [
        "step,why,num_rows,loss,mae",
        f"40,after training,7,{loss!r},{mae!r}",
        '41,"once, more",7,0.0,0.0',
    ]
    again = TestScores(test.open(), batch_size=3, path=path)
    assert again.scores == scores.scores


def test_a_masked_row_does_not_count(tmp_path: Path) -> None:
    from PIL import Image

    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (2, 2), 255).save(tmp_path / name)
    (tmp_path / "b.png").write_bytes(b"no picture")
    table = pd.DataFrame({"file": ["a.png", "b.png", "c.png"], "y": [0.0, 0.0, 0.0]})
    pictures = mtgen.Images("file", root=tmp_path, size=(2, 2), color="grayscale")
    data = mtgen.Dataset(table, {"image": pictures}, targets="y")
    image = keras.Input((2, 2, 1), name="image")
    net = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    net.compile("sgd", "mae")
    masked = TestScores(data, batch_size=2, on_error=mtgen.OnError(policy="mask", max_errors=3))
    masked.score(net, step=0, why="mask")
    assert masked.scores[0].num_rows == 2
    with pytest.raises(Exception, match=r"b\.png"):  # tensorflow keeps the text alone
        TestScores(data, batch_size=2).score(net, step=0, why="raise")


def test_nothing_of_the_model_changes() -> None:
    class Draws(keras.layers.Layer):
        """Draws and counts whenever it is called."""

        def __init__(self) -> None:
            super().__init__()
            self.seed = keras.random.SeedGenerator(5)

        def build(self, shape: Any) -> None:
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, x: Any) -> Any:
            self.count.assign(self.count + 1)
            return x + keras.random.normal(keras.ops.shape(x), seed=self.seed)

    a = keras.Input((1,), name="a")
    net = keras.Model(a, keras.layers.Dense(1)(Draws()(a)))
    net.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    net.fit(mtgen.Loader(dataset(), 4).keras(net), epochs=1, verbose=0, shuffle=False)

    def values() -> list[Any]:
        found = [*net.variables, *net.optimizer.variables, *net.metrics_variables]
        return [np.asarray(keras.ops.convert_to_numpy(one.value)) for one in found]

    before, stop = values(), net.stop_training
    for step in range(2):
        TestScores(dataset(), batch_size=4).score(net, step=step, why="look")
    assert len(before) > 8
    for value, other in zip(before, values(), strict=True):
        np.testing.assert_array_equal(value, other)
    assert net.stop_training is stop


def test_a_score_before_any_training_leaves_metrics_that_begin_at_nothing() -> None:
    net = model("mae")
    TestScores(dataset(), batch_size=4).score(net, step=0, why="before training")
    sums = [float(keras.ops.convert_to_numpy(one.value).sum()) for one in net.metrics_variables]
    assert sums
    assert set(sums) == {0.0}


def test_nan_is_kept() -> None:
    scores = TestScores(dataset(), batch_size=4)
    assert math.isnan(scores.score(model(weight=math.nan), step=1, why="nan")["loss"])
    assert math.isnan(decode(encode(scores.scores))[0].values["loss"])


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["open", "write", "fsync", "ftruncate"])
def test_a_file_that_cannot_be_written_keeps_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    scores = TestScores(dataset(), batch_size=4, path=tmp_path / "scores.csv")
    scores.score(model(), step=4, why="first")
    scores.score(model(), step=8, why="second")
    content = (tmp_path / "scores.csv").read_bytes()
    with monkeypatch.context() as patch:
        real = getattr(os, name)

        def fail(target: Any, *rest: Any, **options: Any) -> Any:
            if name == "open" and "scores.csv" not in str(target):
                return real(target, *rest, **options)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, name, fail)
        change = partial(scores.go_back, 4) if name == "ftruncate" else partial(scores.score, model(), step=12, why="3")
        with pytest.raises(StoreError, match=r"the file of scores cannot be written .*No space left.*scores\.csv"):
            change()
    assert scores.num_scores == 2
    assert (tmp_path / "scores.csv").read_bytes() == content
    scores.score(model(), step=12, why="third")
    assert [one.step for one in decode((tmp_path / "scores.csv").read_bytes())] == [4, 8, 12]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("row,label\n", r"begins with step,why,num_rows, this one with \['row', 'label'\]"),
        ("step,why,num_rows,loss\n1,a,2\n", "score 1 has 3 fields, the header 4"),
        ("step,why,num_rows,loss\n1,a,2,x\n", "this is no score of a test split"),
        ('step,why,num_rows,loss\n1,"a,2,x\n', "this is no file of scores"),
        (b"\xff\n", "this is no file of scores"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: str | bytes, text: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(StateError, match=text) as caught:
        TestScores(dataset(), batch_size=4, path=path)
    assert str(path) in str(caught.value)


# --- state ------------------------------------------------------------------------------------------------------------


def test_going_back_cuts_list_and_file_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    scores = TestScores(dataset(), batch_size=4, path=path)
    for step in (4, 8, 12):
        scores.score(model(), step=step, why="look")
    assert scores.go_back(12) is None
    assert scores.go_back(8) == f"1 scores of later steps in {path} were left out: training begins at step 8"
    assert [one.step for one in scores.scores] == [one.step for one in ScoreFile(path).read()] == [4, 8]
    assert scores.go_back(0) == f"2 scores of later steps in {path} were left out: training begins at step 0"
    assert not path.exists()


def test_a_restored_state_decides_what_counts(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    scores = TestScores(dataset(), batch_size=4, path=path)
    scores.score(model(), step=4, why="look")
    state, content = scores.state(), path.read_bytes()
    scores.score(model(), step=8, why="lost with the process")
    again = TestScores(dataset(), batch_size=4, path=path)
    assert again.num_scores == 2
    again.restore(state)
    assert again.state() == state
    assert path.read_bytes() == content
    path.unlink()
    again.restore(state)
    assert path.read_bytes() == content


def test_a_state_of_another_split_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    state = TestScores(dataset(), batch_size=4).state()
    scores = TestScores(dataset().take(range(9)), batch_size=4, path=tmp_path / "scores.csv")
    scores.score(model(), step=4, why="look")
    with pytest.raises(StateError, match=r"scored on another test split. Differing: dataset part 'rows' was"):
        scores.restore(state)
    for wrong in (None, 3, {}, {"dataset": {}, "scores": 3}, {"dataset": {}, "scores": [{"step": 1}]}):
        with pytest.raises(StateError, match=r"not the state of TestScores|no score of a test split"):
            scores.restore(wrong)
    assert scores.num_scores == 1


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_wrong_use_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"test must be the test split, a mtgen.Dataset or mtgen.Sealed, received 3"):
        TestScores(3, batch_size=2)  # type: ignore[arg-type]
    for options in ({"batch_size": 0}, {"batch_size": 2, "num_workers": -1}, {"batch_size": 2, "on_error": "skip"}):
        with pytest.raises(PlanError):
            TestScores(dataset(), **options)  # type: ignore[arg-type]
    scores = TestScores(dataset(), batch_size=4, path=tmp_path / "scores.csv")
    with pytest.raises(ModelError, match="a compiled Keras model, received object"):
        scores.score(object(), step=0, why="look")
    for why in ("two\nlines", 3):
        with pytest.raises(PlanError, match="why must be a reason in one line"):
            scores.score(model(), step=0, why=why)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="step must be an integer >= 0"):
        scores.score(model(), step=-1, why="look")
    scores.score(model("mae"), step=0, why="look")
    with pytest.raises(ModelError, match=r"are of \['loss', 'mae'\], and this model gives \['loss'\]"):
        scores.score(model(), step=0, why="look")
    assert scores.num_scores == 1
