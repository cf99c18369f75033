"""`mtgen doctor` on real data: what it builds delivers the right samples, and nothing of the user's is changed."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import mtgen
from mtgen.cli import app
from mtgen.doctor import Report, examine
from mtgen.doctor.altered import bound_like, only_inputs, part_of, possible_recipes, recipe_named, twin
from mtgen.doctor.copies import cached_pictures, packed_features
from mtgen.doctor.facts import facts_of
from mtgen.doctor.measure import Place, deliver, in_turn
from mtgen.doctor.schedule import Slices
from mtgen.doctor.trials import pixel_levels
from mtgen.errors import DecodeError, ModelError, PlanError
from tests.support.pictures import encode, photo
from tests.support.samples import content, make_dataset, make_pictures

pytestmark = pytest.mark.usefixtures("no_thread_left", "temporary")


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, of this test alone."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def digits_copy(digits: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(digits, tmp_path / "digits"))


def digits_dataset(folder: Path, **images: Any) -> mtgen.Dataset:
    settings: dict[str, Any] = {"size": (16, 16), "color": "grayscale", **images}
    return mtgen.Dataset(
        mtgen.read_table(folder / "table.csv"),
        inputs={
            "image": mtgen.Images("imgpath", root=folder, **settings),
            "features": mtgen.Rows(str(folder / "features.bcolz")),
        },
        targets="target",
    )


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of each file."""
    found = {str(path): path.stat() for path in sorted(folder.rglob("*"))}
    return {path: (one.st_size, one.st_mtime_ns) for path, one in found.items()}


def bound_of(dataset: mtgen.Dataset, name: str) -> Any:
    return {one.name: one.bound for one in dataset.fields if one.role == "input"}[name]


def check_report(report: Report) -> None:
    """Every figure is there and possible; none is compared with a clock."""
    json.dumps(report.as_json(), allow_nan=False)
    assert report.delivery.rows_per_second > 0
    assert report.delivery.low <= report.delivery.rows_per_second <= report.delivery.high
    assert 0 <= report.delivery.busy_share <= 1
    for one in report.findings:
        assert (one.comparison is None) == bool(one.problem), one
        if one.comparison is not None:
            assert 0 < one.comparison.low <= one.comparison.ratio <= one.comparison.high
    assert report.verdict.text in str(report)


# --- twins and altered datasets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"shuffle": "blocks", "num_workers": 0, "drop_last": True},
        {"shuffle": False, "pad_last": True, "shard": mtgen.Shard(1, 2), "memory": 16 << 20},
        {"seed": 5, "prefetch": mtgen.Prefetch(window=3, depth=2), "on_error": "mask"},
    ],
)
def test_a_twin_delivers_what_the_loader_does_with_the_same_window(tmp_path: Path, settings: dict[str, Any]) -> None:
    data = make_dataset(40, pictures=make_pictures(tmp_path / "pictures", 40))
    with mtgen.Loader(data, 6, **settings) as loader, twin(loader) as other:
        assert other.forecast == loader.forecast
        for step in (0, loader.steps_per_epoch - 1, loader.steps_per_epoch):
            assert content(other.batch(step)) == content(loader.batch(step))


def test_more_workers_get_what_they_need_on_top(tmp_path: Path) -> None:
    loader = mtgen.Loader(make_dataset(40), 6, num_workers=1, memory=40 << 20)
    for number in (0, 1, 2, 9):
        other = twin(loader, num_workers=number)
        assert other.num_workers == number
        assert number == 0 or (other.forecast.window, other.forecast.depth) == (
            loader.forecast.window,
            loader.forecast.depth,
        )


def test_some_inputs_taken_over_deliver_the_same(tmp_path: Path) -> None:
    data = make_dataset(30, pictures=make_pictures(tmp_path / "pictures", 30)).take(range(3, 30))
    other = only_inputs(data, {name: bound_of(data, name) for name in ("image", "shared")})
    assert other.rows.tolist() == data.rows.tolist()
    assert list(other.input_specs) == ["image", "shared"]
    found = other.fetch([5, 3, 5]).inputs
    for name, values in found.items():
        np.testing.assert_array_equal(values, data.fetch([5, 3, 5]).inputs[name])
    assert only_inputs(data, {"plain": bound_of(data, "plain")}, np.array([9, 4])).rows.tolist() == [9, 4]


