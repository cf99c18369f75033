"""Wrong types of arguments: each public name refuses them with what was received and expected, and takes nothing for
something else."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.errors import MtgenError, StoreError
from mtgen.recipe import named_recipe
from mtgen.settings import MOST_COMPARED, check_flag, check_kind, check_label, check_whole, nearest, shown

TABLE = pd.DataFrame({"a": [1, 2, 3, 4], "y": [0, 1, 0, 1], "p": ["a.png"] * 4, 0: [5, 6, 7, 8]})


def dataset(**settings: Any) -> mtgen.Dataset:
    return mtgen.Dataset(**({"table": TABLE, "inputs": {"a": mtgen.Columns("a")}} | settings))


def loader(**settings: Any) -> mtgen.Loader:
    return mtgen.Loader(**({"dataset": dataset(), "batch_size": 2, "num_workers": 0} | settings))


def columns(**settings: Any) -> Any:
    return mtgen.Columns(**({"names": "a"} | settings)).bind(TABLE)


def images(**settings: Any) -> Any:
    return mtgen.Images(**({"column": "p", "size": (4, 4)} | settings)).bind(TABLE)


def rows(**settings: Any) -> Any:
    return mtgen.Rows(**({"store": np.zeros((4, 2), "f4")} | settings)).bind(TABLE)


DEEP: list[Any] = []
for _ in range(50_000):
    DEEP = [DEEP]

WRONG: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (columns, {"names": 0}, r"Columns must be a column name or a list of them.*received 0 \(int\)"),
    (columns, {"names": None}, r"received None \(NoneType\)"),
    (columns, {"names": {"a": 1}}, "received {'a': 1}"),
    (columns, {"names": [["a"]]}, r"Columns must be the name of one column, received \['a'\] \(list\)"),
    (columns, {"names": [("a", [1])]}, "must be the name of one column"),
    (columns, {"names": []}, "at least one column"),
    (columns, {"dtype": None}, "dtype=None is no NumPy dtype"),
    (columns, {"dtype": "f4,f4"}, "no numbers"),
    (columns, {"dtype": []}, "dtype"),
    (columns, {"dtype": "((("}, "dtype"),
    (dataset, {"table": [1]}, "DataFrame, received list"),
    (dataset, {"inputs": None}, "inputs must be a dict"),
    (dataset, {"inputs": {}}, "inputs must be a dict"),
    (dataset, {"inputs": {1: mtgen.Columns("a")}}, "names of inputs and targets are text, received 1"),
    (dataset, {"inputs": {"x": "a"}}, "must be Images, Rows, Columns or Patches, received str"),
    (dataset, {"targets": 5}, "targets must be a column name or a dict"),
    (dataset, {"targets": {"y": 5}}, "targets must be a column name or a list"),
    (dataset, {"targets": {"y": None}}, "received None"),
    (dataset, {"targets": {"y": []}}, "at least one column"),
    # Found by fuzzing: a ValueError of int().
    (dataset, {"targets": {"y": ["p"]}}, r"'p' holds .*, expected numbers .*several columns is of numbers"),
    (dataset, {"targets": {"y": ["a", "p"]}}, "'p' holds .*, expected numbers"),
    (dataset, {"weight": True}, "weight must be .*, received True"),
    (dataset, {"weight": [["a"]]}, r"weight must be .*, received \['a'\]"),
    (dataset, {"targets": "y", "weight": {"y": []}}, "weight is a list of 0 numbers"),
    (dataset, {"targets": "y", "weight": {1: "a", "b": "a"}}, "weight names targets"),
    (loader, {"dataset": TABLE}, "Loader needs a mtgen.Dataset, received DataFrame"),
    (loader, {"batch_size": None}, r"batch_size must be an integer >= 1, received None \(NoneType\)"),
    (loader, {"batch_size": True}, r"batch_size .* received True \(bool\)"),
    (loader, {"batch_size": 2.0}, r"batch_size .* received 2.0 \(float\)"),
    (loader, {"batch_size": "2"}, r"batch_size .* received '2' \(str\)"),
    (loader, {"batch_size": 0}, "batch_size"),
    (loader, {"batch_size": 10**40, "pad_last": True}, "memory=.* is too little"),
    (loader, {"drop_last": "False"}, r"drop_last must be True or False, received 'False' \(str\)"),
    (loader, {"drop_last": None}, "drop_last must be True or False"),
    (loader, {"pad_last": 1}, r"pad_last must be True or False, received 1 \(int\)"),
    (loader, {"shard": []}, r"shard must be a Shard\(index, count\), received \[\]"),
    (loader, {"shard": (0, 1)}, r"shard must be a Shard"),
    (loader, {"shard": 0}, "shard must be a Shard"),
    (loader, {"prefetch": 0}, r"prefetch must be a mtgen.Prefetch\(...\) or None, received 0 \(int\)"),
    (loader, {"prefetch": {}}, "prefetch must be"),
    (loader, {"sampler": "exact"}, "sampler must be a sampler"),
    (loader, {"sampler": 0}, "sampler must be a sampler"),
    (loader, {"shuffle": np.array([1, 2])}, "shuffle must be"),
    (loader, {"shuffle": None}, "shuffle must be"),
    (loader, {"shuffle": True}, "shuffle must be"),
    (loader, {"shuffle": 0}, "shuffle must be"),
    (loader, {"seed": "0"}, "seed must be an integer"),
    (loader, {"seed": -1}, "seed must be an integer"),
    (loader, {"num_workers": 1.0}, "num_workers must be an integer"),
    (loader, {"memory": "1 GB"}, "memory must be"),
    (loader, {"memory": np.array([1])}, "memory must be"),
    (loader, {"on_error": np.array(["raise"])}, "on_error must be"),
    (loader, {"on_error": None}, "on_error must be"),
    (images, {"column": 0}, r"column must be the name of a table column, received 0 \(int\)"),
    (images, {"root": 5}, "root must be a folder or None, received 5"),
    (images, {"root": "a\0b"}, "root must be a folder"),
    (images, {"size": None}, r"needs size=\(height, width\)"),
    (images, {"size": 4}, "size must be"),
    (images, {"size": (4, 4.0)}, "size must be"),
    (images, {"size": (2**20, 2**20)}, "size is 1048576 x 1048576, at most 1,073,741,824 pixels"),
    (images, {"recipe": None}, "recipe must be one of"),
    (images, {"recipe": np.array(["clean"])}, "recipe must be one of"),
    (images, {"filter": ""}, "filter must be one of"),
    (images, {"filter": []}, "filter must be one of"),
    (images, {"dtype": np.float32}, "dtype must be one of"),
    (images, {"dtype": "float32", "scale": (1e300, 0)}, "scale must be None"),
    (images, {"dtype": "float32", "scale": (10**400, 0)}, "scale must be None"),
    (images, {"dtype": "float32", "scale": (1j, 0)}, "scale must be None"),
    (images, {"dtype": "float32", "scale": (float("nan"), 0)}, "scale must be None"),
    (images, {"follow_links": 1}, "follow_links must be True or False, received 1"),
    (images, {"max_pixels": 1e6}, "max_pixels must be"),
    (rows, {"store": None}, "NoneType"),
    (rows, {"store": 5}, "int"),
    (rows, {"index": ["a"]}, "Rows index must be the name of one column"),
    (rows, {"index": {}}, "Rows index must be the name of one column"),
    (rows, {"key": []}, "key"),
    (rows, {"finite": 1}, r"Rows\(finite=...\) must be True or False, received 1"),
    (mtgen.Shard, {"index": "0"}, "a shard needs integers"),
    (mtgen.Shard, {"index": 1, "count": None}, "a shard needs integers"),
    (mtgen.Prefetch, {"window": 0}, "window"),
    (mtgen.Prefetch, {"depth": 1.5}, "depth"),
    (mtgen.Prefetch, {"stall_seconds": None}, "stall_seconds"),
    (mtgen.Prefetch, {"stall_seconds": float("nan")}, "stall_seconds"),
    (dataset().split, {"shares": "a"}, "shares must be a dict of name -> share"),
    (dataset().split, {"shares": [0.5, 0.5]}, "shares must be a dict"),
    (dataset().split, {"shares": {}}, "received none"),
    (dataset().split, {"shares": {1: 0.5, 2: 0.5}}, "the name of a split must be text"),
    (dataset().split, {"shares": {"a": "0.5", "b": 0.5}}, "the share of split 'a' must be a number"),
    (dataset().split, {"shares": {"a": np.nan, "b": 0.5}}, "must be a number"),
    (dataset().split, {"shares": {"a": -(2**63) - 1}}, "must be a number"),  # found by fuzzing: beyond NumPy's integers
    (dataset().split, {"shares": {"a": 10**400, "b": 0.5}}, "must be a number"),
    (dataset().split, {"shares": {"a": np.inf, "b": 0.5}}, "must be a number"),
    (dataset().split, {"shares": {"a": 0.5, "b": 0.5}, "stratify": ["y"]}, "stratify must be the name of one column"),
    (dataset().split, {"shares": {"a": 0.5, "b": 0.5}, "stratify": True}, "stratify: the table has no column True"),
    (dataset().split, {"shares": {"a": 0.5, "b": 0.5}, "group": []}, "group must be the name of one column"),
    (dataset().split, {"shares": {"a": 0.5, "b": 0.5}, "seed": None}, "seed must be"),
    (dataset().split, {"by": ["y"]}, "by must be the name of one column"),
    (dataset().split, {"by": "y", "stratify": 0}, "leave out stratify and group"),
    (dataset().split, {}, "exactly one"),
    (dataset().take, {"rows": None}, r"rows must be a list of integer rows or a boolean mask, received None"),
    (dataset().take, {"rows": 5}, "rows must be a list"),
    (dataset().take, {"rows": "abc"}, "take needs integer rows"),
    (dataset().take, {"rows": [[1], [1, 2]]}, "take needs"),
    (dataset().take, {"rows": [1.0]}, "take needs integer rows"),
    (dataset().take, {"rows": {"a": 1}}, "take needs integer rows"),
    (dataset().take, {"rows": [2**70]}, "take"),
    (dataset().fetch, {"rows": None}, "fetch needs a list of integer rows"),
    (dataset().fetch, {"rows": [[1], [1, 2]]}, "fetch needs a list of integer rows"),
    (dataset().fetch, {"rows": DEEP}, "fetch needs a list of integer rows"),
    (dataset().fetch, {"rows": [2**63]}, "rows must lie in"),
    (loader().epoch, {"epoch": None}, r"epoch must be an integer >= 0, received None \(NoneType\)"),
    (loader().epoch, {"epoch": "1"}, r"epoch must be an integer >= 0, received '1' \(str\)"),
    (loader().epoch, {"epoch": -1}, "epoch must be an integer"),
    (loader().epoch, {"epoch": 0.5}, "epoch must be an integer"),
    (loader().rows, {"step": None}, "step must be an integer"),
    (loader().batch, {"step": 1.0}, "step must be an integer"),
    (loader().steps, {"start": "a"}, "step must be an integer"),
    (loader().steps, {"start": 0, "stop": 2.5}, "step must be an integer"),
    (loader().state, {"step": True}, "step must be an integer"),
    (loader().restore, {"state": None}, "expected a state"),
    (loader().restore, {"state": DEEP}, "expected a state"),
    (mtgen.open_store, {"source": None}, "expected a path"),
    (mtgen.open_store, {"source": b"x.npy"}, "bytes"),
    (mtgen.open_store, {"source": "a\0b"}, "no such path"),
    (mtgen.open_store, {"source": np.zeros((2, 2)), "keys": [[1], [1, 2]]}, "the keys are no plain list"),
    (mtgen.open_store, {"source": np.zeros((2, 2)), "keys": 5}, "int"),
]


@pytest.mark.parametrize(
    ("make", "settings", "text"),
    WRONG,
    ids=[
        f"{getattr(make, '__name__', make)} {settings!r:.60}"
        if settings.get("rows", settings.get("state")) is not DEEP
        else f"deep {number}"
        for number, (make, settings, _) in enumerate(WRONG)
    ],
)
def test_a_wrong_argument_is_refused_in_words(make, settings, text):
    with pytest.raises(MtgenError) as caught:
        make(**settings)
    assert re.search(text, str(caught.value)), str(caught.value)
    assert len(str(caught.value)) < 3000


def test_splits_are_asked_for_by_name_or_number():
    parts = dataset().split({"a": 0.5, "b": 0.5})
    assert parts[np.int64(1)] is parts["b"]
    for key in (None, 1.0, []):
        with pytest.raises(MtgenError, match="a split must be a name, or its number"):
            parts[key]
    with pytest.raises(IndexError):  # what ends a loop over a sequence
        parts[2]


def test_numpy_numbers_and_flags_pass():
    made = loader(batch_size=np.int32(3), drop_last=np.True_, seed=np.int64(1))
    assert made.settings()["drop_last"] is True
    assert [len(batch) for batch in made.epoch(np.int8(1))] == [3]
    assert made.state(np.int64(1))["step"] == 1


def test_columns_whose_dtype_or_names_json_does_not_know_had_no_digest():
    table = pd.DataFrame({np.int64(7): [1, 2], ("a", 1): [3, 4]})
    data = mtgen.Dataset(table, inputs={"x": mtgen.Columns([np.int64(7), ("a", 1)], dtype=np.float64)})
    assert data.fetch([1]).inputs["x"].tolist() == [[2.0, 4.0]]
    assert data.digests["input x"] != data.digests["rows"]
    same = mtgen.Dataset(table, inputs={"x": mtgen.Columns([7, ("a", 1)], dtype="float64")})
    assert mtgen.Loader(same, 1).state(0)


def test_the_helpers_say_what_they_saw():
    assert check_whole("n", np.int64(3)) == 3
    assert check_flag("f", np.False_) is False
    check_label("c", ("a", 1))
    check_kind("k", 1, int, "a number", StoreError)
    with pytest.raises(StoreError, match=r"k must be a number, received 'x' \(str\)"):
        check_kind("k", "x", int, "a number", StoreError)
    assert shown("x" * 1000).endswith("... (str)")
    assert shown(DEEP) == "something that cannot be shown (list)"
    assert shown(10**6000) == "something that cannot be shown (int)"
    with pytest.raises(MtgenError, match="scale must be None"):
        named_recipe("clean", size=(4, 4), dtype="float32", scale=(1e39, 0))


@pytest.mark.parametrize(
    ("name", "known", "answer"),
    [
        ("labl", ["label", "age", "table"], "'label' or 'table'"),
        ("LABEL", ["labels", "label", "Label"], "'label' or 'Label'"),
        ("x", ["label"], ""),
        ("label", [], ""),
        (3, ["33", "4"], "'33'"),
        ("a" * 101, ["a" * 101], ""),
        ("a" * 90, ["a" * 91, "b" * 10**6], repr("a" * 60 + "...")),
    ],
)
def test_the_nearest_names(name: object, known: list[str], answer: str) -> None:
    """Seven places had each its own."""
    assert nearest(name, known) == answer


def test_so_many_names_are_compared_and_no_more() -> None:
    asked: list[str] = []

    def names() -> Iterator[str]:
        for number in itertools.count():
            asked.append(f"{number:x}")
            yield asked[-1]

    assert nearest("zzzzzz", names()) == ""
    assert len(asked) == MOST_COMPARED
    assert nearest("kindd", ["kind", "kinds", "kin"], 1) == "'kind'"
    assert nearest("kindd", ["kind"], show=str) == "kind"
    sources = (Path(mtgen.__file__).parent).rglob("*.py")
    assert [path.name for path in sources if "difflib" in path.read_text(encoding="utf-8")] == ["settings.py"]
