"""Runs that are saved and resumed, on the backend that KERAS_BACKEND names: at every step, bit for bit."""

import shutil
import signal

import keras
import numpy as np
import pytest

from mtgen.checkpoint import Checkpoints
from mtgen.config import Prefetch
from mtgen.errors import PlanError, StateError, StoreError
from mtgen.plan import Shard
from tests.support.saved_runs import (
    EPOCHS,
    LAST,
    NUM_ROWS,
    STEPS,
    Setup,
    Subclassed,
    check_same,
    compiled_once,  # noqa: F401  used by every test here
    cosine,
    expected_rows,
    functional,
    loader,
    only,
    outcome,
)

pytestmark = pytest.mark.filterwarnings(
    # Keras says so of every tf.data.Dataset when fit(shuffle=True), its default; mtgen's order holds (that is tested).
    "ignore:`shuffle=True` was passed, but will be ignored:UserWarning",
)


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A run that was saved after every step, and what it came to; the same as without being saved."""
    folder = tmp_path_factory.mktemp("every")
    setup = Setup()
    found = setup.run(folder, keep=100)
    check_same(found, setup.run(None))
    assert found[3] == expected_rows(0, LAST)
    assert Checkpoints(folder).steps() == list(range(1, LAST + 1))
    assert sorted(path.name for path in folder.iterdir())[0] == "checkpoint-0000000001"  # no lock, nothing temporary
    return folder, found


# --- the same run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(1, LAST + 1))
def test_resumed_at_any_step_it_is_the_same_run(tmp_path, every, step):
    folder, whole = every
    setup = Setup()
    options = {"num_workers": step % 3, "prefetch": Prefetch(window=1 + step % 4, depth=step % 5)}
    check_same(setup.run(only(folder, step, tmp_path), loader_options=options), whole)
    epochs, inside = divmod(step, STEPS)
    rest = f" and {inside} of 5 steps of the next one" if inside else ""
    assert setup.said == [f"resumed after {step} steps ({epochs} epochs{rest}) from {tmp_path}/checkpoint-{step:010d}"]


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Raises in one of Keras's hooks, the n-th time it is called."""

    def __init__(self, hook, number):
        super().__init__()
        self.left = number

        def call(*arguments, **options):
            self.left -= 1
            if self.left == 0:
                raise Killed

        setattr(self, hook, call)


@pytest.mark.parametrize(
    ("hook", "number", "place"),
    [
        ("on_epoch_begin", 2, "before"),
        ("on_train_batch_begin", 4, "after"),
        ("on_train_batch_begin", 7, "before"),
        ("on_train_batch_end", 7, "after"),
        ("on_train_batch_end", 5, "before"),
        ("on_test_begin", 1, "after"),
        ("on_test_batch_end", 6, "before"),
        ("on_epoch_end", 1, "before"),
        ("on_epoch_end", 1, "after"),
        ("on_train_end", 1, "before"),
        ("on_train_end", 1, "after"),
    ],
)
def test_killed_in_any_hook_and_started_again_it_is_the_same_run(tmp_path, every, hook, number, place):
    setup = Setup()
    with pytest.raises(Killed):
        setup.fit(tmp_path, **{"callbacks" if place == "before" else "last": [Kill(hook, number)]}, every_steps=3)
    check_same(setup.run(tmp_path), every[1])
    assert all(path.name.startswith("checkpoint-") for path in tmp_path.iterdir())


def test_killed_again_and_again_it_is_the_same_run(tmp_path, every):
    setup, kills = Setup(), 0
    for attempt in range(50):
        try:
            found = setup.run(tmp_path, last=[Kill("on_train_batch_end", 2 + attempt % 2)], every_steps=1)
            break
        except Killed:
            kills += 1
    assert kills >= 4
    check_same(found, every[1])


