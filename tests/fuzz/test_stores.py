"""Damaged stores through `open_store` and `read_rows`, each in a process of its own: rows or a StoreError."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.corpus import inputs
from tests.support.confined import MEBIBYTE, Confined
from tests.support.damage import HURTS, damaged
from tests.support.hostile_stores import SUFFIX, whole_store

PACKAGES = {"parquet": "pyarrow", "blosc2": "blosc2", "hdf5": "h5py"}
INSIDE = {"parquet": ("::a,b", "::t"), "hdf5": ("", "::x")}


@pytest.fixture(scope="module")
def run() -> Iterator[Confined]:
    for package in PACKAGES.values():
        pytest.importorskip(package)
    with Confined("tests.support.hostile_stores:read_case", memory_bytes=1024 * MEBIBYTE, cpu_seconds=20) as process:
        yield process


def check(run: Confined, kind: str, files: dict[str, bytes], inside: str) -> None:
    outcome = run((kind, files, inside))
    assert outcome.ended in ("returned", "StoreError"), outcome
    assert outcome.grown_bytes < 256 * MEBIBYTE, outcome
    assert outcome.seconds < 5, outcome


@pytest.mark.parametrize("name", inputs("stores"))
def test_what_failed_once(run, name):
    kind = name.partition("-")[0]
    for inside in INSIDE.get(kind, ("",)):
        check(run, kind, {"": inputs("stores")[name]}, inside)


@pytest.mark.parametrize("kind", SUFFIX)
def test_a_damaged_store_is_rows_or_a_store_error(run, kind):
    whole = whole_store(kind)
    names = sorted(whole)
    insides = INSIDE.get(kind, ("",))
    assert run((kind, whole, insides[0])).ended == "returned"

    @given(st.sampled_from(names), HURTS, st.sampled_from(insides))
    def try_it(name, hurts, inside):
        check(run, kind, {**whole, name: damaged(whole[name], hurts)}, inside)

    try_it()
