"""Encoded bytes to pixels: one picture, by one recipe, straight into its slot.

No files here, no threads, no choices: bytes and a `Recipe` come in, a slot is filled. The order of work is

    format by content -> pixel count by header -> scaled decode -> colour mode -> orientation -> crop and resize -> slot

Everything before the last step happens on Pillow's side without the GIL, and the picture is small when it reaches
NumPy. Pillow's switches are neither read nor set: the plug-in of the format found is called by itself, so Pillow's
process-wide pixel limit and its warning stay out of the way, and `Recipe.max_pixels` is the limit.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from mtgen.errors import DecodeError, MtgenError, PlanError
from mtgen.framing import Framing, frame, frame_stored
from mtgen.jpeg_header import plain_jpeg
from mtgen.limits import MOST_SIDE, check_pixels, check_work
from mtgen.modes import in_mode
from mtgen.opened_picture import allowed_format, full_size_bytes, note_header, open_picture, turned, upright_turn
from mtgen.recipe import Recipe
from mtgen.resample import resized
from mtgen.room import Room
from mtgen.turbo import turbo_pixels

if TYPE_CHECKING:
    from PIL.Image import Image

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
    picture_format = allowed_format(data, recipe)
    found: list[str] = []
    slot = _slot(out, recipe)
    with damage_told(data, picture_format):
        pixels = None
        if recipe.decoder == "turbo":
            if picture_format == "JPEG":
                pixels = _turbo(data, recipe, slot, found, room)
            if pixels is None:
                found[:] = ["pillow_decoded"]
        if pixels is None:
            pixels = _pixels(data, picture_format, recipe, slot, found, room)
    if pixels is not slot:
        fill_slot(out, pixels, recipe)
    add_facts(facts, found)


@contextmanager
def damage_told(data: bytes, picture_format: str) -> Iterator[None]:
    """What decoders raise within, as a DecodeError that says what to do."""
    try:
        yield
    except (MtgenError, MemoryError):
        raise
    except Exception as cause:  # hostile bytes raise anything out of a decoder: OSError, SyntaxError, struct.error ...
        text = str(cause) or type(cause).__name__
        raise DecodeError(
            f"the {picture_format} picture of {len(data)} bytes cannot be decoded: {text}. "
            "Is the file whole? Copy it again, or leave its row out of the table"
        ) from cause


def add_facts(facts: MutableMapping[str, int] | None, found: list[str]) -> None:
    """Count what was found about a picture."""
    if facts is not None:
        for name in found:
            facts[name] = facts.get(name, 0) + 1


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
    return turbo_pixels(data, header, upright_turn(header, recipe, found), recipe, slot, room)


def _pixels(
    data: bytes, picture_format: str, recipe: Recipe, slot: np.ndarray | None, found: list[str], room: Room | None
) -> np.ndarray:
    """The picture as `(height, width)` or `(height, width, channels)`, upright and of its final size."""
    image = open_picture(data, picture_format, recipe)
    sixteen_bit = note_header(image, picture_format, recipe, found)
    jpeg = picture_format == "JPEG"
    turn = upright_turn(image, recipe, found) if jpeg else 1  # before loading: the scaled decode needs upright sizes
    size, may_shrink = image.size, jpeg
    framing = frame(size, recipe, turn=turn, may_shrink=may_shrink)
    if framing.shrink > 1:
        wanted = size[0] // framing.shrink, size[1] // framing.shrink
        if image.draft(None, wanted) is None:  # a JPEG that Pillow will not scale
            may_shrink = False
            framing = frame(size, recipe, turn=turn)
    with nullcontext() if room is None else room.take(full_size_bytes(image, turn, recipe)):
        image.load()
        if not jpeg:  # after loading: PNG may hold EXIF behind the pixels, and Pillow has turned TIFF by then
            turn = upright_turn(image, recipe, found) if picture_format != "TIFF" else 1
            size = image.size
            framing = frame(size, recipe, turn=turn)
        ready = in_mode(image, sixteen_bit, recipe, found)
        if recipe.decoder == "turbo":
            stored = frame_stored(size, recipe, turn=turn, may_shrink=may_shrink)
            return resized(np.asarray(ready), stored, recipe.filter, slot)
        return np.asarray(_resized(turned(ready, turn), framing, recipe))


def _resized(image: Image, framing: Framing, recipe: Recipe) -> Image:
    from PIL.Image import Resampling

    if image.size == framing.size and framing.box == (0, 0, *image.size):
        return image
    gap = None if image.mode[0] in "IF" else recipe.reducing_gap  # Pillow cannot reduce 16-bit pictures
    return image.resize(framing.size, Resampling[recipe.filter.upper()], framing.box, gap)


def fill_slot(
    out: np.ndarray, pixels: np.ndarray, recipe: Recipe, corner: tuple[int, int] | None = None, fill: int | None = None
) -> None:
    """Copy the picture into its slot, with padding, range and scale as the recipe says.

    Args:
        out: the slot.
        pixels: `(height, width)` or `(height, width, channels)`, not larger than the recipe's size.
        recipe: for all that is not place.
        corner: where in the slot its first pixel comes to lie; None for the middle.
        fill: value around it, in the units of the decoded picture; None for the recipe's own.
    """
    view = out if recipe.data_format == "channels_last" else np.moveaxis(out, 0, -1)
    values = _in_range(pixels, recipe)
    if values.ndim == 2:
        values = values[..., None]
    height, width = values.shape[:2]
    if (height, width) != recipe.size:  # fit="pad"
        view[...] = recipe.fill if fill is None else fill
        if recipe.color == "rgba":
            view[..., 3] = 0
    top, left = corner or ((recipe.size[0] - height) // 2, (recipe.size[1] - width) // 2)
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