@pytest.mark.parametrize(("size", "window"), [(None, 3), (8, 3), (2, 12)])
def test_a_part_of_a_loader_plans_as_many_rows_together(size: int | None, window: int) -> None:
    data = make_dataset(40)
    with mtgen.Loader(data, 8, num_workers=2, prefetch=mtgen.Prefetch(window=3, depth=5)) as loader:
        part = only_inputs(data, {"features": bound_of(data, "features")}, np.arange(20))
        with part_of(loader, part, size) as other:
            assert other.forecast.window == window
            assert other.forecast.window * other.batch_size == 24
            assert sorted(row for batch in other.epoch(0) for row in batch.rows.tolist()) == list(range(20))
        with part_of(loader, only_inputs(data, {"plain": bound_of(data, "plain")}), size) as other:
            assert (other.forecast.window, other.forecast.depth <= 10) == (1, True)


def test_packed_features_are_those_of_the_same_rows(tmp_path: Path, digits: Path) -> None:
    """The copy holds a sample in an order of its own; keys are compared as before."""
    data = digits_dataset(digits).take(range(5, 905))
    bound = bound_of(data, "features")
    with mtgen.Loader(data, 32, seed=3) as loader:
        copy = packed_features(loader, bound, tmp_path, 60.0)
        assert copy.rows.tolist() == data.rows.tolist()
        assert copy.bound.compares_keys
        assert copy.bound.store.chunk_rows < bound.chunk_rows
        rows = [904, 5, 77, 5]
        found = only_inputs(data, {"features": copy.bound}).fetch(rows).inputs["features"]
        np.testing.assert_array_equal(found, data.fetch(rows).inputs["features"])
        files = [path for path in (tmp_path / "features.zarr").rglob("*") if path.is_file()]
        assert copy.disk_bytes == pytest.approx(sum(path.stat().st_size for path in files) / 900 * 1797, rel=0.1)
        assert copy.make_seconds >= 0
        copy.bound.store.close()


def test_a_sample_is_read_for_its_time_and_too_small_a_one_is_refused(tmp_path: Path, digits: Path) -> None:
    data = digits_dataset(digits)
    with mtgen.Loader(data, 32, prefetch=mtgen.Prefetch(window=4)) as loader:
        copy = packed_features(loader, bound_of(data, "features"), tmp_path, 0.0)
        assert copy.rows.tolist() == sorted(np.concatenate([loader.rows(step) for step in range(4)]).tolist())
        copy.bound.store.close()
    with (
        mtgen.Loader(data, 32, prefetch=mtgen.Prefetch(window=2)) as loader,
        pytest.raises(PlanError, match=r"a sample of 64 rows .* 128 are needed: give more time"),
    ):
        packed_features(loader, bound_of(data, "features"), tmp_path / "other", 0.0)


@pytest.mark.parametrize("settings", [{}, {"dtype": "float32", "scale": (2.0, -1.0)}, {"color": "rgb", "fit": "crop"}])
def test_cached_pictures_are_those_of_the_same_rows(tmp_path: Path, digits: Path, settings: dict[str, Any]) -> None:
    data = digits_dataset(digits, **settings).take(range(5, 205))
    bound = bound_of(data, "image")
    with mtgen.Loader(data, 32, seed=3, shard=mtgen.Shard(1, 2)) as loader:
        copy = cached_pictures(loader, bound, tmp_path, 60.0)
        expected = set(np.concatenate([loader.rows(step) for step in range(loader.steps_per_epoch)]).tolist())
    assert set(copy.rows.tolist()) == expected
    found = only_inputs(data, {"image": copy.bound}).fetch(copy.rows).inputs["image"]
    wanted = data.fetch(copy.rows).inputs["image"]
    factor, offset = settings.get("scale", (1.0, 0.0))
    np.testing.assert_array_equal(found * factor + offset, wanted)
    copy.bound.store.close()


def test_recipes_are_told_with_the_reason_why_one_cannot_be() -> None:
    images = mtgen.Images("file", size=(8, 8), dtype="float32", scale=(0.5, 0.0), fit="pad")
    found = possible_recipes(images)
    assert (found["clean"], found["fast"]) == ("", "")
    assert "keras.utils.load_img has no fit='pad'" in found["keras"]
    assert recipe_named(images, "fast").pixel_recipe.scale == (0.5, 0.0)
    # Also where a whole recipe was given.
    given = mtgen.Images("file", recipe=images.pixel_recipe)
    assert possible_recipes(given).keys() == found.keys()
    assert recipe_named(given, "fastest").pixel_recipe == recipe_named(images, "fastest").pixel_recipe