@pytest.mark.parametrize("step", [2, 5, 8])
def test_without_shuffle_and_with_the_model_named_it_is_the_same_run(tmp_path, every, step):
    setup = Setup(names_model=True)
    check_same(setup.run(only(every[0], step, tmp_path), fit={"shuffle": False}), every[1])


def test_an_unbuilt_model_is_resumed(tmp_path):
    setup = Setup(make=Subclassed)
    whole = setup.run(tmp_path / "every", keep=100)
    for step in (3, 5):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


def test_a_pass_that_is_no_epoch_is_resumed(tmp_path):
    setup = Setup(steps=3, epochs=4)
    whole = setup.run(tmp_path / "every", keep=100)
    assert whole[3] == expected_rows(0, 12)
    assert Checkpoints(tmp_path / "every").steps() == list(range(1, 13))
    for step in (1, 5, 6, 8, 11, 12):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


def test_a_pass_longer_than_an_epoch_is_resumed(tmp_path):
    setup = Setup(steps=7, epochs=2, valid=False)
    whole = setup.run(tmp_path / "every", keep=100)
    for step in (4, 6, 7, 9):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


def test_one_step_per_epoch_is_resumed(tmp_path):
    setup = Setup(epochs=4, loader={"batch_size": NUM_ROWS})
    whole = setup.run(tmp_path / "every", keep=100)
    for step in (1, 3):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


def test_low_precision_survives(tmp_path):
    setup = Setup(make=lambda: functional(dtype="bfloat16"), optimizer=lambda: keras.optimizers.SGD(0.1, momentum=0.9))
    whole = setup.run(tmp_path / "every", keep=100)
    assert "bfloat16" in {str(value.dtype) for value in whole[0]}
    for step in (3, 5):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


def test_a_scaled_loss_is_resumed(tmp_path):
    setup = Setup(
        make=lambda: functional(dtype="mixed_float16"), optimizer=lambda: keras.optimizers.LossScaleOptimizer(cosine())
    )
    whole = setup.run(tmp_path / "every", keep=100)
    for step in (3, 5):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
def test_steps_per_execution_is_resumed_between_executions(tmp_path):
    setup = Setup(steps=6, epochs=2, steps_per_execution=2)
    whole = setup.run(tmp_path / "every", keep=100)
    assert whole[3] == expected_rows(0, 12)
    assert Checkpoints(tmp_path / "every").steps() == [2, 4, 6, 8, 10, 12]
    for step in (2, 6, 10):
        check_same(setup.run(only(tmp_path / "every", step, tmp_path / str(step))), whole)
    other = Setup(steps=6, epochs=2, steps_per_execution=3)
    with pytest.raises(PlanError, match=r"steps_per_execution=3 does not divide the 4 steps that are left"):
        other.fit(only(tmp_path / "every", 2, tmp_path / "other"))


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras refuses steps_per_execution on torch")
def test_steps_per_execution_that_leaves_a_rest_is_saved_at_epochs_only(tmp_path):
    setup = Setup(steps_per_execution=2)
    with pytest.raises(PlanError, match=r"steps_per_execution=2 does not divide the 5 steps .* Leave every_steps out"):
        setup.fit(tmp_path)
    whole = setup.run(tmp_path, every_steps=None)
    assert Checkpoints(tmp_path).steps() == [STEPS, LAST]
    shutil.rmtree(tmp_path / "checkpoint-0000000010")
    check_same(setup.run(tmp_path, every_steps=None), whole)


# --- another number of shards -----------------------------------------------------------------------------------------


def sharded(count, index=0, **options):
    return Setup(valid=False, loader={"shard": Shard(index, count), "drop_last": False}, **options)


def rows_before(count, stop):
    """Rows that all shards together trained before a step."""
    return [row for index in range(count) for row in expected_rows(0, stop, shard=Shard(index, count))]


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """The first of two shards, saved after every one of its 2 x 3 steps."""
    folder = tmp_path_factory.mktemp("of-two")
    sharded(2).fit(folder, keep=100)
    assert Checkpoints(folder).steps() == [1, 2, 3, 4, 5, 6]
    return folder


