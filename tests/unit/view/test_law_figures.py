"""Pictures of laws, epochs and windows: what is drawn is what was counted."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mtgen import sampling as S
from mtgen import view
from mtgen.errors import PlanError
from mtgen.sampling.sampler import Sampler
from mtgen.view.figures import png_of
from mtgen.view.windows import DRAWN, MOST_OUTLINES

pytest.importorskip("matplotlib")

NEAR, WIDE = S.uniform(0, 1), S.uniform(5, 9)


def widths(axes: Any) -> list[float]:
    return [bar.get_width() for bar in axes.patches]


def heights(axes: Any) -> list[float]:
    return [bar.get_height() for bar in axes.patches]


def texts(figure: Any) -> str:
    """Every text of a figure, with those of its axes."""
    from matplotlib.text import Text

    return "\n".join(one.get_text() for one in figure.findobj(Text))


# --- epochs -----------------------------------------------------------------------------------------------------------


def test_bars_of_classes_are_the_counts() -> None:
    found = S.rows(weights=[5, 1, 1, 0]).describe(12, by=list("abbc"), seed=2)
    figure = view.draw_epoch(found)
    left, right = figure.axes
    counts = found.counts
    want = [*counts["rows"], *counts["expected_rows"], *counts["drawn_rows"]]
    assert widths(left) == pytest.approx(want)
    assert [one.get_text() for one in left.get_yticklabels()] == ["a", "b", "c"]
    assert [one.get_text() for one in figure.legends[0].get_texts()] == ["before", "expected", "drawn"]
    for name, drawn in zip(counts["class"], counts["drawn_rows"], strict=True):
        assert f"{drawn} drawn" in texts(figure), name
    # Bars of repeats: 0, 1, ... times; then the two that mark what never came, and what has weight 0.
    most = found.most_repeats
    assert heights(right)[: most + 1] == [found.repeats.get(times, 0) for times in range(most + 1)]
    assert heights(right)[most + 1 :] == [found.num_never, found.num_zero]
    assert "12 positions (seed 2, epoch 0) of 4 rows" in texts(figure)


def test_rows_that_come_very_often_share_bars_and_none_is_lost() -> None:
    found = S.rows(weights=np.geomspace(1, 1e4, 60)).describe(20_000)
    (axes,) = view.draw_epoch(found).axes
    drawn = heights(axes)[: len(axes.get_xticks())]
    assert sum(drawn) == 60
    names = [one.get_text() for one in axes.get_xticklabels()]
    assert names[:5] == ["0", "1", "2", "3-4", "5-8"]
    for height, name in zip(drawn, names, strict=True):
        low, _, high = name.replace(",", "").partition("-")
        inside = [rows for times, rows in found.repeats.items() if int(low) <= times <= int(high or low)]
        assert height == sum(inside), name


def test_of_many_classes_the_largest_and_smallest_have_bars() -> None:
    found = S.rows(2_000).describe(by=np.minimum(np.arange(2_000), 900))
    left = view.draw_epoch(found).axes[0]
    assert len(left.patches) == 3 * 16
    assert widths(left)[0] == 1_100
    assert "885 classes between these" in texts(left)


@pytest.mark.parametrize("size", [0, 1])
def test_an_empty_epoch_and_one_row_can_be_drawn(size: int) -> None:
    assert png_of(view.draw_epoch(S.rows(1).describe(size, by=["a"]))).startswith(b"\x89PNG")


# --- laws over points -------------------------------------------------------------------------------------------------


def test_one_number_has_a_histogram_by_component_and_its_density() -> None:
    law = S.mix({"near": 0.25 & NEAR, "wide": 0.75 & WIDE})
    figure = view.draw_law(law, 4_000, seed=1)
    (axes,) = figure.axes
    area = np.array([bar.get_width() * bar.get_height() for bar in axes.patches])
    points = law.sample(4_000, 1)[:, 0]
    assert len(area) == 2 * 60
    # The largest component first, the other on top of it.
    assert area[:60].sum() == pytest.approx((points > 2).mean())
    assert area[60:].sum() == pytest.approx((points < 2).mean())
    (line,) = axes.lines
    grid = line.get_xdata()
    np.testing.assert_allclose(line.get_ydata(), np.exp(law.log_prob(np.asarray(grid)[:, None])))
    assert f"near: {100 * (points < 2).mean():.2f}%" in texts(figure)


def test_counted_numbers_have_a_bar_each_and_their_probabilities() -> None:
    (axes,) = view.draw_law(S.integers(0, 6), 600).axes
    points = S.integers(0, 6).sample(600)[:, 0]
    assert heights(axes) == pytest.approx((np.bincount(points, minlength=6) / 600).tolist())
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([1 / 6] * 6)


def test_a_law_without_density_has_no_line() -> None:
    (axes,) = view.draw_law(NEAR.apply(np.sin), 500).axes
    assert len(axes.lines) == 0
    assert sum(bar.get_width() * bar.get_height() for bar in axes.patches) == pytest.approx(1)


def test_two_numbers_have_a_heat_map_and_margins() -> None:
    figure = view.draw_law(NEAR & WIDE, 3_000)
    heat, _, above, beside = figure.axes
    counts = heat.collections[0].get_array()
    assert counts.sum() == 3_000
    np.testing.assert_array_equal(heights(above), counts.sum(axis=0))
    np.testing.assert_array_equal(widths(beside), counts.sum(axis=1))
    assert (heat.get_xlabel(), heat.get_ylabel()) == ("column 0", "column 1")


def test_places_in_a_picture_run_down_and_to_the_right() -> None:
    seen = np.zeros((6, 9))
    seen[1, 7] = 3
    seen[4, 0] = 1
    figure = view.draw_law(S.mask(seen), 400, names=["down", "right"])
    heat = figure.axes[0]
    low, high = heat.get_ylim()
    assert low > high
    assert (heat.get_xlabel(), heat.get_ylabel()) == ("right", "down")
    counts = heat.collections[0].get_array()
    assert counts.shape == (4, 8)
    drawn = S.mask(seen).sample(400).tolist()
    assert (counts[0, 7], counts[3, 0]) == (drawn.count([1, 7]), drawn.count([4, 0]))


def test_bins_of_many_counted_numbers_hold_equally_many() -> None:
    """134 pixels in 60 bins gave every other bin half as much again, and spikes that no law has."""
    (axes,) = view.draw_law(S.integers(0, 134), 400_000).axes
    assert {bar.get_width() for bar in axes.patches} == {3.0}
    # 44 bins of 3 values and one of 2; 5 sigma of 9,000 points in a bin.
    assert heights(axes)[:44] == pytest.approx([1 / 134] * 44, rel=0.06)
    figure = view.draw_law(S.mask(np.ones((134, 20))), 400_000)
    counts = figure.axes[0].collections[0].get_array()
    assert counts.shape == (45, 20)
    assert heights(figure.axes[2]) == pytest.approx([20_000] * 20, rel=0.04)


def test_three_numbers_have_three_projections() -> None:
    law = S.mix({"a": NEAR & NEAR & WIDE, "b": WIDE & NEAR & WIDE})
    figure = view.draw_law(law, 1_000)
    labels = [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes[:3]]
    assert labels == [("column 0", "column 1"), ("column 0", "column 2"), ("column 1", "column 2")]
    assert [int(axes.collections[0].get_array().sum()) for axes in figure.axes[:3]] == [1_000] * 3
    assert "a: " in texts(figure)


def test_more_numbers_have_a_histogram_each_and_text_none() -> None:
    figure = view.draw_law(S.normal(dim=5), 300)
    assert len([axes for axes in figure.axes if axes.patches]) == 5
    mixed = view.draw_law(S.constant("cube") & NEAR, 300)
    assert mixed.axes[0].get_xlabel() == "column 1"
    assert len(mixed.axes[0].lines) == 0


@pytest.mark.parametrize(
    "law",
    [
        S.constant(3),
        S.constant([1.0, 2.0]),
        S.normal().apply(lambda p: np.where(p > 0, p, np.nan)),
        S.normal().apply(lambda p: p * np.nan),
        S.mix(*(S.constant(place) for place in range(30))),
        S.cauchy(),
        S.normal().truncate(expr=lambda p: abs(p[:, 0]) > 1),
        S.rows(100) @ S.uniform(dim=2),
    ],
    ids=["one value", "one point", "some NaN", "all NaN", "30 parts", "wide", "rejected", "rows"],
)
def test_any_law_can_be_drawn(law: Sampler) -> None:
    assert png_of(view.draw_law(law, 200)).startswith(b"\x89PNG")


def test_a_title_takes_the_place_of_the_expression() -> None:
    text = texts(view.draw_law(NEAR, 100, title="my law"))
    assert "my law\n100 points (seed 0, epoch 0)" in text
    assert "uniform(" not in text


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(PlanError, match="names must name each of 1 columns, received 2"):
        view.draw_law(NEAR, names=["a", "b"])
    with pytest.raises(PlanError, match="has no column of numbers to draw"):
        view.draw_law(S.constant("text"))
    with pytest.raises(PlanError, match="n must be an integer >= 1"):
        view.draw_law(NEAR, 0)


# --- windows ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dim=st.integers(1, 3))
def test_coverage_is_that_of_a_plain_loop(data: st.DataObject, dim: int) -> None:
    shape = tuple(data.draw(st.integers(1, 6)) for _ in range(dim))
    size = tuple(data.draw(st.integers(1, 8)) for _ in range(dim))
    starts = data.draw(st.lists(st.tuples(*[st.integers(-9, 9)] * dim), max_size=6))
    want = np.zeros(shape, int)
    for start in starts:
        want[tuple(slice(max(0, low), max(0, low + more)) for low, more in zip(start, size, strict=True))] += 1
    np.testing.assert_array_equal(view.coverage(shape, np.array(starts).reshape(-1, dim), size), want)


def test_windows_are_outlined_where_they_are() -> None:
    starts = np.array([[0, 0], [5, 12], [-2, 30]])
    figure = view.draw_windows(np.zeros((20, 40)), starts, (8, 6))
    left, right = figure.axes[:2]
    boxes = [path.get_extents() for path in left.collections[0].get_paths()]
    assert [(box.y0, box.x0, box.height, box.width) for box in boxes] == [
        (top - 0.5, across - 0.5, 8, 6) for top, across in starts.tolist()
    ]
    np.testing.assert_array_equal(right.images[0].get_array().filled(0), view.coverage((20, 40), starts, (8, 6)))
    assert left.get_ylim() == (19.5, -2.5)
    assert right.get_ylim() == left.get_ylim()


def test_many_windows_are_counted_though_not_all_outlined() -> None:
    figure = view.draw_windows(np.zeros((50, 50, 3), np.uint8), np.zeros((500, 2), int), (5, 5))
    assert len(figure.axes[0].collections[0].get_paths()) == MOST_OUTLINES
    assert "the first 60 of 500 windows of 5 x 5" in texts(figure)
    assert "99.00% of the pixels in none, others in up to 500" in texts(figure)


def test_a_slice_of_a_volume_shows_the_windows_that_reach_it() -> None:
    volume = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    starts = np.array([[0, 1, 1], [2, 0, 0], [1, 3, 4]])
    figure = view.draw_windows(volume, starts, (2, 2, 2), axis=0, at=1)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), volume[1])
    want = view.coverage((5, 6), starts[[0, 2]][:, 1:], (2, 2))
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array().filled(0), want)
    assert "where 2 windows fall, of 3, across slice 1 of axis 0" in texts(figure)


def test_a_law_of_windows_is_drawn_and_knows_its_size() -> None:
    law = S.uniform(0, 1, dim=2).crop((6, 4))
    figure = view.draw_windows(np.zeros((30, 40)), law)
    starts, size = view.starts_of(law, (30, 40), DRAWN)
    assert size == (6, 4)
    assert (starts >= 0).all()
    assert (starts <= [24, 36]).all()
    np.testing.assert_array_equal(figure.axes[1].images[0].get_array().filled(0), view.coverage((30, 40), starts, size))


@pytest.mark.parametrize(
    ("arguments", "options", "says"),
    [
        ((np.zeros((5, 5)), [[0, 0]]), {}, "need their size"),
        ((np.zeros((5, 5)), S.uniform(0, 1, dim=2)), {}, "gives places, not windows"),
        ((np.zeros((5, 5)), [[0, 0, 0]], (2, 2)), {}, r"needs starts of shape \(n, 2\)"),
        ((np.zeros((5, 5)), [[0.5, 0]], (2, 2)), {}, "starts must be whole pixels"),
        ((np.zeros((5, 5)), [[0, 0]], (2, 0)), {}, "sizes integers >= 1"),
        ((np.zeros((5, 5, 7)), [[0, 0]], (2, 2)), {}, "say which slice: axis=0, at=10"),
        ((np.zeros((5, 5)), [[0, 0]], (2, 2)), {"axis": 0}, "axis cuts a volume"),
        ((np.zeros((5, 5, 5)), [[0, 0, 0]], (2, 2, 2)), {"axis": 1, "at": 5}, "at must be from 0 to 4"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments: tuple[Any, ...], options: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        view.draw_windows(*arguments, **options)


def test_no_windows_at_all() -> None:
    figure = view.draw_windows(np.zeros((4, 4)), [], (2, 2))
    assert "100.00% of the pixels in none" in texts(figure)
    assert png_of(figure).startswith(b"\x89PNG")


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_figure_is_written_as_a_png_of_its_size(tmp_path: Path) -> None:
    path = view.save_figure(view.draw_law(NEAR, 100), tmp_path / "law.png")
    with Image.open(path) as picture:
        assert picture.size == (640, 400)
        assert len(set(picture.convert("RGB").get_flattened_data())) > 2
    again = view.save_figure(view.draw_law(NEAR, 100), tmp_path / "again.png")
    assert again.read_bytes() == path.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["again.png", "law.png"]
    with pytest.raises(PlanError, match=r"must end in \.png"):
        view.save_figure(view.draw_law(NEAR, 100), tmp_path / "law.svg")
    with pytest.raises(PlanError, match="cannot be written"):
        view.save_figure(view.draw_law(NEAR, 100), tmp_path / "nowhere" / "law.png")


def test_no_state_of_pyplot_is_touched() -> None:
    view.draw_law(NEAR, 100)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(PlanError, match=r"a picture of a law needs matplotlib: pip install 'mtgen\[plot\]'"):
        view.draw_law(NEAR, 100)


def test_colours_can_be_told_apart_by_those_who_see_two() -> None:
    """Simulated deuteranopia (Viénot, Brettel and Mollon 1999, in linear RGB): bars side by side stay apart."""
    from mtgen.view.epochs import KINDS

    matrix = np.array([[0.2926, 0.7074, 0], [0.2926, 0.7074, 0], [-0.0223, 0.0223, 1]])
    seen = []
    for _, _, colour in KINDS:
        rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        seen.append(matrix @ rgb**2.2)
    for place, one in enumerate(seen):
        for other in seen[place + 1 :]:
            assert np.linalg.norm(one - other) > 0.15


def test_views_names_are_listed() -> None:
    assert set(view.__all__) <= set(dir(view))
    assert all(callable(getattr(view, name)) for name in view.__all__)
    with pytest.raises(AttributeError, match="no attribute 'draw'"):
        _ = view.draw