def test_pixel_differences_are_those_of_the_delivered_pictures_in_levels(tmp_path: Path) -> None:
    for row in range(3):
        (tmp_path / f"{row}.jpg").write_bytes(encode(photo(160 + row, 200), "JPEG", quality=90))
    table = mtgen.read_table(_csv(tmp_path, "file\n0.jpg\n1.jpg\n2.jpg\n"))

    def levels(**settings: Any) -> float:
        images = mtgen.Images("file", root=tmp_path, size=(20, 25), **settings)
        data = mtgen.Dataset(table, {"x": images})
        return pixel_levels(data, bound_of(data, "x"), bound_like(bound_of(data, "x"), other(images)))

    def other(images: mtgen.Images) -> mtgen.Images:
        return recipe_named(images, "fastest")

    def pictures(recipe: str) -> np.ndarray:
        images = mtgen.Images("file", root=tmp_path, size=(20, 25), recipe=recipe)
        return mtgen.Dataset(table, {"x": images}).fetch([0, 1, 2]).inputs["x"].astype(float)

    expected = np.abs(pictures("clean") - pictures("fastest")).mean()
    assert expected > 0
    assert levels() == pytest.approx(expected)
    assert levels(dtype="float32", scale=(2.0, -1.0)) == pytest.approx(expected, rel=0.1)


def _csv(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text)
    return path


# --- slices -----------------------------------------------------------------------------------------------------------


def test_no_two_slices_read_the_same_rows_of_an_epoch(tmp_path: Path) -> None:
    data, place, starts = make_dataset(4000), Place(), []
    with mtgen.Loader(data, 8, num_workers=1) as loader, mtgen.Loader(data, 16, num_workers=0) as larger:
        for one in (loader, larger, loader, larger):
            starts.append(place.step(one) * one.batch_size)
            found = deliver(one, place, 0.0)
            assert found.num_rows >= one.batch_size
            assert found.seconds > 0
            assert place.num_rows >= starts[-1] + found.num_rows
        assert starts == sorted(set(starts))


def test_sides_take_turns_and_the_clock_ends_the_comparison() -> None:
    with mtgen.Loader(make_dataset(64), 8, num_workers=0) as loader:
        asked: list[str] = []

        def side(name: str) -> Callable[[float], Any]:
            def run(seconds: float) -> Any:
                asked.append(name)
                return deliver(loader, Place(), 0.0)

            return run

        plan = Slices(num_rounds=5, seconds=0.01)
        found, present, changed = in_turn(side("a"), side("b"), plan, time.perf_counter() + 1e6)
        assert "".join(asked) == "abbaabbaab"
        assert (found.num_rounds, len(present), len(changed)) == (5, 5, 5)
        asked.clear()
        found, _, _ = in_turn(side("a"), side("b"), plan, time.perf_counter() - 1.0)
        assert "".join(asked) == "ab"
        assert not found.is_clear


# --- the examination --------------------------------------------------------------------------------------------------


def test_an_examination_measures_and_leaves_everything_as_it_was(digits_copy: Path, temporary: Path) -> None:
    before = files_of(digits_copy)
    loader = mtgen.Loader(digits_dataset(digits_copy), 8, seed=1, num_workers=2)
    loader.step = 7
    lines: list[str] = []
    report = examine(loader, seconds=6.0, say=lines.append)
    check_report(report)
    assert lines[:3] == ["reading the first batches", "the loader alone", "recipe='fast'"]
    facts = facts_of(loader)
    assert facts.is_chunked
    names = [one.change.name for one in report.findings]
    assert {
        "recipe='fast'",
        "packed features",
        "decoded pictures kept on disk",
        "batch_size=16",
        "num_workers=1",
    } <= set(names)
    by_name = {one.change.name: one for one in report.findings}
    # The first ones fit, whatever the machine.
    assert by_name["recipe='fast'"].pixel_levels == 0.0
    for name in ("packed features", "decoded pictures kept on disk"):
        one = by_name[name]
        if one.comparison is not None:
            assert (one.disk_bytes or 0) > 0
            assert (one.make_seconds or 0) > 0
    assert report.training is None
    assert report.verdict.binds == "unknown"
    # Nothing of the user's was touched.
    assert (loader.step, loader.stats().num_batches, loader.num_restores) == (7, 0, 0)
    assert files_of(digits_copy) == before
    assert list(temporary.iterdir()) == []


