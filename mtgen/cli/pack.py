"""`mtgen pack`: make a store whose rows can be read alone, or decode pictures ahead of training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mtgen.errors import PlanError


def pack(
    source: Annotated[
        str, typer.Argument(help="A store: path, URL or container::name. With --images a table: .csv, .tsv, .parquet.")
    ],
    target: Annotated[
        Path, typer.Argument(help="The Zarr folder to make; it must not exist. With --images a cache, new or not.")
    ],
    codec: Annotated[
        Literal["auto", "none", "lz4", "zstd", "sparse"],
        typer.Option(help="auto looks at a sample and says why; sparse stores only what is not zero; zstd is slow."),
    ] = "auto",
    block_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows decoded together; left out: one, more of small ones.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare every row with the source: what is packed is right.")
    ] = False,
    images: Annotated[bool, typer.Option("--images", help="Pack the pictures of a table, decoded.")] = False,
    column: Annotated[str | None, typer.Option(help="With --images: the column of paths.")] = None,
    root: Annotated[Path | None, typer.Option(help="With --images: the folder that the paths are under.")] = None,
    size: Annotated[tuple[int, int] | None, typer.Option(help="With --images: height and width in pixels.")] = None,
    color: Annotated[
        Literal["rgb", "grayscale", "rgba"] | None, typer.Option(help="With --images; left out: rgb.")
    ] = None,
    recipe: Annotated[
        Literal["clean", "fast", "fastest", "turbo", "turbo-fastest", "keras"] | None,
        typer.Option(help="With --images: how they are decoded; left out: clean."),
    ] = None,
    fit: Annotated[
        Literal["stretch", "crop", "pad"] | None, typer.Option(help="With --images; left out: stretch.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(min=1, help="With --images: most bytes of the cache; left out: as the disk has.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="With --images: threads that decode; left out: one per core.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="With --images: CSV file for the pictures that are bad.")] = None,
) -> None:
    """Pack features so that random rows are read quickly, or pictures so that they are not decoded again.

    A store becomes a sharded Zarr v3 array with a checksum for each block (a group of three, for rows of mostly
    zeros), and the keys beside it; it appears whole, at the end. With --images the pictures of a table are decoded into
    a cache, for Images(..., cache=TARGET); bad ones are listed and left out. After an interruption the same command
    goes on where it was.
    """
    named = {
        "--column": column,
        "--root": root,
        "--size": size,
        "--color": color,
        "--recipe": recipe,
        "--fit": fit,
        "--max-bytes": max_bytes,
        "--workers": workers,
        "--report": report,
    }
    if images:
        if codec != "auto" or block_rows is not None:
            raise PlanError(
                "--codec and --block-rows are for stores; pictures are packed one by one, uncompressed: leave them out"
            )
        if column is None or size is None:
            missing = [name for name in ("--column", "--size") if named[name] is None]
            raise PlanError(
                "--images needs the column of paths and one size: --column imgpath --size 150 150; "
                f"{' and '.join(missing)} was not given"
            )
        chosen = {"color": color, "recipe": recipe, "fit": fit}
        settings = {name: value for name, value in chosen.items() if value is not None}
        _pack_images(
            source, target, column, {**settings, "root": root, "size": size}, max_bytes, workers, verify, report
        )
        return
    if given := [name for name, value in named.items() if value is not None]:
        raise PlanError(f"{', '.join(given)} without --images: these say which pictures to pack; add --images")
    from mtgen.packing import pack as write

    typer.echo(str(write(source, target, codec=codec, block_rows=block_rows, verify=verify, progress=True)))


def _pack_images(
    source: str,
    target: Path,
    column: str,
    settings: dict[str, Any],
    max_bytes: int | None,
    workers: int | None,
    verify: bool,
    report: Path | None,
) -> None:
    from mtgen.cache import PictureCache
    from mtgen.dataset import Dataset
    from mtgen.inputs.images import Images
    from mtgen.packing.images import pack_images
    from mtgen.table_files import read_table

    pictures = Images(column, cache=PictureCache(target, max_bytes=max_bytes), **settings)
    dataset = Dataset(read_table(source), inputs={"pictures": pictures})
    packed = pack_images(dataset, num_workers=workers, verify=verify, progress=True)
    if report is not None:
        packed.report.write(report)
    typer.echo(str(packed))
