"""Parts of the benchmark: marks, values, proof, usage, figures, tables, page, chart."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mtgen.bench import usage
from mtgen.bench.chart import draw
from mtgen.bench.figures import number
from mtgen.bench.marks import MOST_ROWS, draw_mark, grab_marks, read_marks
from mtgen.bench.page import filled, parts_of
from mtgen.bench.proof import Glances, Proof
from mtgen.bench.report import markdown, terminal
from mtgen.bench.settings import SUITES, Settings
from mtgen.bench.suites import CLASSES, contenders
from mtgen.bench.summary import added, lines, merged, spared
from mtgen.bench.values import values
from mtgen.bench.work import Delivered, Work
from mtgen.errors import AlignmentError, PlanError, StoreError
from mtgen.recipe import NAMES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "benchmarks.md"

# --- rows and pictures that tell who they are -------------------------------------------------------------------------


def test_values_tell_their_row_and_have_the_share_of_zeros() -> None:
    found = values(np.arange(4000), 64, sparsity=0.8)
    np.testing.assert_array_equal(found[:, 0], np.arange(4000))
    assert found.dtype == np.float32
    assert 0.79 < (found[:, 1:] == 0).mean() < 0.81
    assert -1 <= found[:, 1:].min() < -0.99
    assert 0.99 < found[:, 1:].max() < 1
    some = np.array([3999, 5, 77])
    np.testing.assert_array_equal(values(some, 64, sparsity=0.8), found[some])
    assert (values(some, 64, sparsity=0.8, seed=1)[:, 1:] != found[some, 1:]).any()
    assert (values(some, 64, sparsity=0.0) != 0).all()


@given(number=st.integers(0, MOST_ROWS - 1), shrink=st.sampled_from([1, 2]), filter=st.sampled_from([0, 2, 4]))
def test_marks_survive_jpeg_and_every_filter(number: int, shrink: int, filter: int) -> None:
    rng = np.random.default_rng(number)
    picture = rng.integers(0, 256, (375, 500, 3), np.uint8)
    draw_mark(picture, number)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=90)
    with Image.open(file) as image:
        if shrink > 1:
            image.draft("RGB", (250, 187))
        found = np.asarray(image.resize((50, 50), Image.Resampling(filter)))
    assert read_marks(grab_marks(found[None])).tolist() == [number]
    assert read_marks(grab_marks(found[None].astype(np.float32) / 127.5 - 1), middle=0.0).tolist() == [number]


def test_what_is_no_mark_is_no_row() -> None:
    for colour in (0, 255):
        assert read_marks(grab_marks(np.full((1, 100, 100, 3), colour, np.uint8))).tolist() == [-1]
    picture = np.zeros((100, 100, 3), np.uint8)
    draw_mark(picture, 1234)
    picture[:5, :5] = 255 - picture[:5, :5]
    assert read_marks(grab_marks(picture[None])).tolist() == [-1]


# --- proof ------------------------------------------------------------------------------------------------------------

WORK = Work(
    places={},
    num_rows=64,
    num_columns=5,
    sparsity=0.5,
    batch_size=8,
    size=60,
    workers=1,
    memory=1 << 20,
    seed=3,
    rows=np.arange(0, 64, 2),
)


def picture_of(row: int) -> np.ndarray:
    picture = np.zeros((60, 60, 3), np.uint8)
    picture[:, :, 0] = 200  # red, so that another order of colours is far away
    picture[:, :, 2] = row
    draw_mark(picture, row)
    return picture


def batch_of(rows: np.ndarray) -> Delivered:
    features = values(rows, WORK.num_columns, sparsity=WORK.sparsity, seed=WORK.seed)
    return Delivered(rows, features, np.stack([picture_of(int(row)) for row in rows]))


def prove(batches: list[Delivered]) -> Any:
    proof = Proof(WORK, picture_of)
    half = len(batches) // 2
    for epoch in (batches[:half], batches[half:]):
        for batch in epoch:
            proof.add(batch)
        proof.end_epoch()
    return proof.finish()


def good() -> list[Delivered]:
    return [batch_of(rows) for epoch in (0, 1) for rows in WORK.steps(epoch)]


def test_what_is_right_is_proved() -> None:
    found = prove(good())
    assert (found.num_rows, found.difference, found.shuffled) == (64, 0.0, True)


def spoil(kind: str) -> list[Delivered]:
    batches = good()
    rows, features, pictures = batches[1]
    if kind == "features":
        batches[1] = Delivered(rows, np.roll(features, 1, axis=0), pictures)
    elif kind == "one value":
        features = np.array(features)
        features[3, 4] += 1
        batches[1] = Delivered(rows, features, pictures)
    elif kind == "float64":
        batches[1] = Delivered(rows, np.asarray(features, np.float64), pictures)
    elif kind == "pictures":
        batches[1] = Delivered(rows, features, np.roll(pictures, 1, axis=0))
    elif kind == "colours":
        batches[1] = Delivered(rows, features, pictures[..., ::-1])
    elif kind == "size":
        batches[1] = Delivered(rows, features, pictures[:, ::2])
    elif kind == "twice":
        batches[1] = batches[0]
    elif kind == "strange":
        batches[1] = batch_of(rows + 1)
    elif kind == "short":
        batches[1] = batch_of(rows[:-1])
    elif kind == "same order":
        batches[len(batches) // 2 :] = batches[: len(batches) // 2]
    return batches


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("features", "8 of 8 feature rows are wrong: beside row"),
        ("one value", "1 of 8 feature rows are wrong"),
        ("float64", "float64, expected"),
        ("pictures", "8 of 8 pictures are wrong: beside row"),
        ("colours", "differs from its file by"),
        ("size", "pictures of"),
        ("twice", "8 of 32 are missing, 8 came more than once and 0 were not asked for"),
        ("strange", "8 of 32 are missing, 0 came more than once and 8 were not asked for"),
        ("short", "a batch of 7 rows, expected 8"),
        ("same order", "not shuffled anew"),
    ],
)
def test_what_is_wrong_is_found(kind: str, says: str) -> None:
    with pytest.raises(AlignmentError, match=says):
        prove(spoil(kind))


def glance(batches: list[Delivered]) -> None:
    glances = Glances(WORK)
    for place, batch in enumerate(batches):
        glances.add(place // (len(batches) // 2), batch)
    glances.check()


def test_glances_accept_what_is_right_also_in_the_middle_of_an_epoch() -> None:
    glance(good())
    glances = Glances(WORK)
    batches = good()
    for part in (batches[:1], batches[1:2]):
        for batch in part:
            assert glances.add(0, batch) == 8
        glances.check()
    glances.add(0, batches[0])
    with pytest.raises(AlignmentError, match="8 rows came twice"):
        glances.check()


@pytest.mark.parametrize("kind", ["features", "pictures", "twice", "strange"])
def test_glances_find_what_is_wrong(kind: str) -> None:
    with pytest.raises(AlignmentError):
        glance(spoil(kind))


def test_work_goes_to_another_process_as_it_is() -> None:
    other = Work.from_json(WORK.to_json())
    assert other.wanted.tolist() == WORK.wanted.tolist()
    assert other.order(7).tolist() == WORK.order(7).tolist()
    assert json.loads(other.to_json()) == json.loads(WORK.to_json())


# --- CPU and memory ---------------------------------------------------------------------------------------------------

CHILD = """
import subprocess, sys, time
data = bytearray(60_000_000)
data[::4096] = b"x" * len(data[::4096])
burnt = time.process_time() + 0.3
while time.process_time() < burnt: pass
if len(sys.argv) > 1:
    inner = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    inner.stdout.readline()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.mark.skipif(not usage.is_known(), reason="no /proc/PID/smaps_rollup here")