def test_little_time_skips_the_rest_with_the_reason(digits: Path) -> None:
    loader = mtgen.Loader(digits_dataset(digits), 32, num_workers=0)
    report = examine(loader, seconds=0.2)
    check_report(report)
    assert len(report.findings) > 5
    skipped = [one for one in report.findings if one.change.kind == "workers"]
    assert skipped
    assert all(one.comparison is None and "--seconds gives more" in one.problem for one in skipped)
    assert "Not measured:" in str(report)


def test_a_dataset_of_columns_alone_is_examined_too() -> None:
    table = mtgen.read_table("data_samples/digits/table.csv")
    data = mtgen.Dataset(table, {"id": mtgen.Columns("id")}, targets="target")
    report = examine(mtgen.Loader(data, 16, num_workers=1, drop_last=True, pad_last=False), seconds=1.0)
    check_report(report)
    assert {one.change.kind for one in report.findings} <= {"workers", "processes", "batch"}
    assert {one.part for one in report.findings} == {""}


def test_what_cannot_be_tried_is_told(tmp_path: Path) -> None:
    """Rows in memory are not packed; a batch larger than the dataset is none."""
    data = make_dataset(40)
    report = examine(mtgen.Loader(data, 30, num_workers=0, shuffle=False), seconds=0.2)
    problems = {one.change.name: one.problem for one in report.findings}
    assert problems["packed features of 'features'"] == "the rows are in memory already"
    assert problems["batch_size=60"] == "only the steps of a model can tell: give one"
    assert problems['shuffle="blocks"'] == 'the loader has an order of its own, not shuffle="exact"'


def test_a_what_if_that_fails_is_told_and_the_others_go_on(
    digits: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    data = digits_dataset(digits)
    pictures = examine(mtgen.Loader(only_inputs(data, {"image": bound_of(data, "image")}), 8), seconds=6.0)
    features = examine(mtgen.Loader(only_inputs(data, {"features": bound_of(data, "features")}), 8), seconds=6.0)
    for report in (pictures, features):
        check_report(report)
    problems = {one.change.kind: one.problem for report in (features, pictures) for one in report.findings}
    assert "failed: " in problems["pack"]
    assert os.strerror(errno.ENOSPC) in problems["pack"]
    assert os.strerror(errno.ENOSPC) in problems["cache"]
    assert problems["workers"] == "" or "failed" not in problems["workers"]
    assert list(temporary.iterdir()) == []


def test_ctrl_c_while_a_copy_is_made_leaves_nothing(
    digits: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> int:
        assert list(temporary.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        examine(mtgen.Loader(digits_dataset(digits), 8, num_workers=1), seconds=6.0)
    assert list(temporary.iterdir()) == []


def test_samples_that_cannot_be_read_are_an_error_that_names_verify(digits_copy: Path) -> None:
    table = mtgen.read_table(digits_copy / "table.csv")
    for name in table["imgpath"]:
        (digits_copy / name).write_bytes(b"no picture")
    loader = mtgen.Loader(digits_dataset(digits_copy), 32, num_workers=1)
    with pytest.raises(DecodeError, match=r"mtgen verify lists all of them.*row \d+, path") as caught:
        examine(loader, seconds=1.0)
    assert caught.value.row is not None


def test_bad_rows_that_are_refilled_write_no_report(digits_copy: Path, tmp_path: Path) -> None:
    table = mtgen.read_table(digits_copy / "table.csv")
    (digits_copy / table["imgpath"][3]).write_bytes(b"no picture")
    policy = mtgen.OnError(policy="refill", report=tmp_path / "bad.csv")
    data = digits_dataset(digits_copy).take(range(64))
    report = examine(mtgen.Loader(data, 8, num_workers=1, on_error=policy), seconds=2.0)
    check_report(report)
    assert not (tmp_path / "bad.csv").exists()


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), "10", True, None])
def test_seconds_are_a_number_above_0(digits: Path, seconds: Any) -> None:
    with pytest.raises(PlanError, match="seconds must be a number > 0"):
        examine(mtgen.Loader(digits_dataset(digits), 32), seconds=seconds)
    with pytest.raises(PlanError, match="loader must be"):
        examine(digits_dataset(digits))  # type: ignore[arg-type]


# --- with a model -----------------------------------------------------------------------------------------------------


