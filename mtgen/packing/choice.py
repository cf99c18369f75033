"""Which form suits the rows of a store: plain, compressed, or sparse; by a sample of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mtgen.packing.layout import Codec, make_layout

SAMPLE_BYTES = 4 << 20

WORTH_SHARES = {"lz4": 0.75, "sparse": 0.5}
"""A form must be this small beside the plain one. From memory plain rows are read clearly faster than others, so
another form is worth it only where clearly more rows stay in memory, or on the disk
(docs/decisions/0010-packed-stores.md). Half the size is about 33 percent non-zeros of float32."""

END_BYTES = 8
"""What a row costs in the sparse form besides its values: where they end."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A form, and what it was chosen by.

    Args:
        codec: the form.
        nonzero_share: values of the sample that are not zero, of all; zero means that all bits are.
        shares: size in each form that was tried, as a share of the plain size.
    """

    codec: Codec
    nonzero_share: float
    shares: dict[str, float]

    def __str__(self) -> str:
        tried = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        return (
            f"{self.codec} was chosen by a sample: {self.nonzero_share:.1%} of the values are not zero; parts of the "
            f"plain size: {tried}"
        )


def choose(sample: np.ndarray, block_rows: int | None, sparse: bool = True) -> Choice:
    """The form for rows like those of a sample: the smallest, and plain where no other is worth its decoding.

    Any thread.

    Args:
        sample: rows, C-contiguous.
        block_rows: rows that are compressed together; None for those of `make_layout`.
        sparse: whether the sparse form may be chosen.

    Example:
        >>> choose(np.eye(512, dtype="f4"), None).codec
        'sparse'
    """
    share = nonzero_share(sample)
    layout = make_layout(len(sample), sample.shape[1:], sample.dtype, codec="lz4", block_rows=block_rows)
    shares = {"lz4": _lz4_share(sample, layout.block_rows)}
    if sparse and sample[0].size > 1:
        shares["sparse"] = sparse_share(share, sample[0].size, sample.dtype.itemsize)
    worth: list[Codec] = [name for name in ("lz4", "sparse") if shares.get(name, 1.0) <= WORTH_SHARES[name]]
    return Choice(codec=min(worth, key=shares.__getitem__, default="none"), nonzero_share=share, shares=shares)


def column_dtype(num_columns: int) -> str:
    """The dtype of column numbers.

    Example:
        >>> column_dtype(65536), column_dtype(65537)
        ('uint16', 'uint32')
    """
    return "uint16" if num_columns <= 2**16 else "uint32"


def sparse_share(nonzero: float, num_columns: int, itemsize: int) -> float:
    """Size of the sparse form as a share of the plain size.

    Example:
        >>> round(sparse_share(0.2, 512, 4), 3)
        0.304
    """
    value = itemsize + np.dtype(column_dtype(num_columns)).itemsize
    return nonzero * value / itemsize + END_BYTES / (num_columns * itemsize)


def nonzero_share(sample: np.ndarray) -> float:
    """Share of the values that have any bit set.

    Example:
        >>> nonzero_share(np.array([[0.0, -0.0, 1.0, np.nan]]))
        0.75
    """
    bits = np.ascontiguousarray(sample).view(f"u{sample.dtype.itemsize}")
    return float(np.count_nonzero(bits) / bits.size)


def _lz4_share(sample: np.ndarray, block_rows: int) -> float:
    from numcodecs import blosc

    plain = packed = 0
    for start in range(0, len(sample), block_rows):
        block = np.ascontiguousarray(sample[start : start + block_rows])
        plain += block.nbytes
        packed += len(blosc.compress(block.reshape(-1), b"lz4", 5, blosc.SHUFFLE))
    return packed / plain


def sample_rows(num_rows: int, row_bytes: int) -> np.ndarray:
    """Rows to choose a codec by: runs of neighbours spread over the store, int64 `(n,)`, about `SAMPLE_BYTES`.

    Pure.
    """
    num = min(num_rows, max(1, SAMPLE_BYTES // max(1, row_bytes)))
    run = min(num, 64)
    starts = np.linspace(0, num_rows - run, max(1, num // run)).astype(np.int64)
    return np.unique((starts[:, None] + np.arange(run)).ravel())
