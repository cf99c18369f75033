"""Files that hang: a pipe in a folder of chunks, whose `open` waits in the kernel as that of a lost network drive does.

A stall says what each worker does, with which file and for how long; the log says so before; and once the file answers,
everything goes on.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtgen
from mtgen.config import Prefetch
from mtgen.errors import StallError
from mtgen.stores import ChunkedStore, OpenStore
from tests.support.samples import content, features, tight_loader
from tests.support.waiting import eventually, threads_gone

pytestmark = [
    pytest.mark.usefixtures("no_thread_left"),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names"),
]

NUM_ROWS = 12
CHUNK_ROWS = 2
STALL_SECONDS = 2.6
"""Three pieces of a wait later than the second warning: they come after a second each."""


class FolderStore(ChunkedStore):
    """A file per chunk, opened as a user's own store would: with nothing against pipes."""

    def __init__(self, folder: str) -> None:
        self.location = folder
        self.chunk_rows = CHUNK_ROWS
        self.set_shape((NUM_ROWS, 3), np.dtype("f4"))

    def reopening(self) -> tuple[Callable[..., OpenStore], tuple[Any, ...]]:
        return FolderStore, (self.location,)

    def read_chunk(self, chunk: int) -> np.ndarray:
        with open(f"{self.location}/{chunk}", "rb") as file:
            return np.frombuffer(file.read(), "f4").reshape(-1, 3)


class Folder:
    """The chunks; `hang` makes some of them pipes, `answer` lets all who wait there have what they want."""

    def __init__(self, path: Path) -> None:
        self.path, self.hanging = path, list[int]()
        path.mkdir()
        for chunk in range(NUM_ROWS // CHUNK_ROWS):
            self.chunk_path(chunk).write_bytes(self.bytes_of(chunk))

    def chunk_path(self, chunk: int) -> Path:
        return self.path / str(chunk)

    def bytes_of(self, chunk: int) -> bytes:
        return features(NUM_ROWS)[chunk * CHUNK_ROWS : (chunk + 1) * CHUNK_ROWS].tobytes()

    def hang(self, *chunks: int) -> None:
        for chunk in chunks:
            self.chunk_path(chunk).unlink()
            os.mkfifo(self.chunk_path(chunk))
        self.hanging += chunks

    def answer(self) -> None:
        for chunk in self.hanging:
            pipe = self.chunk_path(chunk).rename(self.path / f"pipe of {chunk}")
            self.chunk_path(chunk).write_bytes(self.bytes_of(chunk))
            try:
                file = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody waits there
                continue
            os.write(file, self.bytes_of(chunk))
            os.close(file)
        self.hanging.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path / "chunks")
    yield made
    made.answer()
    assert threads_gone()


def make_loader(folder: Folder, num_workers: int, **settings: Any) -> mtgen.Loader:
    table = pd.DataFrame({"number": range(NUM_ROWS)})
    data = mtgen.Dataset(table, {"x": mtgen.Rows(FolderStore(str(folder.path)), index="number")}, targets="number")
    prefetch = Prefetch(**{"window": 1, "depth": 2, "stall_seconds": STALL_SECONDS, **settings})
    return tight_loader(data, CHUNK_ROWS, shuffle=False, num_workers=num_workers, prefetch=prefetch)


def test_a_stall_names_stage_file_and_age_of_each_worker_and_the_log_says_so_before(
    folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    loader = make_loader(folder, 2)
    expected = [content(batch) for batch in loader.epoch(0)]
    folder.hang(1, 2)
    with caplog.at_level(logging.WARNING, "mtgen"), pytest.raises(StallError) as caught:
        list(loader.epoch(0))
    each = rf"mtgen-\d+-worker-\d: gather 2 rows of {re.escape(str(folder.path))} for (\d+\.\d) s"
    report = rf"Workers: {each}; {each}"
    assert re.fullmatch(
        rf"no batch for 2\.6 s\. {report}\. A file system may hang; give Prefetch\(stall_seconds=\.\.\.\) more time if "
        rf"such waits are normal here \[step 1\]",
        str(caught.value),
    )
    warned = [record.getMessage() for record in caplog.records]
    ages = []
    for number, text in enumerate(warned, 1):
        found = re.fullmatch(rf"no batch for {number} s, an error after 2\.6 s \[step 1\]\. {report}", text)
        assert found, text
        ages.append(float(found[1]))
    assert len(ages) == 2
    assert ages[0] < ages[1]

    folder.answer()
    assert [content(batch) for batch in loader.epoch(0)] == expected
    loader.close()


def test_a_worker_that_hangs_does_not_keep_the_others_from_their_batches(folder: Folder) -> None:
    loader = make_loader(folder, 3, depth=4)  # reads ahead into the next epoch, where it hangs once more
    expected = [content(batch) for batch in loader.epoch(0)]
    folder.hang(3)
    stream = loader.stream()
    assert [content(stream.get(step)[0]) for step in (0, 1, 2, 4, 5)] == [expected[step] for step in (0, 1, 2, 4, 5)]
    folder.answer()
    loader.close()


def test_without_workers_whoever_waits_for_the_thread_that_hangs_is_told_of_it(folder: Folder) -> None:
    loader = make_loader(folder, 0, window=2)
    expected = [content(batch) for batch in loader.steps(0, 4)]
    stream = loader.stream()
    assert content(stream.get(0)[0]) == expected[0]
    folder.hang(1, 2)
    found: list[Any] = []
    reader = threading.Thread(target=lambda: found.append(content(stream.get(1)[0])), name="reader")
    reader.start()
    assert eventually(lambda: "reader" in "".join(stream._ahead.crew.report()))
    with pytest.raises(StallError) as caught:
        stream.get(2)  # planned in one window with step 1, so that thread has it in work
    each = rf"reader \(num_workers=0, it reads itself\): gather \d rows of {re.escape(str(folder.path))} for \d+\.\d s"
    assert re.match(rf"no batch for 2\.6 s\. Workers: {each}\. A file system", str(caught.value)), caught.value
    folder.answer()
    reader.join(20)
    assert found == [expected[1]]
    assert content(stream.get(2)[0]) == expected[2]
    loader.close()


def test_closing_a_loader_whose_reader_hangs_ends_in_time(folder: Folder) -> None:
    loader = make_loader(folder, 1, stall_seconds=0.2)
    folder.hang(0)
    with pytest.raises(StallError, match=r"\[step 0\]"):
        loader.batch(0)
    loader.close()  # waits two seconds at most for the thread, and leaves it to itself
    folder.answer()
    assert threads_gone()
    assert len(list(loader.epoch(0))) == NUM_ROWS // CHUNK_ROWS
    loader.close()
