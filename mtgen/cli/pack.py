"""`mtgen pack`: make a store whose rows can be read alone out of one that must decompress many to give one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def pack(
    source: Annotated[str, typer.Argument(help="A store: path, URL or container::name.")],
    target: Annotated[Path, typer.Argument(help="The Zarr folder to make; it must not exist.")],
    codec: Annotated[
        Literal["auto", "none", "lz4", "zstd", "sparse"],
        typer.Option(help="auto looks at a sample and says why; sparse stores only what is not zero; zstd is slow."),
    ] = "auto",
    block_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows decoded together; left out: one, more of small ones.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every row with the source before the new store appears.")
    ] = False,
) -> None:
    """Pack features so that random rows are read quickly.

    Writes a sharded Zarr v3 array with a checksum for each block (of rows of mostly zeros, a group of three), and the
    keys beside it. The new store appears whole,
    at the end. After an interruption the same command goes on where it was.
    """
    from mtgen.packing import pack as write

    typer.echo(str(write(source, target, codec=codec, block_rows=block_rows, verify=verify, progress=True)))
