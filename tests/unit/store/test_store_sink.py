"""Segments written frame by frame, also elsewhere, and adopted by a transaction (DESIGN 4, SEMANTICS P1)."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tftctl.core.errors import StoreError
from tftctl.store import Place, SegmentSink, Store


def rows(symbol: str, size: int, start: int = 0) -> pl.DataFrame:
    """Some rows of one symbol."""
    stamps = [1000 * (start + k) for k in range(size)]
    return pl.DataFrame({"symbol": symbol, "timestamp": stamps, "x": [float(k) for k in range(size)]})


def sink_of(store: Store, *frames: pl.DataFrame) -> SegmentSink:
    """A sink that has taken these frames."""
    with store.locked():
        sink = SegmentSink(store.storage, Place("numbers", "1h"))
        for frame in frames:
            sink.add(frame)
        sink.finish()
    return sink


def test_adopted_runs_equal_a_replacement(tmp_path: Path) -> None:
    """Two runs written side by side are what one replacement would be, down to the data version."""
    frames = [rows("AAA", 50_000), rows("BBB", 3), rows("CCC", 90_000)]
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    with one.write("test") as change:
        change.replace("numbers", "1h", frames)
        change.commit()
    first, second = sink_of(two, *frames[:2]), sink_of(two, frames[2])
    with two.write("test") as change:
        assert change.adopt("numbers", "1h", first.columns, [first.segments, second.segments]) == 140_003
        change.commit()
    with one.read() as a, two.read() as b:
        assert a.data_version("numbers") == b.data_version("numbers")
        assert a.scan("numbers").collect().equals(b.scan("numbers").collect())
        assert b.groups("numbers", "1h") == {"AAA": 50_000, "BBB": 3, "CCC": 90_000}


def test_rows_out_of_order_are_refused_within_and_between_frames(tmp_path: Path) -> None:
    """The same symbol may go on in the next frame, but only forwards."""
    store = Store(tmp_path)
    assert len(sink_of(store, rows("AAA", 5), rows("AAA", 5, start=5)).segments) == 1
    with pytest.raises(StoreError, match="not sorted"):
        sink_of(store, rows("AAA", 5), rows("AAA", 5, start=4))


def test_runs_that_overlap_are_refused_and_removed(tmp_path: Path) -> None:
    """Nothing becomes visible, and the files go with the transaction."""
    store = Store(tmp_path)
    first, second = sink_of(store, rows("AAA", 5), rows("CCC", 5)), sink_of(store, rows("BBB", 5))
    with pytest.raises(StoreError, match="BBB comes in two runs"), store.write("test") as change:
        change.adopt("numbers", "1h", first.columns, [first.segments, second.segments])
    assert store.current() == 0
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_abandoned_sink_leaves_no_file(tmp_path: Path) -> None:
    """As after an exception in a worker."""
    store = Store(tmp_path)
    with store.locked():
        sink = SegmentSink(store.storage, Place("numbers", "1h"))
        sink.add(rows("AAA", 100_000))
        sink.abandon()
    assert not list(tmp_path.rglob("*.parquet"))
