"""Options of `from_dataframe`: which there are, which go together, and what to write instead of those of Keras."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from mtgen.errors import PlanError
from mtgen.inputs.rows import Rows
from mtgen.loader import Loader
from mtgen.recipe import check_choice
from mtgen.settings import nearest

CLASS_MODES = ("binary", "categorical", "input", "multi_output", "raw", "sparse", None)
"""What a target can be, in Keras's words."""

NUMBERED = ("binary", "categorical", "sparse")
"""The class modes whose targets are classes."""

_LAYER = "put {} at the start of the picture branch of the model; it acts in training only, on the device"
_SAVE = "look at batches with mtgen.view.sheet.contact_sheet(loader, step, 'sheet.png'), or `mtgen show`"

_REFUSED: Mapping[str, tuple[Any, str]] = MappingProxyType(
    {
        "rotation_range": (0, _LAYER.format("keras.layers.RandomRotation(degrees / 360)")),
        "width_shift_range": (0.0, _LAYER.format("keras.layers.RandomTranslation(0.0, share)")),
        "height_shift_range": (0.0, _LAYER.format("keras.layers.RandomTranslation(share, 0.0)")),
        "brightness_range": (None, _LAYER.format("keras.layers.RandomBrightness(...)")),
        "shear_range": (0.0, _LAYER.format("keras.layers.RandomShear(...)")),
        "zoom_range": (0.0, _LAYER.format("keras.layers.RandomZoom(...)")),
        "channel_shift_range": (0.0, _LAYER.format("keras.layers.RandomColorJitter(...)")),
        "horizontal_flip": (False, _LAYER.format("keras.layers.RandomFlip('horizontal')")),
        "vertical_flip": (False, _LAYER.format("keras.layers.RandomFlip('vertical')")),
        "fill_mode": (
            "nearest",
            "it belongs to the random layers of the model: keras.layers.RandomRotation(fill_mode=...)",
        ),
        "cval": (0.0, "it belongs to the random layers of the model: keras.layers.RandomRotation(fill_value=...)"),
        "interpolation_order": (1, "it belongs to the random layers of the model: RandomRotation(interpolation=...)"),
        "featurewise_center": (False, "use keras.layers.Normalization, adapted to the training pictures"),
        "featurewise_std_normalization": (False, "use keras.layers.Normalization, adapted to the training pictures"),
        "samplewise_center": (False, "subtract the mean over axes 1 to 3 in a layer at the start of the model"),
        "samplewise_std_normalization": (False, "divide by the deviation over axes 1 to 3 in a layer of the model"),
        "zca_whitening": (False, "multiply by the whitening matrix in a layer at the start of the model"),
        "zca_epsilon": (1e-06, "it belongs to zca_whitening, which mtgen leaves to the model"),
        "preprocessing_function": (None, "use rescale=, or call the function on the tensors at the start of the model"),
        "save_to_dir": (None, _SAVE),
        "save_prefix": ("", f"it belongs to save_to_dir; {_SAVE}"),
        "save_format": ("png", f"it belongs to save_to_dir; {_SAVE}"),
        "has_ext": (True, "file names are taken as the table has them, with their extension; leave it out"),
        "sort": (None, "rows come in the order of the table with shuffle=False; leave it out"),
        "drop_duplicates": (None, "use dataframe.drop_duplicates(...), which keeps the index labels; leave it out"),
        "max_queue_size": (10, "how far to work ahead is prefetch=mtgen.Prefetch(...), within memory="),
        "use_multiprocessing": (False, "mtgen decodes in threads: num_workers=N"),
        "workers": (1, "write num_workers=N"),
    }
)
"""Options of Keras that mtgen does otherwise: their default, which asks for nothing, and what to write instead."""

_CHOICES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "class_mode": CLASS_MODES,
        "color_mode": ("rgb", "rgba", "grayscale"),
        "interpolation": ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"),
        "subset": ("training", "validation", None),
        "on_missing": ("raise", "drop"),
        "on_unlisted": ("raise", "drop"),
        "dtype": ("float32", "uint8"),
        "shuffle": (True, False, "exact", "blocks"),
    }
)