def test_usage_counts_a_process_and_what_it_started() -> None:
    command = [sys.executable, "-c", CHILD, CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        assert len(usage.family(child.pid)) == 2
        assert usage.cpu_seconds(child.pid) >= 0.55
        found = usage.memory(child.pid)
        assert found.num_processes == 2
        assert 120_000_000 <= found.own_bytes <= 200_000_000
        assert usage.cpu_seconds(child.pid, os.getpid()) >= usage.cpu_seconds(os.getpid())
        child.kill()
    assert usage.peak_bytes() > 10_000_000


# --- who takes part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES)
def test_contenders_have_names_classes_and_floors_that_there_are(suite: str) -> None:
    found = contenders(suite)
    names = [(one.group, one.name) for one in found]
    assert len(set(names)) == len(names)
    assert {one.group for one in found} <= set(CLASSES)
    floors = {one.name for one in found if one.family == "floor"}
    assert all((PAGE.parents[1] / f"{one.full_module.replace('.', '/')}.py").is_file() for one in found)
    if suite in ("features", "pictures"):
        assert {one.floor for one in found if one.floor} <= floors
    assert any(one.family == "mtgen" for one in found)


def test_every_recipe_of_mtgen_takes_part() -> None:
    assert {one.recipe for one in contenders("pictures") if one.family == "mtgen"} == set(NAMES)


def test_an_unknown_suite_is_refused() -> None:
    with pytest.raises(
        PlanError, match="there are the suites features, pictures, packed, overhead, sampling, received 'x'"
    ):
        contenders("x")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"rows": 100}, "rows is 100, which is no multiple of the batch of 64.* there must be none; take 128"),
        ({"pictures": 65}, "pictures is 65"),
        ({"rows": 1 << 25}, "at most 16,777,216 rows"),
        ({"pictures": 1 << 17}, "at most 65,536 rows"),
    ],
)
def test_sizes_that_no_run_can_follow_are_refused(given: dict[str, int], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        Settings(**given)  # type: ignore[arg-type]


# --- figures ----------------------------------------------------------------------------------------------------------


def measured(name: str, rates: list[float], **more: Any) -> dict[str, Any]:
    rounds = [{"rows": rate * 2, "seconds": 2.0, "cpu_seconds": rate * 2 / 1000 * 0.5} for rate in rates]
    memory = {"own_bytes": 80_000_000, "grown_bytes": 5_000_000}
    return {
        "name": name,
        "group": "packed",
        "family": "other",
        "status": "measured",
        "reason": None,
        "reference": False,
        "floor": None,
        "recipe": None,
        "places": [],
        "rounds": rounds,
        "memory": memory,
        "proof": {"difference": 1.25},
        **more,
    }


def result(*found: dict[str, Any], suite: str = "packed") -> dict[str, Any]:
    settings = {"num_rows": 640, "num_columns": 8, "sparsity": 0.8, "size": 64, "batch_size": 64, "workers": 2}
    settings |= {"memory": 128 << 20, "rounds": 3, "seconds": 2.0}
    machine = {"cores": 2, "machine": "x", "system": "y", "python": "3", "packages": {"numpy": "2"}}
    return {
        "mtgen": "0",
        "machine": machine,
        "suites": [{"suite": suite, "settings": settings, "contenders": list(found)}],
    }


GONE = measured("gone", [], status="not installed", reason="no package x")
SAMPLE = result(
    GONE,
    measured("slow", [10, 20, 30]),
    measured("quick", [100, 300, 200]),
    measured("own", [200, 900, 210], family="mtgen", floor="floor"),
    measured("floor", [400, 1000, 420], family="floor"),
)


def test_figures_are_medians_and_ratios_are_within_rounds() -> None:
    found = {line.name: line for line in lines(SAMPLE["suites"][0])}
    assert list(found) == ["floor", "own", "quick", "slow", "gone"]
    own = found["own"]
    assert (own.rate, own.least, own.most) == (210, 200, 900)
    assert own.cpu == pytest.approx(0.5)
    assert own.reference == "quick"  # the best of others, not of all
    assert own.ratio == 2.0  # 2, 3, 1.05
    assert own.efficiency == 0.5  # 0.5, 0.9, 0.5
    assert found["slow"].ratio == pytest.approx(0.1)
    assert found["gone"].rate is None


def test_a_reference_is_preferred_to_the_best_one() -> None:
    suite = result(measured("slow", [10], reference=True), measured("quick", [100]))["suites"][0]
    assert {line.name: line.ratio for line in lines(suite)} == {"quick": 10.0, "slow": 1.0}


def test_classes_are_kept_apart() -> None:
    suite = result(
        measured("a", [10], group="antialiased"), measured("b", [100]), measured("c", [20], group="antialiased")
    )["suites"][0]
    assert [(line.name, line.reference) for line in lines(suite)] == [("c", "c"), ("a", "c"), ("b", "b")]


def test_what_features_add_is_a_share_of_the_time_of_pictures_alone() -> None:
    def one(name: str, rates: list[float], places: list[str]) -> dict[str, Any]:
        return measured(name, rates, group="overhead", recipe="clean", places=places, family="mtgen")

    suite = result(one("alone", [100, 110, 120], ["pictures"]), one("both", [100, 100, 100], ["features.packed"]))
    (found,) = added(suite["suites"][0])
    assert (found.recipe, round(found.share, 9), found.least, round(found.most, 9)) == ("clean", 0.1, 0.0, 0.2)
    assert "recipe clean: +10.0% (+0.0% to +20.0% round by round)" in terminal(suite["suites"][0])


def test_packed_pictures_stand_next_to_the_quickest_loader_that_decodes() -> None:
    suite = result(
        measured("own", [100, 200, 330], family="mtgen"),
        measured("memmap", [900, 900, 900]),
        measured("slow", [5, 5, 5], group="antialiased"),
        measured("quick", [10, 10, 10], group="no antialias"),
        measured("floor", [50, 50, 50], group="no antialias", family="floor"),
    )["suites"][0]
    (found,) = spared(suite)
    assert (found.name, found.decoder, found.ratio) == ("own", "quick", 20.0)
    assert "- own: 20.0 times as fast as quick" in markdown(suite)
    assert spared(result(measured("memmap", [1]))["suites"][0]) == []


def test_classes_measured_one_at_a_time_are_put_together() -> None:
    first = result(measured("a", [1]), measured("b", [2]))
    second = result(measured("b", [3]), measured("c", [4]))
    (suite,) = merged([first, second])
    assert [(one["name"], one["rounds"][0]["rows"] / 2) for one in suite["contenders"]] == [
        ("a", 1),
        ("b", 3),
        ("c", 4),
    ]
    other_class = result(measured("b", [9], group="packed too"))
    assert len(merged([first, other_class])[0]["contenders"]) == 3  # one name may stand in two classes
    assert len(first["suites"][0]["contenders"]) == 2  # what was given is left as it was
    second["suites"][0]["settings"]["rounds"] = 9
    with pytest.raises(StoreError, match="two results of the suite packed differ in rounds"):
        merged([first, second])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5"), (12.34, "12.3"), (100, "100"), (999.6, "1,000"), (123_456, "123,000"), (1e6, "1,000,000")],
)
def test_rates_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text


