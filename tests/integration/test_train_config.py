"""`mtgen train --config`: files as users write them, from ten lines to all sections, and what a run leaves."""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import mtgen
from mtgen.cli import app
from mtgen.errors import MtgenError, PlanError
from mtgen.stores.bcolz_writer import write_bcolz
from mtgen.training import RunFolder, compile_for, merged_model, model_for
from mtgen.training.config import dataset_of, loaders_of, read_config, splits_of
from mtgen.training.config.building import sampler_of
from mtgen.training.config.sections import Config
from mtgen.training.event_files import decoded
from mtgen.training.run import train_config
from mtgen.training.samples import make_dataset
from mtgen.training.settings import Run, Samples

pytestmark = pytest.mark.usefixtures("no_thread_left")

ROOT = Path(__file__).resolve().parents[2]
NUM_ROWS = 160


def command(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["train", *map(str, arguments)])


def trained(*arguments: object) -> str:
    done = command(*arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


def weights(folder: Path) -> list[np.ndarray]:
    return [np.asarray(one) for one in keras.saving.load_model(folder / "model.keras").get_weights()]


def same(one: Path, other: Path) -> None:
    """Two runs ended with the same bits, and wrote down the same, but for seconds."""
    for first, second in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(first, second)
    runs = RunFolder(one), RunFolder(other)
    histories = [run.read_history().drop(columns=["seconds", "data_wait"]) for run in runs]
    pd.testing.assert_frame_equal(*histories)
    assert runs[0].read_decisions() == runs[1].read_decisions()
    assert runs[0].splits.read_bytes() == runs[1].splits.read_bytes()
    pd.testing.assert_frame_equal(*(run.read_test_scores() for run in runs))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a user's own: pictures, features in bcolz, npy and Parquet, several columns to predict."""
    base = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    kind = rng.permutation(np.arange(NUM_ROWS) % 3)
    features = rng.normal(scale=0.3, size=(NUM_ROWS, 4)).astype("float32")
    features[np.arange(NUM_ROWS), kind] += 2
    table = pd.DataFrame(
        {
            "file": [f"pictures/{row}.png" for row in range(NUM_ROWS)],
            "kind": np.array(["cat", "dog", "eel"])[kind],
            "code": np.array([3, 10, 20])[kind],
            "price": 100.0 * kind + rng.normal(size=NUM_ROWS),
            "x": features[:, 0] * 2.0,
            "y": features[:, 1] - 1.0,
            "age": rng.integers(20, 90, NUM_ROWS),
            "weight": 1.0 + kind,
        }
    )
    (base / "pictures").mkdir()
    for row, file in enumerate(table["file"]):
        Image.fromarray(np.full((6, 6), 80 * kind[row], np.uint8)).save(base / file)
    table.to_csv(base / "table.csv", index=False)
    np.save(base / "features.npy", features)
    write_bcolz(base / "features.bcolz", features, chunk_rows=16)
    pd.DataFrame(features, columns=list("abcd")).to_parquet(base / "features.parquet")
    labels = [["big", "old"][: int(number)] for number in rng.integers(0, 3, NUM_ROWS)]
    table.assign(labels=labels).to_parquet(base / "table.parquet")
    return base


SMALL = "[model]\nfilters = 2\nunits = 8\ndropout = 0.1\n[fit]\nepochs = 4\nbatch_size = 16\nlearning_rate = 0.02\n"
FEATURES = '[table]\npath = "table.csv"\n[inputs.features]\nstore = "features.npy"\n'


def written(folder: Path, text: str, name: str = "run.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- ten lines --------------------------------------------------------------------------------------------------------


def test_ten_lines_train_on_data_of_ones_own(folder: Path) -> None:
    text = """\
[table]
path = "table.csv"
[inputs.image]
column = "file"
size = [6, 6]
color = "grayscale"
[inputs.features]
store = "features.bcolz"
[targets]
label = "kind"
"""
    path = written(folder, text, "ten.toml")
    assert len(text.splitlines()) == 10
    said = trained("--config", path, "--epochs", 3, "--batch-size", 16)
    assert "112 train, 24 valid, 24 test. Inputs: image (6, 6, 1) uint8, features (4) float32." in said
    assert "Target 'label': one of 3 classes." in said
    assert re.search(r"^merged test accuracy: [01]\.\d\d$", said, re.MULTILINE)


def test_a_dry_run_builds_everything_and_writes_nothing(folder: Path, tmp_path: Path) -> None:
    path = written(folder, FEATURES + '[targets]\nlabel = "kind"\n[recipe]\npatience = 30\ndecay = 0.1\n', "dry.toml")
    said = trained("--config", path, "--dry-run", "--run", tmp_path / "run", "--snapshot-steps", 5)
    assert not (tmp_path / "run").exists()
    lines = said.splitlines()
    assert lines[1] == "model: 'single', features (4) to output (3), 17,539 parameters"
    assert lines[3:5] == [
        "steps: 4 of 32 rows per epoch, 20 epochs at most, 80 steps at most; a validation every 4 steps",
        "optimizer: adam, learning rate 0.002, constant; seed 0",
    ]
    assert "rules: PatienceRule(patience=30" in said
    assert "watched: 1 - val_accuracy; the best parameters come back in the end" in said
    assert f"files: in {tmp_path / 'run'}: run.toml, run.json, splits.csv, history.csv" in said
    assert lines[-1] == "nothing was trained: this was a dry run"


def test_epochs_that_end_between_two_validations_are_told_as_they_are(folder: Path, tmp_path: Path) -> None:
    text = FEATURES + '[targets]\nkind = "kind"\n' + SMALL + "[recipe]\npatience = 6\npatience_increase = 1000\n"
    path = written(folder, text, "between.toml")
    end = "4 epochs at most and up to the validation that ends them, 30 steps (4.3 epochs) at most"
    assert f"steps: 7 of 16 rows per epoch, {end}; a validation every 3 steps" in trained("--config", path, "--dry-run")
    said = trained("--config", path, "--run", tmp_path / "whole")
    assert f"{end}: there is a validation every 3 steps" in said.splitlines()
    told = re.findall(r"^  epoch (\S+) of (\S+): ", said, re.MULTILINE)
    assert told[0] == ("0.4", "4.3")
    assert told[-1] == ("4.3", "4.3")
    trained("--config", path, "--run", tmp_path / "longer", "--epochs", 2)
    trained("--config", path, "--run", tmp_path / "longer", "--resume")
    for one, other in zip(weights(tmp_path / "whole"), weights(tmp_path / "longer"), strict=True):
        np.testing.assert_array_equal(one, other)
    histories = [
        RunFolder(tmp_path / name).read_history()[["step", "loss", "val_loss"]] for name in ("whole", "longer")
    ]
    pd.testing.assert_frame_equal(*histories)
    assert histories[0]["step"].tolist() == [*range(3, 31, 3)]


@pytest.mark.parametrize("patience", [8, 4])
def test_epochs_that_end_with_a_validation_are_told_short(folder: Path, patience: int) -> None:
    text = FEATURES + '[targets]\nkind = "kind"\n' + SMALL + f"[recipe]\npatience = {patience}\n"
    said = trained("--config", written(folder, text, "even.toml"), "--dry-run")
    assert (
        f"steps: 7 of 16 rows per epoch, 4 epochs at most, 28 steps at most; a validation every {patience // 2}" in said
    )


def test_a_dry_run_finds_pictures_under_a_wrong_root(folder: Path) -> None:
    text = '[inputs.image]\ncolumn = "file"\nroot = "elsewhere"\nsize = [6, 6]\n'
    done = command(
        "--config",
        written(folder, f'[table]\npath = "table.csv"\n{text}[targets]\nlabel = "kind"\n', "root.toml"),
        "--dry-run",
    )
    assert done.exit_code == 1
    assert "is root=" in done.stderr
    assert "elsewhere" in done.stderr


def test_options_and_a_file_make_the_same_run(folder: Path, tmp_path: Path) -> None:
    path = written(folder, FEATURES + '[targets]\nkind = "kind"\n[fit]\nepochs = 9\nbatch_size = 16\n', "same.toml")
    trained("--config", path, "--epochs", 2, "--run", tmp_path / "file")
    options = ["--table", folder / "table.csv", "--features", folder / "features.npy", "--target", "kind"]
    trained(*options, "--epochs", 2, "--batch-size", 16, "--run", tmp_path / "options")
    same(tmp_path / "file", tmp_path / "options")
    assert tomllib.loads((tmp_path / "file" / "run.toml").read_text())["fit"]["epochs"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "4", "4"], "--size is about the input 'image', and the configuration has features: say it in"),
        (["--patience", "0"], "Invalid value for '--patience'"),
        (["--resume"], "--resume without --run: name the folder of the run, there or as folder in [run]"),
        (["--optimizer", "adamant"], "Keras makes no optimizer 'adamant'"),
        (
            ["--monitor", "1 - val_acuracy", "--halve-after", "2"],
            "monitor='1 - val_acuracy' is not in the logs, which have ['accuracy', 'loss', 'val_accuracy',",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_options_that_do_not_fit_the_file_are_refused(folder: Path, arguments: list[str], says: str) -> None:
    path = written(folder, FEATURES + '[targets]\nkind = "kind"\n' + SMALL, "refused.toml")
    for dry in ([], ["--dry-run"]):
        done = command("--config", path, *arguments, *dry)
        assert done.exit_code
        assert says in done.stderr
        assert "Traceback" not in done.output


def test_errors_of_a_file_name_it(folder: Path) -> None:
    path = written(folder, FEATURES + '[targets]\nkind = "kind"\n[fit]\nepoch = 3\n', "wrong.toml")
    done = command("--config", path)
    assert done.exit_code == 1
    assert done.stderr == (
        "error: [fit] has no key 'epoch'. Did you mean 'epochs'? Known are: epochs, batch_size, seed, workers, memory, "
        "placement, device_reserve, on_error, max_errors, learning_rate, schedule, optimizer, optimizer_options "
        f"[path {path}]\n"
    )


def test_inputs_are_held_where_the_file_says(folder: Path, tmp_path: Path) -> None:
    base = FEATURES + '[targets]\nkind = "kind"\n' + SMALL
    trained("--config", written(folder, base, "streamed.toml"), "--run", tmp_path / "streamed")
    held = written(folder, base + 'placement = {features = "ram"}\n', "held.toml")
    trained("--config", held, "--run", tmp_path / "held")
    same(tmp_path / "streamed", tmp_path / "held")
    loaders = loaders_of(held)
    assert loaders["train"].placement.where("features") == "ram"
    for loader in loaders.values():
        loader.close()
    done = command("--config", written(folder, base + 'placement = {image = "ram"}\n', "no_input.toml"), "--dry-run")
    assert "placement names ['image'], the dataset's inputs are ['features']" in done.stderr


# --- targets ----------------------------------------------------------------------------------------------------------


def test_the_budget_of_a_placement_is_said_and_one_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    base = FEATURES + '[targets]\nkind = "kind"\n' + SMALL
    path = written(folder, base + 'placement = {features = "device"}\n', "budget.toml")
    for arguments in (["--dry-run"], ["--run", tmp_path / "held"]):
        said = trained("--config", path, *arguments)
        for part in ("train", "valid"):
            assert re.search(rf"^{part} split, features: on the device, .* bytes, not read yet$", said, re.MULTILINE)
            assert re.search(rf"^{part} split, .*bytes to upload, .* free, .* in reserve, .* left$", said, re.MULTILINE)
    trained("--config", path, "--placement", "stream", "--run", tmp_path / "streamed")
    same(tmp_path / "held", tmp_path / "streamed")
    for arguments in (["--dry-run"], ["--run", tmp_path / "refused"]):
        done = command("--config", path, "--device-reserve", 10**15, *arguments)
        assert done.exit_code == 1
        assert "1,000,000,000,000,000" in done.stderr
        assert "reserve" in done.stderr


def test_several_targets_are_trained_together_and_each_is_scored(folder: Path, tmp_path: Path) -> None:
    text = (
        FEATURES.replace("table.csv", "table.parquet")
        + """
[targets]
kind = "kind"
place = ["x", "y"]
[targets.price]
column = "price"
weight = "weight"
[targets.code]
column = "code"
class_weights = {3 = 1, 10 = 2, 20 = 1.5}
[targets.labels]
column = "labels"
one_hot = true
"""
        + SMALL.replace("epochs = 4", "epochs = 30")
    )
    path = written(folder, text, "several.toml")
    said = trained("--config", path, "--run", tmp_path / "run")
    found = dict(re.findall(r"^features alone (\w+) test [\w ]+: ([\d.e+-]+)$", said, re.MULTILINE))
    assert set(found) == {"kind", "place", "price", "code", "labels"}
    assert float(found["kind"]) > 0.8
    assert float(found["code"]) > 0.8
    assert float(found["price"]) < 50  # guessing the mean is 67 off
    assert float(found["place"]) < 0.9
    model = keras.saving.load_model(tmp_path / "run" / "model.keras")
    assert model.output_names == ["kind", "place", "price", "code", "labels"]
    assert model.get_layer("labels").activation.__name__ == "sigmoid"
    scores = RunFolder(tmp_path / "run").read_test_scores()
    assert {"kind_accuracy", "price_mae", "labels_accuracy"} <= set(scores)


def test_classes_have_the_numbers_that_are_said(folder: Path) -> None:
    text = FEATURES + '[targets.kind]\ncolumn = "kind"\nclasses = ["eel", "cat", "dog"]\n'
    data = dataset_of(written(folder, text, "classes.toml"))
    assert data.classes == {"kind": ("eel", "cat", "dog")}
    assert data.fetch([0]).targets["kind"][0] == ("eel", "cat", "dog").index(data.table["kind"][0])
    codes = dataset_of(written(folder, FEATURES + '[targets]\ncode = "code"\n', "codes.toml"))
    assert codes.classes == {"code": ("3", "10", "20")}
    assert codes.table["code"].tolist() == data.table["code"].tolist()  # the table is left as it is


def test_outputs_are_called_as_targets_unless_that_is_taken() -> None:
    spec = mtgen.spec.Spec(shape=(2,), dtype=np.dtype("float32"))
    assert merged_model(None, {"a": spec}, {"b": 2, "c": None}).output_names == ["b", "c"]
    assert merged_model(None, {"a": spec}, {"a": 2, "c": None}).output_names == ["a_output", "c_output"]
    assert merged_model(None, {"a": spec}, {"joint": 2, "c/d": 3}).output_names == ["joint_output", "c_d_output"]


def test_the_parts_work_alone_as_well(folder: Path) -> None:
    """What the command does, by the public names."""
    data = dataset_of(written(folder, FEATURES + '[targets]\nkind = "kind"\nprice = "price"\n', "alone.toml"))
    train, valid = data.split({"train": 0.8, "valid": 0.2}, seed=0)
    model = compile_for(model_for(train, seed=3), train, "adam")
    with mtgen.Loader(train, 16, seed=0) as loader, mtgen.Loader(valid, 16, shuffle=False) as known:
        history = model.fit(
            loader.keras(model), epochs=2, validation_data=known.keras(model), verbose=0, shuffle=False
        ).history
    assert {"kind_accuracy", "price_mae", "val_kind_accuracy", "val_price_mae"} <= set(history)


def test_inputs_alone_ask_nothing_of_targets(tmp_path: Path) -> None:
    """What looks at files alone takes a table without the column to predict too."""
    np.save(tmp_path / "features.npy", np.ones((2, 3), "float32"))
    pd.DataFrame({"code": [1, 0]}).to_csv(tmp_path / "table.csv", index=False)
    path = written(tmp_path, FEATURES + 'index = "code"\n[targets]\nkind = "kind"\n')
    data = dataset_of(path, targets=False)
    assert ([one.role for one in data.fields], len(data)) == (["input"], 2)
    with pytest.raises(MtgenError, match="kind"):
        dataset_of(path)


# --- stores, splits, samplers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["features.bcolz", "features.parquet::a,b,c,d", "features.npy"])
def test_stores_of_every_kind_give_the_same_samples(folder: Path, store: str) -> None:
    text = f'[table]\npath = "table.csv"\n[inputs.features]\nstore = "{store}"\n[targets]\nkind = "kind"\n'
    data = dataset_of(written(folder, text, "store.toml"))
    np.testing.assert_array_equal(data.fetch([5, 0]).inputs["features"], np.load(folder / "features.npy")[[5, 0]])


SAMPLERS = {
    'order = "blocks"': 112,
    "order = false": 112,
    'sample_by = "WHERE age > 40 SAMPLE BY weight LIMIT 50"': 50,
    'balanced = "kind"\nover = 1.0\nunder = 0.0': None,
    'balanced = "kind"\ncounts = {cat = 5, dog = 7, eel = 9}': 21,
    'balanced = "code"\ntarget = {3 = 0.5, 10 = 0.25, 20 = 0.25}\nexact = true': None,
    'weighted = "weight"\nsize = 40': 40,
    "weighted = \"max_weight(kind == 'cat': 5, True: 1)\"\nreplace = false": 112,
    "where = \"kind = 'cat'\"\nsize = 30": 30,
    "size = 300": 300,
}


@pytest.mark.parametrize(("sampler", "size"), SAMPLERS.items())
def test_samplers_say_which_rows_are_trained(folder: Path, sampler: str, size: int | None) -> None:
    path = written(folder, FEATURES + f'[targets]\nkind = "kind"\n[sampler]\n{sampler}\n', "sampler.toml")
    loaders = loaders_of(path)
    train, table = loaders["train"], loaders["train"].dataset.table
    rows = np.concatenate([train.rows(step) for step in range(train.steps_per_epoch)])
    assert size is None or len(rows) == size
    assert set(rows.tolist()) <= set(train.dataset.rows.tolist())
    kinds = table["kind"].iloc[rows]
    if "counts" in sampler:
        assert kinds.value_counts().to_dict() == {"cat": 5, "dog": 7, "eel": 9}
    if "where" in sampler:
        assert set(kinds) == {"cat"}
    if "age" in sampler:
        assert table["age"].iloc[rows].min() > 40
    for loader in loaders.values():
        loader.close()


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        ('balanced = "knid"', "no column 'knid'"),
        ('balanced = "kind"\ncounts = {bird = 3}', r"\[sampler\]: counts names the class 'bird', .* has cat, dog, eel"),
        ('where = "age > 200"', r"no row of 112 meets the condition 'age > 200'"),
        ('sample_by = "SAMPLE BY bogus"', "bogus"),
    ],
)
def test_samplers_that_cannot_be_are_refused(folder: Path, sampler: str, says: str) -> None:
    path = written(folder, FEATURES + f'[targets]\nkind = "kind"\n[sampler]\n{sampler}\n', "no_sampler.toml")
    with pytest.raises(MtgenError, match=says):
        sampler_of(read_config(path), splits_of(path)["train"])


