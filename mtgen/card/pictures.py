"""Read and decode the pictures of an input once: what their headers say, digests, small statistics of pixels.

Each distinct file is read once, however many rows name it. Held are some 60 bytes per row, and statistics of the rows
that are compared with their neighbours.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mtgen.card.equal import codes_of
from mtgen.decode import damage_told, decode
from mtgen.encoded import orientation_of
from mtgen.errors import ChangedError, DecodeError, PlanError, named
from mtgen.inputs.bound_patches import PicturePatches
from mtgen.inputs.images import BoundImages
from mtgen.modes import has_alpha
from mtgen.opened_picture import allowed_format, open_picture
from mtgen.pending import Field
from mtgen.recipe import Recipe
from mtgen.waits import Note

SIDE = 8
"""Thumbnails have at most so many rows and columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pictures:
    """What the pictures of some rows are.

    Args:
        num_files: distinct paths.
        num_bytes: of all files that were read.
        sizes: (width, height) as stored -> files; so all counters.
        modes: Pillow's names of colour modes.
        formats: by content.
        orientations: EXIF orientation, 1 to 8; 0 where it cannot be read.
        num_alpha: files with an alpha channel or a transparent colour.
        errors: place in the rows of the first row of each file that cannot be read, path, and why.
        unreadable: bool `(n,)`: rows whose picture cannot be read.
        files: uint64 `(n, 2)`: digest of the file's content.
        pixels: uint64 `(n, 2)`: digest of the picture as delivered.
        statistics: place in the rows -> float32 statistics of its pixels, for the rows asked for.
    """

    num_files: int
    num_bytes: int
    sizes: Counter[tuple[int, int]]
    modes: Counter[str]
    formats: Counter[str]
    orientations: Counter[int]
    num_alpha: int
    errors: tuple[tuple[int, str, str], ...]
    unreadable: np.ndarray
    files: np.ndarray
    pixels: np.ndarray
    statistics: dict[int, np.ndarray]


class _Seen(NamedTuple):
    num_bytes: int
    digest: bytes
    header: tuple[tuple[int, int], str, str, int, bool] | None
    pixels: bytes
    statistics: np.ndarray | None
    error: str


def images_of(one: Field) -> BoundImages | None:
    """The pictures of a field, whole or to cut patches from; None where it has none."""
    if isinstance(one.bound, PicturePatches):
        return one.bound.images
    return one.bound if isinstance(one.bound, BoundImages) else None


def look_at_pictures(one: Field, rows: np.ndarray, wanted: np.ndarray, each: Any) -> Pictures:
    """Read and decode the pictures of some rows.

    Args:
        one: a field with pictures.
        rows: int64 `(n,)` of the root table.
        wanted: bool `(n,)`: rows whose statistics are kept.
        each: `mtgen.verify.files.each` with its settings: `each(work, items, what, group)`.

    Raises:
        PlanError: a field without pictures.
        ChangedError: a picture is not the one that its manifest promises.
    """
    bound = images_of(one)
    if bound is None:
        raise PlanError(f"{one.role} {one.name!r} has no pictures")
    codes = codes_of(_path_digests(bound, rows))
    _, firsts = np.unique(codes, return_index=True)
    keep = np.zeros(len(firsts), bool)
    keep[codes[wanted]] = True

    def look(number: int, note: Note) -> _Seen:
        row = int(rows[firsts[number]])
        note(f"decode {bound.path(row)}")
        return _seen(bound, row, bool(keep[number]))

    digests, pixels = np.zeros((len(firsts), 2), np.uint64), np.zeros((len(firsts), 2), np.uint64)
    broken, num_bytes, num_alpha = np.zeros(len(firsts), bool), 0, 0
    sizes, modes, formats, orientations = Counter(), Counter(), Counter(), Counter()  # type: ignore[var-annotated]
    errors, statistics = [], {}
    for number, seen in enumerate(each(look, range(len(firsts)), f"decode {one.role} {one.name}", 16)):
        num_bytes += seen.num_bytes
        digests[number], pixels[number] = np.frombuffer(seen.digest, "<u8"), np.frombuffer(seen.pixels, "<u8")
        if seen.header is not None:
            size, mode, picture_format, orientation, alpha = seen.header
            sizes[size] += 1
            modes[mode] += 1
            formats[picture_format] += 1
            orientations[orientation] += 1
            num_alpha += alpha
        if seen.error:
            broken[number] = True
            errors.append((int(firsts[number]), bound.path(int(rows[firsts[number]])), seen.error))
        elif seen.statistics is not None:
            statistics[number] = seen.statistics
    places = np.flatnonzero(wanted)
    return Pictures(
        num_files=len(firsts),
        num_bytes=num_bytes,
        sizes=sizes,
        modes=modes,
        formats=formats,
        orientations=orientations,
        num_alpha=num_alpha,
        errors=tuple(sorted(errors)),
        unreadable=broken[codes],
        files=digests[codes],
        pixels=pixels[codes],
        statistics={place: statistics[codes[place]] for place in places.tolist() if codes[place] in statistics},
    )