def test_the_terminal_says_who_could_not_take_part_and_why() -> None:
    text = terminal(SAMPLE["suites"][0])
    assert "ratios are to: quick" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == [
        "contender",
        *("floor", "own", "quick", "slow", "gone"),
    ]
    assert text.splitlines()[-1].split(maxsplit=1)[1] == "not installed: no package x"


def test_markdown_has_a_cell_for_every_head() -> None:
    table = [line for line in markdown(SAMPLE["suites"][0]).splitlines() if line.startswith("|")]
    assert len(table) == 7
    assert {line.count("|") for line in table} == {table[0].count("|")}
    assert table[0].endswith("| pixels |")
    assert "| **own** | 210 | 200 to 900 | 0.500 | 80 MB | 5 MB | 2.00 | 0.50 | 1.2 |" in table


def test_the_page_gets_new_figures_and_keeps_the_rest() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert set(parts_of(page)) == {*SUITES, "machine", "chunks", "mixing"}
    new = filled(page, [SAMPLE])
    assert "| **own** | 210 |" in parts_of(new)["packed"]
    assert "2 cores, y on x, Python 3, mtgen 0; numpy 2." in parts_of(new)["machine"]
    for name in ("features", "pictures", "overhead"):
        assert parts_of(new)[name] == parts_of(page)[name]

    assert "| 16 | 64 | 10% | 0.881 | 0.607 | 0.602 |" in parts_of(new)["chunks"]
    assert "| 64 | 16 | 6.158% | 0.006% |" in parts_of(new)["mixing"]

    def rest(text: str) -> str:
        for part in parts_of(text).values():
            text = text.replace(f" -->\n{part}<!-- end", "")
        return text

    assert rest(new) == rest(page)
    assert filled(new, [SAMPLE]) == new
    assert filled(page, []) == page


def test_a_page_without_a_place_for_a_suite_is_refused() -> None:
    with pytest.raises(StoreError, match=r"no lines <!-- bench: machine --> .* to write machine, packed between"):
        filled("# Page\n", [SAMPLE])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_chart_shows_every_contender_that_was_measured(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"chart{suffix}"
    draw(SAMPLE, path)
    if suffix == ".png":
        with Image.open(path) as image:
            assert image.size[0] > 500
            assert len(image.getcolors(1 << 24)) > 10
    else:
        assert path.read_text(encoding="utf-8").startswith("<?xml")


def test_a_chart_of_nothing_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(StoreError, match="nothing to plot"):
        draw(result(GONE), tmp_path / "chart.png")
    with pytest.raises(StoreError, match="cannot be written"):
        draw(SAMPLE, tmp_path / "chart.bmpx")
