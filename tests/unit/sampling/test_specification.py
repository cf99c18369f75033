"""What BatchFlow's and Deep Lake's users had, line by line: operators, aliases, rules of SAMPLE BY, edge cases."""

from __future__ import annotations

import ast
import copy
import functools
import operator
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import mtgen
from mtgen import sampling as S
from mtgen.errors import EmptySupportError, PlanError, QueryError
from mtgen.sampling.bits import Bits
from mtgen.sampling.mixture import Mixture
from mtgen.sampling.sampler import Frame

SOURCES = sorted((Path(mtgen.__file__).parent / "sampling").rglob("*.py"))

# --- BatchFlow: leaves ------------------------------------------------------------------------------------------------

SCIPY: dict[str, tuple[tuple[Any, ...], Any]] = {
    "n": ((1, 2), stats.norm(1, 2)),
    "u": ((1, 2), stats.uniform(1, 2)),
    "e": ((1, 2), stats.expon(1, 2)),
    "g": ((2.5, 1, 2), stats.gamma(2.5, 1, 2)),
    "be": ((2, 3), stats.beta(2, 3)),
    "f": ((4, 9), stats.f(4, 9)),
    "p": ((3,), stats.poisson(3)),
    "w": ((2,), stats.dweibull(2)),  # the two-sided one
    "ln": ((0.7,), stats.lognorm(0.7)),
    "b": ((9, 0.3), stats.binom(9, 0.3)),
    "chi2": ((4,), stats.chi2(4)),
}
"""BatchFlow's aliases with SciPy's parameters, in SciPy's order."""


@pytest.mark.parametrize("alias", SCIPY)
def test_every_alias_of_scipy_is_that_law_with_scipys_parameters(alias: str) -> None:
    args, oracle = SCIPY[alias]
    law = S.scipy(alias, *args)
    points = law.sample(3000, seed=1)
    logs = oracle.logpmf if law.discrete[0] else oracle.logpdf
    np.testing.assert_allclose(law.log_prob(points), logs(points[:, 0]), rtol=1e-9, atol=1e-9)
    if not law.discrete[0]:
        assert stats.kstest(points[:, 0], oracle.cdf).pvalue > 1e-6
    two = S.scipy(alias, *args, dim=2).sample(3000, seed=1)
    assert abs(stats.spearmanr(two[:, 0], two[:, 1]).statistic) < 5 / np.sqrt(3000)  # defect B10, and B1 of it


def test_choice_is_numpys_alone_and_unknown_names_are_value_errors() -> None:
    with pytest.raises(ValueError, match="no law named 'c'"):
        S.scipy("c")
    with pytest.raises(ValueError, match="no law named 'gauss'"):
        S.named("gauss")


def test_a_constant_is_repeated_and_keeps_its_kind() -> None:
    assert S.constant(3).sample(2).tolist() == [[3], [3]]
    assert S.constant(3).sample(1).dtype == np.int64
    assert S.constant("cube").sample(2).tolist() == [["cube"], ["cube"]]
    assert S.constant([0.5, 2]).sample(1).tolist() == [[0.5, 2.0]]


def test_the_neutral_element_of_a_fold_over_cubes() -> None:
    law: S.Sampler = 0 & S.named("n", dim=4)
    for name, share in (("A", 0.25), ("B", 0.75)):
        law = law | share & (S.constant(name) & S.uniform(dim=3).apply(lambda points: points.astype(object)))
    points = law.sample(40, block=4)
    assert ((points[:, 0].reshape(10, 4) == "A").sum(axis=1) == 1).all()


def test_any_leaf_stands_beside_itself_with_coordinates_of_its_own() -> None:
    """`dim=2` of a histogram; laws over numbers have `dim` itself."""
    leaf = S.histogram(np.random.default_rng(0).random(300), bins=7)
    both = (leaf & leaf).sample(5000, seed=1)
    assert abs(np.corrcoef(both.T)[0, 1]) < 5 / np.sqrt(5000)
    assert stats.ks_2samp(both[:, 0], both[:, 1]).pvalue > 1e-6


