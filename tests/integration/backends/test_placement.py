"""Values on the device of the backend that KERAS_BACKEND names: the bytes, the order and the weights of streaming."""

import itertools
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtgen
from mtgen.adapters import device
from mtgen.config import OnError, Placement, Prefetch
from mtgen.errors import ModelError, PlanError, StoreError
from mtgen.plan import Shard
from tests.support.samples import content, features, make_dataset, make_pictures, make_table
from tests.support.saved_runs import compiled_once  # noqa: F401  used by every test here
from tests.support.stores import MemoryStore

BACKEND = keras.backend.backend()
NUM_ROWS, BATCH = 23, 4
INPUTS = ["features", "shared", "plain", "columns", "image"]

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed, but will be ignored:UserWarning"),
]
has_device = pytest.mark.skipif(BACKEND == "tensorflow", reason="there is no device placement on tensorflow")


def held(inputs="device", **options):
    """Without a reserve: a machine that runs other tests has none to give."""
    return Placement(inputs=inputs, **{"reserve_bytes": 0, "say": lambda text: None, **options})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A train split with every kind of input."""
    pictures = make_pictures(tmp_path_factory.mktemp("pictures"), NUM_ROWS)
    train, _ = make_dataset(NUM_ROWS, pictures=pictures).split({"train": 20, "valid": 3}, seed=1)
    return train


def leaves(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
    for part in parts:
        yield from leaves(part) if isinstance(part, tuple | dict) else [part]


def as_seen(array):
    """What a model gets of an array, as bytes: the backend may keep fewer bits than NumPy has."""
    values = np.asarray(keras.ops.convert_to_numpy(keras.ops.convert_to_tensor(array)))
    return values.dtype.str, values.shape, values.tobytes()


def delivered(loader, num_batches):
    """What a trainer gets of the first batches of each of two passes."""
    x = loader.keras(steps_per_epoch=num_batches)
    return [[as_seen(leaf) for leaf in leaves(x[place])] for _ in range(2) for place in range(x.num_batches)]


SETTINGS = [
    {},
    {"shuffle": "blocks", "drop_last": True},
    {"shuffle": False, "num_workers": 0},
    {"shard": Shard(1, 2), "drop_last": True, "seed": 5},
    {"num_workers": 4, "prefetch": Prefetch(window=5, depth=6)},
    {"on_error": "mask"},
]


@has_device
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("inputs", ["device", {"features": "device", "image": "ram"}, {"image": "device"}], ids=str)
def test_a_trainer_gets_the_bytes_of_streaming(data, settings, inputs):
    found = []
    for placement in (Placement(), held(inputs)):
        with mtgen.Loader(data, BATCH, placement=placement, **settings) as loader:
            found.append(delivered(loader, 5))
    assert found[0] == found[1]


@has_device
@settings(max_examples=15)
@given(
    st.lists(st.sampled_from(INPUTS[:4]), unique=True, min_size=1),
    st.sampled_from(["exact", "blocks", False]),
    st.sampled_from([Shard(0, 1), Shard(0, 2), Shard(1, 2)]),
    st.sampled_from(["weighted", "balanced", None]),
    st.sampled_from([False, True]),
)
def test_the_bytes_of_streaming_whatever_is_on_the_device(inputs, shuffle, shard, law, drop_last):
    data = make_dataset(NUM_ROWS).take(range(1, 21))
    laws = {"weighted": data.rows.weighted("w"), "balanced": data.rows.balanced("label")}
    order = {"sampler": laws[law]} if law else {"shuffle": shuffle}
    found = []
    for placement in (Placement(), held(dict.fromkeys(inputs, "device"))):
        with mtgen.Loader(data, BATCH, shard=shard, drop_last=drop_last, placement=placement, **order) as loader:
            found.append(delivered(loader, 3))
    assert found[0] == found[1]


KINDS = {"int": (8, 16, 32, 64), "uint": (8, 16, 32, 64), "float": (16, 32, 64)}
DTYPES = ["bool", *(f"{kind}{bits}" for kind, sizes in KINDS.items() for bits in sizes)]


@has_device
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_what_streaming_makes_of_it(dtype):
    if (BACKEND, dtype) == ("torch", "uint64"):
        pytest.skip("Keras gives torch no uint64, streamed or not")
    values = (np.arange(40).reshape(10, 4) * 3.7 % 120).astype(dtype)
    data = mtgen.Dataset(pd.DataFrame({"y": range(10)}), {"x": mtgen.Rows(values)}, "y")
    found = []
    for placement in (Placement(), held()):
        with mtgen.Loader(data, 3, placement=placement) as loader:
            found.append(delivered(loader, 4))
            assert loader.batch(0).inputs["x"].dtype == dtype
    assert found[0] == found[1]


@pytest.mark.skipif(BACKEND != "jax", reason="only jax cuts integers to 32 bits")
def test_integers_that_would_be_cut_are_refused_at_the_upload():
    values = np.array([[1], [2**40], [3]])
    data = mtgen.Dataset(pd.DataFrame({"y": range(3)}), {"x": mtgen.Rows(values)}, "y")
    with mtgen.Loader(data, 1, placement=held()) as loader:
        with pytest.raises(ModelError, match=f"'x' holds integers from 1 to {2**40}, and the backend keeps 32 bits"):
            loader.keras()[0]
        assert loader.batch(0).inputs["x"].dtype == np.int64


@has_device
def test_numpy_batches_are_as_ever(data):
    with mtgen.Loader(data, BATCH) as plain, mtgen.Loader(data, BATCH, placement=held()) as loader:
        both = zip(plain.epoch(1), loader.epoch(1), strict=True)
        assert all(content(one) == content(other) for one, other in both)
        assert "not read yet" in str(loader.placement_plan)  # no trainer asked


# --- what crosses the bus ---------------------------------------------------------------------------------------------


@has_device
def test_what_was_taken_on_the_device_reaches_the_trainer_as_it_is(data):
    """Keras hands arrays of its backend on: the very object on jax, the same memory on torch."""
    from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter

    with mtgen.Loader(data, BATCH, placement=held({"image": "device"})) as loader:
        x = loader.keras()
        taken = []
        inner = x.structure.takes["image"]
        x.structure.takes["image"] = lambda places: taken.append(inner(places)) or taken[-1]
        adapter = PyDatasetAdapter(x)
        batches = adapter.get_jax_iterator() if BACKEND == "jax" else adapter.get_torch_dataloader()
        for number, batch in enumerate(batches):
            image = batch[0][INPUTS.index("image")]
            assert type(image) is type(taken[number])
            if BACKEND == "jax":
                assert image is taken[number]
            else:
                assert image.data_ptr() == taken[number].data_ptr()
        assert len(taken) == loader.steps_per_epoch


@pytest.mark.skipif(BACKEND != "jax", reason="torch has no guard of transfers")
def test_jax_moves_nothing_but_places(data):
    import jax

    inputs = dict.fromkeys(INPUTS, "device")
    total = jax.jit(lambda arrays: sum(array.astype("float32").sum() for array in arrays))
    with mtgen.Loader(data, BATCH, placement=held(inputs)) as loader, mtgen.Loader(data, BATCH) as streaming:
        x = loader.keras()
        first = x[0]  # uploads, compiles
        total(first[0])
        with jax.transfer_guard_host_to_device("disallow"):
            total(x[1][0])
            with pytest.raises(Exception, match="Disallowed host-to-device transfer"):
                total(streaming.keras()[0][0])
            values = loader._held._ready("device")[0].values
            with (
                pytest.raises(Exception, match="Disallowed host-to-device transfer"),
                jax.transfer_guard("disallow_explicit"),
            ):
                x[2]  # the places themselves
            assert not isinstance(values, np.ndarray)


@pytest.mark.skipif(BACKEND != "jax", reason="constants are a matter of jax")
def test_the_values_are_no_constant_of_what_is_compiled():
    one = device.find()
    values = one._zeros(100_000, mtgen.Columns("y").bind(pd.DataFrame({"y": [1]})).spec)
    lowered = one._take.lower(values, np.zeros(4, np.int32))
    assert len(lowered.as_text()) < 10_000
    assert "100000" in str(lowered.in_avals)


@has_device
def test_values_are_uploaded_once_for_all_feeds_threads_and_passes():
    store = MemoryStore(features(40), 4)
    said = []
    data = mtgen.Dataset(pd.DataFrame({"y": range(40)}), {"f": mtgen.Rows(store)}, "y")
    _ = data.digests
    store.reads.clear()
    with mtgen.Loader(data, BATCH, placement=held(say=said.append)) as loader:
        model = linear()
        for _ in range(2):
            model.fit(loader.keras(), epochs=2, verbose=0)
        model.evaluate(loader.keras(), verbose=0)
        loader.predict(model, verbose=0)
        assert set(store.reads.values()) == {1}
        assert len(said) == 1
        assert said[0].startswith("placement: f uploaded, 492 bytes on ")
        loader.close()
        assert "not read yet" in str(loader.placement_plan)
        model.fit(loader.keras(), verbose=0)
        assert set(store.reads.values()) == {2}
        assert len(said) == 2


# --- training ---------------------------------------------------------------------------------------------------------


def linear(units=1):
    keras.utils.set_random_seed(3)
    f = keras.Input((3,), name="f")
    model = keras.Model(f, keras.layers.Dense(units)(keras.layers.Dense(4, activation="relu")(f)))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    return model


def merged(names=("features", "image")):
    keras.utils.set_random_seed(3)
    shapes = {"features": ((3,), "float32"), "image": ((4, 4, 3), "uint8"), "columns": ((2,), "float32")}
    inputs = {name: keras.Input(shapes[name][0], dtype=shapes[name][1], name=name) for name in names}
    flat = [keras.layers.Flatten()(keras.layers.Rescaling(1 / 255.0)(one)) for one in inputs.values()]
    joined = keras.layers.Dropout(0.2, seed=1)(
        keras.layers.Dense(5, activation="relu")(keras.layers.Concatenate()(flat))
    )
    model = keras.Model(list(inputs.values()), keras.layers.Dense(3, activation="softmax", name="label")(joined))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    return model


def weights(model):
    return [np.asarray(keras.ops.convert_to_numpy(weight)).tobytes() for weight in model.weights]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    pictures = make_pictures(tmp_path_factory.mktemp("small"), NUM_ROWS)
    inputs = {
        "features": mtgen.Rows(MemoryStore(features(2 * NUM_ROWS) / 100, 7)),
        "image": mtgen.Images("path", root=pictures, size=(4, 4)),
    }
    return mtgen.Dataset(make_table(NUM_ROWS), inputs, "label", weight="w")


PLACED = [{"features": "device"}, {"image": "device", "features": "ram"}, "device"]


def fitted(small, placement):
    """Weights, logs, scores and predictions of a fit, with rests that fill no batch."""
    train, valid = small.split({"train": 17, "valid": 6}, seed=2)
    with (
        mtgen.Loader(train, BATCH, seed=4, placement=placement) as loader,
        mtgen.Loader(valid, 3, shuffle=False, placement=placement) as other,
    ):
        model = merged()
        logs = model.fit(loader.keras(model), epochs=3, validation_data=other.keras(model), verbose=0).history
        score = model.evaluate(other.keras(model), verbose=0)
        return weights(model), logs, score, other.predict(model, verbose=0).to_csv()


@pytest.fixture(scope="module")
def streamed(small):
    return fitted(small, Placement())


@has_device
@pytest.mark.parametrize("inputs", PLACED, ids=str)
def test_fit_evaluate_and_predict_come_to_the_same_bits(small, streamed, inputs):
    assert fitted(small, held(inputs)) == streamed


def test_in_memory_everything_comes_to_the_same_bits(small, streamed):
    assert fitted(small, held("ram")) == streamed


@has_device
@pytest.mark.parametrize("places", [*itertools.permutations(["stream", "ram", "device"], 2)], ids=str)
def test_a_run_goes_on_wherever_the_values_are(small, places, tmp_path):
    """Saved with one placement and resumed with the other: the weights of a run that was never interrupted."""
    with mtgen.Loader(small, BATCH, seed=4) as loader:
        whole = merged()
        whole.fit(loader.keras(whole), epochs=4, verbose=0)
    sizes = []
    for place, epochs in zip(places, (2, 4), strict=True):
        with mtgen.Loader(small, BATCH, seed=4, placement=held(place)) as loader:
            model = merged()
            x = loader.keras(model)
            saver = loader.checkpoint(x, tmp_path, every_steps=3, say=lambda text: None)
            model.fit(x, epochs=epochs, verbose=0, callbacks=[saver])
            sizes.append(len(model.variables))
    assert weights(model) == weights(whole)
    assert sizes[0] == sizes[1] == len(whole.variables)


@has_device
def test_no_value_gets_into_a_checkpoint_a_copy_or_a_model(tmp_path):
    values = np.random.default_rng(0).normal(size=(20_000, 3)).astype("float32")
    table = pd.DataFrame({"y": np.zeros(20_000)})
    data = mtgen.Dataset(table, {"f": mtgen.Rows(MemoryStore(values, 1_000))}, "y")
    _ = data.digests  # which are kept
    with mtgen.Loader(data, 5_000, placement=held(say=print)) as loader:
        before = len(pickle.dumps(loader))
        model = linear()
        x = loader.keras(model)
        model.fit(x, verbose=0, callbacks=[loader.checkpoint(x, tmp_path / "run", say=lambda text: None)])
        assert "not read yet" not in str(loader.placement_plan)
        assert abs(len(pickle.dumps(loader)) - before) < 100
        model.save(tmp_path / "model.keras")
        written = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
        assert len(written) > 2
        assert sum(written) < values.nbytes
        assert loader.state(3) == mtgen.Loader(data, 5_000).state(3)


@has_device
@pytest.mark.parametrize("policy", ["raise", "refill", "mask"])
def test_bad_rows_end_as_in_streaming(policy):
    def outcome(placement):
        store = MemoryStore(features(30), 4)
        data = mtgen.Dataset(
            pd.DataFrame({"y": np.arange(30)}), {"ok": mtgen.Columns("y"), "f": mtgen.Rows(store)}, "y"
        )
        store.bad_chunks = {1, 3}
        seen = []
        with mtgen.Loader(
            data, 4, seed=3, on_error=OnError(policy=policy, max_errors=0.9), placement=placement
        ) as loader:
            x = loader.keras()
            for place in range(len(x)):
                try:
                    seen.append([as_seen(leaf) for leaf in leaves(x[place])])
                except StoreError as error:
                    seen.append((str(error), error.row, error.step))
            return seen, loader.quarantine().to_csv(), loader.stats().num_bad_rows

    streamed, placed = outcome(Placement()), outcome(held({"f": "device"}))
    assert streamed == placed
    assert streamed[2] > 0


# --- budgets ----------------------------------------------------------------------------------------------------------


@has_device
def test_what_does_not_fit_is_refused_before_anything_is_read():
    store = MemoryStore(features(40), 4)
    data = mtgen.Dataset(pd.DataFrame({"y": range(40)}), {"f": mtgen.Rows(store)}, "y")
    _ = data.digests
    store.reads.clear()
    with mtgen.Loader(data, BATCH, placement=held(reserve_bytes=10**15)) as loader:
        with pytest.raises(PlanError, match=r"do not fit on the device, .* bytes are missing:\nf: on the device"):
            loader.keras()[0]
        assert not store.reads
        assert loader.batch(0).step == 0  # which needs no device


@has_device
def test_the_plan_says_what_is_where(data):
    with mtgen.Loader(data, BATCH, placement=held({"features": "device", "image": "ram"})) as loader:
        before = loader.placement_plan
        loader.keras()[0]
        after = loader.placement_plan
    assert before.device.free_bytes > before.reserve == 0
    assert (before.upload_bytes, after.upload_bytes) == (21 * 12, 0)
    assert before.device_bytes == after.device_bytes == 21 * 12
    assert before.ram_bytes == 21 * 48
    lines = str(after).splitlines()
    assert lines[0] == "features: on the device, 20 rows and one of zeros x 12 bytes = 252 bytes"
    assert lines[1:4] == ["shared: streamed", "plain: streamed", "columns: columns of the table, in memory"]
    assert lines[4] == "image: in memory, 20 rows and one of zeros x 48 bytes = 1,008 bytes"
    assert lines[5] == "memory: 1,008 bytes of the loader's memory="
    assert "0 bytes to upload, 252 there, " in lines[6]


@has_device
def test_bytes_on_the_device_are_those_of_the_backend():
    """jax keeps 32 of 64 bits."""
    data = mtgen.Dataset(pd.DataFrame({"y": range(5)}), {"x": mtgen.Rows(np.zeros((5, 2)))}, "y")
    with mtgen.Loader(data, 2, placement=held()) as loader:
        tensor = keras.ops.convert_to_tensor(np.zeros((6, 2)))
        assert loader.placement_plan.device_bytes == np.asarray(keras.ops.convert_to_numpy(tensor)).nbytes


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the others have a device")
def test_tensorflow_is_told_what_to_write(data):
    text = (
        'placement="device" is for the jax and torch backends, and Keras runs on tensorflow, .* Write placement="ram"'
    )
    with mtgen.Loader(data, BATCH, placement=held({"features": "device"})) as loader:
        for ask in (loader.keras, lambda: loader.placement_plan, lambda: loader.predict(linear())):
            with pytest.raises(PlanError, match=text):
                ask()
        assert loader.batch(0).step == 0
