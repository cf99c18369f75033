"""A card finds what was planted, all of it and nothing else; its JSON keeps its shape."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

import mtgen
from mtgen.card import Card, Finding, make_card
from mtgen.cli import app
from mtgen.errors import PlanError, StoreError
from tests.support.pictures import encode, oriented, photo

pytestmark = pytest.mark.usefixtures("no_thread_left")

NUM_ROWS = 300
ROOT = Path(__file__).resolve().parents[2]


class Planted:
    """A dataset without a fault, to plant some in: two splits, distinct pictures, features that go with them."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.folder = folder
        folder.mkdir(parents=True)
        self.features = rng.normal(size=(NUM_ROWS, 10)).astype("float32")
        pixels = np.clip(128 + 40 * np.repeat(self.features[:, :8, None], 8, axis=2), 0, 255).astype("uint8")
        self.files = [encode(one) for one in pixels]
        classes = (self.features[:, 0] + rng.normal(size=NUM_ROWS) > 0).astype(int)
        parts = np.where(np.arange(NUM_ROWS) % 3 == 2, "test", "train")
        names = [f"{row}.png" for row in range(NUM_ROWS)]
        self.table = pd.DataFrame({"file": names, "y": classes, "part": parts})

    def dataset(self) -> mtgen.Dataset:
        for name, content in zip(self.table["file"], self.files, strict=True):
            (self.folder / name).write_bytes(content)
        inputs = {
            "image": mtgen.Images("file", root=self.folder, size=(8, 8), color="grayscale"),
            "features": mtgen.Rows(self.features),
        }
        return mtgen.Dataset(self.table, inputs, targets="y")

    def card(self, **settings: Any) -> Card:
        return make_card(self.dataset().split(by="part"), num_workers=settings.pop("num_workers", 0), **settings)


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    return Planted(tmp_path / "pictures")


def found(card: Card) -> dict[tuple[str, str], int]:
    """Kind and field -> count."""
    counts = {(one.kind, one.where): one.count for one in card.findings}
    assert len(counts) == len(card.findings)
    return counts


def finding(card: Card, kind: str, where: str) -> Finding:
    (one,) = [one for one in card.findings if (one.kind, one.where) == (kind, where)]
    return one


# --- findings ---------------------------------------------------------------------------------------------------------


def test_clean_data_has_no_finding(planted: Planted) -> None:
    card = planted.card(pixels=True)
    assert card.findings == ()
    assert card.is_fine
    assert {one["verdict"] for one in card.facts["joins"]} == {"in place"}
    assert "None found." in card.as_markdown()


def test_equal_pictures_are_found_and_a_leak_is_serious(planted: Planted) -> None:
    planted.files[1] = planted.files[0]  # both train
    planted.files[5] = planted.files[4] = planted.files[3]  # 5 is test
    card = planted.card()
    assert found(card) == {("duplicate_pictures", "image"): 5, ("leak", "image"): 3} | {
        ("picture_with_other_features", "image, features"): 5
    }
    leak = card.findings[0]
    assert (leak.kind, leak.severity, leak.splits, leak.groups) == ("leak", "serious", ("train", "test"), ((3, 4, 5),))
    assert "(2 in split 1, 1 in split 2)" in leak.text
    assert sorted(finding(card, "duplicate_pictures", "image").groups) == [(0, 1), (3, 4, 5)]
    assert not card.is_fine


def test_pictures_of_equal_pixels_are_found_if_asked_for(planted: Planted) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(planted.files[7])))
    planted.files[9] = encode(pixels, "BMP")
    assert found(planted.card()) == {}
    card = planted.card(pixels=True)
    assert found(card) == {("duplicate_pixels", "image"): 2}
    assert card.findings[0].groups == ((7, 9),)


def test_equal_feature_rows_are_found(planted: Planted) -> None:
    planted.features[4] = planted.features[1]  # both train
    planted.features[8] = planted.features[6]  # test and train
    card = planted.card()
    assert found(card) == {
        ("leak", "features"): 2,
        ("duplicate_features", "features"): 4,
        ("features_of_many_pictures", "image, features"): 4,
    }
    assert card.findings[0].groups == ((6, 8),)


