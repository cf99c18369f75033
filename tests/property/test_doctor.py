"""What `mtgen doctor` plans, compares and concludes: arithmetic and words, without a loader."""

from __future__ import annotations

import dataclasses
import json
import math
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.doctor.changes import Change, Facts, Features, Pictures, changes, wanted_workers
from mtgen.doctor.measure import whole_windows
from mtgen.doctor.ratios import CLEAR_ROUNDS, MARGIN, Comparison, compare
from mtgen.doctor.report import Report
from mtgen.doctor.schedule import (
    LEAST_ROUNDS,
    MOST_ROUNDS,
    Wish,
    burst,
    finer_batch,
    least_comparison,
    schedule,
    slices,
)
from mtgen.doctor.verdict import (
    Delivery,
    Finding,
    Training,
    expected_gain,
    gains,
    most_gain,
    pays_after,
    verdict,
    whole_gain,
    worth_a_try,
)
from mtgen.errors import PlanError

DURATIONS = st.floats(0, 1e4, allow_nan=False)
RATES = st.floats(1e-3, 1e6, allow_nan=False)


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        least = draw(DURATIONS)
        found.append(Wish(name=f"wish {number}", least_seconds=least, most_seconds=least + draw(DURATIONS)))
    return found


# --- the schedule -----------------------------------------------------------------------------------------------------


@given(wishes(), DURATIONS)
def test_the_sum_stays_in_the_budget_and_each_wish_gets_its_minimum_or_a_reason(
    asked: list[Wish], total: float
) -> None:
    plan = schedule(asked, total)
    assert math.fsum(plan.seconds.values()) <= total * (1 + 1e-9)
    assert [*plan.seconds, *plan.skipped] == sorted(
        [*plan.seconds, *plan.skipped], key=lambda name: name in plan.skipped
    )
    assert set(plan.seconds) | set(plan.skipped) == {one.name for one in asked}
    assert not set(plan.seconds) & set(plan.skipped)
    for one in asked:
        if one.name in plan.seconds:
            assert one.least_seconds <= plan.seconds[one.name] <= one.most_seconds * (1 + 1e-9)
        else:
            assert plan.skipped[one.name].startswith(f"needs {one.least_seconds:.1f} s")


@given(wishes(), DURATIONS)
def test_a_wish_is_left_out_only_where_those_before_it_leave_too_little(asked: list[Wish], total: float) -> None:
    """The oracle: go through them in order, take what fits."""
    plan, left = schedule(asked, total), total
    for one in asked:
        fits = one.least_seconds <= left
        assert (one.name in plan.seconds) == fits
        left -= one.least_seconds if fits else 0.0


@given(wishes(), DURATIONS)
def test_time_is_used_up_or_all_have_what_they_want(asked: list[Wish], total: float) -> None:
    plan = schedule(asked, total)
    given_seconds = math.fsum(plan.seconds.values())
    wanted = math.fsum(one.most_seconds for one in asked if one.name in plan.seconds)
    assert given_seconds == pytest.approx(min(total, wanted), rel=1e-6, abs=1e-6) or not plan.seconds


def test_wishes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(PlanError, match="'a' needs 0 <= least_seconds <= most_seconds"):
        Wish(name="a", least_seconds=2, most_seconds=1)
    one = Wish(name="a", least_seconds=0, most_seconds=1)
    with pytest.raises(PlanError, match="names of their own"):
        schedule([one, one], 1.0)


@given(DURATIONS, st.floats(1e-5, 10))
def test_slices_fill_the_time_of_a_comparison_and_both_sides_come_first_alike(seconds: float, batch: float) -> None:
    plan = slices(seconds, batch)
    assert LEAST_ROUNDS <= plan.num_rounds <= MOST_ROUNDS
    assert 2 * plan.num_rounds * plan.seconds == pytest.approx(seconds)
    turns = list(plan.turns)
    assert len(turns) == plan.num_rounds
    assert all(sorted(one) == [0, 1] for one in turns)
    assert abs(sum(one[0] for one in turns) - plan.num_rounds / 2) <= 0.5
    if seconds >= least_comparison(batch):
        assert plan.seconds >= 5 * batch * (1 - 1e-9)


