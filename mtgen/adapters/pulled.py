"""Batches pulled from any iterator, as a feed that Keras can look at without losing one.

Only the last two functions, `carried` and `marks`, know Keras, and import it when they are called.

Keras looks at batches before it trains: for shapes, for building a model. An iterator cannot go back, so whatever was
taken before the first real step is kept and served again when the step comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mtgen.adapters.feed import Pass
from mtgen.errors import MtgenError, PlanError
from mtgen.spec import Spec
from mtgen.waits import ProcessTurns


class PulledFeed:
    """An iterator's batches, handed to one trainer pass by pass: each once, in the iterator's order.

    Any thread may call; the trainer owns the batches. The iterator itself is asked by one thread at a time.

    Args:
        batches: gives `(x, y)` or `(x, y, weight)`, for ever or long enough.
        num_batches: batches in one pass, >= 1.
        name: what the batches are called in messages, such as "generator".

    Attributes:
        num_pulled: batches taken from the iterator so far.
        num_trained: batches that the trainer said it trained on.
        error: what the iterator raised, if it did; some backends keep only its text.

    Example:
        >>> feed = PulledFeed(iter([(np.array([x]), np.array([0])) for x in (1, 2, 3)]), 2)
        >>> feed.serve(feed.begin(), 0)[0].tolist()  # a look
        [1]
        >>> feed.start()
        >>> one = feed.begin(); [feed.serve(one, place)[0].tolist() for place in (0, 1)]
        [[1], [2]]
    """

    def __init__(self, batches: Iterator[Any], num_batches: int, name: str = "generator") -> None:
        self.num_batches = num_batches
        self.num_pulled = 0
        self.num_trained = 0
        self.error: BaseException | None = None
        self._batches = batches
        self._name = name
        self._turns = ProcessTurns(f"take a batch from the {name}")
        self._next: deque[Any] = deque()
        self._looked_at: list[Any] = []
        self._looking = True
        self._epoch_start = 0
        self._last: tuple[Pass, int, Any] | None = None
        self._is_closed = False
        self._latest: Any = None

    def begin(self) -> Pass:
        """Start a pass."""
        return Pass(self.num_trained)

    def serve(self, one: Pass, place: int) -> Any:
        """The next batch; or once more the one served last, where the same place of the same pass is asked for.

        Raises:
            PlanError: the iterator ended, or gave something that is no batch.
        """
        with self._turns.here:
            if self._last is not None and self._last[0] is one and self._last[1] == place:
                return self._last[2]
            if self._is_closed and self._latest is not None:
                return self._latest  # to a thread of a trainer that is over; nobody looks at it
            batch = self._next.popleft() if self._next else self._pull()
            if self._looking:
                self._looked_at.append(batch)
            self._last, self._latest = (one, place, batch), batch
            one.num_served = max(one.num_served, place + 1)
            return batch

    def peek(self, num_batches: int) -> list[Any]:
        """The next batches, at most `num_batches`, which stay the next ones; fewer where the iterator ends.

        Raises:
            PlanError: there is not even one.
        """
        with self._turns.here:
            while len(self._next) < num_batches:
                try:
                    self._next.append(self._pull())
                except PlanError:
                    if not self._next:
                        raise
                    self.error = None
                    break
            return [self._next[place] for place in range(min(num_batches, len(self._next)))]

    def start(self) -> None:
        """From here on batches are used up; those that were only looked at come first."""
        with self._turns.here:
            self._next.extendleft(reversed(self._looked_at))
            self._looked_at, self._looking, self._last = [], False, None

    def start_epoch(self) -> None:
        """A trainer counts the batches of an epoch from 0."""
        self._epoch_start = self.num_trained

    def note_trained(self, place: int) -> None:
        """The epoch was trained up to and with batch `place`, 0-based."""
        self.num_trained = self._epoch_start + place + 1

    def stop(self) -> None:
        """From here on batches are only looked at, until the next `start`."""
        with self._turns.here:
            self._looking, self._last = True, None

    def close(self) -> None:
        """Training is over: take nothing more, whoever still asks. TensorFlow's own thread does, until it is let go."""
        with self._turns.here:
            self._is_closed = True

    def _pull(self) -> Any:
        try:
            batch = next(self._batches)
            self.num_pulled += 1
            return as_batch(batch, self._name)
        except StopIteration:
            self.error = PlanError(
                f"the {self._name} ended after {self.num_pulled} batches, "
                f"before its pass of {self.num_batches} was full. It must go on for ever (`while True:` around its "
                "loop), or ask for no more steps and epochs than it has batches",
                step=self.num_pulled,
            )
            raise self.error from None
        except Exception as error:
            self.error = error
            raise