def test_splits_by_shares_groups_and_columns(folder: Path) -> None:
    base = FEATURES + '[targets]\nkind = "kind"\n'
    shares = written(folder, base + "[split]\nshares = {train = 100, valid = 40, test = 20}\nseed = 4\n", "split.toml")
    assert [len(part) for part in splits_of(shares)] == [100, 40, 20]
    grouped = written(folder, base + '[split]\ngroup = "age"\nstratify = false\n', "grouped.toml")
    ages = [set(part.table["age"].iloc[part.rows]) for part in splits_of(grouped)]
    assert not ages[0] & ages[1]
    assert not ages[0] & ages[2]
    table = pd.read_csv(folder / "table.csv").assign(part=["train"] * 100 + ["valid"] * 60)
    table.to_csv(folder / "parts.csv", index=False)
    text = base.replace("table.csv", "parts.csv") + '[split]\nby = "part"\n'
    with pytest.raises(PlanError, match=r"must hold train, valid and test, .* it holds train, valid"):
        splits_of(written(folder, text, "by.toml"))
    text += '[recipe]\nscore_test = "never"\n' + SMALL.replace("epochs = 4", "epochs = 1")
    said = trained("--config", written(folder, text, "by.toml"))
    assert "100 train, 60 valid." in said
    assert re.search(r"^features alone valid accuracy: ", said, re.MULTILINE)


