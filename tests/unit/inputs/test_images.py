"""Paths, files and their errors: `Images`, `BoundImages`."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import DecodeError, PlanError, TableError
from mtgen.inputs.images import BoundImages, Images
from mtgen.recipe import named_recipe


def bind(paths: list[object], **settings: object) -> BoundImages:
    return Images("imgpath", **({"size": (8, 9)} | settings)).bind(pd.DataFrame({"imgpath": paths}))


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_make_the_named_recipe():
    images = Images(
        "imgpath", size=(8, 9), color="grayscale", recipe="fast", fit="crop", dtype="float32", scale=(2 / 255, -1)
    )
    expected = named_recipe("fast", size=(8, 9), color="grayscale", fit="crop", dtype="float32", scale=(2 / 255, -1))
    assert images.pixel_recipe == expected
    assert str(images.bind(pd.DataFrame({"imgpath": ["a"]})).spec) == "(8, 9, 1) float32"


def test_a_recipe_value_decides_all():
    recipe = named_recipe("clean", size=(8, 9), color="rgba", max_pixels=1000)
    assert Images("imgpath", recipe=recipe).pixel_recipe is recipe
    assert Images("imgpath", recipe=recipe, size=[8, 9], color="rgba").pixel_recipe is recipe
    with pytest.raises(
        PlanError, match=r"received size=\(9, 9\) and a recipe with size=\(8, 9\); say it in the recipe"
    ):
        Images("imgpath", recipe=recipe, size=(9, 9))
    with pytest.raises(PlanError, match="received color='grayscale' and a recipe with color='rgba'"):
        Images("imgpath", recipe=recipe, color="grayscale")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, r"size must be \(height, width\)"),
        ({"size": (8, 8), "recipe": "cleen"}, "did you mean 'clean'"),
        ({"size": (8, 8), "root": 3}, "root must be a folder or None, received 3"),
        ({"size": (8, 8), "scale": (1, 0)}, "scale needs dtype='float32'"),
    ],
)
def test_wrong_settings_are_refused_at_once(settings, message):
    with pytest.raises(PlanError, match=message):
        Images("imgpath", **settings)


def test_pictures_as_they_are_fit_in_no_batch():
    with pytest.raises(PlanError, match=r"Images\('imgpath'\) needs size=\(height, width\).*only Patches"):
        Images("imgpath").bind(pd.DataFrame({"imgpath": ["a.png"]}))
    with pytest.raises(PlanError, match="did you mean 'clean'"):  # all else is said at once
        Images("imgpath", recipe="cleen")


def test_column_must_be_a_name():
    with pytest.raises(PlanError, match="column must be the name of a table column, received 3"):
        Images(3, size=(8, 8))


# --- the table --------------------------------------------------------------------------------------------------------


def test_a_missing_column_names_the_near_ones():
    table = pd.DataFrame({"img_path": ["a"], "target": [1]})
    with pytest.raises(TableError, match=r"no column 'imgpath'\. Did you mean 'img_path'\?"):
        Images("imgpath", size=(8, 8)).bind(table)
    with pytest.raises(TableError, match=r"no column 'zzz'\. The columns are \['img_path', 'target'"):
        Images("zzz", size=(8, 8)).bind(table)


def test_two_columns_of_one_name_are_refused():
    table = pd.DataFrame([["a", "b"]], columns=["imgpath", "imgpath"])
    with pytest.raises(TableError, match="2 columns named 'imgpath'"):
        Images("imgpath", size=(8, 8)).bind(table)


@pytest.mark.parametrize("wrong", [None, float("nan"), "", 7, "a\0b", pd.NA])
def test_missing_empty_and_other_values_are_listed(wrong):
    with pytest.raises(TableError, match=r"2 of 4 do not \(row 1: .*, row 3: ") as caught:
        bind(pd.Series(["a", wrong, "b", wrong], dtype=object).tolist())
    assert caught.value.row == 1


def test_a_long_list_of_wrong_rows_is_cut():
    with pytest.raises(TableError, match=r"50 of 50 do not \(row 0: None.*row 4: None, \.\.\.\)"):
        bind([None] * 50)


@pytest.mark.parametrize("dtype", ["object", "str", "category", "string"])
def test_every_kind_of_text_column_is_taken(dtype):
    table = pd.DataFrame({"imgpath": pd.Series(["a.png", "ü/β.png", "a.png"], index=[5, 5, 9], dtype=dtype)})
    bound = Images("imgpath", size=(8, 8)).bind(table)
    assert [bound.path(row) for row in range(3)] == ["a.png", "ü/β.png", "a.png"]


def test_rows_are_places_in_the_table_and_bounded():
    bound = bind(["a", "b"])
    assert bound.path(np.int64(1)) == "b"
    assert (len(bound), bound.num_rows) == (2, 2)
    for row in (-1, 2):
        with pytest.raises(TableError, match=f"row {row} was asked for, the table has rows 0 to 1"):
            bound.path(row)


def test_the_table_may_change_afterwards():
    table = pd.DataFrame({"imgpath": ["a", "b"]})
    bound = Images("imgpath", size=(8, 8)).bind(table)
    table.loc[0, "imgpath"] = "other"
    assert bound.path(0) == "a"


# --- the root ---------------------------------------------------------------------------------------------------------


def test_the_root_is_joined(tmp_path):
    bound = bind(["x/a.png", "x/../b.png", str(tmp_path / "c.png")], root=tmp_path)
    assert [os.path.normpath(bound.path(row)) for row in range(3)] == [
        str(tmp_path / "x" / "a.png"),
        str(tmp_path / "b.png"),
        str(tmp_path / "c.png"),
    ]


@pytest.mark.parametrize("outside", ["../a.png", "x/../../a.png", "/etc/hostname", "..", "x/../../{name}2/a.png"])
def test_paths_that_leave_the_root_are_refused(tmp_path, outside):
    outside = outside.format(name=tmp_path.name)
    with pytest.raises(TableError, match=r"must hold paths under root .*row 1: .*choose a root that holds them all"):
        bind(["a.png", outside], root=tmp_path)
    assert bind(["a.png", outside]).path(1) == outside


def test_dots_inside_a_name_are_no_way_out(tmp_path):
    assert bind(["a..b/..c.png"], root=tmp_path).path(0) == str(tmp_path / "a..b/..c.png")


# --- files ------------------------------------------------------------------------------------------------------------


def test_bytes_are_read_whole(tmp_path):
    content = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "empty.png").write_bytes(b"")
    bound = bind(["a.png", "empty.png"], root=tmp_path)
    assert bound.read_bytes(0) == content
    assert bound.read_bytes(1) == b""


def test_a_missing_file_says_row_path_and_where_to_look(tmp_path):
    (tmp_path / "x").mkdir()
    bound = bind(["a.png", "x/y/z/b.png"], root=tmp_path)
    with pytest.raises(DecodeError) as caught:
        bound.read_bytes(1)
    text = str(caught.value)
    assert f"is root={str(tmp_path)!r} right?" in text
    assert f"The nearest folder that exists is {str(tmp_path / 'x')!r}" in text
    assert f"row 1, path {tmp_path / 'x/y/z/b.png'}" in text
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_a_url_and_a_file_as_folder_say_so(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "file").write_bytes(b"1")
    bound = bind(["x", "file/a.png"], root=tmp_path)
    with pytest.raises(DecodeError, match="it is a folder, expected a file"):
        bound.read_bytes(0)
    with pytest.raises(DecodeError, match=r"Not a directory; is root=.* right\?"):
        bound.read_bytes(1)
    with pytest.raises(DecodeError, match="it looks like a URL"):
        bind(["http://example.org/a.png"]).read_bytes(0)
    with pytest.raises(DecodeError, match=r"is root right\? it is None"):
        bind(["no/such/a.png"]).read_bytes(0)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_forbidden_file_says_so(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(DecodeError, match="Permission denied; may this user read it"):
        bind(["a.png"], root=tmp_path).read_bytes(0)


def test_other_failures_of_the_system_say_so(tmp_path):
    with pytest.raises(DecodeError, match="File name too long; does the column hold file names"):
        bind(["a" * 300], root=tmp_path).read_bytes(0)


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are text")
def test_names_that_are_no_utf8_survive(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(b"1")
    table = pd.DataFrame({"imgpath": pd.Series([name], dtype=object)})
    assert Images("imgpath", root=tmp_path, size=(8, 8)).bind(table).read_bytes(0) == b"1"


def test_check_exist_counts_all_and_lists_the_first(tmp_path):
    (tmp_path / "3").write_bytes(b"1")
    (tmp_path / "4").mkdir()
    bound = bind([str(row) for row in range(10)], root=tmp_path)
    missing = bound.check_exist(limit=2)
    assert missing.count == 9
    assert missing.first == ((0, str(tmp_path / "0")), (1, str(tmp_path / "1")))
    assert str(missing) == f"9 files are missing:\n  row 0: {tmp_path / '0'}\n  row 1: {tmp_path / '1'}\n  and 7 more"
    assert not bound.check_exist([3])
    assert str(bound.check_exist(np.array([3]))) == "no file is missing"
    assert bound.check_exist([4]).count == 1


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_digest_is_of_paths_and_recipe_not_of_the_root():
    base = bind(["a", "b"]).digest()
    assert len(base) == 32
    assert bind(["a", "b"], root="elsewhere").digest() == base
    assert pickle.loads(pickle.dumps(bind(["a", "b"]))).digest() == base
    others = [bind(["b", "a"]), bind(["ab", "c"]), bind(["a", "b", "c"]), bind(["a", "b"], fit="crop")]
    assert len({base, *(other.digest() for other in others)}) == 5


def test_where_one_path_ends_and_the_next_begins_counts():
    assert bind(["ab", "c"]).digest() != bind(["a", "bc"]).digest()


def test_settings_are_small_json(tmp_path):
    bound = bind(["a"] * 1000, root=tmp_path)
    text = json.dumps(bound.settings())
    assert len(text) < 1500
    assert json.loads(text)["num_rows"] == 1000
    assert "1000 rows, recipe 'clean', (8, 9, 3) uint8" in repr(bound)


def test_pickled_settings_and_bound_images_are_the_same():
    images = Images("imgpath", root="r", size=(8, 9))
    assert pickle.loads(pickle.dumps(images)) == images
    bound = pickle.loads(pickle.dumps(bind(["a", "b"], root="r")))
    assert bound.path(1) == os.path.join("r", "b")
    assert bound.images == images


def test_an_empty_table_binds():
    assert len(bind([])) == 0


def test_paths_are_kept_compactly():
    paths = [f"folder/{row:08d}.png" for row in range(10_000)]
    assert len(pickle.dumps(bind(paths))) < sum(map(len, paths)) + 8 * len(paths) + 5_000


def test_images_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Images("imgpath", size=(8, 8)).column = "other"
