"""The generator of 2017: its batches, its threads, its refusals. Training with it is tested in `tests/integration`."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import threading
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.adapters.pulled import PulledFeed, as_batch
from mtgen.compat import BatchGenerator, _scaled, fit_generator, generator_from_df
from mtgen.errors import AlignmentError, DecodeError, MtgenError, PlanError, StoreError, TableError
from tests.support.stores import Gate, MemoryStore

NUM_ROWS = 26
BATCH = 4
STEPS = 6  # two rows of each epoch fill no batch
PATIENCE = 60.0
"""Seconds after which a thread that never came back fails the test."""

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures 0.png, 1.png, ... of one colour: red is the row."""
    made = tmp_path_factory.mktemp("pictures")
    for row in range(NUM_ROWS):
        Image.new("RGB", (5, 3), (row, 100, 200)).save(made / f"{row}.png")
    return made


@pytest.fixture
def table(folder: Path) -> pd.DataFrame:
    rows = range(NUM_ROWS)
    return pd.DataFrame({"imgpath": [str(folder / f"{row}.png") for row in rows], "target": list(rows)})


@pytest.fixture
def made() -> Iterator[Callable[..., BatchGenerator]]:
    """Makes generators and closes them in the end."""
    generators: list[BatchGenerator] = []

    def make(df: pd.DataFrame, batch_size: int = BATCH, **options: Any) -> BatchGenerator:
        generators.append(generator_from_df(df, batch_size, (3, 5), **{"num_workers": 2, **options}))
        return generators[-1]

    yield make
    for generator in generators:
        generator.close()


def encoded(num_rows: int = NUM_ROWS, width: int = 3) -> np.ndarray:
    """The features of the 2017 demo: row k is k plus noise below 1."""
    return np.arange(num_rows)[:, None] + np.random.default_rng(0).random((num_rows, width))


def red(x: np.ndarray) -> list[int]:
    """The row that each picture of a batch shows."""
    return np.rint((x[:, 0, 0, 0] / 2 + 0.5) * 255).astype(int).tolist()


# --- the batches ------------------------------------------------------------------------------------------------------


def test_the_signature_begins_as_in_2017() -> None:
    parameters = list(inspect.signature(generator_from_df).parameters.values())
    assert [one.name for one in parameters[:5]] == ["df", "batch_size", "target_size", "features", "debug_merged"]
    assert [one.default for one in parameters[3:5]] == [None, False]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in parameters[5:])


def test_fit_generator_has_the_signature_of_keras_2() -> None:
    signature = "(model, generator, steps_per_epoch=None, epochs=1, verbose='auto', callbacks=None, "
    signature += "validation_data=None, validation_steps=None, class_weight=None, max_queue_size=10, workers=1, "
    signature += "use_multiprocessing=False, shuffle=True, initial_epoch=0)"
    parameters = inspect.signature(fit_generator).parameters.values()
    bare = inspect.Signature([one.replace(annotation=inspect.Parameter.empty) for one in parameters])
    assert str(bare) == signature


def test_pixels_are_the_formula_bit_for_bit() -> None:
    values = np.arange(256, dtype=np.uint8)
    formula = 2 * (values.astype(np.float32) / 255.0 - 0.5)  # img_to_array gives float32
    assert formula.dtype == np.float32
    assert _scaled(values).tobytes() == formula.tobytes()


def test_a_factor_and_an_offset_would_not_give_the_same_bits() -> None:
    values = np.arange(256, dtype=np.float32)
    formula = 2 * (values / 255.0 - 0.5)
    scaled = values * np.float32(2 / 255) + np.float32(-1)
    assert int((scaled != formula).sum()) == 111
    assert float(np.abs(scaled.astype(float) - formula).max()) == 2.0**-23


def test_without_features_batches_are_a_picture_and_a_target(table: pd.DataFrame, made: Any) -> None:
    x, y = next(made(table))
    assert (x.shape, x.dtype, y.shape) == ((BATCH, 3, 5, 3), np.float32, (BATCH,))
    assert red(x) == y.tolist()


def test_with_features_inputs_are_a_tuple(table: pd.DataFrame, made: Any) -> None:
    features = encoded().astype("float32")
    inputs, y = next(made(table, features=features))
    assert type(inputs) is tuple
    np.testing.assert_array_equal(inputs[1], features[y])
    assert red(inputs[0]) == y.tolist()


def test_each_epoch_has_each_row_at_most_once_drops_the_rest_and_is_shuffled_anew(
    table: pd.DataFrame, made: Any
) -> None:
    generator = made(table)
    orders = [[int(one) for _ in range(STEPS) for one in next(generator)[1]] for _ in range(12)]
    assert all(len(set(order)) == STEPS * BATCH for order in orders)
    assert len({tuple(order) for order in orders}) == 12
    assert set(itertools.chain(*orders)) == set(range(NUM_ROWS))


