"""What a resumed run keeps of its files, against an oracle of a few plain lines: any files, any kill, any step."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtgen.errors import StateError
from mtgen.training import RunFolder
from mtgen.training.record import growing
from mtgen.training.record.history import found_lines

HEADERS = {"waits": "step,seconds,wait_seconds\n", "history": "step,data_epoch,loss\n", "decisions": ""}


def line(name: str, step: int, number: int) -> str:
    if name == "decisions":
        told = dict.fromkeys(("iteration", "rule", "what", "value", "before", "after"))
        return json.dumps({"step": step, **told, "text": f"{number}"}) + "\n"
    return f"{step},{number}.5,0.25\n"


def oracle(content: str, name: str, step: int, known: int | None) -> str:
    """Whole lines of steps up to that one, and of decisions no more than are known; no file but a header is none."""
    kept = []
    for text in content.splitlines(keepends=True)[bool(HEADERS[name]) :]:
        if not text.endswith("\n"):
            continue
        own = json.loads(text)["step"] if name == "decisions" else int(text.split(",")[0])
        if own <= step:
            kept.append(text)
    kept = kept[:known] if name == "decisions" and known is not None else kept
    return HEADERS[name] + "".join(kept) if kept else ""


@st.composite
def files(draw: st.DrawFn) -> dict[str, str]:
    """Files as a process leaves them that may be killed at any byte of each."""
    found = {}
    for name, header in HEADERS.items():
        steps = draw(st.lists(st.integers(0, 30), max_size=12, unique=name != "decisions").map(sorted))
        content = header + "".join(line(name, step, number) for number, step in enumerate(steps))
        torn = draw(st.integers(0, 20)) if draw(st.booleans()) else 0
        found[name] = content[: len(content) - torn] if torn < len(content) else ""
    return found


@given(content=files(), step=st.integers(0, 31), data=st.data())
def test_what_is_kept_is_what_the_oracle_keeps(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, str], step: int, data: st.DataObject
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    for name, text in content.items():
        if text or data.draw(st.booleans()):
            getattr(folder, name).write_text(text)
    whole = {name: oracle(text, name, 99, None) for name, text in content.items()}
    upto = {name: oracle(text, name, step, None) for name, text in content.items()}
    known = None
    if data.draw(st.booleans()):
        counts = {name: text.count("\n") - bool(text and HEADERS[name]) for name, text in upto.items()}
        known = {name: data.draw(st.integers(0, count)) for name, count in counts.items()}
    found = found_lines(folder, step, known)
    for name in HEADERS:
        path: Path = getattr(folder, name)
        right = oracle(content[name], name, step, None if known is None else known[name])
        growing.cut(path, found[name].num_bytes)
        assert (path.read_text() if path.exists() else "") == right
        assert found[name].num_kept == right.count("\n") - bool(right and HEADERS[name])
        assert found[name].num_lines == whole[name].count("\n") - bool(whole[name] and HEADERS[name])
        growing.append(path, b"" if right else HEADERS[name].encode())
        growing.append(path, line(name, 40, 0).encode(), flush=True)
        assert path.read_text() == (right or HEADERS[name]) + line(name, 40, 0)
    assert folder.read_waits()["step"].iloc[-1] == 40


@given(content=files(), step=st.integers(0, 31), missing=st.integers(1, 3))
def test_fewer_lines_than_were_written_are_refused(
    tmp_path_factory: pytest.TempPathFactory, content: dict[str, str], step: int, missing: int
) -> None:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    for name, text in content.items():
        getattr(folder, name).write_text(text)
    found = found_lines(folder, step, None)
    for name in HEADERS:
        known = dict.fromkeys(HEADERS, 0) | {name: found[name].num_kept + missing}
        with pytest.raises(StateError, match="lines up to step") as caught:
            found_lines(folder, step, known)
        assert caught.value.path == str(getattr(folder, name))
        getattr(folder, name).unlink()  # then it begins anew
        assert found_lines(folder, step, known)[name] == type(found[name])(0, 0, 0)
        getattr(folder, name).write_text(content[name])
