"""Pinned rows of laws over rows: which row stands where. The file says when it may change: never within a version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import sampling as S
from mtgen.sampling.row_plans.base import RowSampler

PINNED: dict[str, Any] = json.loads((Path(__file__).parent / "row_plans.json").read_text(encoding="utf-8"))

TABLE = pd.DataFrame(
    {
        "label": np.repeat(["frequent", "rare", "single"], [14, 5, 1]),
        "weight": [3, 1, 0, 2, 5, 1, 1, 0, 4, 2, 1, 9, 2, 1, 3, 0, 1, 2, 6, 1],
        "value": np.arange(20) / 4,
    }
)


def dataset() -> mtgen.Dataset:
    return mtgen.Dataset(TABLE, inputs={"value": mtgen.Columns("value")})


def named(one: dict[str, Any]) -> str:
    return f"{one['law']} {one['settings']}"


def law_of(text: str, data: mtgen.Dataset) -> Any:
    return eval(text, {"S": S, "data": data, "rows": data.rows, "np": np, "table": TABLE})


@pytest.mark.parametrize("one", PINNED["plans"], ids=named)
def test_rows_of_plans(one: dict[str, Any]) -> None:
    plan = law_of(one["law"], dataset()).plan(**one["settings"])
    assert plan[:].tolist() == one["rows"]
    assert [int(plan[place]) for place in range(len(plan))] == one["rows"]


def test_rows_that_fill_up_a_race() -> None:
    law = law_of('rows.weighted("weight", replace=False, fill=True, limit=20)', dataset())
    race = next(one["rows"] for one in PINNED["plans"] if one["law"] == 'rows.weighted("weight", replace=False)')
    with pytest.warns(UserWarning, match="weight 0"):
        filled = law.plan(seed=3, epoch=1)[:].tolist()
    assert filled == [*race, *PINNED["filled"]]


@pytest.mark.parametrize("one", PINNED["draws"], ids=lambda one: one["law"])
def test_rows_that_are_drawn(one: dict[str, Any]) -> None:
    drawn = law_of(one["law"], dataset()).sample(len(one["rows"]), one["seed"], epoch=one["epoch"], start=one["start"])
    assert drawn[:, 0].tolist() == one["rows"]


@pytest.mark.parametrize("one", PINNED["loaders"], ids=named)
def test_rows_of_steps(one: dict[str, Any]) -> None:
    data, settings = dataset(), dict(one["settings"])
    if "shard" in settings:
        settings["shard"] = mtgen.Shard(*settings["shard"])
    loader = mtgen.Loader(data, sampler=law_of(one["law"], data), num_workers=0, **settings)
    assert [loader.rows(step).tolist() for step in one["steps"]] == one["rows"]


def test_each_kind_of_law_over_rows_is_pinned() -> None:
    """A new kind is to be added to the file."""

    def kinds_below(kind: type) -> set[type]:
        return {kind}.union(*map(kinds_below, kind.__subclasses__()))

    data = dataset()
    laws = [law_of(one["law"], data) for one in PINNED["plans"]]
    pinned = {type(part) for law in laws for part in (law, *getattr(law, "laws", ()))}
    ours = {kind for kind in kinds_below(RowSampler) - {RowSampler} if kind.__module__.startswith("mtgen.")}
    assert ours <= pinned
