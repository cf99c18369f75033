"""The cache of decoded pictures: what is a hit, what is stored, what damage and failing disks do."""

from __future__ import annotations

import errno
import json
import logging
import os
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.cache.folder import MARK
from mtgen.cache.known import ROW_BYTES
from mtgen.cache.layout import HEADER_BYTES, OVERHEAD_BYTES, RECORD_BYTES
from mtgen.errors import ChangedError, DecodeError, PlanError, StoreError
from mtgen.gather.costs import cache_bytes
from tests.support.cached import (
    OLD_NS,
    counts,
    dataset,
    files_bytes,
    flip,
    loader,
    make_pictures,
    pictures_of,
    recipe_folder,
    segment,
    write_picture,
)

NUM = 10
ROW = 6 * 5 * 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def table(root: Path) -> pd.DataFrame:
    return make_pictures(root, NUM)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def filled(table: pd.DataFrame, root: Path, cache: Path) -> dict[int, bytes]:
    """A full cache; row -> its picture, decoded without it."""
    assert pictures_of(loader(table, root, cache)) == pictures_of(loader(table, root, None))
    return pictures_of(loader(table, root, None))


# --- hits and misses --------------------------------------------------------------------------------------------------


def test_the_first_epoch_stores_and_all_later_ones_decode_nothing(table: pd.DataFrame, root: Path, cache: Path) -> None:
    one = loader(table, root, cache)
    pictures_of(one)
    assert counts(one) == (0, NUM, NUM, 0)
    for epoch in range(1, 4):
        pictures_of(one, epoch)
        assert counts(one) == (NUM * epoch, NUM, NUM, 0)
    assert one.stats().cache_hit_rate == 0.75
    assert str(one.stats()).endswith("; cache: 75.0% of 40 pictures hit, 10 stored")
    assert set(one.stats().stage_seconds) >= {"cache", "store"}


def test_another_process_and_another_loader_find_what_was_stored(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    copy = pickle.loads(pickle.dumps(loader(table, root, cache)))
    assert pictures_of(copy) == filled
    assert counts(copy) == (NUM, 0, 0, 0)


def test_stats_without_a_cache_say_nothing_of_one(table: pd.DataFrame, root: Path) -> None:
    one = loader(table, root, None)
    pictures_of(one)
    assert counts(one) == (0, 0, 0, 0)
    assert "cache" not in str(one.stats())


@pytest.mark.parametrize(
    "change",
    [
        lambda path: write_picture(path, 99, OLD_NS + 3, side=13),  # another size, the same time
        lambda path: os.utime(path, ns=(0, OLD_NS + 4)),  # another time, one nanosecond later
    ],
    ids=["size", "time"],
)
def test_a_changed_file_is_decoded_anew_and_replaces_what_was_stored(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], change: Callable[[Path], None]
) -> None:
    change(root / "3.png")
    one = loader(table, root, cache)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (NUM - 1, 1, 1, 0)
    again = loader(table, root, cache)
    assert pictures_of(again) == pictures_of(loader(table, root, None))
    assert counts(again) == (NUM, 0, 0, 0)


