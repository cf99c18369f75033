"""Pinned keys, words, orders and splits. Each file says when it may change: never within a major version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen import seeds
from mtgen.sampling.order import Blocks, Exact, Sampler
from mtgen.sampling.permutation import Permutation
from mtgen.splits import split_rows

FOLDER = Path(__file__).parent
SAMPLERS: dict[str, Sampler] = {"exact": Exact(), "blocks 4 open 2": Blocks(4, 2), "blocks 16": Blocks(16)}


def golden(name: str) -> dict[str, Any]:
    pinned: dict[str, Any] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return pinned


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.json")))
def test_each_file_says_when_it_may_change(name: str) -> None:
    assert "may change only together with a new major version" in golden(name)["about"]


def test_keys() -> None:
    for one in golden("seeds.json")["keys"]:
        assert str(seeds.key(one["seed"], one["stream"], one["epoch"])) == one["key"]


def test_words() -> None:
    for one in golden("seeds.json")["words"]:
        assert list(map(str, seeds.words(int(one["key"]), np.array(one["counters"])))) == one["words"]


@pytest.mark.parametrize(
    "one", golden("orders.json")["orders"], ids=lambda one: f"{one['order']}-{one['num_rows']}-{one['epoch']}"
)
def test_orders(one: dict[str, Any]) -> None:
    order = SAMPLERS[one["order"]].order(one["num_rows"], seed=one["seed"], epoch=one["epoch"])
    assert order.at(np.arange(10)).tolist() == one["first"]


def test_far_positions() -> None:
    (one,) = golden("orders.json")["far"]
    permutation = Permutation(one["num_rows"], seeds.key(one["seed"], "order", one["epoch"]))
    assert permutation.at(np.array(one["positions"])).tolist() == one["rows"]


def test_splits() -> None:
    strata, groups = np.arange(20) % 3, np.arange(20) // 3
    for one in golden("splits.json")["splits"]:
        parts = split_rows(
            np.arange(20),
            {"train": 0.6, "valid": 0.2, "test": 0.2},
            seed=one["seed"],
            strata=strata if one["kind"] == "stratify" else None,
            groups=groups if one["kind"] == "group" else None,
        )
        assert {name: rows.tolist() for name, rows in parts.items()} == one["parts"]