def _path_digests(bound: BoundImages, rows: np.ndarray) -> np.ndarray:
    import xxhash

    hashed = b"".join(xxhash.xxh3_128_digest(bound.path_text(row)) for row in rows.tolist())
    return np.frombuffer(hashed, "<u8").reshape(-1, 2)


def _seen(bound: BoundImages, row: int, keep: bool) -> _Seen:
    """One picture; what is wrong with it is said, not raised."""
    import xxhash

    num_bytes, digest, header = 0, bytes(16), None
    try:
        data = bound.read_bytes(row)
        num_bytes, digest = len(data), xxhash.xxh3_128_digest(data)
        header = _header(data, bound.recipe)
        out = bound.recipe.spec.empty(1)[0]
        decode(data, bound.recipe, out)
    except ChangedError as error:
        raise error.at(row=row) from error.__cause__
    except Exception as error:
        return _Seen(num_bytes, digest, header, bytes(16), None, named(error, None, DecodeError).message)
    pixels = xxhash.xxh3_128_digest(out.tobytes())
    return _Seen(num_bytes, digest, header, pixels, statistics_of(out, bound.recipe) if keep else None, "")


def _header(data: bytes, recipe: Recipe) -> tuple[tuple[int, int], str, str, int, bool]:
    """Size as stored, mode, format, orientation, whether there is alpha."""
    picture_format = allowed_format(data, recipe)
    with damage_told(data, picture_format):
        image: Any = open_picture(data, picture_format, recipe)
        orientation = orientation_of(image.info)
        if picture_format == "TIFF":  # Pillow turns it as it loads, by a tag of its own
            orientation = image.tag_v2.get(274) or orientation
        orientation = orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 0
        return image.size, image.mode, picture_format, orientation, has_alpha(image)


def statistics_of(pixels: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Mean and standard deviation of each channel, and a grey thumbnail of at most 8 x 8: float32.

    Args:
        pixels: a picture as delivered.
        recipe: says where its channels are.

    Example:
        >>> from mtgen.recipe import named_recipe
        >>> recipe = named_recipe("clean", size=(16, 4), color="grayscale")
        >>> statistics_of(np.full((16, 4, 1), 7, "uint8"), recipe).shape
        (34,)
    """
    picture = pixels if recipe.data_format == "channels_last" else np.moveaxis(pixels, 0, -1)
    values = picture.astype(np.float64)
    grey = values.mean(axis=2)
    for axis in (0, 1):
        length = grey.shape[axis]
        starts = np.arange(min(SIDE, length)) * length // min(SIDE, length)
        grey = np.add.reduceat(grey, starts, axis=axis) / np.diff([*starts, length]).reshape(-1, *([1] * (1 - axis)))
    parts = values.mean(axis=(0, 1)), values.std(axis=(0, 1)), grey.reshape(-1)
    return np.concatenate(parts).astype(np.float32)
