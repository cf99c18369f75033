"""What a manifest refuses, in which words."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtgen.errors import ManifestError
from mtgen.manifest import Entry, Manifest
from mtgen.promises import read_manifest
from tests.property.test_manifest import BODY, sealed

TWO = [Entry(b"a,\n.png", 3, 10**18, bytes(range(16))), Entry(b"caf\xe9.png", 5, -1, bytes(16))]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (Entry(b"", 1, 1, bytes(16)), "is no path of a file"),
        (Entry(b"a\0b", 1, 1, bytes(16)), "no zero byte"),
        (Entry(b"a" * 32_768, 1, 1, bytes(16)), "1 to 32,767 bytes"),
        (Entry(b"a", -1, 1, bytes(16)), "has size -1"),
        (Entry(b"a", 1, 2**63, bytes(16)), r"until the year 2262.*is the clock of its machine right"),
        (Entry(b"a", 1, 1, bytes(15)), "checksum of 15 bytes, expected 16"),
        (TWO[0], "comes twice, expected each file once"),
    ],
)
def test_entries_that_no_file_has_are_refused(entry: Entry, says: str) -> None:
    with pytest.raises(ManifestError, match=says):
        Manifest([*TWO, entry])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "this is no manifest: it begins with b''"),
        (b"path,size\n1,2\n", "this is no manifest"),
        (b"mtgen manifest,7,%s\n" % (b"0" * 32), "version 7, this mtgen reads version 1"),
        (b"mtgen manifest,1,%s\n" % (b"0" * 32), "damaged: its content does not have the checksum"),
        (sealed(b""), "ends before its column names"),
        (sealed(b"a,b\n"), r"\[\] is no line of a manifest"),
        (sealed(BODY + b'"a",1,2\n'), r"\['a', '1', '2'\] is no line of a manifest"),
        (sealed(BODY + b'"a",1_0,2,"%s"\n' % (b"0" * 32)), "is no line of a manifest"),
        (sealed(BODY + b'"a",1,2,"%s"\n' % (b"G" * 32)), "is no line of a manifest"),
        (sealed(BODY + b'"a'), "is no CSV after record 1 .unexpected end of data"),
    ],
)
def test_what_is_no_manifest_says_why(text: bytes, says: str) -> None:
    with pytest.raises(ManifestError, match=says) as caught:
        Manifest.parse(text, "m.csv")
    assert caught.value.path == "m.csv"


def test_pandas_reads_it() -> None:
    table = pd.read_csv(
        io.BytesIO(Manifest(TWO).format()), skiprows=1, dtype={"path": object}, encoding_errors="surrogateescape"
    )
    assert table["path"].tolist() == ["a,\n.png", "caf\udce9.png"]
    assert table["mtime_ns"].tolist() == [10**18, -1]
    assert table["xxh3_128"][0] == bytes(range(16)).hex()


def test_it_pickles_and_says_what_it_is() -> None:
    manifest = Manifest(TWO)
    again = pickle.loads(pickle.dumps(manifest))
    assert again.format() == manifest.format()
    assert repr(manifest) == f"Manifest(2 files, 8 bytes, digest {manifest.digest()})"


def test_the_digest_is_of_paths_sizes_and_contents_and_not_of_times() -> None:
    manifest = Manifest(TWO)
    assert manifest.digest() == Manifest([TWO[0]._replace(mtime_ns=5), TWO[1]]).digest()
    others = [
        [TWO[0]._replace(path=b"b"), TWO[1]],
        [TWO[0]._replace(size=4), TWO[1]],
        [TWO[0]._replace(checksum=bytes(16)), TWO[1]],
        TWO[::-1],
        TWO[:1],
    ]
    digests = {manifest.digest(), *(Manifest(entries).digest() for entries in others)}
    assert len(digests) == len(others) + 1
    assert manifest.digest(np.array([1, 0])) == Manifest(TWO[::-1]).digest()


def test_a_manifest_takes_little_memory_per_file() -> None:
    entries = (Entry(b"images/%08d.jpg" % place, place, place, bytes(16)) for place in range(20_000))
    size = len(pickle.dumps(Manifest(entries)))
    assert size < 20_000 * (60 + 19)


def test_a_manifest_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"cannot be read \(No such file or directory\): is the path right"):
        read_manifest(tmp_path / "gone.csv")
    with pytest.raises(ManifestError, match="folder or pipe, expected the file of a manifest"):
        read_manifest(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ManifestError, match="folder or pipe"):
            read_manifest(tmp_path / "pipe")


def test_find_lost_every_4097th_path() -> None:
    paths = [b"%d" % number for number in range(20_000)]
    manifest = Manifest(Entry(path, 0, 0, bytes(16)) for path in paths)
    assert manifest.find(paths).tolist() == list(range(20_000))
    assert manifest.find(iter(paths[::-1])).tolist() == list(range(20_000))[::-1]