# --- models and callbacks of one's own --------------------------------------------------------------------------------

CODE = """
import keras

from own_layers import SIZE

CALLS = []


def plain(dataset, units=4):
    x = keras.Input(dataset.input_specs["features"].shape, name="features")
    hidden = keras.layers.Dense(units, activation="relu")(x)
    return keras.Model(x, keras.layers.Dense(SIZE)(hidden))


def compiled(dataset):
    model = plain(dataset)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=["sparse_categorical_accuracy"])
    return model


class OwnTest(keras.Model):
    def test_step(self, *arguments):
        answer = super().test_step(*arguments)
        logs, *state = answer if isinstance(answer, tuple) else (answer,)
        logs = {**logs, "twice": 2 * logs["loss"]}
        return (logs, *state) if state else logs


def own_test(dataset):
    inner = plain(dataset)
    return OwnTest(inner.inputs, inner.outputs)


def nothing(dataset):
    return 3


def broken(dataset):
    raise KeyError("features")


class Counter(keras.callbacks.Callback):
    def __init__(self, start):
        super().__init__()
        self.count = start

    def on_epoch_end(self, epoch, logs=None):
        self.count += 1
        CALLS.append(self.count)


class Stopper(keras.callbacks.Callback):
    # Ends a run as a kill would, and is saved with it.
    def __init__(self, step):
        super().__init__()
        self.step, self.seen = step, 0

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        if self.seen == self.step:
            raise KeyboardInterrupt

    def saved_state(self):
        return {"seen": self.seen}

    def saved_arrays(self):
        return {}

    def check_saved(self, state, arrays):
        pass

    def restore_saved(self, state, arrays):
        self.seen = state["seen"] + 1
"""


