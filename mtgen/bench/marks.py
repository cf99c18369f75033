"""Marks in the corner of a picture that tell its number after any decoder and filter: black and white squares.

Twenty squares, five in a line, each a twentieth of the picture wide and high, in the upper left corner: sixteen bits of
the number, low bit first, and four bits that check them. Antialiased or not, halved or not, the middle of a square
keeps its colour down to pictures of 50 x 50.
"""

from __future__ import annotations

import numpy as np

MOST_ROWS = 1 << 16
_NUM_BITS, _NUM_CHECKS, _ACROSS, _PARTS = 16, 4, 5, 20


def draw_mark(picture: np.ndarray, number: int) -> None:
    """Write a number into a picture, uint8 `(height, width, 3)`, in place.

    Any thread; the caller owns the picture.

    Example:
        >>> picture = np.full((375, 500, 3), 99, np.uint8)
        >>> draw_mark(picture, 1234)
        >>> read_marks(grab_marks(picture[None])).tolist()
        [1234]
    """
    height, width = picture.shape[0] / _PARTS, picture.shape[1] / _PARTS
    for place, bit in enumerate(_bits(np.array([number]))[0]):
        line, column = divmod(place, _ACROSS)
        rows = slice(round(line * height), round((line + 1) * height))
        picture[rows, round(column * width) : round((column + 1) * width)] = 255 if bit else 0


def grab_marks(pictures: np.ndarray) -> np.ndarray:
    """The middle pixel of every square, of the first channel: `(n, 20)`, new, small and quick to take.

    Args:
        pictures: `(n, height, width, channels)` of any dtype.
    """
    places = np.arange(_NUM_BITS + _NUM_CHECKS)
    rows = ((places // _ACROSS + 0.5) * pictures.shape[1] / _PARTS).astype(np.intp)
    columns = ((places % _ACROSS + 0.5) * pictures.shape[2] / _PARTS).astype(np.intp)
    found: np.ndarray = pictures[:, rows, columns, 0]
    return found


def read_marks(grabbed: np.ndarray, *, middle: float = 127.5) -> np.ndarray:
    """The numbers, int64 `(n,)`, and -1 for a mark whose check bits are wrong.

    Args:
        grabbed: what `grab_marks` took.
        middle: value between black and white.
    """
    bits = grabbed > middle
    numbers = (bits[:, :_NUM_BITS].astype(np.int64) << np.arange(_NUM_BITS)).sum(axis=1)
    right = (_bits(numbers) == bits).all(axis=1)
    return np.where(right, numbers, -1)


def _bits(numbers: np.ndarray) -> np.ndarray:
    """Number bits and check bits, bool `(n, 20)`; all black and all white are marks of no number."""
    checks = 14 - numbers % 15
    both = np.concatenate([numbers[:, None] >> np.arange(_NUM_BITS), checks[:, None] >> np.arange(_NUM_CHECKS)], axis=1)
    return (both & 1).astype(bool)