def test_the_seed_decides_the_order_and_is_zero_unless_named(table: pd.DataFrame, made: Any) -> None:
    def order(**options: Any) -> list[int]:
        generator = made(table, **options)
        return [int(one) for _ in range(2 * STEPS) for one in next(generator)[1]]

    assert order() == order(seed=0) == order(num_workers=0) == order(num_workers=5)
    assert order() != order(seed=1)


@pytest.mark.parametrize("values", [[1.5, -2.0], [1, 2**40], [True, False], np.array([1, 2], "int8")])
def test_targets_keep_the_dtype_of_their_column(table: pd.DataFrame, made: Any, values: Any) -> None:
    table["target"] = np.resize(np.asarray(values), NUM_ROWS)
    generator = made(table)
    rows = generator.loader.rows(0)
    _, y = next(generator)
    assert y.dtype == np.asarray(values).dtype
    np.testing.assert_array_equal(y, table["target"].to_numpy()[rows])


def test_changing_a_batch_changes_no_other(table: pd.DataFrame, made: Any) -> None:
    generator, other = made(table), made(table)
    for _ in range(2 * STEPS):
        (x, y), (again, expected) = next(generator), next(other)
        np.testing.assert_array_equal(x, again)
        np.testing.assert_array_equal(y, expected)
        x[...], y[...] = 9, 9


# --- features belong to their rows ------------------------------------------------------------------------------------


def test_a_filtered_and_shuffled_frame_keeps_its_rows_of_the_bigger_array(table: pd.DataFrame, made: Any) -> None:
    part = table[table["target"] % 3 == 1].sample(frac=1, random_state=5)
    generator = made(part, 2, features=encoded(), debug_merged=True)
    for _ in range(3 * generator.steps_per_epoch):
        (x, x2), y = next(generator)
        assert red(x) == y.tolist() == np.trunc(x2[:, 0]).astype(int).tolist()


def test_a_renumbered_frame_over_a_longer_array_is_refused(table: pd.DataFrame) -> None:
    part = table[table["target"] > 3].reset_index(drop=True)
    with pytest.raises(AlignmentError, match="filtered and then re-numbered"):
        generator_from_df(part, BATCH, (3, 5), features=encoded())


def test_labels_outside_the_array_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(AlignmentError, match="asks for store row 25, the store has rows 0 to 24"):
        generator_from_df(table.iloc[::-1], BATCH, (3, 5), features=encoded(NUM_ROWS - 1))


def test_rows_may_say_which_store_row_is_meant(table: pd.DataFrame, made: Any) -> None:
    table["place"] = np.arange(NUM_ROWS)[::-1]
    (_, x2), y = next(made(table, features=mtgen.Rows(encoded(), index="place")))
    assert np.trunc(x2[:, 0]).tolist() == (NUM_ROWS - 1 - y).tolist()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_debug_merged_finds_features_of_the_next_row(table: pd.DataFrame, made: Any, num_workers: int) -> None:
    features = np.roll(encoded(), -1, axis=0)
    generator = made(table, features=features, debug_merged=True, num_workers=num_workers)
    rows = generator.loader.rows(0)
    says = rf"slot 0 should hold store row {rows[0]}, .*4 of 4 rows.*\[step 0, row {rows[0]}, path"
    with pytest.raises(AlignmentError, match=says):
        next(generator)
    next(made(table, features=features))  # nobody looks without debug_merged


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -0.5, NUM_ROWS + 0.5])
def test_debug_merged_looks_at_every_value_of_every_row(table: pd.DataFrame, made: Any, wrong: float) -> None:
    features = encoded()
    generator = made(table, features=features, debug_merged=True)
    features[generator.loader.rows(STEPS - 1)[2], 2] = wrong
    for _ in range(STEPS - 1):
        next(generator)
    with pytest.raises(AlignmentError, match=r"slot 2 should hold .*but value 2 is.*1 of 4 rows"):
        next(generator)


def test_debug_merged_with_keys_compares_keys_not_values(table: pd.DataFrame, made: Any, digits: Path) -> None:
    real = mtgen.read_table(digits / "table.csv")
    real["imgpath"] = str(digits) + "/" + real["imgpath"]
    generator = made(real, features=str(digits / "features.bcolz"), debug_merged=True)
    next(generator)
    assert generator.loader.stats().num_keys_compared >= BATCH
    real["id"] = np.roll(real["id"], 1)
    with pytest.raises(AlignmentError, match="keys differ: the table's column 'id'"):
        generator_from_df(real, BATCH, (3, 5), str(digits / "features.bcolz"), True)