def test_equal_samples_with_other_targets_are_found(planted: Planted) -> None:
    for one, other in ((0, 1), (3, 4)):
        planted.files[one], planted.features[one] = planted.files[other], planted.features[other]
    planted.table.loc[[0, 1, 3, 4], "y"] = [0, 1, 1, 1]
    card = planted.card()
    assert found(card) == {
        ("conflicting_targets", "all inputs"): 2,
        ("duplicate_pictures", "image"): 4,
        ("duplicate_features", "features"): 4,
    }
    assert card.findings[0].groups == ((0, 1),)
    assert card.findings[0].severity == "serious"


def test_a_leak_of_whole_samples_comes_first(planted: Planted) -> None:
    planted.files[2], planted.features[2] = planted.files[0], planted.features[0]
    planted.table.loc[2, "y"] = planted.table.loc[0, "y"]
    card = planted.card()
    assert [(one.kind, one.where, one.count) for one in card.findings if one.kind == "leak"] == [
        ("leak", "all inputs", 2),
        ("leak", "features", 2),
        ("leak", "image", 2),
    ]


def test_zeros_and_missing_values_are_found(planted: Planted) -> None:
    planted.features[[3, 50, 51]] = 0
    planted.features[:, 6] = 0
    planted.features[:, 7] = 0.5
    planted.features[[3, 50, 51], 7] = 0
    planted.features[9, 2] = np.nan
    planted.features[10, 3] = -np.inf
    planted.features[11, [2, 3]] = np.inf
    card = planted.card()
    assert found(card) == {
        ("not_finite_rows", "features"): 3,
        ("zero_rows", "features"): 3,
        ("zero_columns", "features"): 1,
    }
    assert finding(card, "not_finite_rows", "features").groups == ((9, 10, 11),)
    assert finding(card, "zero_rows", "features").groups == ((3, 50, 51),)
    columns = card.facts["inputs"][1]["columns"]
    assert (columns["nan"][2], columns["infinite"][2], columns["infinite"][3]) == (1, 1, 2)
    assert columns["count"][2:4] == [NUM_ROWS - 2, NUM_ROWS - 2]


def test_columns_that_never_change_are_found(planted: Planted) -> None:
    planted.features[:, 9] = 3
    assert found(planted.card()) == {("constant_columns", "features"): 1}