@given(st.integers(1, 512), st.floats(1e-5, 100), st.integers(0, 64), st.integers(1, 16))
def test_batches_of_comparisons_are_short_or_as_small_as_a_group(
    size: int, seconds: float, num_workers: int, window: int
) -> None:
    fine = finer_batch(size, seconds)
    assert min(size, 8) <= fine <= size
    assert fine == min(size, 8) or seconds / size * fine <= 0.02 * (1 + 1e-9)
    together = burst(fine, num_workers, window)
    assert together >= window
    assert together * fine >= num_workers * 8
    assert (together - 1) * fine < max(num_workers * 8, window * fine)


# --- comparisons ------------------------------------------------------------------------------------------------------


ROUNDS = st.integers(1, 14).flatmap(
    lambda num: st.tuples(st.lists(RATES, min_size=num, max_size=num), st.lists(RATES, min_size=num, max_size=num))
)


@given(ROUNDS)
def test_a_comparison_is_the_ratio_of_medians_inside_its_spread(rounds: tuple[list[float], list[float]]) -> None:
    present, changed = rounds
    found = compare(present, changed)
    assert found.ratio == pytest.approx(median(changed) / median(present))
    assert found.low <= found.ratio <= found.high
    pairs = [after / before for before, after in zip(present, changed, strict=True)]
    assert min(pairs) * (1 - 1e-9) <= found.low
    assert found.high <= max(pairs) * (1 + 1e-9)
    assert not (found.is_faster and found.is_slower)


@given(ROUNDS)
def test_turned_round_a_comparison_says_the_opposite(rounds: tuple[list[float], list[float]]) -> None:
    there, back = compare(*rounds), compare(*rounds[::-1])
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1)


@given(st.lists(RATES, min_size=CLEAR_ROUNDS, max_size=12), st.floats(1 + 2 * MARGIN, 50))
def test_a_gain_in_every_round_is_clear_and_none_is_not(rates: list[float], factor: float) -> None:
    assert compare(rates, [rate * factor for rate in rates]).is_faster
    assert compare([rate * factor for rate in rates], rates).is_slower
    assert not compare(rates, rates).is_clear


def test_one_hiccup_in_many_rounds_says_nothing() -> None:
    assert compare([10.0] * 10, [20.0] * 9 + [1.0]).is_faster
    assert not compare([10.0] * 9, [20.0] * 8 + [1.0]).is_faster
    assert not compare([10.0] * 2, [20.0] * 2).is_faster
    assert "no clear difference" in str(compare([10.0] * 2, [20.0] * 2))


@pytest.mark.parametrize("rounds", [([], []), ([1.0], []), ([0.0], [1.0]), ([1.0], [math.inf]), ([1.0], [math.nan])])
def test_rounds_that_say_nothing_are_refused(rounds: tuple[list[float], list[float]]) -> None:
    with pytest.raises(PlanError):
        compare(*rounds)


