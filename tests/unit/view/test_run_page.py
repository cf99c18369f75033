"""The page of a run: one file, balanced, escaped, asking for nothing."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mtgen.errors import PlanError
from mtgen.training import RunFolder
from mtgen.view.runs.page import page_of
from mtgen.view.runs.plots import story_of, write_story
from mtgen.view.runs.story import LeftOut, Picture, Story, Table, Wanted, file_name

VOID = {"meta", "img", "br", "link", "input"}
HOSTILE = "<script>alert(1)</script>\"'&\u202e<img src=http://x/y onerror=z>\n"


class Parsed(HTMLParser):
    """Balance, ids, links, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def story(**changes: Any) -> Story:
    png = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + (720).to_bytes(4, "big") + (300).to_bytes(4, "big")
    table = Table(title=HOSTILE, heads=[HOSTILE, "b"], lines=[[HOSTILE, HOSTILE]], more=HOSTILE)
    picture = Picture(
        kind="curves", name="curves", title=HOSTILE, sentence=HOSTILE, alt=HOSTILE, png=png, tables=[table],
        numbers={"best": 1},
    )  # fmt: skip
    given: dict[str, Any] = {
        "name": HOSTILE,
        "facts": {HOSTILE: HOSTILE},
        "tables": [table],
        "pictures": [picture, picture],
        "left_out": [LeftOut(kind="maps", why=HOSTILE), LeftOut(kind="inputs", why=HOSTILE)],
        "notes": [HOSTILE],
    }
    return Story(**{**given, **changes})


def test_a_page_is_balanced_and_asks_for_nothing() -> None:
    page = page_of(story())
    found = Parsed(page)
    assert found.open == []
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in found.tags:
        for name in ("src", "href", "srcset", "action", "data", "style"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#picture-")), (tag, name)
        assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import", page)
    policy = next(one["content"] for tag, one in found.tags if one.get("http-equiv") == "Content-Security-Policy")
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert page_of(story()) == page


def test_hostile_names_are_text() -> None:
    page = page_of(story())
    assert "<script" not in page
    assert "\u202e" not in page
    assert "onerror=z&gt;" in page
    # 10 of the page, and those of two pictures.
    assert Parsed(page).text.count("<script>alert(1)</script>") >= 12


def test_pictures_are_inside_with_alternative_texts_and_sizes() -> None:
    found = Parsed(page_of(story()))
    images = [attributes for tag, attributes in found.tags if tag == "img"]
    assert len(images) == 2
    for one in images:
        assert (one["width"], one["height"]) == ("720", "300")
        assert one["alt"]
        assert base64.b64decode(str(one["src"]).partition(",")[2])[:4] == b"\x89PNG"
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    links = [str(attributes["href"]) for tag, attributes in found.tags if tag == "a"]
    assert len(ids) == len({*ids})
    assert [one[1:] for one in links] == ids


def test_a_page_fits_a_narrow_screen_and_both_themes() -> None:
    page = page_of(story())
    assert 'content="width=device-width, initial-scale=1"' in page
    assert "prefers-color-scheme: dark" in page
    found = Parsed(page)
    # Wide things scroll inside a frame that the keyboard reaches; the page itself does not.
    frames = [attributes for _, attributes in found.tags if attributes.get("class") == "frame"]
    assert len(frames) == sum(tag in ("img", "table") for tag, _ in found.tags)
    assert all(one["tabindex"] == "0" and one["aria-label"] for one in frames)
    assert "overflow-x: auto" in page


def test_a_reason_for_several_pictures_is_said_once() -> None:
    assert story().missing() == {HOSTILE: "maps, inputs"}
    assert Parsed(page_of(story(pictures=[], tables=[], facts={}, left_out=[], notes=[]))).open == []


def test_a_story_is_json() -> None:
    found = json.loads(json.dumps(story().as_json(), allow_nan=False))
    assert found["pictures"][0]["file"] == "curves.png"
    assert found["pictures"][0]["best"] == 1
    assert found["left_out"][1] == {"kind": "inputs", "why": HOSTILE}


@pytest.mark.parametrize("name", ["../../etc/passwd", "a b", "\u732b", "", "x" * 500, "con\x00"])
def test_files_have_plain_names(name: str) -> None:
    taken: set[str] = set()
    first, second = file_name("maps", name, taken), file_name("maps", name, taken)
    assert first != second
    for one in (first, second):
        assert re.fullmatch(r"maps[A-Za-z0-9_-]{0,70}", one)


# --- a folder without a model -----------------------------------------------------------------------------------------


def test_an_empty_folder_has_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("keras")
    found = story_of(RunFolder(tmp_path))
    assert found.pictures == []
    assert {one.kind for one in found.left_out} == {
        "curves", "filters", "maps", "confusion", "inputs", "waits", "snapshots",
    }  # fmt: skip
    assert "There is no validation in history.csv yet." in found.missing()
    written = write_story(found, tmp_path / "new" / "plots")
    assert [path.name for path in written] == ["report.html"]
    assert "There is no picture." in written[0].read_text(encoding="utf-8")
    with pytest.raises(PlanError, match="no such folder of a run"):
        story_of(RunFolder(tmp_path / "none"))


def test_a_damaged_file_is_said_and_the_rest_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "history.csv").write_text("step,data_epoch,loss\n10,0.5,what\n", encoding="utf-8")
    (tmp_path / "waits.csv").write_text("step,seconds,wait_seconds\n1,0.5,0.25\n", encoding="utf-8")
    (tmp_path / "run.json").write_text("{", encoding="utf-8")
    found = story_of(RunFolder(tmp_path), Wanted(only=("waits", "curves")))
    assert [one.name for one in found.pictures] == ["waits"]
    assert "line 2 is damaged" in found.left_out[0].why.lower()
    assert any("run.json" in note for note in found.notes)


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(PlanError, match="there is no picture 'curve'; there are curves, filters"):
        Wanted(only=("curve",))
