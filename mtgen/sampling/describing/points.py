"""What a law over points draws: components, conditions, the range of each column. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtgen.sampling.bits import Bits
from mtgen.sampling.describing.components import component_lines, components_frame
from mtgen.sampling.describing.description import Description
from mtgen.sampling.describing.heat import heat_lines
from mtgen.sampling.describing.parts import Acceptance, Components, parts_of
from mtgen.sampling.describing.text import aligned, cut, number, percent
from mtgen.sampling.sampler import Frame, Sampler
from mtgen.settings import check_whole, check_whole_or_none


@dataclass(frozen=True, kw_only=True, eq=False)
class PointDescription(Description):
    """Points of a law, in numbers.

    `print(description)` shows tables; `counts` and `columns` are DataFrames, `as_json()` gives everything to programs.
    Immutable; any thread.

    Args:
        law: the law, in one line.
        num: points drawn.
        dim: columns of a point.
        frame: what coordinates count; None where that is not said.
        seed: of the draws.
        epoch: of the draws.
        block: positions in whose blocks shares are kept; None for independent draws.
        components: one for each mixture in the expression.
        conditions: one for each condition that is met by rejection.
        num_again: points that came before, all columns alike.
        columns: a line for each column of the points: `column`, `kind` (counted, measured or text), `mean`, `std`,
            `least`, `most`, `distinct` values, and `missing` ones (NaN).
        heat: lines of characters, of laws of two columns of numbers; darker where there are more points.
    """

    law: str
    num: int
    dim: int
    frame: Frame | None
    seed: int
    epoch: int
    block: int | None
    components: tuple[Components, ...]
    conditions: tuple[Acceptance, ...]
    num_again: int
    columns: pd.DataFrame
    heat: tuple[str, ...]

    @property
    def counts(self) -> pd.DataFrame:
        """A line for each component of each mixture; new.

        Columns: `mixture`, where it stands in the expression; `component`; `share` by weight; `expected` points, NaN
        where a condition on the mixture changes the shares; `drawn` points; `drawn_share`.
        """
        names = ["mixture", "component", "share", "expected", "drawn", "drawn_share"]
        each = [_frame(one).assign(mixture=one.path)[names] for one in self.components]
        return pd.concat(each, ignore_index=True) if each else pd.DataFrame(columns=names)

    def to_frame(self) -> pd.DataFrame:
        """The columns of the points; a copy."""
        return self.columns.copy()

    def as_json(self) -> dict[str, Any]:
        """Everything in JSON values; what is no number is null."""
        return {
            "law": self.law,
            "num": self.num,
            "dim": self.dim,
            "frame": self.frame,
            "seed": self.seed,
            "epoch": self.epoch,
            "block": self.block,
            "components": _records(self.counts),
            "conditions": [
                {"law": one.law, "num_kept": one.num_kept, "num_drawn": one.num_drawn} for one in self.conditions
            ],
            "num_again": self.num_again,
            "columns": _records(self.columns),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield cut(self.law, 116)
        kept = "" if self.block is None else f", shares kept in blocks of {self.block:,}"
        yield f"  points      {self.num:,} drawn (seed {self.seed}, epoch {self.epoch}{kept})"
        frame = "" if self.frame is None else f", {self.frame}"
        yield f"  columns     {self.dim}{frame}"
        yield f"  again       {self.num_again:,} points came before"
        for condition in self.conditions:
            yield (
                f"  accepted    {percent(condition.share)} of {condition.num_drawn:,} draws: {cut(condition.law, 80)}"
            )
        for one in self.components:
            yield ""
            yield from component_lines(_frame(one), one.path or "component")
            if one.conditioned:
                yield "the condition on the mixture changes its shares; truncate(..., each=True) keeps them"
        yield ""
        heads = ["column", "kind", "mean", "std", "min", "max", "distinct"]
        lines = [
            [str(line["column"]), str(line["kind"])]
            + [number(line[name]) for name in ("mean", "std", "least", "most", "distinct")]
            for line in self.columns.to_dict("records")
        ]
        yield from aligned(heads, lines)
        missing = self.columns.loc[self.columns["missing"] > 0]
        for line in missing.to_dict("records"):
            yield f"column {line['column']}: {line['missing']:,} values are NaN"
        if self.heat:
            yield ""
            yield from self.heat


DRAWN = 10_000
"""Points drawn where nothing else is asked for: shares are then known to one percent or better."""


def describe_points(law: Sampler, n: int | None, bits: Bits) -> PointDescription:
    """Draw points, and say what they are; see `Sampler.describe`.

    Args:
        law: any sampler.
        n: points, >= 0; None for `DRAWN`.
        bits: the words that they are drawn with.

    Raises:
        PlanError: no whole numbers.
        EmptySupportError: no point can be found.
    """
    num = DRAWN if n is None else check_whole("n", n)
    check_whole_or_none("block", bits.block, 1)
    bits.key()  # refuses a wrong seed or epoch
    positions = np.arange(num)
    points = law.draw(bits, positions)
    parts = parts_of(law, bits, positions)
    return PointDescription(
        law=repr(law),
        num=num,
        dim=law.dim,
        frame=law.frame,
        seed=bits.seed,
        epoch=bits.epoch,
        block=bits.block,
        components=tuple(one for one in parts if isinstance(one, Components)),
        conditions=tuple(one for one in parts if isinstance(one, Acceptance)),
        num_again=int(pd.DataFrame(points).duplicated().sum()),
        columns=_columns(points, law.discrete),
        heat=heat_lines(points) if law.dim == 2 else (),
    )


def _columns(points: np.ndarray, discrete: tuple[bool, ...]) -> pd.DataFrame:
    lines = []
    for place, counted in enumerate(discrete):
        values = pd.Series(points[:, place]).infer_objects()
        plain = pd.api.types.is_numeric_dtype(values.dtype)
        found = values.dropna().to_numpy(np.float64) if plain else np.empty(0)
        known = len(found) > 0
        nan = float("nan")
        lines.append(
            {
                "column": place,
                "kind": ("counted" if counted else "measured") if plain else "text",
                "mean": float(found.mean()) if known else nan,
                "std": float(found.std()) if known else nan,
                "least": float(found.min()) if known else nan,
                "most": float(found.max()) if known else nan,
                "distinct": int(values.nunique()),
                "missing": int(values.isna().sum()),
            }
        )
    return pd.DataFrame(lines)


def _frame(one: Components) -> pd.DataFrame:
    frame = components_frame(one.names, one.shares, one.chosen, None)
    return frame.assign(expected=np.nan) if one.conditioned else frame


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {
            str(name): None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in one.items()
        }
        for one in frame.to_dict("records")
    ]
