"""Pinned points of samplers. The file says when it may change: never within a major version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtgen import sampling as S
from mtgen.sampling.bits import Bits

PINNED: dict[str, Any] = json.loads((Path(__file__).parent / "sampling.json").read_text(encoding="utf-8"))


def law_of(text: str) -> S.Sampler:
    law: S.Sampler = eval(text, {"S": S})
    return law


@pytest.mark.parametrize("one", PINNED["bits"], ids=lambda one: f"{one['seed']}{one['stream']}:{one['name']}")
def test_words_and_uniform_numbers(one: dict[str, Any]) -> None:
    bits, positions = Bits(one["seed"], one["epoch"], one["stream"]), np.array(one["positions"])
    assert list(map(str, bits.words(positions, one["name"]))) == one["words"]
    assert [x.hex() for x in bits.uniforms(positions, one["name"]).tolist()] == one["uniforms"]
    assert [x.hex() for x in bits.inner_uniforms(positions, one["name"]).tolist()] == one["inner_uniforms"]


@pytest.mark.parametrize("one", PINNED["laws"], ids=lambda one: one["law"])
def test_points(one: dict[str, Any]) -> None:
    points = law_of(one["law"]).sample(4, one["seed"], epoch=one["epoch"], start=one["start"])
    if points.dtype.kind == "f":
        np.testing.assert_allclose(points, one["points"], rtol=1e-12)
    else:
        assert points.tolist() == one["points"]


def test_components_of_blocks() -> None:
    one = PINNED["blocks"]
    assert law_of(one["law"]).sample(20, one["seed"], block=one["block"]).ravel().tolist() == one["points"]
