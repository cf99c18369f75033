"""One page about a run: a single HTML file with everything in it. No network, no script, no other file.

Names and texts out of the run are escaped, hidden characters in them are shown. Light or dark as the reader's system;
figures keep their white paper. On a narrow screen figures and tables scroll inside their frames, the page does not.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable

from mtgen.view.runs.story import Picture, Story, Table

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --faint: #5c5c5c; --paper: #fbfbfa; --card: #ffffff; --line: #d9d9d6;
  --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --faint: #a8a8a4; --paper: #161616; --card: #202020;
  --line: #3c3c3a; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0.5rem 0; } h2 { font-size: 1.2rem; margin: 2rem 0 0.5rem; }
h3 { font-size: 1rem; margin: 1rem 0 0.3rem; }
p { margin: 0.4rem 0; } .faint { color: var(--faint); } a { color: var(--accent); }
figure { margin: 0.5rem 0; }
.frame { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: var(--card); }
.frame:focus-visible { outline: 3px solid var(--accent); }
.sheet { background: #ffffff; padding: 0.5rem; }
.sheet img { display: block; width: 100%; min-width: 34rem; max-width: 48rem; height: auto; margin: 0 auto; }
figcaption { margin: 0 0 0.5rem; }
table { border-collapse: collapse; font-size: 0.9rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.6rem; border-top: 1px solid var(--line);
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
thead th { border-top: 0; } td.last, .facts td { overflow-wrap: anywhere; min-width: 9rem; }
nav ul { padding-left: 1.2rem; margin: 0.3rem 0; }
""".strip()


POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""What the page may load: pictures and style that are inside it. The browser holds it to that."""


def page_of(story: Story) -> str:
    """The whole page; equal stories give equal pages.

    Example:
        >>> page = page_of(Story(name="<b>", facts={}, tables=[], pictures=[], left_out=[]))
        >>> "<h1>Run &lt;b&gt;</h1>" in page
        True
    """
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>Run {text(story.name)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>",
        f"<header>\n<h1>Run {text(story.name)}</h1>\n{_contents(story)}\n</header>\n<main>",
        *(_picture(place, one) for place, one in enumerate(story.pictures)),
        *(f"<section>\n<h2>{text(one.title)}</h2>\n{_table(one)}\n</section>" for one in story.tables),
        _missing(story),
        _facts(story),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def text(value: object, most: int = 2_000) -> str:
    r"""Text as HTML that shows just this text, in elements and in quoted attributes.

    Example:
        >>> print(text('<a href="x">\u202e'))
        &lt;a href=&quot;x&quot;&gt;\u202e
    """
    whole = str(value)
    cut = whole if len(whole) <= most else f"{whole[:most]}... ({len(whole):,} characters)"
    visible = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)
    return html.escape(visible, quote=True)


def _contents(story: Story) -> str:
    if not story.pictures:
        return '<p class="faint">There is no picture.</p>'
    lines = [f'<li><a href="#picture-{place}">{text(one.title)}</a></li>' for place, one in enumerate(story.pictures)]
    return '<nav aria-label="Pictures">\n<ul>\n' + "\n".join(lines) + "\n</ul>\n</nav>"


def _picture(place: int, picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    width, height = _size(picture.png)
    title = text(picture.title)
    image = (
        f'<div class="frame" tabindex="0" role="region" aria-label="{title}">\n<div class="sheet">'
        f'<img alt="{text(picture.alt)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'
        "</div>\n</div>"
    )
    tables = "".join(f"\n<h3>{text(one.title)}</h3>\n{_table(one)}" for one in picture.tables)
    return (
        f'<section id="picture-{place}">\n<h2>{title}</h2>\n<figure>\n'
        f"<figcaption>{text(picture.sentence)}</figcaption>\n{image}\n</figure>{tables}\n</section>"
    )


def _size(png: bytes) -> tuple[int, int]:
    """Width and height out of a PNG's first chunk (PNG specification, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{text(one)}</th>' for one in table.heads)
    more = f'\n<p class="faint">{text(table.more)}</p>' if table.more else ""
    return (
        f'<div class="frame" tabindex="0" role="region" aria-label="{text(table.title)}">\n<table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{_lines(table.lines)}\n</tbody>\n</table>\n</div>{more}"
    )


def _lines(lines: Iterable[Iterable[str]]) -> str:
    found = []
    for line in lines:
        *cells, last = [text(one) for one in line]
        found.append("<tr>" + "".join(f"<td>{one}</td>" for one in cells) + f'<td class="last">{last}</td></tr>')
    return "\n".join(found)


def _missing(story: Story) -> str:
    if not story.left_out and not story.notes:
        return ""
    lines = [f"<li>{text(kinds)}: {text(why)}</li>" for why, kinds in story.missing().items()]
    lines += [f"<li>{text(one)}</li>" for one in story.notes]
    return "<section>\n<h2>Left out, and to be known</h2>\n<ul>\n" + "\n".join(lines) + "\n</ul>\n</section>"


def _facts(story: Story) -> str:
    if not story.facts:
        return ""
    lines = [f'<tr><th scope="row">{text(name)}</th><td>{text(value)}</td></tr>' for name, value in story.facts.items()]
    return (
        "<section>\n<h2>Facts of the run</h2>\n"
        '<div class="frame" tabindex="0" role="region" aria-label="Facts of the run">'
        '\n<table class="facts">\n<tbody>\n' + "\n".join(lines) + "\n</tbody>\n</table>\n</div>\n</section>"
    )
