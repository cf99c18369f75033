"""The suite `sampling`: what is wrong is found, contenders are right, the table says what was met."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mtgen.bench import usage
from mtgen.bench.drawing.checks import CHECKS, PITCH, WrongError, judge
from mtgen.bench.drawing.inputs import Sizes, low_of, weight_of
from mtgen.bench.drawing.table import HEADS, markdown, terminal
from mtgen.bench.drawing.tasks import TASKS
from mtgen.bench.figures import duration, megabytes
from mtgen.bench.runner import missing_packages
from mtgen.bench.suites import Contender, contenders

EVERYONE = contenders("sampling")

# --- what is wrong is found -------------------------------------------------------------------------------------------

WEIGHTED = Sizes(rows=500, batch=1_000, calls=40)
ORDER = Sizes(rows=300, batch=300)
PAIRS = Sizes(rows=4, batch=2)
PARTS = Sizes(parts=5, batch=20_000)
BINS = Sizes(points=40, bins=(4, 5, 6), batch=20_000)
ABOVE = Sizes(low=1.0, batch=20_000)
LISTS = Sizes(rows=2_000, batch=2_000)


def rows_by(weights: np.ndarray, number: int = 40) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.choice(len(weights), 1_000, p=weights / weights.sum()) for _ in range(number)]


def mixed(shares: np.ndarray, deviation: float = 1.0, middle: float = 0.0) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    which = rng.choice(len(shares), 20_000, p=shares / shares.sum())
    return [(PITCH * which + middle + deviation * rng.standard_normal(20_000))[:, None]]


def pairs(least: bool) -> list[np.ndarray]:
    """Two of four rows by weight, one after the other; or in proportion, which is another law."""
    rng = np.random.default_rng(5)
    shares = PAIRS.weights / PAIRS.weights.sum()
    if least:
        return [rng.choice(4, 2, replace=False, p=shares) for _ in range(4_000)]
    places = (np.arange(2) + rng.random((4_000, 1))) / 2
    return [np.minimum(np.searchsorted(np.cumsum(shares), row), 3) for row in places]


def in_bins(everywhere: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    if everywhere:
        low, high = BINS.cloud.min(axis=0), BINS.cloud.max(axis=0)
        return [low + (high - low) * rng.random((20_000, 3))]
    return [BINS.cloud[rng.integers(0, 40, 20_000)]]


def above(low: float) -> list[np.ndarray]:
    values = np.random.default_rng(5).standard_normal(400_000)
    return [values[values >= low][:20_000, None]]


def order(kind: str = "") -> list[np.ndarray]:
    found = [np.random.default_rng(seed).permutation(300) for seed in range(2)]
    if kind == "twice":
        found[1][7] = found[1][8]
    if kind == "same":
        found[1] = found[0]
    if kind == "beyond":
        found[1][7] = 300
    return found


def first_is_mostly_zero() -> list[np.ndarray]:
    return [
        np.array([0, 1, 2, 3, 4]) if seed % 2 else np.random.default_rng(seed).permutation(5) for seed in range(200)
    ]


DUE = np.array([weight_of(labels) for labels in LISTS.findings], np.float64)

RIGHT = [
    ("weighted", WEIGHTED, lambda: rows_by(WEIGHTED.weights)),
    ("distinct", PAIRS, lambda: pairs(True)),
    ("permutation", ORDER, order),
    ("mixture", PARTS, lambda: mixed(PARTS.shares)),
    ("histogram", BINS, lambda: in_bins(False)),
    ("truncated", ABOVE, lambda: above(1.0)),
    ("error", Sizes(batch=1), lambda: [np.asarray("no point fits")]),
    ("query", LISTS, lambda: [DUE]),
    ("query rows", Sizes(rows=2_000, batch=1_000), lambda: rows_by(DUE)),
]
WRONG = [
    ("weighted", WEIGHTED, lambda: rows_by(np.ones(500)), "of weight 0 was drawn"),
    ("weighted", WEIGHTED, lambda: rows_by((WEIGHTED.weights > 0) * 1.0), "chi-square is .* standard deviations"),
    ("weighted", WEIGHTED, lambda: [np.zeros((1_000, 1), int)], "expected 1000 row numbers"),
    ("weighted", WEIGHTED, lambda: [np.zeros(1_000)], "expected 1000 row numbers"),
    ("weighted", WEIGHTED, lambda: [np.full(1_000, -1)], "rows from -1 to -1"),
    ("distinct", PAIRS, lambda: pairs(False), "the inclusion is"),
    ("distinct", PAIRS, lambda: [np.array([2, 2])], "1 rows came twice"),
    ("permutation", ORDER, lambda: order("twice"), "came 2 times, row .* never"),
    ("permutation", ORDER, lambda: order("same"), "the same rows in the same order"),
    ("permutation", ORDER, lambda: order("beyond"), "there are 300"),
    ("permutation", Sizes(rows=5, batch=5), first_is_mostly_zero, "first rows do not come by their weights"),
    ("mixture", PARTS, lambda: mixed(np.ones(5)), "components do not come by their weights"),
    ("mixture", PARTS, lambda: mixed(np.ones(6)), "are of no component"),
    ("mixture", PARTS, lambda: mixed(PARTS.shares, middle=0.1), "the mean is"),
    ("mixture", PARTS, lambda: mixed(PARTS.shares, deviation=1.1), "the variance is"),
    ("mixture", PARTS, lambda: [np.zeros(20_000)], "expected points of shape"),
    ("histogram", BINS, lambda: in_bins(True), "lies in an empty bin"),
    ("histogram", BINS, lambda: [np.full((20_000, 3), 1.5)], "leave the histogram"),
    ("histogram", BINS, lambda: [np.repeat(BINS.cloud[:10], 2_000, axis=0)], "bins do not come by their weights"),
    ("truncated", ABOVE, lambda: above(0.9), "lies below the bound"),
    ("truncated", ABOVE, lambda: above(1.1), "the mean is"),
    ("error", Sizes(batch=1), lambda: [np.zeros((1, 2))], "no error, but"),
    ("query", LISTS, lambda: [DUE[::-1]], "differ from those of a plain loop"),
    ("query rows", Sizes(rows=2_000, batch=1_000), lambda: rows_by(np.ones(2_000)), "of weight 0 was drawn"),
]


@pytest.mark.parametrize(("check", "sizes", "results"), RIGHT, ids=[one[0] for one in RIGHT])
def test_what_is_right_passes(check: str, sizes: Sizes, results: Callable[[], list[np.ndarray]]) -> None:
    judge(check, sizes, results())


@pytest.mark.parametrize(("check", "sizes", "results", "says"), WRONG, ids=[f"{one[0]}: {one[3]}" for one in WRONG])
def test_what_is_wrong_is_found(check: str, sizes: Sizes, results: Callable[[], list[np.ndarray]], says: str) -> None:
    with pytest.raises(WrongError, match=says):
        judge(check, sizes, results())


def test_every_check_has_something_right_and_something_wrong() -> None:
    assert {one[0] for one in RIGHT} == {one[0] for one in WRONG} == set(CHECKS)
    assert {task.check for task in TASKS.values()} == set(CHECKS)


# --- contenders -------------------------------------------------------------------------------------------------------


def proved(contender: Contender, task: str) -> None:
    with_function = getattr(importlib.import_module(contender.full_module), contender.function)
    for sizes in TASKS[task].proofs or (TASKS[task].sizes,):
        with with_function(sizes, **contender.options) as operation:
            results = [operation.look(operation.call(number)) for number in range(sizes.calls)]
        judge(TASKS[task].check, sizes, results)


HERE = {
    (one.module, one.function, *one.options.items()): one
    for one in EVERYONE
    # Deep Lake and BatchFlow bring threads and a compiler; they are proved in processes of their own, by each run.
    if one.why_not is None and not {"deeplake", "batchflow"} & set(one.needs)
}


@pytest.mark.parametrize("contender", HERE.values(), ids=lambda one: f"{one.group}: {one.name}")
def test_contenders_draw_what_they_should(contender: Contender) -> None:
    for name in contender.needs:
        pytest.importorskip(name)
    proved(contender, contender.group)


def test_grain_repeats_a_row_of_65537_and_says_nothing() -> None:
    """What the table has to show; once it is mended there, this test says so."""
    pytest.importorskip("grain")
    (one,) = [one for one in EVERYONE if one.group == "shuffle, 65,537 rows" and one.module == "draw_grain"]
    module = importlib.import_module(one.full_module)
    sizes = TASKS[one.group].sizes
    with (
        module.index_shuffle(sizes, **one.options) as operation,
        pytest.raises(WrongError, match="came 2 times, row 65,536 never"),
    ):
        judge("permutation", sizes, [operation.look(operation.call(0))])


def test_every_task_has_one_of_mtgen_and_somebody_else() -> None:
    for name in TASKS:
        families = [one.family for one in EVERYONE if one.group == name]
        assert families.count("mtgen") >= 1
        assert len(families) > families.count("mtgen")
    assert [one.name for one in EVERYONE if one.why_not is not None and not one.why_not.strip()] == []


# --- inputs -----------------------------------------------------------------------------------------------------------


def test_sizes_go_to_another_process_as_they_are_and_shrink() -> None:
    for task in TASKS.values():
        assert Sizes.from_json(task.sizes.to_json()) == task.sizes
        assert task.sizes.shrunk(1) == task.sizes
        small = task.sizes.shrunk(10_000)
        assert small.rows <= max(task.sizes.rows // 10_000, 65_537)
        assert not math.prod(small.bins) > 100_000
        assert "{" not in task.told(10_000)
        assert " 0 rows" not in task.told(10_000)
    assert (Sizes(rows=65_537, fixed=True)).shrunk(1_000).rows == 65_537


def test_inputs_are_the_same_each_time() -> None:
    one, other = (Sizes(rows=1_000, points=50, bins=(2, 2)) for _ in range(2))
    np.testing.assert_array_equal(one.weights, other.weights)
    np.testing.assert_array_equal(one.cloud, other.cloud)
    assert one.findings == other.findings
    assert 0.25 < (one.weights == 0).mean() < 0.35
    assert {len(labels) for labels in one.findings} == {0, 1, 2, 3}
    assert (Sizes(rows=1_000, seed=1).weights != one.weights).any()


def test_bounds_keep_what_they_say() -> None:
    assert low_of(0.5) == pytest.approx(0.0)
    assert math.erfc(low_of(1e-9) / math.sqrt(2)) / 2 == pytest.approx(1e-9)
    assert weight_of(["Edema", "Hernia", "Nodule"]) == 20
    assert weight_of([]) == weight_of(["Nodule"]) == 0


@pytest.mark.skipif(usage.resident() is None, reason="no /proc/self/status here")
def test_the_peak_counts_from_where_it_is_reset() -> None:
    big = np.ones(20_000_000)
    del big
    usage.give_back()
    usage.reset_peak()
    base = usage.resident()
    assert base is not None
    held = np.ones(2_000_000)
    gone = np.ones(5_000_000)
    del gone
    now = usage.resident()
    assert now is not None
    assert 12_000_000 <= now[0] - base[0] <= 30_000_000
    assert 50_000_000 <= now[1] - base[0] <= 80_000_000
    assert len(held) == 2_000_000


# --- the table --------------------------------------------------------------------------------------------------------


def measured(name: str, task: str, seconds: float, **more: Any) -> dict[str, Any]:
    batch = TASKS[task].sizes.batch
    rounds = [
        {"calls": 10, "rows": 10 * batch, "seconds": 10 * seconds * slow, "cpu_seconds": 5 * seconds}
        for slow in (0.5, 1.0, 4.0)
    ]
    memory = {"seconds": 2 * seconds, "held_bytes": 97_000_000, "peak_bytes": 176_000_000}
    known = {"group": task, "family": "other", "reference": False, "floor": None, "recipe": None, "places": []}
    known |= {"status": "measured", "reason": None, "proof": {"num_rows": 9, "difference": None, "shuffled": True}}
    return {"name": name, **known, "rounds": rounds, "memory": memory, **more}


def suite(*found: dict[str, Any], shrink: int = 1) -> dict[str, Any]:
    settings = {"rounds": 3, "seconds": 2.0, "limit": 60.0, "shrink": shrink}
    return {"suite": "sampling", "settings": settings, "contenders": list(found)}


def own(task: str, seconds: float, **more: Any) -> dict[str, Any]:
    return measured("mtgen", task, seconds, family="mtgen", **more)


def test_the_table_has_times_ratios_and_targets() -> None:
    text = markdown(suite(measured("other", "weights built", 0.5), own("weights built", 0.1)))
    assert "**weights built**: 10,000,000 weights checked and made ready to draw by." in text
    assert (
        "| **mtgen** | 100 ms | 50.0 ms to 400 ms | 50.0 ms | 200 ms | 97 MB | 176 MB | 5.00 | "
        "<= 300 ms: met; most memory <= 160 MB: missed |"
    ) in text
    assert "| other | 500 ms | 250 ms to 2.00 s | 250 ms | 1.00 s | 97 MB | 176 MB | 1.00 |  |" in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {len(HEADS) + 1}


def test_times_are_those_of_a_row_where_the_target_is() -> None:
    text = terminal(suite(own("shuffle, small", 100e-6)))
    assert "10.0 µs" in text
    assert "<= 20.0 µs: met" in text
    assert "times are those of a row" in text


def test_a_task_that_should_take_as_long_as_another_is_compared_with_it() -> None:
    half, rare = "truncated, half kept", "truncated, 1e-9 kept"
    text = terminal(suite(own(half, 0.01), own(rare, 0.02)))
    assert "as long as truncated, half kept, <= 1.25 times: missed (2.00)" in text
    assert "as long as" not in terminal(suite(own(rare, 0.02))).split("mtgen", 1)[1]


def test_smaller_sizes_meet_no_target() -> None:
    text = terminal(suite(own("weighted batch", 1e-5), shrink=1_000))
    assert "sizes divided by 1,000, without targets" in text
    assert "met" not in text.split("target", 2)[2]


def test_who_is_wrong_cut_off_or_not_run_stands_in_the_table() -> None:
    unmeasured = {"rounds": [], "memory": None, "proof": None}
    said = suite(
        measured("Grain", "shuffle", 1.0, status="wrong", reason="row 5 came 2 times", **unmeasured),
        measured("BatchFlow", "shuffle", 1.0, status="cut off", reason="no answer within 60 s", **unmeasured),
        measured("numpy", "shuffle", 1.0, status="not run", reason="would hold 80 GB", **unmeasured),
        own("shuffle", 1e-3),
    )
    for text in (terminal(said), markdown(said)):
        assert "wrong: row 5 came 2 times" in text
        assert "cut off: no answer within 60 s" in text
        assert "not run: would hold 80 GB" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9996, "1.00 s"),
        (123.4, "123 s"),
        (9.999e-4, "1.00 ms"),
        (0.0996, "99.6 ms"),
        (4.2e-6, "4.20 µs"),
        (5e-8, "50.0 ns"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_small_memory_has_a_digit() -> None:
    assert [megabytes(size) for size in (0, 40_000, 9_940_000, 9_960_000)] == ["0.0 MB", "0.0 MB", "9.9 MB", "10 MB"]


def test_packages_that_are_missing_are_known() -> None:
    for one in EVERYONE:
        known = [name for name in one.needs if importlib.util.find_spec(name) is None]
        assert missing_packages(one) == known
