"""Configurations: any valid one survives being written and read; any wrong one is refused by name, never a crash."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtgen.errors import MtgenError, PlanError
from mtgen.training.config import read_config, to_toml
from mtgen.training.config.checking import keys_of
from mtgen.training.config.paths import absolute, rebased
from mtgen.training.config.reading import KEYS, MOST_BYTES, SECTIONS, config_of
from mtgen.training.config.sections import (
    CallbackSettings,
    ColumnsSettings,
    ImagesSettings,
    RowsSettings,
    TargetSettings,
)
from mtgen.training.config.writing import literal
from tests.support.json_values import JSON

FOLDER = Path("/somewhere/data")
NAME = st.text(st.characters(exclude_characters="/", exclude_categories=["Cs"]), min_size=1, max_size=6)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
SHARE = st.floats(1e-6, 1e6)
NUMBER = st.integers(1, 2**63 - 1)
POSITIVE = st.floats(0, 1e300, exclude_min=True)
TRUTH = st.booleans()
TIMES = st.datetimes().map(lambda one: one.replace(fold=0))
ANY = st.recursive(
    st.one_of(TRUTH, st.integers(-(2**63), 2**63 - 1), st.floats(), TEXT, TIMES, st.dates()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def table(needed: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(needed or {}, optional=optional)


INPUT = st.one_of(
    table(
        {"column": TEXT, "size": st.lists(NUMBER, min_size=2, max_size=2)},
        kind=st.just("images"),
        root=TEXT,
        color=st.sampled_from(["rgb", "grayscale", "rgba"]),
        recipe=TEXT,
        fit=st.sampled_from(["stretch", "crop", "pad"]),
        dtype=st.sampled_from(["uint8", "uint16", "float32"]),
        scale=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=2),
        filter=TEXT,
        data_format=st.sampled_from(["channels_last", "channels_first"]),
        max_pixels=NUMBER,
        manifest=TEXT,
        verify=st.sampled_from(["open", "read", "off"]),
        follow_links=TRUTH,
        cache=TEXT,
    ),
    table(
        {"store": TEXT},
        kind=st.just("rows"),
        index=TEXT,
        key=st.one_of(TEXT, st.just(False)),
        manifest=TEXT,
        verify=st.sampled_from(["open", "read", "off"]),
        finite=TRUTH,
    ),
    table({"columns": st.lists(TEXT, max_size=3)}, kind=st.just("columns"), dtype=TEXT),
)
TARGET = st.one_of(
    TEXT,
    st.lists(TEXT, min_size=1, max_size=3),
    table({"column": TEXT}, task=st.sampled_from(["auto", "classification"]), one_hot=TRUTH, weight=TEXT),
    table(
        {"column": TEXT},
        classes=st.lists(st.one_of(TEXT, st.integers(-9, 9)), max_size=3),
        class_weights=st.one_of(st.just("balanced"), st.dictionaries(TEXT, SHARE, max_size=3)),
    ),
    table({"column": TEXT, "task": st.just("regression")}, weight=TEXT),
)
CALLBACK = st.one_of(TEXT, table({"callback": TEXT}, arguments=st.dictionaries(TEXT, ANY, max_size=2)))
DOCUMENT = table(
    {
        "table": table({"path": TEXT}, dtype=st.dictionaries(TEXT, TEXT, max_size=2)),
        "inputs": st.dictionaries(NAME, INPUT, min_size=1, max_size=3),
        "targets": st.one_of(TEXT, st.dictionaries(TEXT, TARGET, min_size=1, max_size=3)),
    },
    split=st.one_of(
        table({"by": TEXT}),
        table(
            shares=st.fixed_dictionaries({"train": SHARE, "valid": SHARE, "test": SHARE}),
            stratify=st.one_of(TRUTH, TEXT),
            group=TEXT,
            seed=NUMBER,
        ),
    ),
    sampler=st.one_of(
        table({"order": st.sampled_from(["exact", "blocks", False])}),
        table({"sample_by": TEXT}),
        table({"balanced": st.one_of(TEXT, st.lists(TEXT, max_size=2))}, over=SHARE, under=SHARE, exact=TRUTH),
        table({"balanced": TEXT}, target=st.dictionaries(TEXT, SHARE, max_size=3), where=TEXT, size=NUMBER),
        table({"balanced": TEXT, "counts": st.dictionaries(TEXT, NUMBER, max_size=3)}),
        table({"weighted": TEXT}, replace=TRUTH, where=TEXT, size=NUMBER),
        table(where=TEXT, size=NUMBER),
    ),
    model=st.one_of(
        table(filters=NUMBER, units=NUMBER, dropout=st.floats(0, 1, exclude_max=True)),
        table({"function": TEXT}, arguments=st.dictionaries(TEXT, ANY, max_size=2)),
        table({"file": TEXT}),
    ),
    fit=table(
        epochs=NUMBER,
        batch_size=NUMBER,
        seed=NUMBER,
        workers=NUMBER,
        memory=NUMBER,
        on_error=st.sampled_from(["raise", "refill", "mask"]),
        max_errors=st.floats(0, 1, exclude_max=True),
        learning_rate=POSITIVE,
        schedule=st.sampled_from(["cosine", "constant"]),
        optimizer=TEXT,
        placement=st.sampled_from(["stream", "ram", "device"]) | st.dictionaries(NAME, st.just("ram"), max_size=2),
        optimizer_options=st.dictionaries(TEXT, ANY, max_size=2),
    ),
    recipe=st.one_of(
        table(
            {"patience": NUMBER},
            patience_increase=st.floats(1, 1e9),
            improvement_threshold=st.floats(0, 1, exclude_min=True),
            monitor=TEXT,
            restore_best=TRUTH,
            score_test=st.sampled_from(["end", "best", "never"]),
        ),
        table({"halve_after": NUMBER}, halving_factor=st.floats(1.0001, 1e6), halving_floor=st.floats(1e-9, 1)),
        table(decay=st.floats(0, 1e6), score_test=st.sampled_from(["end", "never"])),
    ),
    callbacks=st.lists(CALLBACK, max_size=2),
    run=table(folder=TEXT, checkpoint_steps=NUMBER, snapshot_steps=NUMBER, tensorboard=TRUTH),
    code=TEXT,
    shifted=TRUTH,
)


# --- written and read again -------------------------------------------------------------------------------------------


@given(DOCUMENT)
def test_any_valid_configuration_survives_being_written_and_read(document: dict[str, Any]) -> None:
    config = config_of(document, FOLDER)
    text = to_toml(config)
    again = config_of(tomllib.loads(text), FOLDER)
    assert to_toml(again) == text
    assert repr(again.inputs) == repr(config.inputs)  # repr: NaN is not equal to itself
    for name in ("table", "targets", "sampler", "model", "callbacks", "run", "code", "shifted"):
        assert repr(getattr(again, name)) == repr(getattr(config, name)), name
    assert (again.schedule, again.shares, again.split_seed) == (config.schedule, config.shares, config.split_seed)
    assert again.recipe.puts_best_back == config.recipe.puts_best_back


@given(ANY)
def test_any_value_is_written_as_toml_reads_it(value: Any) -> None:
    assert repr(tomllib.loads(f"x = {literal(value)}")["x"]) == repr(value)


PATH = st.lists(st.sampled_from(["a", "b", "c.csv", ".."]), min_size=1, max_size=4).map("/".join)


@given(PATH, st.sampled_from(["/x", "/x/y", "/z"]), st.sampled_from(["/x", "/x/runs/one", "/q/r"]))
def test_a_path_seen_from_another_folder_leads_to_the_same_place(path: str, old: str, new: str) -> None:
    moved = rebased(path, Path(old), Path(new))
    assert os.path.normpath(os.path.join(new, moved)) == os.path.normpath(os.path.join(old, path))
    assert rebased(f"/abs/{path}", Path(old), Path(new)) == f"/abs/{path}"


def test_urls_and_members_of_stores_keep_their_form() -> None:
    assert rebased("s3://bucket/x.zarr", Path("/a"), Path("/b"), is_store=True) == "s3://bucket/x.zarr"
    assert rebased("x.h5::train/x", Path("/a"), Path("/b"), is_store=True) == "../a/x.h5::train/x"
    assert absolute("x.h5::train/x", Path("/a"), is_store=True) == "/a/x.h5::train/x"
    assert absolute("http://host/x.zarr", Path("/a"), is_store=True) == "http://host/x.zarr"


# --- what nobody knows ------------------------------------------------------------------------------------------------

BASE: dict[str, Any] = {
    "table": {"path": "t.csv"},
    "inputs": {
        "image": {"column": "p", "size": [4, 4]},
        "features": {"store": "f.npy"},
        "more": {"columns": ["a"]},
    },
    "targets": {"label": {"column": "y"}},
    "split": {},
    "sampler": {},
    "model": {},
    "fit": {},
    "recipe": {},
    "run": {},
    "callbacks": [{"callback": "a:b"}],
}
PLACES: dict[tuple[Any, ...], tuple[str, list[str]]] = {
    (): ("the configuration", list(KEYS)),
    **{(name,): (f"[{name}]", list(keys_of(kind))) for name, kind in SECTIONS.items()},
    ("inputs", "image"): ("[inputs.image]", list(keys_of(ImagesSettings))),
    ("inputs", "features"): ("[inputs.features]", list(keys_of(RowsSettings))),
    ("inputs", "more"): ("[inputs.more]", list(keys_of(ColumnsSettings))),
    ("targets", "label"): ("[targets.label]", list(keys_of(TargetSettings))),
    ("callbacks", 0): ("[[callbacks]] number 1", list(keys_of(CallbackSettings))),
}


def at(document: Any, place: tuple[Any, ...]) -> Any:
    for one in place:
        document = document[one]
    return document


@given(st.sampled_from(sorted(PLACES, key=str)), TEXT)
def test_any_unknown_key_is_refused_by_name_with_all_known_ones(place: tuple[Any, ...], key: str) -> None:
    where, known = PLACES[place]
    if key in known:
        return
    document = copy.deepcopy(BASE)
    at(document, place)[key] = 1
    with pytest.raises(PlanError) as refused:
        config_of(document, FOLDER)
    text = refused.value.message
    assert text.startswith(f"{where} has no key {key!r}.")
    assert text.endswith(f"Known are: {', '.join(known)}")


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [(("fit",), "epoch", "epochs"), ((), "samplers", "sampler"), (("inputs", "image"), "colour", "color")],
)
def test_the_nearest_known_key_is_named(place: tuple[Any, ...], key: str, meant: str) -> None:
    document = copy.deepcopy(BASE)
    at(document, place)[key] = 1
    with pytest.raises(PlanError, match=f"Did you mean '{meant}'"):
        config_of(document, FOLDER)


# --- hostile content --------------------------------------------------------------------------------------------------


KEY_PLACES = [(place, key) for place, (_, known) in PLACES.items() for key in known]


@settings(max_examples=5 * len(KEY_PLACES))
@given(st.sampled_from(KEY_PLACES), JSON)
def test_any_value_for_any_key_is_taken_or_refused(place_and_key: tuple[tuple[Any, ...], str], value: Any) -> None:
    place, key = place_and_key
    document = copy.deepcopy(BASE)
    at(document, place)[key] = value
    with contextlib.suppress(MtgenError):
        to_toml(config_of(document, FOLDER))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    with pytest.raises(PlanError) as refused:
        read_config(path)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[table\n", r"this is no TOML: .*line 1"),
        (b"a = 1\nb = [1, 2\nc = 3\n", r"this is no TOML: .*line 3"),
        (b"\n\n\xff\n", "line 3: no text in UTF-8"),
        (b"a = " + b"9" * 5000, "this is no TOML: Exceeds the limit"),
        (b"a = " + b"[" * 100_000, "this is no TOML: "),
        (b"# " + b"x" * MOST_BYTES, "at most 1,000,000 bytes"),
        (b"", r"needs \[table\]"),
        (b"[table]\npath = 3\n[inputs]\n[targets]\n", r"path in \[table\] must be text, received 3 \(integer\)"),
    ],
    ids=["bracket", "line", "bytes", "digits", "depth", "length", "nothing", "type"],
)
def test_what_is_no_configuration_says_why_and_where(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(PlanError, match=says) as refused:
        read_config(path)
    assert str(refused.value).endswith(f"[path {path}]")


@pytest.mark.parametrize("path", [3, None, b"x", "no/such.toml", "a\0b", ".", Path("gone.toml")], ids=repr)
def test_a_path_that_leads_to_no_file_is_refused(path: Any) -> None:
    with pytest.raises(PlanError, match="configuration"):
        read_config(path)


def test_types_say_what_was_received_and_what_was_expected() -> None:
    wrong = [
        (("fit",), "epochs", "3", "epochs in [fit] must be an integer of 64 bits, received '3' (text)"),
        (("fit",), "epochs", True, "received True (truth)"),
        (("fit",), "epochs", 10**40, "must be an integer of 64 bits, received 1000"),
        (("fit",), "learning_rate", math.nan, "must be a finite number, received nan (number)"),
        (("fit",), "on_error", "skip", 'must be "raise" or "refill" or "mask", received \'skip\' (text)'),
        (("inputs", "image"), "size", [4], "must be a list of 2 entries (each an integer of 64 bits), received [4]"),
        (("sampler",), "target", {"a": "b"}, "must be a table of name = value (each a finite number)"),
        (("split",), "stratify", 1, "must be text or true or false, received 1 (integer)"),
        ((), "fit", 3, "[fit] must be a table, received 3 (integer)"),
        ((), "callbacks", "a:b", "must be a list of import paths, or tables [[callbacks]]"),
        (("inputs",), "image", [], "[inputs.image] must be a table, received [] (list)"),
        (("inputs",), "image", {"x": 1}, "does not say what it is: column for pictures, store for rows"),
        (("inputs",), "image", {"column": "p"}, "[inputs.image] needs size"),
        (("targets",), "label", 3, "label in [targets] must be a column, a list of columns or a table"),
    ]
    for place, key, value, says in wrong:
        document = copy.deepcopy(BASE)
        at(document, place)[key] = value
        with pytest.raises(PlanError) as refused:
            config_of(document, FOLDER)
        assert says in refused.value.message


def test_settings_that_contradict_each_other_are_refused_with_their_section() -> None:
    wrong = [
        ("split", {"by": "part", "seed": 3}, r"\[split\]: by already says which row goes where: leave seed out"),
        ("split", {"shares": {"train": 1.0}}, r"\[split\]: shares must name train, valid and test .* received train"),
        ("split", {"shares": {"train": 0.5, "valid": 0.5}}, r"has no test: .* score_test = \"never\""),
        ("sampler", {"balanced": "a", "weighted": "b"}, "balanced and weighted both say which rows come"),
        ("sampler", {"over": 0.5}, "over belongs to balanced, which is not given"),
        ("sampler", {"exact": True}, "exact belongs to balanced"),
        ("sampler", {"sample_by": "x", "size": 3}, "write LIMIT into sample_by"),
        ("sampler", {"order": "exact", "where": "a > 1"}, "where and order cannot stand together"),
        ("sampler", {"balanced": "a", "counts": {"b": 1}, "size": 3}, "size and counts both say"),
        ("model", {"function": "a:b", "file": "c"}, "function and file both say which model"),
        ("model", {"arguments": {"a": 1}}, "arguments belong to function"),
        ("model", {"file": "c", "units": 3}, "units belong to the merged model, and 'c' is trained"),
        ("model", {"dropout": 1.0}, "dropout must be a number >= 0 and below 1"),
        ("fit", {"epochs": 0}, r"\[fit\]: epochs must be an integer >= 1, received 0"),
        ("fit", {"learning_rate": 0}, "the learning rate must be > 0"),
        ("recipe", {"patience": 0}, r"\[recipe\]: patience must be an integer >= 1"),
        ("recipe", {"halving_factor": 1.0}, "factor must be a finite number > 1"),
        ("recipe", {"restore_best": True}, "restore_best needs patience or halve_after"),
        ("recipe", {"decay": 0.1, "score_test": "best"}, "score_test needs patience or halve_after"),
        ("run", {"checkpoint_steps": 0}, "checkpoint_steps must be an integer >= 1"),
        ("targets", {"a": {"column": "x", "columns": ["y"]}}, "column or columns, exactly one"),
        ("targets", {"a": {"columns": ["y"], "one_hot": True}}, "one_hot is for one column of classes"),
        ("targets", {"a": {"column": "y", "task": "regression", "classes": ["b"]}}, "classes is for one column"),
    ]
    for name, content, says in wrong:
        with pytest.raises(PlanError, match=says):
            config_of(copy.deepcopy(BASE) | {name: content}, FOLDER)
