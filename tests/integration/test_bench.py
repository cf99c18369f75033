"""The benchmark as it runs, in small: who is right goes on, who is wrong is named, nobody is left out; no times."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

import mtgen
from mtgen.bench.contenders import floors, own
from mtgen.bench.data import Data, picture_paths, reference_picture, size_on_disk
from mtgen.bench.marks import grab_marks, read_marks
from mtgen.bench.photographs import load_photographs
from mtgen.bench.proof import Proof
from mtgen.bench.runner import Run
from mtgen.bench.settings import Settings
from mtgen.bench.suites import Contender, contenders
from mtgen.bench.values import values
from mtgen.bench.work import Work
from mtgen.bench.writers import STORES
from mtgen.cli import app
from mtgen.errors import StoreError

SMALL = Settings(
    rows=512, columns=6, pictures=128, picture_columns=5, size=60, batch_size=16, rounds=2, seconds=0.02, warm_up=0.0
)
OPTIONS = [
    word
    for name in ("rows", "columns", "pictures", "picture_columns", "size", "batch_size", "rounds", "seconds", "warm_up")
    for word in (f"--{name.replace('_', '-')}", str(getattr(SMALL, name)))
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photographs of our own, so that scikit-image is not needed: smooth, in colour."""
    folder = tmp_path_factory.mktemp("photographs")
    down, across = np.mgrid[0:400, 0:560]
    for number in range(2):
        waves = [np.sin(down / (20 + 7 * number)), np.cos(across / 31), np.sin((down + across) / 43)]
        Image.fromarray(np.stack([(wave * 100 + 128).astype(np.uint8) for wave in waves], axis=2)).save(
            folder / f"{number}.png"
        )
    (folder / "note.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


def data_of(suite: str, folder: Path, photographs: Path, said: list[str] | None = None) -> Data:
    say = said.append if said is not None else len
    return Data(folder=folder, settings=SMALL, suite=suite, photographs=photographs, say=say)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*STORES, "packed"])
def test_every_store_holds_the_matrix(kind: str, folder: Path, photographs: Path) -> None:
    for name in STORES[kind].needs if kind in STORES else ():
        pytest.importorskip(name)
    said: list[str] = []
    data = data_of("features", folder, photographs, said)
    path = data.make([f"features.{kind}"])[f"features.{kind}"]
    expected = values(np.arange(512), 6, sparsity=SMALL.sparsity, seed=SMALL.seed)
    if kind == "lance":
        import lance

        found = lance.dataset(path).to_table().column("rows").combine_chunks().flatten().to_numpy().reshape(512, 6)
    else:
        found = np.empty((512, 6), np.float32)
        with mtgen.open_store(path) as store:
            store.read_rows(np.arange(512), found)
    np.testing.assert_array_equal(found, expected)
    assert size_on_disk(Path(path)) > 0
    told = len(said)
    assert data.make([f"features.{kind}"]) == {f"features.{kind}": path}
    assert len(said) == told  # found again, not made again


def test_pictures_are_all_different_and_tell_their_row(folder: Path, photographs: Path) -> None:
    places = data_of("pictures", folder, photographs).make(["pictures", "pixels.npy"])
    paths = [Path(path) for path in picture_paths(places["pictures"], range(128))]
    assert sorted(Path(places["pictures"]).iterdir()) == paths
    assert len({path.read_bytes() for path in paths}) == 128
    with Image.open(paths[77]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (500, 375), "RGB")
        assert read_marks(grab_marks(np.asarray(image)[None])).tolist() == [77]
    pixels = np.load(places["pixels.npy"], mmap_mode="r")
    assert (pixels.shape, pixels.dtype) == ((128, 60, 60, 3), np.uint8)
    assert read_marks(grab_marks(pixels)).tolist() == list(range(128))


def test_data_that_could_not_be_finished_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = data_of("features", tmp_path, tmp_path)
    real, calls = os.rename, []

    def fails(*given: Any) -> None:
        calls.append(given)
        raise OSError("no space")

    monkeypatch.setattr(os, "rename", fails)
    with pytest.raises(StoreError, match="writing it failed"):
        data.make(["features.npy"])
    assert calls
    monkeypatch.setattr(os, "rename", real)
    path = data.make(["features.npy"])["features.npy"]
    assert np.load(path)[:, 0].tolist() == list(range(512))


