"""Framing arithmetic: inside the picture, right aspect, never smaller than promised."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mtgen.framing import SWAPPED, frame
from mtgen.recipe import Recipe

sides = st.integers(1, 5000)
targets = st.integers(1, 300)


@settings(max_examples=500)
@given(
    size=st.tuples(sides, sides),
    target=st.tuples(targets, targets),
    fit=st.sampled_from(["stretch", "crop", "pad"]),
    scaled=st.sampled_from([0, 1, 2]),
    turn=st.integers(1, 8),
)
def test_a_framing_is_inside_and_large_enough(size, target, fit, scaled, turn):
    recipe = Recipe(size=target, fit=fit, scaled_decode=scaled)
    placed = frame(size, recipe, turn=turn, may_shrink=True)
    decoded = [-(-length // placed.shrink) for length in size]
    if turn in SWAPPED:
        decoded.reverse()
    left, top, right, bottom = placed.box
    assert 0 <= left < right <= decoded[0]
    assert 0 <= top < bottom <= decoded[1]
    assert 1 <= placed.size[0] <= target[1]
    assert 1 <= placed.size[1] <= target[0]
    if fit != "pad":
        assert placed.size == (target[1], target[0])
    if placed.shrink > 1:
        assert right - left >= scaled * placed.size[0]
        assert bottom - top >= scaled * placed.size[1]
    if scaled == 0:
        assert placed.shrink == 1


@settings(max_examples=300)
@given(size=st.tuples(sides, sides), target=st.tuples(targets, targets))
def test_pad_keeps_the_aspect_within_half_a_pixel(size, target):
    width, height = frame(size, Recipe(size=target, fit="pad")).size
    scale = min(target[1] / size[0], target[0] / size[1])
    assert abs(width - max(1, size[0] * scale)) <= 0.5 + 1e-9
    assert abs(height - max(1, size[1] * scale)) <= 0.5 + 1e-9
    assert (width, height)[0] == target[1] or (width, height)[1] == target[0]


@given(length=st.integers(2, 60), shrink=st.sampled_from([2, 4, 8]), turn=st.integers(1, 8))
def test_the_box_lies_where_undoing_the_orientation_puts_the_content(length, shrink, turn):
    """Oracle: mark the content of a stored picture, undo the orientation on the array, look where it is."""
    from PIL import Image

    size = (length * shrink + 1, length * shrink + 2)
    recipe = Recipe(size=(1, 1), scaled_decode=1)
    placed = frame(size, recipe, turn=turn, may_shrink=True)
    fine = np.zeros([-(-side // placed.shrink) * placed.shrink for side in reversed(size)], np.uint8)
    fine[: size[1], : size[0]] = 1  # the decoded picture, each pixel drawn as shrink x shrink
    methods = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    image = Image.fromarray(fine)
    upright = np.asarray(image.transpose(methods[turn]) if turn in methods else image)
    rows, columns = np.flatnonzero(upright.any(1)), np.flatnonzero(upright.any(0))
    expected = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert tuple(edge * placed.shrink for edge in placed.box) == expected
