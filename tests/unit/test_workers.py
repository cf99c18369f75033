"""The pool: starts threads when there is work, retires them, stops them, and never loses a job."""

from __future__ import annotations

import logging
import threading
from typing import Any

import numpy as np
import pytest

import mtgen
from mtgen.crew import Crew, Entry, Ticket
from mtgen.errors import PlanError, StallError
from mtgen.pending import Job, Pending
from mtgen.waits import Note
from mtgen.workers import WorkerPool, default_num_workers
from tests.support.waiting import eventually, threads_gone, worker_threads

pytestmark = pytest.mark.usefixtures("no_thread_left")

HELD = Ticket()
"""Jobs run while somebody holds their ticket."""


def counting(done: list[int], number: int) -> Job:
    def run(note: Note) -> None:
        done.append(number)

    return Job(run=run)


def test_all_jobs_are_done_in_order_by_one_worker() -> None:
    pool, done = WorkerPool(1), list[int]()
    for number in range(0, 40, 4):
        pool.submit(HELD, [counting(done, number + place) for place in range(4)])
    assert eventually(lambda: len(done) == 40)
    assert done == list(range(40))
    pool.stop()


def test_jobs_run_side_by_side_on_as_many_workers_as_asked_for() -> None:
    together, met = threading.Barrier(3), list[int]()

    def run(note: Note) -> None:
        met.append(together.wait(20))  # returns only when all three are in it

    pool = WorkerPool(3)
    pool.submit(HELD, [Job(run=run) for _ in range(3)])
    assert eventually(lambda: sorted(met) == [0, 1, 2])
    assert len(worker_threads()) <= 3
    pool.stop()


def test_threads_start_with_work_only_and_retire_without() -> None:
    pool, done = WorkerPool(2), list[int]()
    assert worker_threads() == []
    pool.submit(HELD, [counting(done, 0)])
    assert eventually(lambda: done == [0])
    assert threads_gone()
    pool.submit(HELD, [counting(done, 1)])
    assert eventually(lambda: done == [0, 1])
    pool.stop()


def test_withdrawn_jobs_are_skipped() -> None:
    pool, done, ticket = WorkerPool(1), list[int](), Ticket()
    hold, go = threading.Event(), threading.Event()

    def wait(note: Note) -> None:
        hold.set()
        assert go.wait(20)

    pool.submit(ticket, [Job(run=wait), *(counting(done, number) for number in range(5))])
    assert hold.wait(20)
    ticket.withdrawn = True
    pool.submit(HELD, [counting(done, 99)])
    go.set()
    assert eventually(lambda: bool(done))
    assert done == [99]
    pool.stop()


def test_stopping_joins_the_threads_and_submitting_starts_new_ones() -> None:
    pool, done = WorkerPool(2), list[int]()
    pool.submit(HELD, [counting(done, number) for number in range(4)])
    assert eventually(lambda: len(done) == 4)
    pool.stop()
    assert worker_threads() == []
    pool.submit(HELD, [counting(done, 9)])
    assert eventually(lambda: 9 in done)
    pool.stop()


class StoppedOnTheDoorstep:
    """A lock that lets another thread stop the pool before the first to come gets in."""

    def __init__(self, pool: WorkerPool) -> None:
        self.shared, self.stopper = pool._crew, threading.Thread(target=pool.stop)
        self.lock, self.shared.lock = self.shared.lock, self  # type: ignore[assignment]

    def __enter__(self) -> None:
        self.shared.lock = self.lock
        self.stopper.start()
        assert eventually(lambda: self.shared.stopped)
        self.lock.acquire()

    def __exit__(self, *error: object) -> None:
        self.lock.release()


def test_no_job_is_lost_between_stopping_and_submitting() -> None:
    """A job queued behind the word to stop was never run, and its batch waited for the whole deadline."""
    pool, done = WorkerPool(1), list[int]()
    hold, go = threading.Event(), threading.Event()

    def wait(note: Note) -> None:
        hold.set()
        assert go.wait(20)

    pool.submit(HELD, [Job(run=wait)])
    assert hold.wait(20)
    doorstep = StoppedOnTheDoorstep(pool)
    pool.submit(HELD, [counting(done, 1)])
    go.set()
    doorstep.stopper.join(20)
    assert eventually(lambda: done == [1], seconds=5)
    pool.stop()


def test_submitting_and_stopping_at_once_loses_no_job() -> None:
    pool = WorkerPool(2)
    num_jobs, over = 1_000, threading.Event()
    finished: list[int] = []

    class Counted(Job):
        """Counts itself whether it was performed or skipped."""

        def perform(self, note: Note) -> None:
            finished.append(1)

        def skip(self) -> None:
            finished.append(0)

    def stop_again_and_again() -> None:
        while not over.is_set():
            pool.stop()

    stopper = threading.Thread(target=stop_again_and_again)
    stopper.start()
    try:
        for _ in range(num_jobs):
            pool.submit(HELD, [Counted(run=lambda note: None)])
    finally:
        over.set()
        stopper.join()
    assert eventually(lambda: len(finished) == num_jobs)
    pool.stop()


def test_a_worker_survives_what_is_no_exception() -> None:
    """SystemExit ended the thread, which went on counting as a worker."""
    pool, done = WorkerPool(1), list[int]()

    def leave(note: Note) -> None:
        raise SystemExit

    pool.submit(HELD, [Job(run=leave), counting(done, 1)])
    assert eventually(lambda: done == [1])
    assert len(worker_threads()) == 1
    pool.stop()