NOTHING_ELSE = """
import sys
import numpy as np, pandas as pd, mtgen
from mtgen import sampling as S
table = pd.DataFrame({"label": np.arange(90) % 7, "lists": [["a"], ["b"]] * 45})
inputs = {
    "p": mtgen.Patches(np.ones((9, 9)), S.normal(0.5, 0.1, dim=2), (3, 3), stream="own"),
    "q": mtgen.Patches(np.ones((9, 9)), None, (3, 3)),
}
data = mtgen.Dataset(table, inputs, "label")
mask = np.eye(9)
points = 0.5 & S.mask(mask).crop(3) | 0.5 & S.touching(mask, 3)
laws = data.rows.balanced("label") | data.rows.weighted("max_weight(contains(lists, 'a'): 3, True: 1)")
batch = mtgen.Loader(data, 8, sampler=(laws @ points), num_workers=1).batch(3)
S.poisson(3).truncate(9, 2).sample(5), S.gamma(2).truncate(expr=lambda x: x > 1).sample(5)
found = [name for name in ("scipy", "torch", "tensorflow", "keras", "jax", "matplotlib") if name in sys.modules]
assert not found, found
"""


def test_no_other_package_is_loaded_to_draw() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTHING_ELSE], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr


# --- BatchFlow: operators ---------------------------------------------------------------------------------------------

OPERATIONS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}
OTHERS: dict[str, Any] = {
    "number": 3,
    "fraction": 0.5,
    "NumPy's number": np.float32(2.5),
    "list": [2, 3],
    "array": np.array([2.0, 0.25]),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("symbol", OPERATIONS)
def test_every_operation_is_that_of_numpy_on_the_points(symbol: str, other: Any) -> None:
    compute, law = OPERATIONS[symbol], 0.3 & S.uniform(0.5, 4, dim=2)
    points = law.sample(50, seed=2)
    for made, due in (
        (compute(law, other), compute(points, np.asarray(other))),
        (compute(other, law), compute(np.asarray(other), points)),
    ):
        np.testing.assert_allclose(made.sample(50, seed=2), due, rtol=1e-15)
        assert (made.weight, made.dim) == (0.3, 2)
    both = compute(S.constant([7.0, 2.0]), S.constant([2.0, 3.0]))
    assert both.sample(1).tolist() == compute(np.array([[7.0, 2.0]]), np.array([[2.0, 3.0]])).tolist()


GROUPED = [
    ("0.4 & a + 3 | 0.6 & b.truncate(1)", "(0.4 & (a + 3)) | (0.6 & (b.truncate(1)))"),
    ("d | b & c", "d | (b & c)"),
    ("0.5 & a | b", "(0.5 & a) | b"),
    ("a & b + 1", "a & (b + 1)"),
    ("a + 2 * b", "a + (2 * b)"),
    ("2 * a ** 2", "2 * (a ** 2)"),
    ("-a ** 2", "-(a ** 2)"),
    ("a - 1 - 2", "(a - 1) - 2"),
    ("0.5 & a @ b", "0.5 & (a @ b)"),
    ("a[0] * 2", "(a[0]) * 2"),
    ("a.apply(np.abs) + 1", "(a.apply(np.abs)) + 1"),
]


@pytest.mark.parametrize(("text", "grouped"), GROUPED)
def test_precedence_is_pythons(text: str, grouped: str) -> None:
    names = {"a": S.normal(), "b": S.uniform(), "c": S.exponential(), "d": S.normal(dim=2), "np": np}
    assert eval(text, names) == eval(grouped, names)


def test_truncate_takes_high_first_as_batchflow_did() -> None:
    points = S.normal().truncate(1, -0.5).sample(200)
    assert -0.5 <= points.min() < points.max() <= 1
    column = S.normal(dim=2).truncate(1, 0, lambda found: found[:, 1]).sample(200)
    assert 0 <= column[:, 1].min() < column[:, 1].max() <= 1
    assert column[:, 0].min() < 0
    assert S.normal().truncate(1, -0.5).sample(0).shape == (0, 1)
    assert S.normal().inside(-0.5, 1) == S.normal().truncate(1, -0.5)


@pytest.mark.parametrize("prob", [1, 0.5, 1e-3, 1e-9])
def test_prob_is_a_hint_for_speed_and_changes_no_point(prob: float) -> None:
    law, plain = (S.normal(dim=2).truncate(expr=lambda x: x.sum(axis=1) > 1, prob=one) for one in (prob, 0.5))
    assert np.array_equal(law.sample(40, seed=3), plain.sample(40, seed=3))
    assert law == plain


def test_truncating_a_mixture_changes_its_shares_and_truncating_a_component_does_not() -> None:
    a, b = 0.5 & S.uniform(0, 1), 0.5 & S.uniform(10, 14)
    whole, part = (a | b).truncate(high=11, low=0), a | b.truncate(high=11)
    num = 20_000
    for law, due in ((whole, 0.2), (part, 0.5)):  # 0.5 * 0.25 of 0.5 + 0.5 * 0.25 is a fifth
        share = float((law.sample(num, seed=4) > 5).mean())
        assert abs(share - due) < 5 * np.sqrt(due * (1 - due) / num)


def test_apply_may_change_the_columns_and_their_kind() -> None:
    law = 0.3 & S.uniform(0, 10, dim=2)
    whole = law.apply(lambda points: points[:, :1].astype(np.int64))
    assert (whole.dim, whole.weight) == (1, 0.3)
    assert whole.sample(3).dtype == np.int64
    assert law.apply(lambda points: np.repeat(points, 2, axis=1)).dim == 4
    assert pickle.loads(pickle.dumps(law.apply(np.abs))) == law.apply(np.abs)


def test_b8_only_names_of_the_oldest_numpy_are_used() -> None:
    """`np.bool` was gone from 1.24 to 1.26; today's floor is 2.0, and these came later."""
    later = {"cumulative_sum", "cumulative_prod", "unstack", "matvec", "vecmat", "sort_complex"}
    used = {
        node.attr
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "np"
    }
    assert len(used) > 50
    assert not used & later


def test_no_generator_is_used_but_for_laws_that_only_scipy_knows() -> None:
    """NumPy promises no stream of its Generator's methods, so points that are promised are not drawn with one."""
    naming = [path.name for path in SOURCES if "np.random" in path.read_text(encoding="utf-8")]
    assert naming == ["scipy_laws.py"]
    for path in SOURCES:
        imported = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if _imports_random(node)]
        assert not imported, path


