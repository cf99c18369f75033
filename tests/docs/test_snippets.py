"""Every Python snippet of README.md and docs/*.md runs: in order, one namespace per page, in a folder with the samples.

A snippet marked ```python no-run is only compiled. What snippets print is not compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] if path.is_file()]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")


@dataclass(frozen=True, kw_only=True)
class Snippet:
    line: int
    code: str
    runs: bool


def snippets(page: str) -> list[Snippet]:
    """The Python snippets of a page; `line` is that of the opening fence, 1-based."""
    found: list[Snippet] = []
    opened: re.Match[str] | None = None
    start, body = 0, []
    for number, text in enumerate(page.splitlines(), start=1):
        fence = FENCE.match(text)
        if opened is None:
            if fence:
                opened, start, body = fence, number, []
        elif fence and not fence["info"].strip() and len(fence["ticks"]) >= len(opened["ticks"]):
            language, *flags = opened["info"].split() or [""]
            if language == "python":
                assert set(flags) <= {"no-run"}, f"line {start}: unknown mark {flags}, known is no-run"
                found.append(Snippet(line=start, code="\n".join(body), runs="no-run" not in flags))
            opened = None
        else:
            body.append(text.removeprefix(opened["indent"]))
    assert opened is None, f"the snippet opened at line {start} is never closed"
    return found


def run_page(path: Path) -> dict[str, Any]:
    """Run the snippets of one page; a failing one is reported with page and line."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for snippet in snippets(path.read_text(encoding="utf-8")):
        # Blank lines in front, so that tracebacks and syntax errors count lines as the page does.
        try:
            code = compile("\n" * snippet.line + snippet.code, str(path), "exec")
            if snippet.runs:
                exec(code, namespace)
        except BaseException as error:
            raise AssertionError(
                f"{path.name}, snippet at line {snippet.line}: {type(error).__name__}: {error}"
            ) from error
    return namespace


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_snippets_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_samples").symlink_to(ROOT / "data_samples", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    run_page(page)


PAGE = """\
Text.

```python
first = 1
```

  ```python
  second = first + 1
  ```

```text
not Python
```

```python no-run
raise SystemExit("never run")
```
"""


def test_snippets_share_one_namespace_and_marked_ones_do_not_run(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")
    assert [snippet.line for snippet in snippets(PAGE)] == [3, 7, 15]
    assert run_page(page)["second"] == 2


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("x = 1\n1 / 0", "ZeroDivisionError: division by zero"),
        ("x ==== 1", "SyntaxError"),
        ("exit(3)", "SystemExit: 3"),
    ],
    ids=["an error", "a typo", "an exit"],
)
def test_a_broken_snippet_is_named_with_page_and_line(code: str, says: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"one\n\n```python\n{code}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=rf"page\.md, snippet at line 3: {says}"):
        run_page(page)


def test_lines_of_a_traceback_are_those_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("one\n\n```python\nx = 1\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError) as caught:
        run_page(page)
    traceback = caught.value.__cause__.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    assert (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno) == (str(page), 5)