class AsIs:
    """The layout of batches that are already laid out; what `mtgen.adapters.structure.Structure` is to loaders."""

    targets: tuple[str, ...] = ()
    """Nobody has named them."""

    def __init__(self, feed: PulledFeed) -> None:
        self._feed = feed

    def arrange(self, batch: Any) -> Any:
        """The batch itself."""
        return batch

    def signature(self, make: Callable[[Spec], Any]) -> Any:
        """The layout with `make(spec)` in place of each array; an axis that differs between two batches is None."""
        return _described(self._feed.peek(2), make)


def as_batch(value: Any, name: str = "generator") -> tuple[Any, ...]:
    """A batch of a generator as Keras takes it on every backend: tuples instead of lists, arrays inside.

    Pure.

    Raises:
        PlanError: not `(x, y)` or `(x, y, weight)`.

    Example:
        >>> x, y = as_batch(([np.zeros((2, 3)), np.ones((2, 1))], [0, 1]))
        >>> type(x).__name__, y.tolist()
        ('tuple', [0, 1])
    """
    if not isinstance(value, tuple | list) or len(value) not in (2, 3):
        shape = f"{len(value)} parts" if isinstance(value, tuple | list) else f"a {type(value).__name__}"
        raise PlanError(f"the {name} gave {shape}, expected (x, y) or (x, y, weight) in every batch")
    return tuple(_laid_out(part) for part in value)


def _laid_out(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _laid_out(value) for key, value in part.items()}
    if isinstance(part, tuple | list) and not all(np.isscalar(one) for one in part):
        return tuple(_laid_out(one) for one in part)
    if part is None or (hasattr(part, "shape") and hasattr(part, "dtype")):
        return part
    return np.asarray(part)


def _described(parts: list[Any], make: Callable[[Spec], Any]) -> Any:
    first = parts[0]
    if isinstance(first, dict):
        return {key: _described([part[key] for part in parts], make) for key in first}
    if isinstance(first, tuple):
        return tuple(_described([part[place] for part in parts], make) for place in range(len(first)))
    if first is None:
        raise MtgenError("a batch holds None, which the tensorflow backend cannot carry; leave the part out")
    shapes = [tuple(part.shape)[1:] for part in parts]
    same = [len(set(axis)) == 1 for axis in zip(*shapes, strict=True)]
    shape: Any = tuple(size if fixed else None for size, fixed in zip(shapes[0], same, strict=True))
    return make(Spec(shape=shape, dtype=np.dtype(str(first.dtype).removeprefix("torch."))))


def carried(value: Any, num_batches: int | None, name: str) -> tuple[Any, PulledFeed | None]:
    """What `model.fit` takes in place of an iterator, and the feed behind it; anything else as it is, and None.

    Args:
        value: an iterator of batches, or something else.
        num_batches: batches in one pass.
        name: what the batches are called in messages.
    """
    if num_batches is None or not hasattr(value, "__next__"):
        return value, None
    import keras

    feed = PulledFeed(value, int(num_batches), name)
    stand_ins: tuple[Any, Any] = (feed, AsIs(feed))
    if keras.backend.backend() == "tensorflow":
        from mtgen.adapters import tensorflow

        return tensorflow.dataset(*stand_ins), feed
    from mtgen.adapters.keras import KerasDataset

    return KerasDataset(*stand_ins), feed


def marks(train: PulledFeed | None, valid: PulledFeed | None) -> Any:
    """A callback that tells the feeds when batches begin to count."""
    import keras

    hooks: dict[str, Any] = {}
    if train is not None:
        hooks["on_train_begin"] = lambda logs=None: train.start()
        hooks["on_epoch_begin"] = lambda epoch, logs=None: train.start_epoch()
        hooks["on_train_batch_end"] = lambda batch, logs=None: train.note_trained(batch)
    if valid is not None:
        hooks["on_test_begin"] = lambda logs=None: valid.start()
        hooks["on_test_end"] = lambda logs=None: valid.stop()
    return keras.callbacks.LambdaCallback(**hooks)