@given(st.integers(1, 40), st.integers(1, 8))
def test_whole_windows_end_at_one_wherever_there_is_one(num: int, window: int) -> None:
    ends = [(float(number), number * 8) for number in range(1, num + 1)]
    end, rows = whole_windows(ends, window)
    batches = rows // 8
    assert end == batches
    assert batches == (num // window * window if num >= window else num)


# --- changes ----------------------------------------------------------------------------------------------------------


FACTS = st.builds(
    Facts,
    pictures=st.sampled_from(
        [
            (),
            (Pictures(name="a", recipe="clean", recipes={"clean": "", "keras": "", "fast": "", "fastest": "no"}),),
            (
                Pictures(name="a", recipe="clean", recipes={"clean": "", "fast": ""}),
                Pictures(name="b", recipe="fast", recipes={"clean": "", "fast": ""}, no_cache="it has one"),
            ),
        ]
    ),
    features=st.sampled_from(
        [
            (),
            (Features(name="x", location="a/x.bcolz", chunk_rows=64),),
            (
                Features(name="x", location="s3://x.zarr", chunk_rows=1),
                Features(name="y", location="y", chunk_rows=9, no_pack="in memory"),
            ),
        ]
    ),
    num_workers=st.integers(0, 70),
    num_cores=st.integers(1, 128),
    num_processes=st.sampled_from([0, 1, 4]),
    batch_size=st.integers(1, 512),
    num_rows=st.integers(1, 1000),
    memory_bytes=st.integers(1, 1 << 34),
    most_memory_bytes=st.integers(1, 1 << 36),
    is_exact=st.booleans(),
    trains=st.booleans(),
)


@given(FACTS)
def test_each_change_is_listed_once_as_possible_or_with_a_reason(facts: Facts) -> None:
    possible, impossible = changes(facts)
    names = [one.name for one in possible] + [one.name for one, _ in impossible]
    assert len(set(names)) == len(names)
    assert all(reason for _, reason in impossible)
    assert all(one.python for one in possible)
    kinds = {one.kind for one in possible} | {one.kind for one, _ in impossible}
    assert ("recipe" in kinds) == ("cache" in kinds) == bool(facts.pictures)
    assert ("pack" in kinds) == bool(facts.features)
    assert ("memory" in kinds) == ("blocks" in kinds) == facts.is_chunked
    assert "batch" in kinds
    assert all(facts.num_processes != one.value for one in possible if one.kind == "processes")
    recipes = [one.value for one in possible if one.kind == "recipe"]
    assert "keras" not in recipes[:-1]


@given(st.integers(0, 200), st.integers(1, 128))
def test_workers_are_tried_in_powers_of_two_up_to_the_cores_and_one_step_beyond(now: int, cores: int) -> None:
    found = wanted_workers(now, cores)
    powers = {2**power for power in range(8) if 2**power < cores}
    assert sorted(found) == sorted((powers | {cores, 2 * cores}) - {now})
    far = [abs(math.log(number / max(now, 1))) for number in found]
    assert far == sorted(far)


# --- verdicts ---------------------------------------------------------------------------------------------------------


def comparison(ratio: float, *, spread: float = 0.01, rounds: int = 5) -> Comparison:
    return Comparison(
        ratio=ratio,
        low=ratio * (1 - spread),
        high=ratio * (1 + spread),
        present=100,
        changed=100 * ratio,
        num_rounds=rounds,
    )


def delivery(batch_seconds: float, **changed: Any) -> Delivery:
    rate = 64 / batch_seconds
    stages = {"read": 0.1, "decode": 0.8, "gather": 0.1, "assemble": 0.0}
    figures = {"stage_seconds": stages, "busy_share": 0.9, "num_workers": 2} | changed
    return Delivery(batch_size=64, rows_per_second=rate, low=rate, high=rate, **figures)


def training(replay: float, step: float, wait_share: float) -> Training:
    return Training(replay_seconds=replay, step_seconds=step, wait_share=wait_share, headroom=comparison(step / replay))


def finding(name: str, ratio: float, *, kind: Any = "recipe", trains: bool = False, spread: float = 0.01) -> Finding:
    change = Change(kind=kind, name=name, python=f"Python for {name}", command=f"--option {name}", remark="a remark")
    return Finding(change=change, comparison=comparison(ratio, spread=spread), trains=trains)


FINDINGS = [
    finding("fast", 1.6),
    finding("noisy", 3.0, spread=0.9),
    finding("slower", 0.5),
    finding("cache", 20.0, kind="cache"),
    finding("workers", 1.3, kind="workers"),
    finding("larger", 1.2, kind="batch", trains=True),
    Finding(change=Change(kind="pack", name="packed", python="pack"), problem="failed: the disk is full"),
]


def test_a_model_that_is_slower_than_the_loader_is_the_bottleneck() -> None:
    found = verdict(delivery(0.011), training(0.040, 0.0401, 0.001), FINDINGS)
    assert found.binds == "model"
    assert found.text == (
        "Data is not your bottleneck: the model takes 40 ms per step with one batch replayed and 40.1 ms with the "
        "loader, and the loader alone delivers a batch of 64 every 11 ms."
    )
    assert [one.change.name for one in found.best] == ["larger"]


def test_a_model_that_waits_is_bound_by_data() -> None:
    found = verdict(delivery(0.1), training(0.040, 0.1, 0.58), FINDINGS)
    assert found.binds == "data"
    assert found.text == (
        "Data binds: training waits for data for 58% of each step (100 ms per step with the loader, 40 ms with one "
        "batch replayed: at most 2.50x to gain). Its workers spend 80% of their work on: decode."
    )
    assert [one.change.name for one in found.best] == ["cache", "fast", "workers", "larger"]


def test_a_model_that_does_not_wait_and_is_slowed_all_the_same_lacks_cores() -> None:
    found = verdict(delivery(0.02), training(0.040, 0.060, 0.02), FINDINGS)
    assert found.binds == "cores"
    assert "take cores from it" in found.text
    assert [one.change.name for one in found.best] == ["cache", "fast", "larger"]


def test_steps_that_are_too_noisy_to_compare_are_judged_by_the_waiting() -> None:
    noisy = dataclasses.replace(training(0.04, 0.08, 0.45), headroom=comparison(2.0, spread=0.9))
    assert not noisy.headroom.is_clear
    assert verdict(delivery(0.08), noisy, []).binds == "data"
    assert verdict(delivery(0.08), dataclasses.replace(noisy, wait_share=0.1), []).binds == "model"


def test_without_a_model_the_loader_alone_is_told() -> None:
    found = verdict(delivery(0.011, busy_share=0.2), None, FINDINGS)
    assert found.binds == "unknown"
    assert "delivers a batch of 64 every 11 ms. A model that takes longer" in found.text
    assert "at work 20% of the time only" in found.text
    assert [one.change.name for one in found.best] == ["cache", "fast", "workers", "larger"]


@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0, 0.9), st.booleans()), max_size=8), st.floats(1, 10))
def test_only_clear_gains_are_advised_the_largest_first_and_capped_by_the_headroom(
    ratios: list[tuple[float, float, bool]], headroom: float
) -> None:
    findings = [
        finding(f"change {number}", ratio, spread=spread, trains=trains)
        for number, (ratio, spread, trains) in enumerate(ratios)
    ]
    model = training(0.01, 0.01 * headroom, 0.5)
    best = gains(findings, model)
    clear = [one for one in findings if one.comparison is not None and one.comparison.low > 1 + MARGIN]
    assert sorted(one.change.name for one in best) == sorted(one.change.name for one in clear)
    expected = [expected_gain(one, model) for one in best]
    assert expected == sorted(expected, reverse=True)
    assert all(
        gain <= max(1.0, model.headroom.ratio) for one, gain in zip(best, expected, strict=True) if not one.trains
    )