@pytest.mark.parametrize(("step", "new"), [(1, 2), (2, 4), (3, 5), (4, 7)])
def test_fewer_shards_train_the_rest_of_every_epoch_exactly_once(tmp_path, of_two, step, new):
    """Inside an epoch (8 positions a step before, 4 now) and at its border."""
    setup = sharded(1)
    setup.fit(only(of_two, step, tmp_path), every_steps=2)
    first = expected_rows(0, step, shard=Shard(0, 2))
    after = setup.recorder_rows()[len(first) :]
    assert after == expected_rows(new, LAST)
    assert sorted(rows_before(2, step) + after) == sorted(list(range(NUM_ROWS)) * EPOCHS)
    assert Checkpoints(tmp_path).steps()[-1] == step + LAST - new  # numbers of steps go on


@pytest.mark.parametrize("step", [2, 4, 5, 7])
def test_more_shards_train_the_rest_of_every_epoch_exactly_once(tmp_path, every, step):
    before = expected_rows(0, step)
    trained = list(before)
    for index in range(2):  # each process has the folder with the weights that all had
        setup = sharded(2, index)
        setup.fit(only(every[0], step, tmp_path / str(index)))
        trained += setup.recorder_rows()[len(before) :]
    assert sorted(trained) == sorted(list(range(NUM_ROWS)) * EPOCHS)


@pytest.mark.parametrize("step", [1, 3])
def test_shards_that_no_step_can_go_on_with_are_refused(tmp_path, every, step):
    folder = only(every[0], step, tmp_path)
    with pytest.raises(
        StateError, match=rf"taken with 1 shards at step {step} of epoch 0.* some rows would come twice"
    ):
        sharded(2).fit(folder)
    assert [path.name for path in folder.iterdir()] == [f"checkpoint-{step:010d}"]


# --- other callbacks --------------------------------------------------------------------------------------------------


def halved():
    """A learning rate that depends on the one before: begun twice, it would be halved twice."""
    return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)


def plateau():
    return keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.1, patience=1, min_delta=10.0)


@pytest.mark.parametrize("make", [halved, plateau])
def test_learning_rates_that_callbacks_change_are_those_of_the_whole_run(tmp_path, make):
    setup = Setup(optimizer=lambda: keras.optimizers.Adam(0.05), epochs=4, steps=3)
    whole = setup.run(tmp_path / "every", keep=100, last=[make()])
    rates = whole[1]["learning_rate"]
    assert len(set(rates)) > 1
    for step in (1, 3, 8) if make is halved else (6, 11):
        found = setup.run(only(tmp_path / "every", step, tmp_path / str(step)), last=[make()])
        if make is halved:
            check_same(found, whole)
        else:  # its patience is its own: it begins to count again
            assert found[1]["learning_rate"][: step // 3] == rates[: step // 3]


class StopAt(keras.callbacks.Callback):
    """Asks for a stop in one of Keras's hooks, when the epoch (and batch) come."""

    def __init__(self, hook, epoch, batch=None):
        super().__init__()
        self.hook, self.at, self.batch, self.epoch = hook, epoch, batch, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.hook, self.at, self.batch) == ("batch", self.epoch, batch):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if (self.hook, self.at) == ("epoch", epoch):
            self.model.stop_training = True


@pytest.mark.parametrize("where", ["callbacks", "last"])
@pytest.mark.parametrize("hook", ["epoch", "batch"])
def test_a_stop_at_the_end_of_the_resumed_epoch_is_a_stop(tmp_path, every, where, hook):
    setup = Setup()
    folder = only(every[0], 2, tmp_path)  # 3 steps are left: the last one is number 2 of what Keras trains
    stop = StopAt(hook, 0, 2)
    _, history = setup.fit(folder, **{where: [stop]}, epochs=4)
    assert history.epoch == [0]
    assert setup.recorder_rows() == expected_rows(0, STEPS)
    assert Checkpoints(folder).steps()[-1] == STEPS
    check_same(setup.run(folder), every[1])  # started again without it, it goes on


