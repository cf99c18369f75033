"""Recipes: what they promise, refuse, and hash to."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest

from mtgen.errors import PlanError
from mtgen.recipe import NAMES, Recipe, named_recipe

GOLDEN = {  # may change only together with recipe.VERSION: recorded digests of users' runs stop matching
    "clean": "865bd90a9a00d9c93cc7ecaea93ceb65",
    "fast": "d1ec172db4e0d9535111735878cce179",
    "fastest": "9b5aa25d35621927739467be15a087de",
    "keras": "54dfad2d3cf998a8d60aee81848ebb21",
    "turbo": "de753cf980fc3115893da265e4c2e766",
    "turbo-fastest": "febacb1bf032d04881fdd150c0833631",
}


@pytest.mark.parametrize("name", NAMES)
def test_digests_are_golden(name):
    assert named_recipe(name, size=(150, 200)).digest() == GOLDEN[name]


def test_every_field_changes_the_digest():
    base = Recipe(size=(8, 9), dtype="float32", filter="box")
    changes = {
        "name": "other",
        "size": (9, 8),
        "color": "grayscale",
        "fit": "crop",
        "fill": 3,
        "filter": "nearest",
        "orientation": "none",
        "alpha": "drop",
        "sixteen_bit": "refuse",
        "scaled_decode": 2,
        "reducing_gap": 3.0,
        "formats": ("PNG",),
        "max_pixels": 1000,
        "strict_frames": True,
        "dtype": "uint8",
        "scale": (1 / 255, 0.0),
        "data_format": "channels_first",
        "decoder": "turbo",
    }
    assert set(changes) == {field.name for field in dataclasses.fields(Recipe)}
    digests = {base.digest()}
    for field, value in changes.items():
        more = {"fill": {"fit": "pad"}, "decoder": {"filter": "linear"}}.get(field, {})
        digests.add(dataclasses.replace(base, **{field: value}, **more).digest())
    assert len(digests) == len(changes) + 1


def test_equal_recipes_are_one_value():
    one = Recipe(size=[8, np.int64(9)], formats=["PNG", "JPEG", "PNG"], dtype="float32", scale=[1, 0], reducing_gap=3)
    two = Recipe(size=(8, 9), formats=("JPEG", "PNG"), dtype="float32", scale=(1.0, 0.0), reducing_gap=3.0)
    assert one == two
    assert hash(one) == hash(two)
    assert one.digest() == two.digest() == pickle.loads(pickle.dumps(one)).digest()


@pytest.mark.parametrize(
    ("settings", "shape", "dtype"),
    [
        ({}, (8, 9, 3), "uint8"),
        ({"color": "grayscale", "dtype": "uint16"}, (8, 9, 1), "uint16"),
        ({"color": "rgba", "dtype": "float32"}, (8, 9, 4), "float32"),
        ({"data_format": "channels_first"}, (3, 8, 9), "uint8"),
    ],
)
def test_spec(settings, shape, dtype):
    spec = named_recipe("clean", size=(8, 9), **settings).spec
    assert (spec.shape, spec.dtype) == (shape, np.dtype(dtype))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("color", ["rgb", "grayscale", "rgba"])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_every_ready_recipe_takes_every_usual_setting(name, color, fit, dtype):
    if name.startswith("turbo") and color == "rgba":
        with pytest.raises(PlanError, match="the decoder turbo knows no color='rgba'; take the recipe 'clean'"):
            named_recipe(name, size=(8, 9), color=color, fit=fit, dtype=dtype)
        return
    recipe = named_recipe(name, size=(8, 9), color=color, fit=fit, dtype=dtype)
    assert (recipe.name, recipe.color, recipe.fit, recipe.dtype) == (name, color, fit, dtype)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, r"size must be \(height, width\), two integers >= 1, received 8"),
        ({"size": (8, 0)}, "two integers >= 1"),
        ({"size": (8.0, 8)}, "two integers >= 1"),
        ({"size": (True, 8)}, "two integers >= 1"),
        ({"color": "greyscale"}, r"received 'greyscale'; did you mean 'grayscale'\?"),
        ({"color": ["rgb"]}, "color must be one of"),
        ({"filter": "bilinaer"}, r"did you mean 'bilinear'\?"),
        ({"scaled_decode": True}, "scaled_decode must be one of 0, 1, 2, received True"),
        ({"scaled_decode": 4}, "scaled_decode must be one of 0, 1, 2, received 4"),
        ({"alpha": "keep"}, "alpha='keep' does not go with color='rgb'"),
        ({"color": "rgba"}, "alpha='white' does not go with color='rgba'"),
        ({"dtype": "uint16"}, "dtype='uint16' needs color='grayscale'"),
        ({"dtype": "float64"}, "dtype must be one of"),
        ({"dtype": "uint16", "color": "grayscale", "sixteen_bit": "refuse"}, "refuses them; use 'scale'"),
        ({"scale": (1 / 255, 0)}, "scale needs dtype='float32'"),
        ({"dtype": "float32", "scale": (0, 1)}, "the factor not 0"),
        ({"dtype": "float32", "scale": (float("nan"), 1)}, "finite"),
        ({"dtype": "float32", "scale": 2.0}, "scale must be None or"),
        ({"fill": 3}, "fill=3 is for fit='pad'"),
        ({"fill": 256, "fit": "pad"}, "fill must be at most 255"),
        ({"fill": -1, "fit": "pad"}, "fill must be an integer >= 0"),
        ({"reducing_gap": 0.5}, "reducing_gap must be None or a number >= 1"),
        ({"decoder": "turbo"}, "the decoder turbo has the filters 'samples', 'linear', received filter='bilinear'"),
        ({"decoder": "opencv"}, "decoder must be one of 'pillow', 'turbo', received 'opencv'"),
        ({"filter": "samples"}, "filter='samples' is one of the decoder turbo: take the recipe 'turbo'"),
        (
            {"decoder": "turbo", "filter": "linear", "sixteen_bit": "keras"},
            "the decoder turbo knows no sixteen_bit='keras'",
        ),
        ({"decoder": "turbo", "filter": "linear", "reducing_gap": 2}, "reducing_gap=2.0 is Pillow's way to shrink"),
        ({"reducing_gap": 3, "filter": "nearest"}, "filter='nearest' cannot"),
        ({"formats": "JPEG"}, "formats must be a tuple of names"),
        ({"formats": ()}, "formats must be a tuple of names"),
        ({"formats": ("JPG",)}, r"did you mean 'JPEG'\?"),
        ({"max_pixels": 0}, "max_pixels must be an integer >= 1"),
        ({"max_pixels": None}, "max_pixels must be an integer >= 1"),
        ({"strict_frames": 1}, "strict_frames must be True or False"),
        ({"name": ""}, "name must be a text"),
        ({"name": "clean", "orientation": "none"}, "the recipe named 'clean' has orientation='exif', received 'none'"),
        ({"name": "keras"}, "the recipe named 'keras' has"),
    ],
)
def test_what_cannot_be_followed_is_refused(settings, message):
    with pytest.raises(PlanError, match=message):
        Recipe(**({"size": (8, 8)} | settings))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("klean", {}, r"recipe must be one of .* received 'klean'; did you mean 'clean'"),
        ("clean", {"colour": "rgb"}, r"received 'colour'; did you mean 'color'"),
        ("fast", {"scaled_decode": 1}, "the recipe named 'fast' has scaled_decode=2, received 1"),
        ("fast", {"filter": "nearest"}, "use another filter, or the recipe 'clean' or 'keras'"),
        ("clean", {"decoder": "turbo"}, "the recipe named 'clean' has decoder='pillow', received 'turbo'"),
        ("turbo", {"decoder": "pillow"}, "the recipe named 'turbo' has decoder='turbo', received 'pillow'"),
        ("turbo", {"filter": "bilinear"}, "that one goes with the recipes 'clean', 'fast' and 'fastest'"),
        ("keras", {"fit": "pad"}, "load_img has no fit='pad'"),
        ("keras", {"alpha": "white"}, "drops alpha; use the recipe 'clean'"),
    ],
)
def test_a_name_keeps_its_promise(name, settings, message):
    with pytest.raises(PlanError, match=message):
        named_recipe(name, size=(8, 8), **settings)


def test_settings_are_json_and_make_the_recipe_again():
    import json

    recipe = named_recipe("fast", size=(8, 9), dtype="float32", scale=(2 / 255, -1))
    assert Recipe(**json.loads(json.dumps(recipe.settings()))) == recipe


def test_recipes_and_decode_load_no_pillow():
    code = "import sys, mtgen.recipe, mtgen.decode, mtgen.inputs.images; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