def test_debug_merged_without_features_has_nothing_to_check(table: pd.DataFrame, made: Any) -> None:
    x, y = next(made(table, debug_merged=True))
    assert red(x) == y.tolist()


# --- one object for Keras and for threads -----------------------------------------------------------------------------


def test_it_is_a_generator_for_all_who_ask(table: pd.DataFrame, made: Any) -> None:
    generator = made(table)
    assert isinstance(generator, types.GeneratorType)
    assert inspect.isgenerator(generator)
    assert iter(generator) is generator
    assert type(generator) is BatchGenerator


def test_a_generator_object_of_pythons_own_refuses_the_second_thread_whatever_lock_is_inside() -> None:
    """Why `BatchGenerator` is a class (decision 0004)."""
    inside, leave, lock = threading.Event(), threading.Event(), threading.Lock()

    def body() -> Iterator[int]:
        for number in itertools.count():
            with lock:
                inside.set()
                assert leave.wait(PATIENCE)
            yield number

    generator = body()
    with ThreadPoolExecutor(1) as other:
        first = other.submit(next, generator)
        assert inside.wait(PATIENCE)
        with pytest.raises(ValueError, match="generator already executing"):
            next(generator)
        leave.set()
        assert first.result(PATIENCE) == 0


def test_generator_type_has_no_subclasses() -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Safe", (types.GeneratorType,), {})


@pytest.mark.parametrize("num_workers", [0, 1, 3])
@pytest.mark.parametrize("num_consumers", [2, 5])
def test_consumer_threads_get_every_batch_once_none_twice(
    table: pd.DataFrame, made: Any, num_workers: int, num_consumers: int
) -> None:
    generator = made(table, features=encoded(), debug_merged=True, num_workers=num_workers)
    num_each = 4 * STEPS
    ready = threading.Barrier(num_consumers)

    def consume(_: int) -> list[list[int]]:
        ready.wait(PATIENCE)
        batches = []
        for (x, x2), y in itertools.islice(generator, num_each):
            assert red(x) == y.tolist() == np.trunc(x2[:, 0]).astype(int).tolist()
            batches.append(y.tolist())
        return batches

    with ThreadPoolExecutor(num_consumers) as pool:
        taken = [batch for batches in pool.map(consume, range(num_consumers)) for batch in batches]
    due = [generator.loader.rows(step).tolist() for step in range(num_each * num_consumers)]
    assert sorted(taken) == sorted(due)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_thread_waits_for_its_own_batch_only(table: pd.DataFrame, made: Any, num_workers: int) -> None:
    store = MemoryStore(encoded(), 1)
    generator = made(table, features=store, num_workers=num_workers)
    gate = Gate(store, {int(generator.loader.rows(0)[0])})
    with ThreadPoolExecutor(1) as other:
        slow = other.submit(next, generator)
        assert gate.reached.wait(PATIENCE)
        for step in range(1, 3):
            assert next(generator)[1].tolist() == generator.loader.rows(step).tolist()
        assert not slow.done()
        gate.open()
        assert slow.result(PATIENCE)[1].tolist() == generator.loader.rows(0).tolist()


def test_a_bad_picture_raises_at_its_batch_and_the_others_come(table: pd.DataFrame, made: Any) -> None:
    row = int(made(table).loader.rows(2)[3])
    table.loc[row, "imgpath"] = "nowhere.png"
    generator = made(table)
    for step in range(STEPS):
        if step == 2:
            with pytest.raises(DecodeError, match=rf"\[step 2, row {row}, path nowhere\.png\]"):
                next(generator)
        else:
            assert next(generator)[1].tolist() == generator.loader.rows(step).tolist()


def test_closed_it_ends_for_everyone(table: pd.DataFrame, made: Any) -> None:
    generator = made(table)
    next(generator)
    generator.close()
    generator.close()
    assert list(generator) == []


def test_send_and_throw_are_those_of_a_generator(table: pd.DataFrame, made: Any) -> None:
    generator = made(table)
    assert generator.send(None)[1].tolist() == generator.loader.rows(0).tolist()
    with pytest.raises(TypeError, match="nothing can be sent"):
        generator.send(3)
    with pytest.raises(KeyError, match="stop"):
        generator.throw(KeyError("stop"))
    assert list(generator) == []


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_cannot_be_copied_as_no_generator_can(table: pd.DataFrame, made: Any, copier: Any) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copier(made(table))


