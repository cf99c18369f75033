"""Windows out of one picture: decoded once at full size, upright and in the recipe's colours, then cut.

Only the windows become arrays; the picture itself stays with Pillow, in memory that was taken from the room, until the
last of them is filled.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from mtgen.decode import add_facts, damage_told, fill_slot
from mtgen.modes import in_mode
from mtgen.opened_picture import allowed_format, full_size_bytes, note_header, open_picture, turned, upright_turn
from mtgen.recipe import Recipe
from mtgen.room import Room

if TYPE_CHECKING:
    from PIL.Image import Image

Choose = Callable[[tuple[int, int]], np.ndarray]
"""(height, width) of a picture, upright -> int64 `(n, 2)`: first row and column of each window; may raise."""


def decode_windows(
    data: bytes,
    recipe: Recipe,
    choose: Choose,
    outs: Sequence[np.ndarray],
    *,
    fill: int = 0,
    facts: MutableMapping[str, int] | None = None,
    room: Room | None = None,
) -> None:
    """Decode one picture at full size, and cut windows of `recipe.size` out of it.

    Any thread, many at once. The caller owns `data`, `outs` and `facts`.

    Args:
        data: the encoded picture, whole.
        recipe: everything that decides the pixels, but for `fit`, `filter` and scaled decoding: nothing is resized.
        choose: says where, once the size is known.
        outs: a slot for each window, of `recipe.spec`.
        fill: value of what lies outside of the picture, in the units of the decoded picture; with `rgba` transparent.
        facts: counts by name, to which this picture is added.
        room: where to take the bytes of the picture at full size.

    Raises:
        DecodeError: the bytes are no picture the recipe allows, or a broken one.
        PlanError: the picture does not fit the room.
        What `choose` raises.

    Example:
        >>> import io, PIL.Image
        >>> from mtgen.recipe import named_recipe
        >>> file = io.BytesIO()
        >>> PIL.Image.fromarray(np.arange(12, dtype="uint8").reshape(3, 4)).save(file, "PNG")
        >>> out = np.empty((2, 2, 1), "uint8")
        >>> recipe = named_recipe("clean", size=(2, 2), color="grayscale")
        >>> decode_windows(file.getvalue(), recipe, lambda size: np.array([[1, 2]]), [out])
        >>> out[..., 0].tolist()
        [[6, 7], [10, 11]]
    """
    picture_format, found = allowed_format(data, recipe), list[str]()
    with damage_told(data, picture_format):
        image = open_picture(data, picture_format, recipe)
        sixteen_bit = note_header(image, picture_format, recipe, found)
        turn = upright_turn(image, recipe, found) if picture_format == "JPEG" else 1
    with nullcontext() if room is None else room.take(full_size_bytes(image, turn, recipe)):
        with damage_told(data, picture_format):
            image.load()
            if picture_format not in ("JPEG", "TIFF"):  # EXIF may stand behind the pixels; Pillow has turned TIFF
                turn = upright_turn(image, recipe, found)
            whole = turned(in_mode(image, sixteen_bit, recipe, found), turn)
        starts = choose((whole.size[1], whole.size[0]))
        for out, (top, left) in zip(outs, starts.tolist(), strict=True):
            with damage_told(data, picture_format):
                _cut(whole, top, left, out, recipe, fill)
    add_facts(facts, found)


def _cut(whole: Image, top: int, left: int, out: np.ndarray, recipe: Recipe, fill: int) -> None:
    width, height = whole.size
    first_row, first_column = min(max(top, 0), height), min(max(left, 0), width)
    last_row, last_column = (
        max(min(top + recipe.size[0], height), first_row),
        max(min(left + recipe.size[1], width), first_column),
    )
    pixels = np.asarray(whole.crop((first_column, first_row, last_column, last_row)))
    fill_slot(out, pixels, recipe, (first_row - top, first_column - left), fill)
