"""Follows every link inside README, CHANGELOG and docs/: the file must exist, and the heading an anchor names.

Links that leave the project are not followed. Exit 1 and one line per broken link.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?(?P<target>[^)\s>]+)>?[^)]*\)")
CODE = re.compile(r"^ *(```+)[^\n]*\n.*?^ *\1 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def main() -> int:
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    pages = sorted([*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("data_samples/**/*.md")])
    broken = [line for page in pages for line in broken_links(page, root)]
    print("\n".join([*broken, f"{len(pages)} pages, {len(broken)} broken links"]))
    return 1 if broken else 0


def broken_links(page: Path, root: Path) -> list[str]:
    """One line per link of `page` that leads nowhere."""
    lines = []
    text = without_code(page.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target = match["target"]
        if OUTSIDE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        goal = (page.parent / name).resolve() if name else page
        place = f"{page.relative_to(root)}:{text.count(chr(10), 0, match.start()) + 1}"
        if not goal.exists() or not goal.is_relative_to(root):
            lines.append(f"{place}: no such file in the project: {target}")
        elif anchor and goal.suffix == ".md" and anchor not in anchors(goal.read_text(encoding="utf-8")):
            lines.append(f"{place}: no such heading: {target}")
    return lines


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, by GitHub's rule; a repeated heading gets -1, -2, ..."""
    found: set[str] = set()
    for line in CODE.sub(lambda match: match[0] if "\n" not in match[0] else "", text).splitlines():
        if heading := re.match(r"#{1,6} +(.+?)(?: +#+)?$", line):
            words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1]).lower()
            anchor = base = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
            number = 0
            while anchor in found:
                number += 1
                anchor = f"{base}-{number}"
            found.add(anchor)
    return found


def without_code(text: str) -> str:
    """The page with code blanked out, line breaks kept."""
    return CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


if __name__ == "__main__":
    sys.exit(main())