@pytest.fixture
def code(folder: Path) -> Path:
    (folder / "own_code.py").write_text(CODE, encoding="utf-8")
    (folder / "own_layers.py").write_text("SIZE = 3\n", encoding="utf-8")
    return folder


def test_a_model_function_of_ones_own_is_compiled_for_the_targets(code: Path, tmp_path: Path) -> None:
    text = FEATURES + '[targets]\nkind = "kind"\n[fit]\nepochs = 15\nbatch_size = 16\nlearning_rate = 0.02\n'
    text += '[model]\nfunction = "own_code:plain"\narguments = {units = 6}\n'
    path = written(code, text, "own.toml")
    said = trained("--config", path, "--run", tmp_path / "one")
    assert float(re.findall(r"test accuracy: ([\d.]+)", said)[0]) > 0.8  # logits were told from probabilities
    assert [one.shape for one in weights(tmp_path / "one")] == [(4, 6), (6,), (6, 3), (3,)]
    # Its run.toml, in another folder, finds the code and the data again, and the very same run.
    trained("--config", tmp_path / "one" / "run.toml", "--run", tmp_path / "again" / "deeper")
    same(tmp_path / "one", tmp_path / "again" / "deeper")


def test_a_model_that_comes_compiled_keeps_its_optimizer_and_metrics(code: Path) -> None:
    text = FEATURES + '[targets]\nkind = "kind"\n[fit]\nepochs = 2\n[model]\nfunction = "own_code:compiled"\n'
    said = trained("--config", written(code, text, "compiled.toml"), "--halve-after", 1)
    assert "the model came compiled: its own optimizer and loss are used" in said
    assert re.search(r"features alone test sparse categorical accuracy: ", said)


