"""A manifest comes back from its text whatever its paths are; whatever bytes come instead are refused, clearly."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mtgen.errors import ManifestError
from mtgen.manifest import COLUMNS, Entry, Manifest, distinct, hashes_of, path_bytes

PATHS = st.one_of(
    st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path),
    st.text("a,\"'\r\n \\;é.\t/", min_size=1, max_size=12).map(str.encode),
)
ENTRIES = st.lists(
    st.builds(
        Entry,
        PATHS,
        st.integers(0, 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.binary(min_size=16, max_size=16),
    ),
    unique_by=lambda entry: entry.path,
    max_size=30,
)


def sealed(body: bytes) -> bytes:
    """A body under a first line that vouches for it."""
    return b"mtgen manifest,1,%s\n" % xxhash.xxh3_128_hexdigest(body).encode() + body


def content(manifest: Manifest) -> list[Entry]:
    return [manifest.entry(place) for place in range(len(manifest))]


@given(ENTRIES)
@example([Entry(b"\r", 0, 0, bytes(16)), Entry(b"\n", 1, -1, bytes(16)), Entry(b'"', 2, 2, bytes(16))])
@example([Entry(b"path", 0, 0, bytes(16))])
def test_round_trip_of_any_paths(entries: list[Entry]) -> None:
    manifest = Manifest(entries)
    again = Manifest.parse(manifest.format())
    assert content(again) == content(manifest) == entries
    assert again.format() == manifest.format()
    assert again.digest() == manifest.digest()


@given(ENTRIES, st.lists(PATHS, max_size=10))
def test_find_is_a_dict(entries: list[Entry], others: list[bytes]) -> None:
    places = {entry.path: place for place, entry in enumerate(entries)}
    wanted = [*others, *places]
    assert Manifest(entries).find(wanted).tolist() == [places.get(path, -1) for path in wanted]


@given(st.lists(PATHS, max_size=30), st.integers(1, 2**64 - 1))
def test_distinct_is_dict_fromkeys_even_where_hashes_collide(paths: list[bytes], modulus: int) -> None:
    expected = [paths.index(path) for path in dict.fromkeys(paths)]
    for hashes in (hashes_of(paths), hashes_of(paths) % np.uint64(modulus), np.zeros(len(paths), np.uint64)):
        assert distinct(hashes, paths.__getitem__).tolist() == expected


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestError):
        Manifest.parse(data, "x.csv")


BODY = b'"path","size","mtime_ns","xxh3_128"\n'
LINES = st.lists(
    st.one_of(
        st.just(b'"a",1,2,"%s"\n' % (b"0" * 32)),
        st.just(b'"%s",1,2,"%s"\n' % (b"b" * 40_000, b"0" * 32)),
        st.just(b'"%s",1,2,"%s"\n' % (b"c" * 140_000, b"0" * 32)),
        st.builds(
            lambda size, time: b'"d",%d,%d,"%s"\n' % (size, time, b"0" * 32),
            st.integers(),
            st.integers(-(2**70), 2**70),
        ),
        st.binary(max_size=60),
        st.text('",\r\n 0aé\0-', max_size=20).map(str.encode),
    ),
    max_size=4,
).map(b"".join)


@given(LINES, st.booleans())
@settings(max_examples=300)
def test_bytes_under_a_right_checksum_are_a_manifest_or_refused(lines: bytes, with_columns: bool) -> None:
    data = sealed((BODY if with_columns else b"") + lines)
    try:
        manifest = Manifest.parse(data)
    except ManifestError:
        return
    assert with_columns or lines.startswith(b"path")
    assert content(Manifest.parse(manifest.format())) == content(manifest)


@given(ENTRIES.filter(len), st.data())
def test_any_change_or_cut_is_noticed(entries: list[Entry], data: st.DataObject) -> None:
    text = Manifest(entries).format()
    place = data.draw(st.integers(0, len(text) - 1))
    for damaged in (
        text[:place],
        text[:place] + bytes([text[place] ^ data.draw(st.integers(1, 255))]) + text[place + 1 :],
        text + data.draw(st.binary(min_size=1, max_size=5)),
        text.replace(b"\n", b"\r\n"),
    ):
        with pytest.raises(ManifestError):
            Manifest.parse(damaged)


@given(st.text(min_size=1, max_size=20))
def test_names_are_bytes_as_the_system_has_them_or_refused(name: str) -> None:
    try:
        found = path_bytes(name)
    except ManifestError as error:
        assert "no file can be called" in str(error)
        assert any("\ud800" <= letter <= "\udfff" for letter in name)
    else:
        assert found.decode("utf-8", "surrogateescape") == name


def test_the_columns_are_those_of_the_text() -> None:
    assert Manifest([]).format().splitlines()[1].replace(b'"', b"").decode().split(",") == COLUMNS
