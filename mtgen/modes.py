"""A loaded picture in the recipe's colours: alpha, palettes and 16 bits by the recipe's rules. Pillow, no files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mtgen.errors import DecodeError
from mtgen.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {"rgb": "RGB", "grayscale": "L", "rgba": "RGBA"}
"""Pillow's name for each of a recipe's colours."""


def has_alpha(image: Image) -> bool:
    """Whether a picture has an alpha channel, or a colour that stands for transparent."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def in_mode(image: Image, sixteen_bit: bool, recipe: Recipe, found: list[str]) -> Image:
    """The picture in the recipe's colours; 16-bit grey stays 16-bit until it is small."""
    mode = MODES[recipe.color]
    if sixteen_bit and recipe.sixteen_bit == "keras":
        if recipe.color == "grayscale" and image.mode in ("L", "I;16", "I"):
            return image
        if image.mode[0] in "IF":
            lowest, highest = image.getextrema()
            if lowest < 0 or highest > 255:  # type: ignore[operator]  # one band: two numbers
                found.append("clipped")
    elif sixteen_bit:
        grey = _sixteen_bit_grey(image, recipe)
        if grey is not None:
            return grey
    if image.mode == "LAB" and mode == "L" and recipe.sixteen_bit != "keras":
        return image.convert("RGB").convert(mode)  # Pillow knows no direct way; Keras fails here
    if not has_alpha(image):
        return image if image.mode == mode else image.convert(mode)
    if recipe.alpha == "keep":
        return image if image.mode == mode else image.convert(mode)
    if recipe.alpha == "drop":
        image.info.pop("transparency", None)  # else Pillow warns, through process-wide filters, that it drops it
        return image if image.mode == mode else image.convert(mode)
    return _on_colour(image, recipe.alpha).convert(mode)


def _sixteen_bit_grey(image: Image, recipe: Recipe) -> Image | None:
    """16-bit grey as Pillow's mode I;16; None for 16-bit colour, of which Pillow reads the upper 8 bits."""
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise DecodeError(
            f"a picture of 32-bit or signed values (Pillow's mode {image.mode}) has no agreed range to scale to; "
            "store it as 8 or unsigned 16 bits, or serve it as an array with mtgen.Rows"
        )
    if image.mode[0] != "I":
        if recipe.dtype == "uint16":
            raise DecodeError("a 16-bit colour picture, of which only 8 bits can be read; store it as 16-bit grey")
        return None
    if "transparency" in image.info and recipe.alpha != "drop":
        raise DecodeError(
            f"a 16-bit picture with a transparent value, which alpha={recipe.alpha!r} cannot follow at 16 bits; "
            "use alpha='drop', or store it without the transparent value"
        )
    # by way of mode I: Pillow 13.0 clips to 255 in the direct conversion from big-endian 16 bits
    return image if image.mode == "I;16" else image.convert("I").convert("I;16")


def _on_colour(image: Image, colour: str) -> Image:
    """The picture laid on white or black, as RGB."""
    from PIL import Image as pillow

    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    ground = pillow.new("RGB", image.size, colour)
    ground.paste(rgba, mask=rgba)
    return ground
