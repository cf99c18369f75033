"""The cache of pictures in real processes: killed while it is filled, shared by several, filled ahead from a shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import mtgen
from mtgen.cache.layout import OVERHEAD_BYTES, RECORD_BYTES
from mtgen.cli import app
from mtgen.errors import ChangedError, PlanError, StoreError
from tests.support.cached import (
    OLD_NS,
    counts,
    dataset,
    files_bytes,
    flip,
    loader,
    make_pictures,
    pictures_of,
    segment,
    write_picture,
)

ROOT = Path(__file__).resolve().parents[2]
NUM = 60

CHILD = """
import itertools, os, signal, sys
from pathlib import Path
import pandas as pd
from tests.support.cached import counts, loader, pictures_of
import mtgen

root, cache, name, at, done = sys.argv[1:6]
calls = itertools.count(1)
real = getattr(os, name) if name else None

def call(*arguments, **more):
    left = int(at) - next(calls)
    if left == 0 and done == "half":
        handle, views, offset = arguments
        real(handle, [memoryview(b"".join(views))[: sum(map(len, views)) // 2]], offset)
    if left == 0 and done == "yes":
        real(*arguments, **more)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **more)

if name:
    setattr(os, name, call)
table = pd.read_csv(Path(root) / "table.csv")
one = loader(table, Path(root), mtgen.PictureCache(cache, segment_bytes=1000), num_workers=2)
print("ready", flush=True)
sys.stdin.readline()
for epoch in range(2):
    found = pictures_of(one, epoch)
import hashlib
text = b"".join(found[row] for row in sorted(found))
print(hashlib.sha256(text).hexdigest(), *counts(one), flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def table(root: Path) -> pd.DataFrame:
    table = make_pictures(root, NUM)
    table.to_csv(root / "table.csv", index=False)
    return table


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def child(root: Path, cache: Path) -> Iterator[Start]:
    """Starts a process that fills the cache; whatever becomes of the test, it is ended."""
    with ExitStack() as ends:

        def start(name: str = "", at: int = 0, done: str = "no") -> subprocess.Popen[str]:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", "-c", CHILD, str(root), str(cache), name, str(at), done],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            ends.enter_context(process)
            ends.callback(process.kill)
            return process

        yield start


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def end(process: subprocess.Popen[str]) -> int:
    go(process)
    return process.wait(60)


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize(
    ("name", "at", "done"),
    [
        ("pwritev", 1, "half"),  # the table of the first segment
        ("pwritev", 2, "no"),  # before the first pictures
        ("pwritev", 8, "half"),  # in the middle of pictures or records
        ("pwritev", 13, "half"),
        ("pwritev", 14, "yes"),
        ("pwritev", 21, "yes"),
        ("ftruncate", 3, "no"),
        ("replace", 2, "no"),  # the array's metadata
        ("replace", 3, "yes"),
    ],
)
def test_kill_9_while_it_is_filled_loses_what_was_being_written_and_nothing_else(
    table: pd.DataFrame, root: Path, cache: Path, child: Start, name: str, at: int, done: str
) -> None:
    process = child(name, at, done)
    assert line(process) == "ready"
    go(process)
    assert process.wait(60) == -signal.SIGKILL
    plain = pictures_of(loader(table, root, None))
    whole = sound_records(cache)
    one = loader(table, root, cache)
    for epoch in range(2):
        assert pictures_of(one, epoch) == plain
    hits, misses, stored, damaged = counts(one)
    assert (hits, misses, stored, damaged) == (2 * NUM - misses, NUM - whole, NUM - whole, 0)
    again = loader(table, root, cache)
    assert pictures_of(again) == plain
    assert counts(again) == (NUM, 0, 0, 0)


def sound_records(cache: Path) -> int:
    """Pictures that the records on disk tell of, each row counted once."""
    from mtgen.cache.layout import HEADER_BYTES, names_of, sound

    found = [one / "records" for one in cache.iterdir() if one.is_dir() and (one / "records").exists()]
    if not found:
        return 0
    content = found[0].read_bytes()[HEADER_BYTES:]
    words = np.frombuffer(content[: len(content) // RECORD_BYTES * RECORD_BYTES], "<u8").reshape(-1, 8)
    return len(np.unique(names_of(words)[sound(words, 0)], axis=0))


# --- shared -----------------------------------------------------------------------------------------------------------


def test_two_processes_fill_and_read_one_cache_at_the_same_time(
    table: pd.DataFrame, root: Path, cache: Path, child: Start
) -> None:
    """One writes, both deliver the right bytes; afterwards everything is there."""
    both = [child() for _ in range(2)]
    for process in both:
        assert line(process) == "ready"
    for process in both:
        go(process)
    answers = [line(process).split() for process in both]
    assert [end(process) for process in both] == [0, 0]
    assert answers[0][0] == answers[1][0]
    counted = [[int(number) for number in answer[1:]] for answer in answers]
    # Workers are ahead of what is asked for.
    assert all(hits + misses >= 2 * NUM and damaged == 0 for hits, misses, _, damaged in counted)
    stored = [one[2] for one in counted]
    assert sum(stored) >= NUM
    # Who came second stores nothing as long as the first one lives; both live until the end.
    assert min(stored) == 0
    one = loader(table, root, cache)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (NUM, 0, 0, 0)


def test_who_only_reads_sees_what_the_writer_stores_meanwhile_and_writes_when_that_one_is_gone(
    table: pd.DataFrame, root: Path, cache: Path, child: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtgen.cache.folder.TRY_AGAIN", 1)
    plain = pictures_of(loader(table, root, None))
    process = child()
    assert line(process) == "ready"
    reader = loader(table, root, cache)
    assert not reader.dataset.fields[0].bound.cache.has(np.arange(NUM)).any()
    go(process)
    answer = line(process).split()
    assert int(answer[3]) >= NUM
    write_picture(root / "0.png", 500, OLD_NS + 500)
    plain = pictures_of(loader(table, root, None))
    assert pictures_of(reader) == plain
    assert counts(reader) == (NUM - 1, 1, 0, 0)  # the writer lives
    assert end(process) == 0
    for epoch in range(1, 4):
        assert pictures_of(reader, epoch) == plain
    hits, misses, stored, damaged = counts(reader)
    assert (stored, damaged) == (1, 0)
    assert hits + misses == 4 * NUM
    assert misses <= 3


def test_many_threads_read_and_write_at_once(table: pd.DataFrame, root: Path, cache: Path) -> None:
    plain = pictures_of(loader(table, root, None))
    one = loader(table, root, mtgen.PictureCache(cache, segment_bytes=500), num_workers=4, batch_size=3)
    wrong: list[object] = []

    def run(epoch: int) -> None:
        try:
            if pictures_of(one, epoch) != plain:
                wrong.append(epoch)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=run, args=(epoch,)) for epoch in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    hits, misses, stored, damaged = counts(one)
    assert hits + misses >= 6 * NUM
    assert NUM <= stored <= misses
    assert damaged == 0
    after = loader(table, root, cache)
    assert pictures_of(after) == plain
    assert counts(after) == (NUM, 0, 0, 0)


# --- ahead ------------------------------------------------------------------------------------------------------------


def test_packing_fills_the_cache_and_the_loader_decodes_nothing(table: pd.DataFrame, root: Path, cache: Path) -> None:
    packed = mtgen.pack_images(dataset(table, root, cache), verify=True)
    assert (packed.num_pictures, packed.num_there, packed.num_stored, packed.num_left) == (NUM, 0, NUM, 0)
    assert str(packed) == f"{cache}: 60 pictures stored, each compared with its file"
    one = loader(table, root, cache)
    assert pictures_of(one) == pictures_of(loader(table, root, None))
    assert counts(one) == (NUM, 0, 0, 0)
    again = mtgen.pack_images(dataset(table, root, cache))
    assert str(again) == f"{cache}: 0 pictures stored, 60 were there"


def test_packing_some_rows_packs_them_alone_and_each_file_once(table: pd.DataFrame, root: Path, cache: Path) -> None:
    table = pd.concat([table, table.iloc[:10]], ignore_index=True)
    data = dataset(table, root, cache)
    assert mtgen.pack_images(data.take([5, 3, 65])).num_stored == 2
    assert mtgen.pack_images(data).num_stored == NUM - 2


def test_bad_pictures_are_listed_and_left_out(table: pd.DataFrame, root: Path, cache: Path) -> None:
    (root / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (root / "9.png").unlink()
    packed = mtgen.pack_images(dataset(table, root, cache))
    assert packed.report.rows.tolist() == [7, 9]
    assert packed.num_stored == NUM - 2
    text = str(packed)
    assert f"{cache}: 58 pictures stored, 2 are bad and are left to on_error\n" in text
    assert f"row 9, {root / '9.png'}: cannot read the picture: No such file" in text


def test_packing_finds_and_mends_what_is_damaged(table: pd.DataFrame, root: Path, cache: Path) -> None:
    mtgen.pack_images(dataset(table, root, cache))
    flip(segment(cache), 100)
    packed = mtgen.pack_images(dataset(table, root, cache))
    assert (packed.num_there, packed.num_stored) == (NUM - 1, 1)


def test_verify_finds_a_picture_whose_file_changed_without_a_trace(
    table: pd.DataFrame, root: Path, cache: Path
) -> None:
    from PIL import Image

    for number, shade in ((0, 10), (0, 11)):  # one size, one time
        Image.new("RGB", (12, 12), (shade, 0, 0)).save(root / f"{number}.png")
        os.utime(root / f"{number}.png", ns=(OLD_NS, OLD_NS))
        if shade == 10:
            size = (root / "0.png").stat().st_size
            mtgen.pack_images(dataset(table, root, cache))
    assert (root / "0.png").stat().st_size == size
    packed = mtgen.pack_images(dataset(table, root, cache), verify=True)
    assert packed.report.rows.tolist() == [0]
    assert "what is in the cache differs from the file" in str(packed)


def test_packing_into_too_little_room_says_how_many_are_left(table: pd.DataFrame, root: Path, cache: Path) -> None:
    limit = OVERHEAD_BYTES + 20 * (90 * 60 * 3 + 16 + RECORD_BYTES)
    settings: dict[str, Any] = {"size": (90, 60)}
    packed = mtgen.pack_images(dataset(table, root, mtgen.PictureCache(cache, max_bytes=limit), **settings))
    assert packed.num_left == NUM - packed.num_stored
    assert 16 <= packed.num_stored <= 20
    assert f"{packed.num_left} did not fit or were modified within the last seconds" in str(packed)
    assert files_bytes(cache) <= limit


def test_packing_without_a_cache_or_into_one_that_is_being_written_is_refused(
    table: pd.DataFrame, root: Path, cache: Path, child: Start
) -> None:
    with pytest.raises(PlanError, match=r"no input of the dataset has a cache to fill: mtgen.Images\(..., cache="):
        mtgen.pack_images(dataset(table, root, None))
    process = child()
    assert line(process) == "ready"
    go(process)
    line(process)
    write_picture(root / "0.png", 500, OLD_NS + 500)
    with pytest.raises(
        StoreError, match=rf"cannot be stored: process {process.pid} on host .* writes into this folder"
    ):
        mtgen.pack_images(dataset(table, root, cache))
    assert end(process) == 0


def test_a_changed_dataset_ends_the_packing(table: pd.DataFrame, root: Path, cache: Path, tmp_path: Path) -> None:
    from mtgen.verify import make_manifest

    make_manifest(dataset(table, root, None), tmp_path / "manifest.csv")
    data = dataset(table, root, cache, manifest=tmp_path / "manifest.csv")
    write_picture(root / "4.png", 400, OLD_NS + 400)
    with pytest.raises(ChangedError, match=r"the dataset changed"):
        mtgen.pack_images(data, num_workers=0)


def test_a_disk_that_fails_while_packing_is_an_error(
    table: pd.DataFrame, root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.pwritev, []

    def full(*arguments: Any) -> int:
        calls.append(1)
        if len(calls) > 5:
            raise OSError(28, os.strerror(28))
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwritev", full)
        data = dataset(table, root, cache)
        with pytest.raises(StoreError, match=r"the pictures cannot be stored: .*No space left.*check space and rights"):
            mtgen.pack_images(data, num_workers=0)
    packed = mtgen.pack_images(data)  # there is room again
    assert packed.num_there + packed.num_stored == NUM
    assert packed.num_there > 0


# --- from a shell -----------------------------------------------------------------------------------------------------


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["pack", *map(str, arguments)])


def test_pack_images_from_a_shell(table: pd.DataFrame, root: Path, cache: Path, tmp_path: Path) -> None:
    (root / "7.png").write_bytes(b"")
    arguments = [root / "table.csv", cache, "--images", "--column", "path", "--root", root, "--size", 6, 5]
    done = run(*arguments, "--report", tmp_path / "bad.csv", "--verify")
    assert done.exit_code == 0, done.output
    assert (
        f"{cache}: 59 pictures stored, 1 are bad and are left to on_error, each compared with its file" in done.output
    )
    assert (tmp_path / "bad.csv").read_text().splitlines()[1].startswith("7,")
    assert "59 were there" in run(*arguments).output
    one = loader(table, root, cache, on_error="mask")
    pictures_of(one)
    assert counts(one)[:2] == (NUM - 1, 1)
    other = run(*arguments, "--color", "grayscale", "--recipe", "fast", "--fit", "pad", "--workers", 1)
    assert "59 pictures stored" in other.output
    assert len([one for one in cache.iterdir() if one.is_dir()]) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images"], "--images needs the column of paths and one size: --column imgpath --size 150 150"),
        (["--images", "--column", "path", "--size", 5, 5, "--codec", "lz4"], "--codec and --block-rows are for stores"),
        (["--column", "path", "--workers", 2], "--column, --workers without --images"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    table: pd.DataFrame, root: Path, cache: Path, options: list[Any], message: str
) -> None:
    done = run(root / "table.csv", cache, *options)
    assert done.exit_code == 1
    assert message in done.output
    assert not cache.exists()


def test_processes_fill_the_cache_and_find_it_filled(table: pd.DataFrame, root: Path, cache: Path) -> None:
    """Pictures that processes decoded are stored by the parent, under the identity that the process saw."""
    with loader(table, root, None, num_workers=2) as plain:
        expected = pictures_of(plain, 0)
    with loader(table, root, mtgen.PictureCache(cache), num_workers=2, num_processes=2) as cold:
        assert pictures_of(cold, 0) == expected
        stored = cold.stats()
    assert stored.num_cache_damaged == 0
    assert stored.num_cache_misses >= stored.num_cache_stored >= NUM  # some are decoded twice, by two at once
    with loader(table, root, mtgen.PictureCache(cache), num_workers=2, num_processes=2) as warm:
        assert pictures_of(warm, 0) == expected
        found = warm.stats()
    assert (found.num_cache_misses, found.num_cache_stored, found.num_cache_damaged) == (0, 0, 0)
    assert found.num_cache_hits >= NUM