@given(DURATIONS, st.integers(1, 10**7), RATES, RATES, st.none() | RATES)
def test_a_copy_has_paid_when_the_epochs_saved_what_it_took(
    make: float, num_rows: int, present: float, changed: float, most: float | None
) -> None:
    epochs = pays_after(make, num_rows, present, changed, most)
    cap = math.inf if most is None else most
    before, after = num_rows / min(present, cap), num_rows / min(changed, cap)
    if epochs is None:
        assert after >= before
    else:
        assert make + epochs * after == pytest.approx(epochs * before, rel=1e-3, abs=1e-2)


@given(st.floats(0, 1), st.floats(0.01, 100))
def test_the_whole_gains_no_more_than_its_part_and_no_more_than_its_share(share: float, ratio: float) -> None:
    gain = whole_gain(share, ratio)
    assert min(1, ratio) * (1 - 1e-9) <= gain <= max(1, ratio) * (1 + 1e-9)
    # The oracle: 1,000 seconds of work, a share of which takes its time divided by the ratio.
    assert 1000 / gain == pytest.approx(1000 * (1 - share) + 1000 * share / ratio)


def test_what_can_give_next_to_nothing_is_not_tried_and_what_can_give_much_comes_first() -> None:
    stages = {"read": 0.3, "decode": 0.3, "gather": 0.02, "assemble": 0.38}
    kinds = ["pack", "workers", "memory", "cache"]
    possible = [Change(kind=kind, name=kind, python="") for kind in kinds]  # type: ignore[arg-type]
    tried, left_out = worth_a_try(possible, delivery(0.1, stage_seconds=stages))
    assert [one.name for one in tried] == ["workers", "cache"]
    reason = "at most 1.02x to gain: gather takes 2% of the workers' time"
    assert [(one.name, text) for one, text in left_out] == [("pack", reason), ("memory", reason)]
    stages = {"read": 0.0, "decode": 0.2, "gather": 0.8, "assemble": 0.0}
    tried, left_out = worth_a_try([possible[3], possible[0], possible[1]], delivery(0.1, stage_seconds=stages))
    assert ([one.name for one in tried], left_out) == (["pack", "workers", "cache"], [])
    assert most_gain(possible[0], delivery(0.1, stage_seconds=stages)) == pytest.approx(5)
    assert most_gain(possible[0], delivery(0.1, stage_seconds={"gather": 1.0})) == math.inf