def test_photographs_that_are_too_small_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (499, 375)).save(tmp_path / "small.png")
    with pytest.raises(StoreError, match="no photograph of at least 500x375"):
        load_photographs(tmp_path)


def test_photographs_of_scikit_image_are_five_or_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("skimage") is not None:
        assert len(load_photographs(None)) == 5
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StoreError, match="scikit-image, which is not installed: pip install mtgen"):
        load_photographs(None)


# --- contenders that do something wrong -------------------------------------------------------------------------------


def wrong(kind: str) -> Contender:
    return Contender(
        name=kind or "right",
        group="features",
        module="tests.support.bench_contenders",
        function="computed",
        options={"wrong": kind},
        needs=("no_such_package",) if kind == "missing" else (),
    )


def test_what_contenders_do_wrong_is_reported_and_the_others_go_on(tmp_path: Path) -> None:
    kinds = ["", "shift", "shift later", "repeat later", "refuse", "die", "missing"]
    said: list[str] = []
    data = data_of("features", tmp_path, tmp_path)
    whole = Run(suite="features", settings=SMALL, data=data, say=said.append)
    found = {one["name"]: one for one in whole.result([wrong(kind) for kind in kinds])["contenders"]}
    assert list(found) == [kind or "right" for kind in kinds]
    right = found.pop("right")
    assert (right["status"], right["reason"], len(right["rounds"])) == ("measured", None, SMALL.rounds)
    assert right["proof"] == {"num_rows": 256, "difference": None, "shuffled": True}
    assert found.pop("missing")["reason"] == "no package no_such_package"
    says = {
        "shift": "AlignmentError: 16 of 16 feature rows are wrong",
        "shift later": "AlignmentError: feature rows stand beside other rows while the clock runs",
        "repeat later": "AlignmentError: ",
        "refuse": "ValueError: it cannot be opened",
        "die": "its process is gone; its last words: its last words",
    }
    assert {name: one["status"] for name, one in found.items()} == dict.fromkeys(says, "failed")
    assert {name: one["reason"][: len(says[name])] for name, one in found.items()} == says
    assert all(one["rounds"] == [] for one in found.values())
    assert any("shift: AlignmentError" in line for line in said)


def test_a_contender_that_hangs_is_ended(tmp_path: Path) -> None:
    data = data_of("features", tmp_path, tmp_path)
    whole = Run(suite="features", settings=SMALL, data=data, say=len, answer_seconds=4.0)
    (found,) = whole.result([wrong("hang")])["contenders"]
    assert found["status"] == "failed"
    assert found["reason"].startswith("no answer within 4 s")


# --- real ones, in this process and in their own ----------------------------------------------------------------------


def work_of(folder: Path, photographs: Path, suite: str, *names: str) -> Work:
    return Work(
        places=data_of(suite, folder, photographs).make(names),
        num_rows=SMALL.num_rows(suite),
        num_columns=SMALL.num_columns(suite),
        sparsity=SMALL.sparsity,
        batch_size=16,
        size=60,
        workers=2,
        memory=64 << 20,
        seed=0,
        rows=np.arange(0, SMALL.num_rows(suite), 2),
    )


def test_the_pictures_of_recipes_lie_in_the_class_that_is_said(folder: Path, photographs: Path) -> None:
    """The bare pool and the loader give the same pixels, each its own recipe's."""
    work = work_of(folder, photographs, "pictures", "pictures", "features.npy")
    with floors.bare_decode(work, "clean") as bare, floors.bare_pillow(work) as pillow:
        alone = {
            int(row): picture for batch in bare(0) for row, picture in zip(batch.rows, batch.pictures, strict=True)
        }
        for batch in pillow(0):
            for row, picture in zip(batch.rows, batch.pictures, strict=True):
                np.testing.assert_array_equal(picture, alone[int(row)])
    with own.loader(work, features="features.npy", recipe="clean") as epochs:
        for batch in epochs(0):
            for row, picture in zip(batch.rows, batch.pictures, strict=True):
                np.testing.assert_array_equal(picture, alone[int(row)])


