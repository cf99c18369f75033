"""tf.data with its own JPEG decoder: parallel `map` with AUTOTUNE, an exact shuffle of the rows, prefetch.

The feature matrix is a tensor in memory, because tf.data has no random access to a file of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mtgen.bench.work import Delivered, Epochs, Work


@contextmanager
def dataset(work: Work, decode: bool = False, ratio: int = 1, antialias: bool = False) -> Iterator[Epochs]:
    """`Dataset.range(n).shuffle(n)`, `map(num_parallel_calls=AUTOTUNE)`, `batch`, features of the batch, `prefetch`.

    Rows are shuffled instead of samples, so that the buffer for shuffling holds numbers only, and holds all of them.

    Args:
        work: what to deliver.
        decode: pictures too.
        ratio: decode at 1/ratio of the size.
        antialias: of `tf.image.resize`, whose default is False.
    """
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    wanted = work.wanted
    rows = tf.data.Dataset.from_tensor_slices(wanted).shuffle(len(wanted), seed=work.seed)
    if decode:
        paths = tf.constant(work.paths())

        def load(row: Any) -> Any:
            encoded = tf.io.read_file(tf.gather(paths, row))
            picture = tf.image.decode_jpeg(encoded, channels=3, ratio=ratio)
            picture = tf.image.resize(picture, (work.size, work.size), antialias=antialias)
            return row, tf.cast(picture + 0.5, tf.uint8)

        rows = rows.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    rows = rows.batch(work.batch_size)
    features = tf.constant(np.load(work.place("features.npy"))) if work.num_columns else None

    def with_features(row: Any, *pictures: Any) -> Any:
        return row, tf.gather(features, row), *pictures

    batches = rows.map(with_features, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    def epochs(epoch: int) -> Iterator[Delivered]:
        for batch in batches.as_numpy_iterator():
            yield Delivered(*batch)

    yield epochs


@contextmanager
def decoded(work: Work) -> Iterator[Epochs]:
    """Decoded pictures and features as tensors in memory."""
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    wanted = work.wanted
    pixels = tf.constant(np.load(work.place("pixels.npy")))
    features = tf.constant(np.load(work.place("features.npy")))

    def gather(rows: Any) -> Any:
        return rows, tf.gather(features, rows), tf.gather(pixels, rows)

    batches = (
        tf.data.Dataset.from_tensor_slices(wanted)
        .shuffle(len(wanted), seed=work.seed)
        .batch(work.batch_size)
        .map(gather, num_parallel_calls=tf.data.AUTOTUNE)
        .prefetch(tf.data.AUTOTUNE)
    )

    def epochs(epoch: int) -> Iterator[Delivered]:
        for batch in batches.as_numpy_iterator():
            yield Delivered(*batch)

    yield epochs