def test_columns_are_described_as_numpy_does(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtgen.card.rows.BLOCK_BYTES", 40 * 7)  # blocks of seven rows
    planted.features[:, 1] *= 1e-3
    planted.features[:, 2] += 1e6
    columns = planted.card().facts["inputs"][1]["columns"]
    values = planted.features.astype("float64")
    for name in ("min", "max", "mean", "std"):
        np.testing.assert_allclose(columns[name], getattr(values, name)(axis=0), rtol=1e-8)


def test_a_feature_that_is_the_target_is_found(planted: Planted) -> None:
    planted.features[:, 4] = planted.table["y"] * 2 + 5
    card = planted.card()
    assert found(card) == {("predicts_alone", "features, y"): 1}
    assert card.findings[0].severity == "serious"
    assert card.findings[0].examples[0].startswith("4: accuracy 1.0000, the most frequent class alone 0.5")
    planted.features[:12, 4] = 6  # four percent cannot be told
    assert planted.card().findings[0].severity == "warning"


def test_pictures_that_cannot_be_read_are_found(planted: Planted) -> None:
    planted.files[5] = planted.files[5][:40]
    planted.files[6] = b""
    data = planted.dataset()
    (planted.folder / "7.png").unlink()
    card = make_card(data, num_workers=2)
    assert found(card) == {("unreadable", "image"): 3}
    assert card.findings[0].groups == ((5, 6, 7),)
    assert [example.partition(": ")[0].rpartition("/")[2] for example in card.findings[0].examples] == [
        "5.png",
        "6.png",
        "7.png",
    ]
    assert card.facts["inputs"][0]["pictures"]["unreadable"] == 3


def test_headers_are_counted(planted: Planted) -> None:
    upright = photo(8, 12)
    planted.files[0] = oriented(upright, 6, "JPEG")
    planted.files[1] = encode(Image.fromarray(upright).convert("RGBA"))
    planted.files[2] = encode(Image.fromarray(upright).convert("P"), "GIF")
    pictures = planted.card().facts["inputs"][0]["pictures"]
    assert pictures["formats"] == {"PNG": NUM_ROWS - 2, "GIF": 1, "JPEG": 1}
    assert pictures["modes"] == {"L": NUM_ROWS - 3, "P": 1, "RGB": 1, "RGBA": 1}
    assert pictures["orientations"] == {"1": NUM_ROWS - 1, "6": 1}
    assert pictures["alpha"] == 1
    sizes = {(one["width"], one["height"]): one["files"] for one in pictures["sizes"]}
    assert sizes == {(8, 8): NUM_ROWS - 3, (8, 12): 1, (12, 8): 2}
    assert sum(sizes.values()) == pictures["files"]


@pytest.mark.parametrize("shift", [1, -2])
def test_a_shifted_store_is_found(planted: Planted, shift: int) -> None:
    planted.features = np.roll(planted.features, -shift, axis=0)
    card = planted.card()
    assert ("shifted_join", "image, features") in found(card)
    assert [one["best"] for one in card.facts["joins"] if one["second"] == "features"] == [-shift]
    assert not card.is_fine


def test_a_shift_in_the_order_of_the_store_is_found(planted: Planted) -> None:
    """The table is in no order, and reads its store by index, one row too far."""
    rng = np.random.default_rng(1)
    order = rng.permutation(NUM_ROWS)
    stored = np.empty_like(planted.features)
    stored[order] = planted.features
    planted.table["at"] = order
    for shift in (0, 1):
        data = planted.dataset()
        inputs = {"image": data.fields[0].bound.images, "features": mtgen.Rows(np.roll(stored, shift, 0), index="at")}
        card = make_card(mtgen.Dataset(planted.table, inputs, targets="y"), num_workers=0)
        joins = {one["order"]: one for one in card.facts["joins"] if one["second"] == "features"}
        assert joins["table"]["verdict"] == ("cannot tell" if shift else "in place")
        assert joins["store"]["verdict"] == ("shifted" if shift else "in place")
        assert card.is_fine is not bool(shift)


def test_rows_of_a_store_in_another_order_are_told_by_the_row_of_the_table() -> None:
    rng = np.random.default_rng(2)
    order, stored = rng.permutation(50), rng.normal(size=(50, 9))
    stored[order[7]] = 0
    stored[order[9], 2] = np.nan
    stored[order[3]] = stored[order[30]]
    data = mtgen.Dataset(pd.DataFrame({"at": order}), {"x": mtgen.Rows(stored, index="at")})
    assert {one.kind: one.groups for one in make_card(data, num_workers=0).findings} == {
        "not_finite_rows": ((9,),),
        "zero_rows": ((7,),),
        "duplicate_features": ((3, 30),),
    }


# --- the card ---------------------------------------------------------------------------------------------------------


def test_threads_and_runs_change_no_byte(planted: Planted) -> None:
    cards = [planted.card(num_workers=count, seed=3, sample=200) for count in (0, 3, 1)]
    assert len({card.as_json() for card in cards}) == 1
    assert cards[0].facts["rows"] == {"table": NUM_ROWS, "total": NUM_ROWS, "looked_at": 200, "seed": 3}
    assert "**A sample of 200 rows was looked at.**" in cards[0].as_markdown()


def test_json_keeps_its_shape(planted: Planted) -> None:
    planted.features[3] = np.nan
    card = json.loads(planted.card().as_json())
    assert list(card) == [
        *("format", "version", "mtgen", "name", "license", "rows", "splits", "inputs", "targets", "weights", "joins"),
        *("digests", "load", "is_fine", "findings"),
    ]
    assert (card["format"], card["version"]) == ("mtgen dataset card", 1)
    assert [list(one) for one in card["inputs"]] == [
        ["name", "role", "kind", "shape", "dtype", "recipe", "pictures"],
        ["name", "role", "kind", "shape", "dtype", "columns"],
    ]
    assert list(card["inputs"][0]["pictures"]) == [
        *("files", "bytes", "unreadable", "sizes", "distinct_sizes", "width", "height", "modes", "formats"),
        *("orientations", "alpha"),
    ]
    assert list(card["inputs"][1]["columns"]) == [
        *("names", "count", "min", "max", "mean", "std", "nan", "infinite", "zero")
    ]
    assert list(card["findings"][0]) == [
        *("kind", "severity", "where", "count", "text", "unit", "splits", "groups", "examples")
    ]
    assert list(card["joins"][0]) == [
        *("first", "second", "order", "verdict", "why", "best", "z", "lead", "scores", "num_rows")
    ]
    assert [list(one) for one in card["splits"]] == [["name", "rows", "digest"]] * 2
    assert card["digests"].keys() == {"rows", "input image", "input features", "target y"}


def test_classes_are_counted_in_each_split(planted: Planted) -> None:
    planted.table["y"] = np.where(np.arange(NUM_ROWS) % 4 == 0, "ill", "well")
    counts = Counter(zip(planted.table["y"], planted.table["part"], strict=True))
    names = sorted(set(planted.table["part"]))
    for one in planted.card(sample=70).facts["targets"][0]["classes"]:
        by_split = dict(zip(planted.dataset().split(by="part").names, one["splits"], strict=True))
        assert by_split == {name: counts[one["class"], name] for name in names}
        assert one["rows"] == sum(one["splits"])


HOSTILE = "<img src=x onerror=alert(1)>|[a](javascript:b)`*_\n# x\u202e"


def test_hostile_names_and_labels_are_shown_as_text(planted: Planted) -> None:
    planted.table["y"] = np.where(planted.table["y"] == 1, HOSTILE, "---\nlicense: none")
    evil = "![x](y)<script>|`.png"
    planted.table.loc[0, "file"] = evil
    planted.files[0] = b"<html>"
    planted.table["part"] = np.where(planted.table["part"] == "test", "<b>", "a|b\n")
    page = planted.card(name=HOSTILE, license="x\n---\n<i>").as_markdown()
    _, header, body = page.split("---\n", 2)
    assert [line.partition(":")[0] for line in header.splitlines()] == [
        *("pretty_name", "license", "size_categories", "tags", "dataset_info")
    ]
    text = re.sub(r"(?ms)^(```+)python$.*?^\1$", "", body)  # code is shown as it is
    assert not re.search(r"(?<!\\)<\w|(?<!\\)!\[|(?<!\\)\]\(", text)
    assert "\u202e" not in page
    assert "# x" not in [line.strip() for line in text.splitlines()]
    heads = [line for line in text.splitlines() if line.startswith("| class ")]
    assert len(re.findall(r"(?<!\\)\|", heads[0])) == 5  # class, rows and two splits


def test_what_loads_it_runs(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mtgen.pack(planted.features, tmp_path / "features.zarr")
    data = planted.dataset()
    planted.table.to_csv(tmp_path / "table.csv", index=False)
    inputs = {"image": data.fields[0].bound.images, "features": mtgen.Rows(str(tmp_path / "features.zarr"))}
    data = mtgen.Dataset(
        planted.table,
        inputs,
        targets={"y": mtgen.OneHot("part"), "class": "y", "other": mtgen.ClassNumbers("y", [1, 0])},
    )
    card = make_card(data, table=str(tmp_path / "table.csv"), num_workers=0)
    names: dict[str, Any] = {}
    exec(card.facts["load"], names)  # what the page tells its reader to do
    assert names["data"].digests == data.digests
    assert len(names["batch"].rows) == 3


def test_a_card_is_written_whole_and_never_over_another(planted: Planted, tmp_path: Path) -> None:
    card = planted.card()
    folder = card.write(tmp_path / "card")
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "card.md"]
    assert (folder / "card.json").read_text() == card.as_json()
    with pytest.raises(StoreError, match="it exists already, nothing is overwritten"):
        card.write(folder)


def test_inputs_without_files_and_without_targets_have_a_card() -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, 2.0], "height": [3.0, 4.0, 4.0]})
    card = make_card(mtgen.Dataset(table, {"x": mtgen.Columns(["age", "height"])}), num_workers=0)
    assert found(card) == {("duplicate_features", "x"): 2}
    assert card.is_fine  # short rows are often equal
    assert card.facts["inputs"][0]["columns"]["names"] == ["age", "height"]
    with pytest.raises(PlanError, match="has no rows"):
        make_card(mtgen.Dataset(table, {"x": mtgen.Columns("age")}).take([]))


