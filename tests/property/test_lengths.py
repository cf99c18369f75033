"""How long an epoch is: what `len` says is what comes, for any rows, batch size, shards and rest."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import PlanError


@given(
    num_rows=st.integers(1, 30),
    batch_size=st.integers(1, 40),  # also larger than the whole dataset
    rest=st.sampled_from([{}, {"drop_last": True}, {"pad_last": True}]),
    epoch=st.integers(0, 3),
)
def test_what_len_says_is_what_comes(num_rows: int, batch_size: int, rest: dict[str, bool], epoch: int) -> None:
    data = mtgen.Dataset(pd.DataFrame({"a": range(num_rows)}), inputs={"a": mtgen.Columns("a")})
    if "drop_last" in rest and num_rows < batch_size:
        with pytest.raises(PlanError, match="drop_last"):
            mtgen.Loader(data, batch_size, num_workers=0, **rest)
        return
    loader = mtgen.Loader(data, batch_size, num_workers=0, **rest)
    batches = list(loader.epoch(epoch))
    sizes = [len(batch.rows) for batch in batches]
    real = [row for batch in batches for row in batch.rows.tolist() if row >= 0]
    assert len(loader) == len(batches) == loader.steps_per_epoch
    assert len(set(real)) == len(real) == (num_rows // batch_size * batch_size if "drop_last" in rest else num_rows)
    assert all(size == batch_size for size in sizes[:-1])
    assert sizes[-1] == (batch_size if rest else (num_rows - 1) % batch_size + 1)
    assert all(len(batch.inputs["a"]) == len(batch.rows) for batch in batches)