def _imports_random(node: ast.AST) -> bool:
    names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
    return "random" in names or (isinstance(node, ast.ImportFrom) and node.module in ("random", "numpy.random"))


# --- Deep Lake: SAMPLE BY over the digits of MNIST --------------------------------------------------------------------

COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10), COUNTS))
NUM = 60_000


@pytest.fixture(scope="module")
def digits() -> mtgen.Dataset:
    table = pd.DataFrame({"labels": LABELS, "name": LABELS.astype(str), "place": np.arange(NUM)})
    return mtgen.Dataset(table, {"place": mtgen.Columns("place")}, targets="name")


def test_rows_without_a_true_condition_are_never_drawn(digits: mtgen.Dataset) -> None:
    law = digits.rows.sampled("SAMPLE BY max_weight(labels == 1: 8, labels == 2: 8)")
    rows = law.plan()[:]
    assert len(rows) == NUM
    assert set(LABELS[rows].tolist()) == {1, 2}


def test_a_row_of_several_conditions_has_the_largest_weight_or_the_sum() -> None:
    table = pd.DataFrame({"n": range(3), "findings": [["Hernia", "Edema"], ["Edema"], []]})
    rows = mtgen.Dataset(table, {"n": mtgen.Columns("n")}).rows
    pairs = "contains(findings, 'Hernia'): 20, contains(findings, 'Edema'): 5, True: 1"
    assert np.allclose(rows.weighted(f"max_weight({pairs})").prob, np.array([20, 5, 1]) / 26)
    assert np.allclose(rows.weighted(f"sum_weight({pairs})").prob, np.array([26, 6, 1]) / 33)
    assert rows.weighted(pairs, weight_choice="sum") == rows.weighted(f"sum_weight({pairs})")


