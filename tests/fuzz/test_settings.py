"""Any JSON value for every argument of the public names: it works, or it is an MtgenError, and never another error."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mtgen
from mtgen.errors import MtgenError
from mtgen.recipe import Recipe, named_recipe
from mtgen.sampling.order import Blocks
from tests.support.json_values import JSON

TABLE = pd.DataFrame({"a": range(6), "y": [0, 1] * 3, "p": ["a.png"] * 6, "w": [1.0] * 6, "t": list("uvwuvw")})
VALUES = np.zeros((6, 2), "f4")


def data(**settings: Any) -> mtgen.Dataset:
    return mtgen.Dataset(**({"table": TABLE, "inputs": {"a": mtgen.Columns("a")}, "targets": "y"} | settings))


def use(dataset: mtgen.Dataset) -> None:
    """What users do next: everything short of reading pictures that are not there."""
    loader = mtgen.Loader(dataset, 2, num_workers=0)
    loader.state(1)
    if "image" not in dataset.input_specs:
        loader.batch(0)


def try_loader(**settings: Any) -> None:
    loader = mtgen.Loader(**({"dataset": data(), "batch_size": 2, "num_workers": 0} | settings))
    loader.rows(0), loader.state(0), repr(loader), len(loader)
    if loader.num_workers == 0:
        loader.batch(0)


def try_columns(**settings: Any) -> None:
    use(data(inputs={"a": mtgen.Columns(**({"names": "a"} | settings))}))


def try_images(**settings: Any) -> None:
    use(data(inputs={"image": mtgen.Images(**({"column": "p", "size": (4, 4)} | settings))}))


def try_rows(**settings: Any) -> None:
    use(data(inputs={"x": mtgen.Rows(**({"store": VALUES} | settings))}))


def try_split(**settings: Any) -> None:
    for part in data().split(**settings):
        use(part)


SHARES = {"shares": {"a": 0.5, "b": 0.5}}
TARGETS: list[tuple[Any, tuple[str, ...], dict[str, Any]]] = [
    (try_loader, ("dataset", "batch_size", "sampler", "seed", "shuffle", "drop_last", "pad_last", "num_workers"), {}),
    (try_loader, ("memory", "on_error", "shard", "prefetch", "placement"), {}),
    (lambda **settings: use(data(**settings)), ("table", "inputs", "targets", "weight"), {}),
    (lambda **settings: use(data(inputs={"x": settings["x"]})), ("x",), {}),
    (lambda **settings: use(data(targets={"x": settings["x"]})), ("x",), {}),
    (lambda **settings: use(data(weight={"y": settings["x"]})), ("x",), {}),
    (try_columns, ("names", "dtype"), {}),
    (try_images, ("column", "root", "size", "color", "recipe", "fit", "dtype", "scale", "filter", "data_format"), {}),
    (try_images, ("max_pixels", "follow_links"), {}),
    (try_rows, ("store", "index", "key", "finite"), {}),
    (try_split, ("shares", "by"), {}),
    (try_split, ("stratify", "group", "seed"), SHARES),
    (lambda **settings: use(data().take(**settings)), ("rows",), {}),
    (lambda **settings: data().fetch(**settings), ("rows",), {}),
    (lambda **settings: data().split(**SHARES)[settings["key"]], ("key",), {}),
    (lambda **settings: named_recipe(**({"name": "clean", "size": (4, 4)} | settings)), ("name", "size", "filter"), {}),
    (
        lambda **settings: Recipe(**({"size": (4, 4)} | settings)).digest(),
        (
            "name",
            "fill",
            "orientation",
            "alpha",
            "sixteen_bit",
            "scaled_decode",
            "reducing_gap",
            "formats",
            "strict_frames",
        ),
        {},
    ),
    (mtgen.Shard, ("index", "count"), {}),
    (mtgen.Prefetch, ("window", "depth", "stall_seconds"), {}),
    (mtgen.Placement, ("inputs", "reserve_bytes", "say"), {}),
    (Blocks, ("block_rows",), {}),
    (Blocks, ("open_blocks",), {"block_rows": 3}),
    (mtgen.read_table, ("path",), {}),
    (mtgen.open_store, ("source",), {}),
    (lambda **settings: mtgen.open_store(VALUES, **settings), ("keys",), {}),
    (lambda **settings: next(mtgen.Loader(data(), 2, num_workers=0).epoch(**settings)), ("epoch",), {}),
    (lambda **settings: next(mtgen.Loader(data(), 2, num_workers=0).steps(**settings), None), ("start", "stop"), {}),
    (lambda **settings: mtgen.Loader(data(), 2, num_workers=0).batch(**settings), ("step",), {}),
    (lambda **settings: mtgen.Loader(data(), 2, num_workers=0).state(**settings), ("step",), {}),
]
CASES = [(target, name, others) for target, names, others in TARGETS for name in names]


@pytest.mark.parametrize(
    ("target", "name", "others"), CASES, ids=[f"{number}-{one[1]}" for number, one in enumerate(CASES)]
)
def test_any_value_works_or_is_refused(target, name, others):
    @given(JSON)
    def try_it(value):
        try:
            target(**others, **{name: value})
        except IndexError:
            assert name == "key"
            assert isinstance(value, int)
        except MtgenError as error:
            assert str(error)

    try_it()


@given(
    st.dictionaries(
        st.sampled_from(["batch_size", "seed", "shuffle", "drop_last", "pad_last", "memory"]), JSON, min_size=2
    )
)
def test_any_values_together_work_or_are_refused(settings):
    with contextlib.suppress(MtgenError):
        try_loader(**settings)