def test_a_file_is_looked_at_once_per_process(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    real = os.stat

    def look(path: Any, **more: Any) -> os.stat_result:
        looked.append(str(path))
        return real(path, **more)

    monkeypatch.setattr(os, "stat", look)
    one = loader(table, root, cache)
    for epoch in range(3):
        assert pictures_of(one, epoch) == filled
    assert sorted(path for path in looked if path.endswith(".png")) == sorted(
        str(root / path) for path in table["path"]
    )


def test_another_recipe_is_another_picture_in_the_same_folder(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    for settings in ({"size": (5, 6)}, {"recipe": "keras"}, {"color": "grayscale"}, {"dtype": "float32"}):
        one = loader(table, root, cache, **settings)
        assert pictures_of(one) == pictures_of(loader(table, root, None, **settings))
        assert counts(one) == (0, NUM, NUM, 0)
    assert pictures_of(loader(table, root, cache)) == filled


def test_files_of_one_name_in_two_roots_are_two_pictures(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], tmp_path: Path
) -> None:
    """Of the same size and time too, as archives unpack them."""
    other = tmp_path / "other"
    shutil.copytree(root, other)
    first, second = root / "1.png", other / "0.png"
    content = bytearray((other / "0.png").read_bytes())
    content[-20] ^= 1  # in the checksum at its end, which is not compared, or in its pixels
    second.write_bytes(first.read_bytes()[: len(content)].ljust(len(content), b"\0"))
    os.utime(second, ns=(OLD_NS, OLD_NS))
    one = loader(table, other, cache)
    assert pictures_of(one) == pictures_of(loader(table, other, None))
    assert counts(one)[0] == 0


def test_a_root_that_is_named_in_another_way_is_the_same_root(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    monkeypatch.chdir(root.parent)
    for same in (link, Path("pictures"), root / ".." / "pictures"):
        one = loader(table, same, cache)
        assert pictures_of(one) == filled
        assert counts(one) == (NUM, 0, 0, 0)


def test_without_a_root_absolute_paths_are_found_from_anywhere(
    table: pd.DataFrame, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    absolute = table.assign(path=[str(root / path) for path in table["path"]])
    images = mtgen.Images("path", size=(6, 5), cache=cache)
    for place, expected in ((root, (0, NUM, NUM, 0)), (tmp_path, (NUM, 0, 0, 0))):
        monkeypatch.chdir(place)
        one = mtgen.Loader(mtgen.Dataset(absolute, inputs={"image": images}), 4, num_workers=0)
        pictures_of(one)
        assert counts(one) == expected


def test_rows_that_share_a_file_share_a_picture(table: pd.DataFrame, root: Path, cache: Path) -> None:
    table = pd.concat([table, table], ignore_index=True)
    one = loader(table, root, cache, shuffle=False, batch_size=NUM)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (NUM, NUM, NUM, 0)


def test_two_inputs_may_share_a_folder(table: pd.DataFrame, root: Path, cache: Path) -> None:
    inputs = {
        name: mtgen.Images("path", root=root, size=size, cache=cache)
        for name, size in {"small": (3, 3), "large": (9, 9), "same": (3, 3)}.items()
    }
    one = mtgen.Loader(mtgen.Dataset(table, inputs=inputs, targets="y"), 4, num_workers=0)
    for _ in range(2):
        for batch in one.epoch(0):
            assert np.array_equal(batch.inputs["small"], batch.inputs["same"])
    hits, misses, stored, _ = counts(one)
    assert hits + misses == 60
    assert stored == misses >= 2 * NUM


def test_what_was_modified_a_moment_ago_is_not_stored(table: pd.DataFrame, root: Path, cache: Path) -> None:
    """It could change once more without another size or time."""
    os.utime(root / "2.png")
    one = loader(table, root, cache)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (0, NUM, NUM - 1, 0)


def test_splits_and_shards_use_one_cache(table: pd.DataFrame, root: Path, cache: Path) -> None:
    data = dataset(table, root, cache)
    plain = pictures_of(loader(table, root, None))
    train, valid = data.split({"train": 6, "valid": 4}, seed=0)
    for part in (train, valid, data):
        one = mtgen.Loader(part, 3, num_workers=0)
        assert pictures_of(one) == {int(row): plain[int(row)] for row in part.rows}
    assert counts(one) == (NUM, 0, 0, 0)
    shard = mtgen.Loader(data, 2, num_workers=0, shard=mtgen.Shard(1, 2))
    assert pictures_of(shard).items() <= plain.items()
    assert counts(shard)[1] == 0


def test_fetch_is_the_plain_path_and_leaves_the_cache_alone(table: pd.DataFrame, root: Path, cache: Path) -> None:
    data = dataset(table, root, cache)
    data.fetch(range(NUM))
    assert not cache.exists()


# --- bad pictures, manifests, links -----------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["refill", "mask"])
def test_bad_pictures_are_never_stored_and_policies_hold(
    table: pd.DataFrame, root: Path, cache: Path, policy: Any
) -> None:
    for bad in (0, 4):
        path = root / f"{bad}.png"
        path.write_bytes(path.read_bytes()[:60])
        os.utime(path, ns=(OLD_NS, OLD_NS))
    on_error = mtgen.OnError(policy=policy, max_errors=NUM)
    one, plain = (loader(table, root, place, on_error=on_error) for place in (cache, None))
    for step in range(3 * one.steps_per_epoch):
        ours, theirs = one.batch(step), plain.batch(step)
        assert ours.rows.tolist() == theirs.rows.tolist()
        assert ours.inputs["image"].tobytes() == theirs.inputs["image"].tobytes()
        assert [bad.row for bad in ours.bad] == [bad.row for bad in theirs.bad]
    assert counts(one) == (2 * (NUM - 2), NUM + 4, NUM - 2, 0)


def test_a_picture_that_is_gone_is_an_error_though_the_cache_has_it(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    (root / "5.png").unlink()
    with pytest.raises(DecodeError, match=r"No such file") as caught:
        pictures_of(loader(table, root, cache))
    assert caught.value.row == 5


def test_a_link_that_leads_out_is_refused_though_the_cache_has_it(
    table: pd.DataFrame, root: Path, cache: Path, tmp_path: Path
) -> None:
    shutil.move(root / "5.png", tmp_path / "outside.png")
    (root / "5.png").symlink_to(tmp_path / "outside.png")
    one = loader(table, root, cache, follow_links=True)
    pictures_of(one)
    assert counts(one)[2] == NUM
    with pytest.raises(DecodeError, match=r"leads out of root"):
        pictures_of(loader(table, root, cache))


@pytest.fixture
def manifest(table: pd.DataFrame, root: Path, tmp_path: Path) -> Path:
    from mtgen.verify import make_manifest

    path = tmp_path / "manifest.csv"
    make_manifest(dataset(table, root, None), path)
    return path


def test_with_a_manifest_the_content_is_the_key_so_a_cache_may_move(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], manifest: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere"
    shutil.copytree(root, other, copy_function=shutil.copy2)
    for verify in ("open", "read"):
        one = loader(table, other, cache, manifest=manifest, verify=verify)
        assert pictures_of(one) == filled
        assert counts(one) == (NUM, 0, 0, 0)


@pytest.mark.parametrize("verify", ["open", "read"])
def test_a_file_that_broke_its_promise_is_told_though_the_cache_has_it(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], manifest: Path, verify: Any
) -> None:
    one = loader(table, root, cache, manifest=manifest, verify=verify)
    write_picture(root / "6.png", 66, OLD_NS + 7)
    with pytest.raises(ChangedError, match=r"the dataset changed"):
        pictures_of(one)


def test_content_that_is_not_the_promised_one_is_not_taken_from_the_cache(
    table: pd.DataFrame, root: Path, cache: Path, manifest: Path
) -> None:
    """Same size, same time: stored from the changed file, asked for by a manifest of the right one."""
    path = root / "6.png"
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    os.utime(path, ns=(OLD_NS + 6, OLD_NS + 6))
    pictures_of(loader(table, root, cache))
    with pytest.raises(ChangedError, match=r"does not have the checksum") as caught:
        pictures_of(loader(table, root, cache, manifest=manifest, verify="read"))
    assert caught.value.row == 6


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_full_cache_keeps_what_is_in_and_never_exceeds_its_limit(
    table: pd.DataFrame, root: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    limit = OVERHEAD_BYTES + 6 * (90 * 60 * 3 + 16 + RECORD_BYTES)
    one = loader(table, root, mtgen.PictureCache(cache, max_bytes=limit), size=(90, 60))
    plain = pictures_of(loader(table, root, None, size=(90, 60)))
    with caplog.at_level(logging.INFO, "mtgen"):
        for epoch in range(4):
            assert pictures_of(one, epoch) == plain
            assert files_bytes(cache) <= limit
    hits, misses, stored, _ = counts(one)
    assert stored == 6
    assert (hits, misses) == (3 * stored, 4 * NUM - 3 * stored)
    assert len([line for line in caplog.messages if f"max_bytes={limit:,} used" in line]) == 1
    # And the same for a second recipe in the folder, and for a later process.
    other = loader(table, root, mtgen.PictureCache(cache, max_bytes=limit), size=(91, 60))
    pictures_of(other)
    assert counts(other)[2] == 0
    assert files_bytes(cache) <= limit


def test_a_larger_limit_lets_a_full_cache_grow(table: pd.DataFrame, root: Path, cache: Path) -> None:
    limit = OVERHEAD_BYTES + 6 * (90 * 60 * 3 + 16 + RECORD_BYTES)
    for max_bytes, expected in ((limit, (0, NUM, 6, 0)), (10 * limit, (6, 4, 4, 0)), (1 << 40, (NUM, 0, 0, 0))):
        one = loader(table, root, mtgen.PictureCache(cache, max_bytes=max_bytes), size=(90, 60))
        pictures_of(one)
        assert counts(one) == expected


def test_the_disk_keeps_its_free_bytes(
    table: pd.DataFrame, root: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = loader(table, root, mtgen.PictureCache(cache, keep_free_bytes=1 << 60))
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (0, NUM, 0, 0)
    assert len(caplog.messages) == 1
    assert f"keep_free_bytes={1 << 60:,} stay so: no more is stored" in caplog.text


def test_the_forecast_counts_the_index(table: pd.DataFrame, root: Path, cache: Path) -> None:
    one, plain = loader(table, root, cache), loader(table, root, None)
    assert cache_bytes(one.dataset.fields) == ROW_BYTES * NUM <= 24 * NUM
    assert one.forecast.parts["caches of stores"] == plain.forecast.parts["caches of stores"] + ROW_BYTES * NUM


# --- damage -----------------------------------------------------------------------------------------------------------


def test_a_damaged_picture_is_decoded_anew_counted_and_told_once(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    for slot in (2, 7):
        flip(segment(cache), slot * ROW + 11)
    one = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(one, epoch) == filled
    assert counts(one) == (2 * NUM - 2, 2, 2, 2)
    assert len(caplog.messages) == 1
    assert "some of its pictures are damaged or cannot be read; they are decoded anew" in caplog.text
    assert str(one.stats()).endswith("2 stored, 2 damaged")
    after = loader(table, root, cache)
    assert pictures_of(after) == filled
    assert counts(after) == (NUM, 0, 0, 0)


@pytest.mark.parametrize("place", range(0, RECORD_BYTES, 5))
def test_a_damaged_record_loses_its_picture_and_no_other(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], place: int
) -> None:
    flip(recipe_folder(cache) / "records", HEADER_BYTES + 4 * RECORD_BYTES + place, 128)
    one = loader(table, root, cache)
    assert pictures_of(one) == filled
    assert counts(one) == (NUM - 1, 1, 1, 0)


@pytest.mark.parametrize("num_bytes", [0, 1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 3 * RECORD_BYTES + 30])
def test_records_that_are_cut_lose_what_is_behind(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], num_bytes: int
) -> None:
    os.truncate(recipe_folder(cache) / "records", num_bytes)
    kept = max(num_bytes - HEADER_BYTES, 0) // RECORD_BYTES
    one = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(one, epoch) == filled
    assert counts(one) == (kept + NUM, NUM - kept, NUM - kept, 0)
    assert counts_of_new(table, root, cache) == (NUM, 0, 0, 0)


def counts_of_new(table: pd.DataFrame, root: Path, cache: Path) -> tuple[int, int, int, int]:
    one = loader(table, root, cache)
    pictures_of(one)
    return counts(one)


@pytest.mark.parametrize("slots", [0, 1, 4])
def test_a_segment_that_is_cut_loses_what_is_behind(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], slots: int
) -> None:
    os.truncate(segment(cache), slots * ROW + 3)
    one = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(one, epoch) == filled
    assert counts(one) == (NUM + slots, NUM - slots, NUM - slots, NUM - slots)


def test_a_segment_that_is_gone_loses_its_pictures(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    segment(cache).unlink()
    one = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(one, epoch) == filled
    assert counts(one)[1] == NUM


def test_a_segment_of_another_cache_is_not_believed(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], tmp_path: Path
) -> None:
    """Right checksums of their own do not help: a slot has the checksum of its record."""
    pictures_of(loader(table, root, tmp_path / "twin", shuffle=False, batch_size=NUM))
    shutil.copy(segment(tmp_path / "twin"), segment(cache))
    assert pictures_of(loader(table, root, cache)) == filled


def test_a_damaged_header_loses_the_recipe_and_is_begun_anew(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    flip(recipe_folder(cache) / "records", 9)
    one = loader(table, root, cache)
    assert pictures_of(one) == filled
    assert counts(one) == (0, NUM, NUM, 0)
    assert "records is damaged; what it told of is lost and will be decoded anew" in caplog.text
    assert counts_of_new(table, root, cache) == (NUM, 0, 0, 0)


def test_a_cache_that_is_removed_under_a_running_loader_changes_no_byte(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    one = loader(table, root, cache)
    pictures_of(one)
    shutil.rmtree(cache)
    for epoch in range(1, 3):
        assert pictures_of(one, epoch) == filled


def test_verify_read_sees_damage_under_a_running_loader(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes]
) -> None:
    one = loader(table, root, mtgen.PictureCache(cache, verify="read"))
    pictures_of(one)
    with segment(cache).open("r+b") as file:
        file.write(b"\0" * 3 * ROW)
    assert pictures_of(one, 1) == filled
    assert counts(one) == (2 * NUM - 3, 3, 3, 3)


# --- failing disks ----------------------------------------------------------------------------------------------------


def failing(monkeypatch: pytest.MonkeyPatch, name: str, at: int, code: int, part: str = "") -> list[int]:
    """Let the n-th and all later calls of a function of `os` fail; counts them."""
    calls: list[int] = []
    real = getattr(os, name)

    def call(*arguments: Any, **more: Any) -> Any:
        if part in str(arguments[0]):
            calls.append(1)
            if len(calls) >= at:
                raise OSError(code, os.strerror(code))
        return real(*arguments, **more)

    monkeypatch.setattr(os, name, call)
    return calls


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("at", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", ["pwritev", "ftruncate", "fsync", "replace", "makedirs"])
def test_a_disk_that_is_full_or_fails_costs_the_cache_and_nothing_else(
    table: pd.DataFrame,
    root: Path,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
    at: int,
    code: int,
) -> None:
    plain = pictures_of(loader(table, root, None))
    one = loader(table, root, mtgen.PictureCache(cache, segment_bytes=3 * ROW))
    with monkeypatch.context() as patch:
        calls = failing(patch, name, at, code)
        for epoch in range(2):
            assert pictures_of(one, epoch) == plain
        failed = len(calls) >= at
        pictures_of(one, 2)
        assert not failed or len(calls) <= at + 2, "it is not tried again and again"
    assert len([line for line in caplog.messages if "no more is stored in this run" in line]) <= 1
    if not failed:
        assert counts(one)[2] == NUM
    after = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(after, epoch) == plain


def test_short_writes_are_gone_on_with(
    table: pd.DataFrame, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwritev

    def some(handle: int, views: Any, offset: int) -> int:
        return real(handle, [memoryview(b"".join(views))[:37]], offset)

    monkeypatch.setattr(os, "pwritev", some)
    pictures_of(loader(table, root, cache))
    assert counts_of_new(table, root, cache) == (NUM, 0, 0, 0)


@pytest.mark.parametrize("name", ["preadv", "pread"])
def test_a_cache_that_cannot_be_read_is_done_without(
    table: pd.DataFrame,
    root: Path,
    cache: Path,
    filled: dict[int, bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    failing(monkeypatch, name, 1, errno.EIO)
    one = loader(table, root, cache)
    assert pictures_of(one) == filled
    assert counts(one)[:2] == (0, NUM)
    assert caplog.messages


def test_a_folder_that_may_not_be_written_is_read(
    table: pd.DataFrame, root: Path, cache: Path, filled: dict[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(root / "0.png", 50, OLD_NS + 50)
    real = os.open

    def read_only(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if str(cache) in str(path) and flags & (os.O_RDWR | os.O_WRONLY):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", read_only)
    one = loader(table, root, cache)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (NUM - 1, 1, 0, 0)


def test_segments_beyond_those_kept_open_are_read_too(
    table: pd.DataFrame, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtgen.cache.segments.MOST_OPEN", 2)
    monkeypatch.setattr("mtgen.cache.bound.MOST_OPEN", 2)
    plain = pictures_of(loader(table, root, None))
    one = loader(table, root, mtgen.PictureCache(cache, segment_bytes=ROW))
    before = len(os.listdir("/proc/self/fd"))
    for epoch in range(3):
        assert pictures_of(one, epoch) == plain
    assert counts(one) == (2 * NUM, NUM, NUM, 0)
    assert len(os.listdir("/proc/self/fd")) <= before + 2 + 2  # two segments, the records, the lock


# --- what stands in the folder ----------------------------------------------------------------------------------------


def test_the_folder_is_a_zarr_array_that_others_open(table: pd.DataFrame, root: Path, cache: Path) -> None:
    zarr = pytest.importorskip("zarr")
    tensorstore = pytest.importorskip("tensorstore")
    cached = mtgen.PictureCache(cache, segment_bytes=4 * ROW)
    plain = pictures_of(loader(table, root, None))
    pictures_of(loader(table, root, cached, shuffle=False, batch_size=5))
    folder = recipe_folder(cache)
    expected = [plain[row] for row in range(NUM)] + [bytes(ROW)] * 2
    array = zarr.open(str(folder), mode="r")
    assert [one.tobytes() for one in array[:]] == expected
    opened = tensorstore.open({"driver": "zarr3", "kvstore": {"driver": "file", "path": str(folder)}}).result()
    assert [one.tobytes() for one in opened.read().result()] == expected
    assert mtgen.open_store(str(folder)).num_rows == 12
    assert array.attrs["recipe"]["size"] == [6, 5]


def test_a_folder_of_something_else_is_refused_and_nothing_is_written(table: pd.DataFrame, root: Path) -> None:
    before = sorted(os.listdir(root))
    with pytest.raises(StoreError) as caught:
        dataset(table, root, root)
    assert str(caught.value) == (
        f"it is no picture cache of mtgen, and nothing is written into it: name an empty or a new folder [path {root}]"
    )
    assert sorted(os.listdir(root)) == before


def test_a_file_in_the_place_of_the_folder_is_refused(table: pd.DataFrame, root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(StoreError, match=r"the picture cache cannot be opened .*name a folder"):
        dataset(table, root, tmp_path / "file")


@pytest.mark.parametrize("content", ['{"version": 99}', "{", "[]", ""])
def test_a_cache_of_another_version_is_refused(table: pd.DataFrame, root: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MARK).write_text(content)
    with pytest.raises(StoreError, match=r"damaged or of another version .*this is 1\): remove the folder"):
        dataset(table, root, tmp_path / "other")


def test_the_mark_says_what_the_folder_is(cache: Path, filled: dict[int, bytes]) -> None:
    assert json.loads((cache / MARK).read_text()) == {"version": 1, "holds": "decoded pictures"}


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mtgen.PictureCache(3), "the path of a picture cache must be a folder, received 3 (int)"),  # type: ignore[arg-type]
        (lambda: mtgen.PictureCache(""), "the path of a picture cache must be a folder, received '' (str)"),
        (lambda: mtgen.PictureCache("a\0b"), "must be a folder, received"),
        (lambda: mtgen.PictureCache("a", max_bytes=0), "max_bytes must be an integer >= 1 or None, received 0 (int)"),
        (lambda: mtgen.PictureCache("a", keep_free_bytes=-1), "keep_free_bytes must be an integer >= 0, received -1"),
        (lambda: mtgen.PictureCache("a", segment_bytes=0), "segment_bytes must be an integer >= 1, received 0 (int)"),
        (
            lambda: mtgen.PictureCache("a", verify="always"),  # type: ignore[arg-type]
            "a picture cache's verify must be 'first' or 'read', received 'always' (str)",
        ),
        (
            lambda: mtgen.Images("path", size=(2, 2), cache=True),  # type: ignore[arg-type]
            "cache must be a folder, a PictureCache(...) or None, received True (bool)",
        ),
    ],
)
def test_settings_that_mean_nothing_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(PlanError, match=re.escape(message)):
        make()


def test_a_limit_below_one_picture_is_refused_when_the_table_is_bound(
    table: pd.DataFrame, root: Path, cache: Path
) -> None:
    with pytest.raises(PlanError, match=r"max_bytes=5,000 holds not one picture of \(6, 5, 3\) uint8: it takes 8,362"):
        dataset(table, root, mtgen.PictureCache(cache, max_bytes=5000))
    assert not cache.exists()


def test_a_cache_is_no_part_of_what_a_dataset_is(table: pd.DataFrame, root: Path, cache: Path) -> None:
    """So a run goes on with or without it."""
    plain, cached = loader(table, root, None), loader(table, root, cache)
    assert plain.dataset.digests == cached.dataset.digests
    assert plain.dataset.fields[0].bound.settings() == cached.dataset.fields[0].bound.settings()
    for one, other in ((plain, cached), (cached, plain)):
        other.restore(one.state(5))
        assert other.step == 5


# --- forks ------------------------------------------------------------------------------------------------------------


FORKS = """
import json, os, sys
from pathlib import Path
import pandas as pd
from tests.support.cached import counts, loader, pictures_of

root, cache = map(Path, sys.argv[1:])
table = pd.DataFrame({"path": [f"{number}.png" for number in range(10)], "y": range(10)})
plain = pictures_of(loader(table, root, None))
one = loader(table, root, cache)
(batch,) = one.steps(0, 1)
child = os.fork()
if not child:
    print(json.dumps([pictures_of(one, 1) == plain, *counts(one)]), flush=True)
    os._exit(0)
while os.waitpid(child, os.WNOHANG) == (0, 0):
    pass
print(json.dumps([pictures_of(one, 1) == plain, *counts(one)]), flush=True)
"""


def test_a_forked_child_reads_and_leaves_writing_to_its_parent(table: pd.DataFrame, root: Path, cache: Path) -> None:
    """In a process of its own: libraries that others have loaded here do not like forks."""
    project = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", FORKS, str(root), str(cache)],
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    child, parent = map(json.loads, done.stdout.splitlines())
    assert child == [True, 4, 4 + 6, 4, 0]  # stored: what the parent had counted before the fork
    assert parent == [True, 4, 4 + 6, NUM, 0]


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="no folder here in which nobody can make one")
def test_a_folder_that_cannot_be_made_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It was said at a level that nobody sees, and training went on without a cache for good."""
    table = make_pictures(tmp_path / "pictures", 4)
    with caplog.at_level("WARNING", "mtgen"), loader(table, tmp_path / "pictures", "/proc/no-place") as one:
        assert len(pictures_of(one)) == 4
    assert "nothing is added to it meanwhile" in caplog.text
    assert counts(one)[2] == 0