# --- the report -------------------------------------------------------------------------------------------------------


def report(model: Training | None, findings: list[Finding]) -> Report:
    loader = delivery(0.1)
    return Report(
        dataset="1,000 samples",
        delivery=loader,
        training=model,
        findings=tuple(findings),
        verdict=verdict(loader, model, findings),
        seconds=12.0,
    )


def test_the_report_says_what_was_measured_what_was_not_and_what_to_write() -> None:
    packed = dataclasses.replace(
        finding("packed", 4.0, kind="pack"), disk_bytes=10**9, make_seconds=120.0, pays_epochs=2.5, remarks=("a word",)
    )
    pixels = dataclasses.replace(finding("fast", 1.6), pixel_levels=1.234)
    text = str(report(training(0.04, 0.1, 0.58), [pixels, packed, *FINDINGS[1:3], FINDINGS[-1]]))
    lines = text.splitlines()
    assert lines[0] == "1,000 samples"
    assert (
        "  per 1,000 samples one worker needs: read 100 ms, decode 800 ms, gather 100 ms, assemble 0 ms; 2 workers"
        in text
    )
    assert "Training: 40 ms per step with one batch replayed, 100 ms with the loader, 58% of it waiting" in text
    assert "pixels differ by 1.23 of 255 levels on average" in text
    assert "about 1.0 GB on disk, about 2.0 min to make, pays after about 2.5 epochs (estimates from a sample)" in text
    assert "  packed: failed: the disk is full" in lines
    assert "no clear difference" in next(line for line in lines if line.startswith("  noisy"))
    assert "  1. packed: 2.50x of training at most: Python for packed   or   --option packed" in lines
    assert "  2. fast: 1.60x of training at most: Python for fast   or   --option fast" in lines
    assert "     (a remark)" in lines
    assert lines[-1] == "(measured in 12 s)"


def test_where_nothing_helps_the_report_says_so() -> None:
    assert "No change that was measured is clearly faster." in str(report(training(0.04, 0.1, 0.58), FINDINGS[1:3]))
    assert "Best changes" not in str(report(training(0.04, 0.0401, 0.0), FINDINGS[:3]))


@pytest.mark.parametrize("model", [None, training(0.04, 0.1, 0.58)])
def test_the_report_as_json_is_plain_and_complete(model: Training | None) -> None:
    made = report(model, FINDINGS)
    values = json.loads(json.dumps(made.as_json(), allow_nan=False))
    assert values["verdict"]["binds"] == ("unknown" if model is None else "data")
    assert values["verdict"]["best"] == [one.change.name for one in made.verdict.best]
    assert values["delivery"]["batch_seconds"] == pytest.approx(0.1)
    assert [one["change"]["name"] for one in values["findings"]] == [one.change.name for one in FINDINGS]
    assert [one["clear"] for one in values["findings"]] == [True, False, True, True, True, True, False]
    assert values["findings"][-1] | {"change": None} == {
        **dict.fromkeys(["change", "comparison", "gain", "pixel_levels", "disk_bytes", "make_seconds", "pays_epochs"]),
        "expected_gain": None,
        "problem": "failed: the disk is full",
        "trains": False,
        "part": "",
        "remarks": [],
        "clear": False,
    }