@pytest.mark.parametrize(
    ("clause", "size"),
    [
        ("WHERE labels == 0 SAMPLE BY 1", 5923),
        ("WHERE labels BETWEEN 0 AND 3 SAMPLE BY 1", 24_754),
        ("WHERE labels / 3 == 0 SAMPLE BY 1", 18_623),  # whole numbers: 0, 1 and 2
        ("LIMIT 100 SAMPLE BY 1", 100),
        ("LIMIT 100 SAMPLE BY 1 LIMIT 700", 700),
        ("SAMPLE BY labels LIMIT 190000", 190_000),
        ("SAMPLE BY labels REPLACE TRUE LIMIT 190000", 190_000),
        ("SAMPLE BY 1 REPLACE FALSE LIMIT 190000", NUM),
        ("SAMPLE BY labels LIMIT 0.1 PERCENT", 60),
        ("SAMPLE BY 0.1", NUM),  # a weight, no fraction
    ],
)
def test_sizes_of_epochs_are_those_of_the_engine(digits: mtgen.Dataset, clause: str, size: int) -> None:
    assert len(digits.rows.sampled(clause).plan()) == size


def test_without_replacement_no_row_comes_twice_and_zeros_fill_up_with_a_warning(digits: mtgen.Dataset) -> None:
    weights = "sum_weight(labels == 1: 8, labels == 2: 8)"
    positive = 6742 + 5958
    some = digits.rows.sampled(f"SAMPLE BY {weights} REPLACE FALSE LIMIT 10000").plan()[:]
    assert len(set(some.tolist())) == 10_000
    assert set(LABELS[some].tolist()) == {1, 2}
    with pytest.warns(UserWarning, match=f"{NUM - positive} of {NUM} positions hold rows of weight 0"):
        whole = digits.rows.sampled(f"SAMPLE BY {weights} REPLACE FALSE").plan()[:]
    assert np.array_equal(np.sort(whole), np.arange(NUM))
    assert set(LABELS[whole[:positive]].tolist()) == {1, 2}
    with pytest.raises(PlanError, match="47300 more have weight 0: fill=True takes them too"):
        digits.rows.weighted(weights, replace=False, limit=NUM).plan()


def test_ten_of_forty_positive_rows_are_all_positive() -> None:
    table = pd.DataFrame({"w": np.r_[np.zeros(60), np.ones(40)]})
    rows = mtgen.Dataset(table, {"w": mtgen.Columns("w")}).rows
    for seed in range(20):
        assert rows.sampled("SAMPLE BY w REPLACE FALSE LIMIT 10").plan(seed=seed)[:].min() >= 60


def test_a_column_is_the_weights(digits: mtgen.Dataset) -> None:
    rows = digits.rows.sampled("SAMPLE BY labels").plan()[:]
    due = NUM * np.arange(10) * COUNTS / (np.arange(10) * COUNTS).sum()
    assert (abs(np.bincount(LABELS[rows], minlength=10) - due) < np.sqrt(NUM)).all()
    assert not (LABELS[rows] == 0).any()


