"""The parts below the store: row hashes, the storage interface, layout, the file-system table."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tftctl.core.errors import StoreError
from tftctl.store import cache_dir, layout
from tftctl.store.frames import period_order
from tftctl.store.local import LocalStorage
from tftctl.store.lock import file_system
from tftctl.store.rowhash import RowHash, hash_rows, hash_rows_compiled, hash_rows_plain, total
from tftctl.store.writer import Place

WORD = (1 << 64) - 1
VALUES = st.tuples(
    st.one_of(st.none(), st.text(max_size=3)),
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    st.one_of(st.none(), st.floats()),
    st.one_of(st.none(), st.floats(width=32)),
    st.one_of(st.none(), st.booleans()),
)
SCHEMA = {"text": pl.String, "whole": pl.Int64, "double": pl.Float64, "single": pl.Float32, "flag": pl.Boolean}


def mix(word: int) -> int:
    """splitmix64's finaliser on Python integers."""
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def text_hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def bits(name: str, value: object) -> int:
    if isinstance(value, str):
        return text_hash(value)
    formats = {"double": "<d", "single": "<f"}
    if name in formats:
        return int.from_bytes(struct.pack(formats[name], value), "little")
    return int(value) & WORD


def naive_hash(row: dict[str, object]) -> tuple[int, int]:
    cells = (mix(bits(name, value) + text_hash(name) & WORD) for name, value in row.items() if value is not None)
    word = sum(cells) & WORD
    return mix(word ^ 0x9E3779B97F4A7C15), mix(word ^ 0xD1B54A32D192ED03)


@settings(deadline=None)  # the first example compiles
@given(st.lists(VALUES, max_size=8))
def test_row_hashes_are_those_of_a_naive_loop(rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    numbers = frame.select(pl.col("double", "single").fill_nan(None))
    frame = frame.with_columns(numbers)  # the bits of a NaN do not survive Python
    expected = [naive_hash(row) for row in frame.to_dicts()]
    for made in (hash_rows_plain(frame), hash_rows_compiled(frame)):
        assert [tuple(map(int, row)) for row in made] == expected
    in_chunks = pl.concat([frame, frame], rechunk=False).slice(1)
    assert [tuple(map(int, row)) for row in hash_rows_compiled(in_chunks)] == [*expected, *expected][1:]


def test_sums_know_no_order_and_can_be_taken_apart() -> None:
    frame = pl.DataFrame({"symbol": ["A", "B", "C"], "close": [1.0, -0.0, None]})
    whole = total(hash_rows(frame))
    assert whole == total(hash_rows(frame.reverse().select("close", "symbol")))
    assert whole == total(hash_rows(frame.with_columns(nothing=pl.lit(None, pl.Float32))))
    assert whole - total(hash_rows(frame.head(1))) == total(hash_rows(frame.tail(2)))
    assert RowHash.parse(str(whole)) == whole
    assert whole != total(hash_rows(frame.rename({"close": "open"})))
    assert whole != total(hash_rows(frame.with_columns(close=pl.Series([1.0, 0.0, None]))))


def test_stored_hashes_mean_the_same_in_every_version() -> None:
    frame = pl.DataFrame({"symbol": ["BTCUSDT"], "timestamp": [1_704_067_200_000], "close": [42_283.58]})
    assert str(total(hash_rows(frame))) == "9bbce673f47aa21695f74f59c96f5df3"


def test_storage_never_overwrites(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    assert storage.current() is None
    assert storage.names("_manifests") == []
    storage.initialise()
    assert storage.current() == 0
    for content in (b"first", b"second"):
        (storage.staging / "x").write_bytes(content)
        if content == b"first":
            storage.write_if_absent("bars/period=1h/a.parquet", storage.staging / "x")
    with pytest.raises(FileExistsError):
        storage.write_if_absent("bars/period=1h/a.parquet", storage.staging / "x")
    assert storage.read("bars/period=1h/a.parquet") == b"first"
    assert storage.names("bars") == ["bars/period=1h/a.parquet"]
    storage.commit_manifest(1, b"{}")
    with pytest.raises(FileExistsError):
        storage.commit_manifest(1, b"{other}")
    assert (storage.current(), storage.manifests()) == (1, [1])
    assert storage.read("_manifests/manifest-00000001.json") == b"{}"
    for _ in range(2):
        storage.delete("bars/period=1h/a.parquet")


def test_names_of_manifests_and_caches() -> None:
    assert layout.manifest_number(layout.manifest_name(7)) == 7
    for name in ("_manifests/manifest-7.json", "_manifests/manifest-0000000x.json", "_manifests/notes.json"):
        assert layout.manifest_number(name) is None
    assert layout.cache_snapshot(cache_dir(Path("s"), 12, "a-b").name) == 12
    assert layout.cache_snapshot("snapshots-of-mine") is None
    assert sorted(["1mo", "1d", "15m", "1q", "1w"], key=period_order) == ["15m", "1d", "1w", "1mo", "1q"]


@pytest.mark.parametrize(("table", "period"), [("../bars", "1h"), ("bars", "../1h"), ("", "1h"), ("_tmp", "1h")])
def test_places_stay_inside_the_store(table: str, period: str) -> None:
    with pytest.raises(StoreError, match="cannot be a table"):
        Place(table, period)


def test_the_longest_mount_wins(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\nx:/y /data nfs rw 0 0\n/dev/b /data/with\\040space xfs rw 0 0\nbroken\n")
    places = {"/home": "ext4", "/data": "nfs", "/data/x": "nfs", "/database": "ext4", "/data/with space/x": "xfs"}
    assert {place: file_system(Path(place), mounts) for place in places} == places
    assert file_system(Path("/home"), tmp_path / "none") == ""


def test_the_repository_has_the_folder_that_init_makes() -> None:
    folder = Path(__file__).parents[3] / "store"
    assert (folder / "README.md").read_text() == layout.README
    assert (folder / ".gitignore").read_text() == layout.GITIGNORE