def loader_options(options: Mapping[str, Any], function: Callable[..., Any]) -> dict[str, Any]:
    """The options that go to `Loader`.

    Args:
        options: what was given beside the parameters of `function`.
        function: whose parameters are named where an option is misspelt.

    Raises:
        PlanError: an option that asks for what mtgen does not do, or that nobody knows.
    """
    parameters = inspect.signature(Loader.__init__).parameters
    known = [name for name, one in parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
    passed = {}
    for name, value in options.items():
        if name in _REFUSED:
            default, advice = _REFUSED[name]
            if not _asks_nothing(value, default):
                raise PlanError(f"from_dataframe does not do {name}={value!r:.100}: {advice}")
        elif name in known:
            passed[name] = value
        else:
            near = nearest(name, [*inspect.signature(function).parameters, *known, *_REFUSED], 2, str)
            hint = f"did you mean {near}?" if near else f"those of a Loader are {', '.join(known)}"
            raise PlanError(f"from_dataframe has no option {name!r}; {hint}")
    return passed


def check_choices(**given: Any) -> None:
    """Refuse a value that is none of its option's choices.

    Raises:
        PlanError: names the choices.
    """
    for name, value in given.items():
        if (name, value) == ("class_mode", "other"):
            raise PlanError("class_mode='other' is the old name of 'raw': write class_mode='raw'")
        check_choice(name, value, _CHOICES[name])


def check_together(class_mode: str | None, y_col: Any, weight_col: Any, classes: Any) -> None:
    """Refuse columns and classes that do not go with the class mode.

    Raises:
        PlanError: says what goes with it.
    """
    several = not isinstance(y_col, str)
    if several and (not isinstance(y_col, list | tuple) or not y_col):
        raise PlanError(f"y_col must be the name of a column, or a list of names, received {y_col!r:.100}")
    if class_mode == "multi_output" and not several:
        raise PlanError(f"class_mode='multi_output' needs a list of columns, received y_col={y_col!r}")
    if class_mode in NUMBERED and several:
        raise PlanError(
            f"class_mode={class_mode!r} takes one column, received y_col={list(y_col)}; use 'raw' for one target of "
            "several numbers, 'multi_output' for several targets"
        )
    if classes is not None and class_mode not in NUMBERED:
        raise PlanError(f"classes=... has no effect with class_mode={class_mode!r}; leave it out")
    if weight_col is not None and class_mode is None:
        raise PlanError(f"weight_col={weight_col!r} has no effect with class_mode=None: there is no loss to weigh")


def checked_size(target_size: Any) -> tuple[int, int]:
    """Height and width.

    Raises:
        PlanError: not two values.
    """
    if not isinstance(target_size, tuple | list) or len(target_size) != 2:
        raise PlanError(f"target_size must be (height, width) in pixels, received {target_size!r}")
    height, width = target_size
    return height, width


def feature_input(features: Any, index: str | None, key: Any) -> dict[str, Any]:
    """The second input, by name; empty without one.

    Args:
        features: None, an input, or what `Rows` takes.
        index: `Rows(index=...)`.
        key: `Rows(key=...)`.

    Raises:
        PlanError: settings of `Rows` without features, or for an input that has its own.
    """
    if features is None:
        if index is not None or key is not None:
            raise PlanError("feature_index and feature_key say how to read features=, and there are none")
        return {}
    if isinstance(features, list | tuple) and all(isinstance(name, str) for name in features):
        raise PlanError(f"features={features!r:.100}: for columns of the table write features=mtgen.Columns([...])")
    if not hasattr(features, "bind"):
        return {"features": Rows(features, index=index, key=key)}
    if index is not None or key is not None:
        raise PlanError(
            f"features is a {type(features).__name__}, which says itself how it is read; leave out feature_index and "
            "feature_key"
        )
    return {"features": features}


def _asks_nothing(value: Any, default: Any) -> bool:
    """Whether an option has the default of Keras, which changes nothing."""
    if value is None or default is None:
        return value is default
    return isinstance(value, bool | int | float | str) and value == default