@pytest.mark.parametrize(
    ("build", "error", "says"),
    [
        (lambda rows: rows.sampled("WHERE labels == 0 SAMPLE BY labels"), EmptySupportError, "all weights are 0"),
        (lambda rows: rows.sampled("WHERE labels > 99 SAMPLE BY 1"), EmptySupportError, "no row reaches the sampler"),
        (lambda rows: rows.where("labels > 99"), EmptySupportError, r"'labels > 99'.*: 0 of 60000 rows meet it"),
        (lambda rows: rows.weighted([1.0] * 59_999), PlanError, r"each of 60000 rows.*received 59999"),
        (lambda rows: rows.weighted([]), PlanError, r"each of 60000 rows.*received 0"),
        (lambda rows: rows.weighted(np.ones((NUM, 1))), PlanError, r"one dimension, received \(60000, 1\)"),
        (lambda rows: rows.where("name == 'plane'"), QueryError, "never has the value 'plane'"),
        (lambda rows: rows.where("contains(name, 'z*')"), EmptySupportError, "0 of 60000 rows meet it"),
        (lambda rows: rows.where("name == 3"), QueryError, "cannot compare"),
        (lambda rows: rows.where("lables == 3"), QueryError, "no column 'lables'. Did you mean 'labels'?"),
    ],
)
def test_what_the_engine_took_in_silence_is_an_error(
    digits: mtgen.Dataset, build: Callable[[Any], object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        build(digits.rows)
    assert isinstance(caught.value, ValueError)


def test_classes_named_by_digits_are_compared_as_text(digits: mtgen.Dataset) -> None:
    assert len(digits.rows.where("name == '0'").plan()) == 5923
    assert len(digits.rows.where("name IN ('0', '1')").plan()) == 5923 + 6742


def test_a_law_over_a_view_goes_by_the_places_of_the_view(digits: mtgen.Dataset) -> None:
    view = digits.take(digits.rows.sampled("SAMPLE BY labels REPLACE FALSE LIMIT 500").plan()[:])
    weights = np.zeros(500)
    weights[[7, 9]] = 1
    assert set(view.rows.weighted(weights).plan()[:].tolist()) == set(view.rows[[7, 9]].tolist())


def test_each_epoch_is_another_draw_and_each_can_be_asked_for_again(digits: mtgen.Dataset) -> None:
    """A query's result was one list of rows for all epochs."""
    law = digits.rows.sampled("SAMPLE BY labels LIMIT 100")
    first, again, second = (law.plan(seed=1, epoch=epoch)[:] for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, second)


# --- edge cases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num", [1, 2, 65_537, 2**24 + 1, 2**31 + 1, 2**53 + 1])
def test_laws_over_any_number_of_rows(num: int) -> None:
    law = S.rows(num)
    plan = law.plan(seed=5)
    assert len(plan) == num
    places = np.unique([0, num // 2, num - 1])
    found = plan[places]
    assert found.dtype == np.int64
    assert len(set(found.tolist())) == len(places)
    assert 0 <= found.min() <= found.max() < num
    twice = law.plan(2 * num, seed=5)[np.unique([0, num - 1, 2 * num - 1])]
    assert 0 <= twice.min() <= twice.max() < num
    points = law.sample(200, seed=1)
    assert 0 <= points.min() <= points.max() < num
    assert num < 10**6 or points.max() > num // 2
    parts = [len(law.plan(shard=(index, 3))) for index in range(3)]
    assert sum(parts) == num
    assert max(parts) - min(parts) <= 1


def test_no_positions_and_no_rows() -> None:
    assert S.rows(3).plan(0)[:].shape == (0,)
    assert S.rows(3).plan(0)[:].dtype == S.rows(3).sample(0).dtype == np.int64
    with pytest.raises(PlanError, match="n must be an integer >= 1"):
        S.rows(0)


def test_pixels_and_points_of_no_frame_are_not_mixed() -> None:
    """Shares of an array, taken for pixels, would all lie in its first corner."""
    mask = S.mask(np.ones((9, 9)))
    with pytest.raises(PlanError, match=r"does not say what it counts.*to_pixels\(shape\).*in_pixels\(\)"):
        _ = 0.5 & mask | 0.5 & S.uniform(dim=2)
    assert (mask | S.uniform(dim=2).to_pixels((9, 9))).frame == "pixels"
    assert (mask | S.uniform(0, 9, dim=2).in_pixels()).frame == "pixels"
    assert (0 & S.uniform(dim=2) | mask) == mask  # the neutral element has no points


@pytest.mark.parametrize("kind", ["points", "rows"])
def test_laws_that_are_folded_are_not_copied_again_and_again(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand laws took 7 seconds, for each step copied all parts twice; the mixture is what `mix` makes."""
    num = 200
    table = pd.DataFrame({"w": np.arange(1, num + 1)})
    data = mtgen.Dataset(table, {"w": mtgen.Columns("w")})
    laws = [(0.5 + place) & (data.rows.weighted("w") if kind == "rows" else S.normal(place)) for place in range(num)]
    laws[3] = laws[3].labelled("named")
    copies = []
    copied = copy.copy
    monkeypatch.setattr(copy, "copy", lambda one: copies.append(one) or copied(one))
    folded = functools.reduce(operator.or_, laws)
    assert len(copies) < 3 * num
    together = S.mix(*laws)
    assert isinstance(folded, Mixture)
    assert folded == together
    assert folded.weight == together.weight == sum(law.weight for law in laws)
    assert [part.label for part in folded.parts] == [None] * 3 + ["named"] + [None] * (num - 4)
    assert [part.weight for part in folded.parts] == [law.weight for law in laws]
    assert np.array_equal(folded.sample(50, seed=1), together.sample(50, seed=1))
    halved = 0.5 & folded | folded
    assert isinstance(halved, Mixture)
    assert halved.parts[7].weight == laws[7].weight / 2
    assert halved.parts[num + 7].weight == laws[7].weight


def test_a_frame_is_pixels_or_none() -> None:
    """A second value, "unit", was asked for in five places, and no law ever had it."""
    assert get_args(Frame) == ("pixels",)
    mask = S.mask(np.ones((9, 9)))
    framed = [mask, mask & S.uniform(), S.uniform(dim=2) + mask, 2 * mask, mask | mask + 1, mask.crop(3)]
    assert {law.frame for law in framed} == {"pixels"}
    silent = [S.uniform(), S.uniform() & S.normal(), S.uniform() + 1, S.uniform() | S.normal(), S.rows(3), 0 & mask]
    assert [law.frame for law in silent] == [None] * 5 + ["pixels"]
    assert "columns     2, pixels" in str(mask.describe(9))
    assert "columns     1\n" in str(S.uniform().describe(9))


def test_where_all_is_nan_the_error_says_so() -> None:
    for law, what in (
        (S.uniform().apply(lambda x: x * np.nan).truncate(1, tries=1000), "points"),
        (S.uniform().truncate(expr=lambda x: np.full(len(x), np.nan), tries=1000), "values of expr"),
        (S.uniform().truncate(1, 0, lambda x: x * np.nan, tries=1000), "values of expr"),
    ):
        with pytest.raises(EmptySupportError, match=rf"0 of 1000 draws .* All of the last \d+ {what} hold NaN"):
            law.sample(1)
    with pytest.raises(EmptySupportError) as caught:
        S.uniform().truncate(expr=lambda x: x > 2, tries=1000).sample(1)
    assert "NaN" not in str(caught.value)


def test_a_function_without_a_name_is_told_when_it_is_pickled() -> None:
    named = S.normal().apply(np.abs) | S.normal().truncate(expr=np.isfinite)
    assert pickle.loads(pickle.dumps(named)) == named
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(S.normal().apply(lambda points: points))


def test_streams_of_an_expression_are_its_paths() -> None:
    """`s + s` is two draws, as in BatchFlow, and each part has words of its own."""
    bits, places = Bits(3, 1), np.arange(5000)
    s = S.uniform()
    streams = [bits.child(path).uniforms(places) for path in (0, 1, "left", "right", "rows", "points")]
    assert abs(np.corrcoef(streams) - np.eye(len(streams))).max() < 5 / np.sqrt(5000)
    for law in (s & s, s @ s, s @ (lambda row: S.uniform()), (s | s) @ s):
        assert abs(np.corrcoef(law.sample(5000).T)[0, 1]) < 5 / np.sqrt(5000)
    total = (s + s).sample(5000)[:, 0]
    assert abs(total.var() - 1 / 6) < 0.01
