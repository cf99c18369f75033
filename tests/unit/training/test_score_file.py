"""The file of scores: exact, whole lines only, written again only where it differs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.training.score_file import Score, ScoreFile, decode, encode


def score(step: int, why: str = "new best", loss: float = 0.5) -> Score:
    return Score(step=step, why=why, num_rows=3, values={"loss": loss})


any_score = st.builds(
    lambda step, why, num_rows, values: Score(
        step=step, why=why, num_rows=num_rows, values=dict(zip(['a"b', "loss"], values, strict=True))
    ),
    st.integers(0, 2**40),
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])),
    st.integers(0, 10**9),
    st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)),
)


@given(st.lists(any_score, min_size=1, max_size=6), st.data())
def test_scores_come_back_exactly_and_a_torn_line_is_left_out(scores: list[Score], data: st.DataObject) -> None:
    content = encode(scores)
    assert decode(content) == scores
    torn = content[: data.draw(st.integers(0, len(content)))]
    num_lines = torn.count(b"\n")
    assert decode(torn) == scores[: max(0, num_lines - 1)]


NAMES = st.lists(st.sampled_from(["log_", "step", "why", "num_rows", "loss"]), min_size=1, max_size=3).map("".join)


@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_metrics_named_like_other_columns_made_a_file_that_could_not_be_read(names: list[str]) -> None:
    scores = [Score(step=4, why="new best", num_rows=3, values=dict.fromkeys(names, 0.5))]
    content = encode(scores)
    assert decode(content) == scores
    header = content.splitlines()[0].decode().split(",")
    assert len(set(header)) == len(header) == 3 + len(names)


@given(st.lists(st.integers(0, 5), max_size=6), st.lists(st.integers(0, 5), max_size=6), st.booleans())
def test_the_file_becomes_what_is_written_whatever_it_was(before: list[int], after: list[int], torn: bool) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = ScoreFile(Path(folder) / "scores.csv")
        file.write([score(step) for step in before])
        if torn and before:
            with file.path.open("ab") as handle:
                handle.write(b"7,new b")
            assert file.read() == [score(step) for step in before]
        file.write([score(step) for step in after])
        assert file.path.exists() == bool(after)
        if after:
            assert file.path.read_bytes() == encode([score(step) for step in after])
        assert [one.name for one in Path(folder).iterdir()] == (["scores.csv"] if after else [])


def test_lines_that_stay_are_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ScoreFile(tmp_path / "scores.csv")
    file.write([score(1), score(2)])
    written: list[bytes] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: written.append(bytes(content)) or real(handle, content))
    file.write([score(1), score(2), score(3)])
    assert written == [b"3,new best,3,0.5\n"]
    written.clear()
    file.write([score(1)])
    assert written == []
    assert file.read() == [score(1)]