@pytest.mark.parametrize(
    ("monitor", "section", "is_known"),
    [
        ("val_twice", "", True),
        ("val_bogus", "", False),
        ("val_bogus", 'callbacks = [{callback = "own_code:Counter", arguments = {start = 7}}]\n', True),
        ("bogus", "", True),  # what an own step of training tells is known only then
    ],
)
def test_a_dry_run_knows_what_can_be_watched(code: Path, monitor: str, section: str, is_known: bool) -> None:
    text = section + FEATURES + '[targets]\nkind = "kind"\n[model]\nfunction = "own_code:own_test"\n'
    path = written(code, text, "watched.toml")
    done = command("--config", path, "--monitor", monitor, "--patience", 8, "--dry-run")
    assert done.exit_code == (0 if is_known else 1)
    assert ("'val_accuracy', 'val_loss', 'val_twice']" in done.stderr) is not is_known


def test_a_model_from_a_file_goes_on_from_there(code: Path, tmp_path: Path) -> None:
    base = FEATURES + '[targets]\nkind = "kind"\n'
    first = written(code, base + SMALL.replace("epochs = 4", "epochs = 1"), "first.toml")
    trained("--config", first, "--run", tmp_path / "first")
    shutil.copyfile(tmp_path / "first" / "model.keras", code / "start.keras")
    second = written(code, base + '[fit]\nepochs = 1\n[model]\nfile = "start.keras"\n', "second.toml")
    assert "the model came compiled" in trained("--config", second)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("own_code:nothing", "own_code:nothing returned 3, expected a keras.Model"),
        ("own_code:broken", "own_code:broken() raised KeyError: 'features'"),
        ("own_code:CALLS", "own_code:CALLS is [], expected a function"),
        ("own_code:plian", "'own_code' has no 'plian'"),
        ("own_cod:plain", "there is no module 'own_cod', neither installed nor in"),
        ("own_code.plain", 'an import path is "package.module:name"'),
    ],
)
def test_functions_that_give_no_model_are_refused(code: Path, function: str, says: str) -> None:
    text = FEATURES + f'[targets]\nkind = "kind"\n[model]\nfunction = "{function}"\n'
    done = command("--config", written(code, text, "bad.toml"), "--dry-run")
    assert done.exit_code == 1
    assert says in done.stderr