HERE = [
    one
    for suite in ("features", "packed")
    for one in contenders(suite)
    if one.module in ("ancestor", "arrays", "floors", "keras_pydataset", "own") and one.group in ("features", "packed")
]
"""Contenders that can run in this process; the others start processes or load a large library."""


@pytest.mark.parametrize("contender", HERE, ids=lambda one: f"{one.group} {one.name}")
def test_contenders_deliver_what_they_should(contender: Contender, folder: Path, photographs: Path) -> None:
    for name in contender.needs:
        pytest.importorskip(name)
    suite = contender.group
    names = [*contender.places, "pictures"] if suite == "packed" else contender.places
    work = work_of(folder, photographs, suite, *names)
    proof = Proof(work, lambda row: reference_picture(work.paths()[row], work.size), ordered=contender.ordered)
    opener = getattr(importlib.import_module(contender.full_module), contender.function)
    with opener(work, **contender.options) as epochs:
        for epoch in range(2):
            for batch in epochs(epoch):
                assert (batch.pictures is not None) == (suite == "packed")
                assert batch.features is not None
                proof.add(batch)
            proof.end_epoch()
    assert proof.finish().num_rows == len(work.wanted) * 2


CHOSEN = {
    "features": ["bcolz.open", "mtgen, packed", "floor: np.take"],
    "pictures": ["mtgen fastest", "bare Pillow"],
    "packed": ["mtgen", "FFCV"],
    "overhead": ["mtgen clean"],
}


