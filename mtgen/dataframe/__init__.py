"""Loaders from the arguments of Keras's `flow_from_dataframe`.

`DataFrameIterator` of `keras.src.legacy.preprocessing.image` (Keras 3.15) is the model: the same names, class modes,
class numbers and pixels, tested equal to it. What it drops, ignores or lets pass without a word is an error here, or a
choice that the loader lists. See docs/migrating.md.
"""