@pytest.mark.parametrize("where", ["callbacks", "last"])
def test_early_stopping_is_not_undone(tmp_path, every, where):
    def stops():
        return {where: [keras.callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=100.0)]}

    assert Setup(epochs=6).run(None, **stops())[2] == [0, 1]
    for step, epochs in ((2, [0, 1]), (7, [0, 1, 2])):
        # Its own count begins again, so a run resumed in the second epoch needs one more to compare with.
        assert Setup(epochs=6).run(only(every[0], step, tmp_path / str(step)), **stops())[2] == epochs


@pytest.mark.parametrize("batch", [0, 2])
def test_a_stop_in_mid_epoch_is_saved_with_the_metrics_of_training(tmp_path, every, batch):
    setup = Setup()
    _, history = setup.fit(tmp_path, last=[StopAt("batch", 1, batch)], every_steps=None)
    assert history.epoch == [0, 1]
    step = STEPS + batch + 1
    assert Checkpoints(tmp_path).steps() == [STEPS, step]
    check_same(setup.run(tmp_path, every_steps=None), every[1])


def test_what_an_evaluation_inside_an_epoch_had_taken_was_saved_after_newer_steps(tmp_path, every):
    """Keras tells the checkpoint of an evaluation where a script gives it to `evaluate`, too."""
    setup, saved = Setup(), []
    evaluates = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: setup.callback.on_test_begin() if batch == 2 else None,
        on_epoch_begin=lambda epoch, logs: saved.append(Checkpoints(tmp_path).steps()),
    )
    setup.fit(tmp_path, last=[evaluates], every_steps=3, keep=100)
    assert saved == [[], [3, 5]]
    assert Checkpoints(tmp_path).steps() == [3, 5, 6, 9, 10]
    check_same(setup.run(only(tmp_path, 9, tmp_path / "9")), every[1])
    stop = StopAt("batch", 0, 3)
    setup.fit(tmp_path / "stopped", last=[evaluates, stop], every_steps=None)
    assert Checkpoints(tmp_path / "stopped").steps() == [4]


def test_logs_that_other_callbacks_add_are_in_the_history(tmp_path):
    class Adds(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["mine"] = np.float32(epoch)

    setup = Setup()
    setup.fit(tmp_path, last=[Adds()], epochs=1)
    found = setup.run(tmp_path, last=[Adds()])
    assert found[1]["mine"] == [0.0, 1.0]
    assert len(setup.model.history.history["data_wait"]) == 2


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only jax keeps the state apart from the model")
def test_the_model_is_brought_up_to_date_only_to_be_saved(tmp_path, monkeypatch):
    calls = []
    real = keras.Model.jax_state_sync
    monkeypatch.setattr(
        keras.Model, "jax_state_sync", lambda self: (calls.append(not self._jax_state_synced), real(self))
    )
    Setup(valid=False, epochs=1).fit(tmp_path / "epochs", every_steps=None)
    epochs = sum(calls)
    calls.clear()
    Setup(valid=False, epochs=1).fit(tmp_path / "steps", every_steps=2)
    assert (epochs, sum(calls)) == (1, 3)


# --- ends -------------------------------------------------------------------------------------------------------------


def test_a_finished_run_returns_at_once_with_its_history(tmp_path, every):
    setup = Setup()
    setup.fit(tmp_path)
    batches = []
    count = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: batches.append(batch))
    check_same(setup.run(tmp_path, last=[count]), every[1])
    check_same(setup.run(tmp_path, last=[count]), every[1])
    assert batches == []
    assert setup.model._initial_epoch is None
    setup.model.fit(setup.source.keras(), epochs=1, verbose=0)  # without the callback Keras counts from 0 again
    assert setup.recorder_rows() == expected_rows(0, LAST) + expected_rows(LAST, LAST + STEPS)


