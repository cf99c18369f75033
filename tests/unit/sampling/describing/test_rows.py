"""Descriptions of epochs: every number against a plain count, the text, and input that is not as it should be."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mtgen
from mtgen import sampling as S
from mtgen.errors import PlanError, TableError
from mtgen.sampling.describing.epoch import NOTE, expected_rows, inclusion
from mtgen.sampling.describing.labels import RowLabels
from mtgen.sampling.describing.rows import EpochFacts, describe_rows
from mtgen.sampling.describing.text import aligned, cut, number, percent


def dataset(**columns: Any) -> mtgen.Dataset:
    table = pd.DataFrame(columns)
    return mtgen.Dataset(table.assign(x=0.0), inputs={"x": mtgen.Columns("x")})


# --- numbers against plain counts -------------------------------------------------------------------------------------

LABELS = st.one_of(
    st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=30),
    st.lists(st.integers(-2, 2), min_size=1, max_size=30),
    st.lists(st.lists(st.sampled_from("abc"), max_size=3), min_size=1, max_size=30),
)


def labels_of_row(value: Any) -> set[Any]:
    if isinstance(value, list):
        return set(value) or {()}
    return {value}


@settings(max_examples=150, deadline=None)
@given(labels=LABELS, data=st.data(), block=st.integers(1, 7))
def test_every_count_is_that_of_a_plain_loop(labels: list[Any], data: st.DataObject, block: int) -> None:
    num = len(labels)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=num, max_size=num)), float)
    weights[data.draw(st.integers(0, num - 1))] = 1
    probability = weights / weights.sum()
    drawn = np.array(data.draw(st.lists(st.integers(0, num - 1), min_size=1, max_size=40)), np.int64)
    facts = EpochFacts(law="law", seed=0, epoch=0, block=block)
    found = describe_rows(probability, drawn, facts, labels=RowLabels.of(labels, num))
    sets = [labels_of_row(one) for one in labels]
    times = [drawn.tolist().count(row) for row in range(num)]
    classes = set().union(*sets)
    lines = {line["class"]: line for line in found.counts.to_dict("records")}
    assert set(lines) == classes
    whole = max(1, len(drawn) // block)
    batches = [drawn[start * block : (start + 1) * block].tolist() for start in range(whole)]
    for name, line in lines.items():
        members = [row for row in range(num) if name in sets[row]]
        each = [sum(name in sets[row] for row in batch) for batch in batches]
        assert line["rows"] == len(members)
        assert line["share"] == pytest.approx(len(members) / num)
        assert line["expected_rows"] == pytest.approx(sum(probability[row] for row in members) * len(drawn))
        assert line["drawn_rows"] == sum(times[row] for row in members)
        assert line["never"] == sum(times[row] == 0 for row in members)
        assert line["most_repeats"] == max(times[row] for row in members)
        assert (line["batch_least"], line["batch_most"]) == (min(each), max(each))
        assert line["batch_mean"] == pytest.approx(np.mean(each))
    assert found.repeats == {0: times.count(0)} | {one: times.count(one) for one in sorted(set(times))}
    assert found.num_zero == int((weights == 0).sum())
    assert found.effective == pytest.approx(weights.sum() ** 2 / np.square(weights).sum())
    assert (found.num_distinct, found.most_repeats) == (len(set(drawn.tolist())), max(times))
    assert found.mean_repeats == pytest.approx(len(drawn) / len(set(drawn.tolist())))
    json.dumps(found.as_json(), allow_nan=False)
    assert str(found)


def test_a_law_is_described_as_its_plan_is() -> None:
    data = dataset(label=["ill"] * 10 + ["well"] * 90)
    law = data.rows.weighted("max_weight(label == 'ill': 9, True: 1)")
    plan = law.plan(200, seed=3, epoch=2, block=20)[:]
    found = law.describe(200, 3, epoch=2, block=20, by="label")
    counts = data.table["label"].iloc[plan].value_counts()
    assert dict(zip(found.counts["class"], found.counts["drawn_rows"], strict=True)) == counts.to_dict()
    assert found.counts["expected_rows"].tolist() == pytest.approx([100, 100])
    assert found.num_batches == 10
    assert found.to_frame().equals(found.counts)


def test_rows_of_a_split_keep_their_labels() -> None:
    data = dataset(label=list("aabbbcccc"), half=["x", "y", "x"] * 3)
    part = data.split({"one": 0.5, "two": 0.5}, seed=0)["two"]
    found = part.rows.uniform().describe(by="label")
    want = data.table["label"].iloc[np.asarray(part.rows)].value_counts().to_dict()
    assert dict(zip(found.counts["class"], found.counts["rows"], strict=True)) == want
    assert part.rows.uniform().describe(by=data.table["label"]).counts.equals(found.counts)


def test_classes_of_several_columns_are_tuples() -> None:
    data = dataset(label=["a", "a", "b"], site=[1, 2, 2])
    found = data.rows.uniform().describe(by=["label", "site"])
    assert found.counts["class"].tolist() == [("a", 1), ("a", 2), ("b", 2)]
    assert "a, 1" in str(found)
    assert data.rows.uniform().describe(by=["label"]).counts["class"].tolist() == ["a", "b"]


def test_balanced_rows_have_the_worked_values_of_the_formulas() -> None:
    data = dataset(label=["a"] * 9000 + ["b"] * 900 + ["c"] * 100)
    found = data.rows.balanced("label").describe(by="label")
    assert found.counts["expected_rows"].round(0).tolist() == [5477, 2924, 2347]
    assert found.counts["expected_share"].round(4).tolist() == [0.5096, 0.2721, 0.2184]
    assert abs(found.counts["drawn_rows"] - found.counts["expected_rows"]).max() < 1


def test_components_of_a_mixture_are_counted_by_epoch_and_batch() -> None:
    data = dataset(label=["ill"] * 10 + ["well"] * 90)
    law = S.mix({"ill": 0.3 & data.rows.where("label == 'ill'"), "rest": 0.7 & data.rows.where("label == 'well'")})
    found = law.describe(200, by="label", block=10)
    wanted = [["ill", 0.3, 60, 3, 3], ["rest", 0.7, 140, 7, 7]]
    columns = ["component", "share", "drawn", "batch_least", "batch_most"]
    assert found.components[columns].to_numpy().tolist() == wanted
    assert found.components["drawn"].tolist() == found.counts["drawn_rows"].tolist()
    assert "component  by weight  expected  drawn   share  batch min  max" in str(found)
    json.dumps(found.as_json(), allow_nan=False)
    by_chance = law.plan(200, share="iid", seed=1)
    assert by_chance.size == 200
    assert len(S.rows(5).describe().components) == 0


def test_components_of_uneven_batches_are_within_one() -> None:
    law = 1 & S.rows(weights=[1, 1, 0, 0]) | 2 & S.rows(weights=[0, 0, 1, 1])
    found = law.describe(103, by=[0, 0, 1, 1], block=10)
    assert found.counts["batch_least"].tolist() == found.components["batch_least"].tolist() == [3, 6]
    assert found.counts["batch_most"].tolist() == found.components["batch_most"].tolist() == [4, 7]
    assert found.components["drawn"].tolist() == found.counts["drawn_rows"].tolist()


# --- without replacement ----------------------------------------------------------------------------------------------


def test_expected_rows_without_replacement_are_near_the_mean_of_many_epochs() -> None:
    law = S.rows(weights=np.arange(1, 41))
    times = np.zeros(40)
    for epoch in range(2_000):
        times += np.bincount(law.plan(15, replace=False, epoch=epoch)[:], minlength=40)
    want = expected_rows(law, 15, replace=False)
    assert want.sum() == pytest.approx(15)
    # 5 sigma of 2,000 draws of probability 1/2 is 0.056; the approximation itself is off by less than 0.01 here.
    assert abs(times / 2_000 - want).max() < 0.06


def test_expected_rows_without_replacement_are_exact_where_that_is_plain() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows of weight 0 that fill up
        assert expected_rows(S.rows(8), 2, replace=False).tolist() == pytest.approx([0.25] * 8)
        all_of_them = S.rows(weights=[3, 0, 1]).describe(2, replace=False, by=list("abc"))
    assert all_of_them.counts["expected_rows"].tolist() == [1, 0, 1]
    assert all_of_them.facts.note == ""
    assert "approximation" in str(S.rows(weights=[3, 1, 1]).describe(2, replace=False))
    assert "approximation" not in str(S.rows(5).describe(2, replace=False))


@pytest.mark.parametrize("weights", [[1e-300, 1.0, 1e300], [1, 2, 3, 4], [0, 5, 0, 5]])
def test_inclusion_sums_to_the_size_for_weights_far_apart(weights: list[float]) -> None:
    found = inclusion(np.array(weights), 2)
    assert found.sum() == pytest.approx(2)
    assert ((found > 0) == (np.array(weights) > 0)).all()


def test_a_mixture_with_a_part_without_replacement_is_described() -> None:
    data = dataset(label=list("aabb"))
    law = 0.5 & data.rows.weighted([1, 1, 0, 0], replace=False) | 0.5 & data.rows.where("label == 'b'")
    found = law.describe(4, by="label")
    assert found.counts["expected_rows"].tolist() == pytest.approx([2, 2])
    assert found.counts["drawn_rows"].tolist() == [2, 2]


def test_a_mixture_of_splits_is_described_with_its_names_and_without_replacement() -> None:
    """Laws of splits are moved to the rows of both, and lost their names and their weights on the way."""
    data = dataset(label=list("aabb"))
    ill, well = data.take([0, 1]), data.take([2, 3])
    law = S.mix({"ill": 0.5 & ill.rows.weighted([1, 3], replace=False), "well": 0.5 & well.rows.uniform()})
    found = law.describe(4, by="label")
    assert found.components["component"].tolist() == ["ill", "well"]
    assert found.counts["expected_rows"].tolist() == pytest.approx([2, 2])
    assert law.describe(2).facts.note == NOTE
    nested = S.mix({"both": law, "all": data.rows.uniform()})
    assert nested.describe(8).components["component"].tolist() == ["both ill", "both well", "all"]


# --- text -------------------------------------------------------------------------------------------------------------


def test_the_table_names_what_never_comes() -> None:
    data = dataset(label=pd.Categorical(["a", "b", "b", None], ["a", "b", "unused"]))
    text = str(data.rows.weighted([0, 1, 1, 0]).describe(4, by="label", block=2))
    assert text.splitlines()[1:4] == [
        "  epoch       4 positions (seed 0, epoch 0)",
        "  rows        2 of 4 came, 2 never, 2 of them of weight 0",
        "  repeats     2 times on average, 2 at most",
    ]
    assert "  effective   2 rows of equal weight would vary as much (50.00%)" in text
    assert text.splitlines()[-2:] == ["batches of 2: 2 counted", "no row of weight > 0: a, unused, (missing)"]
    head, *lines = text.splitlines()[6:11]
    assert " ".join(head.split()) == "label rows share expected share drawn share never repeats batch min mean max"
    assert " ".join(lines[1].split()) == "b 2 50.00% 4 100.00% 4 100.00% 0 2 2 2 2"


def test_a_class_that_did_not_come_by_chance_is_told_from_one_that_cannot() -> None:
    found = S.rows(100).describe(2, by=np.arange(100) % 3, seed=1)
    assert found.empty == ()
    assert len(found.not_drawn) >= 1
    assert "expected, but not drawn in this epoch: " in str(found)


def test_of_many_classes_the_largest_and_the_smallest_are_shown() -> None:
    labels = np.concatenate([np.full(500, 9), np.arange(10_000) + 10, [9_999]])
    text = str(S.rows(len(labels)).describe(by=labels)).splitlines()
    assert "... 9,981 classes between these left out; counts has all 10,001" in text
    first = next(place for place, line in enumerate(text) if line.startswith("class")) + 1
    assert text[first].split()[:2] == ["9", "500"]
    assert text[first + 1].split()[:2] == ["9999", "2"]
    assert len(text) == 6 + 1 + 20 + 1


def test_several_labels_per_row_count_each() -> None:
    found = S.rows(4).describe(by=[["a", "b"], ["a", "a"], [], None])
    assert found.counts[["class", "rows"]].to_numpy().tolist() == [["a", 2], ["b", 1], [None, 1], [(), 1]]
    assert "(no label)" in str(found)
    assert "(missing)" in str(found)
    assert "counts for each of its labels" in str(found)
    assert [one["class"] for one in found.as_json()["classes"]] == ["a", "b", None, []]


def test_long_names_and_line_breaks_do_not_break_the_table() -> None:
    found = S.rows(2).describe(by=["x" * 500 + "\n" + "y" * 500, "b"])
    assert max(map(len, str(found).splitlines())) < 140
    assert len(str(found).splitlines()) == 9


def test_numbers_as_text() -> None:
    assert [number(one) for one in (0, 1234567, 0.5, 1e20, float("inf"), float("nan"))] == [
        "0",
        "1,234,567",
        "0.5",
        "1e+20",
        "inf",
        "-",
    ]
    assert [percent(one) for one in (1.0, 0.5, 1e-7, float("nan"))] == ["100.00%", "50.00%", "1e-05%", "-"]
    assert cut("ab\ncd", 10) == "ab cd"
    assert aligned(["a", "bb"], [["ccc", "d"]]) == ["a    bb", "ccc   d"]


# --- hostile input ----------------------------------------------------------------------------------------------------


def test_one_row() -> None:
    found = S.rows(1).describe(by=["only"], block=64)
    assert found.counts["drawn_rows"].tolist() == [1]
    assert (found.num_batches, found.mean_repeats, found.num_never) == (1, 1.0, 0)


def test_an_empty_epoch() -> None:
    found = S.rows(3).describe(0, by=list("abc"), block=2)
    assert found.counts["drawn_rows"].tolist() == [0, 0, 0]
    assert found.as_json()["mean_repeats"] is None
    assert "0 of 3 came" in str(found)


def test_no_rows_of_a_label_at_all() -> None:
    found = S.rows(3).describe(by=[None, float("nan"), pd.NA])
    assert found.counts[["class", "rows"]].to_numpy().tolist() == [[None, 3]]


@pytest.mark.parametrize(
    ("by", "error", "says"),
    [
        (["a"], PlanError, "one entry for each of 3 rows"),
        (np.zeros((3, 2)), PlanError, "by must have one dimension"),
        ("label", PlanError, "needs a table: use data.rows"),
        ([{"a": 1}, {}, {}], PlanError, "cannot be told apart"),
        (7, PlanError, "must have one dimension"),
    ],
)
def test_labels_that_do_not_fit_are_refused(by: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        S.rows(3).describe(by=by)


def test_a_wrong_column_is_named_with_the_nearest() -> None:
    with pytest.raises(TableError, match=r"no column 'lable'.*Did you mean 'label'\?"):
        dataset(label=list("ab")).rows.uniform().describe(by="lable")
    with pytest.raises(PlanError, match="lists of labels; describe it alone"):
        dataset(label=[["a"], ["b"]], site=[1, 2]).rows.uniform().describe(by=["site", "label"])


def test_a_description_of_other_lengths_is_refused() -> None:
    facts = EpochFacts(law="law", seed=0, epoch=0)
    with pytest.raises(PlanError, match="for each of 2 rows"):
        describe_rows(np.ones(2) / 2, np.zeros(1, np.int64), facts, labels=RowLabels.of(["a"], 1))
    with pytest.raises(PlanError, match="places from 0 to 1, received 5 to 5"):
        describe_rows(np.ones(2) / 2, np.array([5]), facts)


def test_a_million_rows_of_ten_thousand_classes() -> None:
    """Costs a few passes over the rows, and memory by the row, not by batch and class."""
    num = 1_000_000
    labels = np.arange(num) % 10_000
    found = S.rows(num).describe(by=labels, block=64)
    assert found.counts["drawn_rows"].tolist() == [100] * 10_000
    assert found.repeats == {0: 0, 1: num}