def test_steps_taken_and_not_used_come_again_unless_others_took_some(table: pd.DataFrame, made: Any) -> None:
    generator = made(table)
    for _ in range(3):
        next(generator)
    generator.give_back(0, 3, 1)
    assert next(generator)[1].tolist() == generator.loader.rows(1).tolist()
    generator.give_back(0, 3, 0)
    assert generator.step == 2


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"df": [1]}, TableError, "must be a pandas DataFrame"),
        ({"drop": "target"}, TableError, "no column 'target'"),
        ({"drop": "imgpath"}, TableError, "no column 'imgpath'"),
        ({"target": "dog"}, TableError, "column 'target' holds .*expected numbers.*Categorical"),
        ({"target": np.nan}, TableError, "no value in 26 rows"),
        ({"target_size": None}, PlanError, r"target_size must be \(height, width\) in pixels, received None"),
        ({"target_size": (3, 0)}, PlanError, "two integers >= 1"),
        ({"batch_size": NUM_ROWS + 1}, PlanError, "batch"),
        ({"batch_size": 0}, PlanError, "batch_size"),
        ({"seed": -1}, PlanError, "seed must be an integer >= 0"),
        ({"features": "nowhere.bcolz"}, StoreError, "no such path"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_refused_before_anything_is_read(
    table: pd.DataFrame, change: dict[str, Any], kind: type[MtgenError], says: str
) -> None:
    options: dict[str, Any] = {"df": table, "batch_size": BATCH, "target_size": (3, 5), **change}
    if "drop" in options:
        options["df"] = table.drop(columns=options.pop("drop"))
    if "target" in options:
        options["df"] = table.assign(target=options.pop("target"))
    with pytest.raises(kind, match=says):
        generator_from_df(**options)


# --- batches pulled from any iterator ---------------------------------------------------------------------------------


def batches(num_batches: int) -> Iterator[Any]:
    return ((np.array([number]), np.array([0])) for number in range(num_batches))


def served(feed: PulledFeed, one: Any, num_batches: int) -> list[int]:
    return [int(feed.serve(one, place)[0][0]) for place in range(num_batches)]


def test_looks_cost_nothing_and_passes_go_on() -> None:
    feed = PulledFeed(batches(9), 3)
    assert served(feed, feed.begin(), 1) == [0]
    assert [int(batch[0][0]) for batch in feed.peek(2)] == [1, 2]
    assert served(feed, feed.begin(), 3) == [1, 2, 3]
    feed.start()
    assert served(feed, feed.begin(), 3) == [0, 1, 2]
    assert served(feed, feed.begin(), 3) == [3, 4, 5]
    feed.stop()
    assert served(feed, feed.begin(), 1) == [6]
    feed.start()
    assert served(feed, feed.begin(), 3) == [6, 7, 8]
    assert feed.num_pulled == 9
    with pytest.raises(PlanError, match="ended after 9 batches"):
        feed.serve(feed.begin(), 0)


def test_the_same_place_of_the_same_pass_is_the_same_batch() -> None:
    feed = PulledFeed(batches(9), 3)
    feed.start()
    one = feed.begin()
    assert [int(feed.serve(one, place)[0][0]) for place in (0, 0, 1, 1, 2)] == [0, 0, 1, 1, 2]


def test_a_look_past_the_end_is_no_error_where_there_is_a_batch() -> None:
    feed = PulledFeed(batches(1), 1)
    assert len(feed.peek(2)) == 1
    assert feed.error is None
    with pytest.raises(PlanError, match="ended after 0 batches"):
        PulledFeed(batches(0), 1).peek(2)


def test_lists_of_arrays_become_tuples_and_numbers_arrays() -> None:
    x, y, weight = as_batch([[np.zeros(2), [np.ones(2), np.ones(2)]], [1, 2], {"a": [0.5, 0.5]}])
    assert (type(x), type(x[1]), type(y), type(weight["a"])) == (tuple, tuple, np.ndarray, np.ndarray)


@pytest.mark.parametrize("value", [None, np.zeros(3), (1,), (1, 2, 3, 4), {"x": 1}])
def test_what_is_no_batch_is_refused(value: Any) -> None:
    with pytest.raises(PlanError, match=r"the generator gave .*expected \(x, y\) or \(x, y, weight\)"):
        as_batch(value)


def test_a_feed_whose_training_is_over_takes_nothing_more() -> None:
    """A thread of TensorFlow asked on while the next training ran, and took a batch from it."""
    source = iter([(np.array([x]), np.array([0])) for x in range(9)])
    feed = PulledFeed(source, 5)
    feed.start()
    one = feed.begin()
    assert [feed.serve(one, place)[0].tolist() for place in range(2)] == [[0], [1]]
    feed.close()
    assert [feed.serve(one, place)[0].tolist() for place in range(2, 5)] == [[1], [1], [1]]
    assert feed.num_pulled == 2
    assert next(source)[0].tolist() == [2]
