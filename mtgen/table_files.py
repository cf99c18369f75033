"""Read a table from a file: CSV, TSV or Parquet, by pandas."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd

from mtgen.errors import TableError
from mtgen.settings import check_kind


def read_table(path: str | Path, **options: Any) -> pd.DataFrame:
    """Read a table from a CSV or Parquet file.

    Args:
        path: file ending in .csv, .csv.gz, .tsv or .parquet.
        **options: passed on to `pandas.read_csv` or `pandas.read_parquet`, such as `dtype={"id": str}`.

    Returns:
        The DataFrame as pandas reads it; its row k is row k of the run.

    Raises:
        TableError: no such file, another ending, or a file pandas cannot read.

    Example:
        >>> read_table("data_samples/digits/table.csv").columns.tolist()
        ['id', 'imgpath', 'target']
    """
    check_kind("path", path, str | os.PathLike, "the path of a .csv, .tsv or .parquet file", TableError)
    check_kind("path", os.fspath(path), str, "a path of text", TableError)
    path = Path(path)
    try:
        there = "\0" not in str(path) and path.is_file()
    except OSError as error:  # a name that is too long, a folder that nobody may enter
        raise TableError(f"the table cannot be read ({error}): check path and rights", path=str(path)) from error
    if not there:
        raise TableError("there is no such file; a table is a .csv, .tsv or .parquet file", path=str(path))
    name = path.name.lower()
    try:
        if name.endswith((".csv", ".csv.gz")):
            return pd.read_csv(path, **options)
        if name.endswith((".tsv", ".tsv.gz")):
            return pd.read_csv(path, sep="\t", **options)
        if name.endswith((".parquet", ".pq")):
            return pd.read_parquet(path, **options)
    except ImportError as error:
        raise TableError("Parquet needs pyarrow: pip install 'mtgen[parquet]'", path=str(path)) from error
    except Exception as error:
        raise TableError(f"pandas could not read the table: {error}", path=str(path)) from error
    raise TableError(
        f"cannot tell the format from the ending {path.suffix!r}; use .csv, .tsv or .parquet, or read it with pandas "
        "and pass the DataFrame",
        path=str(path),
    )
