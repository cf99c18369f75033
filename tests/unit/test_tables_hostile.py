"""Tables made to hurt: paths that lead out of the root, names that are no text, files that are no table."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import DecodeError, MtgenError, TableError
from mtgen.inputs.links import MOST_FOLDERS, Inside
from mtgen.table_files import read_table
from tests.support.pictures import encode

PICTURE = encode(np.full((4, 4, 3), 70, np.uint8))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """root/in/a.png and secret/a.png, each a picture."""
    for folder in ("root/in", "secret"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").write_bytes(PICTURE)
    return tmp_path / "root"


def read(root: Path | None, path: Any, **settings: Any) -> bytes:
    images = mtgen.Images("p", root=root, size=(4, 4), **settings)
    table = pd.DataFrame({"p": pd.Series([path], dtype=object)})
    return pickle.loads(pickle.dumps(images.bind(table))).read_bytes(0)


def test_a_link_out_of_the_root_was_followed(root):
    (root / "file.png").symlink_to(root.parent / "secret" / "a.png")
    (root / "folder").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("..")
    (root / "chain").symlink_to("folder")
    for path in ("file.png", "folder/a.png", "up/secret/a.png", "chain/a.png", "in/../file.png"):
        with pytest.raises(DecodeError, match=r"leads out of root=.* to '.*secret/a\.png'.*follow_links=True.*row 0"):
            read(root, path)
        assert read(root, path, follow_links=True) == PICTURE
        assert read(None, str(root / path)) == PICTURE


def test_links_that_stay_under_the_root_are_followed(root):
    (root / "b.png").symlink_to("in/a.png")
    (root / "c.png").symlink_to(root / "b.png")
    (root / "other").symlink_to("in")
    (root.parent / "way").symlink_to(root)
    for path in ("b.png", "c.png", "other/a.png", "other/../in/a.png", "in/./a.png", "in//a.png"):
        assert read(root, path) == PICTURE
        assert read(root.parent / "way", path) == PICTURE  # the root itself may be reached by a link
    assert read(root / "other", "a.png") == PICTURE


def test_a_root_of_a_similar_name_is_not_the_root(root):
    (root.parent / "root2").mkdir()
    (root.parent / "root2" / "a.png").write_bytes(PICTURE)
    (root / "a.png").symlink_to(root.parent / "root2" / "a.png")
    with pytest.raises(DecodeError, match="leads out of root"):
        read(root, "a.png")


def test_links_that_lead_to_themselves_end_in_an_error(root):
    (root / "loop.png").symlink_to("loop.png")
    (root / "ring").symlink_to("gnir")
    (root / "gnir").symlink_to("ring")
    for path in ("loop.png", "ring/a.png"):
        for settings in ({}, {"follow_links": True}):
            with pytest.raises(DecodeError, match="a link leads to itself"):
                read(root, path, **settings)


def test_a_link_to_nowhere_outside_is_refused_and_inside_is_missing(root):
    (root / "out.png").symlink_to(root.parent / "nothing.png")
    (root / "in.png").symlink_to("nothing.png")
    with pytest.raises(DecodeError, match="leads out of root"):
        read(root, "out.png")
    with pytest.raises(DecodeError, match="No such file"):
        read(root, "in.png")


def test_folders_are_looked_at_once(root, monkeypatch):
    calls = []
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath", lambda path: calls.append(path) or real(path))
    inside = Inside(str(root))
    for _ in range(100):
        assert inside.leads_out(str(root / "in" / "a.png")) is None
    assert len(calls) == 2  # the root and the folder
    for number in range(MOST_FOLDERS + 10):
        inside._folders.setdefault(str(number), None)
    assert inside.leads_out(str(root / "in" / "a.png")) is None
    (root / "a.png").write_bytes(PICTURE)
    inside.leads_out(str(root / "a.png"))
    assert len(inside._folders) < 10


@pytest.mark.parametrize(
    "path",
    [
        float("nan"),
        None,
        "",
        "a\0.png",
        "../secret/a.png",
        "/etc/passwd",
        "in/../../secret/a.png",
        7,
        b"a",
        "a\ud800",
        ["a"],
        "\0" * 10**6,
    ],
    ids=lambda path: f"{path!r:.20}",
)
def test_paths_that_cannot_be_or_lead_out_are_refused_when_the_table_is_bound(root, path):
    table = pd.DataFrame({"p": pd.Series([path], dtype=object)})
    with pytest.raises(TableError) as caught:
        mtgen.Images("p", root=root, size=(4, 4)).bind(table)
    assert len(str(caught.value)) < 2000
    assert caught.value.row == 0


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="file names are text here")
def test_names_that_are_no_utf8_are_read(root):
    name = os.fsdecode(b"\xff\xfe caf\xe9.png")
    (root / name).write_bytes(PICTURE)
    assert read(root, name) == PICTURE
    table = pd.DataFrame({"p": pd.Series([name], dtype=object)})  # pandas' own text holds UTF-8 only
    data = mtgen.Dataset(table, inputs={"x": mtgen.Images("p", root=root, size=(4, 4))})
    assert (mtgen.Loader(data, 1, num_workers=1).batch(0).inputs["x"] == 70).all()
    assert mtgen.Loader(data, 1).state(0)["dataset"]
    (root / name).unlink()
    with pytest.raises(DecodeError, match="No such file") as caught:
        read(root, name)
    repr(caught.value), str(caught.value).encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    "name", ["日本.png", "e\u0301.png", "a b\n.png", "-rf.png", "$(true).png", "|.png", "~.png", "%00.png"]
)
def test_odd_names_are_plain_names(root, name):
    (root / name).write_bytes(PICTURE)
    assert read(root, name) == PICTURE


def test_a_path_of_a_million_characters_has_a_short_error(root):
    for path in ("a" * 10**6, "a/" * 500_000 + "b"):  # the second took a minute: `realpath` looks at every part
        with pytest.raises(DecodeError, match="File name too long") as caught:
            read(root, path)
        assert len(str(caught.value)) < 6000


def test_a_label_of_a_million_characters_is_a_class_like_any_other():
    table = pd.DataFrame({"a": [0, 1, 2], "y": ["x" * 10**6, "=HYPERLINK(1)", "x" * 10**6]})
    data = mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="y")
    assert data.fetch([0, 1, 2]).targets["y"].tolist() == [1, 0, 1]
    assert len(data.classes["y"][1]) == 10**6
    with pytest.raises(MtgenError) as caught:
        mtgen.Dataset(table, inputs={"a": mtgen.Columns("z" * 10**6)})
    assert len(str(caught.value)) < 30_000
    with pytest.raises(MtgenError) as caught:
        mtgen.Dataset(table, inputs={"a": mtgen.Columns("y")})
    assert len(str(caught.value)) < 30_000


CSV = {
    "ragged": (b"a,b\n1,2\n1,2,3\n", "pandas could not read"),
    "nothing": (b"", "pandas could not read"),
    "spaces": (b"   \n  \n", "pandas could not read"),
    "an open quote": (b'a,b\n"1,2\n' + b"3,4\n" * 1000, "pandas could not read"),
    "utf-16": ("a,b\n1,2\n".encode("utf-16"), "pandas could not read"),
    "a picture": (PICTURE, "pandas could not read"),
}


@pytest.mark.parametrize("name", CSV)
def test_files_that_are_no_csv_are_errors_or_tables(tmp_path, name):
    content, text = CSV[name]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(TableError, match=text):
        read_table(tmp_path / "t.csv")


def test_byte_order_mark_windows_ends_and_formulas_change_nothing(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,y\r\n1,=1+1\r\n2,@x\r\n3,=1+1\r\n")
    table = read_table(tmp_path / "t.csv")
    assert table.columns.tolist() == ["a", "y"]
    data = mtgen.Dataset(table, inputs={"a": mtgen.Columns("a")}, targets="y")
    assert data.classes == {"y": ("=1+1", "@x")}
    assert data.fetch([0, 1, 2]).targets["y"].tolist() == [0, 1, 0]


def test_nul_bytes_in_a_csv_reach_no_file_name(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"p,y\na\0.png,1\n")
    with pytest.raises(TableError):
        mtgen.Images("p", root=tmp_path, size=(4, 4)).bind(read_table(tmp_path / "t.csv"))


def test_a_hundred_thousand_columns_are_read_and_listed_shortly(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    (tmp_path / "t.csv").write_text(",".join(names) + "\n" + "1," * 99_999 + "1\n")
    table = read_table(tmp_path / "t.csv")
    assert mtgen.Dataset(table, inputs={"x": mtgen.Columns(names[:200])}).input_specs["x"].shape == (200,)
    with pytest.raises(TableError) as caught:
        mtgen.Dataset(table, inputs={"x": mtgen.Columns("none of them")})
    assert len(str(caught.value)) < 2000
    with pytest.raises(TableError) as caught:
        mtgen.Dataset(table, inputs={"x": mtgen.Images("nothing like it", size=(4, 4))})
    assert len(str(caught.value)) < 2000


def test_columns_of_one_name_are_refused():
    table = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "b"])
    with pytest.raises(TableError, match=r"distinct.*\['a'\]"):
        mtgen.Dataset(table, inputs={"b": mtgen.Columns("b")})


@pytest.mark.parametrize("path", [None, 5, b"t.csv", ["t.csv"], "a\0.csv", "", ".", "no/such.csv", "/dev/null"])
def test_read_table_of_what_is_no_table_file(path):
    with pytest.raises(TableError):
        read_table(path)


@pytest.mark.parametrize(
    "name", ["class", "", " ", "a" * 10_000, "a\0b", "../up", "/etc/passwd", "x.y", "日本", "None"]
)
def test_names_of_inputs_and_targets_may_be_any_text(name):
    """They name arrays in a dict and nothing on disk."""
    table = pd.DataFrame({name: [1, 2, 3]})
    data = mtgen.Dataset(table, inputs={name: mtgen.Columns(name)}, targets={name: name}, weight={name: name})
    with mtgen.Loader(data, 2, shuffle=False, num_workers=1) as loader:
        batch = loader.batch(0)
        state = loader.state(1)
        loader.restore(state)
    assert batch.inputs[name].ravel().tolist() == [1, 2]
    assert batch.targets[name].tolist() == [1, 2]


def test_a_path_that_no_system_takes_is_a_table_error(tmp_path):
    with pytest.raises(TableError, match=r"the table cannot be read .*too long"):
        read_table(tmp_path / ("a" * 5000 + ".csv"))
