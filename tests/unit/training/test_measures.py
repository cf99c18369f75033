"""What pictures of runs show, against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import ModelError, PlanError
from mtgen.training.measures.answers import compared, spread_rows
from mtgen.training.measures.confusion import Confusion, Scatter, confusion_of
from mtgen.training.measures.curves import curves_of
from mtgen.training.measures.kernels import feature_norms, picture_tiles, tiles_of
from mtgen.training.measures.scores import permutation
from mtgen.training.measures.states import spread
from mtgen.training.measures.waits import waits_of

# --- curves -----------------------------------------------------------------------------------------------------------


def history(**columns: list[float]) -> pd.DataFrame:
    num = len(next(iter(columns.values())))
    return pd.DataFrame({"step": np.arange(1, num + 1) * 10, "data_epoch": np.arange(1, num + 1) * 0.5, **columns})


def test_a_history_is_paired_by_names_and_the_loss_comes_first() -> None:
    found = curves_of(
        history(accuracy=[0.1, 0.2], loss=[2, 1], val_loss=[3, 2], val_f=[1, 1], seconds=[9, 9], data_wait=[0, 0])
    )
    assert {name: sorted(parts) for name, parts in found.measures.items()} == {
        "loss": ["train", "valid"],
        "accuracy": ["train"],
        "f": ["valid"],
    }
    assert next(iter(found.measures)) == "loss"
    assert found.steps_per_epoch == 20


@given(st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan), st.just(math.inf)), min_size=1, max_size=30))
def test_the_best_place_is_that_of_the_smallest_finite_value(values: list[float]) -> None:
    found = curves_of(history(val_loss=values))
    finite = [value for value in values if math.isfinite(value)]
    assert found.best == (values.index(min(finite)) if finite else None)
    assert found.not_finite.tolist() == [place for place, value in enumerate(values) if not math.isfinite(value)]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20))
def test_patience_extensions_and_changes_of_the_rate_are_counted(values: list[int]) -> None:
    found = curves_of(history(loss=[1.0] * len(values), patience=list(values), learning_rate=list(values)))
    grown = [place for place in range(1, len(values)) if values[place] > values[place - 1]]
    changed = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
    assert found.extensions.tolist() == grown
    assert found.rate_changes.tolist() == changed


def decision(step: int, what: str, value: float | None = None, text: str = "") -> dict[str, object]:
    return {"step": step, "what": what, "value": value, "text": text}


def test_decisions_say_what_is_watched_where_it_is_best_and_why_it_ended() -> None:
    found = curves_of(
        history(val_loss=[1.0, 0.5, 0.7], val_accuracy=[0.3, 0.5, 0.9]),
        decisions=[
            decision(10, "improved", 0.7),
            decision(30, "improved", 1 - 0.9),
            decision(30, "halved"),
            decision(33, "stopped", text="stopped after 33 mini-batches: patience has run out"),
        ],
        resumed=[10],
    )
    assert (found.monitor, found.best, found.stopped) == ("1 - val_accuracy", 2, 33)
    assert (found.why, found.halved, found.resumed) == ("patience has run out", (30,), (10,))


def test_of_measures_with_the_same_value_the_one_that_the_rule_named_is_watched() -> None:
    """A score of the test split that was the same by chance ended `mtgen plot` with a KeyError."""
    logged = history(val_accuracy=[0.25, 0.5], accuracy=[0.75, 0.5], test_accuracy=[0.1, 0.5])
    text = "mini-batch 19: {} 0.5 is the best so far"
    for monitor in ("1 - val_accuracy", "val_accuracy", "1 - accuracy"):
        assert curves_of(logged, decisions=[decision(20, "improved", 0.5, text.format(monitor))]).monitor == monitor
    assert curves_of(logged, decisions=[decision(20, "improved", 0.5)]).monitor == "val_accuracy"


def test_scores_of_the_test_split_at_new_bests_are_points_and_no_measures_of_their_own() -> None:
    """They had a panel of their own, as if they were of the train split."""
    logged = history(loss=[2, 1], val_loss=[3, 2], test_loss=[4, math.nan], test_time=[1, 2])
    found = curves_of(logged)
    assert list(found.measures) == ["loss", "test_time"]
    assert found.tests == {10: {"loss": 4}}
    told = curves_of(logged, tests=pd.DataFrame({"step": [20], "why": ["after training"], "loss": [5.0]}))
    assert told.tests == {20: {"loss": 5}}


def change(step: int, what: str, after: float) -> dict[str, object]:
    return {**decision(step, what), "after": after}


def test_changes_of_the_rate_between_validations_are_where_they_were() -> None:
    decisions = [change(15, "decayed", 0.5), change(20, "halved", 0.5), change(30, "decayed", 0.25)]
    rates = [0.1, 0.05, 0.025, 0.00625]
    logged = history(loss=[1.0] * 4, learning_rate=np.float32(rates).tolist())
    found = curves_of(logged, decisions=[*decisions, change(30, "halved", 0.25)])
    assert found.rate_steps is not None
    assert [step for step, _ in found.rate_steps] == [0, 15, 20, 30]
    # After step 30 both rules changed it, and the last validation logged something else: not told by decisions.
    assert curves_of(logged, decisions=decisions[:2]).rate_steps is None
    assert curves_of(history(loss=[1.0], learning_rate=[0.1])).rate_steps == ((0, 0.1),)


def test_a_history_without_steps_or_lines_is_refused() -> None:
    with pytest.raises(PlanError, match=r"needs the column step, received \['loss'\]"):
        curves_of(pd.DataFrame({"loss": [1.0]}))
    with pytest.raises(PlanError, match="the history has no line"):
        curves_of(pd.DataFrame({"step": [], "loss": []}))


# --- waits ------------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=60), st.integers(1, 12))
def test_bins_of_waits_hold_every_step_once(times: list[tuple[float, float]], num_bins: int) -> None:
    seconds = [rest + wait for rest, wait in times]
    waits = [wait for _, wait in times]
    found = waits_of(
        pd.DataFrame({"step": range(5, 5 + len(times)), "seconds": seconds, "wait_seconds": waits}), num_bins
    )
    assert len(found.seconds) <= num_bins
    assert found.steps[0] == 4
    assert found.steps[-1] == 4 + len(times)
    for low, high, whole, wait in zip(found.edges, found.edges[1:], found.seconds, found.wait_seconds, strict=False):
        assert whole == pytest.approx(sum(seconds[low:high]))
        assert wait == pytest.approx(sum(waits[low:high]))
    if sum(seconds):
        assert found.share == pytest.approx(sum(waits) / sum(seconds))
    else:
        assert math.isnan(found.share)


@pytest.mark.parametrize("seconds", [-5.0, math.inf, 1e308])
def test_times_that_no_step_takes_are_refused_and_not_drawn(seconds: float) -> None:
    table = pd.DataFrame({"step": [1, 2], "seconds": [1.0, seconds], "wait_seconds": [0.0, 0.0]})
    with pytest.raises(PlanError, match=r"step 2 has the times .*expected seconds of 0 to 1,000,000,000"):
        waits_of(table)


def test_waits_without_a_column_or_a_step_are_refused() -> None:
    with pytest.raises(PlanError, match=r"\['wait_seconds'\] are missing"):
        waits_of(pd.DataFrame({"step": [1], "seconds": [1.0]}))
    with pytest.raises(PlanError, match="no step was timed"):
        waits_of(pd.DataFrame({"step": [], "seconds": [], "wait_seconds": []}))


# --- confusion --------------------------------------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=50)


@given(PAIRS)
def test_confusion_is_what_loops_count(pairs: list[tuple[int, int]]) -> None:
    wanted, predicted = (np.array(one) for one in zip(*pairs, strict=True))
    found = confusion_of(wanted, predicted, list("abcde"))
    counts = [[0] * 5 for _ in range(5)]
    for one, other in pairs:
        counts[one][other] += 1
    assert found.counts.tolist() == counts
    assert found.accuracy == pytest.approx(sum(one == other for one, other in pairs) / len(pairs))
    for line, shares in zip(counts, found.shares, strict=True):
        assert (
            shares.tolist() == pytest.approx([one / sum(line) for one in line]) if sum(line) else np.isnan(shares).all()
        )
    wrong = sorted(
        (
            (one, other, counts[one][other])
            for one in range(5)
            for other in range(5)
            if one != other and counts[one][other]
        ),
        key=lambda pair: -pair[2],
    )
    assert found.confused(10) == wrong[:10]


def test_a_class_without_a_name_is_refused() -> None:
    with pytest.raises(PlanError, match="numbered 0 to 1, received 0 to 2"):
        confusion_of(np.array([0]), np.array([2]), ["a", "b"])
    with pytest.raises(PlanError, match="no row to compare"):
        confusion_of(np.array([], int), np.array([], int), ["a", "b"])


def test_targets_are_compared_by_what_they_are() -> None:
    classes = compared(np.array([0, 1, -1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.5, 0.5]]), ["no", "yes"])
    assert isinstance(classes, Confusion)
    assert classes.counts.tolist() == [[1, 0], [1, 0]]  # a row without a class is in none
    sigmoid = compared(np.array([[0], [1]]), np.array([[0.2], [0.7]]))
    assert isinstance(sigmoid, Confusion)
    assert sigmoid.counts.tolist() == [[1, 0], [0, 1]]
    logits = compared(np.array([0, 1, 1]), np.array([-3.0, 0.2, 4.0]))
    assert isinstance(logits, Confusion)
    assert logits.accuracy == 1
    hot = compared(np.eye(3)[[2, 0]], np.eye(3)[[2, 1]])
    assert isinstance(hot, Confusion)
    assert hot.confused() == [(0, 1, 1)]
    numbers = compared(np.array([1.5, 2.5, 0.0]), np.array([[1.0], [2.0], [math.nan]]))
    assert isinstance(numbers, Scatter)
    assert (numbers.error, numbers.num_lost, numbers.baseline) == (0.5, 1, 0.5)
    assert isinstance(compared(np.array([0, 7]), np.array([[0.5], [6.5]])), Scatter)  # counts, predicted as a number
    for wanted, given_ in (
        (np.array([[1, 1, 0]]), np.array([[0.9, 0.9, 0.1]])),
        (np.array([1.0]), np.array([[1.0, 2.0]])),
        (np.zeros((2, 4, 4)), np.zeros((2, 4, 4))),
    ):
        with pytest.raises(ModelError, match=r"one class or one number per row|one number per row is wanted"):
            compared(wanted, given_)


def test_rows_are_spread_over_the_target() -> None:
    targets = np.random.default_rng(0).permutation(np.arange(100) // 25)
    data = mtgen.Dataset(pd.DataFrame({"a": range(100), "y": targets}), inputs={"a": mtgen.Columns("a")}, targets="y")
    assert targets[spread_rows(data)].tolist() == [0, 1, 2, 3]
    assert sorted(spread_rows(data.take([7, 3]))) == [3, 7]


# --- kernels ----------------------------------------------------------------------------------------------------------


def test_tiles_are_the_kernel() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 5, 3, 7))
    tiles = tiles_of(kernel)
    for place in range(7):
        assert (tiles.values[place] == kernel[:, :, :, place]).all()
        assert tiles.norms[place] == pytest.approx(np.linalg.norm(kernel[..., place]))
    many = tiles_of(np.concatenate([kernel, kernel], axis=2))
    assert many.how == "the mean of 6 channels"
    assert many.values[2, :, :, 0] == pytest.approx(np.concatenate([kernel, kernel], axis=2)[..., 2].mean(axis=2))
    volume = np.random.default_rng(0).normal(size=(3, 4, 5, 1, 2))
    assert (tiles_of(volume).values[1, :, :, 0] == volume[1, :, :, 0, 1]).all()
    line = np.random.default_rng(0).normal(size=(9, 1, 2))
    assert (tiles_of(line).values[1, 0, :, 0] == line[:, 0, 1]).all()
    depth = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    assert (tiles_of(depth, depthwise=True).values[5, :, :, 0] == depth[:, :, 1, 1]).all()
    with pytest.raises(PlanError, match=r"3 to 5 axes, received shape \(3, 4\)"):
        tiles_of(np.zeros((3, 4)))


def test_dense_weights_over_pixels_are_pictures_again() -> None:
    kernel = np.random.default_rng(0).normal(size=(2 * 4 * 3, 5))
    last = picture_tiles(kernel, (2, 4, 3))
    first = picture_tiles(kernel, (3, 2, 4))
    assert last is not None
    assert first is not None
    assert (last.values[1] == kernel[:, 1].reshape(2, 4, 3)).all()
    assert (first.values[1, :, :, 2] == kernel[:, 1].reshape(3, 2, 4)[2]).all()
    assert picture_tiles(kernel, (24,)) is None
    assert picture_tiles(kernel, (2, 4, 1)) is None
    assert picture_tiles(kernel, (None, 4, 3)) is None


def test_norms_of_features() -> None:
    kernel = np.random.default_rng(0).normal(size=(6, 3))
    assert feature_norms(kernel) == pytest.approx([np.linalg.norm(line) for line in kernel])


# --- others -----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 60), st.integers(2, 12), st.integers(0, 60))
def test_spread_keeps_the_ends_and_the_best(num: int, most: int, best: int) -> None:
    steps = [10 * place for place in range(num)]
    found = spread(steps, most, [10 * best])
    assert found == sorted({*found})
    assert {*found} <= {*steps}
    assert len(found) == min(num, most)
    assert {steps[0], steps[-1]} <= {*found}
    if 10 * best in steps and most > 2:
        assert 10 * best in found


def test_permutations_are_seeded_and_differ() -> None:
    first = permutation(50, 0, 0)
    assert sorted(first.tolist()) == list(range(50))
    assert (first == permutation(50, 0, 0)).all()
    assert not (first == permutation(50, 0, 1)).all()
    assert not (first == permutation(50, 1, 0)).all()


def test_the_number_of_rows_of_a_score_is_no_measure() -> None:
    history = pd.DataFrame({"step": [4], "loss": [1.0]})
    tests = pd.DataFrame({"step": [4], "why": ["after training"], "num_rows": [3.0], "loss": [0.5]})
    assert curves_of(history, tests=tests).tests == {4: {"loss": 0.5}}
