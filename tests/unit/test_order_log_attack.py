"""The order log: what an attack broke."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import mtgen
from mtgen.errors import StateError
from mtgen.order_check import audit_run
from mtgen.verify import make_manifest
from tests.unit.test_order_log import STEPS, loader, write


def test_a_manifest_that_was_added_kept_a_run_from_its_log(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.png")
    table = pd.DataFrame({"path": ["a.png", "b.png"] * 6})

    def source(manifest: str | None) -> mtgen.Loader:
        pictures = mtgen.Images("path", root=tmp_path, size=(4, 4), manifest=manifest and tmp_path / manifest)
        return mtgen.Loader(mtgen.Dataset(table, {"image": pictures}), 4, num_workers=0)

    make_manifest(source(None).dataset, tmp_path / "one.csv")
    Image.new("RGB", (4, 4), "blue").save(tmp_path / "b.png")
    make_manifest(source(None).dataset, tmp_path / "two.csv")
    for step, manifest in enumerate([None, "two.csv", None, "two.csv"]):
        write(tmp_path / "began_without", source(manifest), step, step + 1)
    assert audit_run(tmp_path / "began_without").ok
    write(tmp_path / "began_with", source("two.csv"), 0, 1)
    write(tmp_path / "began_with", source(None), 1, 2)
    (tmp_path / "two.csv").unlink()
    (tmp_path / "one.csv").rename(tmp_path / "two.csv")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "b.png")
    make_manifest(source(None).dataset, tmp_path / "one.csv")
    with pytest.raises(StateError, match="dataset part 'files of input image'"):
        mtgen.OrderLog(tmp_path / "began_with", source("one.csv"))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(8))
def test_an_interrupt_in_the_middle_of_a_line_left_a_log_that_nobody_could_read(
    when: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = loader()
    batches = list(source.steps(0, STEPS * 2))
    log, calls = mtgen.OrderLog(tmp_path, source), 0
    write_bytes = os.write

    def interrupted(handle: int, content: bytes) -> int:
        nonlocal calls
        calls += 1
        written = write_bytes(handle, content) if when == "after" or calls != number + 1 else 0
        if calls == number + 1:
            raise KeyboardInterrupt
        return written

    monkeypatch.setattr(os, "write", interrupted)
    num_interrupts = 0
    for batch in batches:
        try:
            log.add(batch)
        except KeyboardInterrupt:
            num_interrupts += 1
            with pytest.raises(StateError, match=r"was interrupted\. Open it again"):
                log.add(batch)
            log = mtgen.OrderLog(tmp_path, source)
            log.add(batch)
    log.close()
    assert num_interrupts == 1
    assert audit_run(tmp_path).ok