def test_a_thread_that_cannot_start_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """It went on counting as a worker, and stopping the pool failed to join it."""

    def no_more(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, done = WorkerPool(1), list[int]()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        job = Job(run=lambda note: done.append(1), serves=(pending := Pending([], np.arange(3), 3, 7, 0),))
        pending.expect(1)
        pool.submit(HELD, [job])
        assert pending.done.wait(20)
    with pytest.raises(
        StallError, match=r"no worker thread can be started \(RuntimeError: can't start new thread\).*7"
    ):
        pending.batch()
    pool.submit(HELD, [counting(done, 2)])
    assert eventually(lambda: done == [2])
    pool.stop()


def test_a_thread_that_dies_at_work_fails_its_batch_at_once_and_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pool, done = WorkerPool(1), list[int]()
    once = iter([True])

    def dies(crew: Crew, entry: Entry) -> None:
        if next(once, False):
            raise MemoryError("no room for a frame")
        close(crew, entry)

    close = Crew.close
    monkeypatch.setattr(Crew, "close", dies)
    ticket = Ticket()
    pool.submit(ticket, [Job(run=lambda note: note("read a.png")), counting(done, 1)])
    assert eventually(lambda: done == [1])
    assert "worker-0 ended while it was to 'read a.png' (MemoryError: no room for a frame)" in caplog.text
    pool.submit(ticket, [counting(done, 2)])
    assert eventually(lambda: done == [1, 2])
    pool.stop()


def test_a_thread_that_is_gone_without_a_word_fails_its_batch_and_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been ended from outside: no line of Python runs in it any more."""
    pool, done = WorkerPool(1), list[int]()
    pending = Pending((), np.arange(1), 1, 7, 0)
    pending.expect(1)
    taken = threading.Event()

    def vanishes(crew: Crew, worker: Any) -> None:
        crew.claim(worker)
        worker.note("read a.png")
        taken.set()

    with monkeypatch.context() as patch:
        patch.setattr("mtgen.crew._work", vanishes)
        ticket = Ticket()
        pool.submit(ticket, [Job(run=lambda note: None, serves=(pending,)), counting(done, 1)])
        assert taken.wait(20)

    def given_up() -> bool:
        pool.attend(pending)
        return pending.done.is_set()

    assert eventually(given_up)
    with pytest.raises(StallError, match=r"ended while it was to 'read a.png' .*the thread is gone.*them again"):
        pending.batch()
    assert eventually(lambda: done == [1])
    pool.stop()


def test_a_thread_that_could_not_start_for_want_of_memory_is_found_also_where_nobody_could_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The starter itself ran out of memory: its batch waited for ten seconds and more, and the error was of a stall."""
    pool, told = WorkerPool(1), list[int]()
    pending = Pending((), np.arange(1), 1, 7, 0)
    pending.expect(1)

    def none(thread: threading.Thread) -> None:
        raise MemoryError

    def cannot(crew: Crew, worker: Any, error: BaseException) -> None:
        told.append(1)
        if len(told) == 1:
            raise MemoryError
        not_started(crew, worker, error)

    not_started = Crew.not_started
    monkeypatch.setattr(Crew, "not_started", cannot)
    ticket = Ticket()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none)
        pool.submit(ticket, [Job(run=lambda note: None, serves=(pending,))])
        assert eventually(lambda: told == [1])
        pool.attend(pending)
    with pytest.raises(StallError, match=r"no worker thread can be started \(MemoryError: \)"):
        pending.batch()
    done = list[int]()
    pool.submit(ticket, [counting(done, 1)])
    assert eventually(lambda: done == [1])
    pool.stop()


def test_a_batch_that_nobody_has_in_work_is_an_error_at_once() -> None:
    pool = WorkerPool(1)
    pending = Pending((), np.arange(1), 1, 7, 0)
    with pytest.raises(StallError, match=r"no worker has this batch in work.*ask for the batch again \[step 7\]"):
        pool.attend(pending)


def test_the_log_is_not_written_to_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler of the log may wait for another thread, and that one for the pool."""

    def none(*arguments: Any) -> int:
        raise RuntimeError("can't start new thread")

    pool, free = WorkerPool(1), list[bool]()

    def look(record: Any) -> bool:
        looker = threading.Thread(target=lambda: free.append(pool._crew.lock.acquire(timeout=0.2)))
        looker.start()
        looker.join(20)
        return True

    log = logging.getLogger("mtgen")
    log.addFilter(look)
    try:
        with monkeypatch.context() as patch:
            # `threading` has a name of its own for it, and the filter's thread starts.
            patch.setattr("_thread.start_new_thread", none)
            pool.submit(HELD, [Job(run=lambda note: None)])
    finally:
        log.removeFilter(look)
    assert free == [True]


def test_the_report_says_what_each_worker_is_doing() -> None:
    pool, go, held = WorkerPool(1), threading.Event(), threading.Event()

    def wait(note: Note) -> None:
        note("reading the stars")
        held.set()
        assert go.wait(20)

    pool.submit(HELD, [Job(run=wait)])
    assert held.wait(20)
    (line,) = pool.report()
    assert line.startswith("mtgen-")
    assert ": reading the stars for 0." in line
    go.set()
    pool.stop()


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "2"])
def test_num_workers_is_a_whole_number(wrong: Any) -> None:
    with pytest.raises(PlanError, match="num_workers must be an integer >= 0 or None"):
        default_num_workers(wrong)


def test_none_means_the_usable_cores() -> None:
    assert default_num_workers(None) >= 1
    assert default_num_workers(0) == 0


def test_two_loaders_have_workers_of_their_own() -> None:
    import pandas as pd

    data = mtgen.Dataset(pd.DataFrame({"a": range(8)}), {"a": mtgen.Columns("a")})
    with mtgen.Loader(data, 2, num_workers=1) as one, mtgen.Loader(data, 2, num_workers=1) as other:
        one.batch(0)
        other.batch(0)
        assert len({thread.name.split("-")[1] for thread in worker_threads()}) == 2
