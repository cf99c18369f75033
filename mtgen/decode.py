"""Encoded bytes to pixels: one picture, by one recipe, straight into its slot.

No files here, no threads, no choices: bytes and a `Recipe` come in, a slot is filled. The order of work is

    format by content -> pixel count by header -> scaled decode -> colour mode -> orientation -> crop and resize -> slot

Everything before the last step happens on Pillow's side without the GIL, and the picture is small when it reaches
NumPy. Pillow's switches are neither read nor set: the plug-in of the format found is called by itself, so Pillow's
process-wide pixel limit and its warning stay out of the way, and `Recipe.max_pixels` is the limit.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from mtgen.encoded import early_size, format_of, orientation_of
from mtgen.errors import DecodeError, MtgenError, PlanError
from mtgen.jpeg_header import plain_jpeg
from mtgen.limits import MOST_SIDE, check_comments, check_pixels, check_work
from mtgen.modes import MODES, has_alpha, in_mode
from mtgen.placement import Placement, place, place_stored
from mtgen.recipe import Recipe
from mtgen.resample import needed_bytes, resized
from mtgen.room import Room
from mtgen.turbo import turbo_pixels

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

FACTS = (
    "alpha",
    "animated",
    "clipped",
    "cmyk",
    "exif_unreadable",
    "extension_mismatch",
    "icc",
    "oriented",
    "palette",
    "pillow_decoded",
    "sixteen_bit",
)
"""What is counted about pictures; all but `extension_mismatch` by `decode`, that one by whoever knows the path."""


def decode(
    data: bytes,
    recipe: Recipe,
    out: np.ndarray,
    facts: MutableMapping[str, int] | None = None,
    room: Room | None = None,
) -> None:
    """Decode one picture into `out`.

    Any thread, many at once. The caller owns `data`, `out` and `facts` and keeps other threads off these `out` and
    `facts`; nothing of them is kept. On any error `out` and `facts` are left as they were.

    Args:
        data: the encoded picture, whole.
        recipe: everything that decides the pixels.
        out: array of `recipe.spec.shape` and `recipe.spec.dtype`, writable, of any strides: a slot of a batch.
        facts: counts by name from `FACTS`, to which this picture is added; None counts nothing.
        room: where to take the bytes that the picture needs before it is small; None takes them without asking.

    Raises:
        DecodeError: the bytes are no picture the recipe allows, or a broken one; the text says what was wrong and
            the cause is chained.
        PlanError: `out` does not fit the recipe, or the picture not the room; or the recipe needs the extra `turbo`,
            which is not installed.

    Example:
        >>> import io, numpy, PIL.Image
        >>> from mtgen.recipe import named_recipe
        >>> file = io.BytesIO()
        >>> PIL.Image.new("RGB", (64, 48), (255, 0, 0)).save(file, "PNG")
        >>> batch = numpy.zeros((2, 8, 8, 3), "uint8")
        >>> decode(file.getvalue(), named_recipe("clean", size=(8, 8)), batch[1])
        >>> batch[:, 0, 0].tolist()
        [[0, 0, 0], [255, 0, 0]]
    """
    spec = recipe.spec
    if out.shape != spec.shape or out.dtype != spec.dtype:
        raise PlanError(f"the slot is {out.shape} {out.dtype}, the recipe {recipe.name!r} delivers {spec}")
    picture_format = _allowed_format(data, recipe)
    found: list[str] = []
    slot = _slot(out, recipe)
    try:
        pixels = None
        if recipe.decoder == "turbo":
            if picture_format == "JPEG":
                pixels = _turbo(data, recipe, slot, found, room)
            if pixels is None:
                found[:] = ["pillow_decoded"]
        if pixels is None:
            pixels = _pixels(data, picture_format, recipe, slot, found, room)
    except (MtgenError, MemoryError):
        raise
    except Exception as cause:  # hostile bytes raise anything out of a decoder: OSError, SyntaxError, struct.error ...
        text = str(cause) or type(cause).__name__
        raise DecodeError(
            f"the {picture_format} picture of {len(data)} bytes cannot be decoded: {text}. "
            "Is the file whole? Copy it again, or leave its row out of the table"
        ) from cause
    if pixels is not slot:
        _fill(out, pixels, recipe)
    if facts is not None:
        for name in found:
            facts[name] = facts.get(name, 0) + 1


def _allowed_format(data: bytes, recipe: Recipe) -> str:
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


def _slot(out: np.ndarray, recipe: Recipe) -> np.ndarray | None:
    """What a turbo recipe may fill itself: bytes in the order of the picture; grey without its axis of channels."""
    if recipe.decoder != "turbo" or recipe.dtype != "uint8" or recipe.data_format != "channels_last":
        return None
    if not out.flags.c_contiguous:
        return None
    return out[..., 0] if recipe.color == "grayscale" else out


def _turbo(
    data: bytes, recipe: Recipe, slot: np.ndarray | None, found: list[str], room: Room | None
) -> np.ndarray | None:
    """A plain JPEG without Pillow; None where it is not plain, or libjpeg-turbo complains."""
    header = plain_jpeg(data)
    if header is None:
        return None
    check_pixels(header.size, recipe)
    if not header.one_scan or max(header.size) > MOST_SIDE:
        check_work(header, data, "JPEG", recipe)
    if "icc_profile" in header.info:
        found.append("icc")
    return turbo_pixels(data, header, _orientation(header, recipe, found), recipe, slot, room)


def _pixels(
    data: bytes, picture_format: str, recipe: Recipe, slot: np.ndarray | None, found: list[str], room: Room | None
) -> np.ndarray:
    """The picture as `(height, width)` or `(height, width, channels)`, upright and of its final size."""
    if size := early_size(data, picture_format):
        check_pixels(size, recipe)
    check_comments(data, picture_format)
    image: ImageFile = _openers()[picture_format](io.BytesIO(data))
    check_pixels(image.size, recipe)
    check_work(image, data, picture_format, recipe)
    sixteen_bit = _note_header(image, picture_format, recipe, found)
    jpeg = picture_format == "JPEG"
    turn = _orientation(image, recipe, found) if jpeg else 1  # before loading: the scaled decode needs upright sizes
    size, may_shrink = image.size, jpeg
    placement = place(size, recipe, turn=turn, may_shrink=may_shrink)
    if placement.shrink > 1:
        wanted = size[0] // placement.shrink, size[1] // placement.shrink
        if image.draft(None, wanted) is None:  # a JPEG that Pillow will not scale
            may_shrink = False
            placement = place(size, recipe, turn=turn)
    with nullcontext() if room is None else room.take(_needed_bytes(image, turn, recipe)):
        image.load()
        if not jpeg:  # after loading: PNG may hold EXIF behind the pixels, and Pillow has turned TIFF by then
            turn = _orientation(image, recipe, found) if picture_format != "TIFF" else 1
            size = image.size
            placement = place(size, recipe, turn=turn)
        ready = in_mode(image, sixteen_bit, recipe, found)
        if recipe.decoder == "turbo":
            stored = place_stored(size, recipe, turn=turn, may_shrink=may_shrink)
            return resized(np.asarray(ready), stored, recipe.filter, slot)
        return np.asarray(_resized(_turned(ready, turn), placement, recipe))


def load_decoders() -> None:
    """Import what Pillow decodes with now, and not with the first picture."""
    _openers()


_PIXEL_BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
"""Bytes that Pillow holds per pixel; four in all other modes, RGB among them."""


def _needed_bytes(image: Image, turn: int, recipe: Recipe) -> int:
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
        + needed_bytes(place_stored(image.size, recipe, turn=turn), num_channels, recipe.filter)
    )


@functools.cache
def _openers() -> Mapping[str, Callable[[io.BytesIO], ImageFile]]:
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


def _note_header(image: ImageFile, picture_format: str, recipe: Recipe, found: list[str]) -> bool:
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


def _orientation(image: Any, recipe: Recipe, found: list[str]) -> int:
    """EXIF orientation to undo, 1 to 8."""
    if recipe.orientation == "none":
        return 1
    orientation = orientation_of(image.info)
    if orientation == 0:
        found.append("exif_unreadable")
    elif orientation > 1:
        found.append("oriented")
    return orientation or 1


def _turned(image: Image, turn: int) -> Image:
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


def _resized(image: Image, placement: Placement, recipe: Recipe) -> Image:
    from PIL.Image import Resampling

    if image.size == placement.size and placement.box == (0, 0, *image.size):
        return image
    gap = None if image.mode[0] in "IF" else recipe.reducing_gap  # Pillow cannot reduce 16-bit pictures
    return image.resize(placement.size, Resampling[recipe.filter.upper()], placement.box, gap)


def _fill(out: np.ndarray, pixels: np.ndarray, recipe: Recipe) -> None:
    """Copy the picture into its slot, with padding, range and scale as the recipe says."""
    view = out if recipe.data_format == "channels_last" else np.moveaxis(out, 0, -1)
    values = _in_range(pixels, recipe)
    if values.ndim == 2:
        values = values[..., None]
    height, width = values.shape[:2]
    if (height, width) != recipe.size:  # fit="pad"
        view[...] = recipe.fill
        if recipe.color == "rgba":
            view[..., 3] = 0
    top, left = (recipe.size[0] - height) // 2, (recipe.size[1] - width) // 2
    inner = view[top : top + height, left : left + width]
    if recipe.color == "rgba" and values.shape[2] == 1:
        inner[..., :3] = values
        inner[..., 3] = 255
    else:
        inner[...] = values
    if recipe.scale is not None:
        view *= np.float32(recipe.scale[0])
        view += np.float32(recipe.scale[1])


def _in_range(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Values in the range of the recipe's dtype: 0-65535 for uint16, 0-255 for uint8 and float32."""
    wide = pixels.dtype != np.uint8
    if recipe.sixteen_bit == "keras":
        if wide and recipe.dtype != "float32":
            limit = np.iinfo(recipe.dtype).max
            if pixels.min() < 0 or pixels.max() > limit:
                raise DecodeError(
                    f"the picture has values from {pixels.min()} to {pixels.max()}, which dtype={recipe.dtype!r} "
                    "cannot hold; use dtype='float32', or the recipe 'clean', which scales 16-bit pictures"
                )
        return pixels
    if recipe.dtype == "uint16":
        return pixels if wide else pixels.astype(np.uint16) * np.uint16(257)
    return ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8) if wide else pixels
