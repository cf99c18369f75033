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
from mtgen.training import CombinedRate, HalvingRule, InverseEpochDecay, PatienceRule
from mtgen.view.figures import BEFORE, INK, new_figure, plain, png_of
from mtgen.view.figures import COLOURS as COLOURS_OF_LINES

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


def training_values(num: int) -> np.ndarray:
    """Validation errors as a training has them: falling fast, then slowly, then growing again; with noise."""
    noise, place = np.random.default_rng(3).normal(size=num), np.arange(num)
    return 0.06 + 0.5 / (1 + 0.6 * place) + 0.002 * np.maximum(0, place - 15) + 0.01 * noise


def patience_rule() -> Any:
    """Patience growing with each significant improvement, until the mini-batches reach it."""
    rule = PatienceRule(patience=600, patience_increase=2, improvement_threshold=0.97, batches_per_epoch=400)
    values = training_values(300)
    seen, limits, kept, significant = [], [], [], []
    for iteration in range(100_000):
        place = (iteration + 1) // rule.validation_frequency - 1
        decision = rule.update(iteration, float(values[place]) if rule.is_due(iteration) else None)
        limits.append(rule.patience)
        if rule.is_due(iteration):
            seen.append((iteration, values[place]))
        if decision.improved:
            (significant if decision.significant else kept).append((iteration, values[place]))
        if decision.stop:
            break
    figure = new_figure(6.4, 4.6, "a picture of a rule")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(*np.transpose(seen), color=BEFORE, marker=".", label="validation")
    upper.plot(*np.transpose(significant), "o", color=COLOURS_OF_LINES[0], label="significant: patience is looked at")
    if kept:
        upper.plot(*np.transpose(kept), "s", color=COLOURS_OF_LINES[1], label="improved: parameters kept")
    upper.legend(frameon=False, fontsize=8)
    plain(upper, title="validation every 300 mini-batches", ylabel="error")
    lower.plot(limits, color=COLOURS_OF_LINES[0], label="patience")
    lower.plot(range(len(limits)), color=INK, label="mini-batch")
    lower.axvline(len(limits) - 1, color=COLOURS_OF_LINES[5], linestyle="--", label=f"stop after {len(limits):,}")
    lower.legend(frameon=False, fontsize=8)
    plain(lower, title="training ends where the mini-batches reach patience", xlabel="mini-batch", ylabel="mini-batch")
    return figure


def halving_rule() -> Any:
    """The learning rate halved ten times, and the end."""
    rule, seen, rates, values = HalvingRule(2), [], [], training_values(60)
    for value in values:
        rates.append(0.1 * rule.multiplier)
        seen.append(value)
        if rule.update(float(value)).stop:
            break
    figure = new_figure(6.4, 4.2, "a picture of a rule")
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(seen, color=BEFORE, marker=".")
    upper.plot(np.minimum.accumulate(seen), color=COLOURS_OF_LINES[0], label="best so far")
    upper.legend(frameon=False, fontsize=8)
    plain(upper, title="HalvingRule(2): two validations without improvement halve", ylabel="error")
    lower.step(range(len(rates)), rates, color=COLOURS_OF_LINES[0], where="post")
    lower.axhline(0.1 / 1024, color=COLOURS_OF_LINES[5], linestyle="--", label="floor, 1/1024 of the first")
    lower.set_yscale("log")
    lower.legend(frameon=False, fontsize=8)
    plain(lower, title=f"ended after validation {len(rates)}", xlabel="validation", ylabel="learning rate")
    return figure


def combined_rate() -> Any:
    """Decay alone, halving alone, both, with one validation an epoch."""
    rule, decay = HalvingRule(3), InverseEpochDecay(0.1)
    both = CombinedRate(halving=rule, decay=decay)
    rates = []
    for epoch, value in enumerate(training_values(24)):
        rates.append((decay.rate(0.1, epoch), 0.1 * rule.multiplier, 0.1 * both.multiplier(epoch)))
        rule.update(float(value))
    figure = new_figure(6.4, 3.0, "a picture of a rule")
    axes = figure.subplots()
    names = ("decay: eta0 / (1 + 0.1 epoch)", "halving after 3 validations", "both")
    for name, values, color in zip(names, np.transpose(rates), COLOURS_OF_LINES, strict=False):
        axes.step(range(len(values)), values, where="post", color=color, label=name)
    axes.set_yscale("log")
    axes.legend(frameon=False, fontsize=8)
    plain(axes, title="learning rate, eta0 = 0.1", xlabel="epoch", ylabel="learning rate")
    return figure


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
    for make in (epoch, density, law, windows, patience_rule, halving_rule, combined_rate):
        sys.stdout.write(written(make(), make.__name__) + "\n")


if __name__ == "__main__":
    main()
