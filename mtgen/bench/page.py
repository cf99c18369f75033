"""The figures of docs/benchmarks.md: text between markers is made anew from results, all the rest stays.

    <!-- bench: features -->
    ... made by `scripts/bench.py docs` ...
    <!-- end of bench: features -->

`machine` is a part too: what the results were measured on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mtgen.bench import rules
from mtgen.bench.report import markdown
from mtgen.bench.summary import merged
from mtgen.errors import StoreError

_PART = re.compile(r"<!-- bench: (?P<name>[\w ]+) -->\n(?P<text>.*?)<!-- end of bench: (?P=name) -->", re.DOTALL)


def parts_of(page: str) -> dict[str, str]:
    """Part -> its text in a page.

    Example:
        >>> parts_of("<!-- bench: x -->" + chr(10) + "old <!-- end of bench: x -->")
        {'x': 'old '}
    """
    return {match["name"]: match["text"] for match in _PART.finditer(page)}


def filled(page: str, results: Sequence[Mapping[str, Any]]) -> str:
    """The page with the parts of the results' suites made anew.

    Pure.

    Args:
        page: text with markers.
        results: as `mtgen bench run --json` writes them.

    Raises:
        StoreError: the page has no place for one of the suites, or results do not go together.
    """
    made = {suite["suite"]: markdown(suite) for suite in merged(results)}
    if results:
        made["machine"] = _machine(results)
        counted = parts_of(page).keys()
        made |= {"chunks": rules.chunks_markdown()} if "chunks" in counted else {}
        made |= {"mixing": rules.mixing_markdown()} if "mixing" in counted else {}
    missing = sorted(made.keys() - parts_of(page).keys())
    if missing:
        raise StoreError(
            f"the page has no lines <!-- bench: {missing[0]} --> and <!-- end of bench: {missing[0]} --> to write "
            f"{', '.join(missing)} between; add them where it is to stand"
        )

    def part(match: re.Match[str]) -> str:
        name = match["name"]
        text = f"{made[name]}\n" if name in made else match["text"]
        return f"<!-- bench: {name} -->\n{text}<!-- end of bench: {name} -->"

    return _PART.sub(part, page)


def _machine(results: Sequence[Mapping[str, Any]]) -> str:
    said = []
    for result in results:
        about = result["machine"]
        packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
        text = (
            f"{about['cores']} cores, {about['system']} on {about['machine']}, Python {about['python']}, "
            f"mtgen {result['mtgen']}; {packages}."
        )
        if text not in said:
            said.append(text)
    return "\n\n".join(said)
