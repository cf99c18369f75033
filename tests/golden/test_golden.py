"""Pinned keys, words, orders and splits. Each file says when it may change: never within a major version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen import seeds
from mtgen.order_check import audit_run
from mtgen.plan import Shard
from mtgen.sampling.order import Blocks, Exact, OrderLaw
from mtgen.sampling.permutation import Permutation
from mtgen.split_rows import split_rows

FOLDER = Path(__file__).parent
SAMPLERS: dict[str, OrderLaw] = {"exact": Exact(), "blocks 4 open 2": Blocks(4, 2), "blocks 16": Blocks(16)}


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


def audited(options: dict[str, Any]) -> mtgen.Loader:
    data = mtgen.Dataset(pd.DataFrame({"a": range(30)}), {"a": mtgen.Columns("a")}, targets="a")
    shard = Shard(*options["shard"]) if "shard" in options else None
    return mtgen.Loader(data.take(range(29, 3, -1)), 4, seed=3, num_workers=0, **{**options, "shard": shard})


@pytest.mark.parametrize("one", golden("audits.json")["digests"], ids=lambda one: str(one["options"]))
def test_digests_of_epochs(one: dict[str, Any]) -> None:
    assert [epoch.digest for epoch in audited(one["options"]).audit(3).epochs] == one["epochs"]


@pytest.mark.parametrize("one", golden("audits.json")["states"], ids=lambda one: str(one["options"]))
def test_states_of_before_still_load(one: dict[str, Any]) -> None:
    loader = audited(one["options"])
    loader.restore(one["state"])
    assert loader.step == 9
    assert loader.state(9) == one["state"]


def test_an_order_log_of_before_is_still_read() -> None:
    found = audit_run(FOLDER / "run")
    assert found.ok, str(found)
    assert (found.resumes, found.num_lost) == ([5], 4)
    assert [one.counts for one in found.epochs] == [{0: 1, 1: 25}, {1: 26}, {0: 14, 1: 12}]
    assert found.epochs[0].replaced == [(6, 1, 24, -1)]
