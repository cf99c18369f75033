"""Work on many items in threads, in order, in a way that nobody waits for ever: for opening and verifying datasets.

`concurrent.futures` waits for its threads when it is left and once more when the interpreter ends: a file that hangs
then takes three times Ctrl-C. These threads are daemons, nobody joins them, and each wait has a deadline
(docs/decisions/0008-no-hang.md).
"""

from __future__ import annotations

import _thread
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic, TypeVar

from mtgen.errors import StallError
from mtgen.waits import LOCK_SECONDS, POLL_SECONDS, Latch, Note, silent

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item, Note], Result],
    items: Iterable[Item],
    *,
    num_threads: int,
    group: int,
    seconds: float = LOCK_SECONDS,
) -> Iterator[Result]:
    """`work(item, note)` of each item, in order, by threads that run a bounded number of items ahead.

    An iterator that is left needs no closing: its threads end with the item they have in work.

    Args:
        work: called from any of the threads; the first error in order ends everything. What takes long calls `note`
            now and then with what it does.
        items: taken in the caller's thread.
        num_threads: 0 works in the caller's thread.
        group: items that one thread takes at a time.
        seconds: longest wait without a word from the thread that is waited for: a note, or the next item.

    Raises:
        StallError: on iterating; says what the thread is doing.

    Example:
        >>> list(in_threads(lambda item, note: abs(item), [-1, -2, -3], num_threads=2, group=2))
        [1, 2, 3]
    """
    if not num_threads:
        for item in items:
            yield work(item, silent)
        return
    items = iter(items)
    asker = _Asker()
    crew = _Crew(work, num_threads, weakref.ref(asker))
    pending: deque[_Block[Item, Result]] = deque()
    while True:
        while len(pending) < 2 * num_threads and (taken := list(islice(items, group))):
            pending.append(_Block(taken))
            crew.queue.append(pending[-1])
            crew.call()
        if not pending:
            return
        block = pending.popleft()
        crew.wait(block, seconds)
        if block.error is not None:
            raise block.error
        yield from block.results


class _Asker:
    """Alive as long as somebody wants results."""

    __slots__ = ("__weakref__",)


class _Block(Generic[Item, Result]):
    """Some items, one thread's work."""

    def __init__(self, items: list[Item]) -> None:
        self.items = items
        self.results: list[Result] = []
        self.error: BaseException | None = None
        self.done = Latch()
        self.doing = "start a thread"
        self.num_notes = 0

    def note(self, what: str) -> None:
        self.doing = what
        self.num_notes += 1

    def fill(self, work: Callable[[Item, Note], Result], wanted: Callable[[], object]) -> None:
        try:
            for item in self.items:
                if wanted() is None:
                    return
                self.note(f"work on {item!r:.200}")
                self.results.append(work(item, self.note))
        except BaseException as error:  # raised again in the thread that waits
            self.error = error
        finally:
            self.done.set()


class _Crew(Generic[Item, Result]):
    """Threads as long as there are blocks. Deques are all that they share, so that no lock can be left behind."""

    def __init__(self, work: Callable[[Item, Note], Result], num_threads: int, wanted: Callable[[], object]) -> None:
        self._work, self._wanted = work, wanted
        self.queue: deque[_Block[Item, Result]] = deque()
        self._num_threads = num_threads
        self._free = deque(range(num_threads))

    def call(self) -> None:
        """One more thread, if there may be one."""
        try:
            number = self._free.pop()
        except IndexError:
            return  # all at work; each looks at the queue again before it goes
        try:
            # Thread.start waits for the thread, and an interrupt meanwhile would leave it hanging for ever.
            _thread.start_new_thread(self._start, (number,))
        except RuntimeError as error:
            self._free.append(number)
            if len(self._free) == self._num_threads:
                why = f"no thread can be started ({error}): raise the limits on threads and memory"
                raise StallError(why) from error

    def _start(self, number: int) -> None:
        thread = threading.Thread(target=self._run, args=(number,), name=f"mtgen-files-{number}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # one more thread is one too many; this one will do
            self._run(number)

    def _run(self, number: int) -> None:
        while True:
            while self.queue:
                try:
                    block = self.queue.popleft()
                except IndexError:  # another thread was faster
                    break
                block.fill(self._work, self._wanted)
                del block
            # In this order: who queues a block looks for a free place afterwards.
            self._free.append(number)
            if not self.queue:
                return
            try:
                number = self._free.pop()
            except IndexError:
                return

    def wait(self, block: _Block[Item, Result], seconds: float) -> None:
        """Wait for a block, for at most so many seconds without a word from its thread."""
        left, num_notes = seconds, block.num_notes
        while not block.done.wait(min(POLL_SECONDS, left)):
            left -= POLL_SECONDS
            if block.num_notes != num_notes:
                left, num_notes = seconds, block.num_notes
            if left <= 0:
                raise StallError(
                    f"no word for {seconds:g} s from the thread that is to {block.doing}. A file system may hang"
                )
            if self.queue:  # a thread may not have started for want of memory
                self.call()
