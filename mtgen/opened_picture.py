"""A picture as Pillow opened it, before its pixels: what its header says, which way up it is, what it will take.

The plug-in of the format found is called by itself, so that Pillow's process-wide pixel limit and its warning stay out
of the way.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from mtgen.encoded import early_size, format_of, orientation_of
from mtgen.errors import DecodeError
from mtgen.framing import frame_stored
from mtgen.limits import check_comments, check_pixels, check_work
from mtgen.modes import MODES, has_alpha
from mtgen.recipe import Recipe
from mtgen.resample import needed_bytes

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile


def allowed_format(data: bytes, recipe: Recipe) -> str:
    """The picture's format, told by its content.

    Raises:
        DecodeError: no picture, or of a format that the recipe does not allow.
    """
    if not data:
        raise DecodeError("the file is empty (0 bytes), expected an encoded picture; write it again or drop its row")
    found = format_of(data)
    allowed = ", ".join(recipe.formats)
    if found is None:
        start = bytes(data[:12])
        text = " (text, perhaps a saved error page)" if start.lstrip()[:1] in (b"<", b"{") else ""
        raise DecodeError(
            f"{len(data)} bytes that are not a picture of a known format: they start with {start!r}{text}; "
            f"expected one of {allowed}"
        )
    if found not in recipe.formats:
        raise DecodeError(f"a {found} picture by its content, but the recipe allows only {allowed}; add it to formats")
    return found


def open_picture(data: bytes, picture_format: str, recipe: Recipe) -> ImageFile:
    """The picture opened and not loaded, if its header is one the recipe allows; any thread.

    Raises:
        DecodeError: too many pixels, or too much work for them.
    """
    if size := early_size(data, picture_format):
        check_pixels(size, recipe)
    check_comments(data, picture_format)
    image: ImageFile = openers()[picture_format](io.BytesIO(data))
    check_pixels(image.size, recipe)
    check_work(image, data, picture_format, recipe)
    return image


def load_decoders() -> None:
    """Import what Pillow decodes with now, and not with the first picture."""
    openers()


_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes that Pillow holds per pixel; four in all other modes, RGB among them."""


def full_size_bytes(image: Image, turn: int, recipe: Recipe) -> int:
    """Bytes that a picture takes at full size: as it is loaded, and its copies in other colours and upright."""
    copies = (image.mode != MODES[recipe.color]) + (has_alpha(image) and recipe.alpha != "keep") + (turn > 1)
    pillow_bytes = image.size[0] * image.size[1] * (_PIXEL_BYTES.get(image.mode, 4) + 4 * copies)
    if recipe.decoder != "turbo":
        return pillow_bytes
    num_channels = 2 if recipe.color == "grayscale" else 3  # 16-bit grey takes two bytes
    array_bytes = image.size[0] * image.size[1] * num_channels
    return (
        pillow_bytes
        + array_bytes
        + needed_bytes(frame_stored(image.size, recipe, turn=turn), num_channels, recipe.filter)
    )


@functools.cache
def openers() -> Mapping[str, Callable[[io.BytesIO], ImageFile]]:
    """Pillow's plug-ins, imported with the first picture; parsers of no other format are ever loaded."""
    from PIL.AvifImagePlugin import AvifImageFile
    from PIL.BmpImagePlugin import BmpImageFile
    from PIL.GifImagePlugin import GifImageFile
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.PpmImagePlugin import PpmImageFile
    from PIL.TiffImagePlugin import TiffImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    return {
        "AVIF": AvifImageFile,
        "BMP": BmpImageFile,
        "GIF": GifImageFile,
        "JPEG": JpegImageFile,
        "PNG": PngImageFile,
        "PPM": PpmImageFile,
        "TIFF": TiffImageFile,
        "WEBP": WebPImageFile,
    }


def note_header(image: ImageFile, picture_format: str, recipe: Recipe, found: list[str]) -> bool:
    """Note what the header tells; returns whether the picture has more than 8 bits per channel."""
    if _is_animated(image, picture_format):
        if recipe.strict_frames:
            raise DecodeError(
                f"the {picture_format} picture has several frames and the recipe has strict_frames=True; store the "
                "frame you want alone, or use strict_frames=False to take frame 0"
            )
        found.append("animated")
    sixteen_bit = _is_sixteen_bit(image, picture_format)
    noted = {
        "icc": "icc_profile" in image.info,
        "palette": image.mode in ("P", "PA"),
        "cmyk": image.mode == "CMYK",
        "alpha": has_alpha(image),
        "sixteen_bit": sixteen_bit,
        "oriented": picture_format == "TIFF" and _turned_by_pillow(image),
    }
    found.extend(name for name, is_so in noted.items() if is_so)
    if sixteen_bit and recipe.sixteen_bit == "refuse":
        raise DecodeError("the picture has more than 8 bits per channel and the recipe has sixteen_bit='refuse'")
    return sixteen_bit


def _is_animated(image: Any, picture_format: str) -> bool:
    if picture_format != "JPEG":
        return bool(getattr(image, "is_animated", False))
    if "mp" not in image.info or any(b' hdrgm:Version="' in content for _, content in image.applist):
        return False  # a second picture that only brightens the first (Ultra HDR) is no frame
    try:
        return int(image._getmp()[0xB001]) > 1  # multi-picture format, CIPA DC-007: number of images
    except (SyntaxError, KeyError, TypeError, ValueError):
        return False  # a broken index of further pictures; frame 0 does not need it


def _is_sixteen_bit(image: Any, picture_format: str) -> bool:
    if image.mode[0] in "IF":
        return True
    if picture_format == "TIFF":
        return max(image.tag_v2.get(258) or (1,)) > 8  # BitsPerSample
    arguments = image.tile[0].args if picture_format in ("PNG", "PPM") and image.tile else None
    if isinstance(arguments, str):
        return arguments.endswith(";16B")
    return isinstance(arguments, tuple) and isinstance(arguments[-1], int) and arguments[-1] > 255


def _turned_by_pillow(image: Any) -> bool:
    return (image.tag_v2.get(274) or orientation_of(image.info)) in range(2, 9)


def upright_turn(image: Any, recipe: Recipe, found: list[str]) -> int:
    """EXIF orientation to undo, 1 to 8."""
    if recipe.orientation == "none":
        return 1
    orientation = orientation_of(image.info)
    if orientation == 0:
        found.append("exif_unreadable")
    elif orientation > 1:
        found.append("oriented")
    return orientation or 1


def turned(image: Image, turn: int) -> Image:
    """The picture upright: undo EXIF orientation `turn` (EXIF 2.32, section 4.6.4.A)."""
    from PIL.Image import Transpose

    undo = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(undo[turn]) if turn in undo else image