def test_callbacks_of_ones_own_and_of_keras_are_called(code: Path, tmp_path: Path) -> None:
    text = f"""
callbacks = [
    {{callback = "own_code:Counter", arguments = {{start = 7}}}},
    {{callback = "keras.callbacks:CSVLogger", arguments = {{filename = "{tmp_path / "log.csv"}"}}}},
]
{FEATURES}
[targets]
kind = "kind"
{SMALL}
"""
    trained("--config", written(code, text, "callbacks.toml"))
    import sys

    assert sys.modules["own_code"].CALLS[-4:] == [8, 9, 10, 11]
    assert len(pd.read_csv(tmp_path / "log.csv")) == 4


def test_what_is_no_callback_is_refused(code: Path) -> None:
    for path, says in (
        ("own_code:plain", "raised TypeError"),
        ("collections:OrderedDict", "expected a keras.callbacks.Callback"),
    ):
        text = f'callbacks = ["{path}"]\n{FEATURES}[targets]\nkind = "kind"\n'
        done = command("--config", written(code, text, "no_callback.toml"), "--dry-run")
        assert done.exit_code == 1
        assert says in done.stderr


# --- the run folder ---------------------------------------------------------------------------------------------------

RULES = """
[recipe]
patience = 9
patience_increase = 1.5
halve_after = 2
decay = 0.05
score_test = "best"
"""
RUN = "[run]\ncheckpoint_steps = 2\nsnapshot_steps = 5\ntensorboard = true\n"


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with rules that nothing interrupted."""
    base = FEATURES + '[targets]\nkind = "kind"\nprice = "price"\n' + SMALL + RULES + RUN
    done = tmp_path_factory.mktemp("runs") / "whole"
    trained("--config", written(folder, base, "rules.toml"), "--run", done)
    return done


def test_a_run_leaves_all_that_repeats_it(folder: Path, whole: Path, tmp_path: Path) -> None:
    run = RunFolder(whole)
    for path in (run.config, run.record, run.splits, run.history, run.decisions, run.waits, run.test_scores):
        assert path.is_file(), path
    assert run.architecture.is_file()
    assert run.model.is_file()
    assert run.read_record()["seed"] == 0
    history = run.read_history()
    assert history["step"].tolist() == [4 * number for number in range(1, len(history) + 1)]
    assert "improved" in {one["what"] for one in run.read_decisions()}
    assert {5, 10} <= set(run.snapshot_steps())
    scores = run.read_test_scores()
    assert scores["why"].tolist()[-1] == "after training"
    assert set(scores["why"].tolist()[:-1]) == {"new best"}
    events = list(decoded((run.tensorboard / "validation" / "events.out.tfevents.mtgen").read_bytes()))
    assert [one.step for one in events[1:]] == history["step"].tolist()
    assert events[1].scalars["epoch_loss"] == pytest.approx(history["val_loss"][0], rel=1e-6)

    trained("--config", run.config, "--run", tmp_path / "other")
    same(whole, tmp_path / "other")
    again = splits_of(run.config, sealed=True)
    loaded = mtgen.Splits.load(run.splits, dataset_of(run.config))
    assert [part.rows.tolist() for part in again.open()] == [part.rows.tolist() for part in loaded]


@pytest.mark.parametrize("step", [1, 5, 8])
def test_a_run_that_was_interrupted_and_resumed_is_the_same_run(
    code: Path, whole: Path, tmp_path: Path, step: int
) -> None:
    stopper = f'callbacks = [{{callback = "own_code:Stopper", arguments = {{step = {step}}}}}]\n'
    path = written(code, stopper + (code / "rules.toml").read_text(), f"stopped_{step}.toml")
    folder = tmp_path / "run"
    done = command("--config", path, "--run", folder)
    assert done.exit_code == 130, done.output
    assert ("saved after step 4: the same command with --resume" in done.output) == (step == 5)
    assert ("nothing was saved" in done.output) == (step == 1)
    # Without a file, a run goes on as its own run.toml says; the callback would stop it again where nothing was saved.
    text = (folder / "run.toml").read_text().replace(f"step = {step}}}", "step = -1}")
    (folder / "run.toml").write_text(text)
    said = trained("--run", folder, "--resume")
    assert ("resumed after" in said) == (step > 2)
    same(whole, folder)
    events = [
        [(one.step, one.scalars) for one in decoded((run / "tensorboard" / "train" / FILE).read_bytes())]
        for run in (whole, folder)
    ]
    for first, second in zip(*events, strict=True):
        assert first[0] == second[0]
        assert {name: value for name, value in first[1].items() if name != "epoch_data_wait"} == {
            name: value for name, value in second[1].items() if name != "epoch_data_wait"
        }


FILE = "events.out.tfevents.mtgen"


def test_a_finished_run_that_is_resumed_looks_at_the_test_split_no_more(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = (folder / "test_scores.csv").read_bytes()
    assert tomllib.loads((whole / "run.toml").read_text())["run"]["folder"] == "."
    said = trained("--config", whole / "run.toml", "--run", folder, "--resume")
    assert "Training took" in said
    assert (folder / "test_scores.csv").read_bytes() == before
    same(whole, folder)
    assert " gone" not in said
    for name in ("splits.csv", "run.json"):
        (folder / name).unlink()
    with (folder / "tensorboard" / "train" / FILE).open("ab") as file:
        file.write(b"torn")
    said = trained("--config", whole / "run.toml", "--run", folder, "--resume")
    assert "splits.csv, run.json of the run that goes on are gone: written anew, compared with nothing" in said
    assert "4 bytes of " in said
    assert f"{FILE} are cut off or damaged, and were dropped" in said


def test_a_run_that_patience_ended_inside_an_epoch_has_the_same_valid_score_when_it_is_resumed(
    folder: Path, tmp_path: Path
) -> None:
    recipe = "[recipe]\npatience = 8\nimprovement_threshold = 1e-9\nrestore_best = false\n"
    path = written(folder, FEATURES + '[targets]\nprice = "price"\n' + SMALL + recipe, "ended.toml")
    first, again = (
        train_config(with_run(path, tmp_path / "run", resume=resume), say=lambda line: None) for resume in (False, True)
    )
    assert (first.num_steps, again.num_steps) == (9, 9)  # validations follow steps 4 and 8
    assert again.valid == pytest.approx(first.valid, rel=1e-6)
    assert first.valid != pytest.approx(again.history["val_mae"][-1], rel=1e-6)


def with_run(path: Path, run: Path, *, resume: bool) -> Config:
    return replace(read_config(path), run=Run(run=run, resume=resume))


def test_a_folder_with_a_run_is_refused_without_resume(whole: Path) -> None:
    done = command("--config", whole / "run.toml")
    assert done.exit_code == 1
    assert "the folder has a run that was saved after step" in done.stderr


def test_a_test_split_that_is_never_scored_stays_sealed(folder: Path, tmp_path: Path) -> None:
    text = FEATURES + '[targets]\nkind = "kind"\n' + SMALL + '[recipe]\nscore_test = "never"\n'
    said = trained("--config", written(folder, text, "never.toml"), "--run", tmp_path / "run")
    assert "features alone valid accuracy: " in said
    assert not (tmp_path / "run" / "test_scores.csv").exists()


# --- ablations --------------------------------------------------------------------------------------------------------


def test_an_ablation_of_any_inputs_names_them(folder: Path, tmp_path: Path) -> None:
    text = (
        '[table]\npath = "table.csv"\n[inputs.features]\nstore = "features.npy"\n[inputs.age]\ncolumns = ["age"]\n'
        '[targets]\nkind = "kind"\n' + SMALL.replace("epochs = 4", "epochs = 1")
    )
    path = written(folder, text, "ablation.toml")
    said = trained("--config", path, "--ablate", "--run", tmp_path / "runs").splitlines()
    assert [line.split(" test accuracy: ")[0] for line in said if " test accuracy: " in line] == [
        "features alone",
        "age alone",
        "merged",
        "merged, features shifted one row,",
    ]
    folders = sorted(one.name for one in (tmp_path / "runs").iterdir())
    assert folders == ["age-alone", "features-alone", "merged", "merged-features-shifted-one-row"]
    shifted = tmp_path / "runs" / "merged-features-shifted-one-row"
    trained("--config", shifted / "run.toml", "--run", tmp_path / "again")
    same(shifted, tmp_path / "again")


def test_the_digits_file_is_the_digits() -> None:
    assert dataset_of(ROOT / "data_samples" / "digits.toml").digests == make_dataset(Samples()).digests
