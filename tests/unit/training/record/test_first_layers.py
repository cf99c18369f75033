"""The first layers behind inputs, as a snapshot names them and as pictures show them: one walk, the same answer."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

from mtgen.training.measures import graph
from mtgen.training.record.layers import first_layers

layers = keras.layers
Dense = layers.Dense


class Written(keras.Model):
    """A model whose branches nobody can see."""

    def __init__(self) -> None:
        super().__init__(name="written")
        self.part = Dense(3, name="inside")

    def build(self, shape: Any) -> None:
        self.part.build(shape)

    def call(self, inputs: Any) -> Any:
        return self.part(inputs)

    def compute_output_shape(self, shape: Any) -> Any:
        return (shape[0], 3)


def one(*shape: int, dtype: str = "float32") -> Any:
    return keras.Input(shape, name="x", dtype=dtype)


def two() -> tuple[Any, Any]:
    return keras.Input((4,), name="x"), keras.Input((4,), name="y")


def chain(*parts: Any, shape: tuple[int, ...] = (4,), dtype: str = "float32") -> Any:
    x = result = one(*shape, dtype=dtype)
    for part in parts:
        result = part(result)
    return keras.Model(x, result)


def nested(*parts: Any, shape: tuple[int, ...] = (4,)) -> Any:
    return keras.Sequential([keras.Input(shape), *parts])


# --- nested models ----------------------------------------------------------------------------------------------------


def sequential_in_a_model_in_a_model() -> Any:
    inner = nested(layers.Rescaling(0.1), layers.Conv2D(2, 3, name="conv"), layers.Flatten(), shape=(6, 6, 1))
    return chain(layers.Rescaling(2.0), chain(inner, Dense(2), shape=(6, 6, 1)), shape=(6, 6, 1))


def nested_preprocessing() -> Any:
    return chain(nested(layers.Rescaling(2.0), layers.BatchNormalization()), Dense(1, name="behind"))


def nested_of_two_inputs() -> Any:
    a, b = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model([a, b], Dense(3)(layers.Concatenate()([Dense(2, name="inside")(a), b])))
    x, y = two()
    return keras.Model([x, y], Dense(1)(inner([x, y])))


def nested_given_one_input_twice() -> Any:
    a, b = keras.Input((4,)), keras.Input((4,))
    x = one(4)
    return keras.Model(x, keras.Model([a, b], [Dense(2, name="for_a")(a), Dense(2, name="for_b")(b)])([x, x]))


def nested_that_joins_its_own_branches() -> Any:
    a = keras.Input((4,))
    return chain(keras.Model(a, Dense(2)(layers.Concatenate()([a, layers.ReLU()(a)]))), Dense(1))


def nested_with_an_output_before_its_kernel() -> Any:
    a, x = keras.Input((4,)), one(4)
    left, right = keras.Model(a, [Dense(2, name="inside")(a), layers.ReLU()(a)])(x)
    return keras.Model(x, [Dense(1, name="left")(left), Dense(1, name="right")(right)])


def nested_given_a_mask() -> Any:
    """This was an IndexError, before the first step of training."""
    a, x, mask = keras.Input((4, 3)), one(4, 3), keras.Input((4,), name="mask", dtype="bool")
    inner = keras.Model(a, layers.LSTM(2, name="lstm")(layers.Dense(3, name="inside")(a)))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that the mask ends here
        return keras.Model([x, mask], inner(x, mask=mask))


# --- shared layers ----------------------------------------------------------------------------------------------------


def shared_by_two_inputs() -> Any:
    (x, y), shared, model = two(), Dense(4, name="shared"), nested(layers.Rescaling(2.0), Dense(2, name="inside"))
    return keras.Model([x, y], layers.Add()([model(layers.ReLU()(x)), model(shared(y))]))


def shared_without_kernel() -> Any:
    (x, y), flat = two(), layers.Flatten()
    return keras.Model([x, y], [Dense(2, name="behind_x")(flat(x)), Dense(2, name="behind_y")(flat(y))])


def shared_twice_on_one_branch() -> Any:
    flat = layers.Flatten()
    return chain(flat, layers.ReLU(), flat, Dense(2, name="behind"))


def shared_join() -> Any:
    (x, y), add = two(), layers.Add()
    return keras.Model([x, y], Dense(1)(add([Dense(4, name="behind")(add([x, x])), y])))


def input_of_another_model() -> Any:
    x = one(4)
    Dense(9, name="elsewhere")(x)
    return keras.Model(x, Dense(1, name="own")(x))


def own_layer_on_the_input_elsewhere() -> Any:
    x, second = one(4), Dense(4, name="second")
    second(x)
    return keras.Model(x, second(Dense(4, name="first")(x)))


# --- layers that are no kernel, or hide theirs ------------------------------------------------------------------------


def normalized() -> Any:
    adapted = layers.Normalization(axis=(1, 2, 3))
    adapted.adapt(np.arange(72.0).reshape(2, 6, 6, 1))
    scaled = (layers.LayerNormalization(axis=[1, 2, 3]), layers.PReLU(), layers.BatchNormalization())
    return chain(adapted, *scaled, layers.Conv2D(2, 3, name="conv"), shape=(6, 6, 1))


def preprocessed() -> Any:
    parts = (layers.CenterCrop(5, 5), layers.Resizing(4, 4), layers.RandomRotation(0.1), layers.RandomFlip())
    return chain(*parts, layers.Conv2D(2, 3, name="conv"), shape=(6, 6, 1))


def operations() -> Any:
    x = one(4)
    return keras.Model(x, Dense(1, name="behind")(keras.ops.relu(x * 2.0 + 1.0)))


def embedded() -> Any:
    return chain(layers.Embedding(9, 3, name="embedding"), layers.Flatten(), Dense(1), dtype="int32")


def embedded_beside_a_dense_layer() -> Any:
    x = one(4)
    behind = Dense(3)(layers.Flatten()(layers.Embedding(9, 3, name="embedding")(x)))
    return keras.Model(x, layers.Add()([behind, Dense(3, name="beside")(layers.ReLU()(layers.ReLU()(x)))]))


def recurrent() -> Any:
    return chain(layers.LSTM(2, name="lstm"), Dense(1), shape=(4, 3))


def by_time() -> Any:
    return chain(layers.TimeDistributed(Dense(2), name="timed"), layers.Flatten(), Dense(1), shape=(4, 3))


def written_as_a_class() -> Any:
    return chain(Written(), Dense(1))


# --- the rest ---------------------------------------------------------------------------------------------------------


def branches() -> Any:
    (x, y), other = two(), keras.Input((4,), name="other")
    scaled = layers.Rescaling(2.0)(x)
    parted = [Dense(3, name="left")(scaled), Dense(3, name="right")(layers.ReLU()(scaled))]
    return keras.Model([x, y, other], Dense(1)(layers.Concatenate()([*parted, y, Dense(2, name="own")(other)])))


def kinds_of_convolution() -> Any:
    x, y = keras.Input((6, 6, 2), name="x"), keras.Input((6, 6, 2), name="y")
    return keras.Model([x, y], [layers.SeparableConv2D(2, 3, name="both")(x), layers.DepthwiseConv2D(3, name="one")(y)])


NO_PICTURE = {"embedding", "lstm", "timed", "written"}
"""First layers that have no kernel of their own to draw."""


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (sequential_in_a_model_in_a_model, {"x": ["conv"]}),
        (nested_preprocessing, {"x": ["behind"]}),
        (nested_of_two_inputs, {"x": ["inside"], "y": []}),
        (nested_given_one_input_twice, {"x": ["for_a", "for_b"]}),
        (nested_that_joins_its_own_branches, {"x": []}),
        (nested_with_an_output_before_its_kernel, {"x": ["inside", "right"]}),
        (nested_given_a_mask, {"x": ["inside"], "mask": []}),
        (shared_by_two_inputs, {"x": ["inside"], "y": ["shared"]}),
        (shared_without_kernel, {"x": ["behind_x"], "y": ["behind_y"]}),
        (shared_twice_on_one_branch, {"x": ["behind"]}),
        (shared_join, {"x": ["behind"], "y": []}),
        (input_of_another_model, {"x": ["own"]}),
        (own_layer_on_the_input_elsewhere, {"x": ["first"]}),
        (normalized, {"x": ["conv"]}),
        (preprocessed, {"x": ["conv"]}),
        (operations, {"x": ["behind"]}),
        (embedded, {"x": ["embedding"]}),
        (embedded_beside_a_dense_layer, {"x": ["embedding", "beside"]}),
        (recurrent, {"x": ["lstm"]}),
        (by_time, {"x": ["timed"]}),
        (written_as_a_class, {"x": ["written"]}),
        (branches, {"x": ["left", "right"], "y": [], "other": ["own"]}),
        (kinds_of_convolution, {"x": ["both"], "y": ["one"]}),
    ],
)
def test_snapshots_name_what_pictures_show(make: Callable[[], Any], wanted: dict[str, list[str]]) -> None:
    model = make()
    assert {name: found["first_layers"] for name, found in first_layers(model).items()} == wanted
    shown = {name: found and found.name for name, found in graph.first_layers(model).items()}
    drawn = {name: [one for one in names if one not in NO_PICTURE] for name, names in wanted.items()}
    assert shown == {name: next(iter(names), None) for name, names in drawn.items()}


def test_convolutions_behind_an_input_end_where_branches_meet() -> None:
    x, y = keras.Input((6, 6, 2), name="x"), keras.Input((6, 6, 2), name="y")
    layers.Conv2D(2, 3, name="elsewhere")(x)
    inner = nested(layers.Conv2D(2, 3, padding="same", name="inside"), shape=(6, 6, 2))
    own = layers.Conv2D(2, 3, padding="same", name="own")(inner(x))
    model = keras.Model([x, y], layers.Conv2D(2, 3, name="behind")(layers.Add()([own, y])))
    assert {name: [one.name for one in graph.convolutions_behind(model, name)] for name in "xy"} == {
        "x": ["inside", "own"],
        "y": [],
    }
