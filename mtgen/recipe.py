"""Pixel recipes: everything that decides an image's pixels, as one value that is compared, hashed and recorded.

Two runs deliver the same pixels from the same file only if they follow the same recipe. So nothing that changes a
pixel is decided anywhere else: `decode` reads a recipe and adds no choice of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from mtgen.errors import PlanError
from mtgen.settings import nearest
from mtgen.spec import Spec

VERSION = 1
"""Rises when the meaning of a field changes, so that old digests stop matching."""

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats known by content, in Pillow's names; PPM stands for the whole family (PBM, PGM, PPM)."""

MAX_PIXELS = 89_478_485
"""Default limit of width x height: a quarter of 1 GiB in 3-byte pixels, the level at which Pillow starts to warn."""

MOST_DELIVERED = 1 << 30
"""Most pixels of a delivered picture; no array of one batch could hold more."""

_MOST_FLOAT = float(np.finfo(np.float32).max)
"""Pixels are float32 at most, so larger factors would turn them into infinity."""

_CHANNELS = MappingProxyType({"rgb": 3, "grayscale": 1, "rgba": 4})

_CHOICES: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "color": tuple(_CHANNELS),
        "fit": ("stretch", "crop", "pad"),
        "decoder": ("pillow", "turbo"),
        "filter": ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming", "samples", "linear"),
        "orientation": ("exif", "none"),
        "alpha": ("white", "black", "drop", "keep"),
        "sixteen_bit": ("scale", "refuse", "keras"),
        "scaled_decode": (0, 1, 2),
        "dtype": ("uint8", "uint16", "float32"),
        "data_format": ("channels_last", "channels_first"),
    }
)

_TURBO_FILTERS = ("samples", "linear")
"""Filters of the decoder `turbo`, in OpenCV's arithmetic; the others are Pillow's."""

TURBO_PACKAGES = MappingProxyType({"cv2": "opencv-python-headless", "simplejpeg": "simplejpeg"})
"""Modules that the decoder `turbo` imports, and the packages that bring them: the extra `turbo`."""

_CLEAN = {"orientation": "exif", "scaled_decode": 0, "reducing_gap": None, "decoder": "pillow"}

_FIXED: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "clean": _CLEAN,
        "fast": _CLEAN | {"scaled_decode": 2, "reducing_gap": 3.0},
        "fastest": _CLEAN | {"scaled_decode": 1, "reducing_gap": 3.0},
        "keras": _CLEAN | {"orientation": "none", "sixteen_bit": "keras"},
        "turbo": _CLEAN | {"decoder": "turbo", "scaled_decode": 2},
        "turbo-fastest": _CLEAN | {"decoder": "turbo", "scaled_decode": 1},
    }
)
"""What each name promises; a recipe of that name with other values is refused, so that a name never lies."""

NAMES = tuple(_FIXED)
"""Names of the ready recipes."""