# --- the command ------------------------------------------------------------------------------------------------------


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_digits_have_a_clean_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = run("card", "--out", tmp_path / "card", "--split", "--pixels", "--license", "bsd-3-clause")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "1,797 of 1,797 rows looked at: 0 serious, 0 warning"
    card = json.loads((tmp_path / "card" / "card.json").read_text())
    assert {one["verdict"] for one in card["joins"]} == {"in place"}
    assert [one["rows"] for one in card["splits"]] == [1258, 270, 269]
    assert sum(one["rows"] for one in card["targets"][0]["classes"]) == 1797
    page = (tmp_path / "card" / "card.md").read_text()
    assert page.startswith('---\npretty_name: "digits"\nlicense: "bsd-3-clause"\n')
    again = run("card", "--out", tmp_path / "card")
    assert again.exit_code == 1
    assert "it exists already, nothing is overwritten" in again.stderr


def test_a_shifted_store_of_the_digits_ends_with_code_1(tmp_path: Path) -> None:
    folder = ROOT / "data_samples" / "digits"
    table = mtgen.read_table(str(folder / "table.csv"))
    store = mtgen.open_store(str(folder / "features.bcolz"))
    values = np.empty((store.num_rows, *store.row_shape), store.dtype)
    store.read_rows(np.arange(store.num_rows), values)
    np.save(tmp_path / "shifted.npy", np.roll(values, -1, axis=0))
    table.to_csv(tmp_path / "table.csv", index=False)
    result = run(
        *("card", "--table", tmp_path / "table.csv", "--image-column", "imgpath", "--image-root", folder),
        *("--features", tmp_path / "shifted.npy", "--target", "target", "--out", tmp_path / "card"),
        *("--sample", "900", "--name", "off by one", "--workers", "2", "--seed", "4"),
    )
    assert result.exit_code == 1, result.output
    assert "serious: image, features: " in result.stdout
    assert "row i -1" in result.stdout
    assert "serious: features, target: " in result.stdout
    assert "row i +1" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--split", "--split-by", "part"], "--split makes splits, --split-by takes those of a column"),
        (["--table", "t.csv", "--features", "x.npy", "--split"], "name it, --target"),
        (["--table", "t.csv"], "says nothing of inputs"),
    ],
)
def test_options_that_do_not_fit_are_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    result = run("card", "--out", tmp_path / "card", *arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert not (tmp_path / "card").exists()


# --- inputs of other kinds --------------------------------------------------------------------------------------------


def test_patches_and_joined_datasets_have_a_card(planted: Planted) -> None:
    data = planted.dataset()
    both = mtgen.join({"real": data, "more": Planted(planted.folder.parent / "more").dataset()})
    card = make_card(both, num_workers=0)
    assert found(card)["duplicate_pictures", "image"] == 2 * NUM_ROWS
    assert {one["verdict"] for one in card.facts["joins"]} == {"in place"}
    pictures = mtgen.Images("file", root=planted.folder, color="grayscale")
    inputs = {"patch": mtgen.Patches(pictures, size=(3, 3)), "x": mtgen.Columns("y")}
    card = make_card(mtgen.Dataset(planted.table, inputs), num_workers=0)
    assert card.facts["inputs"][0]["pictures"]["files"] == NUM_ROWS
    assert "# where ... stands" in card.facts["load"]
    arrays = mtgen.Patches(np.zeros((NUM_ROWS, 8, 8), "float32"), size=(3, 3))
    assert "Not looked into" in make_card(mtgen.Dataset(planted.table, {"patch": arrays}), num_workers=0).as_markdown()
