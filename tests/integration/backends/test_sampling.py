"""Laws over rows and places through `fit`, on the backend that KERAS_BACKEND names: what the model was trained on."""

import keras
import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.errors import StateError
from mtgen.plan import Shard
from tests.support.points import telling
from tests.support.saved_runs import (
    Recorder,
    Setup,
    check_same,
    compiled_once,  # noqa: F401  used by every test here
    dataset,
    only,
    value_of,
)

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)

EPOCHS = 2


def laws(data):
    """Laws over 18 rows, with whole batches of 4."""
    rows = data.rows
    return {
        "weighted": rows.weighted("row", limit=20),
        "without replacement": rows.weighted("row", replace=False, limit=16),
        "mixture": (0.5 & rows.where("y = 0") | 0.5 & rows.weighted("row")).sized(20),
    }


@pytest.mark.parametrize("name", laws(dataset()))
def test_fit_trains_on_the_plan_and_a_saved_run_goes_on(tmp_path, name):
    data = dataset()
    law = laws(data)[name]
    setup = Setup(loader={"data": data, "sampler": law}, valid=False)
    whole = setup.run(tmp_path / "whole", keep=100)
    plans = [law.plan(seed=1, epoch=epoch, batch_size=4)[:].tolist() for epoch in range(EPOCHS)]
    assert setup.model.recorder.rows() == plans[0] + plans[1]
    if name == "mixture":
        trained = np.array(setup.model.recorder.rows()).reshape(-1, 4)
        assert ((trained % 3 == 0).sum(axis=1) >= 2).all()
    folder = tmp_path / "rest"
    folder.mkdir()
    check_same(setup.run(only(tmp_path / "whole", 6, folder)), whole)
    assert setup.said[-1].startswith("resumed after 6 steps")


def test_a_saved_run_of_another_law_is_refused(tmp_path):
    data = dataset()
    found = laws(data)
    Setup(loader={"data": data, "sampler": found["weighted"]}, valid=False).run(tmp_path, epochs=1)
    with pytest.raises(StateError, match="setting 'sampler' was"):
        Setup(loader={"data": data, "sampler": found["mixture"]}, valid=False).run(tmp_path)


def test_a_weighted_run_of_two_shards_is_finished_by_one(tmp_path):
    """Shard 0 of 2 is killed after its third step; one process goes on with the positions that neither had."""
    data = dataset()
    law = data.rows.weighted("row", limit=48)
    options = {"data": data, "sampler": law}
    shards = [Setup(loader={**options, "shard": Shard(index, 2)}, valid=False) for index in range(2)]
    taken = []
    for index, setup in enumerate(shards):
        setup.run(tmp_path / f"{index}", epochs=1, keep=100)
        taken += setup.model.recorder.rows()[: 3 * 4]
    one = Setup(loader=options, valid=False)
    folder = tmp_path / "one"
    folder.mkdir()
    one.run(only(tmp_path / "0", 3, folder), epochs=1)
    rest = one.model.recorder.rows()[3 * 4 :]  # what shard 0 had is in the model that was restored
    assert sorted(taken + rest) == sorted(law.plan(seed=1)[:].tolist())


def test_balanced_epochs_are_as_long_as_the_law_says():
    labels = np.random.default_rng(2).permutation(np.repeat([0, 1, 2], [90, 9, 3]))
    table = pd.DataFrame({"row": np.arange(102), "y": labels})
    features = np.zeros((102, 5), "float32")
    data = mtgen.Dataset(table, {"row": mtgen.Columns("row"), "a": mtgen.Rows(features)}, targets="y")
    law = data.rows.balanced("y", over=1, under=1)
    setup = Setup(loader={"data": data, "sampler": law, "batch_size": 16}, valid=False, epochs=1)
    setup.run(None)
    rows = setup.model.recorder.rows()
    assert setup.source.steps_per_epoch == 7
    assert len(rows) == law.epoch_size == 102
    assert np.bincount(labels[rows]).tolist() == [34, 34, 34]
    assert rows == law.plan(seed=1)[:].tolist()


def test_patches_at_points_of_the_rows_through_fit():
    """`rows @ points`: the model writes down the first voxel of each patch, which tells its cube and its place."""
    cubes = [telling(9, 8, 7, dtype="float32") + 1000 * number for number in range(3)]
    store = np.stack(cubes)
    table = pd.DataFrame({"n": range(3), "y": [0.0, 1.0, 2.0]})
    patches = mtgen.Patches(mtgen.Rows(store), None, (4, 3, 2))
    data = mtgen.Dataset(table, {"patch": patches}, targets="y")
    near = lambda row: S.uniform(0, [0.5, 1, 1 / (1 + row)], dim=3).crop((4, 3, 2))  # noqa: E731
    law = (data.rows.weighted([1, 2, 5], limit=8) @ near).times(3)
    box, recorder = keras.Input((4, 3, 2), name="patch"), Recorder()
    flat = keras.layers.Flatten()(box)
    first = keras.layers.Dense(1, use_bias=False, trainable=False, name="first")
    model = keras.Model(box, keras.layers.Dense(1)(keras.layers.Concatenate()([recorder(first(flat)), flat * 1e-4])))
    first.set_weights([np.eye(24, 1, dtype="float32")])
    model.compile("sgd", "mse")
    with mtgen.Loader(data, 4, sampler=law, seed=2, num_workers=2) as loader:
        loader.check(model)
        history = model.fit(loader.keras(model), epochs=2, verbose=0).history
        places = np.concatenate([loader.places(step)["patch"] for step in range(12)])
        rows = np.concatenate([loader.rows(step) for step in range(12)])
    assert np.bincount(rows).tolist() == [6, 12, 30]
    assert (rows.reshape(-1, 3) == rows[::3, None]).all()
    seen = recorder.rows()
    assert seen == [int(store[row, *start]) for row, start in zip(rows, places, strict=True)]
    assert len(set(seen)) > 20
    assert np.isfinite(history["loss"]).all()


def test_importance_of_a_law_gives_the_loss_of_all_rows_again():
    features = np.random.default_rng(1).normal(size=(10, 4)).astype("float32")
    table = pd.DataFrame({"w": [1, 4, 2, 1, 1, 5, 2, 1, 2, 1], "y": np.linspace(-2, 2, 10, dtype="float32")})
    data = mtgen.Dataset(table, {"x": mtgen.Rows(features)}, targets="y")
    keras.utils.set_random_seed(1)
    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    losses = (value_of(model.layers[-1].kernel).T @ features.T - table["y"].to_numpy())[0] ** 2
    law = data.rows.weighted("w").sized(20)  # whole copies of each row
    found = []
    for source in (data.with_weight(law.importance()), data):
        with mtgen.Loader(source, 4, sampler=law, num_workers=0) as loader:
            found.append(model.fit(loader.keras(model), epochs=1, verbose=0).history["loss"][0])
    assert found[0] == pytest.approx(losses.mean(), rel=1e-5)
    assert found[1] == pytest.approx(np.average(losses, weights=table["w"]), rel=1e-5)
    assert abs(found[0] - found[1]) > 1e-3
