"""Make the pictures of the documentation again: the same code gives the same pictures.

    python scripts/make_pictures.py

Writes PNG files with few colours into docs/pictures/. Needs matplotlib.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import mtgen
from mtgen import sampling as S
from mtgen import view
from mtgen.view.figures import png_of

ROOT = Path(__file__).resolve().parent.parent
COLOURS = 96
"""Enough for axes, bars and one scale of colours; halves the files."""


def epoch() -> Any:
    """Rare digits repeated, frequent ones thinned: three classes of the digits, unbalanced on purpose."""
    table = mtgen.read_table(ROOT / "data_samples" / "digits" / "table.csv")
    kept = np.concatenate([np.flatnonzero(table["target"] == one)[:num] for one, num in ((0, 178), (1, 60), (2, 12))])
    rare = table.iloc[kept].reset_index(drop=True)
    data = mtgen.Dataset(rare, inputs={"x": mtgen.Columns("target")})
    return view.draw_epoch(data.rows.balanced("target", over=0.9, under=0.5).describe(by="target", block=32))


def waves(height: int = 120, width: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """A section as seismic ones look, and the depth of one horizon in it, a row per column."""
    rng = np.random.default_rng(0)
    down, across = np.mgrid[:height, :width]
    bend = 8 * np.sin(across / 31) + 5 * np.cos(across / 13)
    section = np.sin((down + bend) / 4.5) + 0.35 * rng.normal(size=(height, width))
    return section, (62 - bend[0]).astype(int)


def places() -> tuple[np.ndarray, Any]:
    """The section, and the law of the article: near the horizon mostly, anywhere sometimes, the left two thirds."""
    section, depth = waves()
    horizon = np.stack([depth, np.arange(section.shape[1])], axis=1) / section.shape
    near = S.histogram(horizon, bins=(60, 100)) + 0.02 * S.normal(dim=2)
    law = S.mix({"near": 0.8 & near, "anywhere": 0.2 & S.uniform(0, 1, dim=2)})
    return section, law.truncate(high=[1, 2 / 3], low=[0, 0])


def density() -> Any:
    """A law of one number with its density."""
    return view.draw_law(
        S.mix({"normal": 0.7 & S.normal(0, 1), "tail": 0.3 & S.gamma(3.0) + 2}),
        names=["offset"],
        title="S.mix of a normal and a gamma",
    )


def law() -> Any:
    """The law over places."""
    section, points = places()
    title = "near the horizon mostly, in the left two thirds"
    return view.draw_law(points.to_pixels(section.shape), names=["down", "across"], title=title)


def windows() -> Any:
    """Where windows of that law fall."""
    section, points = places()
    starts, size = view.starts_of(points.crop((24, 24)), section.shape, 300)
    return view.draw_windows(section, starts, size)


def written(figure: Any, name: str) -> str:
    """Write a figure with few colours, and say how large it is."""
    path = ROOT / "docs" / "pictures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    with Image.open(io.BytesIO(png_of(figure))) as picture:
        few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
    return f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes"


def main() -> None:
    """Make all pictures."""
    for make in (epoch, density, law, windows):
        sys.stdout.write(written(make(), make.__name__) + "\n")


if __name__ == "__main__":
    main()
