"""What joining refuses and what it keeps: names, parts, tables, digests, checks, caches and errors of the parts."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.doctor.altered import bound_like, recipe_named
from mtgen.errors import AlignmentError, DecodeError, PlanError, StateError
from mtgen.inputs.columns import BoundColumns
from mtgen.joined import Joined
from mtgen.promises import FILES_PART
from mtgen.table import stack_tables
from mtgen.verify import make_manifest, verify
from tests.support.parts import CLASSES, NUM_ROWS, assert_same, features, folder, make_part
from tests.support.stores import MemoryStore

pytestmark = pytest.mark.usefixtures("no_thread_left")


def simple(values: list[Any], **more: Any) -> mtgen.Dataset:
    return mtgen.Dataset(pd.DataFrame({"a": values}), **({"inputs": {"a": mtgen.Columns("a")}} | more))


def two(**changed: Any) -> tuple[mtgen.Dataset, mtgen.Dataset, Joined]:
    parts = make_part(0, **changed), make_part(1, 5, **changed)
    return (*parts, mtgen.join({"real": parts[0], "made": parts[1]}))


def refusal(parts: Any, **options: Any) -> str:
    with pytest.raises(PlanError) as caught:
        mtgen.join(parts, **options)
    return str(caught.value)


# --- rows and parts ---------------------------------------------------------------------------------------------------


def test_splits_of_one_dataset_share_its_table() -> None:
    data = make_part(0)
    train, test = data.split({"train": 0.6, "test": 0.4}, seed=1)
    joined = mtgen.join({"test": test, "train": train})
    assert joined.table is data.table
    assert joined.rows.tolist() == [*test.rows, *train.rows]
    assert joined.part_of(train.rows[:1]).parts.tolist() == ["train"]
    assert joined.part_of(train.rows).rows.tolist() == train.rows.tolist()
    assert joined.fields is data.fields


def test_parts_of_one_table_and_of_another() -> None:
    data, other = simple([1, 2, 3, 4]), simple([7, 8])
    joined = mtgen.join({"x": data.take([3, 0]), "y": other, "z": data.take([1])})
    assert joined.rows.tolist() == [3, 0, 4, 5, 1]
    assert {name: rows.tolist() for name, rows in joined.parts.items()} == {"x": [3, 0], "y": [4, 5], "z": [1]}
    assert joined.fetch(joined.rows).inputs["a"].ravel().tolist() == [4, 1, 7, 8, 2]
    assert refusal({"x": data.take([0, 2]), "y": other, "z": data.take([2])}) == (
        "row 2 is in the parts 'x' and 'z' (1 such rows), and a row of a joined dataset is of one part. Take the rows "
        "apart first, for example z.take(np.setdiff1d(z.rows, x.rows))"
    )
    with pytest.raises(PlanError, match=r"row 2 is in none of the parts \['x', 'y', 'z'\]; no part has it"):
        joined.part_of([0, 2])
    with pytest.raises(PlanError, match=r"row -1 is in none .* it marks an empty slot"):
        joined.part_of(np.array([0, -1]))
    with pytest.raises(PlanError, match="part_of needs a list of integer rows, received float64"):
        joined.part_of([0.5])


def test_what_is_taken_or_split_knows_its_parts() -> None:
    joined = mtgen.join({"x": simple([1, 2, 3, 4]), "y": simple([5, 6, 7, 8])}, column="part")
    assert joined.table["part"].tolist() == ["x"] * 4 + ["y"] * 4
    for half in joined.split({"a": 0.5, "b": 0.5}, stratify="part", seed=3):
        assert [len(rows) for rows in half.parts.values()] == [2, 2]
        assert set(half.part_of(half.rows).parts) == {"x", "y"}
    only = joined.take([6, 5])
    assert {name: rows.tolist() for name, rows in only.parts.items()} == {"x": [], "y": [6, 5]}
    assert [part.rows.tolist() for part in joined.split(by="part")] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert "column='a' names a column that a table has already" in refusal({"x": joined}, column="a")


def test_rows_of_no_part_have_no_name_in_the_column() -> None:
    joined = mtgen.join({"x": simple([1, 2]).take([1]), "y": simple([3])}, column="part")
    assert joined.table["part"].isna().tolist() == [True, False, False]
    assert joined.rows.tolist() == [1, 2]


def test_joined_datasets_can_be_joined() -> None:
    parts = [make_part(part, 4, kind=kind) for part, kind in enumerate(["bcolz", "memory", "npy"])]
    inner = mtgen.join({"a": parts[0], "b": parts[1]})
    outer = pickle.loads(pickle.dumps(mtgen.join({"ab": inner, "c": parts[2]})))
    batch = outer.fetch(outer.rows[::-1])
    for part, slots in ((2, slice(0, 4)), (1, slice(4, 8)), (0, slice(8, 12))):
        assert_same(batch, np.arange(12)[slots], parts[part].fetch(np.arange(4)[::-1]))
    found = outer.part_of([5, 9])
    assert (found.parts.tolist(), found.rows.tolist()) == (["ab", "c"], [5, 1])


# --- tables -----------------------------------------------------------------------------------------------------------


def test_tables_keep_every_value() -> None:
    large = 2**53 + 1
    one = pd.DataFrame(
        {"id": [large], "only": [large], "flag": [True], "text": ["a"], "date": pd.to_datetime(["2020"])}
    )
    other = pd.DataFrame({"id": [0.5, 2.0], "text": [None, "b"], "more": [1.5, 2.5]}, index=[7, 7])
    stacked = stack_tables([one, other])
    assert stacked.index.tolist() == [0, 1, 2]
    assert stacked["id"].tolist() == [large, 0.5, 2.0]  # a float64 column would have rounded the first
    assert stacked["only"].dtype == "Int64"
    assert stacked["only"][0] == large
    assert stacked["flag"].tolist()[0] is True
    assert stacked["flag"].isna().tolist() == [False, True, True]
    assert stacked["text"].isna().tolist() == [False, True, False]
    assert stacked["date"].dtype.kind == "M"
    assert stacked["more"].tolist()[1:] == [1.5, 2.5]
    assert stack_tables([pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"n": [0.5]})])["n"].dtype == "float64"


def test_the_parts_index_labels_play_no_role() -> None:
    """Labels that both tables have, as after `concat`, would be refused by Rows; the parts are bound already."""
    parts = {
        name: mtgen.Dataset(pd.DataFrame({"a": [0, 1]}), {"x": mtgen.Rows(np.array([k, k + 1.0]))})
        for k, name in ((0, "x"), (5, "y"))
    }
    assert mtgen.join(parts).fetch([3, 0]).inputs["x"].tolist() == [6, 0]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([1], "the parts to join must be a dict of name -> dataset"),
        ({}, "join needs at least one dataset"),
        ({"x": 3}, "part 'x' must be a mtgen.Dataset, received 3 (int)"),
        ({1: 3}, "the name of a part must be text, received 1 (int)"),
    ],
)
def test_what_is_no_dataset_is_refused(parts: Any, text: str) -> None:
    assert text in refusal(parts)


def test_parts_that_differ_are_refused_with_what_differs() -> None:
    one = simple([1, 2], targets={"t": "a"}, weight="a")
    other = simple([1.5, 2], inputs={"b": mtgen.Columns("a")}, targets={"t": "a"})
    assert refusal({"x": one, "y": other}) == (
        "the parts cannot be joined: input 'a' is in 'x' and not in 'y'; input 'b' is in 'y' and not in 'x'; the "
        "weight of all targets is in 'x' and not in 'y'. Give all of them the same inputs, targets and weights; a part "
        "without weights gets some by with_weight(1.0)"
    )
    assert "target 't' is () int32 in 'x' and () float32 in 'y'; joined parts have one shape and dtype" in refusal(
        {"x": simple([1], targets={"t": "a"}), "y": simple([0.5], targets={"t": "a"})}
    )
    by_array = simple([1.0, 2.0], inputs={"a": mtgen.Rows(np.ones((2, 1), np.float32))})
    assert "input 'a' is columns of the table in 'x' and rows of a store (Rows) in 'y'" in refusal(
        {"x": simple([1.0]), "y": by_array}
    )
    wide = simple([1.0, 2.0], inputs={"a": mtgen.Rows(np.ones((2, 1), np.float64))})
    assert "input 'a' is (1) float32 in 'x' and (1) float64 in 'y'" in refusal({"x": by_array, "y": wide})
    assert "Write one of the stores anew" in refusal({"x": by_array, "y": wide})


def test_classes_that_differ_are_refused() -> None:
    """Text targets number the classes of their own table: 'owl' was 1 in the one and 2 in the other."""
    one = simple(["cat", "owl"], inputs={"n": mtgen.Rows(np.zeros(2))}, targets={"t": "a"})
    other = simple(["cat", "dog", "owl"], inputs={"n": mtgen.Rows(np.zeros(3))}, targets={"t": "a"})
    assert refusal({"x": one, "y": other}) == (
        "target 't' has the classes ['cat', 'owl'] in 'x' and ['cat', 'dog', 'owl'] in 'y', so the same number would "
        "mean different classes. Name the classes of all parts in each, for example ClassNumbers(column, classes=[...])"
    )
    numbers = simple([0, 1], inputs={"n": mtgen.Rows(np.zeros(2))}, targets={"t": "a"})
    assert "and of numbers in 'y'" in refusal({"x": one, "y": numbers})
    marks = [
        simple(["cat", *more], inputs={"n": mtgen.Rows(np.zeros(1 + len(more)))}, targets=mtgen.OneHot("a"))
        for more in (["owl"], ["dog", "owl"])
    ]
    assert "OneHot(column, classes=[...])" in refusal({"x": marks[0], "y": marks[1]})


def test_recipes_that_differ_are_refused() -> None:
    def pictures(**settings: Any) -> mtgen.Dataset:
        image = mtgen.Images("path", root=folder() / "0", **settings)
        return mtgen.Dataset(pd.DataFrame({"path": ["0.png"]}), {"image": image})

    parts = {"x": pictures(size=(4, 4)), "y": pictures(size=(4, 4), recipe="keras")}
    assert "input 'image' is decoded by different recipes in 'x' and 'y' (name 'clean' and 'keras'" in refusal(parts)
    sizes = {"x": pictures(size=(4, 4)), "y": pictures(size=(4, 5))}
    assert "input 'image' is (4, 4, 3) uint8 in 'x' and (4, 5, 3) uint8 in 'y'" in refusal(sizes)


def test_other_inputs_are_refused_by_name() -> None:
    class BoundPatches(BoundColumns):
        pass

    class Patches:
        def bind(self, table: pd.DataFrame) -> BoundPatches:
            return BoundPatches(np.zeros(len(table)), settings={}, digests=[])

    parts = {"x": simple([1], inputs={"a": Patches()}), "y": simple([1], inputs={"a": Patches()})}
    assert "input 'a' of 'x' is BoundPatches, which cannot be joined" in refusal(parts)


# --- what the parts keep ----------------------------------------------------------------------------------------------


def test_digests_tell_parts_apart() -> None:
    one, other = simple([1, 2]), simple([3])
    known = mtgen.join({"x": one, "y": other}).digests
    assert known == mtgen.join({"x": simple([1, 2]), "y": simple([3])}).digests
    for parts in (
        {"x": one, "y": simple([4])},
        {"x": simple([1, 9]), "y": other},
        {"x": one, "z": other},
        {"y": other, "x": one},
        {"x": one.take([0]), "y": other},
    ):
        assert mtgen.join(parts).digests != known
    state = mtgen.Loader(mtgen.join({"x": one, "y": other}), 2).state(1)
    mtgen.Loader(mtgen.join({"x": one, "y": other}), 2).restore(state)
    with pytest.raises(StateError, match="dataset part 'parts'"):
        mtgen.Loader(mtgen.join({"x": one, "z": other}), 2).restore(state)


def test_keys_are_compared_in_each_part_and_the_row_is_the_joined_one() -> None:
    def part(keys: list[int], ids: list[int]) -> mtgen.Dataset:
        store = MemoryStore(np.arange(len(keys), dtype=np.float32), 2, keys=np.array(keys), key_name="id")
        return mtgen.Dataset(pd.DataFrame({"id": ids}), {"x": mtgen.Rows(store)})

    one, other = part([5, 6, 7], [5, 6, 7]), part([8, 9], [8, 9])
    joined = mtgen.join({"x": one, "y": other})
    assert joined.fields[0].bound.compares_keys
    keys = joined.fields[0].bound.store.keys
    found = np.empty(5, keys.dtype)
    keys.read_rows(joined.fields[0].bound.store_rows(np.arange(5)), found)
    assert found.tolist() == [5, 6, 7, 8, 9]
    other.fields[0].bound.store.keys.array[1] = 1  # the store changed under way
    joined.fetch([3])
    with pytest.raises(AlignmentError, match="the table's column 'id' has 9, the store has 1 at its row 1") as caught:
        joined.fetch([4])
    assert caught.value.row == 4
    with mtgen.Loader(joined, 5, shuffle=False, num_workers=0) as loader, pytest.raises(AlignmentError) as again:
        loader.batch(0)
    assert again.value.row == 4


def test_values_that_are_not_finite_are_refused_where_a_part_said_so() -> None:
    array = np.array([0, np.nan], np.float32)
    parts = {str(finite): simple([1, 2], inputs={"x": mtgen.Rows(array, finite=finite)}) for finite in (False, True)}
    joined = mtgen.join(parts)
    assert np.isnan(joined.fetch([1]).inputs["x"][0])
    with pytest.raises(mtgen.errors.StoreError, match="the store's row 1 has nan") as caught:
        joined.fetch([3])
    assert caught.value.row == 3


@pytest.mark.parametrize("policy", ["raise", "mask", "refill"])
def test_a_picture_that_cannot_be_read_is_told_by_its_own_path_and_joined_row(tmp_path: Path, policy: Any) -> None:
    own = tmp_path / "made"
    shutil.copytree(folder() / "1", own)
    made = mtgen.Dataset(make_part(1, 4).table, {"image": mtgen.Images("path", root=own, size=(4, 4), recipe="keras")})
    real = mtgen.Dataset(
        make_part(0, 3).table, {"image": mtgen.Images("path", root=folder() / "0", size=(4, 4), recipe="keras")}
    )
    joined = mtgen.join({"real": real, "made": made})
    (own / "2.png").write_bytes(b"nothing")
    (own / "3.png").unlink()
    assert np.flatnonzero(joined.missing()).tolist() == [6]
    on_error = policy if policy == "raise" else mtgen.OnError(policy=policy, max_errors=2)
    with mtgen.Loader(joined, 7, shuffle=False, num_workers=0, on_error=on_error) as loader:
        if policy == "raise":
            with pytest.raises(DecodeError) as caught:
                loader.batch(0)
            assert (caught.value.row, caught.value.path) == (5, str(own / "2.png"))
            return
        batch = loader.batch(0)
        assert loader.quarantine()["path"].tolist() == [str(own / "2.png"), str(own / "3.png")]
    assert batch.rows[:5].tolist() == [0, 1, 2, 3, 4]
    if policy == "mask":
        assert batch.rows[5:].tolist() == [-1, -1]
    report = verify(joined, progress=False)
    assert sorted(problem.row for problem in report.problems) == [5, 6]


def test_manifests_stay_with_their_parts(tmp_path: Path) -> None:
    parts = {}
    for number in (0, 1):
        own = tmp_path / str(number)
        shutil.copytree(folder() / str(number), own, ignore=shutil.ignore_patterns("x.*"))
        table = pd.DataFrame({"path": [f"{row}.png" for row in range(3)]})
        make_manifest(
            mtgen.Dataset(table, {"image": mtgen.Images("path", root=own, size=(4, 4))}), own / "manifest.csv"
        )
        image = mtgen.Images("path", root=own, size=(4, 4), manifest=own / "manifest.csv", verify="read")
        parts[str(number)] = mtgen.Dataset(table, {"image": image})
    joined = mtgen.join(parts)
    assert f"{FILES_PART}input image" in joined.digests
    joined.fetch([2, 5])
    shutil.copy(tmp_path / "0" / "1.png", tmp_path / "1" / "1.png")
    with pytest.raises(mtgen.errors.ChangedError) as caught:
        joined.fetch([4])
    assert (caught.value.row, caught.value.path) == (4, str(tmp_path / "1" / "1.png"))
    joined.fetch([1])
    with pytest.raises(PlanError, match="input 'image' is joined of 2 parts, and a manifest is of the files of one"):
        make_manifest(joined, tmp_path / "manifest.csv")


def test_caches_stay_with_their_parts(tmp_path: Path) -> None:
    for path in folder().rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))  # a file of a moment ago is not stored
    one = make_part(0, 4, cache=tmp_path / "real.cache")
    plain, other = make_part(1, 3), make_part(2, 5, cache=tmp_path / "made.cache")
    joined = mtgen.join({"real": one, "plain": plain, "made": other})
    packed = mtgen.pack_images(joined)
    assert packed.folders == (str(tmp_path / "real.cache"), str(tmp_path / "made.cache"))
    assert (packed.num_pictures, packed.num_stored, packed.num_left) == (9, 9, 0)
    again = mtgen.pack_images(joined, verify=True)
    assert (again.num_there, again.num_stored, again.report.is_fine) == (9, 0, True)
    for data in (joined, pickle.loads(pickle.dumps(joined))):
        with mtgen.Loader(data, 12, shuffle=False, num_workers=0) as loader:
            batch = loader.batch(0)
            stats = loader.stats()
        assert (stats.num_cache_hits, stats.num_cache_misses) == (9, 3)
        for part, slots in ((one, range(4)), (plain, range(4, 7)), (other, range(7, 12))):
            assert_same(batch, np.array(slots), part.fetch(part.rows))


def test_processes_read_each_part_under_its_own_root() -> None:
    one, other, joined = two()
    with mtgen.Loader(joined, 14, shuffle=False, num_workers=1, num_processes=1) as loader:
        batch = loader.batch(0)
    assert_same(batch, np.arange(NUM_ROWS), one.fetch(one.rows))
    assert_same(batch, np.arange(NUM_ROWS, 14), other.fetch(other.rows))


def test_pictures_by_another_recipe_are_those_of_the_parts() -> None:
    """The doctor tries other recipes; bound to the first part's root anew, all would be that part's pictures."""
    _, _, joined = two()
    bound = next(field.bound for field in joined.fields if field.name == "image")
    made = bound_like(bound, recipe_named(bound.images, "clean"))
    assert made.recipe.name == "clean"
    assert [made.path(row) for row in range(14)] == [bound.path(row) for row in range(14)]


def test_a_predictions_row_leads_back_to_the_part() -> None:
    _, other, joined = two()
    assert joined.classes == {"kind": tuple(CLASSES), "marks": tuple(CLASSES)}
    assert repr(joined).startswith("Dataset(14 of 14 rows; input image: (4, 4, 3) uint8")
    _, rows = joined.part_of([10])
    assert other.table["number"].iloc[rows[0]] == joined.table["number"].iloc[10] == 11
    assert features(1)[other.table.index[rows[0]]].tolist() == joined.fetch([10]).inputs["features"][0].tolist()
