"""A feed as a `tf.data.Dataset`. The only module that imports TensorFlow.

Nothing is read ahead by TensorFlow, mtgen's workers do that: so batches served are batches trained, and each iterator
that Keras makes is a pass of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from mtgen.adapters.feed import Feed
from mtgen.adapters.structure import Structure
from mtgen.spec import Spec


def dataset(feed: Feed, structure: Structure) -> tf.data.Dataset:
    """One pass of the feed per iterator; the feed itself is the attribute `feed` of the result."""

    def batches() -> Iterator[Any]:
        one = feed.begin()
        for place in range(feed.num_batches):
            yield structure.arrange(feed.serve(one, place))

    def signature(spec: Spec) -> tf.TensorSpec:
        return tf.TensorSpec(shape=(None, *spec.shape), dtype=spec.dtype)

    made = tf.data.Dataset.from_generator(batches, output_signature=structure.signature(signature))
    made = made.apply(tf.data.experimental.assert_cardinality(feed.num_batches))
    made.feed, made.structure = feed, structure
    return made