def test_more_epochs_go_on(tmp_path):
    whole = Setup(epochs=3).run(None)
    Setup().fit(tmp_path)
    check_same(Setup(epochs=3).run(tmp_path), whole)


def test_a_second_fit_with_the_same_callback_goes_on(tmp_path):
    setup = Setup(epochs=3)
    whole = setup.run(None)
    model, _ = setup.fit(tmp_path, epochs=2)
    x, callback = setup.callback._x, setup.callback
    valid = loader(shuffle=False, num_workers=0).keras()
    history = model.fit(x, epochs=3, verbose=0, callbacks=[callback], validation_data=valid)
    check_same(outcome(model, history), whole)
    setup.source.close()


def test_an_interrupted_fit_goes_on_in_the_same_process(tmp_path, every):
    """In a notebook the traceback keeps the first callback alive, and with it its lock."""
    first = Setup()
    with pytest.raises(Killed):
        first.fit(tmp_path, last=[Kill("on_train_batch_end", 4)])
    assert first.callback.checkpoints._lock.is_held
    check_same(Setup().run(tmp_path), every[1])


def test_a_folder_with_checkpoints_is_refused_where_a_new_run_is_asked_for(tmp_path):
    setup = Setup(epochs=1)
    setup.fit(tmp_path, resume=False)
    with pytest.raises(StateError, match=r"has a checkpoint of step 5, and resume=False. Continue with resume=True"):
        setup.fit(tmp_path, resume=False)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("step", [1, 3, 5, 8, 10])
def test_a_signal_saves_and_ends(tmp_path, every, step):
    setup = Setup()

    class Signal(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if setup.callback.step == step:
                signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *arguments: setup.callback.save_and_exit(*arguments))
    try:
        with pytest.raises(SystemExit) as caught:
            setup.fit(tmp_path, every_steps=None, last=[Signal()])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught.value.code == 128 + signal.SIGTERM
    assert Checkpoints(tmp_path).steps()[-1] == step
    assert not (tmp_path / ".lock").exists()
    check_same(setup.run(tmp_path), every[1])


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before_and_is_said(tmp_path, every):
    only(every[0], 6, tmp_path)
    only(every[0], 8, tmp_path)
    path = tmp_path / "checkpoint-0000000008" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-7])
    setup = Setup()
    check_same(setup.run(tmp_path), every[1])
    assert setup.said[0] == "checkpoint-0000000008 is damaged: arrays.npz is not what XXH128SUMS says; it was left out"
    assert setup.said[1].startswith("resumed after 6 steps (1 epochs and 1 of 5 steps of the next one) from ")


def test_nothing_readable_is_no_new_run(tmp_path, every):
    only(every[0], 6, tmp_path)
    (tmp_path / "checkpoint-0000000006" / "state.json").write_text("")
    with pytest.raises(StateError, match=r"none of the 1 checkpoints can be read: .*state.json"):
        Setup().fit(tmp_path)


def test_another_run_in_the_folder_is_refused_before_anything_is_trained(tmp_path, every):
    import subprocess
    import sys

    only(every[0], 6, tmp_path)
    code = (
        "import sys; from mtgen.checkpoint import Checkpoints as C; c = C(sys.argv[1]); c.open(); print(1, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; input()", tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "1\n"
        setup = Setup()
        with pytest.raises(StoreError, match=f"process {other.pid} on host .* writes into this folder"):
            setup.fit(tmp_path)
        assert setup.recorder_rows() == []
        other.communicate("\n", timeout=60)


def test_a_folder_with_odd_bytes_in_its_name_kept_a_run_from_being_resumed(tmp_path, every):
    folder, whole = every
    setup = Setup()
    check_same(setup.run(only(folder, 3, tmp_path / "run\udce9")), whole)
    (line,) = setup.said
    assert "from " in line
    assert line.encode()  # a terminal takes it
