"""Which errors may pass, and how often a read is tried again."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import OnError
from mtgen.errors import AlignmentError, DecodeError, PlanError, StoreError
from mtgen.retry import TRANSIENT, may_pass, retrying
from tests.support.samples import features, make_dataset, make_pictures
from tests.support.stores import MemoryStore

QUICK = OnError(retry_seconds=0)


class Response(Exception):
    """An HTTP client's error."""

    def __init__(self, **attributes: object) -> None:
        super().__init__("no answer")
        self.__dict__.update(attributes)


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_codes_that_may_pass_are_found_through_the_chain_of_causes(code: int) -> None:
    assert may_pass(OSError(code, "x"))
    assert may_pass(chained(StoreError("chunk cannot be read"), OSError(code, "x")))
    assert may_pass(chained(StoreError("outer"), chained(StoreError("inner"), OSError(code, "x"))))


@pytest.mark.parametrize("name", ["ENOENT", "EACCES", "EISDIR", "ENOSPC", "EMFILE", "ENOMEM", "EROFS", "ELOOP"])
def test_codes_that_stay_are_not_retried(name: str) -> None:
    assert not may_pass(chained(DecodeError("x"), OSError(getattr(errno, name), "x")))


def test_http_statuses_of_servers_at_fault_may_pass() -> None:
    class Answer:
        status_code = 503

    assert may_pass(chained(StoreError("x"), Response(status=500)))
    assert may_pass(Response(code=599))
    assert may_pass(Response(response=Answer()))
    assert not may_pass(Response(status=404))
    assert not may_pass(Response(status=600))
    assert not may_pass(StoreError("no cause"))


def test_keys_that_differ_are_never_asked_for_again() -> None:
    assert not may_pass(chained(AlignmentError("keys differ"), OSError(errno.EIO, "x")))


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert not may_pass(one)


@pytest.mark.parametrize(("num_failures", "num_retries"), [(0, 3), (1, 3), (3, 3), (4, 3), (1, 0), (7, 5)])
def test_a_read_is_tried_as_often_as_granted(num_failures: int, num_retries: int) -> None:
    calls: list[str] = []

    def read() -> str:
        calls.append("read")
        if calls.count("read") <= num_failures:
            raise OSError(errno.EIO, "stumbled")
        return "bytes"

    on_error = OnError(num_retries=num_retries, retry_seconds=0)
    if num_failures <= num_retries:
        assert retrying(read, on_error, lambda: calls.append("counted")) == "bytes"
    else:
        with pytest.raises(OSError, match="stumbled"):
            retrying(read, on_error, lambda: calls.append("counted"))
    assert calls.count("counted") == min(num_failures, num_retries)
    assert calls.count("read") == min(num_failures, num_retries) + 1


class Stumbling:
    """Fails the first reads of each chunk with a code, then works."""

    def __init__(self, num_failures: int, code: int) -> None:
        self.left: dict[int, int] = {}
        self.num_failures, self.code = num_failures, code

    def __call__(self, chunk: int) -> None:
        left = self.left.setdefault(chunk, self.num_failures)
        if left:
            self.left[chunk] -= 1
            raise OSError(self.code, "stumbled")


@pytest.mark.parametrize("chunk_rows", [1, 5])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_store_that_stumbles_is_read_in_the_end_and_the_retries_are_counted(
    chunk_rows: int, num_workers: int
) -> None:
    store = MemoryStore(features(16), chunk_rows)
    data = make_dataset(8, store=store)
    data.digests  # noqa: B018  reads a sample, before the store stumbles
    store.before = stumbling = Stumbling(1, errno.ESTALE)
    with mtgen.Loader(data, 8, num_workers=num_workers, on_error=OnError(num_retries=20, retry_seconds=0)) as loader:
        batch = loader.batch(0)
        np.testing.assert_array_equal(batch.inputs["features"], features(16)[data.table.index[batch.rows]])
        assert loader.stats().num_retries == len(stumbling.left) > 0
        assert loader.stats().num_bad_rows == 0


def test_a_code_that_stays_is_raised_at_once() -> None:
    store = MemoryStore(features(16), 1)
    data = make_dataset(8, store=store)
    data.digests  # noqa: B018
    store.before = Stumbling(1, errno.EACCES)
    loader = mtgen.Loader(data, 8, num_workers=0, on_error=QUICK)
    loader.rows(0)
    try:
        loader.batch(0)
    except StoreError as error:
        assert isinstance(error.__cause__, OSError)
    assert loader.stats().num_retries == 0


def test_a_picture_that_stumbles_is_read_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset(6, pictures=make_pictures(tmp_path, 6))
    (image,) = [field.bound for field in data.fields if field.name == "image"]
    read, failing = type(image).read_bytes, {2: 2, 4: 1}

    def read_bytes(self: object, row: int, admit: object = None) -> bytes:
        if failing.get(row, 0):
            failing[row] -= 1
            raise DecodeError("cannot read the picture: Input/output error", row=row) from OSError(errno.EIO, "x")
        return read(image, row)

    monkeypatch.setattr(type(image), "read_bytes", read_bytes)
    with mtgen.Loader(data, 6, num_workers=2, on_error=QUICK) as loader:
        assert sorted(loader.batch(0).rows.tolist()) == list(range(6))
        assert loader.stats().num_retries == 3


def test_settings_out_of_range_say_what_is_expected() -> None:
    cases = {
        "policy": ("skip", 'on_error must be "raise", "refill" or "mask", received \'skip\''),
        "max_errors": (
            1.5,
            "a number of rows >= 0 (an integer) or a share of all rows from 0 to below 1, received 1.5",
        ),
        "report": (3, "must be the path of a CSV file or None, received 3"),
        "num_retries": (21, "must be an integer from 0 to 20, received 21"),
        "retry_seconds": (-1, "must be a number from 0 to 60, received -1"),
    }
    for name, (value, text) in cases.items():
        with pytest.raises(PlanError) as caught:
            OnError(**{name: value})  # type: ignore[arg-type]
        assert text in str(caught.value)
    data = mtgen.Dataset(pd.DataFrame({"a": [1]}), {"a": mtgen.Columns("a")})
    with pytest.raises(PlanError, match=r'on_error must be "raise", "refill", "mask" or a .*, received True'):
        mtgen.Loader(data, 1, on_error=True)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("max_errors", "num_rows", "most"),
    [(0, 10, 0), (3, 10, 3), (0.0, 10, 0), (0.01, 10, 1), (0.01, 1000, 10), (0.999, 1000, 999)],
)
def test_the_budget_is_a_number_of_rows_or_a_share(max_errors: float, num_rows: int, most: int) -> None:
    assert OnError(max_errors=max_errors).most_bad_rows(num_rows) == most


def test_pauses_end_within_an_hour() -> None:
    """Twenty retries of a minute were allowed: two years in a thread that nobody can stop."""
    assert OnError(num_retries=6, retry_seconds=57).num_retries == 6
    with pytest.raises(PlanError, match=r"pauses for 3,654 s before a read is given up, .* fewer retries"):
        OnError(num_retries=6, retry_seconds=58)
