"""What a snapshot says of a model: which layer a variable belongs to, and where each branch begins."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from mtgen.spec import Spec
from mtgen.training.merged import Output, merged_model
from mtgen.training.record.layers import described_variables, first_layers, variable_names

layers = keras.layers


def branches(model: Any) -> dict[str, list[str]]:
    return {name: one["first_layers"] for name, one in first_layers(model).items()}


def test_the_merged_model_begins_with_a_convolution_and_a_dense_layer() -> None:
    pictures = {"image": Spec(shape=(16, 16, 3), dtype="uint8")}
    rows = {"features": Spec(shape=(5,), dtype="float32")}
    model = merged_model(pictures, rows, Output(num_classes=3), seed=0)
    found = first_layers(model)
    assert found["image"]["shape"] == [None, 16, 16, 3]
    (image,), (features,) = found["image"]["first_layers"], found["features"]["first_layers"]
    described = described_variables(model)
    kinds = {one["layer"]: one["layer_class"] for one in described.values() if one["variable"] == "kernel"}
    assert kinds[image] == "Conv2D"
    assert kinds[features] == "Dense"
    assert list(described) == variable_names(model) == [one.path for one in model.variables]


def test_branches_that_part_are_joined_or_go_straight_on() -> None:
    one, other, third = (keras.Input((4,), name=name) for name in ("one", "other", "third"))
    scaled = layers.Rescaling(2.0)(one)
    left = layers.Dense(3, name="left")(scaled)
    right = layers.Dense(3, name="right")(layers.Activation("relu")(scaled))
    joined = layers.Concatenate(name="join")([left, right, other, layers.Dense(2, name="own")(third)])
    model = keras.Model([one, other, third], layers.Dense(1, name="last")(joined))
    assert branches(model) == {"one": ["left", "right"], "other": [], "third": ["own"]}
    layers.Dense(9, name="elsewhere")(one)  # of no part of this model
    assert branches(model)["one"] == ["left", "right"]
    model = keras.Model({"third": third, "other": other}, layers.Dense(1, name="both")(layers.Add()([other, third])))
    assert branches(model) == {"third": [], "other": []}


def test_a_sum_of_an_input_with_itself_is_one_branch() -> None:
    one = keras.Input((4,), name="one")
    model = keras.Model(one, layers.Dense(1, name="last")(layers.Add()([one, one])))
    assert branches(model) == {"one": ["last"]}


def test_sequential_nested_and_written_models() -> None:
    sequential = keras.Sequential([keras.Input((8, 8, 1), name="image"), layers.Rescaling(0.1)])
    sequential.add(layers.Conv2D(2, 3, name="conv"))
    assert branches(sequential) == {"image": ["conv"]}
    image = keras.Input((8, 8, 1), name="outer")
    nested = keras.Model(image, layers.Flatten()(sequential(image)))
    assert branches(nested) == {"outer": ["conv"]}
    assert {one["layer"] for one in described_variables(nested).values()} == {"conv"}
    assert first_layers(keras.Sequential([layers.Dense(1)])) == {}

    class Written(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="written")
            self.part = layers.TimeDistributed(layers.Dense(2, name="inner"), name="outer")

        def call(self, inputs: Any) -> Any:
            return self.part(inputs)

    model = Written()
    model(keras.ops.zeros((1, 3, 4)))
    assert first_layers(model) == {}
    described = described_variables(model)
    assert [(one["layer"], one["layer_class"], one["variable"]) for one in described.values()] == [
        ("inner", "Dense", "kernel"),
        ("inner", "Dense", "bias"),
    ]


@pytest.mark.parametrize("num", [2, 3])
def test_equal_paths_get_names_of_their_own(num: int) -> None:
    one = keras.Input((4,))
    parts = [keras.Sequential([keras.Input((4,)), layers.Dense(2, use_bias=False, name="same")]) for _ in range(num)]
    model = keras.Model(one, [part(one) for part in parts])
    names = variable_names(model)
    assert len(set(names)) == num == len(described_variables(model))
