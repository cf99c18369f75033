"""Pictures of runs: what is drawn is what was measured."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtgen.training.measures.confusion import Scatter, confusion_of
from mtgen.training.measures.curves import curves_of
from mtgen.training.measures.kernels import tiles_of
from mtgen.training.measures.scores import Permuted
from mtgen.training.measures.waits import waits_of
from mtgen.view.figures import png_of
from mtgen.view.runs import sentences
from mtgen.view.runs.answers import MOST_CELLS, draw_confusion, draw_scatter
from mtgen.view.runs.curves import draw_curves
from mtgen.view.runs.maps import Sample, as_lines, draw_maps
from mtgen.view.runs.paper import GAP, literal, mosaic
from mtgen.view.runs.scores import draw_permuted
from mtgen.view.runs.tiles import MOST_TILES, draw_feature_weights, draw_filters, draw_snapshot_scores
from mtgen.view.runs.waits import draw_waits

pytest.importorskip("matplotlib")

RNG = np.random.default_rng(0)


def texts(figure: Any) -> str:
    from matplotlib.text import Text

    return "\n".join(one.get_text() for one in figure.findobj(Text))


def lines(axes: Any) -> dict[str, tuple[list[float], list[float]]]:
    return {one.get_label(): (list(one.get_xdata()), list(one.get_ydata())) for one in axes.get_lines()}


# --- curves -----------------------------------------------------------------------------------------------------------


def curves() -> Any:
    history = pd.DataFrame(
        {
            "step": [10, 20, 30, 40],
            "data_epoch": [0.5, 1.0, 1.5, 2.0],
            "loss": [2.0, 1.5, 1.2, 1.0],
            "val_loss": [1.8, 1.1, 1.3, math.nan],
            "accuracy": [0.1, 0.2, 0.3, 0.4],
            "patience": [25.0, 25.0, 40.0, 40.0],
            "learning_rate": [0.1, 0.1, 0.05, 0.05],
        }
    )
    decisions = [
        {"step": 20, "what": "improved", "value": 1.1, "text": ""},
        {"step": 30, "what": "halved", "value": 1.3, "text": ""},
        {"step": 40, "what": "stopped", "value": None, "text": "stopped after 40 mini-batches: val_loss is nan"},
    ]
    tests = pd.DataFrame({"step": [20], "why": ["new best"], "loss": [1.25], "accuracy": [0.5]})
    return curves_of(history, tests=tests, resumed=[10], decisions=decisions)


def test_curves_are_drawn_at_their_steps() -> None:
    loss, accuracy, patience, rate = draw_curves(curves()).axes[:4]
    assert loss.get_title(loc="left") == "loss"
    drawn = lines(loss)
    assert drawn["train"] == ([10, 20, 30, 40], [2.0, 1.5, 1.2, 1.0])
    assert drawn["valid"][1][:3] == [1.8, 1.1, 1.3]
    assert math.isnan(drawn["valid"][1][3])
    assert drawn["not a number"][0] == [40]
    assert drawn["best"] == ([20], [1.1])
    assert drawn["test"] == ([20], [1.25])
    assert lines(accuracy)["best"] == ([20], [0.2])
    assert set(drawn["resumed"][0]) == {10}
    assert set(drawn["stopped by a rule"][0]) == {40}
    stairs = lines(patience)
    assert stairs["patience"] == ([0, 10, 20, 30, 40], [25, 25, 25, 40, 40])
    assert stairs["patience extended"] == ([30], [40])
    assert stairs["mini-batches trained"] == ([0, 40], [0, 40])
    assert lines(rate)["rate"] == ([0, 10, 20, 30, 40], [0.1, 0.1, 0.1, 0.05, 0.05])
    assert set(lines(rate)["learning rate divided"][0]) == {30}
    assert rate.get_yscale() == "log"


def test_the_axis_above_counts_epochs_of_the_data() -> None:
    figure = draw_curves(curves())
    png_of(figure)
    (above,) = figure.axes[0].child_axes
    low, high = figure.axes[0].get_xlim()
    assert above.get_xlim() == pytest.approx((low / 20, high / 20))
    assert above.get_xlabel() == "epochs of the data"


def test_the_sentence_of_curves_has_their_numbers() -> None:
    assert sentences.of_curves(curves()) == (
        "The best val_loss is 1.1, after step 20, epoch 1 of the data. A measure is not a finite number at 1 of 4 "
        "validations, first after step 40. Patience was extended once, last to 40 mini-batches. The learning rate was "
        "divided once. The learning rate went from 0.1 to 0.05. The run was resumed once. A rule stopped it after step "
        "40: val_loss is nan."
    )


@pytest.mark.parametrize(
    "columns",
    [
        {"loss": [1.0]},
        {"loss": [1.0, 1.0, 1.0], "val_loss": [1.0, 1.0, 1.0], "learning_rate": [0.1, 0.1, 0.1]},
        {"loss": [math.nan, math.inf], "val_loss": [math.nan, math.nan]},
        {"patience": [5.0, 5.0]},
        {"loss": (np.exp(-np.arange(3000) / 300)).tolist(), "$a$_b\n\u732b": RNG.normal(size=3000).tolist()},
        {f"metric {place}": [0.5, 0.25] for place in range(9)},
        {"loss": [-1.0, -2.0], "learning_rate": [0.0, 0.0]},
    ],
)
def test_odd_histories_have_a_figure_and_a_sentence(columns: dict[str, list[float]]) -> None:
    num = len(next(iter(columns.values())))
    found = curves_of(pd.DataFrame({"step": np.arange(1, num + 1) * 7, **columns}))
    assert png_of(draw_curves(found)) == png_of(draw_curves(found))  # and no warning, of glyphs or layouts
    assert sentences.of_curves(found).endswith(".")


# --- tiles ------------------------------------------------------------------------------------------------------------


def test_a_mosaic_has_each_tile_whole_in_its_place() -> None:
    tiles = [RNG.random((3, 4, 3)) for _ in range(5)]
    paper = mosaic(tiles, 2, 16)  # 4 dots per value, a gap of one
    assert paper.shape == (3 * 13 + 1, 2 * 17 + 1, 3)
    for place, tile in enumerate(tiles):
        top, left = 1 + 13 * (place // 2), 1 + 17 * (place % 2)
        assert (paper[top : top + 12 : 4, left : left + 16 : 4] == tile).all()
    assert (paper[0, 0] == GAP).all()
    assert (paper[-2, -2] == 1).all()  # no sixth tile


def image_of(axes: Any) -> np.ndarray:
    return np.asarray(axes.get_images()[0].get_array())


def test_filters_have_one_symmetric_scale() -> None:
    first, last = np.zeros((1, 1, 1, 2)), np.zeros((1, 1, 1, 2))
    first[..., 0], last[..., 0], last[..., 1] = 1.0, -4.0, 2.0
    figure = draw_filters({"step 0": tiles_of(first), "step 9": tiles_of(last)})
    assert "one scale, -4 to 4" in texts(figure)
    (before, after), bar = figure.axes[:2], figure.axes[2]
    assert (before.get_title(loc="left"), after.get_title(loc="left")) == ("step 0", "step 9")
    assert bar.get_ylim() == (-4, 4)
    # Two tiles of 40 dots below each other, with gaps of 2.
    assert image_of(before)[64, 22] == pytest.approx([0.969, 0.966, 0.965], abs=0.01)  # 0 is white
    blue, red = image_of(after)[22, 22], image_of(after)[64, 22]
    assert blue[2] > 2 * blue[0]
    assert red[0] > 2 * red[2]


def test_kernels_of_three_channels_are_colours_around_grey() -> None:
    kernel = np.zeros((1, 1, 3, 1))
    kernel[0, 0, :, 0] = [2.0, 0.0, -2.0]
    figure = draw_filters({"a": tiles_of(kernel)})
    picture = image_of(figure.axes[0])
    assert picture[len(picture) // 2, len(picture) // 2].tolist() == [1.0, 0.5, 0.0]
    assert "grey is 0" in texts(figure)


@pytest.mark.parametrize("shape", [(5, 5, 3, 200), (3, 3, 64, 8), (31, 1, 24), (3, 3, 3, 2, 4), (1, 1, 1, 1)])
def test_odd_kernels_have_a_figure(shape: tuple[int, ...]) -> None:
    tiles = tiles_of(RNG.normal(size=shape))
    figure = draw_filters({f"step {step}": tiles for step in range(6)}, "$a$ " * 40)
    png_of(figure)
    if shape[-1] > MOST_TILES:
        assert f"{MOST_TILES} of {shape[-1]} filters, those of largest norm" in texts(figure)
    png_of(draw_filters({"a": tiles_of(np.zeros(shape))}))


def test_features_stand_in_the_order_of_their_norms() -> None:
    first, last = np.ones((3, 2)), np.array([[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]])
    figure = draw_feature_weights({"step 0": first, "step 9": last}, ["age", "$size$\x07"])
    left, right = figure.axes[:2]
    assert [bar.get_width() for bar in left.patches] == [10, 5, 1]
    assert [one.get_text() for one in left.get_yticklabels()] == ["feature 2", "age", r"\$size\$\x07"]
    assert image_of(right).tolist() == last[[2, 0, 1]].tolist()
    assert right.get_images()[0].get_clim() == (-8, 8)
    assert lines(left)["step 0"][0] == pytest.approx([math.sqrt(2)] * 3)
    png_of(figure)


def test_scores_of_snapshots_are_at_their_steps() -> None:
    figure = draw_snapshot_scores([0, 40], {"loss": np.array([2.0, math.nan])}, "two", best=0)
    (axes,) = figure.axes
    assert list(axes.get_lines()[0].get_xdata()) == [0, 40]
    assert list(axes.get_lines()[1].get_ydata()) == [2.0]
    png_of(figure)


# --- maps -------------------------------------------------------------------------------------------------------------


def test_maps_have_a_line_for_each_state() -> None:
    shown = RNG.random((2, 3, 3, 4))
    picture = RNG.integers(0, 255, (5, 5, 3)).astype(np.uint8)
    figure = draw_maps([Sample(name="row 3, $y$ 1", picture=picture, lines=shown)], ["step 0", "step 9"])
    left, right, bar = figure.axes
    assert (image_of(left) == picture).all()
    assert [one.get_text() for one in right.get_yticklabels()] == ["step 0", "step 9"]
    assert bar.get_ylim() == pytest.approx((0, shown.max()))
    paper = image_of(right)
    assert paper.shape[1] / paper.shape[0] == pytest.approx(2, rel=0.05)  # 4 maps across, 2 lines down
    png_of(figure)


@pytest.mark.parametrize("shape", [(2, 7), (2, 9, 4), (2, 5, 5, 4), (2, 3, 5, 5, 4)])
def test_maps_of_any_dimension_have_a_figure(shape: tuple[int, ...]) -> None:
    found, told = as_lines(RNG.normal(size=shape), np.arange(min(4, shape[-1])))
    assert found.ndim == 4
    assert told == ("the middle one of 3 slices" if len(shape) == 5 else "")
    png_of(draw_maps([Sample(name="a", picture=None, lines=np.stack([one, one])) for one in found], ["a", "b"]))
    assert sentences.of_maps(np.zeros(shape), "conv", 4).startswith(("4 of", "All 4"))


# --- answers ----------------------------------------------------------------------------------------------------------


def test_confusion_holds_counts_and_shares() -> None:
    confusion = confusion_of(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), ["$cat$", "dog", "none"])
    figure = draw_confusion(confusion)
    axes = figure.axes[0]
    assert {one.get_position(): one.get_text() for one in axes.texts} == {(0, 0): "2", (1, 0): "1", (1, 1): "1"}
    shares = axes.get_images()[0].get_array()
    assert shares[0].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert shares.mask[2].all()
    assert [one.get_text() for one in axes.get_yticklabels()] == [r"\$cat\$", "dog", "none"]
    assert "grey: no row" in texts(figure)
    png_of(figure)
    assert sentences.of_confusion(confusion, "4 rows") == (
        "75 % of 4 rows are right (3). Most often $cat$ is taken for dog: 1 row."
    )


@pytest.mark.parametrize("num", [2, 25, 60, 1000])
def test_any_number_of_classes_has_a_figure(num: int) -> None:
    wanted = RNG.integers(0, num, 3000)
    figure = draw_confusion(confusion_of(wanted, wanted, [f"a rather long name {place}" for place in range(num)]))
    assert len(image_of(figure.axes[0])) <= MOST_CELLS
    png_of(figure)


@pytest.mark.parametrize("values", [RNG.normal(size=50), RNG.normal(size=9000), np.ones(5), np.full(5, math.nan)])
def test_scatter_has_the_identity_line(values: np.ndarray) -> None:
    scatter = Scatter(wanted=np.nan_to_num(values), predicted=values * 2)
    figure = draw_scatter(scatter, "a", "$price$")
    png_of(figure)
    assert r"true \$price\$" in texts(figure)
    if np.isfinite(values).all():
        across, down = lines(figure.axes[0])["predicted = true"]
        assert across == down
    else:
        assert "no finite prediction" in texts(figure)
    assert sentences.of_scatter(scatter, "rows").endswith(".")


# --- inputs and waits -------------------------------------------------------------------------------------------------


def permuted(**scores: list[list[float]]) -> Permuted:
    kinds = ((), ("image",), ("features",), ("image", "features"))
    return Permuted(kinds=kinds, scores={name: np.array(one) for name, one in scores.items()}, num_rows=9, seed=0)


def test_bars_of_permuted_inputs_are_means() -> None:
    found = permuted(loss=[[1.0, 1.0], [2.5, 3.5], [1.0, 1.02], [5.0, 6.0]])
    figure = draw_permuted(found)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([1, 3, 1.01, 5.5])
    assert [one.get_text() for one in axes.get_yticklabels()] == [
        "as is",
        "image permuted",
        "features permuted",
        "all permuted",
    ]
    assert "3 ± 0.5" in texts(figure)
    png_of(figure)
    assert sentences.of_permuted(found) == (
        "The loss is 1 as is, 3 with image of other rows, 1.01 with features of other rows. The model uses image; "
        "features it hardly uses."
    )
    both = permuted(loss=[[1.0, 1.0], [2.0, 2.1], [3.0, 3.1], [5.0, 6.0]])
    assert sentences.of_permuted(both).endswith("The model uses features most, then image.")
    none = permuted(loss=[[1.0, 1.0], [0.9, 1.0], [1.0, 1.0], [1.0, 1.0]])
    assert sentences.of_permuted(none).endswith("No input alone makes it clearly worse.")
    lost = permuted(loss=[[math.nan] * 2] * 4)
    png_of(draw_permuted(lost))
    assert sentences.of_permuted(lost) == "The loss is not a finite number, so nothing can be said of inputs."


def test_a_timeline_of_waits_has_their_shares() -> None:
    found = waits_of(pd.DataFrame({"step": [1, 2, 3], "seconds": [1.0, 0.1, 0.1], "wait_seconds": [0.0, 0.05, 0.1]}))
    figure = draw_waits(found, "waits", 2.0)
    upper, lower = figure.axes[:2]
    assert upper.patches[0].get_data().values.tolist() == pytest.approx([0, 50, 100])
    assert upper.patches[0].get_data().edges.tolist() == [0, 1, 2, 3]
    assert "one bar goes higher, to 1,000 ms" in lower.get_title(loc="left")
    png_of(figure)
    assert sentences.of_waits(found) == (
        "Training waited 12.5 % of the time for data: 0.15 s of 1.2 s in 3 steps. "
        "The largest share is 100 %, in step 3."
    )
    nothing = waits_of(pd.DataFrame({"step": [1], "seconds": [0.0], "wait_seconds": [0.0]}))
    png_of(draw_waits(nothing))
    assert sentences.of_waits(nothing) == "No time was measured."


@pytest.mark.parametrize("name", ["$a$", "a$b", r"\$x\$", "line\nbreak", "\u732b", "\x1b[31m", "a" * 200, ""])
def test_names_are_drawn_letter_by_letter(name: str) -> None:
    from matplotlib.text import Text

    shown = literal(name, 300)
    plain, is_math = Text()._preprocess_math(shown)
    assert not is_math
    assert plain == " ".join(name.split()).encode("ascii", "backslashreplace").decode().replace("\x1b", r"\x1b")
    png_of(draw_confusion(confusion_of(np.array([0]), np.array([0]), [name, "b"])))  # a missing glyph would warn
