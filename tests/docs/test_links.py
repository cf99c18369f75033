"""The link checker finds a missing file and a missing heading, and leaves code and outside links alone."""

from __future__ import annotations

import runpy
from pathlib import Path

CHECKER = runpy.run_path(str(Path(__file__).resolve().parents[2] / "scripts" / "check_links.py"))
PAGE = """\
# Read plans, in `code`

[here](#read-plans-in-code) and [there](docs/other.md#two) and [outside](https://example.org/x)

```text
[not a link](nowhere.md)
```

[gone](docs/gone.md) and [no heading](docs/other.md#three)
[too far](../else.md)
"""


def test_broken_links_are_named_with_page_and_line(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# One\n## Two\n", encoding="utf-8")
    (tmp_path.parent / "else.md").touch()
    page = tmp_path / "README.md"
    page.write_text(PAGE, encoding="utf-8")
    assert CHECKER["broken_links"](page, tmp_path) == [
        "README.md:9: no such file in the project: docs/gone.md",
        "README.md:9: no such heading: docs/other.md#three",
        "README.md:10: no such file in the project: ../else.md",
    ]


def test_repeated_headings_are_numbered() -> None:
    assert CHECKER["anchors"]("# One\n\n## One\n\n```\n# No heading\n```\n") == {"one", "one-1"}
