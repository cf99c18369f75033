"""The batches of some steps, one after the other: what `Loader.epoch` and `Loader.steps` give."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import count

from mtgen.batch import Batch
from mtgen.prefetch import Stream


class Batches(Iterator[Batch]):
    """Batches in step order, prefetched.

    An object and no generator, because a generator that is left runs code when it is collected, and a Ctrl-C in there
    would be lost. To leave this one, forget it: its jobs are skipped with the stream that held their ticket. One
    thread at a time may ask for the next; after an error there is none.

    Args:
        take: gives the batch of a step from a stream.
        make_stream: makes a stream.
        idle: a stream that nobody uses may wait here with the next epoch under way.
        start: first step.
        stop: the step after the last; None for no end.
    """

    def __init__(
        self,
        take: Callable[[Stream, int], Batch],
        make_stream: Callable[[], Stream],
        idle: deque[Stream],
        start: int,
        stop: int | None,
    ) -> None:
        self._take = take
        self._make_stream = make_stream
        self._idle = idle
        self._start = start
        self._steps: Iterator[int] = count(start) if stop is None else iter(range(start, stop))
        self._stream: Stream | None = None

    def __next__(self) -> Batch:
        try:
            step = next(self._steps)
            stream = self._stream or self._open()
            return self._take(stream, step)
        except StopIteration:
            # Kept for the next epoch, whose first batches it has under way; unless others need what it holds.
            last, self._stream = self._stream, None
            if last is not None and last.is_alone:
                self._idle.append(last)
            elif last is not None:
                last.close()
            raise
        except BaseException:
            self.close()
            raise

    def _open(self) -> Stream:
        try:
            stream = self._idle.pop()
        except IndexError:
            stream = self._make_stream()
        stream.seek(self._start)
        self._stream = stream
        return stream

    def close(self) -> None:
        """Give no more batches, and skip what is under way."""
        self._steps = iter(())
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