def test_smoke(folder: Path, photographs: Path, tmp_path: Path) -> None:
    """Every suite with contenders that start quickly: table, JSON, chart and page."""
    results = []
    for suite, only in CHOSEN.items():
        path = tmp_path / f"{suite}.json"
        options = [word for text in only for word in ("--only", text)]
        done = run("run", suite, *OPTIONS, *options, "--folder", folder, "--photographs", photographs, "--json", path)
        assert done.exit_code == 0, done.output
        result = json.loads(path.read_text(encoding="utf-8"))
        (found,) = result["suites"]
        expected = [one for one in contenders(suite) if any(text.lower() in one.name.lower() for text in only)]
        assert [one["name"] for one in found["contenders"]] == [one.name for one in expected]
        for one, contender in zip(found["contenders"], expected, strict=True):
            check_contender(one, contender, suite)
            assert one["name"] in done.stdout
        results.append(path)
    page = tmp_path / "page.md"
    names = [*CHOSEN, "machine"]
    page.write_text(
        "kept\n" + "".join(f"<!-- bench: {name} -->\n<!-- end of bench: {name} -->\n" for name in names) + "also kept\n"
    )
    assert run("docs", *results, "--page", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("kept\n<!-- bench: features -->\nSuite features: 512 rows of 6 float32")
    assert text.endswith("also kept\n")
    assert "recipe clean: " in text
    if importlib.util.find_spec("matplotlib"):
        shown = run("show", *results, "--plot", tmp_path / "chart.png")
        assert shown.exit_code == 0, shown.output
        assert (tmp_path / "chart.png").stat().st_size > 10_000
        assert [line.split(":")[0] for line in shown.stdout.splitlines() if line.startswith("Suite")] == [
            f"Suite {suite}" for suite in CHOSEN
        ]


DRAWN = {
    "weighted batch": ["mtgen", "mtgen, spread='iid'", "numpy Generator.choice(p=)"],
    "shuffle, 65,537 rows": ["mtgen", "Grain index_shuffle", "numpy Generator.permutation"],
    "impossible": ["mtgen", "BatchFlow"],
    "sample by": ["mtgen", "Deep Lake"],
}


def test_the_suite_sampling_runs_in_small(tmp_path: Path) -> None:
    """From the command to the page: who is wrong, cut off or not run stands there with the reason."""
    path, page = tmp_path / "sampling.json", tmp_path / "page.md"
    sizes = ["--shrink", "10000", "--rounds", "2", "--seconds", "0.01", "--warm-up", "0", "--limit", "5"]
    words = [word for task in DRAWN for word in ("--group", task)]
    only = [word for name in ("mtgen", "numpy", "Grain", "BatchFlow", "Deep Lake") for word in ("--only", name)]
    done = run("run", "sampling", *sizes, *words, *only, "--json", path)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(path.read_text(encoding="utf-8"))["suites"]
    by_name = {(one["group"], one["name"]): one for one in found["contenders"]}
    assert list(by_name) == [(task, name) for task, names in DRAWN.items() for name in names]
    for (task, name), one in by_name.items():
        if name in ("Grain index_shuffle", "BatchFlow"):
            package = name.split()[0].lower()
            here = importlib.util.find_spec(package) is not None
            says = {"grain": "wrong: row 31,105 came 2 times", "batchflow": "cut off: no answer within 5 s"}[package]
            assert f"{one['status']}: {one['reason']}".startswith(
                says if here else f"not installed: no package {package}"
            )
        elif name == "Deep Lake":
            assert one["status"] == "not run"
        else:
            assert one["status"] == "measured", (task, one["reason"])
            assert len(one["rounds"]) == 2
            assert one["memory"]["seconds"] > 0
            assert all(part["calls"] >= 1 and part["rows"] % part["calls"] == 0 for part in one["rounds"])
    page.write_text(
        "".join(f"<!-- bench: {name} -->\n<!-- end of bench: {name} -->\n" for name in ("sampling", "machine"))
    )
    assert run("docs", path, "--page", page).exit_code == 0
    text = page.read_text(encoding="utf-8")
    assert "256 of 1,000 rows, drawn by weights that are there." in text
    assert "**mtgen**" in text
    if importlib.util.find_spec("matplotlib"):
        assert run("show", path, "--plot", tmp_path / "chart.png").exit_code == 0
        assert (tmp_path / "chart.png").stat().st_size > 10_000


def check_contender(one: dict[str, Any], contender: Contender, suite: str) -> None:
    missing = [name for name in contender.needs if importlib.util.find_spec(name) is None]
    if missing:
        assert (one["status"], one["reason"]) == ("not installed", f"no package {', '.join(missing)}")
        return
    assert one["status"] == "measured", one["reason"]
    assert one["proof"]["num_rows"] == 2 * 128
    assert one["proof"]["shuffled"] is not contender.ordered
    with_pictures = suite != "features"
    assert (one["proof"]["difference"] is not None) == with_pictures
    if contender.group == "antialiased":
        assert one["proof"]["difference"] < 0.5
    assert len(one["rounds"]) == SMALL.rounds
    for part in one["rounds"]:
        assert part["rows"] >= 1
        assert part["seconds"] > 0
        assert part["cpu_seconds"] >= 0
    assert one["disk_bytes"] > 0
    assert one["memory"]["resident_bytes"] > 1_000_000


def test_contenders_are_listed_with_what_is_not_installed() -> None:
    text = run("contenders", "packed").stdout
    assert text.startswith("packed:\n  mtgen, packed pictures and features (packed)\n")
    assert ("FFCV (packed), not installed: ffcv" in text) == (importlib.util.find_spec("ffcv") is None)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "nothing"], "there are the suites features, pictures, packed, overhead, sampling"),
        (["run", "features", "--only", "nobody"], "no contender of the suite features is called anything like nobody"),
        (
            ["run", "packed", "--group", "features"],
            "has the classes packed, antialiased, no antialias, received features",
        ),
        (["run", "--rows", "100"], "rows is 100, which is no multiple"),
        (["run", "--json", "no/such/folder.json"], "name a file in a folder that exists"),
        (["run", "--plot", "."], "name a file in a folder that exists"),
        (["docs", "nowhere.json"], "it is no result of mtgen bench run --json"),
        (["show", "nowhere.json"], "it is no result of mtgen bench run --json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments_are_named_before_anything_is_measured(arguments: list[str], says: str) -> None:
    done = run(*arguments)
    assert done.exit_code == 1
    assert says in re.sub(r"\s+", " ", done.stderr)


def test_a_result_of_another_format_is_refused(tmp_path: Path) -> None:
    for text in ("[]", '{"format": 99, "suites": []}'):
        (tmp_path / "old.json").write_text(text)
        done = run("show", tmp_path / "old.json")
        assert done.exit_code == 1
        assert "measure again" in done.stderr
    (tmp_path / "new.json").write_text('{"format": 1, "suites": []}')
    done = run("docs", tmp_path / "new.json", "--page", tmp_path / "gone.md")
    assert "the page cannot be read" in done.stderr
