"""`mtgen info`: what a table or a store is, without reading it whole."""

from __future__ import annotations

from typing import Annotated

import typer


def info(
    source: Annotated[
        str, typer.Argument(help="A table (.csv, .tsv, .parquet) or a store: path, URL or container::name.")
    ],
) -> None:
    """Say what a table or a store holds."""
    for line in described(source):
        typer.echo(line)


def described(source: str) -> list[str]:
    """Lines about a table or a store.

    Raises:
        StoreError: neither.
        TableError: a table that cannot be read.
    """
    if source.lower().endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")):
        from mtgen.table_files import read_table

        table = read_table(source)
        width = max(len(str(name)) for name in table.columns)
        lines = [f"table of {len(table):,} rows, {len(table.columns)} columns"]
        for name in table.columns:
            values = table[name]
            missing = int(values.isna().sum())
            lines.append(
                f"  {name!s:{width}}  {values.dtype!s:8}  {values.nunique():,} distinct"
                + (f", {missing:,} missing" if missing else "")
                + f", first {', '.join(map(repr, values.iloc[:1].tolist()))}"
            )
        return lines
    from mtgen.stores import open_store

    store = open_store(source)
    try:
        row_bytes = store.dtype.itemsize
        for length in store.row_shape:
            row_bytes *= length
        keys = "none" if store.keys is None else f"{store.keys.dtype}, named {store.key_name!r}"
        return [
            f"store of {store.num_rows:,} rows of ({', '.join(map(str, store.row_shape))}) {store.dtype}, "
            f"{store.num_rows * row_bytes:,} bytes decompressed",
            f"  rows decompressed together: {store.chunk_rows:,}",
            f"  keys: {keys}",
        ]
    finally:
        store.close()