_OWN_FILTER = {"keras": "nearest", "turbo": "samples", "turbo-fastest": "linear"}
"""Filter of a ready recipe, where it is not bilinear."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides an image's pixels.

    Immutable, hashable, picklable. Any thread. `named_recipe` makes the ready ones.

    Args:
        name: one of `NAMES`, whose promises are then checked, or any name of your own.
        size: (height, width) of the delivered picture, in pixels.
        color: `"rgb"`, `"grayscale"` (ITU-R 601-2 luma, one channel) or `"rgba"`.
        fit: `"stretch"` to the size; `"crop"` the largest centred part of the target's aspect; `"pad"` the whole
            picture, centred on a canvas of `fill`.
        fill: value of the padded part, in the units of the decoded picture (0-255, or 0-65535 with uint16); with
            `rgba` the padded part is transparent. Only with `fit="pad"`.
        filter: resampling filter. Of Pillow's, all but `"nearest"` are antialiased (the support widens when shrinking).
            The decoder turbo has `"samples"` (antialiased: the mean of k x k bilinear samples in each pixel, see
            `mtgen.resample`) and `"linear"` (one bilinear sample, not antialiased).
        orientation: `"exif"` turns the picture upright, `"none"` leaves it as stored (TIFF is always upright).
        alpha: `"white"` or `"black"` lays the picture on that colour, `"drop"` ignores alpha and so shows the colours
            hidden under it, `"keep"` delivers it (only and always with `rgba`).
        sixteen_bit: pictures of more than 8 bits per channel: `"scale"` divides by 257 with rounding, `"refuse"`
            raises, `"keras"` does what `keras.utils.load_img` does (colour clips, grayscale keeps the values).
        scaled_decode: 0 decodes JPEG fully; 1 or 2 let libjpeg decode at 1/2, 1/4 or 1/8 as long as the result is at
            least 1x or 2x the target.
        reducing_gap: None, or at least 1.0: shrink by whole steps first, until this many times the target.
        formats: formats that may be decoded, judged by content, from `FORMATS`.
        max_pixels: pictures with more pixels (width x height, by their header) are refused before any allocation.
        strict_frames: False delivers frame 0 of an animation, counted; True refuses it.
        dtype: `"uint8"`, `"float32"`, or `"uint16"` (grayscale only; 8-bit pictures are then multiplied by 257,
            except with `sixteen_bit="keras"`).
        scale: None or `(factor, offset)`, with float32 only: `value * factor + offset` after decoding.
            `(1/255, 0)` gives 0..1; `(2/255, -1)` gives -1..1, known as "tf" style.
        data_format: `"channels_last"` (height, width, channels) or `"channels_first"`.
        decoder: `"pillow"`, or `"turbo"`: plain JPEG by libjpeg-turbo, all sizes by OpenCV (the extra `turbo`); for
            `rgb` and `grayscale`, with a filter of its own.

    Raises:
        PlanError: a value or a combination that cannot be followed.

    Example:
        >>> recipe = named_recipe("clean", size=(32, 48), dtype="float32", scale=(2 / 255, -1))
        >>> print(recipe.spec)
        (32, 48, 3) float32
    """

    name: str = "custom"
    size: tuple[int, int]
    color: str = "rgb"
    fit: str = "stretch"
    fill: int = 0
    filter: str = "bilinear"
    orientation: str = "exif"
    alpha: str = "white"
    sixteen_bit: str = "scale"
    scaled_decode: int = 0
    reducing_gap: float | None = None
    formats: tuple[str, ...] = FORMATS
    max_pixels: int = MAX_PIXELS
    strict_frames: bool = False
    dtype: str = "uint8"
    scale: tuple[float, float] | None = None
    data_format: str = "channels_last"
    decoder: str = "pillow"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise PlanError(f"name must be a text, received {self.name!r}")
        for field, choices in _CHOICES.items():
            check_choice(field, getattr(self, field), choices)
        for field, value in _normalised(self).items():
            object.__setattr__(self, field, value)
        for field, value in _FIXED.get(self.name, {}).items():
            if getattr(self, field) != value:
                raise PlanError(
                    f"the recipe named {self.name!r} has {field}={value!r}, received {getattr(self, field)!r}; "
                    "give a recipe with other values a name of its own"
                )
        _check_combinations(self)

    @functools.cached_property
    def spec(self) -> Spec:
        """Shape and dtype of one delivered picture, without the batch axis."""
        num_channels = _CHANNELS[self.color]
        shape = (*self.size, num_channels) if self.data_format == "channels_last" else (num_channels, *self.size)
        return Spec(shape=shape, dtype=np.dtype(self.dtype))

    def settings(self) -> dict[str, Any]:
        """All fields as a new dictionary of JSON values; `decoder` only where it is not Pillow.

        So recipes of before there was a choice keep their digests.
        """
        fields = dataclasses.asdict(self)
        if self.decoder == "pillow":
            del fields["decoder"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}

    def digest(self) -> str:
        """32 hex digits over all fields: equal recipes have equal digests, on any machine and in any release.

        Raised `VERSION`s change it, on purpose.

        Example:
            >>> named_recipe("clean", size=(8, 8)).digest() == named_recipe("fast", size=(8, 8)).digest()
            False
        """
        text = json.dumps({"recipe_version": VERSION, **self.settings()}, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def named_recipe(name: str, *, size: tuple[int, int], filter: str | None = None, **settings: Any) -> Recipe:
    """A ready recipe, with your size and your choice of what its name leaves open.

    | name | promises |
    |---|---|
    | `clean` | EXIF orientation, antialiased bilinear, full decode, alpha on white, 16 bits scaled |
    | `fast` | `clean`, but JPEG decoded at not less than 2x the target, and `reducing_gap=3` |
    | `fastest` | `clean`, but JPEG decoded at not less than 1x the target, and `reducing_gap=3` |
    | `turbo` | `fast` by libjpeg-turbo and OpenCV: filter `samples`, antialiased, no `reducing_gap` |
    | `turbo-fastest` | `turbo`, but JPEG decoded at not less than 1x the target, and filter `linear`, not antialiased |
    | `keras` | pixels of `keras.utils.load_img(..., keep_aspect_ratio=(fit == "crop"))`: nearest, no orientation |

    Pure. Any thread.

    Args:
        name: one of `NAMES`.
        size: (height, width) in pixels.
        filter: None for the recipe's own: `"nearest"` with `keras`, `"samples"` with `turbo`, `"linear"` with
            `turbo-fastest`, else `"bilinear"`.
        **settings: other fields of `Recipe`.

    Returns:
        A `Recipe` of that name.

    Raises:
        PlanError: unknown name or field, or a value against what the name promises.

    Example:
        >>> named_recipe("keras", size=(150, 150)).filter
        'nearest'
    """
    check_choice("recipe", name, NAMES)
    known = {field.name for field in dataclasses.fields(Recipe)} - {"name", "size", "filter"}
    for field in settings:
        check_choice("recipe field", field, tuple(sorted(known)))
    defaults: dict[str, Any] = dict(_FIXED[name])
    defaults["filter"] = _OWN_FILTER.get(name, "bilinear") if filter is None else filter
    defaults["alpha"] = "keep" if settings.get("color") == "rgba" else "drop" if name == "keras" else "white"
    return Recipe(name=name, size=size, **(defaults | settings))


def check_choice(what: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse a value that is none of the choices, naming the nearest one.

    Raises:
        PlanError: the value is not among the choices.
    """
    if any(type(value) is type(choice) and value == choice for choice in choices):
        return
    texts = [choice for choice in choices if isinstance(choice, str)]
    near = nearest(value, texts, 1) if isinstance(value, str) else ""
    hint = f"; did you mean {near}?" if near else ""
    raise PlanError(f"{what} must be one of {', '.join(map(repr, choices))}, received {value!r}{hint}")


def check_installed(recipe: Recipe) -> None:
    """Refuse a recipe whose packages are not installed, without importing them. Any thread.

    Raises:
        PlanError: says which package is missing, and the extra that brings it.
    """
    for module, package in TURBO_PACKAGES.items() if recipe.decoder == "turbo" else ():
        if importlib.util.find_spec(module) is None:
            raise PlanError(
                f"the recipe {recipe.name!r} needs the package {package}, which is not installed: "
                "pip install 'mtgen[turbo]', or take the recipe 'fast' or 'fastest'"
            )


def _normalised(recipe: Recipe) -> dict[str, Any]:
    """Size, formats, scale and numbers in their one form, so that equal recipes are equal values."""
    size = recipe.size
    if not isinstance(size, tuple | list) or len(size) != 2 or not all(_is_integer(length, 1) for length in size):
        raise PlanError(f"size must be (height, width), two integers >= 1, received {size!r}")
    formats = recipe.formats
    if isinstance(formats, str) or not isinstance(formats, tuple | list | set | frozenset) or not formats:
        raise PlanError(f"formats must be a tuple of names such as ('JPEG', 'PNG'), received {formats!r}")
    for name in formats:
        check_choice("formats", name, FORMATS)
    if not _is_integer(recipe.fill, 0):
        raise PlanError(f"fill must be an integer >= 0, received {recipe.fill!r}")
    if not _is_integer(recipe.max_pixels, 1):
        raise PlanError(f"max_pixels must be an integer >= 1, received {recipe.max_pixels!r}")
    if not isinstance(recipe.strict_frames, bool):
        raise PlanError(f"strict_frames must be True or False, received {recipe.strict_frames!r}")
    gap = recipe.reducing_gap
    if gap is not None and not (_is_number(gap) and gap >= 1):
        raise PlanError(f"reducing_gap must be None or a number >= 1, received {gap!r}")
    if int(size[0]) * int(size[1]) > MOST_DELIVERED:
        raise PlanError(f"size is {size[0]} x {size[1]}, at most {MOST_DELIVERED:,} pixels can be delivered")
    scale = recipe.scale
    if scale is not None and (
        not isinstance(scale, tuple | list) or len(scale) != 2 or not all(map(_is_number, scale)) or scale[0] == 0
    ):
        raise PlanError(f"scale must be None or (factor, offset), finite, the factor not 0, received {scale!r}")
    return {
        "size": (int(size[0]), int(size[1])),
        "formats": tuple(sorted(set(formats))),
        "fill": int(recipe.fill),
        "max_pixels": int(recipe.max_pixels),
        "reducing_gap": None if gap is None else float(gap),
        "scale": None if scale is None else (float(scale[0]), float(scale[1])),
    }


def _check_combinations(recipe: Recipe) -> None:
    if (recipe.alpha == "keep") != (recipe.color == "rgba"):
        raise PlanError(
            f"alpha={recipe.alpha!r} does not go with color={recipe.color!r}: alpha='keep' is for color='rgba' and "
            "nothing else is"
        )
    if recipe.dtype == "uint16" and recipe.color != "grayscale":
        raise PlanError(f"dtype='uint16' needs color='grayscale', received color={recipe.color!r}")
    if recipe.dtype == "uint16" and recipe.sixteen_bit == "refuse":
        raise PlanError("dtype='uint16' is for 16-bit pictures, but sixteen_bit='refuse' refuses them; use 'scale'")
    if recipe.scale is not None and recipe.dtype != "float32":
        raise PlanError(f"scale needs dtype='float32', received dtype={recipe.dtype!r}")
    limit = 65535 if recipe.dtype == "uint16" else 255
    if recipe.fill > limit:
        raise PlanError(f"fill must be at most {limit} with dtype={recipe.dtype!r}, received {recipe.fill!r}")
    if recipe.fill and recipe.fit != "pad":
        raise PlanError(f"fill={recipe.fill} is for fit='pad', received fit={recipe.fit!r}, which pads nothing")
    if recipe.reducing_gap is not None and recipe.filter == "nearest":
        raise PlanError(
            f"recipe {recipe.name!r} shrinks in two steps (reducing_gap={recipe.reducing_gap}), which filter='nearest' "
            "cannot; use another filter, or the recipe 'clean' or 'keras'"
        )
    if recipe.decoder == "turbo":
        _check_turbo(recipe)
    elif recipe.filter in _TURBO_FILTERS:
        raise PlanError(
            f"filter={recipe.filter!r} is one of the decoder turbo: take the recipe 'turbo' or 'turbo-fastest', or "
            "filter='bilinear'"
        )
    if recipe.name == "keras" and (recipe.fit == "pad" or recipe.alpha not in ("drop", "keep")):
        raise PlanError(
            f"keras.utils.load_img has no fit={recipe.fit!r} with alpha={recipe.alpha!r}: the recipe 'keras' takes "
            "fit 'stretch' or 'crop' and drops alpha; use the recipe 'clean'"
        )


def _check_turbo(recipe: Recipe) -> None:
    if recipe.filter not in _TURBO_FILTERS:
        raise PlanError(
            f"the decoder turbo has the filters {', '.join(map(repr, _TURBO_FILTERS))}, received "
            f"filter={recipe.filter!r}; that one goes with the recipes 'clean', 'fast' and 'fastest'"
        )
    wrong = {"color": "rgba", "sixteen_bit": "keras"}
    for field, value in wrong.items():
        if getattr(recipe, field) == value:
            raise PlanError(f"the decoder turbo knows no {field}={value!r}; take the recipe 'clean' or 'fast' for it")
    if recipe.reducing_gap is not None:
        raise PlanError(
            f"reducing_gap={recipe.reducing_gap} is Pillow's way to shrink, which the decoder turbo does not go: "
            "leave it None"
        )


def _is_integer(value: Any, minimum: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= minimum


def _is_number(value: Any) -> bool:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return real and -_MOST_FLOAT <= value <= _MOST_FLOAT
