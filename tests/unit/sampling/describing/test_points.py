"""Descriptions of laws over points: components and acceptance as drawn, columns, both parts of rows @ points."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError
from mtgen.sampling.bits import Bits
from mtgen.sampling.describing.heat import heat_lines
from mtgen.sampling.describing.joint import JointDescription
from mtgen.sampling.describing.parts import Acceptance, Components, parts_of
from mtgen.sampling.describing.points import PointDescription
from mtgen.sampling.sampler import Sampler


def found(law: Sampler, n: int = 2_000, **options: Any) -> PointDescription:
    description = law.describe(n, **options)
    assert isinstance(description, PointDescription)
    json.dumps(description.as_json(), allow_nan=False)
    assert str(description)
    return description


# Components that their points tell: near 0, near 10, near 20.
LOW, MIDDLE, HIGH = S.uniform(0, 1), S.uniform(10, 11), S.uniform(20, 21)


def which(points: np.ndarray) -> np.ndarray:
    """The component that a point shows."""
    return np.floor(points / 10).astype(int)  # noise of up to 0.05 changes nothing


@pytest.mark.parametrize("block", [None, 20])
@pytest.mark.parametrize(
    ("law", "column"),
    [
        (0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH, 0),
        ((0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH) + 0.0, 0),
        ((0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH).apply(np.copy), 0),
        (S.normal() & (0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH), 1),
        ((S.normal() & (0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH))[[1, 0]], 0),
        ((0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH).truncate(high=20.5, low=0.5), 0),
        ((0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH).truncate(expr=lambda p: p[:, 0] % 1 < 0.3), 0),
        (S.constant(3) @ (0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH), 1),
        ((0.2 & LOW | 0.5 & MIDDLE | 0.3 & HIGH) + S.uniform(0, 0.5) * 0.1, 0),
    ],
    ids=["plain", "shifted", "applied", "product", "columns", "box", "rejected", "dependent", "noise"],
)
def test_components_are_those_of_the_points_drawn(law: Sampler, column: int, block: int | None) -> None:
    """No second draw: the choices are made again, with the words that the points were drawn with."""
    bits, positions = Bits(3, 1, block=block), np.arange(500)
    points = law.draw(bits, positions)
    (one,) = (part for part in parts_of(law, bits, positions) if isinstance(part, Components))
    np.testing.assert_array_equal(one.chosen, which(points[:, column]))
    description = found(law, 500, seed=3, epoch=1, block=block)
    assert description.counts["drawn"].tolist() == np.bincount(which(points[:, column]), minlength=3).tolist()


def test_points_inside_a_mixture_inside_a_mixture_are_found() -> None:
    inner = (0.5 & LOW | 0.5 & MIDDLE) + 0.0
    law = S.mix({"both": 0.5 & inner, "high": 0.5 & HIGH})
    description = found(law, 1_000)
    assert description.counts["mixture"].tolist() == ["", "", "both", "both"]
    assert description.counts["component"].tolist()[:2] == ["both", "high"]
    points = law.sample(1_000)[:, 0]
    assert description.counts["drawn"].tolist()[2:] == [
        int((points < 5).sum()),
        int(((points > 5) & (points < 15)).sum()),
    ]


def test_acceptance_is_measured() -> None:
    description = found(S.uniform(0, 1).truncate(expr=lambda p: p[:, 0] < 0.2), 20_000)
    (condition,) = description.conditions
    assert condition.num_kept == 20_000
    # The number of draws is negative binomial: 5 sigma of the share are 5 * 0.2 * sqrt(0.8 / 20,000).
    assert condition.share == pytest.approx(0.2, abs=0.0063)
    assert "accepted    " in str(description)


def test_acceptance_in_a_part_counts_the_points_of_that_part_alone() -> None:
    law = 0.25 & S.uniform(0, 1).truncate(expr=lambda p: p[:, 0] < 0.5) | 0.75 & MIDDLE
    (condition,) = (one for one in parts_of(law, Bits(0, block=8), np.arange(800)) if isinstance(one, Acceptance))
    assert condition.num_kept == 200


def test_shares_under_a_condition_are_not_expected_to_be_the_weights() -> None:
    law = S.mix({"low": LOW, "middle": MIDDLE}).truncate(expr=lambda p: p[:, 0] < 10.1)
    description = found(law, 5_000)
    assert description.counts["expected"].isna().all()
    assert description.counts["drawn_share"].tolist() == pytest.approx([1 / 1.1, 0.1 / 1.1], abs=0.025)
    assert "each=True" in str(description)
    kept = found(S.mix({"low": LOW, "middle": MIDDLE}).truncate(high=10.1, each=True), 100, block=10)
    assert kept.counts["drawn"].tolist() == [50, 50]
    assert kept.counts["component"].tolist() == ["low", "middle"]


def test_names_of_a_mixture_are_kept_and_decide_nothing() -> None:
    named, plain = S.mix({"a": 0.3 & LOW, "b": 0.7 & MIDDLE}), 0.3 & LOW | 0.7 & MIDDLE
    assert named == plain
    assert hash(named) == hash(plain)
    assert repr(named) == repr(plain)
    np.testing.assert_array_equal(named.sample(50), plain.sample(50))
    wider = S.mix({"old": named, "new": HIGH})
    assert found(wider).counts["component"].tolist() == ["old a", "old b", "new"]
    assert found(plain).counts["component"].tolist()[0].startswith("uniform(")


def test_classes_of_labels_are_components() -> None:
    seen = np.zeros((20, 20), int)
    seen[:4, :4] = 7
    description = found(S.labels(seen, {0: 0.5, 7: 0.5}), 100, block=10)
    assert description.counts[["component", "drawn"]].to_numpy().tolist() == [["class 0", 50], ["class 7", 50]]
    windows = found(S.labels(seen, {0: 0.5, 7: 0.5}).crop(4), 100)
    assert windows.counts["drawn"].sum() == 100
    assert windows.frame == "pixels"


def test_columns_are_those_of_numpy() -> None:
    law = S.constant("cube") & S.normal() & S.integers(0, 5)
    description = found(law, 300)
    points = law.sample(300)
    assert description.columns["kind"].tolist() == ["text", "measured", "counted"]
    for place in (1, 2):
        values = points[:, place].astype(float)
        line = description.columns.iloc[place]
        assert (line["mean"], line["std"]) == pytest.approx((values.mean(), values.std()))
        assert (line["least"], line["most"]) == (values.min(), values.max())
        assert line["distinct"] == len(set(values.tolist()))
    assert description.heat == ()


def test_points_that_came_before_are_counted() -> None:
    assert found(S.integers(0, 10), 1_000).num_again == 990
    assert found(S.normal(), 1_000).num_again == 0


def test_values_that_are_no_numbers_are_counted() -> None:
    description = found(S.uniform(-1, 1).apply(lambda p: np.where(p < 0, np.nan, p)), 100)
    assert description.columns["missing"].tolist() == [int((S.uniform(-1, 1).sample(100) < 0).sum())]
    assert "values are NaN" in str(description)
    assert found(S.normal().apply(lambda p: p * np.nan), 10).columns["mean"].isna().all()


@pytest.mark.parametrize("n", [0, 1])
def test_few_points(n: int) -> None:
    description = found(S.normal(dim=2) | S.uniform(dim=2), n)
    assert (description.num, len(description.columns)) == (n, 2)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(PlanError, match="n must be an integer >= 0"):
        S.normal().describe(-1)
    with pytest.raises(PlanError, match="block must be an integer >= 1"):
        S.normal().describe(10, block=0)
    with pytest.raises(EmptySupportError):
        S.normal().truncate(expr=lambda p: p[:, 0] > 50, tries=100).describe(10)
    with pytest.raises(PlanError, match="is no law over rows"):
        (S.constant(1) @ S.normal()).describe(10, by=["a"])


def test_many_components_are_cut_in_the_table_and_whole_in_the_counts() -> None:
    law = S.mix({f"part {place}": (place + 1) & S.constant(place) for place in range(50)})
    description = found(law)
    assert len(description.counts) == 50
    assert "... 30 smaller components are not shown" in str(description)
    assert "part 49 " in str(description)


def test_rows_at_points_have_both() -> None:
    law = S.rows(weights=[1, 2, 1]) @ S.mix({"a": LOW, "b": HIGH})
    description = law.describe(40, block=4, by=["x", "y", "y"])
    assert isinstance(description, JointDescription)
    assert description.counts["drawn_rows"].tolist() == [10, 30]
    assert description.points.counts["drawn"].tolist() == [20, 20]
    assert description.as_json().keys() == {"rows", "points"}
    assert str(description) == f"{description.rows}\n\n{description.points}"
    assert description.to_frame()["column"].tolist() == [0, 1]
    eight = law.times(8).describe(40, by=["x", "y", "y"])
    assert isinstance(eight, JointDescription)
    assert eight.rows.size == 5


def test_a_law_for_each_row_is_described_without_its_parts() -> None:
    description = (S.rows(3) @ (lambda row: S.uniform(row, row + 1))).describe(30)
    assert isinstance(description, JointDescription)
    assert description.points.components == ()


# --- the heat map of characters ---------------------------------------------------------------------------------------


def test_heat_counts_whole_numbers_cell_by_cell() -> None:
    lines = heat_lines(np.array([[0, 0], [0, 2], [0, 2], [1, 1]]))
    assert lines[0] == "+" + "-" * 48 + "+"
    assert lines[1] == "|" + "+" * 16 + " " * 16 + "@" * 16 + "|"
    assert lines[2] == "|" + " " * 16 + "+" * 16 + " " * 16 + "|"
    assert lines[4] == "column 0 down: 0 to 1; column 1 across: 0 to 2"


@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 2)),
        np.full((3, 2), np.nan),
        np.array([["a", "b"]]),
        np.array([[-1.7e308, 0], [1.7e308, 1]]),
    ],
    ids=["none", "nan", "text", "huge"],
)
def test_heat_of_what_has_none(points: np.ndarray) -> None:
    assert heat_lines(points) == ()


def test_heat_of_one_point_and_of_fractions() -> None:
    assert "@" in heat_lines(np.array([[3, 4]]))[1]
    assert len(heat_lines(np.random.default_rng(0).random((100, 2)))) == 19