def small_model(dataset: mtgen.Dataset, *, compiled: bool = True) -> Any:
    import keras

    inputs = {name: keras.Input(spec.shape, name=name) for name, spec in dataset.input_specs.items()}
    flat = [keras.layers.Flatten()(one) for one in inputs.values()]
    joined = keras.layers.BatchNormalization()(keras.layers.Concatenate()(flat))
    joined = keras.layers.Dropout(0.5, seed=1)(joined)
    model = keras.Model(list(inputs.values()), keras.layers.Dense(10, activation="softmax")(joined))
    if compiled:
        model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def values_of(model: Any) -> list[np.ndarray]:
    import keras

    found = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(keras.ops.convert_to_numpy(one.value)) for one in found]


def test_a_model_is_measured_and_left_as_it_was(digits: Path) -> None:
    data = digits_dataset(digits).take(range(300))
    model = small_model(data)
    # A training before: moments of Adam, seeds, statistics and metrics are to be found again.
    with mtgen.Loader(data, 64, num_workers=1) as loader:
        model.fit(loader.keras(model), epochs=1, verbose=0)
    before, history = values_of(model), model.history
    assert any(one.any() for one in before)
    # 300 rows make a last batch of another size.
    loader = mtgen.Loader(data, 64, num_workers=1)
    report = examine(loader, model, seconds=2.0)
    check_report(report)
    assert report.training is not None
    assert report.training.replay_seconds > 0
    assert report.training.step_seconds > 0
    assert 0 <= report.training.wait_share <= 1
    assert report.verdict.binds in ("data", "cores", "model")
    assert "Training:" in str(report)
    after = values_of(model)
    assert len(after) == len(before)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))
    assert model.history is history
    assert loader.stats().num_batches == 0


def test_a_model_that_was_never_trained_has_an_optimizer_without_moments_after_it(digits: Path) -> None:
    data = digits_dataset(digits).take(range(64))
    model = small_model(data)
    weights = [np.array(one) for one in model.get_weights()]
    examine(mtgen.Loader(data, 32, num_workers=0), model, seconds=0.2)
    assert all(np.array_equal(one, other) for one, other in zip(weights, model.get_weights(), strict=True))
    moments = [value for value in values_of(model)[len(model.variables) :] if value.ndim]
    assert moments
    assert not any(value.any() for value in moments)


def test_a_model_that_cannot_be_trained_is_refused_before_anything_is_measured(digits: Path) -> None:
    data = digits_dataset(digits)
    loader = mtgen.Loader(data, 32, num_workers=0)
    with pytest.raises(ModelError, match=r"not compiled.*call model.compile"):
        examine(loader, small_model(data, compiled=False), seconds=0.2)
    other = digits_dataset(digits, size=(8, 8))
    with pytest.raises(ModelError):
        examine(loader, small_model(other), seconds=0.2)
    without = mtgen.Dataset(data.table, {"features": mtgen.Rows(str(digits / "features.bcolz"))})
    with pytest.raises(ModelError, match="no targets"):
        examine(mtgen.Loader(without, 32, num_workers=0), small_model(without), seconds=0.2)


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def test_the_command_prints_the_report_and_writes_json(tmp_path: Path) -> None:
    result = run("--seconds", "1", "--workers", "1", "--json", tmp_path / "doctor.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("1,258 samples (image (4, 8, 1) uint8, features (32) float32); batches of 32")
    assert "Without a model only this can be said" in result.stdout
    assert "reading the first batches" in result.stderr
    values = json.loads((tmp_path / "doctor.json").read_text())
    assert values["verdict"]["binds"] == "unknown"
    assert values["verdict"]["text"] in result.stdout


def test_the_command_measures_the_merged_model_and_a_saved_one(tmp_path: Path, digits: Path) -> None:
    # 34 batches of 37 are the 1,258 rows: one shape to compile.
    few = ("--seconds", "1", "--workers", "1", "--batch-size", "37")
    result = run(*few, "--model", "merged")
    assert result.exit_code == 0, result.output
    assert "per step with one batch replayed" in result.stdout
    model = small_model(digits_dataset(digits, size=(4, 8)))
    model.optimizer.build(model.trainable_variables)  # else Keras warns when it is loaded
    model.save(tmp_path / "model.keras")
    result = run(*few, "--model", tmp_path / "model.keras")
    assert result.exit_code == 0, result.output
    assert "Training: " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--model", "nowhere.keras"], 1, "error: the model cannot be loaded"),
        (["--seconds", "0"], 2, "--seconds"),
        (["--json", "nowhere/at/all.json", "--seconds", "0.2"], 1, "error: the figures cannot be written"),
        (["--table", "nowhere.csv", "--features", "f.npy"], 1, "error: there is no such file"),
    ],
)
def test_errors_of_the_command_are_plain_text(arguments: list[str], code: int, says: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.output
