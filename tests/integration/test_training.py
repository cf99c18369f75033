"""Real training runs on the digits, and on tables as users have them."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import ModelError, MtgenError, PlanError, TableError
from mtgen.training.ablation import with_inputs
from mtgen.training.config.sections import SHARES, ModelSettings
from mtgen.training.heads import num_classes
from mtgen.training.merged import Output, Scaling, Width, merged_model
from mtgen.training.run import Result, ablate, conclusion, train, train_model, waiting
from mtgen.training.samples import config_for, make_dataset, make_splits
from mtgen.training.settings import Fit, Samples

pytestmark = pytest.mark.usefixtures("no_thread_left")

SMALL = Width(filters=4, units=8, dropout=0.1)
SMALL_MODEL = ModelSettings(filters=4, units=8, dropout=0.1)


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def results(said: list[str]) -> list[Result]:
    return ablate(fit=Fit(epochs=6, batch_size=74, learning_rate=0.005), say=said.append, bar=False)


def scored(result: Result, **changed: Any) -> Result:
    """The result with another score of its only target."""
    (score,) = result.scores
    return replace(result, scores=(replace(score, **changed),))


def silent(samples: Samples, **fit: Any) -> Result:
    return train(samples, Fit(**fit), say=lambda line: None, bar=False)


# --- the digits -------------------------------------------------------------------------------------------------------


def test_accuracy_itself_proves_alignment(results: list[Result]) -> None:
    picture, features, merged, shifted = (result.test for result in results)
    assert merged >= 0.95
    assert merged > max(picture, features) + 0.02
    assert merged > shifted + 0.02
    assert min(picture, features) > 0.8  # each view alone says a lot: the gain is the merging
    assert "met its own features" in conclusion(results)


def test_result_lines_have_the_exact_form(results: list[Result]) -> None:
    assert [str(result) for result in results] == [
        f"picture alone test accuracy: {results[0].test:.2f}",
        f"features alone test accuracy: {results[1].test:.2f}",
        f"merged test accuracy: {results[2].test:.2f}",
        f"merged, features shifted one row, test accuracy: {results[3].test:.2f}",
    ]


def test_results_count_what_was_trained(results: list[Result]) -> None:
    for result in results:
        assert result.num_rows == 6 * 1258
        assert result.stats.num_rows >= 6 * 1258  # and what Keras looked at before
        assert result.stats.num_bad_rows == 0
        assert len(result.history["loss"]) == 6
        assert 0 <= result.wait_share <= 1
    assert results[2].stats.num_keys_compared >= 6 * 1258
    assert results[3].stats.num_keys_compared == 0
    assert f"for {4 * 6 * 1258:,} rows" in waiting(results)


def test_the_conclusion_follows_the_numbers(results: list[Result]) -> None:
    swapped = [results[0], results[1], scored(results[2], test=0.5), results[3]]
    assert "prove nothing" in conclusion(swapped)
    errors = [scored(result, metric="mean absolute error", test=1 - result.test) for result in results]
    assert conclusion(errors).startswith("The mean absolute error is lower with both")
    assert str(errors[2]) == f"merged test mean absolute error: {errors[2].test:.4g}"


def test_same_seed_same_run_whatever_the_global_seeds_and_workers_are() -> None:
    histories = []
    for workers in (0, 2):
        random.seed(workers)
        np.random.seed(workers)
        parts = make_splits(make_dataset(Samples()), Samples(), seed=0)
        named = {name: with_inputs(parts[name], ("features",)) for name in parts.names}
        config = config_for(fit=Fit(epochs=2, batch_size=1258, workers=workers))
        config = replace(config, model=SMALL_MODEL)
        histories.append(train_model("x", named, config, say=lambda line: None, bar=False).history)
    assert histories[0] == histories[1]


def test_shifted_features_are_those_of_the_next_row() -> None:
    data = make_dataset(Samples())
    part = make_splits(data, Samples(), seed=0)["test"]
    shifted = with_inputs(part, ("image", "features"), shifted=True)
    np.testing.assert_array_equal(shifted.rows, part.rows)
    got, plain = shifted.fetch([0, 5, 1796]), data.fetch([0, 5, 1796])
    np.testing.assert_array_equal(got.inputs["image"], plain.inputs["image"])
    np.testing.assert_array_equal(got.targets["target"], plain.targets["target"])
    np.testing.assert_array_equal(got.inputs["features"], data.fetch([1, 6, 0]).inputs["features"])


@pytest.mark.usefixtures("results")
def test_lines_are_said_as_training_goes_on(said: list[str]) -> None:
    assert said[0].startswith(
        "1797 rows: 1258 train, 270 valid, 269 test. Inputs: image (4, 8, 1) uint8, features (32)"
    )
    epochs = [f"  epoch {epoch} of 6" for epoch in range(1, 7)]
    assert [line.split(":")[0] for line in said[1:8]] == ["picture alone", *epochs]
    assert said[22] == "merged, features shifted one row:"


# --- tables of users --------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Samples:
    """120 rows in which feature 0 says everything: kind (text), code (integers with gaps), price (a number)."""
    rng = np.random.default_rng(0)
    kind = np.arange(120) % 3
    features = rng.normal(scale=0.1, size=(120, 4)) + kind[:, None] * [1, 0, 0, 0]
    np.save(tmp_path / "features.npy", features * 50 + 1000)
    part = np.where(np.arange(120) < 80, "train", np.where(np.arange(120) < 100, "valid", "test"))
    table = pd.DataFrame(
        {
            "kind": np.array(["cat", "dog", "eel"])[kind],
            "code": np.array([3, 10, 20])[kind],
            "price": 1e5 + 1e4 * kind,
            "same": 1,
            "part": part,
        }
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    return Samples(table=tmp_path / "table.csv", features=str(tmp_path / "features.npy"), target="kind")


@pytest.mark.parametrize(("target", "classes"), [("kind", ("cat", "dog", "eel")), ("code", ("3", "10", "20"))])
def test_text_and_integers_with_gaps_are_classes(own: Samples, target: str, classes: tuple[str, ...]) -> None:
    samples = replace(own, target=target)
    assert make_dataset(samples).classes == {target: classes}


def test_classes_by_name_are_learned(own: Samples) -> None:
    result = silent(own, epochs=15, batch_size=8, learning_rate=0.01)
    assert (result.name, result.metric) == ("features alone", "accuracy")
    assert result.test > 0.9


def test_floats_are_regression_and_the_error_is_in_the_targets_unit(own: Samples) -> None:
    lines: list[str] = []
    fit = Fit(epochs=40, batch_size=8, learning_rate=0.01)
    result = train(replace(own, target="price"), fit, say=lines.append, bar=False)
    assert "regression" in lines[0]
    assert result.metric == "mean absolute error"
    assert result.test < 4000  # guessing the mean is 6,667 off
    assert str(result).startswith("features alone test mean absolute error: ")


def test_integers_become_numbers_when_asked(own: Samples) -> None:
    assert num_classes(make_dataset(replace(own, target="code", task="regression"))) is None
    assert num_classes(make_dataset(replace(own, target="price", task="classification"))) == 3


def test_a_column_can_say_the_split(own: Samples) -> None:
    samples = replace(own, split_by="part")
    parts = make_splits(make_dataset(samples), samples, seed=0)
    assert {name: len(parts[name]) for name in parts.names} == {"train": 80, "valid": 20, "test": 20}
    assert list(parts.names) == list(SHARES)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"target": "knid"}, TableError, "Did you mean 'kind'"),
        ({"target": "same"}, PlanError, "'same' holds one value only, 1: nothing to learn"),
        ({"features": None}, PlanError, r"says nothing of inputs: name .*--image-column.*--features.*or both"),
        ({"image_column": "kind"}, PlanError, "--size HEIGHT WIDTH"),
        ({"task": "regression"}, PlanError, "regression needs numbers; column 'kind' holds"),
        ({"split_by": "kind"}, PlanError, "must hold train, valid and test, .* it holds cat, dog, eel"),
        ({"table": Path("nowhere.csv")}, TableError, "there is no such file.*nowhere.csv"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_settings_that_do_not_fit_say_how_to_fix_them(
    own: Samples, change: dict[str, Any], error: type[MtgenError], says: str
) -> None:
    samples = replace(own, **change)
    with pytest.raises(error, match=says):
        make_splits(make_dataset(samples), samples, seed=0)


def test_settings_of_a_table_without_a_table_are_refused() -> None:
    with pytest.raises(PlanError, match="--image-root, --key without --table"):
        make_dataset(Samples(key="id", image_root=Path("pictures")))


def test_a_rare_class_names_the_option_that_helps(own: Samples) -> None:
    table = mtgen.read_table(str(own.table))
    table.loc[0, "kind"] = "yak"
    table.to_csv(str(own.table), index=False)
    with pytest.raises(PlanError, match=r"'yak' has 1 rows, too few .*\(--no-stratify, or stratify = false"):
        make_splits(make_dataset(own), own, seed=0)
    samples = replace(own, stratify=False)
    assert len(make_splits(make_dataset(samples), samples, seed=0)["test"]) == 18


def test_an_ablation_needs_two_inputs(own: Samples) -> None:
    with pytest.raises(PlanError, match=r"compares two inputs, .* \['features'\] only"):
        ablate(own, say=lambda line: None)


def test_missing_feature_values_are_named_before_training(own: Samples) -> None:
    values = np.load(str(own.features))
    values[:, 2] = np.nan
    np.save(str(own.features), values)
    with pytest.raises(ModelError, match="input 'features' has values that are missing or infinite in 84 of 84 rows"):
        silent(own, epochs=1)


def test_a_loss_that_is_no_number_is_an_error(own: Samples) -> None:
    samples = replace(own, target="price")
    parts = make_splits(make_dataset(samples), samples, seed=0)
    named = dict(zip(parts.names, parts, strict=True))
    config = replace(config_for(samples, Fit(epochs=2, learning_rate=1e30)), model=SMALL_MODEL)
    with pytest.raises(ModelError, match=r"the loss became .*lower --learning-rate"):
        train_model("x", named, config, say=lambda line: None, bar=False)


# --- the model --------------------------------------------------------------------------------------------------------


def spec(*shape: int, dtype: str = "float32") -> mtgen.spec.Spec:
    return mtgen.spec.Spec(shape=shape, dtype=np.dtype(dtype))


def test_branches_keep_their_first_weights_whatever_stands_beside_them() -> None:
    merged = merged_model(spec(4, 8, 1, dtype="uint8"), spec(5), 3, seed=1, width=SMALL)
    alone = merged_model(None, spec(5), 3, seed=1, width=SMALL)
    other = merged_model(None, {"features": spec(5)}, Output(num_classes=3), seed=2, width=SMALL)
    kernels = [np.asarray(model.get_layer("features_dense").kernel.value) for model in (merged, alone, other)]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[1], kernels[2])
    assert [tensor.name for tensor in merged.inputs] == ["image", "features"]


@pytest.mark.parametrize(
    ("size", "flat"), [((4, 8), (4, 8)), ((32, 32), (8, 8)), ((150, 150), (5, 5)), ((1, 1), (1, 1)), ((9, 100), (1, 7))]
)
def test_feature_maps_are_halved_until_small(size: tuple[int, int], flat: tuple[int, int]) -> None:
    model = merged_model(spec(*size, 3, dtype="uint8"), None, 2, width=SMALL)
    assert model.get_layer("image_conv_last").output.shape[1:3] == flat


def test_any_shape_of_features_goes_in() -> None:
    inputs = {"number": spec(), "matrix": spec(3, 2), "row": spec(4, dtype="float64")}
    scalings = {"matrix": Scaling.of(np.arange(12.0).reshape(2, 3, 2))}
    model = merged_model(None, inputs, None, scalings=scalings, width=SMALL)
    batch = (np.zeros(7, "float32"), np.zeros((7, 3, 2), "float32"), np.zeros((7, 4)))
    assert model.predict(batch, verbose=0).shape == (7, 1)


@pytest.mark.parametrize(
    ("images", "features", "targets", "says"),
    [
        (None, None, 2, "at least one input"),
        (None, spec(1), 1, "two classes"),
        (None, spec(1), True, "must be a number of classes, an Output, or None for a number, received True"),
        (None, spec(1), {}, "at least one target"),
        (spec(4), None, 2, "has three axes"),
        ({"a": spec(4, 4, 1)}, {"a": spec(1)}, 2, "both called 'a'"),
        (None, [4], 2, "must be a Spec, a dict of name -> Spec, or None"),
    ],
)
def test_models_that_cannot_be_are_refused(images: Any, features: Any, targets: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        merged_model(images, features, targets)
