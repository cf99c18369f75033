"""What a batch holds: weights, empty slots, lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import mtgen
from tests.support.samples import make_dataset


def last_batch(weight: Any, **settings: Any) -> mtgen.Batch:
    return mtgen.Loader(make_dataset(5, weight=weight), 4, shuffle=False, num_workers=0, **settings).batch(1)


def test_a_short_batch_is_short_everywhere() -> None:
    batch = last_batch("w")
    assert len(batch) == 1
    assert {len(value) for value in batch.inputs.values()} == {1}
    assert isinstance(batch.weight, np.ndarray)
    assert batch.weight.tolist() == [5.0]


def test_empty_slots_have_row_minus_one_and_weight_zero() -> None:
    batch = last_batch("w", pad_last=True)
    assert batch.rows.tolist() == [4, -1, -1, -1]
    assert isinstance(batch.weight, np.ndarray)
    assert batch.weight.tolist() == [5.0, 0, 0, 0]
    assert not any(value[1:].any() for value in (*batch.inputs.values(), *batch.targets.values()))


def test_padding_without_weights_makes_weights() -> None:
    batch = last_batch(None, pad_last=True)
    assert isinstance(batch.weight, np.ndarray)
    assert batch.weight.dtype == np.float32
    assert batch.weight.tolist() == [1, 0, 0, 0]


def test_padding_weighs_zero_for_targets_without_a_weight_too() -> None:
    """Only the weighted target was masked; the other trained on rows of zeros."""
    batch = last_batch({"both": "w"}, pad_last=True)
    assert isinstance(batch.weight, dict)
    assert {name: value.tolist() for name, value in batch.weight.items()} == {
        "label": [1, 0, 0, 0],
        "both": [5, 0, 0, 0],
    }


@pytest.mark.parametrize("weight", [None, "w", {"label": "w"}])
def test_weights_of_a_full_batch(weight: Any) -> None:
    batch = mtgen.Loader(make_dataset(4, weight=weight), 4, shuffle=False, num_workers=0).batch(0)
    if weight is None:
        assert batch.weight is None
    elif weight == "w":
        assert isinstance(batch.weight, np.ndarray)
        assert batch.weight.tolist() == [1, 2, 3, 4]
    else:
        assert isinstance(batch.weight, dict)
        assert batch.weight["label"].tolist() == [1, 2, 3, 4]
